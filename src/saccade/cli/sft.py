"""`saccade sft`: supervised fine-tuning on the trajectories of run folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from saccade.cli.common.options import Json, RecipeFile, Settings, Threads, read_runfile

if TYPE_CHECKING:
    from saccade.train.checkpoints import Step


def sft(
    recipe: RecipeFile,
    settings: Settings = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Fine-tune a model on demonstrations.

    The same command resumes.
    """
    from saccade.cli.common.extras import needs
    from saccade.cli.common.progress import bars
    from saccade.config import validate
    from saccade.runs.preflight import check_runs

    table = read_runfile(recipe, settings)
    with needs("train"):
        from saccade.models.threads import use_threads
        from saccade.train.sft import SFTRecipe
        from saccade.train.sft import sft as train
    if threads is not None:
        use_threads(threads)
    chosen = validate(SFTRecipe, table)
    check_runs(chosen.runs)
    losses: list[float] = []
    with bars(quiet=as_json) as progress:
        bar = progress.add_task("steps", total=chosen.steps)

        def on_step(step: Step) -> None:
            progress.update(bar, completed=step.step, total=step.last)
            losses.append(step.metrics["loss"])

        folder = train(chosen, on_step=on_step)
    examples = json.loads((Path(chosen.out) / "examples.json").read_text())
    if as_json:
        typer.echo(json.dumps({"model": str(folder), "losses": losses, **examples}))
        return
    left_out = ", ".join(f"{n} {why}" for why, n in examples["left_out"].items())
    typer.echo(
        f"trained on {examples['trajectories']} trajectories"
        + (f" (left out: {left_out})" if left_out else "")
        + (f"; loss {losses[0]:.3f} -> {losses[-1]:.3f}" if losses else "")
    )
    typer.echo(
        f"written to {folder}; it loads as its base did: policy.kind=hf policy.path={folder}"
    )
