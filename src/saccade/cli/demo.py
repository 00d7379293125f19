"""`saccade demo`: the embedded model with its tools, and how much they improve its accuracy."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

if TYPE_CHECKING:
    from pydantic import JsonValue
    from rich.console import Console

    from saccade.config import Table
    from saccade.policies.hf import HFPolicy
    from saccade.recipe import Recipe
    from saccade.types import Task, Trajectory

INTRODUCTION = (
    "A tiny vision-language model (Qwen2.5-VL class, 0.8 million parameters, trained from nothing "
    "on this world) sees each scene at 56x56 pixels. What is small cannot be read there: it must "
    "decide to look again, and where."
)
MORE = (
    " Facts stand in documents alone: it must search. Products it cannot work out: it must write "
    "code. What it can do by itself it should."
)


class Show(NamedTuple):
    """What an embedded model is asked."""

    introduction: str
    scenes: tuple[tuple[str, int], ...]
    """Family and seed: held-out scenes, whatever comes out."""
    families: dict[str, str]
    """Family of the table -> what is asked for."""


ALL_TOOLS = Show(
    INTRODUCTION + MORE,
    (("read", 0), ("easy", 1), ("compute", 2), ("all", 3)),
    {
        "read": "a small digit",
        "far": "a smaller one",
        "easy": "a large digit",
        "compute": "a product",
        "compute_far": "the same, small",
        "lookup": "a fact",
        "all": "two facts, multiplied",
    },
)
LOOKS_ALONE = Show(
    INTRODUCTION,
    (("read", 0), ("easy", 1), ("read", 2)),
    {"read": "a small digit", "easy": "a large digit"},
)


def demo(
    n: Annotated[int, typer.Option(min=2, help="Number of tasks in the table.")] = 200,
    seed: Annotated[
        int, typer.Option(min=0, help="Number that is added to the seed of every scene.")
    ] = 0,
    out: Annotated[Path | None, typer.Option(help="The run folder; a new one if left out.")] = None,
) -> None:
    """Watch the embedded model solve held-out scenes.

    Then it is compared with itself where it must answer at once, without a tool.
    """
    from saccade.cli.common.console import terminal
    from saccade.cli.common.interrupt import keeps
    from saccade.cli.common.outcome import finished_before

    folder = out or Path(time.strftime("runs/demo-%Y%m%d-%H%M%S"))
    console = terminal()
    show = _choose(console)
    recipe = _recipe(show, seed, n)
    result = finished_before("demo", recipe.model_dump(mode="json"), folder)
    if result is None:
        keeps(folder, f"saccade demo --n {n} --seed {seed} --out {folder}")
        result = _play(console, show, recipe, folder, n=n, seed=seed)
    _show(console, result)
    console.print(f"\nrun folder: {folder}, {result['episodes']} episodes; look at them:", end="  ")
    console.print(f"saccade view {folder} --open", soft_wrap=True)
    console.print("more arms and families, other scenes:  saccade nano eval --seed 7")
    console.print(
        "a photograph of yours, any OpenAI-compatible server:  "
        'saccade solve PHOTO "QUESTION" policy.kind=openai policy.base_url=URL policy.model=NAME',
        soft_wrap=True,
    )


def _choose(console: Console) -> Show:
    """All tools where this machine can isolate code and search; looks alone elsewhere."""
    from saccade.errors import ConfigError, require
    from saccade.nano.deepeyes_v2.spec import PYTHON_OPTIONS
    from saccade.sandbox.modes import choose

    try:
        require("tantivy")
        choose(PYTHON_OPTIONS.sandbox).close()
    except ConfigError as error:
        console.print(f"{error}\nSo the model is shown whose only tool is a look.\n")
        return LOOKS_ALONE
    return ALL_TOOLS


def _model(show: Show) -> str:
    """The folder of the model that is shown."""
    from saccade.embedded import DEFAULT, LOOKS, resolve

    return resolve(DEFAULT if show is ALL_TOOLS else LOOKS)


def _play(
    console: Console, show: Show, recipe: Recipe, folder: Path, *, n: int, seed: int
) -> dict[str, JsonValue]:
    import asyncio

    from saccade.cli.common.extras import needs
    from saccade.cli.common.options import spare_threads
    from saccade.runs.finished import finish
    from saccade.runs.folder import RunReader
    from saccade.types import StopReason
    from saccade.world import tasks

    with needs("local"):
        from saccade.policies.hf import HFOptions, HFPolicy
    spare_threads(recipe.policy)

    console.print(show.introduction)
    scenes = [next(tasks(family, n=1, seed=seed + at)) for family, at in show.scenes]
    asyncio.run(_watch(console, recipe, scenes, folder))
    later, kinds = seed + len(show.scenes), len(show.families)
    asked = [
        task
        for place, family in enumerate(show.families)
        for task in tasks(family, n=n // kinds + (place < n % kinds), seed=later)
    ]
    rows = _compare(HFPolicy(HFOptions(path=_model(show))), show, recipe, asked, folder)
    entries = list(RunReader(folder).entries())
    result: dict[str, JsonValue] = {"asked": len(asked), "rows": rows, "episodes": len(entries)}
    if all(entry.trajectory.stop is not StopReason.ABORTED for entry in entries):
        config = recipe.model_dump(mode="json")
        finish(folder, "demo", config, result, needs=["trajectories.jsonl"])
    return result


def _recipe(show: Show, seed: int, n: int) -> Recipe:
    from saccade.config import validate
    from saccade.nano import spec
    from saccade.nano.deepeyes_v2 import spec as deepeyes_v2
    from saccade.recipe import Recipe

    sections = deepeyes_v2.sections if show is ALL_TOOLS else spec.sections
    policy: Table = {"kind": "hf", "path": _model(show)}
    tasks: Table = {"kind": "world", "family": list(show.families), "n": n}
    return validate(Recipe, {**sections(), "seed": seed, "policy": policy, "tasks": tasks})


async def _watch(console: Console, recipe: Recipe, scenes: list[Task], folder: Path) -> None:
    """One scene after the other, every turn printed."""
    from saccade.cli.common.show import show_task, show_turns
    from saccade.rollout import Job
    from saccade.runs.execute import run

    def on_finish(task: Task, trajectory: Trajectory) -> None:
        console.rule(task.id)
        show_task(console, task)
        show_turns(console, trajectory)
        console.print(f"the correct answer is {task.answer}", style="dim")

    one_by_one = recipe.model_copy(update={"concurrency": 1})
    await run("demo", one_by_one, [Job(scene) for scene in scenes], folder, on_finish=on_finish)


def _compare(
    policy: HFPolicy, show: Show, recipe: Recipe, asked: list[Task], folder: Path
) -> dict[str, JsonValue]:
    """The same questions, answered at once and with looking again; the latter go to the folder.

    Returns:
        Row of the table -> its cells.
    """
    import asyncio

    from saccade.cli.common.progress import bars
    from saccade.measures.summary import summary
    from saccade.nano.evaluate import environment_of, evaluate
    from saccade.rollout import Job
    from saccade.runs.execute import run
    from saccade.runs.folder import RunReader
    from saccade.world import REPORTED

    with bars() as progress:
        bar = progress.add_task("episodes", total=2 * len(asked))
        direct = evaluate(
            policy,
            asked,
            "direct",
            asker=environment_of(policy.info),
            on_finish=lambda task, t: progress.advance(bar),
        )

        def on_finish(task: Task, trajectory: Trajectory) -> None:
            progress.advance(bar)

        asyncio.run(run("demo", recipe, [Job(task) for task in asked], folder, on_finish=on_finish))
        progress.update(bar, completed=2 * len(asked))  # with those that were there already
    wanted = {task.id for task in asked}
    agent = [entry for entry in RunReader(folder).entries() if entry.task.id in wanted]
    rows: dict[str, JsonValue] = {}
    for family, what in show.families.items():
        said = REPORTED.get(family, family)
        a, b = (
            summary(p for p in pairs if p[0].meta["family"] == said) for pairs in (direct, agent)
        )
        rows[f"{family}: {what}"] = [
            *(f"{s.accuracy or 0:.2f} [{s.low or 0:.2f}-{s.high or 0:.2f}]" for s in (a, b)),
            f"{b.tool_calls or 0:.2f}", str(b.scored),
        ]  # fmt: skip
    return rows


def _show(console: Console, result: dict[str, JsonValue]) -> None:
    from rich.table import Table

    rows = result["rows"]
    assert isinstance(rows, dict)
    console.rule(f"{result['asked']} held-out tasks")
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("accuracy [95 % CI]")
    for name in ("must answer at once", "may call tools", "calls", "n"):
        table.add_column(name, justify="right")
    for name, cells in rows.items():
        assert isinstance(cells, list)
        table.add_row(name, *map(str, cells))
    console.print(table)
