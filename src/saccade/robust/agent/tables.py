"""The table of an agent under attack."""

from __future__ import annotations

from collections.abc import Sequence

from saccade.robust.agent.recipe import Threat
from saccade.robust.agent.results import AgentAttackResult, Compared

WAYS = ("noise", "own attack", "other's attack")


def agent_table(result: AgentAttackResult, threat: Threat) -> Sequence[Sequence[str]]:
    """Rows of text: a size and what was done, then the share that is right in each arm."""
    arms = list(result.clean.shares)
    rows = [["/ 255", "", *arms, f"{arms[-1]} - {arms[0]}", "p", "calls", "aim"]]
    rows.append(["0", "clean", *_cells(result.clean)])
    for row in result.threats[threat]:
        for way, compared in zip(WAYS, (row.noise, row.own, row.transfer), strict=True):
            rows.append([str(row.epsilon), way, *_cells(compared)])
    return rows


def _cells(compared: Compared) -> list[str]:
    """Shares with their intervals, the difference with its, its p; how the last arm looked."""
    shares, found = list(compared.shares.values()), compared.paired
    right = [
        f"{share.accuracy:.3f} [{share.interval.low:.2f}, {share.interval.high:.2f}]"
        for share in shares
    ]
    span = f"[{found.interval.low:+.2f}, {found.interval.high:+.2f}]"
    p = "<.001" if found.p < 0.001 else f"{found.p:.3f}"
    aim = "-" if shares[-1].aimed is None else f"{shares[-1].aimed:.2f}"
    calls = f"{shares[-1].tool_call_rate:.2f}"
    return [*right, f"{found.difference:+.3f} {span}", p, calls, aim]
