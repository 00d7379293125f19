"""Tables and the page of an agent under attack."""

from __future__ import annotations

from pathlib import PurePath

from saccade.robust.agent.recipe import Threat
from saccade.robust.agent.results import AgentAttackResult, Compared
from saccade.robust.tables import Rows, markdown
from saccade.runs.manifest import as_typed

TITLES = {
    "view": "Attack on the view; crops stay clean",
    "photograph": "Attack on the photograph",
}
KEYS = 2
"""Number of columns that name a row."""
WAYS = ("noise", "own attack", "other's attack")


def agent_table(result: AgentAttackResult, threat: Threat) -> Rows:
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


def agent_page(result: AgentAttackResult) -> str:
    """All of it as Markdown: what was done, by which command, and a table for each threat."""
    parts = ["# An agent under attack\n", f"{caption(result)}.\n"]
    if result.command:
        parts.append(f"Command: `{as_typed(result.command)}`\n")
    arms = list(result.clean.arms)
    parts.append(
        f"Intervals are 95 %: of an accuracy Wilson's, of `{arms[-1]}` minus `{arms[0]}` that of "
        "Bonett and Price for paired shares; p is McNemar's, exact. A question is right under "
        "attack if it is right clean and under each loss of the attack. Gradients are taken with "
        "the tokens of the clean episode: the figures are upper bounds of robustness.\n"
    )
    for threat in result.threats:
        parts += [f"{TITLES[threat]}.\n", markdown(agent_table(result, threat))]
    return "\n".join(parts)


def caption(result: AgentAttackResult) -> str:
    """What was measured, in a line: model, tasks, n, seed, environment."""
    config = result.config
    policy, tasks = config.get("policy"), config.get("tasks")
    assert isinstance(policy, dict)
    assert isinstance(tasks, dict)
    model = PurePath(str(policy.get("path"))).name
    named = " ".join(str(tasks[key]) for key in ("kind", "family", "path") if tasks.get(key))
    n = next(iter(result.threats.values()))[0].n
    unscored = f" ({result.unscored} left out: they failed on our side)" if result.unscored else ""
    known = f", environment {result.fingerprint}" if result.fingerprint else ""
    return f"{model} on {named}: n = {n} questions{unscored}, seed {config['seed']}{known}"


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
