"""The two terms that the reward of DeepEyesV2 has beside accuracy: form, and the cost of searching.

    R = .8 accuracy + .2 format                                  on questions of every kind
    R = .8 accuracy (1 - .1 [the model searched]) + .2 format    on questions of the kind `search`

Source: DeepEyesV2 (arXiv 2511.05271) and its repository, `deepeyesv2.py` in
`verl/utils/reward_score`: `compute_score`, `compute_score_math`, `compute_score_search`. A bonus
for calls is computed there and not used; there is none here.

Where we deviate: see docs/judges.md, which lists each option that restores what was published. The
kind of a question is its family, in published rows their `data_source`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from saccade.search.found import found_in
from saccade.types import ProblemKind, Record, Task, Trajectory

LONGEST_ANSWER = 300
"""Number of characters from which on an answer is wrong. Source: `compute_score`."""
SEARCH = "search"
"""The kind of question on which searches cost something. Source: the dispatch by `data_source`."""


class Format(Record):
    """1 if no turn has a format error, the model has thought, and has answered; else 0.

    Source: `deepeyesv2.py`, `compute_score`. Where we deviate: what was read when a turn was parsed
    is counted, not tags in a text that holds observations and quotations too.
    """

    problems: tuple[ProblemKind, ...] = (
        ProblemKind.UNBALANCED_THINK,
        ProblemKind.UNBALANCED_ANSWER,
        ProblemKind.UNBALANCED_CALL,
        ProblemKind.EMPTY_ANSWER,
        ProblemKind.LONG_ANSWER,
        ProblemKind.FORGED_TOKENS,
    )
    """What counts as a format error."""
    counts: Literal["structure", "text"] = "structure"
    """What is looked at: `structure`, the problems of turns; or `text`, as published: the number of
    opening and closing tags in all of what follows the prompt, observations among it. Then
    `problems` has no effect but for `long_answer`."""

    def __call__(self, task: Task, trajectory: Trajectory, correct: bool) -> float:
        kinds = {p.kind for turn in trajectory.turns for p in turn.action.problems}
        if self.counts == "text":
            too_long = ProblemKind.LONG_ANSWER in kinds & set(self.problems)
            return float(_tags_are_balanced(task, trajectory) and not too_long)
        thought = any(turn.action.thought is not None for turn in trajectory.turns)
        answered = trajectory.answer is not None
        return float(thought and answered and not kinds & set(self.problems))


class SearchPenalty(Record):
    """Minus a share of a right answer that the model has searched for; else 0.

    With the weight of accuracy it makes accuracy times (1 - share). Source: `deepeyesv2.py`,
    `compute_score_search`, after MMSearch-R1 (arXiv 2506.20670). Where we deviate: what counts is a
    search that was carried out, not a tag, and neither a cell of code nor an opened page.
    """

    share: float = Field(default=0.1, ge=0, le=1)
    """The share of a right answer that searching costs, however often."""
    kinds: tuple[str, ...] | Literal["all"] = (SEARCH,)
    """Families of questions on which it is taken, or "all" of them."""
    counts: Literal["searches", "tags"] = "searches"
    """What is a search: `searches` that were carried out; or, as published, any `<tool_call>` in
    the text (`tags`), also one that was refused, that was quoted or that an observation holds."""

    def __call__(self, task: Task, trajectory: Trajectory, correct: bool) -> float:
        if not correct or (self.kinds != "all" and task.family not in self.kinds):
            return 0.0
        if self.counts == "tags":
            return -self.share if _tag("tool_call") in _published_text(trajectory) else 0.0
        return -self.share if searched(trajectory) else 0.0


def searched(trajectory: Trajectory) -> bool:
    """Whether a search was carried out, whatever it found."""
    kept = (found_in(result.data) for result in trajectory.results if result.ok)
    return any(found is not None and found.kind != "page" for found in kept)


def _tags_are_balanced(task: Task, trajectory: Trajectory) -> bool:
    """The published conditions, by the number of tags in the text."""
    text = _published_text(trajectory)
    names = ["think", "code", *(["tool_call"] if task.family == SEARCH else [])]
    if any(text.count(_tag(name)) != text.count(_tag(name, end=True)) for name in names):
        return False
    rest = text.rpartition(_tag("think", end=True))[2]
    opening, closing = _tag("answer"), _tag("answer", end=True)
    answer, closed, _ = rest.partition(opening)[2].partition(closing)
    balanced = rest.count(opening) == rest.count(closing) > 0
    return bool(balanced and closed and answer.strip())


def _published_text(trajectory: Trajectory) -> str:
    """All that follows the prompt, as the published reward is given it: observations included."""
    messages = trajectory.messages[len(trajectory.prompt) :]
    text = "\n".join(message.text for message in messages)
    return text if text.startswith(_tag("think")) else _tag("think") + text


def _tag(name: str, *, end: bool = False) -> str:
    """A tag as the published reward counts it, whatever the dialect of the episode."""
    return f"</{name}>" if end else f"<{name}>"
