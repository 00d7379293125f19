"""`saccade rl`: learn to use tools from the outcome of one's own episodes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from saccade.train.checkpoints import Step


def rl(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The run file (TOML).")],
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE", help="key=value, over what the run file says.", show_default=False
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON and nothing else.")
    ] = False,
) -> None:
    """Train a model by the outcome of its own episodes; run it again to resume."""
    from saccade.cli.embedded import with_folders
    from saccade.cli.extras import needs
    from saccade.cli.progress import bars
    from saccade.config import read_toml, validate, with_overrides

    with needs("train"):
        from saccade.models import use_threads
        from saccade.train.options import RLRecipe
        from saccade.train.rl import rl as train
    if threads is not None:
        use_threads(threads)
    chosen = validate(RLRecipe, with_folders(with_overrides(read_toml(recipe), settings or [])))
    news: list[Step] = []
    with bars(quiet=as_json) as progress:
        bar = progress.add_task("steps", total=chosen.train.steps)

        def step(step: Step) -> None:
            news.append(step)
            progress.update(bar, completed=step.step, description=_line(step.metrics))

        folder = train(chosen, on_step=step)
    if not news:  # another process of a launch tells, or nothing was left to do
        return
    first, last = news[0].metrics, news[-1].metrics
    if as_json:
        typer.echo(json.dumps({"model": str(folder), "first": first, "last": last}))
        return
    typer.echo(f"step {news[0].step}: {_line(first)}")
    typer.echo(f"step {news[-1].step}: {_line(last)}")
    typer.echo(f"written to {folder}; every step: saccade report {chosen.out}")


def _line(metrics: dict[str, float]) -> str:
    named = {"reward": "reward", "accuracy": "right", "call_rate": "calls"}
    known = [f"{name} {metrics[key]:.2f}" for key, name in named.items() if key in metrics]
    return ", ".join(known)
