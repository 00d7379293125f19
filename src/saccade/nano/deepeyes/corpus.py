"""What a base is taught to write: example trajectories over the scenes of a pool.

    answer      "What digit is on the red object?"  where it is, then a direct answer
    call        "What digit is on the red object?"  where it is, then a call, and nothing after it
    locate      "Where is the red object?"          its box
    show        "Show me the red object."           a call; then a crop of ANOTHER scene, its digit
    read_later  "Where is ...?", its box; then a crop of another scene: "What digit is this?"
    read        a crop: "What digit is this?"

No lesson shows a question, a call, a crop of the asked object and an answer in one trajectory: to
put these together is what reinforcement learning has to find. `call` is the prior: how often a base
calls of its own accord, equal for every object, whatever its size.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from pydantic import Field

from saccade.geometry import Box
from saccade.image import Image
from saccade.nano.deepeyes.pool import Pool
from saccade.nano.spec import environment
from saccade.types import (
    Action,
    Completion,
    Message,
    Part,
    Record,
    Task,
    ToolCall,
    ToolResult,
    Trajectory,
    Turn,
)
from saccade.world.scene import COLOURS

READ = "What digit is this?"
SHOW = ("Show me the {} object.", "Zoom in on the {} object.", "Look at the {} object.")
"""In several wordings, so that a call is tied to its opening tag and not to one question."""
COLOUR_NAMES = tuple(COLOURS)

LEGIBLE = 9
"""In pixels of the view: wider objects are read at once. Small ones are at most 5 wide, large ones
at least 16."""

_THOUGHT = re.compile(r"at \[(\d+), (\d+), (\d+), (\d+)\], (\d+) pixels wide")

LARGE_SHARE = 0.35
"""Where there is a large object, it is asked for this often, and else as often as any other."""


class Mix(Record):
    """Shares of the lessons; they need not add up to one."""

    answer: float = Field(default=0.40, ge=0)
    locate: float = Field(default=0.20, ge=0)
    show: float = Field(default=0.20, ge=0)
    read_later: float = Field(default=0.08, ge=0)
    read: float = Field(default=0.12, ge=0)


class Lesson(NamedTuple):
    """An example, and what of the pool it shows, in this order."""

    kind: str
    trajectory: Trajectory
    scene: int | None
    crop: int | None


Written = tuple[Action, tuple[Message, ...]]
"""A turn of the model and what it is shown next."""


class Teacher:
    """Draws lessons from a pool."""

    def __init__(
        self, pool: Pool, mix: Mix | None = None, *, prior: float = 0.0, thought: bool = True
    ) -> None:
        """Make a teacher.

        Args:
            pool: The scenes.
            mix: Shares of the lessons.
            prior: Share of `call` among the questions after a digit.
            thought: Whether place and width of the asked object are said before a decision.
        """
        self.pool = pool
        shares = (mix or Mix()).model_dump()
        self._kinds = tuple(shares)
        self._shares = np.array(list(shares.values())) / sum(shares.values())
        self._prior, self._thought = prior, thought
        self._environment = environment()
        self._dialect = self._environment.dialect
        self._view = cache(lambda index: _image(pool.views[index]))
        self._crop = cache(lambda index: _image(pool.crops[index]))

    def draw(self, rng: np.random.Generator) -> Lesson:
        """One lesson of the mix."""
        kind = self._kinds[int(rng.choice(len(self._kinds), p=self._shares))]
        if kind == "read":
            return self._read(rng)
        scene = int(rng.integers(len(self.pool)))
        about = self._asked(rng, scene)
        if kind == "answer" and rng.random() < self._prior:
            kind = "call"
        if kind in ("show", "read_later"):
            return self._about_another(rng, kind, scene, about)
        question = (
            "Where is the {} object?" if kind == "locate" else "What digit is on the {} object?"
        )
        action = {
            "locate": self._locates, "answer": self._answers, "call": self._calls,
        }[kind](about)  # fmt: skip
        prompt = (self._view(scene), question.format(self._colour(about)))
        return Lesson(kind, self._write(kind, prompt, [(action, ())]), scene, None)

    def box(self, about: int) -> tuple[int, int, int, int]:
        """The box of an object in whole pixels of the view."""
        x1, y1, x2, y2 = (round(float(v)) for v in self.pool.objects.box[about])
        return x1, y1, x2, y2

    def _read(self, rng: np.random.Generator) -> Lesson:
        crop = int(rng.integers(len(self.pool.crops)))
        turns = [(self._reads(crop), ())]
        return Lesson("read", self._write("read", (self._crop(crop), READ), turns), None, crop)

    def _about_another(self, rng: np.random.Generator, kind: str, scene: int, about: int) -> Lesson:
        """Two turns; the crop that is shown between them is not of this scene."""
        crop = int(rng.integers(len(self.pool.crops)))
        while self.pool.objects.scene[crop] == scene:
            crop = int(rng.integers(len(self.pool.crops)))
        colour = self._colour(about)
        if kind == "show":
            asked, first = SHOW[int(rng.integers(len(SHOW)))].format(colour), self._calls(about)
            result = ToolResult(call=first.calls[0], content=(self._crop(crop),))
            seen = self._dialect.observe([result])
        else:
            asked, first = f"Where is the {colour} object?", self._locates(about)
            seen = (Message(role="user", content=(self._crop(crop), READ)),)
        turns = [(first, seen), (self._reads(crop), ())]
        return Lesson(kind, self._write(kind, (self._view(scene), asked), turns), scene, crop)

    def _asked(self, rng: np.random.Generator, scene: int) -> int:
        members = self.pool.members[scene]
        if self.pool.objects.large[members[0]] and rng.random() < LARGE_SHARE:
            return int(members[0])
        return int(rng.choice(members))

    def _colour(self, about: int) -> str:
        return COLOUR_NAMES[int(self.pool.objects.colour[about])]

    def _locates(self, about: int) -> Action:
        return Action(answer=f"[{', '.join(map(str, self.box(about)))}]")

    def _answers(self, about: int) -> Action:
        return Action(thought=self._thinks(about), answer=str(self.pool.objects.digit[about]))

    def _calls(self, about: int) -> Action:
        box = list(self.box(about))
        call = ToolCall(name="image_zoom_in_tool", arguments={"bbox_2d": box})
        return Action(thought=self._thinks(about), calls=(call,))

    def _reads(self, crop: int) -> Action:
        return Action(answer=str(self.pool.objects.digit[crop]))

    def _thinks(self, about: int) -> str | None:
        return thought_of(self._colour(about), self.box(about)) if self._thought else None

    def _write(self, kind: str, prompt: tuple[Part, ...], turns: Sequence[Written]) -> Trajectory:
        begun = self._environment.begin(Task(id=kind, prompt=prompt))
        written = tuple(
            Turn(
                completion=Completion(text=self._dialect.write(action)),
                action=action,
                observation=observation,
            )
            for action, observation in turns
        )
        return begun.model_copy(update={"turns": written})


class Grounding(NamedTuple):
    """What a thought says of the asked object, in pixels of the view."""

    box: Box
    width: int


def grounding_of(thought: str) -> Grounding | None:
    """What `thought_of` put into a thought, or None if it says nothing of the kind."""
    said = _THOUGHT.search(thought)
    if said is None:
        return None
    *corners, width = map(int, said.groups())
    return Grounding(Box(*corners), width)


def thought_of(colour: str, box: Sequence[int]) -> str:
    """What a model says before it decides: where the asked object is, and how wide."""
    place = ", ".join(map(str, box))
    return f"The {colour} object is at [{place}], {box[2] - box[0]} pixels wide."


def _image(pixels: NDArray[np.uint8]) -> Image:
    return Image.from_pixels(PILImage.fromarray(pixels))
