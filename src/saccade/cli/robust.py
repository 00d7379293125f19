"""`saccade attack` and `saccade detect`: how a classifier, or an agent, stands up to attacks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saccade.cli.runfile import Threads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.progress import Progress

    from saccade.config import Table
    from saccade.robust.classifiers.recipe import RobustRecipe
    from saccade.robust.progress import OnProgress

Arguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RECIPE] [KEY=VALUE]...",
        help="A run file, and key=value over it. Without a run file: the embedded digits.",
        show_default=False,
    ),
]
Data = Annotated[
    str | None, typer.Option(help="digits, an .npz, a folder, or package.module:function.")
]
Model = Annotated[str | None, typer.Option(help="package.module:name of a net; gives logits.")]
Seed = Annotated[int | None, typer.Option(help="Of the choice of images, noise and forests.")]
N = Annotated[
    int | None, typer.Option("--n", min=1, help="Test images, of those the net reads right.")
]
Out = Annotated[str | None, typer.Option(help="The run folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON and nothing else.")]


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
    """Attack a classifier, or an agent, and show at which size how much is lost.

    A run file with a `policy` is one of an agent: how it stands up to attacks on what it sees when
    it answers at once, and when it looks again.
    """
    from saccade.cli.extras import needs
    from saccade.cli.progress import bars

    with needs("robust"):
        from saccade.robust.classifiers.attack import measure_attacks
        from saccade.robust.classifiers.subjects import subjects
        from saccade.robust.classifiers.tables import attack_table
        from saccade.robust.tables import markdown
    table = _table(arguments, threads)
    if "policy" in table:
        _attack_agent(table, data=data, model=model, seed=seed, n=n, out=out, as_json=as_json)
        return
    recipe = _recipe(table, {"data": data, "model": model, "seed": seed, "n": n, "out": out})
    with bars(quiet=as_json) as progress:
        result = measure_attacks(recipe, _telling(progress))
        _, first = next(iter(subjects(recipe, _telling(progress))))
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
    _show(attack_table(result))
    for net in result.nets:
        score, (low, high) = net.vulnerability, net.vulnerability.gain_interval
        typer.echo(
            f"net {net.net}: {net.accuracy:.3f} right, n {net.n}; Spearman with the least L2: log "
            f"lambda_1 {score.spearman_log_lambda1:.3f}, log q {score.spearman_log_q:.3f}, gain "
            f"{score.gain:+.3f} [{low:+.3f}, {high:+.3f}]; "
            f"{score.never_flips.along_the_eigenvector} never flip"
        )
    typer.echo(f"written to {folder}: attack.json, attack.md, attack.png, examples.png")


def detect(
    arguments: Arguments = None,
    data: Data = None,
    model: Model = None,
    seed: Seed = None,
    n: N = None,
    out: Out = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Show how well attacked images are told from clean and noisy ones, and by what."""
    from saccade.cli.extras import needs
    from saccade.cli.progress import bars

    with needs("robust"):
        from saccade.robust.classifiers.detection import measure_detection
        from saccade.robust.classifiers.tables import cross_table, detection_table
        from saccade.robust.tables import markdown
    flags = {"data": data, "model": model, "seed": seed, "n": n, "out": out}
    recipe = _recipe(_table(arguments, threads), flags)
    with bars(quiet=as_json) as progress:
        result = measure_detection(recipe, _telling(progress))
    folder = Path(recipe.out) / "detect"
    tables = [detection_table(result), cross_table(result)]
    (folder / "detect.md").write_text("\n".join(markdown(rows) for rows in tables))
    with needs("robust"):
        from saccade.robust.classifiers.figures import draw_detection
    draw_detection(result, folder / "detect.png")
    if as_json:
        typer.echo(result.model_dump_json())
        return
    typer.echo("AUC, fitted to each attack; mean over nets [95 %]")
    _show(tables[0])
    typer.echo("AUC of `fisher`, fitted to one attack and tried on all")
    _show(tables[1])
    typer.echo(f"written to {folder}: detect.json, detect.md, detect.png, detector.npz")


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
    from saccade.cli.extras import needs
    from saccade.cli.progress import bars
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
        result = measure_agent(recipe, _telling(progress))
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
        typer.echo(f"{threat}: share of {result.threats[threat][0].n} questions that is right")
        _show(rows)
    if result.unscored:
        typer.echo(f"left out: {result.unscored} questions of which an episode failed on our side")
    typer.echo(
        f"written to {folder}: agent_attack.json, agent_attack.md, agent_attack.png, "
        "attacked.png, attacked/"
    )


def _table(arguments: Sequence[str] | None, threads: int | None) -> Table:
    """A run file if the first argument is one, and key=value over it."""
    from saccade.config import read_toml, with_overrides
    from saccade.threads import use_threads

    given = list(arguments or [])
    table = read_toml(Path(given.pop(0))) if given and "=" not in given[0] else {}
    if threads is not None:
        use_threads(threads)
    return with_overrides(table, given)


def _recipe(table: Table, flags: Mapping[str, str | int | None]) -> RobustRecipe:
    """The recipe of a classifier; flags go over the run file."""
    from saccade.config import validate
    from saccade.robust.classifiers.recipe import RobustRecipe

    given = {key: value for key, value in flags.items() if value is not None}
    return validate(RobustRecipe, {**table, **given})


def _telling(progress: Progress) -> OnProgress:
    """A bar for what is under way."""
    bar = progress.add_task("", total=None)

    def tell(what: str, done: int, total: int) -> None:
        progress.update(bar, description=what, completed=done, total=total)

    return tell


def _show(rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table as Shown

    shown = Shown()
    for name in rows[0]:
        shown.add_column(name, overflow="fold")  # a name that is cut cannot be read
    for row in rows[1:]:
        shown.add_row(*row)
    Console().print(shown)
