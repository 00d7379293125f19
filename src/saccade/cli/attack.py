"""`saccade attack`: how a classifier, or an agent, stands up to attacks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from saccade.cli.common.options import Json, Threads
from saccade.cli.common.robust import (
    Arguments,
    Data,
    Model,
    N,
    Out,
    Seed,
    classifier_recipe,
    read_table,
    show_table,
)

if TYPE_CHECKING:
    from saccade.config import Table


def attack(
    arguments: Arguments = None,
    data: Data = None,
    model: Model = None,
    seed: Seed = None,
    n: N = None,
    out: Out = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Attack a classifier or an agent, budget by budget.

    A run file with a `policy` is one of an agent: how it stands up to attacks on what it sees when
    it answers at once, and when it looks again.
    """
    from saccade.cli.common.extras import needs
    from saccade.cli.common.progress import bars, one_bar

    table = read_table(arguments)
    with needs("robust"):
        from saccade.models.threads import use_threads
        from saccade.robust.classifiers.attack import measure_attacks
        from saccade.robust.classifiers.subjects import subjects
        from saccade.robust.classifiers.tables import attack_table
        from saccade.robust.tables import markdown
    if threads is not None:
        use_threads(threads)
    if "policy" in table:
        _attack_agent(table, data=data, model=model, seed=seed, n=n, out=out, as_json=as_json)
        return
    flags = {"data": data, "model": model, "seed": seed, "n": n, "out": out}
    recipe = classifier_recipe(table, flags)
    with bars(quiet=as_json) as progress:
        result = measure_attacks(recipe, one_bar(progress))
        _, first = next(iter(subjects(recipe, one_bar(progress))))
    folder = Path(recipe.out) / "attack"
    text = markdown(attack_table(result))
    with needs("robust"):
        from saccade.robust.classifiers.figures import draw_attack, draw_examples
    draw_attack(result, folder / "attack.png")
    draw_examples(first, recipe.attack, folder / "examples.png")
    (folder / "attack.md").write_text(text)
    if as_json:
        typer.echo(result.model_dump_json())
        return
    show_table(attack_table(result))
    for net in result.nets:
        score, (low, high) = net.vulnerability, net.vulnerability.gain_interval
        typer.echo(
            f"net {net.net}: accuracy {net.accuracy:.3f}, n {net.n}; Spearman with the least L2: "
            f"log lambda_1 {score.spearman_log_lambda1:.3f}, log q {score.spearman_log_q:.3f}, "
            f"gain {score.gain:+.3f} [{low:+.3f}, {high:+.3f}]; "
            f"{score.never_flips.along_the_eigenvector} never flip"
        )
    typer.echo(f"written to {folder}: attack.json, attack.md, attack.png, examples.png")


def _attack_agent(
    table: Table,
    *,
    data: str | None,
    model: str | None,
    seed: int | None,
    n: int | None,
    out: str | None,
    as_json: bool,
) -> None:
    from saccade.cli.common.extras import needs
    from saccade.cli.common.progress import bars, one_bar
    from saccade.config import validate
    from saccade.embedded import with_folders
    from saccade.errors import ConfigError

    with needs("local"):
        from saccade.robust.agent.attack import measure_agent
    from saccade.robust.agent.recipe import AgentAttackRecipe
    from saccade.robust.agent.tables import agent_table
    from saccade.robust.tables import markdown

    if data is not None:
        raise ConfigError("--data: the questions of an agent are the run file's `tasks`")
    for name, key, value in (("policy", "path", model), ("tasks", "n", n)):
        section = table.get(name, {})
        if value is not None and isinstance(section, dict):
            table = {**table, name: {**section, key: value}}
    flags = {key: value for key, value in (("seed", seed), ("out", out)) if value is not None}
    recipe = validate(AgentAttackRecipe, with_folders({**table, **flags}))
    with bars(quiet=as_json) as progress:
        result = measure_agent(recipe, one_bar(progress))
    folder = Path(recipe.out)
    tables = {threat: agent_table(result, threat) for threat in result.threats}
    text = "\n".join(f"{threat}\n\n{markdown(rows)}" for threat, rows in tables.items())
    (folder / "agent_attack.md").write_text(text)
    with needs("robust"):
        from saccade.robust.agent.figures import draw_agent, draw_attacked
    draw_agent(result, folder / "agent_attack.png")
    draw_attacked(recipe, folder / "attacked.png")
    if as_json:
        typer.echo(result.model_dump_json())
        return
    for threat, rows in tables.items():
        typer.echo(f"{threat}: accuracy over {result.threats[threat][0].n} questions")
        show_table(rows)
    if result.unscored:
        typer.echo(f"left out: {result.unscored} questions of which an episode failed on our side")
    typer.echo(
        f"written to {folder}: agent_attack.json, agent_attack.md, agent_attack.png, "
        "attacked.png, attacked/"
    )
