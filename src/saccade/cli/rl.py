"""`saccade rl`: reinforcement learning from the outcome of episodes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from saccade.cli.common.options import Json, RecipeFile, Settings, Threads, read_runfile

if TYPE_CHECKING:
    from saccade.train.checkpoints import Step


def rl(
    recipe: RecipeFile,
    settings: Settings = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Train a model by reinforcement learning.

    Its episodes are rolled out, scored and learned from; the same command resumes.
    """
    from saccade.cli.common.extras import needs
    from saccade.cli.common.progress import bars
    from saccade.config import validate
    from saccade.runs.preflight import preflight

    table = read_runfile(recipe, settings)
    with needs("train"):
        from saccade.models.threads import use_threads
        from saccade.train.recipe import RLRecipe
        from saccade.train.rl import rl as train
    if threads is not None:
        use_threads(threads)
    chosen = validate(RLRecipe, table)
    preflight(chosen)
    steps: list[Step] = []
    with bars(quiet=as_json) as progress:
        bar = progress.add_task("steps", total=chosen.train.steps)

        def on_step(step: Step) -> None:
            steps.append(step)
            progress.update(bar, completed=step.step, description=_line(step.metrics))

        folder = train(chosen, on_step=on_step)
    if not steps:  # another process of the launch reports, or nothing was left to do
        return
    first, last = steps[0].metrics, steps[-1].metrics
    if as_json:
        typer.echo(json.dumps({"model": str(folder), "first": first, "last": last}))
        return
    typer.echo(f"step {steps[0].step}: {_line(first)}")
    typer.echo(f"step {steps[-1].step}: {_line(last)}")
    typer.echo(f"written to {folder}; every step: saccade report {chosen.out}")


def _line(metrics: dict[str, float]) -> str:
    named = {"reward": "reward", "accuracy": "accuracy", "tool_call_rate": "tool-call rate"}
    known = [f"{name} {metrics[key]:.2f}" for key, name in named.items() if key in metrics]
    return ", ".join(known)
