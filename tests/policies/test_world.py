"""The rule of the world: solves its questions through the real tools, and by them alone."""

import asyncio
import re
from collections.abc import Sequence
from typing import cast

import pytest
from unhurried import UNHURRIED

from saccade.config import Part
from saccade.dialects.base import Dialect
from saccade.dialects.deepeyes import DeepEyes
from saccade.dialects.deepeyes_v2 import DeepEyesV2
from saccade.dialects.native import Native
from saccade.env import Environment
from saccade.errors import ConfigError
from saccade.images.geometry import PixelBudget
from saccade.policies.world.policy import WorldPolicy
from saccade.rollout import rollout
from saccade.sandbox import SandboxOptions
from saccade.search.found import found_in
from saccade.tools.python import Python, PythonOptions
from saccade.tools.search.image import ImageSearch, ImageSearchOptions
from saccade.tools.search.text import TextSearch, TextSearchOptions
from saccade.tools.zoom import ZoomIn
from saccade.types import Limits, Task, Tool, Trajectory
from saccade.world import tasks

VIEW = PixelBudget(factor=14, max_pixels=56 * 56)
CROP = PixelBudget(factor=14, min_pixels=400, max_pixels=800)
LIBRARY = Part(kind="saccade.world.library:Library")


def zoom() -> ZoomIn:
    return ZoomIn(square=True, small="enlarge", min_side=24)


def text() -> TextSearch:
    return TextSearch(TextSearchOptions(provider=LIBRARY))


def image() -> ImageSearch:
    return ImageSearch(ImageSearchOptions(provider=LIBRARY))


def python() -> Python:
    return Python(PythonOptions(sandbox=SandboxOptions(limits=UNHURRIED)))


def attempted(
    asked: Sequence[Task], *tools: Tool, dialect: Dialect | None = None, max_turns: int = 9
) -> list[Trajectory]:
    environment = Environment(
        dialect or DeepEyesV2(), tools, view=VIEW, observation=CROP,
        limits=Limits(max_turns=max_turns),
    )  # fmt: skip

    async def all_of_them() -> list[Trajectory]:
        policy = WorldPolicy()
        done = [await rollout(policy, environment, task) for task in asked]
        await environment.close()
        return done

    done = asyncio.run(all_of_them())
    assert [t.error for t in done] == [None] * len(done)
    return done


def calls(trajectory: Trajectory) -> list[str]:
    return [result.call.name for result in trajectory.results]


def right(asked: Sequence[Task], done: Sequence[Trajectory]) -> list[bool]:
    return [t.answer == task.answer for task, t in zip(asked, done, strict=True)]


LOOK, SEARCH, LIKE, RUN = "image_zoom_in_tool", "text_search", "image_search", "python"


def test_it_looks_searches_and_computes() -> None:
    asked = [*tasks("all", n=1, seed=1), *tasks("lookup_far", n=1, seed=1)]
    done = attempted(asked, zoom(), text(), python())
    assert all(right(asked, done))
    for task, trajectory in zip(asked, done, strict=True):
        look, *more = calls(trajectory)
        searches = [name for name in more if name == SEARCH]
        assert (look, more) == (LOOK, [*searches, *[RUN] * (task.family == "integration")])
        # The results of the first search may tell the second fact as well.
        facts = cast(list[dict[str, str]], task.meta["facts"])
        assert 1 <= len(searches) <= len(facts)
        shown = {
            hit.document
            for result in trajectory.results
            if (search := found_in(result.data))
            for hit in search.hits
        }
        assert {fact["document"] for fact in facts} <= shown


def test_an_emblem_is_named_by_image_search_and_by_nothing_else() -> None:
    asked = list(tasks("emblem", n=2, seed=1))
    assert all(right(asked, done := attempted(asked, image(), text())))
    assert [calls(t) for t in done] == [[LIKE, SEARCH]] * 2
    for tools in ([image()], [text()]):
        assert not any(right(asked, attempted(asked, *tools)))


@pytest.mark.parametrize(
    ("family", "left"),
    [("lookup", []), ("all", [LOOK]), ("lookup_compute", [SEARCH]), ("compute", [])],
)
def test_without_the_tool_that_a_question_needs_it_guesses(family: str, left: list[str]) -> None:
    makers = {LOOK: zoom, SEARCH: text}
    asked = list(tasks(family, n=2, seed=2))
    done = attempted(asked, *(makers[name]() for name in left))
    assert not any(right(asked, done))
    assert all(set(calls(t)) == set(left) for t in done)
    assert all(t.answer and "I guess" in t.turns[-1].completion.text for t in done)


def test_without_a_look_it_takes_one_thing_for_another() -> None:
    asked = list(tasks("lookup_far", n=2, seed=2))
    assert not any(right(asked, attempted(asked, text())))


def test_what_it_answers_comes_from_what_it_was_shown() -> None:
    """Documents that say something else are believed: the truth is nowhere asked for."""
    from saccade.world import library

    (task,) = tasks("lookup", n=1, seed=1)
    told = int(task.answer or 0)
    lie = 10 + (told + 7) % 90

    class Liar(library.Library):
        async def search(self, query):  # type: ignore[no-untyped-def]
            results = await super().search(query)
            return results._replace(
                results=tuple(
                    r._replace(
                        hit=r.hit.model_copy(
                            update={"snippet": re.sub(rf"\b{told}\b", str(lie), r.hit.snippet)}
                        )
                    )
                    for r in results.results
                )
            )

    tool = text()
    tool._requester.provider = Liar()
    (trajectory,) = attempted([task], tool)
    assert trajectory.answer == str(lie)


@pytest.mark.parametrize("dialect", [DeepEyes(), Native()], ids=lambda d: d.name)
def test_it_writes_in_the_dialect_of_the_run(dialect: Dialect) -> None:
    asked = list(tasks("lookup_far", n=1, seed=1))
    done = attempted(asked, zoom(), text(), dialect=dialect)
    assert right(asked, done) == [True]
    assert not any(turn.action.problems for turn in done[0].turns)


def test_it_answers_in_its_last_turn() -> None:
    (trajectory,) = attempted(list(tasks("all", n=1, seed=1)), zoom(), text(), max_turns=2)
    assert trajectory.answer
    assert calls(trajectory) == [LOOK]


def test_questions_that_it_does_not_know_are_refused() -> None:
    asked = list(tasks("relation", n=1))
    with pytest.raises(ConfigError, match=r"knows the families read, .*lookup"):
        attempted(asked, zoom())
