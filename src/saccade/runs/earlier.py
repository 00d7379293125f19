"""What was said of an episode before it was judged again, as the episode carries it."""

from __future__ import annotations

from pydantic import ValidationError

from saccade.types import Record, Score, Trajectory, Verdict

RESCORED_FROM = "rescored_from"
"""The annotation that holds an `Earlier`."""


class Earlier(Record):
    """What a run said of an episode before it was judged again."""

    run: str
    """The folder of that run."""
    verdict: Verdict | None = None
    score: Score | None = None
    error: str | None = None
    """Why its reward could not score it."""


def before_rescoring(trajectory: Trajectory) -> Trajectory | None:
    """The episode with the verdict and the score that it had; None if it was judged once."""
    try:
        held = Earlier.model_validate(trajectory.annotations[RESCORED_FROM])
    except (KeyError, ValidationError):
        return None
    changes = {"verdict": held.verdict, "score": held.score, "error": held.error}
    return trajectory.model_copy(update=changes)
