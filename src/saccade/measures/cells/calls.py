"""What calls do in a cell: those of libraries by their names, those of its own by their bodies."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from saccade.measures.cells import words
from saccade.measures.cells.values import (
    CONSTANT,
    IMAGE,
    NUMBER,
    PART,
    PLOT,
    TEXT,
    UNKNOWN,
    Value,
    joined,
)

if TYPE_CHECKING:
    from saccade.measures.cells.reading import Reader


class Given(NamedTuple):
    """What a call is given."""

    placed: tuple[Value, ...]
    named: Mapping[str, Value]
    over_channels: bool = False
    """Whether it is told to work along the last axis of an image: what comes out is an image."""

    @property
    def every(self) -> tuple[Value, ...]:
        return (*self.placed, *self.named.values())

    @property
    def first(self) -> Value:
        return self.placed[0] if self.placed else UNKNOWN

    @property
    def image(self) -> Value:
        """An image that it is given; unknown if there is none."""
        images = [value for value in self.every if value.is_image]
        return joined(images)._replace(many=False) if images else UNKNOWN


class Calls:
    """The library that a reader looks calls up in."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def attribute(self, owner: Value, name: str) -> Value:
        """What an attribute is."""
        if owner.nature == "module":
            return owner._replace(path=f"{owner.path}.{name}")
        if owner.is_image and name in ("size", "shape", "width", "height", "ndim"):
            return CONSTANT
        if owner.is_numeric and name in ("shape", "size", "real", "imag", "days"):
            return owner
        if owner.nature == "plot" or owner.is_image:
            return owner
        return NUMBER if owner.nature == "number" else UNKNOWN

    def call(self, node: ast.Call) -> Value:
        """What a call gives, and what it does."""
        reader, function = self._reader, node.func
        owner: Value | None = None
        if isinstance(function, ast.Attribute):
            owner = reader.value(function.value)
            called = self.attribute(owner, function.attr) if owner.nature == "module" else UNKNOWN
        else:
            called = reader.value(function)
        given = Given(
            tuple(reader.value(one) for one in node.args),
            {one.arg or "": reader.value(one.value) for one in node.keywords},
            any(
                one.arg == "axis" and ast.unparse(one.value) in ("2", "-1") for one in node.keywords
            ),
        )
        if called.nature == "function":
            return reader.apply(called, given.placed, dict(given.named))
        if called.nature == "module":
            return self._function(called.path, given)
        if isinstance(function, ast.Attribute) and owner is not None:
            return self._method(function, owner, given)
        if isinstance(function, ast.Name):
            return self._builtin(function.id, given)
        return given.image

    def _builtin(self, name: str, given: Given) -> Value:
        reader = self._reader
        if name == "print":
            for value in given.placed:
                reader.say(value)
            return UNKNOWN
        if name in words.SHOWS:
            for value in given.placed:
                reader.show(value, last=True)
            return UNKNOWN
        if name in words.COUNTS:
            reader.done.add("arithmetic")
            return NUMBER
        if name in words.PASSES:
            of = given.first
            return CONSTANT if not of and name in ("int", "float", "round", "abs") else of
        if name == "range":
            return CONSTANT._replace(many=True)
        if name in ("enumerate", "zip"):
            each = tuple(value.one for value in given.placed)
            parts = (CONSTANT, *each) if name == "enumerate" else each
            return joined(parts)._replace(many=True, parts=(joined(parts)._replace(parts=parts),))
        if name in ("map", "filter") and len(given.placed) > 1:
            function, of = given.placed[0], given.placed[1].one
            if function.nature == "function":
                of = reader.apply(function, [of], {})
            return of._replace(many=True)
        if name in ("chr", "input", "type", "dir", "ord", "open"):
            return CONSTANT if name == "ord" else TEXT
        return given.image

    # Functions of libraries.

    def _function(self, path: str, given: Given) -> Value:
        reader, last = self._reader, path.rpartition(".")[2]
        if path in words.OPENS:
            return IMAGE
        if path in words.CUTS and (given.image or not path.startswith("numpy")):
            reader.done.add("cut")
            return PART
        if path in words.DRAWS or path.startswith(words.DRAWING_MODULES):
            reader.done.add("marked")
            return given.image
        if path in words.SHOWS or path in words.SAVES:
            for value in given.every:
                reader.show(value)
            return UNKNOWN
        if path == "PIL.ImageDraw.Draw":
            return Value("pen")
        root, _, _ = path.partition(".")
        if root == "matplotlib" or path.startswith("mpl_toolkits"):
            return self._plot(last, given)
        if root in ("PIL", "cv2", "skimage", "imageio", "rembg"):
            return self._of_images(path, last, given)
        return self._of_numbers(path, root, last, given)

    def _plot(self, name: str, given: Given) -> Value:
        """A function of pyplot, or a method of axes."""
        reader = self._reader
        if name in words.PLOT_METHODS:
            reader.done.add("marked")
            if name in words.PLOTTED and any(value.nature == "number" for value in given.placed):
                reader.done.add("numeric")
        elif name in ("imshow", "matshow", "imsave"):
            for value in given.every:
                reader.show(value)
            if "alpha" in given.named:  # laid over another image
                reader.done.add("marked")
        return PLOT

    def _of_images(self, path: str, last: str, given: Given) -> Value:
        if path.startswith("cv2.") and last in words.CV2_MEASURES:
            return self._measured()
        if path.startswith("skimage.measure.") or path == "PIL.ImageStat.Stat":
            return self._measured()
        if last == "findContours":
            return CONSTANT._replace(many=True)
        return given.image

    def _of_numbers(self, path: str, root: str, last: str, given: Given) -> Value:
        image = given.image
        if root == "numpy" or path.startswith("scipy.ndimage"):
            if image and given.over_channels:
                return image
            if last in words.MEASURES or last in ("label", "center_of_mass", "find_objects"):
                return self._measured()
            if image:
                return image
            if last in words.ARRAYS:
                return joined(given.placed) if given.placed else CONSTANT
        if root in words.NUMERIC_MODULES:
            if last in ("symbols", "Symbol", "seed", "shuffle", "choice"):
                return CONSTANT
            return self._measured()
        if root in words.CONSTANT_MODULES:
            return CONSTANT._replace(many=root == "itertools")
        if root in words.TEXT_MODULES:
            return TEXT
        if path == "collections.Counter":
            return self._measured()
        if root == "json":
            return given.first
        return image

    def _measured(self) -> Value:
        self._reader.done.add("arithmetic")
        return NUMBER

    # Methods.

    def _method(self, function: ast.Attribute, owner: Value, given: Given) -> Value:
        reader, name = self._reader, function.attr
        if self._draws(function, owner, name):
            reader.done.add("marked")
            return UNKNOWN
        if owner.nature == "plot":
            return self._plot(name, given)
        if name in words.SURE_CUTS or (owner.is_image and name in words.CUT_METHODS):
            return self._cut(function.value, name)
        if owner.nature == "unknown" and name in ("resize", "rotate") and given.placed:
            return self._cut(function.value, name)
        if owner.is_image and given.over_channels:
            return owner
        if name in words.MEASURES and owner.nature != "text":
            return self._measured()
        if owner.nature == "text":
            return self._of_text(name, given)
        if owner.is_image:
            if name == "histogram":
                return self._measured()
            if name in ("show", "save"):
                reader.show(owner)
            if name == "putpixel":
                reader.done.add("marked")
            return owner._replace(many=False)
        if name in ("append", "add", "insert") and given.placed:
            held = joined([value for value in (owner, given.placed[-1]) if value])
            reader.bind(function.value, held._replace(many=True))
            return UNKNOWN
        return self._of_others(owner, name, given)

    def _of_others(self, owner: Value, name: str, given: Given) -> Value:
        reader = self._reader
        if name in ("plot", "hist", "imshow", "add_patch") and not owner.is_numeric:
            return self._plot(name, given)
        if owner.many and name == "items":
            pair = joined([TEXT, owner.one])._replace(parts=(TEXT, owner.one))
            return pair._replace(many=True, parts=(pair,))
        if owner.many and name == "keys":
            return TEXT._replace(many=True)
        if owner.nature == "number" and name not in ("values",):
            reader.done.add("arithmetic")
        return owner if owner else given.image

    def _of_text(self, name: str, given: Given) -> Value:
        if name in ("count", "index", "find", "rfind"):
            return self._measured()
        numeric = any(value.is_numeric for value in given.every)
        return CONSTANT if numeric and name in ("format", "join") else TEXT

    def _draws(self, function: ast.Attribute, owner: Value, name: str) -> bool:
        if owner.nature == "pen":
            return name in words.PEN_METHODS
        if owner.nature != "unknown":
            return False
        named = function.value.id if isinstance(function.value, ast.Name) else ""
        return name in words.SURE_PEN or ("draw" in named.lower() and name in words.PEN_METHODS)

    def _cut(self, owner: ast.expr, name: str) -> Value:
        self._reader.done.add("cut")
        if name == "thumbnail":  # it changes its own image and gives nothing back
            self._reader.bind(owner, PART)
            return UNKNOWN
        return PART
