"""Whether the kinds of calls in reports are right: agreement with labels made by hand.

    python benchmarks/tool_kinds.py [--pyvision FOLDER] [--json FILE] [--write docs/evaluation.md]
    python benchmarks/tool_kinds.py --sample RUN... --n 120 --out FILE
    python benchmarks/tool_kinds.py --labels FILE...

The first compares `saccade.measures.tool_kinds` with the labels in `results/tool_kinds/`: those of
`cells.json`, and with a checkout of the repository and commit that `pyvision.json` names, those of
its cells. Rules were changed by looking at the parts called dev; what counts is test. The digest of
the classifier's sources is printed, so that a figure belongs to one version of it.

The second draws calls of runs for labels, as many of each family as there are, up to an equal
share, and writes what a person needs to see: the call and the earlier cells of its episode, not
what the classifier says. Fill in `primary` and, where a call does several things, `kinds`. The
third compares such files with the classifier.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args

import numpy as np
from places import fill

from saccade.files import read_whole
from saccade.measures import cells as cells_package
from saccade.measures import tool_kinds
from saccade.measures.means import RESAMPLES, SEED, Metric, mean_of
from saccade.measures.tool_kinds import KINDS, CellReader, Kind, Kinds, code_of, kind_of
from saccade.runs.manifest import read_manifest
from saccade.types import ToolCall
from saccade.view.names import run_names
from saccade.view.sound import Damage, sound_entries
from saccade.view.tables import Table, interval, markdown, number

RESULTS = Path(__file__).resolve().parent.parent / "results" / "tool_kinds"
MOST_BYTES = 64 * 2**20
FENCE = "```"
"""What stands about the table of a page."""
SAMPLED = {"episode", "family", "tool", "arguments", "before", "primary", "kinds"}
"""What is known of a call in a sample, its label included."""


class Labelled(NamedTuple):
    """A call with the label of a person and that of the classifier."""

    group: str
    unit: str
    """What is drawn independently: the cell, the conversation or the episode."""
    wanted: Kinds
    found: Kinds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--pyvision", type=Path, help="a checkout of what pyvision.json names")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", type=Path, help="a page whose table is renewed")
    parser.add_argument("--labels", type=Path, nargs="+", help="samples with labels filled in")
    parser.add_argument("--sample", type=Path, nargs="+", help="run folders to draw calls from")
    parser.add_argument("--n", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="where the sample is written")
    options = parser.parse_args()
    if options.sample:
        if options.out is None or options.out.exists():
            parser.error("--out: name a file that does not exist yet, for the sample")
        drawn = sample(options.sample, n=options.n, seed=options.seed)
        options.out.write_text(json.dumps(drawn, indent=1, ensure_ascii=False) + "\n")
        families = Counter(one["family"] for one in drawn["cells"])
        print(f"{len(drawn['cells'])} calls: {dict(families)}; fill in primary, then: "
              f"python benchmarks/tool_kinds.py --labels {options.out}")  # fmt: skip
        return
    try:
        if options.labels:
            sets = {str(path): labels_of(path) for path in options.labels}
        else:
            sets = committed(options.pyvision)
    except ValueError as error:
        parser.error(str(error))
    words = ["python", "benchmarks/tool_kinds.py"]
    words += ["--labels", *map(str, options.labels)] if options.labels else []
    words += ["--pyvision", "FOLDER"] if options.pyvision else []
    measured = measure(sets, shlex.join(words))
    print(markdown(tables(measured)), end="")
    if options.json:
        options.json.write_text(json.dumps(measured, indent=1) + "\n")
    if options.write:
        fill(options.write, {"tool_kinds": block(measured)})


# The committed labels.


def committed(pyvision: Path | None) -> dict[str, list[Labelled]]:
    """The sets of labels that are kept here, by name and part."""
    content = _read(RESULTS / "cells.json")
    sets: dict[str, list[Labelled]] = {"cells, dev": [], "cells, test": []}
    for one in content["cells"]:
        part = "dev" if hashlib.sha256(one["code"].encode()).digest()[0] % 2 == 0 else "test"
        found = CellReader(one["before"]).kinds(one["code"])
        labelled = Labelled(one["style"], one["id"], _label(one), found)
        sets[f"cells, {part}"].append(labelled)
    if pyvision is None:
        return sets
    content = _read(RESULTS / "pyvision.json")
    for one in content["cells"]:
        before = []
        for code in conversation(pyvision / one["file"]):
            if hashlib.sha256(code.encode()).hexdigest() == one["sha256"]:
                break
            before.append(code)
        else:
            raise ValueError(
                f"{pyvision / one['file']}: the cell {one['sha256'][:12]} is not in it; check out "
                f"{content['repository']} at {content['commit']}"
            )
        group = Path(one["file"]).parts[2]
        found = CellReader(before).kinds(code)
        name = f"pyvision, {one['split']}"
        sets.setdefault(name, []).append(Labelled(group, one["file"], _label(one), found))
    return sets


def conversation(file: Path) -> Iterator[str]:
    """The cells of a published conversation, as they stand in it."""
    for turn in _read(file):
        if turn["from"] == "gpt":
            for part in turn["value"].split(f"{FENCE}python\n")[1:]:
                code, fence, _ = part.partition(FENCE)
                if fence:
                    yield code


# A sample of runs, for labels.


def sample(runs: Sequence[Path], *, n: int, seed: int) -> dict[str, Any]:
    """Calls of runs, stratified by family, in an order that tells nothing."""
    families: dict[str, list[dict[str, Any]]] = {}
    damage = Damage()
    for name, path in zip(run_names(runs), runs, strict=True):
        for task, made in sound_entries(path, damage):
            before: list[str] = []
            for at, result in enumerate(made.results):
                code = code_of(result.call)
                families.setdefault(task.family, []).append(
                    {"id": f"{name}/{made.id}#{at}", "episode": f"{name}/{made.id}",
                     "family": task.family, "tool": result.call.name,
                     "arguments": result.call.arguments, "before": [*before],
                     "primary": "", "kinds": []}
                )  # fmt: skip
                before += [] if code is None else [code]
    for note in damage.sentences:
        print(f"left out: {note}", file=sys.stderr)
    for calls in families.values():
        calls.sort(key=lambda call: _lot(seed, call["id"]))
    drawn: list[dict[str, Any]] = []
    depth = 0
    while len(drawn) < n and any(len(calls) > depth for calls in families.values()):
        row = [calls[depth] for _, calls in sorted(families.items()) if len(calls) > depth]
        drawn += row[: n - len(drawn)]
        depth += 1
    return {
        "what": "Calls of runs, drawn by lot, as many of each family as there are up to an equal "
        "share. The classifier has not seen them when they are labelled.",
        "command": shlex.join(["python", "benchmarks/tool_kinds.py", "--sample",
                               *map(str, runs), "--n", str(n), "--seed", str(seed)]),
        "runs": {name: read_manifest(path).fingerprint
                 for name, path in zip(run_names(runs), runs, strict=True)},
        "labelled_by": "",
        "codebook": _read(RESULTS / "cells.json")["codebook"] | {
            "text_search": "It searches texts.", "image_search": "It searches by an image.",
            "page": "It opens a page.", "crop (no code)": "It takes a look by a zoom tool.",
        },
        "cells": sorted(drawn, key=lambda call: _lot(seed + 1, call["id"])),
    }  # fmt: skip


def labels_of(file: Path) -> list[Labelled]:
    """The calls of a labelled sample.

    Raises:
        ValueError: the file is no sample, or labels are missing or unknown.
    """
    content = _read(file)
    if not isinstance(content, dict) or not isinstance(content.get("cells"), list):
        raise ValueError(f"{file}: no sample: expected what --sample writes")
    empty = sum(not one.get("primary") for one in content["cells"])
    if empty:
        raise ValueError(f"{file}: {empty} of {len(content['cells'])} calls have no label yet")
    made = []
    for one in content["cells"]:
        if missing := SAMPLED - one.keys():
            raise ValueError(f"{file}: a call has no {', '.join(sorted(missing))}")
        call = ToolCall(name=one["tool"], arguments=one["arguments"])
        code = code_of(call)
        if code is None:
            kind = kind_of(call)
            found = Kinds(kind, frozenset((kind,)))
        else:
            found = CellReader(one["before"]).kinds(code)
        made.append(Labelled(one["family"], one["episode"], _label(one), found))
    return made


def _label(one: dict[str, Any]) -> Kinds:
    every = [one["primary"], *one["kinds"]]
    if unknown := [kind for kind in every if kind not in get_args(Kind)]:
        raise ValueError(f"the label {unknown[0]!r} is none of {', '.join(KINDS)}")
    return Kinds(cast(Kind, one["primary"]), frozenset(every))


def _lot(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}/{name}".encode()).hexdigest()


# What is measured.


def measure(sets: dict[str, list[Labelled]], command: str) -> dict[str, Any]:
    """The agreement of each set, in all and by group, with its 95 % interval."""
    return {
        "command": command,
        "classifier": digest(),
        "sets": {name: _measured(calls) for name, calls in sets.items() if calls},
    }


def digest() -> str:
    """Of the sources of the classifier: other rules have another one."""
    folder = Path(str(cells_package.__file__)).parent
    files = [Path(str(tool_kinds.__file__)), *sorted(folder.glob("*.py"))]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _measured(calls: Sequence[Labelled]) -> dict[str, Any]:
    groups = {group: [call for call in calls if call.group == group]
              for group in sorted({call.group for call in calls})}  # fmt: skip
    low, high = _kappa_interval(calls)
    table = Counter((call.wanted.primary, call.found.primary) for call in calls)
    return {
        "primary": _agreement("primary", calls, lambda c: c.wanted.primary == c.found.primary),
        "every": _agreement("every", calls, lambda c: c.wanted.every == c.found.every),
        "kappa": {"value": kappa(calls), "low": low, "high": high, "n": len(calls)},
        "groups": {
            group: _agreement(group, held, lambda c: c.wanted.primary == c.found.primary)
            for group, held in groups.items()
        },
        "confusion": {
            wanted: {found: table[wanted, found] for found in KINDS if table[wanted, found]}
            for wanted in KINDS
            if any(table[wanted, found] for found in KINDS)
        },
    }


def _agreement(name: str, calls: Sequence[Labelled], same: Any) -> dict[str, Any]:
    found = mean_of(name, "all", [(call.unit, float(same(call))) for call in calls])
    return found.model_dump(mode="json")


def kappa(calls: Iterable[Labelled]) -> float:
    """Cohen's kappa of the primary kinds (Educ. Psychol. Meas. 20, 1960); 1 if all are of one."""
    pairs = [(call.wanted.primary, call.found.primary) for call in calls]
    n = len(pairs)
    ours, theirs = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    chance = sum(ours[kind] * theirs[kind] for kind in KINDS) / n**2
    seen = sum(a == b for a, b in pairs) / n
    return 1.0 if chance == 1 else (seen - chance) / (1 - chance)


def _kappa_interval(calls: Sequence[Labelled]) -> tuple[float, float]:
    """The 95 % percentile interval, units being drawn with replacement."""
    units: dict[str, list[Labelled]] = {}
    for call in calls:
        units.setdefault(call.unit, []).append(call)
    held, rng = [*units.values()], np.random.default_rng(SEED)
    drawn = [
        kappa(call for at in rng.integers(len(held), size=len(held)) for call in held[at])
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def tables(measured: dict[str, Any]) -> list[Table | str]:
    """What is printed."""
    rows, groups, confusions = [], [], []
    for name, found in measured["sets"].items():
        primary, every = (Metric.model_validate(found[key]) for key in ("primary", "every"))
        agreed = found["kappa"]
        rows.append(
            (name, str(primary.n), str(primary.units), number(primary.value, 3),
             interval(primary.low, primary.high), number(agreed["value"], 3),
             interval(agreed["low"], agreed["high"]), number(every.value, 3),
             interval(every.low, every.high))
        )  # fmt: skip
        for group, one in found["groups"].items():
            held = Metric.model_validate(one)
            groups.append((name, group, number(held.value, 3), interval(held.low, held.high),
                           str(held.n)))  # fmt: skip
        for wanted, told in found["confusion"].items():
            cells = (str(told.get(kind, 0)) for kind in KINDS)
            confusions.append((name, wanted, *cells))
    head = ("labels", "n", "units", "agreement", "95 % CI", "kappa", "95 % CI", "all kinds",
            "95 % CI")  # fmt: skip
    return [
        Table("Primary kind: the classifier and a person", head, tuple(rows)),
        Table("By group", ("labels", "group", "agreement", "95 % CI", "n"), tuple(groups), 2),
        Table("Labelled (rows), told (columns)", ("labels", "labelled", *KINDS),
              tuple(confusions), 2),
        f"Classifier {measured['classifier']}; {measured['command']}",
    ]  # fmt: skip


def block(measured: dict[str, Any]) -> str:
    """What stands on a page: the first table, and where it comes from."""
    first, *_, last = tables(measured)
    return markdown([first, last])


def _read(file: Path) -> Any:
    return json.loads(read_whole(file, most=MOST_BYTES))


if __name__ == "__main__":
    main()
