"""`saccade check recipe --probe N`: a mix of questions, played before it is trained on."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from command import here
from tables import write_parquet

from saccade.cli.checks.probe import IDLE, questions
from saccade.config import Table
from saccade.recipe import Recipe

RECIPE = Path(__file__).parents[2] / "recipes" / "nano_deepeyes.toml"


def write_rows(file: Path, *families: str) -> None:
    """Questions of these families, in this order; the gold answer is always 7."""
    rows = [
        {"id": f"{name}-{k}", "question": "?", "answer": "7", "meta": {"family": name}}
        for k, name in enumerate(families)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def played(folder: Path, families: Sequence[str], *more: str) -> tuple[int, dict, str]:
    """Exit code, JSON and errors of a probe; only questions of `near` are answered right."""
    write_rows(folder / "q.jsonl", *families)
    turns = [
        {"task": f"{name}-{k}", "turns": ["<answer>7</answer>" if name == "near" else "no"]}
        for k, name in enumerate(families)
    ]
    (folder / "script.jsonl").write_text("".join(json.dumps(row) + "\n" for row in turns))
    (folder / "run.toml").write_text(
        'out = "run"\ntasks = { kind = "file", path = "q.jsonl" }\n'
        'policy = { kind = "replay", script = "script.jsonl" }\n'
    )
    done = here("check", "recipe", "run.toml", "--probe", "2", "--json", *more, cwd=folder)
    return done.returncode, json.loads(done.stdout), done.stderr


def test_a_family_that_is_never_right_is_named(tmp_path: Path) -> None:
    """Where nothing is trained it is a warning; families are found behind many others."""
    families = ["near"] * (IDLE + 20) + ["far\x1b[2J"] * 3
    code, found, _ = played(tmp_path, families)
    assert code == 0
    probe = found["probe"]
    assert probe["never_right"] == ["far\x1b[2J"]
    near, far = probe["families"]["near"], probe["families"]["far\x1b[2J"]
    assert (near["questions"], near["scored"], near["right"]) == (2, 2, 2)
    assert (far["questions"], far["right"], far["accuracy"]) == (2, 0, 0)
    # Wilson (1927) of 0 in 2: z^2 / (n + z^2), z = 1.959964
    assert far["high"] == pytest.approx(3.841459 / 5.841459, abs=1e-6)
    states = {f["text"].split(":")[0]: f["state"] for f in found["findings"]}
    assert states["near"] == "ok"
    assert states["far\x1b[2J"] == "warning"
    shown = here("check", "recipe", "run.toml", "--probe", "2", cwd=tmp_path)
    assert "far [2J: 0 of 2 right (95 % CI 0.00-0.66), 0.00 calls a question: never right" in (
        shown.stdout
    )


def test_a_family_that_cannot_be_scored_is_not_called_hopeless(tmp_path: Path) -> None:
    (tmp_path / "unscored.py").write_text(
        "from saccade.types import Task\n"
        "from saccade.tasks import TaskSource\n"
        "class Open:\n"
        "    def tasks(self, *, seed, max_pixels):\n"
        "        yield Task(id='near-0', prompt=('?',), source='open')\n"
        "    def count(self):\n"
        "        return None\n"
    )
    code, found, errors = played(tmp_path, ["near"], 'tasks={kind="unscored:Open"}')
    assert code == 0, errors
    assert found["probe"]["never_right"] == []
    assert [f["state"] for f in found["findings"] if f["part"] == "probe"] == ["not tried"]


@pytest.mark.parametrize(
    ("guard", "code", "state"), [((), 1, "error"), (("train.drop_hopeless={}",), 0, "warning")]
)
def test_before_a_training_it_is_an_error_unless_the_rule_watches(
    tmp_path: Path, guard: tuple[str, ...], code: int, state: str
) -> None:
    """The embedded model reads a large digit, and multiplies nothing."""
    settings = ("model=nano-sft", 'tasks.family=["easy","compute"]', *guard)
    done = here("check", "recipe", str(RECIPE), "--probe", "4", "--json", *settings, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    found = json.loads(done.stdout)
    assert found["probe"]["never_right"] == ["compute"]
    assert found["probe"]["families"]["easy"]["right"] >= 1
    (wrong,) = (f for f in found["findings"] if f["text"].startswith("compute"))
    assert wrong["state"] == state
    assert "train.drop_hopeless" in wrong["text"]


def test_what_asks_no_questions_cannot_be_probed(tmp_path: Path) -> None:
    recipe = RECIPE.with_name("nano_sft.toml")
    done = here("check", "recipe", str(recipe), "--probe", "2", cwd=tmp_path)
    assert done.returncode == 2
    assert "--probe: saccade sft asks no questions" in done.stderr


def test_what_is_wrong_already_is_not_played(tmp_path: Path) -> None:
    code, found, _ = played(tmp_path, ["near"], "reward.weights.no_such=1")
    assert code == 1
    assert "probe" not in found
    assert {"part": "probe", "state": "not tried", "text": "the errors above come first"} in (
        found["findings"]
    )


def recipe_of(tasks: Table) -> Recipe:
    return Recipe.model_validate({"tasks": tasks})


def test_families_of_the_world_are_found_as_they_are_mixed() -> None:
    mix = questions(recipe_of({"kind": "world", "family": ["easy", "read0", "easy"], "n": 5}), 9)
    assert {name: len(tasks) for name, tasks in mix.families.items()} == {"easy": 3, "read0": 2}
    mix = questions(recipe_of({"kind": "world", "family": ["easy", "far"], "n": 10**9}), 2)
    assert {name: len(tasks) for name, tasks in mix.families.items()} == {"easy": 2, "far": 2}


def test_published_rows_are_looked_for_in_every_file(tmp_path: Path) -> None:
    """Columns as DeepEyesV2 publishes them; the first file alone has more rows than are drawn."""
    files = {"perception": 200, "reason": 1, "search": 3}
    for source, n in files.items():
        rows = [
            {
                "data_source": source, "prompt": [{"role": "user", "content": "What?"}],
                "reward_model": {"style": "rule", "ground_truth": "7"},
                "extra_info": {"question": "What?", "index": str(k)},
            }
            for k in range(n)
        ]  # fmt: skip
        write_parquet(tmp_path / f"{source}.parquet", *rows)
    paths = [str(tmp_path / f"{source}.parquet") for source in files]
    mix = questions(recipe_of({"kind": "parquet", "path": paths}), 2)
    counts = {name: len(tasks) for name, tasks in mix.families.items()}
    assert counts == {"perception": 2, "reason": 1, "search": 2}
    assert mix.drawn < 100
    assert mix.in_time
    first = questions(recipe_of({"kind": "parquet", "path": paths, "n": 4}), 2)
    assert set(first.families) == {"perception"}, "no more are asked"


def test_a_search_for_families_that_takes_too_long_says_so(tmp_path: Path) -> None:
    write_rows(tmp_path / "q.jsonl", *["near"] * 9, "far")
    recipe = recipe_of({"kind": "file", "path": str(tmp_path / "q.jsonl")})
    mix = questions(recipe, 2, seconds=0)
    assert not mix.in_time
    assert list(mix.families) == ["near"]
    assert list(questions(recipe, 2).families) == ["near", "far"]
