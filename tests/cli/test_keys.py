"""The reference of run-file keys: every key, with its sentence, and defaults that hold."""

import json
import subprocess
import sys
import tomllib

import pytest
from command import here

from saccade.cli.keys import _found
from saccade.cli.reference.sections import GROUPS, RUN_FILES, Key, Section, keys_of, parts
from saccade.cli.reference.values import toml
from saccade.config import Table, resolve, validate, with_overrides
from saccade.errors import ConfigError
from saccade.types import Record

LIGHT = [s for s in [*RUN_FILES, *(p for g in GROUPS if "*" not in g.heavy for p in parts(g))]
         if not s.heavy]  # fmt: skip


@pytest.mark.parametrize("section", LIGHT, ids=lambda section: section.name)
def test_every_key_has_a_type_and_a_whole_sentence(section: Section) -> None:
    for key in keys_of(section):
        assert key.key.startswith(section.prefix)
        assert key.type
        assert key.about[0].isupper() or key.about[0] in "\"`'1", key
        assert key.about.endswith((".", "...")), key


@pytest.mark.parametrize(
    ("name", "required"),
    [("rollout", {}), ("rl", {"model": "m", "out": "o"}), ("nano", {}), ("serve", {}),
     ("sft", {"model": "m", "out": "o", "runs": ["r"]}), ("curate", {"out": "o"})],
)  # fmt: skip
def test_a_default_that_is_given_changes_nothing(name: str, required: Table) -> None:
    (section,) = (s for s in RUN_FILES if s.name == name)
    model = resolve(section.target, {}, name)
    assert isinstance(model, type)
    assert issubclass(model, Record)
    listed = keys_of(section)
    optional = tuple(f"{k.key}." for k in listed if k.type == "table" and not k.default)
    listed = [key for key in listed if not key.key.startswith(optional)]
    assert {key.key for key in listed if key.default is None} == set(required)
    given = [f"{key.key}={key.default}" for key in listed if key.default]
    assert len(given) >= 4
    assert validate(model, with_overrides(required, given)) == validate(model, required)


def test_the_sections_are_data_and_no_page_is_json() -> None:
    rows = json.loads(here("keys", "--json").stdout)
    by_name = {row["section"]: row for row in rows}
    assert len(by_name) == len(rows)
    assert by_name["sft"] == {"section": "sft", "about": "`saccade sft`.", "named_by": None}
    assert by_name["policy.openai"]["named_by"] == 'policy = { kind = "NAME", ... }'
    assert {"variables", "attack.methods.pgd"} <= set(by_name)
    refused = here("keys", "--page", "--json")
    assert refused.returncode == 2
    assert "choose one" in refused.stderr


def test_what_makes_another_run_is_marked() -> None:
    marked = {key.key: key.another_run for s in LIGHT for key in keys_of(s)}
    assert marked["seed"]
    assert marked["environment.limits.max_turns"]
    assert not marked["environment.limits.max_seconds"]
    assert not marked["policy.base_url"]
    assert not marked["train.steps"]


def test_a_key_is_found_by_its_section_its_name_or_its_beginning() -> None:
    def keys(wanted: str) -> dict[str, list[str]]:
        return {section.name: [key.key for key in listed] for section, listed in _found(wanted)}

    assert keys("policy.replay") == {"policy.replay": ["policy.script"]}
    assert keys("train.lora.rank") == {"rl": ["train.lora.rank"]}
    assert set(keys("train")) == {"rl"}
    assert {"rl", "sft", "rollout"} <= set(keys("out"))
    assert keys("reward.weights.calls") == {"reward.weights.calls": []}
    with pytest.raises(ConfigError, match=r"did you mean 'environment\.limits'"):
        _found("environment.limit")


def test_a_sentence_is_that_of_the_nearest_class() -> None:
    found = {s.name: {key.key: key for key in keys_of(s)} for s in LIGHT}
    assert found["rl"]["out"].about.startswith("Folder of checkpoints, metrics, episodes")
    assert found["curate"]["out"].about == found["rollout"]["out"].about
    assert found["rl"]["sampling.temperature"].default == "1.0", "the recipe's own default"
    assert "sampling.top_p" not in found["rl"], "the same as in a rollout"
    assert found["reward.judge.llm"]["reward.judge.model"] == Key(
        "reward.judge.model", "text", None, "Name of the model on the server.", True
    )


@pytest.mark.parametrize("value", [True, 3, 1e-6, 'a "word"', [1, 2.5], {"a": {"b": ["c"]}}, {}])
def test_a_default_is_written_as_toml_reads_it(value: object) -> None:
    assert tomllib.loads(f"x = {toml(value)}") == {"x": value}  # type: ignore[arg-type]
    assert toml([{"kind": "exact"}]) == '["exact"]'


def test_sections_that_are_not_heavy_are_read_without_torch() -> None:
    code = (
        "import sys; from saccade.cli.reference.sections import *\n"
        "every = [*RUN_FILES, *(p for g in GROUPS if '*' not in g.heavy for p in parts(g))]\n"
        "print(sum(len(keys_of(s)) for s in every if not s.heavy), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    number, loaded = done.stdout.split()
    assert int(number) > 200
    assert loaded == "False"
