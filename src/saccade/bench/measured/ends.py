"""How the episodes of a group ended: what is in its accuracy, and what is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from saccade.bench.measured.attempts import Attempt
from saccade.measures.summary import is_undecided
from saccade.types import Record, StopReason


class Ends(Record):
    """How the episodes of a group ended.

    A finished episode that ends without an answer scores 0, and its kind is counted here. What is
    aborted, out of wall time, undecided or could not be scored is in no average.
    """

    group: str
    episodes: int
    finished: int
    """Number of episodes that neither were aborted nor ran out of wall time."""
    answered: int
    """Number of finished episodes that ended with an answer."""
    abstained: int
    """Number of finished episodes that ended with neither an answer nor a call. Scored 0."""
    out_of_turns: int
    """Number that had no turn left. Scored 0."""
    truncated: int
    """Number in which a turn was cut by its token limit, or the context was full. Scored 0."""
    too_many_images: int
    """Number in which the context could hold no more images. Scored 0."""
    scored: int
    """Number of finished episodes with a score."""
    undecided: int
    """Number of answers that no judge decided; outside of the accuracy, unless the run file says
    `reward.unread = "wrong"`."""
    reward_failed: int
    """Number of finished episodes that could not be scored, since a judge or a term failed."""
    aborted: int
    """Number of episodes that failed on our side."""
    timeout: int
    """Number of episodes that ran out of wall time."""

    def rate(self, count: int) -> float | None:
        """A count as a share of the finished episodes."""
        return count / self.finished if self.finished else None


def ends_of(group: str, attempts: Sequence[Attempt]) -> Ends:
    """How the episodes of a group ended."""
    stops = Counter(a.trajectory.stop for a in attempts)
    finished = [a for a in attempts if a.finished]
    return Ends(
        group=group,
        episodes=len(attempts),
        finished=len(finished),
        answered=sum(a.trajectory.answer is not None for a in finished),
        abstained=stops[StopReason.NO_ACTION],
        out_of_turns=stops[StopReason.MAX_TURNS],
        truncated=stops[StopReason.MAX_TOKENS],
        too_many_images=stops[StopReason.MAX_IMAGES],
        scored=sum(a.value is not None for a in finished),
        undecided=sum(is_undecided(a.trajectory) for a in finished),
        reward_failed=sum(a.trajectory.reward_failed for a in finished),
        aborted=stops[StopReason.ABORTED],
        timeout=stops[StopReason.TIMEOUT],
    )
