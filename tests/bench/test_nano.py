"""nano: drawn scenes, of which a digit of `read` is in the crop alone."""

import asyncio
from pathlib import Path

import pytest

from saccade.bench.disk import IN_THE_PACKAGE, found_on_disk
from saccade.bench.sets.own.nano import SEED, Nano
from saccade.bench.source import BenchTasks
from saccade.config import Part
from saccade.errors import ConfigError
from saccade.types import Task


def test_items_are_known_before_a_scene_is_drawn() -> None:
    items = list(Nano().items(Path()))
    assert len({item.id for item in items}) == len(items) == Nano.about.items
    assert {item.id.partition("-")[0] for item in items} == {"read", "easy"}
    task = items[1].make(10**8)
    assert (task.id, task.family, len(task.boxes)) == (items[1].id, "easy", 1)
    assert task.meta["seed"] == SEED


def test_it_is_in_the_package_and_drawn_by_seed() -> None:
    assert found_on_disk(Nano) == IN_THE_PACKAGE
    source = BenchTasks(benchmark=Part(kind="nano"), n=6)
    assert source.ids(0) != source.ids(1)
    assert set(source.ids(0)) < set(source.model_copy(update={"n": 12}).ids(0))


@pytest.mark.parametrize(("answer", "right"), [("7", True), ("8", False), ("seven?", False)])
def test_another_text_than_the_digit_is_wrong(answer: str, right: bool) -> None:
    verdict = asyncio.run(Nano().judge(Task(id="t", prompt=(), answer="7"), answer))
    assert verdict.correct is right


def test_a_family_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigError, match=r"reed.*did you mean 'read'"):
        next(Nano(families=("reed",)).items(Path()))
