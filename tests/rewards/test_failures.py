"""A term or a judge that raises: the trajectory stays, unscored, with what the user has to know."""

from collections.abc import Callable

import pytest
from building import a_task, a_trajectory, a_turn

from saccade.errors import ConfigError, ServiceError
from saccade.rewards import Reward, Weighted
from saccade.rewards.judges import Exact
from saccade.rewards.terms import accuracy
from saccade.types import Record, StopReason, Task, Trajectory, Verdict

TASK = a_task(answer="7")
DONE = a_trajectory(a_turn(answer="7"))


class Broken(Record):
    """A judge of a user's own, which raises."""

    name: str = "broken"

    async def judge(self, task: Task, answer: str) -> Verdict:
        return Verdict(correct={}["right"])  # type: ignore[misc]

    async def close(self) -> None: ...


def misspelt(task: Task, trajectory: Trajectory, correct: bool) -> float:
    return task.meta["dificulty"]  # type: ignore[return-value]


def a_reward(term: Callable[..., object]) -> Reward:
    terms = {"accuracy": Weighted(1.0, accuracy), "my:term": Weighted(0.5, term)}
    return Reward(terms, Exact())  # type: ignore[arg-type]


async def test_a_term_that_raises_leaves_the_trajectory_unscored_and_names_its_line() -> None:
    failed = await a_reward(misspelt).apply(TASK, DONE)
    assert failed.reward_failed
    assert (failed.stop, failed.score, failed.verdict) == (StopReason.ANSWER, None, None)
    assert (failed.error or "").startswith("reward.weights.my:term: KeyError: 'dificulty' (test_fa")
    assert 'task.meta["dificulty"]' in (failed.traceback or "")
    assert Trajectory.model_validate_json(failed.model_dump_json()) == failed
    assert failed.answer == "7"


async def test_a_judge_that_raises_is_no_verdict() -> None:
    failed = await Reward({"accuracy": Weighted(1.0, accuracy)}, Broken()).apply(TASK, DONE)
    assert (failed.score, failed.verdict) == (None, None)
    assert (failed.error or "").startswith("reward.judge: KeyError: 'right' (test_failures.py:")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "1", [1.0]])
async def test_a_term_that_gives_no_finite_number_gives_no_score(value: object) -> None:
    failed = await a_reward(lambda *_: value).apply(TASK, DONE)
    assert failed.score is None
    assert (
        failed.error
        == f"reward.weights.my:term: expected a finite number from the term, got {value!r}"
    )


async def test_what_is_scored_again_forgets_the_error() -> None:
    failed = await a_reward(misspelt).apply(TASK, DONE)
    mended = await a_reward(lambda *_: 1.0).apply(TASK, failed)
    assert mended == await a_reward(lambda *_: 1.0).apply(TASK, DONE)
    assert mended.score is not None
    assert mended.score.value == 1.5


async def test_a_service_that_a_judge_lets_through_is_ours_and_a_wrong_configuration_is_told() -> (
    None
):
    class Down(Broken):
        async def judge(self, task: Task, answer: str) -> Verdict:
            raise ServiceError("503")

    failed = await Reward({}, Down()).apply(TASK, DONE)
    assert (failed.error, failed.traceback) == ("ServiceError: 503", None)
    with pytest.raises(ConfigError, match="there is no judge 'exakt'; did you mean 'exact'"):
        await a_reward(misspelt).apply(TASK.model_copy(update={"judge": "exakt"}), DONE)
