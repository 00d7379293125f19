"""The terms of a reward: pure functions of the structure of a trajectory and of the verdict.

No term reads text. Format problems were recorded when a turn was parsed, and tool use is counted
from calls that were executed and succeeded.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp

from saccade.errors import ConfigError
from saccade.types import ProblemKind, Task, Trajectory

Term = Callable[[Task, Trajectory, bool], float]
"""(task, trajectory, answer is correct) -> unweighted value."""

FORMAT_ERRORS = frozenset(
    {
        ProblemKind.UNBALANCED_THINK,
        ProblemKind.UNBALANCED_ANSWER,
        ProblemKind.LONG_ANSWER,
        ProblemKind.FORGED_TOKENS,
    }
)
"""Source: DeepEyes, `vl_agent.py`, `compute_score`. Missing tags are no error there, nor here."""

MATHS_FORMAT_ERRORS = frozenset({ProblemKind.UNBALANCED_THINK, ProblemKind.SEVERAL_ANSWERS})


def accuracy(task: Task, trajectory: Trajectory, correct: bool) -> float:
    """1 if the answer is right, else 0."""
    return float(correct)


def format_penalty(task: Task, trajectory: Trajectory, correct: bool) -> float:
    """-1 if any turn has a format error, else 0. Source: DeepEyes, equation of section 3.3."""
    return -1.0 if _problems(trajectory) & FORMAT_ERRORS else 0.0


def maths_format_penalty(task: Task, trajectory: Trajectory, correct: bool) -> float:
    r"""-1 if a thought is unbalanced or there is not exactly one answer, else 0.

    Source: DeepEyes, `vl_agent.py`, `compute_score_math` (there the answer is one `\boxed{}`).
    """
    broken = _problems(trajectory) & MATHS_FORMAT_ERRORS
    return -1.0 if broken or trajectory.answer is None else 0.0


def tool_bonus(task: Task, trajectory: Trajectory, correct: bool) -> float:
    """1 if the answer is right *and* a tool call succeeded. Source: DeepEyes, section 3.3."""
    return float(correct and bool(trajectory.successes))


def unconditional_tool_bonus(task: Task, trajectory: Trajectory, correct: bool) -> float:
    """1 if a tool call succeeded, right or wrong. Source: DeepEyes, ablation of the reward."""
    return float(bool(trajectory.successes))


def accumulative_tool(task: Task, trajectory: Trajectory, correct: bool) -> float:
    """Calls that succeeded, if the answer is right. Source: PyVision-RL (arXiv 2602.20739)."""
    return float(correct) * len(trajectory.successes)


def calls(task: Task, trajectory: Trajectory, correct: bool) -> float:
    """Tool calls that were attempted; give it a negative weight for a cost per call."""
    return float(len(trajectory.results))


BENEFIT = "tool_benefit"
"""Key of `Task.meta`: right with the tool minus right without, in [-1, 1], measured beforehand on a
reference model; `saccade curate` writes it."""


def adaptive_tool(task: Task, trajectory: Trajectory, correct: bool) -> float:
    """The measured benefit of the tool on this task, times how near the calls are to a number.

    dS * exp(-2 ((n - 1) / 1)^2), n being the calls that succeeded; 0 without a call.
    Source: AdaTooler-V's AT-GRPO (arXiv 2512.16918), with its gamma 2. We deviate: its n_max is 6,
    here it is 1, for one look is enough; it pays episodes without a call as well; and its released
    code sets dS to 1.

    Raises:
        ConfigError: the benefit of this task was not measured.
    """
    benefit = task.meta.get(BENEFIT)
    if not isinstance(benefit, int | float):
        raise ConfigError(
            f"task {task.id}: no meta.{BENEFIT}; measure it with `saccade curate` "
            "(curate.benefit=true), and train on the tasks that it keeps"
        )
    n = len(trajectory.successes)
    return float(benefit) * exp(-2.0 * (n - 1) ** 2) if n else 0.0


TERMS: dict[str, Term] = {
    "accuracy": accuracy,
    "format_penalty": format_penalty,
    "maths_format_penalty": maths_format_penalty,
    "tool_bonus": tool_bonus,
    "unconditional_tool_bonus": unconditional_tool_bonus,
    "accumulative_tool": accumulative_tool,
    "adaptive_tool": adaptive_tool,
    "calls": calls,
}

PRESETS: dict[str, dict[str, float]] = {
    "deepeyes": {"accuracy": 0.8, "format_penalty": 0.2, "tool_bonus": 1.2},
    "deepeyes_no_bonus": {"accuracy": 0.8, "format_penalty": 0.2},
    "deepeyes_unconditional": {
        "accuracy": 0.8,
        "format_penalty": 0.2,
        "unconditional_tool_bonus": 1.2,
    },
    "deepeyes_maths": {"accuracy": 1.2, "maths_format_penalty": 0.4},
    "pyvision": {"accuracy": 1.0, "accumulative_tool": 0.1},
    "at_grpo": {"accuracy": 0.8, "format_penalty": 0.2, "adaptive_tool": 0.6},
}
"""Term -> weight. Source: DeepEyes, `vl_agent.py`; the two variants are its ablation (Table 4),
whose weights are not published: we keep 1.2. `pyvision`: PyVision-RL, .1 for each call. `at_grpo`:
AdaTooler-V, alpha .6."""


def _problems(trajectory: Trajectory) -> set[ProblemKind]:
    return {problem.kind for turn in trajectory.turns for problem in turn.action.problems}
