"""Searches of one turn run at the same time; what comes of them has the order of the calls."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import pytest
from building import CustomTool, a_task, plain, played
from searching import Scripted, a_result_of, found
from waiting import LIMIT_S, Clock

from saccade.dialects.native import Native
from saccade.env import Environment
from saccade.errors import ConfigError, ServiceError
from saccade.execution import all_of
from saccade.images.geometry import PixelBudget
from saccade.search.found import Query, Results
from saccade.search.requester import RequestOptions
from saccade.tools.search.image import ImageSearch
from saccade.tools.search.text import TextSearch, TextSearchOptions
from saccade.types import Action, Limits, StopReason, Tool, ToolCall, Trajectory

ONCE = RequestOptions(max_retries=0, timeout_s=10_000, deadline_s=10_000)


class Held(Scripted):
    """Each search waits until a function of the test lets it go on."""

    def __init__(self, hold: Callable[["Held", Query], Awaitable[object]]) -> None:
        super().__init__()
        self._hold = hold
        self.begun: set[str] = set()
        self.done: list[str] = []
        self.cancelled: set[str] = set()
        self.event = asyncio.Event()

    async def search(self, query: Query) -> Results:
        name = query.text or str(query.image and query.image.size)
        self.begun.add(name)
        try:
            await self._hold(self, query)
        except asyncio.CancelledError:
            self.cancelled.add(name)
            raise
        self.done.append(name)
        picture = None if query.image is None else plain(30 + len(self.done), 30)
        return found(a_result_of(f"about {name}", picture=picture))


def turn(*calls: tuple[str, Mapping[str, object]]) -> str:
    made = [ToolCall(name=name, arguments=dict(arguments)) for name, arguments in calls]  # type: ignore[arg-type]
    return Native().write(Action(calls=tuple(made)))


def texts(*queries: str) -> str:
    return turn(*[("text_search", {"query": query}) for query in queries])


async def play(
    provider: Scripted, *turns: str, tools: tuple[Tool, ...] = (), concurrency: int = 16,
    **limits: object,
) -> Trajectory:  # fmt: skip
    requests = ONCE.model_copy(update={"concurrency": concurrency})
    options = TextSearchOptions(requests=requests)
    environment = Environment(
        Native(),
        (TextSearch(options, provider=provider), ImageSearch(provider=provider), *tools),
        limits=Limits(**limits),  # type: ignore[arg-type]
        view=PixelBudget(min_pixels=1),
    )
    task = a_task(plain(300, 200), plain(150, 100), plain(90, 60))
    return await played(*turns, "7", task=task, environment=environment)


def titles(trajectory: Trajectory) -> list[str]:
    """The first hit of each result, or its error."""
    said = [result.error or str(result.content[0]) for result in trajectory.results]
    return [text.splitlines()[-1].strip().removeprefix("1. ") for text in said]


async def last_first(provider: Held, query: Query) -> None:
    """The searches end in the opposite order, and none before all have begun."""
    while len(provider.begun) < 3:
        await asyncio.sleep(0)
    while len(provider.done) < "cba".index(query.text):
        await asyncio.sleep(0)


async def test_results_have_the_order_of_the_calls_whatever_finishes_first() -> None:
    provider = Held(last_first)
    done = await play(provider, texts("a", "b", "c"))
    assert provider.done == ["c", "b", "a"]
    assert titles(done) == ["about a", "about b", "about c"]
    shown = [message.text for message in done.turns[0].observation]
    assert ["about a" in shown[0], "about b" in shown[1], "about c" in shown[2]] == [True] * 3


async def test_pictures_have_the_order_of_the_calls_whatever_finishes_first() -> None:
    async def smallest_first(provider: Held, query: Query) -> None:
        assert query.image is not None
        while len(provider.done) < [90, 150, 300].index(query.image.size.width):
            await asyncio.sleep(0)

    provider = Held(smallest_first)
    calls = [("image_search", {"image": f"image_{n}"}) for n in (1, 2, 3)]
    done = await play(provider, turn(*calls))
    assert provider.done == ["90x60", "150x100", "300x200"]
    sizes = [image.source.size.width for image in done.images[3:]]
    assert sizes == [33, 32, 31], "the first call was answered last"
    returned = [part for result in done.results for part in result.content]
    assert [p for p in returned if not isinstance(p, str)] == list(done.images[3:])


async def test_a_failing_one_ends_the_others_and_aborts() -> None:
    async def fails(provider: Held, query: Query) -> None:
        while len(provider.begun) < 3:
            await asyncio.sleep(0)
        if query.text == "b":
            raise ServiceError("down")
        await asyncio.sleep(LIMIT_S)

    provider = Held(fails)
    done = await play(provider, texts("a", "b", "c"))
    assert (done.stop, done.error) == (StopReason.ABORTED, "ServiceError: down")
    assert (done.turns, done.score) == ((), None)
    assert provider.cancelled == {"a", "c"}


async def test_a_mistake_of_the_model_in_one_leaves_the_others() -> None:
    done = await play(Held(lambda provider, query: asyncio.sleep(0)), texts("a", "", "c"))
    first, second, third = titles(done)
    assert (first, third) == ("about a", "about c")
    assert second.startswith("text_search: query must be text with words")
    assert done.stop is StopReason.ANSWER


async def test_the_same_search_twice_in_a_turn_is_made_once() -> None:
    provider = Scripted(lambda query: found(a_result_of(f"about {query.text}")))
    done = await play(provider, texts("a", "A "))
    assert len(provider.asked) == 1
    assert "before; its results are above" in str(done.results[1].content[0])


async def test_an_episode_that_runs_out_of_time_leaves_nothing_running() -> None:
    clock = Clock()

    async def late(provider: Held, query: Query) -> None:
        if len(provider.begun) == 2:
            clock.forward(601)
        await asyncio.sleep(LIMIT_S)

    provider = Held(late)
    before = asyncio.all_tasks()
    done = await play(provider, texts("a", "b"), max_seconds=600)
    assert done.stop is StopReason.TIMEOUT
    assert provider.cancelled == {"a", "b"}
    assert asyncio.all_tasks() == before


async def test_a_slow_search_keeps_only_its_own_place() -> None:
    """Two may be under way: while one is slow the others go through the other place in turn."""

    async def one_is_slow(provider: Held, query: Query) -> None:
        while query.text == "slow" and len(provider.done) < 6:
            await asyncio.sleep(0)

    provider = Held(one_is_slow)
    done = await play(provider, texts("slow", *"abcdef"), concurrency=2)
    assert provider.done == [*"abcdef", "slow"]
    assert titles(done)[0] == "about slow"


async def test_what_is_not_side_by_side_keeps_its_place_between_searches() -> None:
    log: list[str] = []

    class Logged(Held):
        async def search(self, query: Query) -> Results:
            log.append(f"begin {query.text}")
            results = await super().search(query)
            log.append(f"end {query.text}")
            return results

    provider = Logged(lambda provider, query: asyncio.sleep(0))
    tool = CustomTool(lambda: log.append("custom"))
    calls = [("text_search", {"query": q}) for q in "ab"]
    done = await play(
        provider, turn(*calls, ("custom", {}), ("text_search", {"query": "c"})), tools=(tool,)
    )
    assert log == ["begin a", "begin b", "end a", "end b", "custom", "begin c", "end c"]
    assert [result.call.name for result in done.results] == [
        "text_search", "text_search", "custom", "text_search",
    ]  # fmt: skip


async def test_tools_that_say_nothing_run_one_after_the_other() -> None:
    under_way, most = 0, 0

    async def run() -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1

    tool = CustomTool(run)
    await play(Scripted(), turn(("custom", {}), ("custom", {})), tools=(tool,))
    assert most == 1
    tool.side_by_side = True  # type: ignore[attr-defined]
    await play(Scripted(), turn(("custom", {}), ("custom", {})), tools=(tool,))
    assert most == 2


async def test_a_wrong_set_up_is_not_swallowed_by_the_others() -> None:
    async def fails(provider: Held, query: Query) -> None:
        if query.text == "b":
            raise ConfigError("no key")
        await asyncio.sleep(LIMIT_S)

    provider = Held(fails)
    with pytest.raises(ConfigError, match="no key"):
        await play(provider, texts("a", "b"))
    assert provider.cancelled == {"a"}


async def test_of_two_that_fail_the_first_counts() -> None:
    async def fail(name: str) -> str:
        raise ServiceError(name)

    with pytest.raises(ServiceError, match="one"):
        await all_of([fail("one"), fail("two")])
    assert await all_of([asyncio.sleep(0, n) for n in range(3)]) == [0, 1, 2]
    assert await all_of([]) == []
