"""nano_realx: the groups of RealX-Bench over drawn scenes, and its four conditions."""

from functools import cache
from pathlib import Path

import pytest
from building import a_trajectory

from saccade.bench.benchmark import Scored
from saccade.bench.sets.own.nano_realx import NanoRealX
from saccade.cli.benches.chosen import recipe_of
from saccade.errors import ConfigError
from saccade.nano.deepeyes_v2.spec import environment
from saccade.recipe import make_environment
from saccade.types import Task


@cache
def drawn() -> dict[str, Task]:
    """Family -> a question of it."""
    items = NanoRealX(items_drawn=9).items(Path())
    return {item.id.partition("-")[0]: item.make(10**8) for item in items}


def attempts(values: dict[str, float]) -> list[Scored]:
    """One attempt at a question of each family."""
    return [Scored(drawn()[name], a_trajectory(), value) for name, value in values.items()]


def test_a_question_counts_for_every_ability_that_it_takes() -> None:
    values = {
        "easy": 1.0, "read": 1.0, "lookup": 0.0, "compute": 1.0, "lookup_far": 0.0,
        "compute_far": 0.0, "lookup_compute": 1.0, "emblem": 0.0, "all": 1.0,
    }  # fmt: skip
    found = {m.group: (m.value, m.n) for m in NanoRealX().metrics(attempts(values))}
    assert found == {
        "all": (pytest.approx(5 / 9), 9),
        "perception": (0.5, 4),
        "search": (pytest.approx(2 / 5), 5),
        "reason": (0.75, 4),
        "integration": (1.0, 1),
    }


def test_every_subset_of_the_abilities_has_a_family() -> None:
    taken = {
        tuple(task.meta[ability] for ability in ("perception", "search", "reason"))
        for task in drawn().values()
    }
    assert (len(drawn()), len(taken)) == (9, 8)
    assert len({item.id for item in NanoRealX(items_drawn=18).items(Path())}) == 18


@pytest.mark.parametrize(
    ("condition", "offered"),
    [("none", ["python"]), ("text", ["text_search"]), ("all", ["text_search", "image_search"])],
)
def test_a_run_of_another_condition_is_refused(condition: str, offered: list[str]) -> None:
    NanoRealX(tools=condition).check_tools(offered)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"set bench\.tools=image"):
        NanoRealX(tools=condition).check_tools(["image_search"])  # type: ignore[arg-type]


async def test_another_number_is_wrong() -> None:
    task = Task(id="t", prompt=(), answer="4047")
    said = [(await NanoRealX().judge(task, answer)).correct for answer in ("4047", "4048")]
    assert said == [True, False]


@pytest.mark.parametrize(
    ("condition", "searches"),
    [("none", []), ("text", ["search"]), ("image", ["image_search"]),
     ("all", ["search", "image_search"])],
)  # fmt: skip
def test_where_no_policy_is_named_the_agent_has_the_searches_of_the_condition(
    condition: str, searches: list[str]
) -> None:
    recipe, _ = recipe_of("nano_realx", [f"bench.tools={condition}"], {})
    asker = make_environment(recipe)
    offered = [tool.spec.name for tool in asker.tools]
    NanoRealX(tools=condition).check_tools(offered)
    assert [name for name in offered if "search" in name] == searches
    assert (asker.fingerprint == environment().fingerprint) == (condition == "text")
