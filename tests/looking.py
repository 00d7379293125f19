"""Questions whose answers are known to need a look, or not, and what answers them by a rule.

A white picture has a patch of one colour. The rule finds the patch in the first picture that it is
shown, zooms in on it, and then says what colour the middle of the last picture has. Without a
picture beside the first one it says "white". So for each question the answer in each arm is known:

    patch        agent red/green/blue: right     without a look "white": wrong
    background   agent: a colour, wrong          without a look "white": right
    at once      asked so that the rule does not look: "white", right in every arm
    riddle       wrong in every arm
"""

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
from building import zoom_text
from PIL import Image as PILImage

from saccade.images.geometry import Box
from saccade.images.image import Image
from saccade.types import Record, TargetBox, Task

COLOURS = {
    "white": (255, 255, 255), "grey": (128, 128, 128), "red": (220, 20, 20),
    "green": (20, 160, 20), "blue": (20, 20, 220),
}  # fmt: skip
KINDS = {
    "patch": 3, "background": 1, "at once": 1, "riddle": 1,
}  # fmt: skip
GOLD = {"background": "white", "at once": "white", "riddle": "seven"}
SIDE = 40


class Patches(Record):
    """A source of tasks for run files: three, one, one and one questions of the four kinds."""

    boxes: bool = True
    """Whether the place of the patch is known."""
    boxless: int = 0
    """Number of first questions of which it is not known all the same."""
    first: int | None = None
    """Number of questions, from the first kind on; None: all."""
    times: int = 1
    """How many times as many questions of each kind there are."""

    def tasks(self, *, seed: int, max_pixels: int) -> Iterator[Task]:
        kinds = [kind for kind, n in KINDS.items() for _ in range(n * self.times)]
        for number, kind in enumerate(kinds[: self.first]):
            name = ("red", "green", "blue")[number % 3]
            x, y = 60 + 20 * number, 40 + 15 * number
            picture = PILImage.new("RGB", (400, 300), "white")
            picture.paste(COLOURS[name], (x, y, x + SIDE, y + SIDE))
            box = TargetBox(box=Box(x, y, x + SIDE, y + SIDE))
            known = self.boxes and number >= self.boxless
            yield Task(
                id=f"{kind}-{number}",
                prompt=(Image.from_pixels(picture), f"What colour? ({kind})"),
                answer=GOLD.get(kind, name),
                boxes=(box,) if known else (),
                source="patches",
            )

    def count(self) -> int:
        every = sum(KINDS.values()) * self.times
        return every if self.first is None else self.first


def nearest(pixel: Sequence[float]) -> str:
    """The colour that a pixel has, roughly: it may have been compressed."""
    return min(COLOURS, key=lambda name: float(np.abs(np.subtract(COLOURS[name], pixel)).sum()))


def middle(picture: PILImage.Image) -> str:
    """The colour in the middle of a picture."""
    pixels = np.asarray(picture, dtype=float)
    height, width = pixels.shape[:2]
    return nearest(pixels[height // 2, width // 2])


def patch_of(picture: PILImage.Image) -> tuple[float, float, float, float]:
    """The corners of the coloured patch in a view."""
    rows, columns = np.nonzero(np.asarray(picture, dtype=float).min(-1) < 150)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def write(
    question: str, pictures: Sequence[PILImage.Image], *, tools: bool, begun: bool, tagged: bool
) -> str:
    """The next turn of the rule."""
    if tools and not begun and "at once" not in question:
        return zoom_text(*map(float, patch_of(pictures[0])))
    seen = middle(pictures[-1]) if len(pictures) > 1 else "white"
    return f"<answer>{seen}</answer>" if tagged else seen


class Given(Record):
    """A source of tasks that a test has made."""

    held: ClassVar[tuple[Task, ...]] = ()

    def tasks(self, *, seed: int, max_pixels: int) -> Iterator[Task]:
        return iter(self.held)

    def count(self) -> int:
        return len(self.held)
