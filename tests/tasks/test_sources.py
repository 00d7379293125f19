"""Where tasks come from: what a run file can name, and a source of the user's own."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from saccade.config import validate
from saccade.errors import ConfigError, FormatError
from saccade.recipe import Recipe, count_tasks, make_tasks
from saccade.runs.preflight import preflight
from saccade.tasks import BUILT_IN
from saccade.tasks.files import FileTasks
from saccade.types import Record, Task


class Sums(Record):
    """A source of the user's own."""

    n: int = 2

    def tasks(self, *, seed: int, max_pixels: int) -> Iterator[Task]:
        for k in range(self.n):
            answer = str(k + seed)
            yield Task(id=f"sum-{k}-{max_pixels}", prompt=(f"{k} + {seed}?",), answer=answer)

    def count(self) -> int:
        return self.n


class Twice(Sums):
    """Another one, which gives a question twice."""

    def tasks(self, *, seed: int, max_pixels: int) -> Iterator[Task]:
        yield from [Task(id="same", prompt=("?",))] * 2


def recipe(seed: int = 0, **tasks: object) -> Recipe:
    return validate(Recipe, {"seed": seed, "max_image_pixels": 9, "tasks": tasks})


def test_a_source_of_the_users_own_gets_the_seed_and_its_options() -> None:
    own = recipe(seed=5, kind=f"{__name__}:Sums", n=3)
    assert [(task.id, task.answer) for task in make_tasks(own)] == [
        ("sum-0-9", "5"), ("sum-1-9", "6"), ("sum-2-9", "7"),
    ]  # fmt: skip
    assert count_tasks(own) == 3
    with pytest.raises(ConfigError, match=r"tasks\.m: unknown key"):
        make_tasks(recipe(kind=f"{__name__}:Sums", m=3))


def test_an_unknown_source_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="there is no 'parkett'; did you mean 'parquet'"):
        make_tasks(recipe(kind="parkett"))
    assert set(BUILT_IN) == {"world", "file", "parquet"}


def test_two_questions_of_one_id_are_refused_in_every_source(tmp_path: Path) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_text('{"id": "a", "question": "q"}\n\n{"id": "a", "question": "r"}\n')
    listed = {"kind": "file", "path": str(file)}
    for check in (lambda r: preflight(r, scored=False), lambda r: next(make_tasks(r))):
        with pytest.raises(FormatError, match=f"{file}:3: the id 'a' is that of {file}:1 already"):
            check(Recipe.model_validate({"tasks": listed}))
    assert len(list(make_tasks(Recipe.model_validate({"tasks": {**listed, "n": 1}})))) == 1
    with pytest.raises(ConfigError, match="two questions are called 'same', number 1 and number 2"):
        list(make_tasks(recipe(kind=f"{__name__}:Twice")))


def test_no_two_questions_of_the_world_have_one_id() -> None:
    family = ["read", "easy", "read"]
    ids = [task.id for task in make_tasks(recipe(kind="world", family=family, n=9))]
    assert len(set(ids)) == 9


def test_families_of_the_world_take_turns() -> None:
    ids = [task.id for task in make_tasks(recipe(kind="world", family=["read", "easy"], n=3))]
    assert [name.split("-")[0] for name in ids] == ["read", "easy", "read"]
    assert ids == [t.id for t in make_tasks(recipe(kind="world", family=["read", "easy"], n=3))]
    assert set(ids).isdisjoint(
        task.id for task in make_tasks(recipe(1, kind="world", family=["read", "easy"], n=3))
    )


def test_what_no_question_can_have_is_told_with_its_line_before_the_run(tmp_path: Path) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_text(json.dumps({"question": "q", "choices": [*map(str, range(27))]}))
    with pytest.raises(FormatError, match=r"tasks\.jsonl:1: choices: .* at most 26"):
        list(FileTasks(path=file).outlines())
