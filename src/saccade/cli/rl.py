"""`saccade rl`: reinforcement learning from the outcome of episodes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from saccade.cli.common.options import Json, RecipeFile, Settings, Threads, read_runfile
from saccade.cli.common.say import say, say_json

if TYPE_CHECKING:
    from pydantic import JsonValue

    from saccade.train.checkpoints import Step
    from saccade.train.recipe import RLRecipe


def rl(
    recipe: RecipeFile,
    settings: Settings = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Train a model by reinforcement learning.

    Its episodes are rolled out, scored and learned from; the same command resumes.
    """
    from saccade.cli.common.outcome import finished_before
    from saccade.config import validate
    from saccade.runs.preflight import preflight
    from saccade.train.recipe import RLRecipe
    from saccade.untrusted.printable import one_line

    chosen = validate(RLRecipe, read_runfile(recipe, settings))
    result = finished_before("rl", chosen.model_dump(mode="json"), Path(chosen.out))
    if result is None:
        preflight(chosen)
        result = _train(chosen, threads, quiet=as_json)
    if os.environ.get("RANK", "0") != "0":  # the first process of a launch reports
        return
    if as_json:
        say_json(result)
        return
    for end in ("first", "last"):
        metrics = result[end]
        assert isinstance(metrics, dict)
        say(f"step {metrics['step']}: {_line(metrics)}")
    dropped = result.get("dropped")
    for family, step in dropped.items() if isinstance(dropped, dict) else ():
        say(f"family {one_line(family)}: never right, no longer drawn after step {step}")
    say(f"written to {result['model']}; every step: saccade report {chosen.out}")


def _train(recipe: RLRecipe, threads: int | None, *, quiet: bool) -> dict[str, JsonValue]:
    from saccade.cli.common.extras import needs
    from saccade.cli.common.progress import bars
    from saccade.runs.finished import read_finished

    with needs("train"):
        from saccade.models.threads import use_threads
        from saccade.train.rl import rl as train
    if threads is not None:
        use_threads(threads)
    with bars(quiet=quiet) as progress:
        bar = progress.add_task("steps", total=recipe.train.steps)

        def on_resume(checkpoint: Path) -> None:
            progress.console.print(f"resumed from {checkpoint.name}")
            progress.reset(bar, completed=int(checkpoint.name.partition("-")[2]))

        def on_step(step: Step) -> None:
            progress.update(bar, completed=step.step, note=_line(step.metrics))

        train(recipe, on_step=on_step, on_resume=on_resume)
    return read_finished(Path(recipe.out)).result


def _line(metrics: Mapping[str, JsonValue]) -> str:
    named = {"reward": "reward", "accuracy": "accuracy", "tool_call_rate": "tool-call rate"}
    known = [f"{name} {metrics[key]:.2f}" for key, name in named.items() if key in metrics]
    return ", ".join(known)
