"""`saccade detect`: how well attacked images are detected."""

from __future__ import annotations

from pathlib import Path

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
    """Measure how well attacked images are detected.

    Clean and noisy images are the negatives of every signal.
    """
    from saccade.cli.common.extras import needs
    from saccade.cli.common.progress import bars, one_bar

    table = read_table(arguments)
    with needs("robust"):
        from saccade.models.threads import use_threads
        from saccade.robust.classifiers.detection import measure_detection
        from saccade.robust.classifiers.tables import cross_table, detection_table
        from saccade.robust.tables import markdown
    if threads is not None:
        use_threads(threads)
    flags = {"data": data, "model": model, "seed": seed, "n": n, "out": out}
    recipe = classifier_recipe(table, flags)
    with bars(quiet=as_json) as progress:
        result = measure_detection(recipe, one_bar(progress))
    folder = Path(recipe.out) / "detect"
    tables = [detection_table(result), cross_table(result)]
    (folder / "detect.md").write_text("\n".join(markdown(rows) for rows in tables))
    with needs("robust"):
        from saccade.robust.classifiers.figures import draw_detection
    draw_detection(result, folder / "detect.png")
    if as_json:
        typer.echo(result.model_dump_json())
        return
    typer.echo("AUC, fitted to each attack; mean over nets [95 % CI]")
    show_table(tables[0])
    typer.echo("AUC of `fisher`, fitted to one attack and tried on all")
    show_table(tables[1])
    typer.echo(f"written to {folder}: detect.json, detect.md, detect.png, detector.npz")
