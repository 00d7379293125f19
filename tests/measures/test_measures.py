"""Numbers against independent formulas: published intervals, counted pixels, hand-made episodes."""

import math

import numpy as np
import pytest
from building import a_result, a_task, a_trajectory, a_turn, plain
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from saccade.images.geometry import Box, PixelBudget
from saccade.measures.boxes import looks, patterns
from saccade.measures.intervals import wilson, wilson_of_clusters
from saccade.measures.paired import mcnemar, paired
from saccade.measures.summary import Summary, summary, summary_by
from saccade.types import (
    ProblemKind,
    StopReason,
    TargetBox,
    Task,
    ToolResult,
    Trajectory,
    Turn,
    Verdict,
)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611),
     (1, 29, 0.0061, 0.1718)],
)  # fmt: skip
def test_wilson_equals_the_published_table(successes: int, n: int, low: float, high: float) -> None:
    """Source: R. G. Newcombe, Statistics in Medicine 17 (1998) 857-872, Table I, method 3."""
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 400), st.floats(0, 1))
def test_wilson_limits_solve_the_score_equation(n: int, share: float) -> None:
    """The limits are where |p - limit| is 1.96 standard errors *of the limit*."""
    k = round(share * n)
    for limit in wilson(k, n):
        if 0 < limit < 1:
            error = math.sqrt(limit * (1 - limit) / n)
            assert abs(k / n - limit) == pytest.approx(
                1.959963984540054 * error, rel=1e-6, abs=1e-7
            )


def test_samples_of_a_question_are_no_independent_trials() -> None:
    """Four questions with 0, 1, 3 and 4 of four samples right: p = 1/2, v = (4 + 1 + 1 + 4) * 4/3
    / 16^2 = 5/96, and the effective size p (1 - p) / v = 4.8."""
    assert wilson_of_clusters([0, 1, 3, 4], [4] * 4) == pytest.approx(wilson(2.4, 4.8))
    # Wilson of 2.4 in 4.8 by hand: 1/2 -+ 1.96 / (2 sqrt(4.8 + 1.96^2)).
    assert wilson(2.4, 4.8) == pytest.approx((0.1666, 0.8334), abs=5e-5)
    # Samples that agree add nothing, and those that spread as chance has it are all counted.
    assert wilson_of_clusters([8, 0, 8, 0, 8], [8] * 5) == pytest.approx(wilson(3, 5))
    assert wilson_of_clusters([2, 3, 1, 2], [4] * 4) == wilson(8, 16)
    # Where no question differs from another, only the questions are counted.
    for right in (0, 3, 8):
        found = wilson_of_clusters([right] * 5, [8] * 5)
        assert found == pytest.approx(wilson(right / 8 * 5, 5))
    assert wilson_of_clusters([3], [8]) == pytest.approx(wilson(3 / 8, 1))
    assert wilson_of_clusters([1, 0, 1], [1, 1, 1]) == wilson(2, 3)
    # Uneven: v = (9^2 + 4.5^2 + 4.5^2) * 3/2 / 100^2, so 0.09 / v = 400/81. Kish has (4, 2) as 1.8.
    assert wilson_of_clusters([90, 0, 0], [90, 5, 5]) == pytest.approx(wilson(360 / 81, 400 / 81))
    assert wilson_of_clusters([2, 1], [4, 2]) == pytest.approx(wilson(0.9, 1.8))


@pytest.mark.parametrize(("share", "correlation"), [(0.3, 0.05), (0.5, 0.3), (0.7, 0.8)])
def test_the_interval_of_repeated_samples_holds_the_accuracy(
    share: float, correlation: float
) -> None:
    """In 95 of a hundred runs of 60 questions with 8 samples, at least 92; counting all samples as
    independent misses it far more often."""
    rng, spread = np.random.default_rng(0), 1 / correlation - 1
    chances = rng.beta(share * spread, (1 - share) * spread, (1000, 60))
    runs = rng.binomial(8, chances).tolist()
    found = [wilson_of_clusters(run, [8] * 60) for run in runs]
    assert np.mean([low <= share <= high for low, high in found]) >= 0.92
    naive = [wilson(sum(run), 480) for run in runs]
    assert np.mean([low <= share <= high for low, high in naive]) < 0.92


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (5, 0), (9, 2), (30, 30), (700, 640)])
def test_mcnemar_is_the_sign_test(gained: int, lost: int) -> None:
    wanted = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert mcnemar(gained, lost) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("shares", [(0.1, 0.05), (0.3, 0.3), (0.02, 0.4), (0.0, 0.03)])
def test_the_interval_of_a_paired_difference_holds_it(shares: tuple[float, float]) -> None:
    """In 95 of a hundred samples of 60 questions, at least 93."""
    rng, (up, down) = np.random.default_rng(0), shares
    held = 0
    for _ in range(2000):
        change = rng.choice([1, -1, 0], 60, p=[up, down, 1 - up - down])
        before, after = [bool(c == -1) for c in change], [bool(c == 1) for c in change]
        found = paired(before, after)
        assert found.difference == pytest.approx(float(change.mean()))
        held += found.interval.low <= up - down <= found.interval.high
    assert held / 2000 > 0.93


def test_the_paired_interval_is_the_published_one() -> None:
    """Bonett and Price with 30 questions, 8 gained and 3 lost, by their formula."""
    found = paired([False] * 8 + [True] * 22, [True] * 8 + [False] * 3 + [True] * 19)
    up, down = 9 / 32, 4 / 32
    half = 1.959964 * math.sqrt((up + down - (up - down) ** 2) / 32)
    assert (found.gained, found.lost, found.difference) == (8, 3, pytest.approx(5 / 30))
    assert found.interval == pytest.approx((up - down - half, up - down + half), abs=1e-6)


def test_shares_of_samples_count_as_gained_and_lost() -> None:
    found = paired([0.25, 0.5, 1.0, 0.0], [0.75, 0.5, 0.5, 0.0])
    assert (found.n, found.gained, found.lost, found.difference, found.p) == (4, 1, 1, 0.0, 1.0)
    # The interval of the mean of these changes and of one question gained and one lost.
    changes = np.array([0.5, 0.0, -0.5, 0.0, 1.0, -1.0])
    assert found.interval.high == pytest.approx(1.959964 * changes.std() / math.sqrt(6), abs=1e-6)


def test_only_the_same_questions_can_be_compared() -> None:
    with pytest.raises(ValueError, match="shorter"):
        paired([True, False], [True])
    with pytest.raises(ValueError, match="nothing"):
        paired([], [])


PHOTO = plain(1000, 800)
TASK = a_task(
    PHOTO, answer="7", boxes=(TargetBox(box=Box(100, 100, 200, 200)),), meta={"family": "read"}
)


def turn(*results: ToolResult, problems: tuple[ProblemKind, ...] = ()) -> Turn:
    return a_turn(*results, problems=problems, token_ids=(0, 1, 2))


def showing(*boxes: Box, error: str | None = None) -> ToolResult:
    view = PHOTO.fit(PixelBudget(max_pixels=400 * 400))
    crops = tuple(view.crop(view.from_source(box)).fit(PixelBudget()) for box in boxes)
    return a_result(*crops, error=error)


def episode(
    *turns: Turn,
    correct: bool | None = True,
    stop: StopReason = StopReason.ANSWER,
    value: float = 1.0,
) -> Trajectory:
    score = None if correct is None else value
    return a_trajectory(
        *turns, stop=stop, verdict=Verdict(correct=correct), score=score, seconds=2.0
    )


def test_looks_are_measured_in_the_photograph() -> None:
    done = episode(turn(showing(Box(100, 100, 200, 200))), turn(showing(Box(150, 100, 250, 200))))
    same, shifted = looks(TASK, done)
    assert same.iou == pytest.approx(1, abs=0.05)
    assert shifted.iou == pytest.approx(1 / 3, abs=0.03)
    assert shifted.coverage == pytest.approx(1 / 2, abs=0.03)


A, B = Box(100, 100, 200, 200), Box(600, 500, 700, 600)
TWO = TASK.model_copy(update={"boxes": (TargetBox(box=A), TargetBox(box=B))})
AROUND_A, IN_A, BESIDE_A, AWAY = (
    Box(50, 50, 250, 250), Box(100, 100, 180, 180), Box(180, 100, 280, 200),
    Box(800, 100, 900, 200),
)  # fmt: skip


@pytest.mark.parametrize(
    ("task", "boxes", "found"),
    [
        (TASK, [A], ()),
        (TASK, [AROUND_A, IN_A], ("confirmation",)),
        (TASK, [IN_A, AROUND_A], ("confirmation",)),
        (TASK, [A, BESIDE_A], ()),
        (TASK, [AWAY, A], ("search", "correction")),
        (TASK, [A, AWAY], ("search",)),
        (TASK, [BESIDE_A, A], ("correction",)),
        (TWO, [A, B], ("search", "comparison")),
        (TWO, [Box(0, 0, 1000, 800), B], ("confirmation",)),
        (TASK, [], ()),
    ],
)
def test_ways_of_looking_are_told_by_their_regions(
    task: Task, boxes: list[Box], found: tuple[str, ...]
) -> None:
    done = episode(*(turn(showing(box)) for box in boxes))
    assert patterns(task, done) == found
    assert summary([(task, done)]).patterns == dict.fromkeys(sorted(found), 1)


def test_images_that_are_no_part_of_the_photograph_are_no_looks() -> None:
    assert looks(TASK, episode(turn(a_result(plain(50, 50, "red"), "text")))) == []


def test_what_is_not_scored_has_columns_of_its_own() -> None:
    other = TASK.model_copy(update={"id": "other"})
    pairs = [
        (TASK, episode(correct=True)),
        (other, episode(correct=False, value=0.0)),
        (TASK, episode(correct=None)),
        (TASK, episode(correct=None, stop=StopReason.ABORTED)),
        (TASK, episode(correct=None, stop=StopReason.TIMEOUT)),
    ]
    s = summary(pairs)
    assert (s.episodes, s.scored, s.correct, s.unscored, s.aborted, s.timeout) == (5, 2, 1, 1, 1, 1)
    assert s.accuracy == 0.5
    assert (s.low, s.high) == pytest.approx(wilson(1, 2))
    assert (s.tasks, s.repeated) == (2, False)
    assert s.score == 0.5
    assert s.stops == {"aborted": 1, "answer": 3, "timeout": 1}


def test_what_no_judge_decided_is_counted_whether_it_is_scored_or_not() -> None:
    undecided, wrong = episode(correct=None), episode(correct=False, value=0.0)
    unread = Verdict(correct=False, reason="it cannot be read", judge="choice", unread=True)
    punished = wrong.model_copy(update={"verdict": unread})
    s = summary([(TASK, undecided), (TASK, wrong), (TASK, punished)])
    assert (s.undecided, s.unscored, s.scored, s.correct) == (2, 1, 2, 0)
    right = summary([(TASK, undecided), (TASK, episode(correct=True))])
    assert (right.accuracy, right.accuracy_at_least, right.left_open) == (1.0, 0.5, True)
    assert not summary([(TASK, wrong), (TASK, punished)]).left_open
    failed = undecided.model_copy(update={"verdict": None, "error": "ServiceError: 503"})
    assert summary([(TASK, failed)]).undecided == 0, "no judge was asked in vain"


def test_the_interval_of_an_accuracy_counts_tasks_and_not_samples() -> None:
    other = TASK.model_copy(update={"id": "other"})
    rights = {TASK.id: (True, True, None), other.id: (False, False, False)}
    s = summary(
        (task, episode(correct=right)) for task in (TASK, other) for right in rights[task.id]
    )
    assert (s.scored, s.tasks, s.repeated, s.accuracy) == (5, 2, True, 0.4)
    # n^2 / sum of squares = 25 / 13 questions.
    assert (s.low, s.high) == pytest.approx(wilson(0.4 * 25 / 13, 25 / 13))
    kept = s.model_dump(exclude={"tasks"})
    assert not Summary.model_validate(kept).repeated


def test_failures_never_move_the_accuracy() -> None:
    good = [(TASK, episode(correct=True))] * 4
    failed = [(TASK, episode(correct=None, stop=StopReason.ABORTED))] * 50
    assert summary(good + failed).accuracy == summary(good).accuracy == 1.0


def test_calls_lengths_and_problems_are_counted() -> None:
    bad = ProblemKind.BAD_CALL
    failed = showing(error="no")
    unseen = turn(showing(Box(0, 0, 50, 50))).model_copy(update={"dropped": "context"})
    s = summary(
        [
            (TASK, episode(turn(showing(Box(0, 0, 50, 50)), failed), turn(problems=(bad, bad)))),
            (TASK, episode(unseen, correct=False, value=0.0)),
        ]
    )
    assert (s.turns, s.tool_calls, s.tool_calls_ok, s.tool_call_rate) == (1.5, 1.5, 0.5, 0.5)
    assert s.response_tokens == 4.5
    assert s.problems == {"bad_call": 2}
    assert s.dropped == 1
    assert s.seconds == 2.0


def test_nothing_gives_no_numbers_rather_than_zeros() -> None:
    s = summary([])
    assert (s.accuracy, s.low, s.score, s.tool_calls, s.mean_iou) == (None, None, None, None, None)
    assert (s.episodes, s.scored) == (0, 0)


def test_groups_are_summarised_apart() -> None:
    other = TASK.model_copy(update={"meta": {"family": "easy"}})
    groups = summary_by(
        lambda task: str(task.meta["family"]),
        [(TASK, episode(correct=True)), (other, episode(correct=False, value=0.0))],
    )
    assert {name: s.accuracy for name, s in groups.items()} == {"easy": 0.0, "read": 1.0}
