"""The table of an agent under attack."""

from __future__ import annotations

from collections.abc import Sequence

from saccade.robust.agent.recipe import Threat
from saccade.robust.agent.results import AgentAttackResult, Compared

WAYS = ("noise", "own attack", "other's attack")


def agent_table(result: AgentAttackResult, threat: Threat) -> Sequence[Sequence[str]]:
    """Rows of text: a budget and what was attacked, then the accuracy [95 % CI] of each arm."""
    arms = list(result.clean.arms)
    rows = [[
        "epsilon / 255", "images", *(f"{arm}: accuracy [95 % CI]" for arm in arms),
        f"{arms[-1]} - {arms[0]} [95 % CI]", "p", "tool-call rate", "aim",
    ]]  # fmt: skip
    rows.append(["0", "clean", *_cells(result.clean)])
    for row in result.threats[threat]:
        for way, compared in zip(WAYS, (row.noise, row.own, row.transfer), strict=True):
            rows.append([str(row.epsilon), way, *_cells(compared)])
    return rows


def _cells(compared: Compared) -> list[str]:
    """Accuracies and their difference with their intervals; its p; how the last arm looked."""
    arms, found = list(compared.arms.values()), compared.paired
    accuracies = [
        f"{arm.accuracy:.3f} [{arm.interval.low:.2f}, {arm.interval.high:.2f}]" for arm in arms
    ]
    span = f"[{found.interval.low:+.2f}, {found.interval.high:+.2f}]"
    p = "<.001" if found.p < 0.001 else f"{found.p:.3f}"
    aim = "-" if arms[-1].aimed is None else f"{arms[-1].aimed:.2f}"
    calls = f"{arms[-1].tool_call_rate:.2f}"
    return [*accuracies, f"{found.difference:+.3f} {span}", p, calls, aim]
