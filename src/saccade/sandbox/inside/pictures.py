"""Images and figures that a cell shows, as plain RGB."""

from __future__ import annotations

import math
import sys
from typing import IO, TYPE_CHECKING, NamedTuple

from PIL import Image

from saccade.sandbox.inside.plan import Order
from saccade.sandbox.inside.unshown import Watch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_open = Image.open  # taken hold of before cells could replace it

LEAST = 4096
"""Pixels that must be left of what a cell may return, to return one more image."""


class Picture(NamedTuple):
    """An image that goes to the host."""

    width: int
    height: int
    pixels: bytes
    """RGB."""


class Pictures:
    """Collects what the cell under way shows, and keeps it within limits."""

    def __init__(self, order: Order) -> None:
        """Let what libraries call "show" come here."""
        self._limits, self._cut = order.limits, order.has("output")
        self._shown: list[Picture] = []
        self._notes: list[str] = []
        self._image, self._frombytes, self._new = Image.Image, Image.frombytes, Image.new
        self._composite = Image.alpha_composite
        vars(Image)["Image"].show = lambda image, *_, **__: self.add(image)
        self._figure: type[Figure] | None = None
        if "matplotlib.pyplot" in sys.modules:
            from matplotlib import pyplot
            from matplotlib.figure import Figure

            self._figure, self._make, self._close = Figure, pyplot.figure, pyplot.close
            self._numbers = pyplot.get_fignums
            vars(pyplot)["show"] = self.show_figures
            vars(sys.modules["matplotlib.figure"])["Figure"].show = lambda figure, *_, **__: (
                self._show_one(figure)
            )
        self._watch = Watch()

    def begin(self, shown: list[Picture], notes: list[str]) -> None:
        """A new cell: where its images and notes go."""
        self._shown, self._notes = shown, notes
        self._watch.begin()

    def given(self, image: Image.Image) -> None:
        """An image that came from the conversation: it was shown there."""
        self._watch.shown(image)

    def end(self) -> None:
        """The cell is done: note what it saved or closed, and did not show."""
        self._notes += self._watch.notes(something_shown=bool(self._shown))

    def show(self, value: object) -> bool:
        """Add an image or a figure; false if it is neither."""
        if isinstance(value, self._image):
            self.add(value)
            return True
        if self._figure is not None and isinstance(value, self._figure):
            self._add_figure(value)
            self._close(value)
            return True
        return False

    def _show_one(self, figure: Figure) -> None:
        self.show(figure)

    def show_figures(self, *_: object, **__: object) -> None:
        """Add all open figures, each once."""
        for number in self._numbers() if self._figure is not None else ():
            figure = self._make(number)
            try:
                self._add_figure(figure)
            finally:
                self._close(figure)

    def add(self, image: Image.Image) -> None:
        """Add an image, smaller if it is too large, on white where it is transparent."""
        given = image
        width, height = image.size
        if width < 1 or height < 1:
            self._notes.append(f"an empty image ({width}x{height}) cannot be shown")
            return
        if self._cut:
            fitted = self._fitted(image)
            if fitted is None:
                return
            image = fitted
        if "A" in image.getbands() or "transparency" in image.info:
            white = self._new("RGBA", image.size, "white")
            image = self._composite(white, image.convert("RGBA"))
        self._shown.append(Picture(*image.size, image.convert("RGB").tobytes()))
        self._watch.shown(given)

    def _fitted(self, image: Image.Image) -> Image.Image | None:
        limits = self._limits
        left = limits.pixels - sum(one.width * one.height for one in self._shown)
        if len(self._shown) >= limits.images or left < LEAST:
            note = f"only the first {len(self._shown)} images are returned"
            if note not in self._notes:
                self._notes.append(note)
            return None
        width, height = image.size
        scale = self._scale(width, height, min(left, limits.image_pixels))
        if scale == 1:
            return image
        size = max(1, int(width * scale)), max(1, int(height * scale))
        self._notes.append(f"an image of {width}x{height} is returned as {size[0]}x{size[1]}")
        return image.resize(size)

    def _add_figure(self, figure: Figure) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        canvas = FigureCanvasAgg(figure)
        width, height = canvas.get_width_height()
        scale = self._scale(width, height, self._limits.image_pixels)
        if scale < 1:
            figure.set_dpi(figure.get_dpi() * scale * 0.99)
            self._notes.append(f"a figure of {width}x{height} pixels is returned smaller")
        canvas.draw()  # type: ignore[no-untyped-call]
        pixels = bytes(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
        size = canvas.get_width_height()
        self.add(self._frombytes("RGBA", size, pixels))
        self._watch.shown(figure)

    def _scale(self, width: int, height: int, pixels: int) -> float:
        """What makes a size fit, at most 1."""
        side = self._limits.image_side / max(width, height, 1)
        return min(1.0, math.sqrt(pixels / max(1, width * height)), side)


def open_given(file: IO[bytes]) -> Image.Image:
    """An image that the host gives, as PPM: decoded when it is first used."""
    return _open(file)
