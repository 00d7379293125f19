"""A generator that needs no model: it thinks, and does what is forced on it, or looks and answers.

Its answer is right if it has looked, and wrong if it has not. Parametrise a test over `HOUSES` to
run it under each dialect and with tokenizers in which tags are one token or several.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

import pytest
import torch
from pydantic import JsonValue

from saccade.config import Table
from saccade.dialects.base import Dialect
from saccade.embedded import folder_of
from saccade.models.generate import TurnRequest
from saccade.nano.spec import sections
from saccade.render.qwen_vl import QwenVLRenderer, load_renderer
from saccade.train.recipe import RLRecipe
from saccade.types import (
    Completion,
    ModelInfo,
    Sampling,
    ToolContext,
    ToolFunction,
    ToolOutput,
    ToolSpec,
    Trajectory,
)

T = TypeVar("T")


class House(NamedTuple):
    """Where an episode is played."""

    dialect: str
    checkpoint: str
    """Whose tokenizer; a fixture of tests/tiny.py, or an embedded model."""
    tool: str


HOUSES = [
    House("deepeyes", "nano-base", "zoom_in"),
    House("deepeyes", "tiny_qwen2_5_vl", "zoom_in"),
    House("deepeyes_v2", "tiny_qwen2_5_vl", "zoom_in"),
    House("deepeyes_v2", "tiny_qwen2_5_vl", f"{__name__}:Cell"),
]


class Cell:
    """Stands where the Python tool is, and runs nothing."""

    spec = ToolSpec(name="python", description="runs", parameters={})

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    @asynccontextmanager
    async def open(self, context: ToolContext) -> AsyncIterator[ToolFunction]:
        async def call(arguments: dict[str, JsonValue]) -> ToolOutput:
            return ToolOutput(("ran",))

        yield call


class Alone:
    """A collective of one process."""

    rank, size = 0, 1

    def any(self, flag: bool) -> bool:
        return flag

    def max(self, number: int) -> int:
        return number

    def sum(self, number: int) -> int:
        return number

    def gather(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor

    def gather_objects(self, objects: list[T]) -> list[T]:
        return objects


THOUGHT = "It is small."
CALLS = {
    "zoom_in": '{"name": "image_zoom_in_tool", "arguments": {"bbox_2d": [8, 8, 40, 40]}}',
    f"{__name__}:Cell": "\n```python\nprint(1)\n```\n",
}


def renderer_of(house: House, request: pytest.FixtureRequest) -> QwenVLRenderer:
    """The renderer of a house."""
    if house.checkpoint.startswith("nano"):
        return load_renderer(folder_of(house.checkpoint))
    return load_renderer(request.getfixturevalue(house.checkpoint))


def recipe_of(house: House, renderer: QwenVLRenderer, out: Path, train: Table) -> RLRecipe:
    """One group of four, asked what can only be seen by looking."""
    nano, factor = sections(), renderer.rule.factor
    tools = nano["tools"] if house.tool == "zoom_in" else {house.tool: {}}
    environment = nano["environment"]
    assert isinstance(environment, dict)
    view = {"factor": factor, "max_pixels": 3136}
    limits = {"max_turns": 4, "max_turn_tokens": 256, "max_context": 4096}
    return RLRecipe.model_validate(
        {
            "model": "none", "out": str(out), "dialect": {"kind": house.dialect}, "tools": tools,
            "environment": {**environment, "view": view, "observation": view, "limits": limits},
            "tasks": {"kind": "world", "family": "read", "split": "dev", "n": 8},
            "train": {"prompts": 1, "group": 4, "steps": 1, **train},
        }
    )  # fmt: skip


class Script:
    """Writes turns with the tokens of a renderer; each token was as likely as the others."""

    def __init__(self, house: House, dialect: Dialect, renderer: QwenVLRenderer, answer: str):
        self._house, self._seams, self._renderer = house, dialect.seams, renderer
        self._answer = answer
        self._looked: dict[int, bool] = {}
        self.begun: list[Trajectory] = []
        """Every state in which a turn was asked for."""
        self.info = ModelInfo()

    def request(self, trajectory: Trajectory, sampling: Sampling) -> TurnRequest:
        rendered = self._renderer.render(trajectory, generation=True)
        self._looked[id(rendered.ids)] = bool(trajectory.turns)
        self.begun.append(trajectory)
        return TurnRequest(rendered, sampling, sampling.max_tokens)

    def count_tokens(self, trajectory: Trajectory) -> int:
        return len(self._renderer.render(trajectory, generation=True).ids)

    def generate(self, requests: Sequence[TurnRequest]) -> list[Completion]:
        return [self._write(request) for request in requests]

    def _write(self, request: TurnRequest) -> Completion:
        looked, force = self._looked[id(request.rendered.ids)], request.sampling.force
        seams, prompt = self._seams, self._renderer.decode(request.rendered.ids)
        assert seams.thought is not None
        opening, closing = seams.thought
        begins = THOUGHT + closing if prompt.endswith(opening) else opening + THOUGHT + closing
        move = seams.force("answer" if looked else self._call).text
        if force is not None:
            move, begins = force.text, begins if force.closing else ""
        text = begins + move + self._rest(move, looked)
        ids = (*self._renderer.encode(text), self._renderer.end_of_turn)
        return Completion(text=text, token_ids=ids, log_probs=(-0.5,) * len(ids))

    @property
    def _call(self) -> str:
        return "call" if self._house.tool == "zoom_in" else "code"

    def _rest(self, move: str, looked: bool) -> str:
        answer = self._seams.answer
        assert answer is not None
        if move.endswith(answer.opening):
            return (self._answer if looked else "none") + answer.closing
        seam = self._seams.call if self._call == "call" else self._seams.code
        assert seam is not None
        return CALLS[self._house.tool] + seam.closing
