"""What tests make by hand: images, tasks, turns and trajectories.

Everything has a default, so that a test names only what it is about:

    a_trajectory(a_turn(a_result(error="no box")), a_turn(answer="7"), score=1.0)
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import numpy as np
from PIL import Image as PILImage
from pydantic import JsonValue

from saccade.dialects.deepeyes import DeepEyes
from saccade.env import Environment
from saccade.images.geometry import CoordSpace, PixelBudget
from saccade.images.image import Image
from saccade.policies.replay import ReplayPolicy
from saccade.rollout import rollout
from saccade.tools.zoom import ZoomIn
from saccade.types import (
    Action,
    Completion,
    Part,
    Problem,
    ProblemKind,
    Score,
    StopReason,
    Task,
    ToolCall,
    ToolContext,
    ToolFunction,
    ToolOutput,
    ToolResult,
    ToolSpec,
    Trajectory,
    Turn,
)

RECORD = Environment(DeepEyes()).record


def plain(width: int, height: int, colour: str = "black") -> Image:
    """An image of one colour."""
    return Image.from_pixels(PILImage.new("RGB", (width, height), colour))


def noise(width: int, height: int, seed: int = 0) -> Image:
    """An image in which no two pixels are likely to be the same."""
    rng = np.random.default_rng(seed)
    return Image.from_pixels(
        PILImage.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    )


def a_task(*prompt: Part, id: str = "t", **fields: object) -> Task:
    """A task with this prompt, "What?" if there is none."""
    return Task(id=id, prompt=prompt or ("What?",), **fields)  # type: ignore[arg-type]


def a_context(*images: Image, **fields: object) -> ToolContext:
    """What a tool sees of an episode that has shown these images."""
    usual = {"task_id": "t", "coords": CoordSpace.ABSOLUTE, "observation": PixelBudget(), "seed": 0}
    return ToolContext(images=images, **(usual | fields))  # type: ignore[arg-type]


def call_text(name: str, **arguments: JsonValue) -> str:
    """A tool call as a model writes it in the dialect `deepeyes`."""
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


def zoom_text(*box: float, **arguments: JsonValue) -> str:
    """A call of the zoom tool for the box (x1, y1, x2, y2)."""
    return call_text("image_zoom_in_tool", bbox_2d=list(box), **arguments)


def a_result(*content: Part, error: str | None = None) -> ToolResult:
    """What came of a call of the tool `z`: content, or an error."""
    return ToolResult(call=ToolCall(name="z"), content=content, error=error)


def a_turn(
    *results: ToolResult,
    text: str = "",
    answer: str | None = None,
    problems: Iterable[ProblemKind] = (),
    token_ids: tuple[int, ...] | None = None,
    log_probs: tuple[float, ...] | None = None,
    **fields: object,
) -> Turn:
    """A turn whose calls had these results, or that gave this answer."""
    return Turn(
        completion=Completion(text=text, token_ids=token_ids, log_probs=log_probs),
        action=Action(
            calls=tuple(result.call for result in results),
            answer=answer,
            problems=tuple(Problem(kind=kind) for kind in problems),
        ),
        results=results,
        **fields,  # type: ignore[arg-type]
    )


def a_trajectory(*turns: Turn, score: float | None = None, **fields: object) -> Trajectory:
    """A finished trajectory of these turns; an unscored one if no score is given."""
    usual: dict[str, object] = {
        "id": "t:0",
        "task_id": "t",
        "environment": RECORD,
        "prompt": (),
        "stop": StopReason.ANSWER,
        "score": None if score is None else Score(value=score),
    }
    return Trajectory(turns=turns, **(usual | fields))  # type: ignore[arg-type]


async def played(
    *texts: str, task: Task | None = None, environment: Environment | None = None, **how: object
) -> Trajectory:
    """A real episode, in which the policy writes these turns."""
    task = task or a_task()
    environment = environment or Environment(DeepEyes(), [ZoomIn()])
    return await rollout(ReplayPolicy({task.id: texts}), environment, task, **how)  # type: ignore[arg-type]


class CustomTool:
    """A tool that runs a function of the test, and counts how often it was used."""

    def __init__(self, run: Callable[[], object] = lambda: None, name: str = "custom") -> None:
        self.spec = ToolSpec(name=name, description="", parameters={"type": "object"})
        self.started = self.opened = self.closed = self.ended = 0
        self._run = run

    async def start(self) -> None:
        self.started += 1

    async def close(self) -> None:
        self.ended += 1

    @asynccontextmanager
    async def open(self, context: ToolContext) -> AsyncIterator[ToolFunction]:
        self.opened += 1

        async def call(arguments: dict[str, JsonValue]) -> ToolOutput:
            done = self._run()
            if asyncio.iscoroutine(done):
                await done
            return ToolOutput(("ok",), {"ran": True})

        yield call
        self.closed += 1
