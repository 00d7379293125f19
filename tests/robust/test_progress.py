"""How long a run is expected to take, on a clock that the test moves."""

import pytest

from saccade.robust.progress import Timetable, duration


class Stopwatch:
    """A clock."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_parts_took_corrects_what_was_guessed() -> None:
    told: list[tuple[str, int]] = []
    clock = Stopwatch()
    plan = Timetable(
        {"fast": 100, "slow": 300}, 3, lambda *step: told.append(step[:2]), clock=clock
    )
    assert plan.left_s == 1200
    assert plan.announcement == "expected to take 20 min for 3 nets, by what was timed so far"
    plan.begin_round()
    with plan.part("net 0: fast", "fast"):
        clock.now += 10  # a tenth of the guess, in this net and the others
    assert plan.left_s == 10 * 2 + 300 * 3
    for _ in range(2):
        with plan.part("net 0: slow", "slow", 1 / 2):
            clock.now += 245
    assert plan.left_s == 10 * 2 + 490 * 2
    plan.begin_round()
    plan.begin_round()  # all of the second net was kept of an earlier run
    plan.skip("slow", 0.9)  # and most of the third
    assert plan.left_s == pytest.approx(10 + 49)
    with plan.part("net 2: fast", "fast"):
        clock.now += 10
    with plan.part("net 2: slow", "slow", 0.1):
        clock.now += 49
    assert plan.left_s == pytest.approx(0)
    assert told == [
        ("net 0: fast, about 20 min left", 0), ("net 0: slow, about 15 min left", 1),
        ("net 0: slow, about 21 min left", 17), ("net 2: fast", 89), ("net 2: slow", 91),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (89, "89 s"), (91, "2 min"), (5000, "83 min"), (9000, "2.5 h")],
)
def test_a_duration_is_as_exact_as_a_guess(seconds: float, text: str) -> None:
    assert duration(seconds) == text
