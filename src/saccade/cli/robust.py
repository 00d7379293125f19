"""`saccade attack` and `saccade detect`: how a classifier stands up to attacks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saccade.cli.runfile import Threads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.progress import Progress

    from saccade.robust.evaluate import Told
    from saccade.robust.options import RobustRecipe

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
    """Attack a classifier and show at which size how many images are lost."""
    from saccade.cli.extras import needs
    from saccade.cli.progress import bars

    with needs("robust"):
        from saccade.robust import figures
        from saccade.robust.evaluate import measure_attacks, subjects
    flags = {"data": data, "model": model, "seed": seed, "n": n, "out": out}
    recipe = _recipe(arguments, flags, threads)
    with bars(quiet=as_json) as progress:
        result = measure_attacks(recipe, _telling(progress))
        _, first = next(iter(subjects(recipe, _telling(progress))))
    folder = Path(recipe.out)
    text = figures.markdown(figures.attack_table(result))
    figures.draw_attack(result, folder / "attack.png")
    figures.draw_examples(first, recipe.attack, folder / "examples.png")
    (folder / "attack.md").write_text(text)
    if as_json:
        typer.echo(result.model_dump_json())
        return
    _show(figures.attack_table(result))
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
        from saccade.robust import figures
        from saccade.robust.detection import measure_detection
    flags = {"data": data, "model": model, "seed": seed, "n": n, "out": out}
    recipe = _recipe(arguments, flags, threads)
    with bars(quiet=as_json) as progress:
        result = measure_detection(recipe, _telling(progress))
    folder = Path(recipe.out)
    tables = [figures.detection_table(result), figures.cross_table(result)]
    (folder / "detect.md").write_text("\n".join(figures.markdown(rows) for rows in tables))
    figures.draw_detection(result, folder / "detect.png")
    if as_json:
        typer.echo(result.model_dump_json())
        return
    typer.echo("AUC, fitted to each attack; mean over nets [95 %]")
    _show(tables[0])
    typer.echo("AUC of `fisher`, fitted to one attack and tried on all")
    _show(tables[1])
    typer.echo(f"written to {folder}: detect.json, detect.md, detect.png, detector.npz")


def _recipe(
    arguments: Sequence[str] | None, flags: dict[str, str | int | None], threads: int | None
) -> RobustRecipe:
    """A run file if the first argument is one, key=value over it, and flags over both."""
    from saccade.config import read_toml, validate, with_overrides
    from saccade.robust.options import RobustRecipe
    from saccade.threads import use_threads

    given = list(arguments or [])
    table = read_toml(Path(given.pop(0))) if given and "=" not in given[0] else {}
    given_flags = {key: value for key, value in flags.items() if value is not None}
    if threads is not None:
        use_threads(threads)
    return validate(RobustRecipe, {**with_overrides(table, given), **given_flags})


def _telling(progress: Progress) -> Told:
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
