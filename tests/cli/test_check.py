"""`saccade check recipe` without a model: which kind a run file is of, and what it lacks here."""

import json
from pathlib import Path

import pytest
from command import here

from saccade.cli.checks.examine import Examination, examine_parts
from saccade.cli.checks.kinds import KINDS, kind_of, read_as
from saccade.config import Table, read_toml, with_overrides
from saccade.embedded import with_folders
from saccade.errors import ConfigError

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))
NOT_HERE = {"deepeyes_7b": ["tasks"], "deepeyes_v2_demos": ["tasks"],
            "deepeyes_v2_rl": ["environment", "tasks"], "deepeyes_v2_sft": ["runs"],
            "nano_sft": ["runs"], "nano_sft_v2": ["runs"], "world_compute": ["policy"],
            "ossa_mnist": ["data"], "ossa_cifar10": ["data"],
            "world_read": ["policy"]}  # fmt: skip
"""Recipe -> what is not here: published rows, images, demonstrations, the user's model."""


def examined(table: Table) -> Examination:
    kind, found = kind_of(table, "run.toml"), Examination()
    examine_parts(kind, read_as(kind, with_folders(table)), found)
    return found


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_of_ours_lacks_nothing_but_what_is_not_here(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = read_toml(path)
    verb = kind_of(table, path.name).verb.split()[0]
    assert path.read_text().startswith(f"# saccade {verb} recipes/{path.name}")
    found = examined(table)
    wrong = [finding.part for finding in found.findings if finding.state == "error"]
    assert wrong == NOT_HERE.get(path.stem, []), found.findings


def test_every_kind_is_told_by_each_of_its_marks() -> None:
    for kind in KINDS:
        for mark in kind.marks:
            assert kind_of(dict.fromkeys(mark.split("+")), "x") == kind


def test_a_run_file_of_no_kind_is_refused_with_what_may_be_meant() -> None:
    with pytest.raises(ConfigError, match=r"x\.toml: no key .*did you mean 'policy'"):
        kind_of({"polcy": {}, "out": "x"}, "x.toml")


@pytest.mark.parametrize(
    ("stem", "setting", "part", "says"),
    [
        ("nano_curate", 'curate.terms=["utilty"]', "curate.terms", "did you mean 'utility'"),
        ("nano_deepeyes", "reward.weights.call=1", "reward", "did you mean 'calls'"),
        ("nano_demos", "tools.zoomin={}", "environment", "did you mean 'zoom_in'"),
        ("agent_attack", "policy.pth=x", "policy", "did you mean 'path'"),
        ("nano_demos", "tasks.family=reed", "tasks", "no family 'reed'"),
    ],
)
def test_a_part_says_what_the_command_would_say_and_the_others_are_looked_at(
    stem: str, setting: str, part: str, says: str
) -> None:
    table = read_toml(RECIPES[0].parent / f"{stem}.toml")
    found = examined(with_overrides(table, [setting]))
    (wrong,) = (finding for finding in found.findings if finding.state == "error")
    assert wrong.part == part
    assert says in wrong.text
    assert {"environment", "reward", "tasks"} <= {finding.part for finding in found.findings}


def test_a_folder_that_holds_another_run_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from saccade.recipe import Recipe
    from saccade.runs.manifest import keep_manifest, manifest_of

    table: Table = {"tasks": {"kind": "world"}, "policy": {"kind": "reader"}, "out": str(tmp_path)}
    keep_manifest(tmp_path, manifest_of("rollout", Recipe.model_validate({**table, "seed": 1})))
    found = examined(table)
    (wrong,) = (finding for finding in found.findings if finding.state == "error")
    assert wrong.part == "out"
    assert "seed: 1 -> 0" in wrong.text


def test_what_others_wrote_reaches_the_terminal_as_text(tmp_path: Path) -> None:
    name = "\x1b[2J\u202eq"
    row = {"id": name, "question": "?"}
    turns = {"task": name, "turns": ["<answer>7</answer>"]}
    (tmp_path / "q.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "script.jsonl").write_text(json.dumps(turns) + "\n")
    (tmp_path / "run.toml").write_text(
        'out = "run"\ntasks = { kind = "file", path = "q.jsonl" }\n'
        'policy = { kind = "replay", script = "script.jsonl" }\n'
    )
    checked = here("check", "recipe", "run.toml", cwd=tmp_path)
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "\\u001b[2J\\u202eq": "x"}\n')
    for done, code in ((checked, 0), (here("report", str(tmp_path)), 1)):
        assert done.returncode == code, done
        assert "[2J q" in done.stdout + done.stderr
        assert not set("\x1b\u202e") & set(done.stdout + done.stderr)
