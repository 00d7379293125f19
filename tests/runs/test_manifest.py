"""One identity for every run: what it says, what it compares, and what it never compares."""

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel, JsonValue

from saccade.bench.recipe import BenchRecipe
from saccade.config import validate, with_overrides
from saccade.data.curate import CurateRecipe
from saccade.data.demos.recipe import DemosRecipe
from saccade.errors import ConfigError, FormatError, StoreError
from saccade.nano.deepeyes.options import BaseOptions
from saccade.policies.hf import HFOptions
from saccade.policies.openai import OpenAIOptions
from saccade.policies.reader.policy import ReaderOptions
from saccade.recipe import Recipe
from saccade.rewards.math import MathOptions
from saccade.robust.agent.recipe import AgentAttackRecipe
from saccade.robust.classifiers.recipe import RobustRecipe
from saccade.runs.manifest import (
    CHANGES_MEANING,
    Manifest,
    as_typed,
    changes_meaning,
    differences,
    keep_manifest,
    manifest_of,
    read_manifest,
)
from saccade.search.web.serper import SerperOptions
from saccade.tasks.world import WorldTasks
from saccade.tools.python import PythonOptions
from saccade.tools.search.text import TextSearchOptions
from saccade.train.recipe import RLRecipe, SFTRecipe

POLICY = {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "m", "timeout_s": 5}


def recipe(**changes: JsonValue) -> Recipe:
    table: dict[str, JsonValue] = {"policy": POLICY, "tasks": {"kind": "world", "n": 5}}
    return validate(Recipe, table | changes)


def test_a_manifest_says_what_was_run() -> None:
    found = manifest_of("rollout", recipe(seed=7), fingerprint="f" * 16)
    assert (found.verb, found.seed, found.fingerprint) == ("rollout", 7, "f" * 16)
    assert found.config["policy"] == POLICY
    assert found.config["samples"] == 1, "options that were left out are there too"
    assert {"python", "saccade", "numpy", "pydantic"} <= set(found.versions)
    assert found.command
    assert found.created.endswith("Z")
    head = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if head.returncode == 0:
        assert found.commit == head.stdout.strip()
        assert found.dirty in (True, False)


def test_only_libraries_that_were_used_have_a_version() -> None:
    code = (
        "from saccade.runs.manifest import manifest_of\nfrom saccade.recipe import Recipe\n"
        "print(manifest_of('rollout', Recipe()).model_dump_json())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "trl"} & set(json.loads(done.stdout)["versions"])


@pytest.mark.parametrize(
    "changes",
    [
        {"out": "elsewhere"}, {"concurrency": 3}, {"max_aborts": 1}, {"samples": 9},
        {"tasks": {"kind": "world", "n": 50}},
        {"policy": POLICY | {"base_url": ["http://127.0.0.1:2/v1", "http://127.0.0.1:3/v1"]}},
        {"policy": POLICY | {"timeout_s": 900, "max_retries": 9, "api_key_env": "A_KEY"}},
        {"environment": {"limits": {"max_seconds": 5}}},
    ],
    ids=lambda c: str(c)[:40],
)  # fmt: skip
def test_hosts_time_outs_and_counts_do_not_make_another_run(changes: dict[str, JsonValue]) -> None:
    assert not differences(
        manifest_of("rollout", recipe()), manifest_of("rollout", recipe(**changes))
    )


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"seed": 1}, "seed: 0 -> 1"),
        ({"policy": POLICY | {"model": "other"}}, 'policy.model: "m" -> "other"'),
        ({"tasks": {"kind": "world", "n": 5, "family": "easy"}}, "tasks.family"),
        ({"dialect": {"kind": "plain"}}, "dialect.kind"),
        ({"tools": {}}, "tools.zoom_in"),
        ({"environment": {"limits": {"max_turns": 2}}}, "environment.limits.max_turns: 6 -> 2"),
        ({"sampling": {"temperature": 0.5}}, "sampling.temperature"),
        ({"reward": {"preset": "deepeyes_no_bonus"}}, "reward.preset"),
    ],
    ids=lambda c: str(c)[:40],
)
def test_what_changes_the_meaning_makes_another_run(
    changes: dict[str, JsonValue], line: str
) -> None:
    (found,) = differences(
        manifest_of("rollout", recipe()), manifest_of("rollout", recipe(**changes))
    )
    assert line in found


WORLD: dict[str, JsonValue] = {"kind": "world", "n": 5}
VERBS: list[tuple[type[BaseModel], dict[str, JsonValue], list[str], str]] = [
    (
        RLRecipe, {"model": "m", "out": "o", "tasks": WORLD},
        ["train.steps=900", "train.save_steps=7", "train.device=cpu", "train.generation_batch=2",
         "train.collective_timeout_s=9", "tasks.n=6", "concurrency=1"],
        "train.learning_rate=1",
    ),
    (
        SFTRecipe, {"model": "m", "out": "o", "runs": ["r"], "schedule": "constant"},
        ["steps=900", "save_steps=7", "device=cpu", "out=p"], "batch_size=2",
    ),
    (
        CurateRecipe, {"out": "o", "tasks": WORLD, "policy": POLICY},
        ["curate.samples=9", "tasks.n=6", "policy.base_url=http://there/v1"],
        "curate.temperature=0.5",
    ),
    (RobustRecipe, {}, ["n=900", "nets=[0, 1, 2, 3, 4, 5]"], "attack.limit=1.0"),
    (
        AgentAttackRecipe, {"tasks": WORLD, "policy": POLICY}, ["tasks.n=6", "policy.max_batch=1"],
        "attack.epsilons=[3]",
    ),
    (BaseOptions, {}, ["step_limit=9000"], "prior=0.5"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "table", "goes_on", "another"), VERBS)
def test_of_every_verb_more_or_elsewhere_goes_on_and_another_meaning_does_not(
    kind: type[BaseModel], table: dict[str, JsonValue], goes_on: list[str], another: str
) -> None:
    def made(*settings: str) -> Manifest:
        return manifest_of("verb", validate(kind, with_overrides(table, settings)))

    assert differences(made(), made(*goes_on)) == []
    assert made().config != made(*goes_on).config
    (line,) = differences(made(), made(another))
    assert line.startswith(another.partition("=")[0])


def test_commit_versions_and_command_are_never_compared() -> None:
    one = manifest_of("rollout", recipe())
    other = one.model_copy(
        update={"commit": "0" * 40, "dirty": True, "versions": {}, "command": "", "created": ""}
    )
    assert differences(one, other) == []


def test_another_environment_or_verb_is_another_run() -> None:
    one = manifest_of("rollout", recipe(), fingerprint="a")
    (line,) = differences(one, manifest_of("rollout", recipe(), fingerprint="b"))
    assert "a -> b" in line
    (line,) = differences(one, manifest_of("curate", recipe(), fingerprint="a"))
    assert "saccade rollout" in line


def test_settings_in_lists_are_found_too() -> None:
    def judged(url: str, model: str) -> Manifest:
        judges = [{"kind": "llm", "base_url": url, "model": model}]
        return Manifest(verb="rollout", config={"reward": {"judge": judges}})

    assert differences(judged("http://a", "m"), judged("http://b", "m")) == []
    (line,) = differences(judged("http://a", "m"), judged("http://a", "n"))
    assert line == 'reward.judge.model: "m" -> "n"'


KINDS: list[type[BaseModel]] = [
    Recipe, BenchRecipe, RLRecipe, SFTRecipe, CurateRecipe, DemosRecipe, RobustRecipe,
    AgentAttackRecipe, BaseOptions, OpenAIOptions, HFOptions, ReaderOptions, WorldTasks,
    PythonOptions, MathOptions, TextSearchOptions, SerperOptions,
]  # fmt: skip
"""Run files, and the options of what they name."""


def fields(kind: object) -> set[str]:
    """The names of a record's fields, and of the records in them."""
    found: set[str] = set()
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        computed = set(kind.model_computed_fields)
        found |= set(kind.model_fields) | computed
        for field in kind.model_fields.values():
            found |= fields(field.annotation)
    for inner in get_args(kind):
        found |= fields(inner)
    return found


def test_the_table_names_settings_that_exist() -> None:
    """A key that was renamed would silently count again."""
    of_commands = {"malformed"}  # of `saccade demos import` and `export`, which have no run file
    known = {"fingerprint"}.union(of_commands, *map(fields, KINDS))
    for key in CHANGES_MEANING:
        assert set(key.removeprefix("*.").split(".")) <= known, key


@pytest.mark.parametrize(("schedule", "another"), [("constant", False), ("cosine", True)])
def test_more_steps_prolong_a_run_unless_the_schedule_depends_on_them(
    schedule: str, another: bool
) -> None:
    def training(steps: int) -> Manifest:
        table: dict[str, JsonValue] = {"model": "m", "out": "o", "runs": ["r"]}
        return manifest_of(
            "sft", validate(SFTRecipe, table | {"schedule": schedule, "steps": steps})
        )

    assert bool(differences(training(10), training(20))) is another


def test_a_setting_that_the_table_does_not_know_counts() -> None:
    assert changes_meaning("something.new")
    assert not changes_meaning("out")
    assert not changes_meaning("tools.python.remote.urls")
    assert not changes_meaning("reward.judge.base_url")
    assert changes_meaning("reward.judge.model")
    assert changes_meaning("tools.python.after_kill")


def test_a_folder_says_what_its_run_goes_on_with_and_refuses_another(tmp_path: Path) -> None:
    one = manifest_of("sft", recipe()).model_copy(update={"created": "then"})
    keep_manifest(tmp_path / "new", one)
    keep_manifest(tmp_path / "new", manifest_of("sft", recipe()))
    assert read_manifest(tmp_path / "new").model_dump() == one.model_dump()
    keep_manifest(tmp_path / "new", manifest_of("sft", recipe(samples=3)))
    held = read_manifest(tmp_path / "new")
    assert (held.config["samples"], held.created) == (3, "then")
    with pytest.raises(ConfigError, match=r"holds another run:\n  seed: 0 -> 1\n.*to resume"):
        keep_manifest(tmp_path / "new", manifest_of("sft", recipe(seed=1)))


def test_what_is_no_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no run folder \(no run.json\)"):
        read_manifest(tmp_path)
    (tmp_path / "run.json").write_text('{"config": {}}')
    with pytest.raises(FormatError, match=r"run.json: verb: Field required"):
        read_manifest(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be created"):
        keep_manifest(tmp_path / "file" / "out", manifest_of("sft", recipe()))


@pytest.mark.parametrize(
    ("command", "typed"),
    [
        ("/a/b/saccade detect", "saccade detect"),
        ("/usr/lib/saccade/__main__.py report a", "saccade report a"),
        ("mine.py --n 3", "mine.py --n 3"),
        ("python -m other", "python -m other"),
        ("'half", "'half"),
        ("", ""),
    ],
)
def test_a_command_is_shown_as_it_is_typed(command: str, typed: str) -> None:
    assert as_typed(command) == typed


def test_an_option_that_came_later_is_at_its_default_in_an_older_run(tmp_path: Path) -> None:
    keep_manifest(tmp_path, manifest_of("rollout", recipe()))
    file = tmp_path / "run.json"
    held = json.loads(file.read_bytes())
    del held["config"]["seed"], held["config"]["environment"]["limits"]["max_turns"]
    file.write_text(json.dumps(held))
    keep_manifest(tmp_path, manifest_of("rollout", recipe()))
    file.write_text(json.dumps(held))
    changed = recipe(seed=7, environment={"limits": {"max_turns": 3}})
    with pytest.raises(ConfigError, match=r"(?s)max_turns: null -> 3.*seed: null -> 7"):
        keep_manifest(tmp_path, manifest_of("rollout", changed))
    assert "chosen" not in json.loads(file.read_bytes())
