"""How a provider is asked, on a clock that jumps: no test waits."""

import asyncio
import math
import selectors
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from searching import Answer, Scripted

from saccade.client.failures import Retry
from saccade.errors import (
    BudgetExceeded,
    ConfigError,
    PluginError,
    ServiceError,
    ServiceRefused,
    ServiceTimeout,
    ToolError,
)
from saccade.search.found import Query, Results
from saccade.search.requester import MAX_RETRY_AFTER_S, Requester, RequestOptions

T = TypeVar("T")
WORDS = Query("text", "words")
DOWN = ServiceError("scripted: down")


class Jumping(selectors.DefaultSelector):
    """Instead of waiting for a time it lets it pass."""

    ahead = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "all wait for each other"
        self.ahead += timeout
        return super().select(0)


class Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.jumping = Jumping()
        super().__init__(self.jumping)

    def time(self) -> float:
        return self.jumping.ahead


def run(play: Callable[[], Coroutine[Any, Any, T]]) -> T:
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(play())


def now() -> float:
    return asyncio.get_running_loop().time()


class Timed(Scripted):
    """Gives its answers in the order in which it is asked, the last one for ever; notes when."""

    def __init__(self, *answers: Answer, seconds: float = 0.0) -> None:
        super().__init__(seconds=seconds)
        self._turns = iter(answers)
        self._last: Answer = Results()
        self.at: list[tuple[float, str]] = []

    async def search(self, query: Query) -> Results:
        self.at.append((now(), query.task_id))
        answer = self._last = next(self._turns, self._last)
        await super().search(query)
        if isinstance(answer, Exception):
            raise answer
        return answer


def requester(provider: Scripted, **options: object) -> Requester:
    return Requester(provider, RequestOptions.model_validate(options))


async def outcomes(of: Requester, number: int) -> list[Results | BaseException]:
    searches = (of.search(WORDS._replace(task_id=str(n))) for n in range(number))
    return await asyncio.gather(*searches, return_exceptions=True)


def test_a_failure_is_tried_again_with_growing_pauses() -> None:
    provider = Timed(DOWN, DOWN, DOWN, Results())
    assert run(lambda: requester(provider, backoff_s=1).search(WORDS)) == Results()
    times = [at for at, _ in provider.at]
    pauses = [b - a for a, b in pairwise(times)]
    for pause, most in zip(pauses, (1, 2, 4), strict=True):
        assert most / 2 <= pause <= most


def test_after_the_last_retry_the_failure_itself_is_raised() -> None:
    provider = Timed(DOWN)
    with pytest.raises(ServiceError, match=r"^scripted: down$") as caught:
        run(lambda: requester(provider, max_retries=2).search(WORDS))
    assert caught.value is DOWN
    assert len(provider.at) == 3


@pytest.mark.parametrize(
    ("asked", "least"), [(7.0, 7.0), (1e9, MAX_RETRY_AFTER_S), (-1.0, 0.0), (math.nan, 0.0)]
)
def test_what_the_provider_asks_to_wait_is_waited_up_to_a_bound(asked: float, least: float) -> None:
    provider = Timed(Retry(DOWN, asked), Results())
    run(lambda: requester(provider, backoff_s=1).search(WORDS))
    (_, first), (second, _) = (0.0, provider.at[0][0]), provider.at[1]
    assert least + 0.5 <= second - first <= least + 1


def test_those_that_were_told_to_wait_alike_do_not_come_back_at_once() -> None:
    provider = Timed(*[Retry(DOWN, 5.0)] * 8, Results())
    run(lambda: outcomes(requester(provider, backoff_s=1), 8))
    again = [at for at, _ in provider.at[8:16]]
    assert max(again) - min(again) > 0.01


@pytest.mark.parametrize(
    "error",
    [ConfigError("no key"), ToolError("too long"), ServiceRefused("used up"), BudgetExceeded("b")],
)
def test_what_would_fail_again_is_raised_at_once(error: Exception) -> None:
    provider = Timed(error)
    with pytest.raises(type(error)) as caught:
        run(lambda: requester(provider).search(WORDS))
    assert caught.value is error
    assert len(provider.at) == 1


class Broken(Scripted):
    async def search(self, query: Query) -> Results:
        return {}["hits"]  # type: ignore[no-any-return]

    start = close = search  # type: ignore[assignment]


class Silent(Scripted):
    async def search(self, query: Query) -> Results:
        return None  # type: ignore[return-value]


def test_a_mistake_of_a_provider_is_told_with_its_line_and_not_repeated() -> None:
    with pytest.raises(PluginError, match=r"provider scripted: KeyError.*test_requester\.py:\d+"):
        run(lambda: requester(Broken()).search(WORDS))
    with pytest.raises(PluginError, match="expected Results of a search, got NoneType"):
        run(lambda: requester(Silent()).search(WORDS))
    for step in ("start", "close"):
        with pytest.raises(PluginError, match="provider scripted: TypeError"):
            run(getattr(requester(Broken()), step))


def test_one_attempt_and_all_of_them_are_bounded_in_time() -> None:
    slow = Timed(seconds=1e6)
    with pytest.raises(ServiceTimeout, match=r"^scripted: no results within 2 s$"):
        run(lambda: requester(slow, timeout_s=2, max_retries=1, deadline_s=1e9).search(WORDS))
    assert len(slow.at) == 2
    late = r"within 5 s and all its attempts; the last failure: scripted: no results within 2 s"
    with pytest.raises(ServiceTimeout, match=late):
        run(lambda: requester(Timed(seconds=1e6), timeout_s=2, deadline_s=5).search(WORDS))


def test_only_so_many_are_under_way() -> None:
    provider = Timed(seconds=1)
    run(lambda: outcomes(requester(provider, concurrency=3), 10))
    assert provider.most == 3


def test_attempts_begin_in_turn_and_not_faster_than_allowed() -> None:
    provider = Timed(Retry(DOWN), Results())
    run(lambda: outcomes(requester(provider, per_second=4, backoff_s=0.01), 12))
    times = [at for at, _ in provider.at]
    assert len(times) == 13
    assert all(b - a >= 0.25 - 1e-9 for a, b in pairwise(times))
    assert times[-1] == pytest.approx(3.0)  # and not slower
    first = [name for _, name in provider.at[:12]]
    assert first == [str(n) for n in range(12)]


def test_who_stops_waiting_takes_nobodys_turn_and_no_money() -> None:
    provider = Timed()

    async def play() -> None:
        asking = requester(provider, per_second=1, concurrency=200, price=1, budget=200)
        await asking.search(WORDS)
        waiting = [asyncio.create_task(asking.search(WORDS)) for _ in range(100)]
        await asyncio.sleep(0.5)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert asking.spent == 1
        await asking.search(WORDS)
        assert now() == pytest.approx(1.0)

    run(play)


@given(
    price=st.floats(0.001, 10), affordable=st.integers(0, 12), asked=st.integers(1, 20),
    concurrency=st.integers(1, 8), fails=st.lists(st.sampled_from("okr"), max_size=20),
)  # fmt: skip
@settings(max_examples=8)
def test_a_budget_is_spent_to_the_last_search_and_never_exceeded(
    price: float, affordable: int, asked: int, concurrency: int, fails: list[str]
) -> None:
    """`o`: answered, `k`: answer lost (paid), `r`: connection refused (not paid)."""
    kinds = {"o": Results(), "k": DOWN, "r": Retry(DOWN, sent=False)}
    answers = [kinds[letter] for letter in fails] + [Results()]
    provider = Timed(*answers, seconds=0.1)
    budget = price * affordable or price / 2

    async def play() -> float:
        asking = requester(provider, price=price, budget=budget, concurrency=concurrency,
                         backoff_s=0.001, deadline_s=1e9, max_retries=50)  # fmt: skip
        done = await outcomes(asking, asked)
        assert all(isinstance(each, Results | BudgetExceeded) for each in done)
        return asking.spent

    spent = run(play)
    made = [answers[min(n, len(answers) - 1)] for n in range(len(provider.at))]
    paid = sum(not isinstance(each, Retry) for each in made)
    assert spent == pytest.approx(paid * price)
    assert paid <= affordable
    if paid < affordable:  # nobody was sent away while there was money
        assert paid == asked + sum(each is DOWN for each in made)


def test_money_is_set_aside_before_an_attempt() -> None:
    provider = Timed(seconds=1)
    done = run(lambda: outcomes(requester(provider, price=0.1, budget=0.3), 5))
    assert [isinstance(each, BudgetExceeded) for each in done] == [False] * 3 + [True] * 2
    assert "0.3000 of 0.3 is spent and the next search costs 0.1; raise budget" in str(done[-1])
    assert len(provider.at) == 3


@pytest.mark.parametrize(
    ("answer", "spent"), [(ToolError("too long"), 0), (ServiceRefused("no"), 1), (Results(), 1)]
)
def test_what_was_never_sent_costs_nothing(answer: Answer, spent: int) -> None:
    async def play() -> float:
        asking = requester(Timed(answer), price=1)
        await outcomes(asking, 1)
        return asking.spent

    assert run(play) == spent


def test_several_event_loops_in_turn_are_no_difference() -> None:
    provider = Timed(seconds=0.1)
    asking = requester(provider, concurrency=1, per_second=1000)
    for _ in range(3):  # nothing is closed between them: whoever crashed does not
        assert len(run(lambda: outcomes(asking, 4))) == 4
        run(asking.close)
    assert len(provider.at) == 12


def test_a_budget_without_a_price_is_refused() -> None:
    with pytest.raises(ValidationError, match="budget needs price"):
        RequestOptions(budget=1)
