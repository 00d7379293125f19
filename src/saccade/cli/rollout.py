"""`saccade rollout`: run the tasks of a run file into a run folder."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from saccade.cli.common.options import Json, RecipeFile, Settings, read_runfile, spare_threads
from saccade.cli.common.say import say, say_json

if TYPE_CHECKING:
    from pydantic import JsonValue

    from saccade.recipe import Recipe
    from saccade.rollout import Job
    from saccade.runs.assemble import Assembly
    from saccade.runs.folder import Key


class Failures(NamedTuple):
    """The episodes of a run that failed on our side."""

    aborted: int
    """Number of those that the same command attempts again."""
    unscored: int
    """Number of those that are finished, but whose reward failed."""
    reasons: Counter[str]
    """Why, and how often."""


def rollout(
    recipe: RecipeFile,
    settings: Settings = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the run; the same as seed=N.")] = None,
    n: Annotated[int | None, typer.Option(help="Number of tasks; the same as tasks.n=N.")] = None,
    as_json: Json = False,
) -> None:
    """Attempt every task of a run file.

    The same command resumes. Exit code 1 if episodes were aborted.
    """
    import asyncio

    from saccade.cli.common.outcome import finished_before
    from saccade.config import validate
    from saccade.errors import ConfigError
    from saccade.recipe import Recipe, count_tasks
    from saccade.runs.finished import finish
    from saccade.runs.preflight import preflight

    overrides = list(settings or [])
    overrides += [] if seed is None else [f"seed={seed}"]
    overrides += [] if n is None else [f"tasks.n={n}"]
    chosen = validate(Recipe, read_runfile(recipe, overrides))
    if chosen.out is None:
        raise ConfigError("out: missing; name the run folder with out=runs/NAME")
    out, config, total = Path(chosen.out), chosen.model_dump(mode="json"), count_tasks(chosen)
    result = finished_before("rollout", config, out, total=total)
    failures = Failures(0, 0, Counter())
    if result is None:
        preflight(chosen)
        spare_threads(chosen.policy)
        asked = asyncio.run(_attempt_all(chosen, out, total, quiet=as_json))
        result, failures = _result(out, asked)
        if not failures.reasons:
            finish(out, "rollout", config, result, needs=["trajectories.jsonl"], total=total)
    _show(result, as_json=as_json)
    if failures.reasons:
        _show_failures(failures)
        raise typer.Exit(1)


async def _attempt_all(
    recipe: Recipe, out: Path, count: int | None, *, quiet: bool
) -> frozenset[Key]:
    """Attempt what is missing, and return which attempts are asked for."""
    from saccade.cli.common.progress import bars
    from saccade.measures.summary import is_correct
    from saccade.recipe import make_tasks
    from saccade.runs.assemble import assemble
    from saccade.runs.diagnosis import RunWatch
    from saccade.runs.execute import jobs_of, play
    from saccade.runs.manifest import RUN
    from saccade.types import Task, Trajectory

    total = None if count is None else count * recipe.samples
    verdicts: list[bool] = []
    watch = RunWatch()
    with bars(quiet=quiet) as progress:
        bar = progress.add_task("episodes", total=total)

        def on_finish(task: Task, trajectory: Trajectory) -> None:
            correct = is_correct(trajectory)
            verdicts.extend([] if correct is None else [correct])
            share = f"accuracy {sum(verdicts) / len(verdicts):.2f}" if verdicts else ""
            note = f"{share} (n {len(verdicts)})" if verdicts else ""
            progress.update(bar, advance=1, note=note)
            if (said := watch.add(task, trajectory)) is not None:
                warnings.warn(said, stacklevel=2)

        def on_resume(number: int) -> None:
            if number:
                of_all = "" if total is None else f" of {total}"
                progress.console.print(f"resumed: {number}{of_all} episodes are there")
                progress.reset(bar, completed=number)

        asked: set[Key] = set()

        def drawn() -> Iterator[Job]:
            for job in jobs_of(recipe, make_tasks(recipe)):
                asked.add((job.task.id, job.sample))
                yield job

        assembly = assemble(recipe)
        try:
            if not (out / RUN).exists():
                await _warn_of_blindness(recipe, assembly)
            await play(
                "rollout", recipe, assembly, drawn(), out, on_finish=on_finish, on_resume=on_resume
            )
        finally:
            await assembly.close()
    return frozenset(asked)


async def _warn_of_blindness(recipe: Recipe, assembly: Assembly) -> None:
    from saccade.canary.warning import blindness

    said = await blindness(recipe, assembly.policy, assembly.environment)
    if said is not None:
        warnings.warn(said, stacklevel=2)


def _result(out: Path, asked: frozenset[Key]) -> tuple[dict[str, JsonValue], Failures]:
    """What the folder holds of the attempts that were asked for, and what failed of them.

    It may hold more: of a larger run that was killed, only what was quick.
    """
    from saccade.measures.summary import summary, summary_by
    from saccade.runs.diagnosis import common_causes
    from saccade.runs.folder import RunReader

    reader = RunReader(out)
    entries = (e for e in reader.entries() if (e.task.id, e.trajectory.sample) in asked)
    pairs = [(entry.task, entry.trajectory) for entry in entries]
    trajectories = [trajectory for _, trajectory in pairs]
    groups, total = summary_by(lambda task: task.family, pairs), summary(pairs)
    result: dict[str, JsonValue] = {
        "out": str(out),
        "fingerprint": reader.manifest.fingerprint,
        "all": total.model_dump(mode="json"),
        "groups": {name: s.model_dump(mode="json") for name, s in groups.items()},
        "causes": [*common_causes(trajectories)],
    }
    unscored = sum(trajectory.reward_failed for trajectory in trajectories)
    reasons = Counter(trajectory.error for trajectory in trajectories if trajectory.error)
    return result, Failures(total.aborted, unscored, reasons)


def _show(result: dict[str, JsonValue], *, as_json: bool) -> None:
    from saccade.cli.common.console import terminal
    from saccade.cli.common.show import summary_table
    from saccade.measures.summary import Summary

    if as_json:
        say_json(result)
        return
    console, groups = terminal(), result["groups"]
    assert isinstance(groups, dict)
    by_group = {name: Summary.model_validate(s) for name, s in groups.items()}
    console.print(summary_table(by_group, Summary.model_validate(result["all"])))
    causes = result["causes"]
    assert isinstance(causes, list)
    for cause in causes:
        console.print(cause, style="yellow")
    where = f"environment {result['fingerprint']}, run folder {result['out']}"
    console.print(where, style="dim")


def _show_failures(failures: Failures) -> None:
    from saccade.untrusted.printable import one_line

    if failures.aborted:
        say(
            f"{failures.aborted} episodes were aborted: they failed on our side, not the model's; "
            "the same command attempts them again",
            err=True,
        )
    if failures.unscored:
        say(
            f"{failures.unscored} episodes are finished but have no score, because the reward "
            "failed; the same command scores them again, without playing them",
            err=True,
        )
    say(f"most often: {one_line(failures.reasons.most_common(1)[0][0])}", err=True)
