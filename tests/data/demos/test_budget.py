"""Caps hold whatever the concurrency, the order of replies, and the moment of a kill."""

import asyncio
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.data.demos.budget import SPENT, Meter, Usage
from saccade.data.demos.recipe import Caps
from saccade.errors import BudgetExceeded, FormatError

BOUND = Usage(tokens_in=60, tokens_out=40, money=1.0)


async def play(meter: Meter, episodes: int, *, seed: int, most: float = 1.0) -> tuple[int, int]:
    """Episodes of three requests each, all at once; how many ended whole, and in the middle."""
    rng, ended = random.Random(seed), [0, 0]

    async def episode(number: int) -> None:
        key = (f"q{number}", 0)
        async with meter.episode(key) as admitted:
            if not admitted:
                return
            try:
                for _ in range(3):
                    async with meter.request("t", key, BOUND) as bill:
                        for _ in range(rng.randrange(4)):
                            await asyncio.sleep(0)
                        share = rng.uniform(0, most)
                        tokens = int(60 * share), int(40 * share)
                        bill.used = Usage(*tokens, money=share)
            except BudgetExceeded:
                ended[1] += 1
                return
            meter.count_finished()
            ended[0] += 1

    await asyncio.gather(*(episode(number) for number in range(episodes)))
    return ended[0], ended[1]


def spent(meter: Meter) -> tuple[int, float]:
    return meter.used.tokens, meter.used.money


@given(seed=st.integers(0, 2**16), cap=st.integers(1, 40), tokens=st.booleans())
@settings(max_examples=40, deadline=None)
def test_no_cap_is_ever_passed_and_a_larger_one_lets_it_go_on(
    tmp_path_factory: pytest.TempPathFactory, seed: int, cap: int, tokens: bool
) -> None:
    folder = tmp_path_factory.mktemp("meter")
    caps = Caps(tokens=100 * cap) if tokens else Caps(money=cap)
    meter = Meter(folder, caps)
    whole, _ = asyncio.run(play(meter, 20, seed=seed))
    used = spent(meter)
    meter.close()
    assert used[0] <= 100 * cap if tokens else used[1] <= cap + 1e-6
    assert whole == 20 or meter.reached.startswith("caps.tokens" if tokens else "caps.money")
    again = Meter(folder, Caps(), finished=whole)
    assert spent(again) == (used[0], pytest.approx(used[1]))
    assert asyncio.run(play(again, 5, seed=seed))[0] == 5
    again.close()


def test_without_bounds_a_cap_would_be_passed(tmp_path: Path) -> None:
    """What holds the cap is the most that a request can use, known before it is sent."""
    meter = Meter(tmp_path, Caps(money=2.0))

    async def unbound() -> None:
        async def ask(number: int) -> None:
            async with meter.request("t", (f"q{number}", 0), Usage()) as bill:
                await asyncio.sleep(0)
                bill.used = BOUND

        await asyncio.gather(*map(ask, range(5)))

    asyncio.run(unbound())
    meter.close()
    assert meter.used.money == 5.0


def test_a_number_of_episodes_is_not_passed_by_those_that_are_under_way(tmp_path: Path) -> None:
    meter = Meter(tmp_path, Caps(episodes=7), finished=2)
    assert asyncio.run(play(meter, 20, seed=0)) == (5, 0)
    assert meter.reached == "caps.episodes: 7 are finished; raise it to go on"
    meter.close()


def test_a_request_without_a_reply_is_not_counted(tmp_path: Path) -> None:
    meter = Meter(tmp_path, Caps(money=1.0))

    async def fail() -> None:
        with pytest.raises(ConnectionError):
            async with meter.request("t", ("q", 0), BOUND):
                raise ConnectionError
        async with meter.request("t", ("q", 0), BOUND) as bill:
            bill.used = BOUND

    asyncio.run(fail())
    meter.close()
    assert spent(meter) == (100, 1.0)


@pytest.mark.parametrize("line", ["{}", "no json", '{"teacher": "t"}'])
def test_a_line_of_another_kind_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / SPENT).write_text(line + "\n")
    with pytest.raises(FormatError, match=rf"{SPENT}:1: no line of ours"):
        Meter(tmp_path, Caps())
