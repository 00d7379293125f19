"""`saccade solve`: ask one question about images of your own."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saccade.cli.common.options import Json, spare_threads, with_settings
from saccade.cli.common.say import say, say_record

if TYPE_CHECKING:
    from saccade.recipe import Recipe
    from saccade.types import Task, Trajectory

NO_MODEL = (
    "The embedded model knows only the scenes of its own world (see `saccade demo`), not "
    "photographs. There are two ways out: the reader, a rule that looks for text, offline "
    "(policy.kind=reader, after: pip install 'saccade-vlm[ocr]'); or a model behind an endpoint "
    "(policy.kind=openai policy.base_url=URL policy.model=NAME). A vision-language model of your "
    "own works too: policy.kind=hf policy.path=FOLDER"
)


def solve(
    photo: Annotated[
        str,
        typer.Argument(
            metavar="PHOTO",
            help="The image that is asked about, a path or a URL; the model knows it as image_1.",
        ),
    ],
    question: Annotated[
        str, typer.Argument(metavar="QUESTION", help="What the model is to find out.")
    ],
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            help="Keys of a run file; policy.kind=... chooses the model.",
            show_default=False,
        ),
    ] = None,
    image: Annotated[
        list[str] | None, typer.Option(metavar="PHOTO", help="A further image; repeat for more.")
    ] = None,
    choice: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT", help="An option of a multiple-choice question; repeat for more."
        ),
    ] = None,
    answer: Annotated[
        str | None,
        typer.Option(
            help="The correct answer, which the result is scored by; the model never sees it."
        ),
    ] = None,
    allow_urls: Annotated[
        bool,
        typer.Option(
            "--allow-urls",
            help="Fetch images that are http or https URLs, from the public internet only.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Ask about an image and watch where the model looks.

    policy.kind=reader is a rule that looks for text, offline (needs saccade-vlm[ocr]).

    policy.kind=openai policy.base_url=URL policy.model=NAME asks a chat server (OpenAI protocol).

    policy.kind=hf policy.path=FOLDER loads a vision-language model (needs saccade-vlm[local]).
    """
    import asyncio

    from saccade.agent import make_task
    from saccade.cli.common.console import terminal
    from saccade.cli.common.interrupt import says
    from saccade.cli.common.show import show_task, show_turns
    from saccade.client.hosts import Hosts
    from saccade.config import validate, with_overrides
    from saccade.embedded import is_embedded
    from saccade.errors import ConfigError
    from saccade.policies.reader.policy import ENVIRONMENT
    from saccade.recipe import Recipe, check_policy, make_reward
    from saccade.rollout import Job
    from saccade.runs.execute import run
    from saccade.runs.folder import RunReader
    from saccade.types import StopReason

    recipe = validate(Recipe, with_settings({}, settings))
    if recipe.policy is not None and recipe.policy.kind == "reader":
        table = with_overrides({}, [*ENVIRONMENT, *(settings or [])])  # the user's come later
        recipe = validate(Recipe, table)
    if recipe.policy is None:
        raise ConfigError(f"policy: missing. {NO_MODEL}")
    if is_embedded(recipe.policy.options.get("path")):
        warnings.warn(NO_MODEL, stacklevel=2)
    task = make_task(
        [photo, *(image or [])],
        question,
        choice or [],
        answer,
        max_pixels=recipe.max_image_pixels,
        hosts=Hosts.of(allow_urls),
    )
    check_policy(recipe)
    if answer is not None:
        make_reward(recipe).check(task)
    out = Path(recipe.out or time.strftime("runs/solve-%Y%m%d-%H%M%S"))
    console = terminal(quiet=as_json)
    show_task(console, task)
    trajectory = _finished(recipe, task, out)
    if trajectory is not None:
        say(f"{out} is finished: nothing was left to do; this is its result", err=True)
    else:
        spare_threads(recipe.policy)
        says("interrupted: nothing of this question is kept, ask it again")
        with terminal(stderr=True, quiet=as_json).status("looking ..."):
            asyncio.run(
                run("solve", recipe, [Job(task)], out, on_finish=lambda task, trajectory: None)
            )
        reader = RunReader(out)
        attempts = [*reader.aborted(), *reader.trajectories()]
        trajectory = next(t for t in reversed(attempts) if t.task_id == task.id)
    if as_json:
        say_record(trajectory)
    else:
        show_turns(console, trajectory)
        console.print(f"run folder: {out}", style="dim")
    if trajectory.stop is StopReason.ABORTED:
        raise typer.Exit(1)


def _finished(recipe: Recipe, task: Task, out: Path) -> Trajectory | None:
    """What came of the question, if the folder has it already.

    Raises:
        ConfigError: the folder holds another run.
    """
    from saccade.runs.folder import RunReader
    from saccade.runs.manifest import RUN, check_same, manifest_of, read_manifest

    if not (out / RUN).exists():
        return None
    asked = manifest_of("solve", recipe)
    check_same(out, read_manifest(out), asked)
    held = (t for t in RunReader(out).trajectories() if t.task_id == task.id)
    return next((t for t in held if not t.reward_failed), None)
