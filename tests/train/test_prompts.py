"""Which prompts a step samples."""

from collections import Counter
from pathlib import Path

import pytest

from saccade.errors import ConfigError
from saccade.formats.tasks import write_tasks
from saccade.recipe import Recipe
from saccade.train.prompts import PromptStream
from saccade.types import Task


def recipe_of(folder: Path, n: int) -> Recipe:
    tasks = [Task(id=str(number), prompt=("?",), answer="1") for number in range(n)]
    path = write_tasks(tasks, folder)
    return Recipe.model_validate({"tasks": {"kind": "file", "path": str(path)}})


def taken(stream: PromptStream, start: int, count: int) -> list[tuple[str, int]]:
    return [(prompt.task.id, prompt.epoch) for prompt in stream.take(start, count)]


def test_tasks_come_in_order_and_again(tmp_path: Path) -> None:
    stream = PromptStream(recipe_of(tmp_path, 3))
    assert taken(stream, 0, 2) == [("0", 0), ("1", 0)]
    assert taken(stream, 2, 3) == [("2", 0), ("0", 1), ("1", 1)]


@pytest.mark.parametrize("window", [0, 4])
def test_a_step_samples_the_same_whatever_came_before(tmp_path: Path, window: int) -> None:
    recipe = recipe_of(tmp_path, 10)
    whole = taken(PromptStream(recipe, window), 0, 30)
    stream = PromptStream(recipe, window)
    for start in (12, 4, 4, 27):
        assert taken(stream, start, 3) == whole[start : start + 3]


def test_a_window_mixes_and_loses_none(tmp_path: Path) -> None:
    whole = taken(PromptStream(recipe_of(tmp_path, 10), 4), 0, 20)
    first, second = whole[:10], whole[10:]
    assert Counter(name for name, _ in first) == Counter(map(str, range(10)))
    assert {epoch for _, epoch in first} == {0}
    assert [name for name, _ in first] != [name for name, _ in second]
    for place, (name, _) in enumerate(first):
        assert int(name) <= place + 4


def test_no_task_at_all_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_text("\n")
    recipe = Recipe.model_validate({"tasks": {"kind": "file", "path": str(path)}})
    with pytest.raises(ConfigError, match="none to train on"):
        PromptStream(recipe).take(0, 1)
