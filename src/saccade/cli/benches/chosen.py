"""The run file of `saccade bench`, from a name and settings, with what goes without saying."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from saccade.cli.common.options import read_file, with_settings

if TYPE_CHECKING:
    from pydantic import JsonValue

    from saccade.bench.recipe import BenchRecipe
    from saccade.config import Table

NANO, NANO_REALX = "nano", "nano_realx"
READER = "reader"
OTHER_COMMANDS = ("list", "merge", "predictions")
"""What may have been meant by a name that is that of no benchmark."""
OF_THE_WEIGHTS = ("max_turn_tokens", "max_context")
"""Limits of the embedded models, which are none of the benchmark that they are measured on."""


def recipe_of(
    name: str, settings: Sequence[str], options: Mapping[str, JsonValue], *, audit: bool = False
) -> tuple[BenchRecipe, Path]:
    """The run file and the run folder.

    Args:
        name: Of a benchmark, or a run file that names one.
        settings: `key=value`, over the file.
        options: Keys with their values, over both; None is left out.
        audit: Whether it is an audit, whose folder is another one than that of the run.

    Raises:
        ConfigError: there is no such benchmark, or a key or value is wrong.
    """
    from saccade.bench.recipe import BenchRecipe
    from saccade.config import validate, with_overrides

    file: Table = {"bench": {"kind": name}}
    if name.endswith(".toml"):
        file = read_file(Path(name))
    table: Table = {**file, **{key: v for key, v in options.items() if v is not None}}
    asked = with_overrides(table, settings)
    bench, policy = asked.get("bench"), asked.get("policy")
    kind = bench.get("kind") if isinstance(bench, dict) else bench
    if isinstance(kind, str):
        check_name(kind)
    acting = policy.get("kind") if isinstance(policy, dict) else None
    usual = _usual(str(kind), None if acting is None else str(acting))
    if kind == NANO_REALX and policy is None:
        usual = _with_searches(bench.get("tools") if isinstance(bench, dict) else None)
    chosen = validate(BenchRecipe, with_settings(_over(usual, table), settings))
    out = chosen.out or default_out(chosen, "audit" if audit else chosen.arm)
    return chosen.model_copy(update={"out": out}), Path(out)


def check_name(kind: str) -> None:
    """Find out if there is such a benchmark.

    Raises:
        ConfigError: there is none; names the nearest.
        MissingExtra: it is one of the user's own, which needs an optional dependency.
    """
    import difflib

    from saccade.bench import BENCHMARKS
    from saccade.config import resolve
    from saccade.errors import ConfigError

    if kind in BENCHMARKS or ":" in kind:
        resolve(kind, BENCHMARKS, "bench")
        return
    plain = {re.sub(r"[^a-z0-9]", "", name): name for name in (*BENCHMARKS, *OTHER_COMMANDS)}
    typed = re.sub(r"[^a-z0-9]", "", kind.lower())
    near = [name for word, name in plain.items() if len(word) > 3 and word in typed]
    near += [plain[word] for word in difflib.get_close_matches(typed, list(plain), cutoff=0.7)]
    named = " or ".join(map(repr, [*dict.fromkeys(near)][:3]))
    hint = f"; did you mean {named}?" if named else "."
    raise ConfigError(
        f"bench: there is no benchmark {kind!r}{hint} `saccade bench list` names them; one of your "
        "own is 'package.module:Class', and a run file ends in .toml"
    )


def default_out(recipe: BenchRecipe, what: str) -> str:
    """The run folder where none is named: the same one for the same command.

    What plays is in its name, so that two models have two folders.

    Args:
        recipe: The run file.
        what: The arm, or "audit".
    """
    options = {} if recipe.policy is None else recipe.policy.options
    model = options.get("model") or options.get("path") or (recipe.policy or recipe.bench).kind
    share = "" if recipe.shard == "1/1" else f"shard-{recipe.shard.replace('/', '-of-')}"
    words = (
        recipe.bench.kind,
        str(model).rstrip("/").rpartition("/")[2],
        what,
        "" if recipe.order == "hashed" else recipe.order,
        str(recipe.seed),
        share,
    )
    named = (re.sub(r"[^A-Za-z0-9._]+", "-", word).strip("-.") for word in words if word)
    return f"runs/{'-'.join(named)}"


def _usual(bench: str, policy: str | None) -> Table:
    """What a benchmark or a policy goes with, unless something else is said."""
    from saccade.config import with_overrides
    from saccade.embedded import LOOKS
    from saccade.nano.spec import sections

    if bench == NANO:
        table = sections()
        if policy is None:
            return {**table, "policy": {"kind": "hf", "path": LOOKS}}
        limits = table["environment"]
        if policy != "hf" and isinstance(limits, dict) and isinstance(limits["limits"], dict):
            for key in OF_THE_WEIGHTS:
                limits["limits"].pop(key, None)
        return table
    if policy == READER:
        from saccade.policies.reader.policy import ENVIRONMENT

        return {"concurrency": 1, **with_overrides({}, ENVIRONMENT)}  # one keeps the cores busy
    return {}


def _with_searches(condition: JsonValue) -> Table:
    """The embedded model with all tools, with the searches of a condition of RealX-Bench."""
    from saccade.bench.sets.search.realx import SEARCHES
    from saccade.embedded import DEFAULT
    from saccade.nano.deepeyes_v2.spec import sections

    searches = next((kinds for name, kinds in SEARCHES.items() if name == condition), ())
    table = sections(searches)
    return {**table, "policy": {"kind": "hf", "path": DEFAULT}}


def _over(usual: Table, said: Table) -> Table:
    """One table over another, section by section."""
    merged = dict(usual)
    for key, value in said.items():
        under = merged.get(key)
        both = isinstance(value, dict) and isinstance(under, dict)
        merged[key] = _over(under, value) if both else value  # type: ignore[arg-type]
    return merged
