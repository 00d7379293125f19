"""The terms of a reward: pure functions of the structure of a trajectory and of the verdict.

No term reads text. Format problems were recorded when a turn was parsed, and tool use is counted
from calls that were executed and succeeded.
"""

from __future__ import annotations

from collections.abc import Callable

from saccade.types import ProblemKind, Trajectory

Term = Callable[[Trajectory, bool], float]
"""(trajectory, answer is correct) -> unweighted value."""

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


def accuracy(trajectory: Trajectory, correct: bool) -> float:
    """1 if the answer is right, else 0."""
    return float(correct)


def format_penalty(trajectory: Trajectory, correct: bool) -> float:
    """-1 if any turn has a format error, else 0. Source: DeepEyes, equation of section 3.3."""
    return -1.0 if _problems(trajectory) & FORMAT_ERRORS else 0.0


def maths_format_penalty(trajectory: Trajectory, correct: bool) -> float:
    r"""-1 if a thought is unbalanced or there is not exactly one answer, else 0.

    Source: DeepEyes, `vl_agent.py`, `compute_score_math` (there the answer is one `\boxed{}`).
    """
    broken = _problems(trajectory) & MATHS_FORMAT_ERRORS
    return -1.0 if broken or trajectory.answer is None else 0.0


def tool_bonus(trajectory: Trajectory, correct: bool) -> float:
    """1 if the answer is right *and* a tool call succeeded. Source: DeepEyes, section 3.3."""
    return float(correct and bool(trajectory.successes))


def unconditional_tool_bonus(trajectory: Trajectory, correct: bool) -> float:
    """1 if a tool call succeeded, right or wrong. Source: DeepEyes, ablation of the reward."""
    return float(bool(trajectory.successes))


def accumulative_tool(trajectory: Trajectory, correct: bool) -> float:
    """Calls that succeeded, if the answer is right. Source: PyVision-RL (arXiv 2602.20739)."""
    return float(correct) * len(trajectory.successes)


def calls(trajectory: Trajectory, correct: bool) -> float:
    """Tool calls that were attempted; give it a negative weight for a cost per call."""
    return float(len(trajectory.results))


TERMS: dict[str, Term] = {
    "accuracy": accuracy,
    "format_penalty": format_penalty,
    "maths_format_penalty": maths_format_penalty,
    "tool_bonus": tool_bonus,
    "unconditional_tool_bonus": unconditional_tool_bonus,
    "accumulative_tool": accumulative_tool,
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
}
"""Term -> weight. Source: DeepEyes, `vl_agent.py`; the two variants are its ablation (Table 4),
whose weights are not published: we keep 1.2. `pyvision`: PyVision-RL, .1 for each call."""


def _problems(trajectory: Trajectory) -> set[ProblemKind]:
    return {problem.kind for turn in trajectory.turns for problem in turn.action.problems}
