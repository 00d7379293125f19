"""`saccade demo`: the whole agent on procedural scenes, with a script in the model's place."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saccade.geometry import PixelBudget, Size

if TYPE_CHECKING:
    from saccade.serve.scripted import ScriptedRequest
    from saccade.types import Task

NOTICE = (
    "No model is at work here. A script that knows the answers plays the model, behind a real "
    "chat server on this machine: it shows what an agent does, not that one is clever. Scenes, "
    "zoom tool, environment, scoring and run folder are the real ones."
)


def demo(
    seed: Annotated[int, typer.Option(help="Seed of the scenes.")] = 0,
    n: Annotated[int, typer.Option(help="How many scenes.", min=1, max=1000)] = 3,
    out: Annotated[Path | None, typer.Option(help="Run folder [default: runs/demo-TIME].")] = None,
) -> None:
    """Watch an agent look again: three scenes, every turn, and where it all is kept."""
    from rich.console import Console

    from saccade.cli.show import show_task, show_turns, summary_table
    from saccade.config import validate
    from saccade.measures import summary
    from saccade.recipe import Recipe
    from saccade.rollout import Job
    from saccade.run import run
    from saccade.serve.scripted import ScriptedServer
    from saccade.store import RunReader
    from saccade.types import Trajectory
    from saccade.world import tasks

    console = Console(highlight=False)
    console.print(NOTICE, style="yellow")
    scenes = list(tasks("read", n=n, seed=seed))
    folder = out or Path(time.strftime("runs/demo-%Y%m%d-%H%M%S"))
    view = PixelBudget(max_pixels=336 * 336)
    script = Script(scenes, view)

    def finished(task: Task, trajectory: Trajectory) -> None:
        console.rule(task.id)
        show_task(console, task)
        show_turns(console, trajectory)

    with ScriptedServer(script.answer) as server:
        recipe = validate(
            Recipe,
            {
                "seed": seed,
                "concurrency": 1,
                "environment": {
                    "view": view.model_dump(),
                    "observation": PixelBudget(min_pixels=224 * 224).model_dump(),
                },
                "policy": {"kind": "openai", "base_url": server.url, "model": "script"},
            },
        )
        asyncio.run(run(recipe, [Job(scene) for scene in scenes], folder, on_finish=finished))
    console.rule()
    pairs = [(entry.task, entry.trajectory) for entry in RunReader(folder).entries()]
    console.print(summary_table({}, summary(pairs)))
    console.print(f"run folder: {folder} (docs/file_formats.md says what is in it)")
    console.print("your own photograph, with any OpenAI-compatible server:")
    console.print(
        '  saccade solve PHOTO "QUESTION" policy.kind=openai policy.base_url=URL policy.model=NAME',
        soft_wrap=True,
    )


class Script:
    """Zooms to the true box, then gives the true answer. Scenes are known by their pixels."""

    def __init__(self, scenes: list[Task], view: PixelBudget) -> None:
        self._scenes = {scene.images[0].fit(view).pixels().tobytes(): scene for scene in scenes}

    def answer(self, request: ScriptedRequest) -> str:
        """The next turn for the scene that the request shows."""
        shown = request.images[0]
        scene = self._scenes[shown.tobytes()]
        target = scene.boxes[0]
        if request.turn > 0:
            return (
                f"<think>The digit on the {target.label} object is {scene.answer}.</think>"
                f"<answer>{scene.answer}</answer>"
            )
        native = scene.images[0].size
        box = target.box.scale(shown.width / native.width, shown.height / native.height)
        size = (box.width * 1.5, box.height * 1.5, Size(shown.width, shown.height))
        corners = [round(v) for v in box.resize_about_centre(*size)]
        call = {"name": "image_zoom_in_tool", "arguments": {"bbox_2d": corners}}
        return (
            f"<think>The {target.label} object is too small to read. I look closer.</think>"
            f"<tool_call>{json.dumps(call)}</tool_call>"
        )
