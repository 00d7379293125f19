"""`saccade bench NAME`: a benchmark attempted by a policy, with honest numbers."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saccade.cli.common.options import Json, Settings, spare_threads
from saccade.cli.common.say import say

if TYPE_CHECKING:
    from pydantic import JsonValue

    from saccade.bench.recipe import BenchRecipe
    from saccade.cli.benches.result import Failures
    from saccade.runs.folder import Key
    from saccade.types import Task, Trajectory


def bench(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="The benchmark (`saccade bench list` names them), or a run file (TOML) with it.",
        ),
    ],
    settings: Settings = None,
    n: Annotated[int | None, typer.Option(min=1, help="Number of items; all if left out.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the run: which items, and in which order options.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="PATH", help="The file or folder of the data set.")
    ] = None,
    arm: Annotated[
        str | None,
        typer.Option(help="How a question is attempted: direct, cot, or agent (the usual one)."),
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Number of attempts at each item.")
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Part I of N of the items; `saccade bench merge` joins."),
    ] = None,
    compat: Annotated[
        str | None,
        typer.Option(help="vlmevalkit: its scorers beside ours, and options in file order."),
    ] = None,
    audit: Annotated[
        bool, typer.Option("--audit", help="Play the arms that say what looking contributes.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Attempt the items of a benchmark.

    The same command resumes. Exit code 1 if episodes were aborted or could not be scored.

    saccade bench nano

    saccade bench vstar data=FOLDER policy.kind=openai policy.base_url=URL policy.model=NAME
    """
    import asyncio

    from saccade.bench.run import preflight
    from saccade.cli.benches.audit import run_audit
    from saccade.cli.benches.chosen import recipe_of
    from saccade.cli.benches.result import is_result, result_of
    from saccade.cli.benches.show import show
    from saccade.cli.common.interrupt import keeps
    from saccade.cli.common.outcome import finished_before
    from saccade.runs.finished import finish

    options: dict[str, JsonValue] = {
        "n": n, "seed": seed, "data": data, "arm": arm, "samples": samples, "shard": shard,
        "compat": compat,
    }  # fmt: skip
    recipe, out = recipe_of(name, settings or [], options, audit=audit)
    if audit:
        preflight(recipe)
        spare_threads(recipe.policy)
        keeps(out)
        run_audit(recipe, out, as_json=as_json)
        return
    config = recipe.model_dump(mode="json")
    result, failures = finished_before("bench", config, out, is_result=is_result), None
    if result is None:
        ids = preflight(recipe)
        spare_threads(recipe.policy)
        asked = asyncio.run(_attempt_all(recipe, out, len(ids), quiet=as_json))
        result, failures = result_of(recipe, out, asked)
        if not failures.reasons:
            finish(out, "bench", config, result, needs=["trajectories.jsonl"])
    show(result, as_json=as_json)
    if failures is not None and failures.reasons:
        _show_failures(failures)
        raise typer.Exit(1)


async def _attempt_all(
    recipe: BenchRecipe, out: Path, items: int, *, quiet: bool
) -> frozenset[Key]:
    """Attempt what is missing, and return which attempts are asked for."""
    from saccade.bench.run import run_bench
    from saccade.cli.benches.tally import Tally, price_of
    from saccade.cli.common.progress import bars
    from saccade.runs.diagnosis import RunWatch
    from saccade.runs.folder import RunReader

    total = None if recipe.order == "circular" else items * recipe.samples
    tally, watch = Tally(price_of(recipe.policy)), RunWatch()
    with bars(quiet=quiet) as progress:
        bar = progress.add_task("episodes", total=total)

        def on_finish(task: Task, trajectory: Trajectory) -> None:
            tally.add(trajectory)
            progress.update(bar, advance=1, note=tally.note)
            if (said := watch.add(task, trajectory)) is not None:
                warnings.warn(said, stacklevel=2)

        def on_resume(number: int) -> None:
            if not number:
                return
            for trajectory in RunReader(out).trajectories():
                tally.add(trajectory)
            of_all = "" if total is None else f" of {total}"
            progress.console.print(f"resumed: {number}{of_all} episodes are there")
            progress.reset(bar, completed=number, note=tally.note)

        return await run_bench(recipe, out, on_finish=on_finish, on_resume=on_resume)


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
