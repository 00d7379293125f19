"""The terms of a reward: pure functions of the structure of a trajectory and of the verdict.

A term is such a function, or a class with options whose instances are such functions. No term here
reads text unless an option says so: format problems were recorded when a turn was parsed, and tool
use is counted from calls that were executed and gave the model something new.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from math import exp
from typing import Literal

from pydantic import Field

from saccade.errors import ConfigError
from saccade.rewards.deepeyes_v2 import LONGEST_ANSWER
from saccade.types import ProblemKind, Record, Task, Trajectory

Term = Callable[[Task, Trajectory, bool], float]
"""(task, trajectory, answer is correct) -> unweighted value."""


def accuracy(task: Task, trajectory: Trajectory, correct: bool) -> float:
    """1 if the answer is right, else 0."""
    return float(correct)


class FormatPenalty(Record):
    """-1 if any turn has a format error, else 0. Source: DeepEyes, equation of section 3.3."""

    problems: tuple[ProblemKind, ...] = (
        ProblemKind.UNBALANCED_THINK,
        ProblemKind.UNBALANCED_ANSWER,
        ProblemKind.LONG_ANSWER,
        ProblemKind.FORGED_TOKENS,
    )
    """What counts as a format error. Source: DeepEyes, `vl_agent.py`, `compute_score`. Missing tags
    are no error there, nor here."""

    def __call__(self, task: Task, trajectory: Trajectory, correct: bool) -> float:
        return -1.0 if _has_any(trajectory, self.problems) else 0.0


class MathsFormatPenalty(Record):
    r"""-1 if any turn has a format error or there is no answer, else 0.

    Source: DeepEyes, `vl_agent.py`, `compute_score_math` (there the answer is one `\boxed{}`).
    """

    problems: tuple[ProblemKind, ...] = (
        ProblemKind.UNBALANCED_THINK,
        ProblemKind.SEVERAL_ANSWERS,
    )
    """What counts as a format error."""

    def __call__(self, task: Task, trajectory: Trajectory, correct: bool) -> float:
        broken = _has_any(trajectory, self.problems)
        return -1.0 if broken or trajectory.answer is None else 0.0


Counts = Literal["new", "executed"]
"""Which calls are tool use. `new`: those that gave the model something new
(`Trajectory.successes`). `executed`: as published, every one whose result is no error and was
shown, a repeated look and a cell that raised among them (`Trajectory.executed`)."""


class ToolBonus(Record):
    """1 if the answer is right *and* a tool call succeeded. Source: DeepEyes, section 3.3."""

    counts: Counts = "new"
    """Which calls count: `new`, those that gave the model something new, or `executed`, all that
    were answered without an error, as published."""

    def __call__(self, task: Task, trajectory: Trajectory, correct: bool) -> float:
        return float(correct and _used(trajectory, self.counts) > 0)


class UnconditionalToolBonus(Record):
    """1 if a tool call succeeded, right or wrong. Source: DeepEyes, ablation of the reward."""

    counts: Counts = "new"
    """Which calls count, as in `tool_bonus`."""

    def __call__(self, task: Task, trajectory: Trajectory, correct: bool) -> float:
        return float(_used(trajectory, self.counts) > 0)


class AccumulativeTool(Record):
    """Calls that succeeded, if the answer is right. Source: PyVision-RL (arXiv 2602.20739)."""

    counts: Counts = "new"
    """Which calls count, as in `tool_bonus`."""

    def __call__(self, task: Task, trajectory: Trajectory, correct: bool) -> float:
        return float(correct) * _used(trajectory, self.counts)


def calls(task: Task, trajectory: Trajectory, correct: bool) -> float:
    """Tool calls that were attempted; give it a negative weight for a cost per call."""
    return float(len(trajectory.results))


BENEFIT = "tool_benefit"
"""Key of `Task.meta`: right with the tool minus right without, in [-1, 1], measured beforehand on a
reference model; `saccade curate` writes it."""


class AdaptiveTool(Record):
    """The measured benefit of the tool on this task, times how near the calls are to a number.

    dS * exp(-gamma ((n - n_best) / n_best)^2), n being the calls that succeeded; 0 without a call.
    Source: AdaTooler-V's AT-GRPO (arXiv 2512.16918), whose gamma is 2. We deviate: its n_best is 6,
    here it is 1, for one look is enough; it pays episodes without a call as well; and its released
    code sets dS to 1.
    """

    gamma: float = Field(default=2.0, ge=0)
    """How fast the reward falls when there are more or fewer calls than `n_best`."""
    n_best: int = Field(default=1, ge=1)
    """Number of calls that is rewarded most."""
    counts: Counts = "new"
    """Which calls count, as in `tool_bonus`."""

    def __call__(self, task: Task, trajectory: Trajectory, correct: bool) -> float:
        """The value of the term.

        Raises:
            ConfigError: the benefit of this task was not measured.
        """
        benefit = task.meta.get(BENEFIT)
        if not isinstance(benefit, int | float):
            raise ConfigError(
                f"task {task.id}: no meta.{BENEFIT}; measure it with `saccade curate` "
                "('benefit' in curate.terms), and train on the tasks that it keeps"
            )
        n = _used(trajectory, self.counts)
        distance = (n - self.n_best) / self.n_best
        return float(benefit) * exp(-self.gamma * distance**2) if n else 0.0


TERMS = {
    "accuracy": "saccade.rewards.terms:accuracy",
    "format_penalty": "saccade.rewards.terms:FormatPenalty",
    "maths_format_penalty": "saccade.rewards.terms:MathsFormatPenalty",
    "tool_bonus": "saccade.rewards.terms:ToolBonus",
    "unconditional_tool_bonus": "saccade.rewards.terms:UnconditionalToolBonus",
    "accumulative_tool": "saccade.rewards.terms:AccumulativeTool",
    "adaptive_tool": "saccade.rewards.terms:AdaptiveTool",
    "format": "saccade.rewards.deepeyes_v2:Format",
    "search_penalty": "saccade.rewards.deepeyes_v2:SearchPenalty",
    "calls": "saccade.rewards.terms:calls",
}
"""Names for run files; your own term goes there as "package.module:name"."""

PRESETS: dict[str, dict[str, float]] = {
    "deepeyes": {"accuracy": 0.8, "format_penalty": 0.2, "tool_bonus": 1.2},
    "deepeyes_no_bonus": {"accuracy": 0.8, "format_penalty": 0.2},
    "deepeyes_unconditional": {
        "accuracy": 0.8,
        "format_penalty": 0.2,
        "unconditional_tool_bonus": 1.2,
    },
    "benchmark": {"accuracy": 1.0},
    "deepeyes_maths": {"accuracy": 1.2, "maths_format_penalty": 0.4},
    "pyvision": {"accuracy": 1.0, "accumulative_tool": 0.1},
    "at_grpo": {"accuracy": 0.8, "format_penalty": 0.2, "adaptive_tool": 0.6},
    "deepeyes_v2": {"accuracy": 0.8, "format": 0.2, "search_penalty": 0.8},
}
"""Term -> weight. Source: DeepEyes, `vl_agent.py`; the two variants are its ablation (Table 4),
whose weights are not published: we keep 1.2. `pyvision`: PyVision-RL, .1 for each call. `at_grpo`:
AdaTooler-V, alpha .6. In each of them a call counts if it gave the model something new; the papers
count every executed call, as `counts = "executed"` of the term does. `deepeyes_v2`: DeepEyesV2,
`deepeyesv2.py`; see `saccade.rewards.deepeyes_v2`."""


LONGEST_ANSWERS = {"deepeyes_v2": LONGEST_ANSWER}
"""Preset -> number of characters from which on an answer is wrong, where that is not the limit of
the dialect."""


def _used(trajectory: Trajectory, counts: Counts) -> int:
    return len(trajectory.successes if counts == "new" else trajectory.executed)


def _has_any(trajectory: Trajectory, kinds: Collection[ProblemKind]) -> bool:
    return any(p.kind in kinds for turn in trajectory.turns for p in turn.action.problems)
