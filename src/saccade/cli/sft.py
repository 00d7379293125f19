"""`saccade sft`: supervised fine-tuning on the trajectories of run folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from saccade.cli.common.options import Json, RecipeFile, Settings, Threads, read_runfile
from saccade.cli.common.say import say, say_json

if TYPE_CHECKING:
    from pydantic import JsonValue

    from saccade.train.checkpoints import Step
    from saccade.train.recipe import SFTRecipe


def sft(
    recipe: RecipeFile,
    settings: Settings = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Fine-tune a model on demonstrations.

    The same command resumes.
    """
    from saccade.cli.common.outcome import finished_before
    from saccade.config import validate
    from saccade.runs.folder import finished_in
    from saccade.runs.preflight import check_runs
    from saccade.train.recipe import SFTRecipe

    chosen = validate(SFTRecipe, read_runfile(recipe, settings))
    config, total = chosen.model_dump(mode="json"), sum(map(finished_in, chosen.runs))
    result = finished_before("sft", config, Path(chosen.out), total=total)
    if result is None:
        check_runs(chosen.runs)
        result = _train(chosen, threads, quiet=as_json)
    if as_json:
        say_json(result)
        return
    left_out, losses = result["left_out"], result["losses"]
    assert isinstance(left_out, dict)
    assert isinstance(losses, list)
    reasons = ", ".join(f"{n} {why}" for why, n in left_out.items())
    say(
        f"trained on {result['trajectories']} trajectories"
        + (f" (left out: {reasons})" if reasons else "")
        + (f"; loss {losses[0]:.3f} -> {losses[-1]:.3f}" if losses else "")
    )
    folder = result["model"]
    say(f"written to {folder}; it loads as its base did: policy.kind=hf policy.path={folder}")


def _train(recipe: SFTRecipe, threads: int | None, *, quiet: bool) -> dict[str, JsonValue]:
    from saccade.cli.common.extras import needs
    from saccade.cli.common.progress import bars
    from saccade.runs.finished import read_finished

    with needs("train"):
        from saccade.models.threads import use_threads
        from saccade.train.sft import sft as train
    if threads is not None:
        use_threads(threads)
    with bars(quiet=quiet) as progress:
        bar = progress.add_task("steps", total=recipe.steps)

        def on_resume(checkpoint: Path) -> None:
            progress.console.print(f"resumed from {checkpoint.name}")
            progress.reset(bar, completed=int(checkpoint.name.partition("-")[2]))

        def on_step(step: Step) -> None:
            note = f"loss {step.metrics['loss']:.3f}"
            progress.update(bar, completed=step.step, total=step.last, note=note)

        train(recipe, on_step=on_step, on_resume=on_resume)
    return read_finished(Path(recipe.out)).result
