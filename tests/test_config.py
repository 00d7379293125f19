"""Run files and overrides: what is right becomes a record, what is wrong is named."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saccade.config import read_toml, resolve, suggestion, validate, with_overrides
from saccade.errors import ConfigError
from saccade.recipe import Recipe, count_tasks, make_environment, make_policy, make_tasks


def made(*overrides: str) -> Recipe:
    return validate(Recipe, with_overrides({}, overrides))


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [("seed=3", ["seed"], 3), ("sampling.temperature=0.5", ["sampling", "temperature"], 0.5),
     ("out=runs/x", ["out"], "runs/x"), ('out="3"', ["out"], "3"), ("a=true", ["a"], True),
     ("a=[1, 2]", ["a"], [1, 2]), ("a.b.c=x=y", ["a", "b", "c"], "x=y"), ("a=", ["a"], ""),
     ("a=http://h:1/v1", ["a"], "http://h:1/v1"), ("a=1\nb=2", ["a"], "1\nb=2"),
     ('a."my.mod:term"=0.5', ["a", "my.mod:term"], 0.5), ("a.'x=y' = 1", ["a", "x=y"], 1)],
)  # fmt: skip
def test_overrides_are_toml_or_text(override: str, path: list[str], value: object) -> None:
    table: object = with_overrides({}, [override])
    for key in path:
        table = table[key]  # type: ignore[index]
    assert table == value


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("reward.weights.my.module:term=0.5", """'reward.weights."my.module:term"=0.5'"""),
        ("tools.my_tools:Rule.least=a=b", """'tools."my_tools:Rule".least=a=b'"""),
    ],
)
def test_quotes_that_the_shell_took_away_are_asked_for(override: str, line: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"write {line}, single quotes included")):
        with_overrides({}, [override])


@pytest.mark.parametrize("value", ["1" * 5_000, "[" * 5_000], ids=["digits", "brackets"])
def test_a_value_that_python_does_not_read_is_text(value: str) -> None:
    assert with_overrides({}, [f"seed={value}"]) == {"seed": value}


def test_overrides_leave_the_original_alone() -> None:
    table = {"sampling": {"temperature": 1.0}}
    changed = with_overrides(table, ["sampling.temperature=2.0", "seed=1"])
    assert table == {"sampling": {"temperature": 1.0}}
    assert changed == {"sampling": {"temperature": 2.0}, "seed": 1}


@given(st.text(max_size=30))
def test_any_override_is_applied_or_refused_politely(text: str) -> None:
    try:
        with_overrides({}, [text])
    except ConfigError as error:
        assert "expected key=value" in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["sed=1"], "sed: unknown key; did you mean 'seed'"),
        (["sampling.temprature=1"], "sampling.temprature: unknown key; did you mean 'temperature'"),
        (["environment.limits.max_turn=1"], "environment.limits.max_turn: .*'max_turns'"),
        (["environment.view.max_pixel=1"], "environment.view.max_pixel: .*'max_pixels'"),
        (["seed=x"], "seed: input should be a valid integer.*, got 'x'"),
        (
            ["environment.limits.max_turns=0"],
            "max_turns: input should be greater than or equal to 1, got 0",
        ),
        (["environment.coords=pixels"], "environment.coords"),
        (["seed.x=1", "seed=2", "seed.y=1"], "'seed' is a value, not a section"),
    ],
)
def test_mistakes_are_named_with_the_nearest_right_key(overrides: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        made(*overrides)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["dialect.kind=deepeye"], "dialect: there is no 'deepeye'; did you mean 'deepeyes'"),
        (
            ["dialect.kind=no.such:Thing"],
            "cannot be imported: .*; modules are found in the",
        ),
        (["dialect.kind=saccade.dialects.plain:Plan"], "has no 'Plan'; did you mean 'Plain'"),
        (["tools.zoom=3"], "tools.zoom"),
        (["tools.zoomin.min_side=3"], "there is no 'zoomin'; did you mean 'zoom_in'"),
        (["tools.zoom_in.min_sid=3"], "tools.zoom_in.min_sid: .*'min_side'"),
        (["dialect.prompts=missing.jsonl"], "missing.jsonl: cannot be read"),
    ],
)
def test_mistakes_in_the_parts_are_named(overrides: list[str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make_environment(made(*overrides))


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ([], "policy.kind=openai policy.base_url=URL"),
        (["policy.kind=opnai"], "did you mean 'openai'"),
        (["policy.kind=openai", "policy.base_ul=x"], "policy.base_ul: .*'base_url'"),
        (["policy.kind=openai", "policy.base_url=x", "policy.model=m"], "expected http://HOST/v1"),
        (["policy.kind=openai", "policy.base_url=http://x/v1"], "policy.model: missing"),
    ],
)
def test_mistakes_in_the_policy_are_named(overrides: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make_policy(made(*overrides))


def test_a_class_of_the_users_own_is_resolved() -> None:
    recipe = made("dialect.kind=saccade.dialects.plain:Plain")
    assert make_environment(recipe).dialect.name == "plain"


def test_options_reach_the_tool_and_the_fingerprint() -> None:
    plain, small = make_environment(made()), make_environment(made("tools.zoom_in.min_side=4"))
    assert small.record.tools[0].options["min_side"] == 4
    assert plain.fingerprint != small.fingerprint


def test_tasks_of_the_world_follow_the_seed() -> None:
    parts = ["tasks.kind=world", "tasks.family=easy", "tasks.n=2"]
    ids = [task.id for task in make_tasks(made(*parts, "seed=5"))]
    assert ids == ["easy-test-672-s5-00000", "easy-test-672-s5-00001"]
    with pytest.raises(ConfigError, match="no family"):
        list(make_tasks(made("tasks.kind=world", "tasks.family=reed")))
    with pytest.raises(ConfigError, match="family"):
        list(make_tasks(made("tasks.kind=world", "tasks.family=[]")))
    with pytest.raises(ConfigError, match="tasks: missing"):
        make_tasks(made())


def test_a_resolved_recipe_is_json_and_reads_back() -> None:
    recipe = made("policy.kind=openai", "policy.model=m", "environment.view.factor=14")
    again = Recipe.model_validate_json(recipe.model_dump_json())
    assert again == recipe
    assert recipe.environment.view.min_pixels == 4 * 14 * 14


@pytest.mark.parametrize("content", [b"seed = ", b"\xff\xfe", b"x" * (5 * 2**20)])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "run.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"run\.toml"):
        read_toml(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_toml(tmp_path / "none.toml")


def test_suggestions_are_near_or_none() -> None:
    assert suggestion("zoom", ["zoom_in", "rotate"]) == "; did you mean 'zoom_in'?"
    assert suggestion("xyz", ["zoom_in", "rotate"]) == ""
    with pytest.raises(ConfigError, match="built in are a, b"):
        resolve("zzz", {"a": "x:y", "b": "x:y"}, "thing")


def test_tasks_of_a_file_are_counted_and_limited(tmp_path: Path) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_text("".join(f'{{"question": "{n}"}}\n' for n in range(5)))
    every = made("tasks.kind=file", f"tasks.path={file}")
    three = made("tasks.kind=file", f"tasks.path={file}", "tasks.n=3")
    assert [len(list(make_tasks(recipe))) for recipe in (every, three)] == [5, 3]
    assert [count_tasks(recipe) for recipe in (every, three)] == [5, 3]
