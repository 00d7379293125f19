"""What an audit measures, as data: arms, pairs of arms, gain and harm, visual evidence gain."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from saccade.measures.means import Metric
from saccade.measures.paired import Paired
from saccade.types import Record

ARMS = (
    "direct", "no_tool", "format_only", "result_only", "blank_crop", "wrong_box", "true_box",
    "agent",
)  # fmt: skip
"""The arms of an audit, in the order of its tables."""

NEED_BOXES = ("wrong_box", "true_box")
WITHOUT_TOOL = ("no_tool", "direct")
"""The arms that say what is solved without looking again."""

Replacement = Literal["blank", "wrong"]
Measure = Literal["log_prob", "accuracy"]
When = Literal["at once", "behind its thought", "going on"]


class ArmResult(Record):
    """What came of one arm."""

    arm: str
    accuracy: Metric
    """Share of right answers among the scored episodes."""
    episodes: int
    """Number of episodes that were played."""
    no_look: int | None
    """Number of finished episodes in which no call for the zoom was accepted; of `result_only`,
    that had no crop to show and were asked as `no_tool`. None in arms without either."""
    no_answer: int
    """Number of finished episodes that ended without an answer; they are scored as incorrect."""
    unscored: int
    """Number of finished episodes without a verdict; they are in no average."""
    unjudged: int = 0
    """Number of these whose reward failed on our side: the same command scores them again."""
    failed: int
    """Number of episodes that were aborted or ran out of wall time; they are in no average."""
    left_out: int = 0
    """Number of questions that were not asked in this arm: without a true box, or for `wrong_box`
    without a place beside it."""


class ArmPair(Record):
    """Two arms on the same questions; a question counts by the share of its right answers."""

    before: str
    after: str
    both: int
    """Number of questions that both answer correctly: equally often, in half of the attempts or
    more."""
    neither: int
    """Number of questions that neither answers correctly."""
    paired: Paired
    """Gained and lost questions, the difference of accuracies with its interval, the exact p."""
    p_holm: float
    """The p-value adjusted for the number of pairs of this audit (Holm)."""


class ToolEffect(Record):
    """What the tool gives and takes, against an arm without it.

    Source: gain and harm after MED, arXiv 2602.01334, of which we had the abstract alone. Of
    several samples it is the probability that one is right and the other wrong, drawn
    independently.
    """

    without: str
    """The arm without a tool."""
    gain: Metric
    """Share of questions that the agent answers correctly, and that arm does not."""
    harm: Metric
    """Share of questions that arm answers correctly, and the agent does not."""


class Evidence(Record):
    """Visual evidence gain: what one observation gives the answer, everything before it the same.

    Source: our reading of the name, which is from CauAudit, arXiv 2608.06270. Its text was not at
    hand, only a line about it: which observation is replaced (the last one that the agent looked
    at), by what, and what is measured behind it are ours, and may differ from what it defines.
    """

    measure: Measure
    """`log_prob`: of the gold answer, in nats. `accuracy`: over continuations of the episode."""
    replaced_by: Replacement
    """A grey image of the same size, or another place of the same image, at the same size."""
    when: When
    """`at once`: the answer follows the observation. `behind its thought`: it follows the thought
    that the agent wrote there, which may name what it saw. `going on`: the agent writes on, and
    whatever it looks at from there on is replaced too."""
    kept: float | None
    """Mean with the observation as it was."""
    replaced: float | None
    """Mean with the replacement."""
    gain: float | None
    """Their difference."""
    low: float | None
    high: float | None
    """95 % percentile bootstrap over questions; None with fewer than two."""
    n: int
    """Number of episodes, or of continuations with each observation."""
    units: int
    """Number of questions."""
    failed: int = 0
    """Number of continuations that are in no mean, since they failed on our side or have no
    verdict."""


class Audit(Record):
    """What looking contributes to a policy on a set of questions."""

    out: str
    fingerprint: str | None
    """Of the environment of the agent."""
    command: str
    arms: tuple[ArmResult, ...]
    pairs: tuple[ArmPair, ...] = ()
    effects: tuple[ToolEffect, ...] = ()
    also_without: Metric | None = None
    """Of what the agent answers correctly with the zoom, the share that an arm without a tool
    answers correctly too (`no_tool` or `direct`, the better one).

    Source: arXiv 2606.02357, of which we had the abstract alone ("also solved by at least one
    non-tool setting"). Where we deviate, as far as that tells: its second setting is a model that
    was trained apart, ours is the same model, so its figures are not comparable with ours.
    """
    evidence: tuple[Evidence, ...] = ()
    no_look: int = 0
    """Number of episodes of the agent that have no visual evidence gain: it never looked."""
    no_gold: int = 0
    """Number of those with a look that have none either, since no gold answer is known."""
    looked_again: int = 0
    """Number of episodes of the agent with more than one look."""
    notes: tuple[str, ...] = Field(default=())
    """What cannot be said, and what to read with care."""

    @property
    def unfinished(self) -> int:
        """Number of episodes that failed on our side: the same command attempts them again."""
        return sum(arm.failed + arm.unjudged for arm in self.arms) + sum(
            found.failed for found in self.evidence
        )

    def arm(self, name: str) -> ArmResult | None:
        """An arm by its name; None if it was not played."""
        return next((found for found in self.arms if found.arm == name), None)
