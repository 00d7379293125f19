"""The training corpus of a base: example trajectories, drawn over the scenes of a pool.

    answer      "What digit is on the red object?"  where it is, then a direct answer
    call        "What digit is on the red object?"  where it is, then a call, and nothing after it
    locate      "Where is the red object?"          its box
    show        "Show me the red object."           a call; then a crop of ANOTHER scene, its digit
    read_later  "Where is ...?", its box; then a crop of another scene: "What digit is this?"
    read        a crop: "What digit is this?"

No example shows a question, a call, a crop of the asked object and an answer in one trajectory: to
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

from saccade.images.geometry import Box
from saccade.images.image import Image
from saccade.nano.deepeyes.pool import Pool
from saccade.nano.spec import environment
from saccade.tools.zoom import ZOOM
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
"""Width in pixels of the view above which the digit of an object is read at once. Small objects
are at most 5 wide, large ones at least 16."""

_THOUGHT = re.compile(r"at \[(\d+), (\d+), (\d+), (\d+)\], (\d+) pixels wide")

LARGE_SHARE = 0.35
"""Share of the questions about a scene with a large object that ask for it; the others ask for any
object of the scene, each equally often."""


class Mix(Record):
    """Share of each kind of example in the corpus; the shares need not add up to one."""

    answer: float = Field(default=0.40, ge=0)
    """Share of questions after a digit that are answered at once (or by a call: the prior)."""
    locate: float = Field(default=0.20, ge=0)
    """Share of questions after the box of an object."""
    show: float = Field(default=0.20, ge=0)
    """Share of requests to show an object, each followed by a crop of another scene to read."""
    read_later: float = Field(default=0.08, ge=0)
    """Share of questions after a box that are followed by a crop of another scene to read."""
    read: float = Field(default=0.12, ge=0)
    """Share of crops to read, with no scene before them."""


class Example(NamedTuple):
    """A training example, and what of the pool it shows, in this order."""

    kind: str
    trajectory: Trajectory
    scene: int | None
    """Index of the scene that it shows; None if it shows a crop alone."""
    crop: int | None
    """Index of the crop that it shows; None if it shows a scene alone."""


ModelTurn = tuple[Action, tuple[Message, ...]]
"""What the model does in a turn, and what it is shown next."""


class Corpus:
    """Draws training examples from a pool."""

    def __init__(
        self, pool: Pool, mix: Mix | None = None, *, prior: float = 0.0, thought: bool = True
    ) -> None:
        """Make a corpus.

        Args:
            pool: The scenes.
            mix: Share of each kind of example.
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

    def draw(self, rng: np.random.Generator) -> Example:
        """Draw one example of the mix."""
        kind = self._kinds[int(rng.choice(len(self._kinds), p=self._shares))]
        if kind == "read":
            return self._crop_alone(rng)
        scene = int(rng.integers(len(self.pool)))
        target = self._target(rng, scene)
        if kind == "answer" and rng.random() < self._prior:
            kind = "call"
        if kind in ("show", "read_later"):
            return self._crop_of_another_scene(rng, kind, scene, target)
        question = (
            "Where is the {} object?" if kind == "locate" else "What digit is on the {} object?"
        )
        action = {
            "locate": self._answer_box, "answer": self._answer_digit, "call": self._call,
        }[kind](target)  # fmt: skip
        prompt = (self._view(scene), question.format(self._colour(target)))
        return Example(kind, self._trajectory(kind, prompt, [(action, ())]), scene, None)

    def box(self, target: int) -> tuple[int, int, int, int]:
        """The box of an object in whole pixels of the view."""
        x1, y1, x2, y2 = (round(float(v)) for v in self.pool.objects.box[target])
        return x1, y1, x2, y2

    def _crop_alone(self, rng: np.random.Generator) -> Example:
        crop = int(rng.integers(len(self.pool.crops)))
        prompt, turns = (self._crop(crop), READ), [(self._read_crop(crop), ())]
        return Example("read", self._trajectory("read", prompt, turns), None, crop)

    def _crop_of_another_scene(
        self, rng: np.random.Generator, kind: str, scene: int, target: int
    ) -> Example:
        """Two turns; the crop that is shown between them is not of this scene."""
        crop = int(rng.integers(len(self.pool.crops)))
        while self.pool.objects.scene[crop] == scene:
            crop = int(rng.integers(len(self.pool.crops)))
        colour = self._colour(target)
        if kind == "show":
            question = SHOW[int(rng.integers(len(SHOW)))].format(colour)
            first = self._call(target)
            result = ToolResult(call=first.calls[0], content=(self._crop(crop),))
            shown = self._dialect.observe([result])
        else:
            question, first = f"Where is the {colour} object?", self._answer_box(target)
            shown = (Message(role="user", content=(self._crop(crop), READ)),)
        prompt, turns = (self._view(scene), question), [(first, shown), (self._read_crop(crop), ())]
        return Example(kind, self._trajectory(kind, prompt, turns), scene, crop)

    def _target(self, rng: np.random.Generator, scene: int) -> int:
        """The object of a scene that is asked for."""
        members = self.pool.members[scene]
        if self.pool.objects.large[members[0]] and rng.random() < LARGE_SHARE:
            return int(members[0])
        return int(rng.choice(members))

    def _colour(self, target: int) -> str:
        return COLOUR_NAMES[int(self.pool.objects.colour[target])]

    def _answer_box(self, target: int) -> Action:
        return Action(answer=f"[{', '.join(map(str, self.box(target)))}]")

    def _answer_digit(self, target: int) -> Action:
        digit = str(self.pool.objects.digit[target])
        return Action(thought=self._thought_about(target), answer=digit)

    def _call(self, target: int) -> Action:
        box = list(self.box(target))
        call = ToolCall(name=ZOOM, arguments={"bbox_2d": box})
        return Action(thought=self._thought_about(target), calls=(call,))

    def _read_crop(self, crop: int) -> Action:
        return Action(answer=str(self.pool.objects.digit[crop]))

    def _thought_about(self, target: int) -> str | None:
        return thought_of(self._colour(target), self.box(target)) if self._thought else None

    def _trajectory(
        self, kind: str, prompt: tuple[Part, ...], turns: Sequence[ModelTurn]
    ) -> Trajectory:
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
    """Read back what `thought_of` wrote; None if the thought says nothing of the kind."""
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
