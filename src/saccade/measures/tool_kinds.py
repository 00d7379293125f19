"""What kind of tool a call is: a crop, a mark, numbers, other code, a search, a page.

    >>> kind_of(ToolCall(name="python", arguments={"code": "print(47 * 83)"}))
    'numeric'

Source of the kinds: DeepEyesV2 (arXiv 2511.05271), appendix A.6: code is Crop, Numerical Analysis,
Mark or Other, beside image search and text search. Its classifier is not released; the rules are
ours. Where we deviate: a look by the zoom tool, which DeepEyesV2 does not have, is a crop, and
opening a page is a kind of its own.

A call that has no code is told by the name of its tool: with `search` in it, it searches (with an
image, if that is in it too); `zoom`, `crop` or `rotate` is a crop; `open_page`, or what keeps a
page that it opened, is a page; any other tool is `other`.

Code is told by what it does, from its syntax tree; it is never run. In this order:

1. Code that Python cannot parse, or that is longer than `MAX_CODE` characters, is `other`.
2. It does a *crop* if it takes another view of an image: `crop`, `resize`, `rotate`, `thumbnail`
   and their like of PIL, cv2, numpy, scipy and skimage, or slices the rows or columns of an array
   that came from an image; or if it shows, saves or displays what an earlier cell had cropped.
3. It does a *mark* if it draws: by `ImageDraw`, the drawing functions of cv2 and skimage, patches,
   lines and texts on axes, any plot of matplotlib, pandas or seaborn, a colour written into a
   region of an array, an image laid over another (`alpha`). `imshow` alone and titles are no mark.
4. It does *numeric* if it prints numbers, or the notebook shows one as the value of the last
   expression (a size that is read off, too), or plots computed ones. Where it neither crops nor
   marks nor shows an image, arithmetic, statistics, comparisons, counting and algebra are enough,
   printed or not: beside these, they are how corners of boxes are found and contrast is changed.
5. The primary kind is a mark before all others. A crop comes next, unless numbers are shown and the
   crop is not: then it was taken to be measured, and numbers come before it. All else is `other`:
   filters, contrast, text, loading, an image shown as it is, comments, `pass`.

Names are followed through imports (`import numpy as np`), assignments, tuples, lists, loops,
functions that the cells define (they count where they are called) and from cell to cell of an
episode. Not promised: that a cell does when it runs what its text says; attributes of classes,
names that are made up at run time and libraries that are not known are not followed.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable
from contextlib import suppress
from typing import Literal, NamedTuple

from saccade.measures.cells.reading import Event, Reader, TooMuch
from saccade.measures.cells.values import Value
from saccade.search.found import found_in
from saccade.types import ToolCall, ToolResult, Trajectory

Kind = Literal["crop", "mark", "numeric", "other", "text_search", "image_search", "page"]
KINDS: tuple[Kind, ...] = (
    "crop", "mark", "numeric", "other", "text_search", "image_search", "page",
)  # fmt: skip
CODE_KINDS: tuple[Kind, ...] = ("crop", "mark", "numeric", "other")
"""Those that code can be of."""
CODE = "code"
"""The argument by which a tool is given code."""
MAX_CODE = 20_000
"""Characters; longer code is not looked at."""


class Kinds(NamedTuple):
    """What a call is, first of all and in all."""

    primary: Kind
    every: frozenset[Kind]
    """`other` only where it is nothing else."""


class CellReader:
    """Tells what the cells of one notebook do, in their order: later cells know the variables."""

    def __init__(self, earlier: Iterable[str] = ()) -> None:
        """Begin with cells that were run before."""
        self._names: dict[str, Value] = {}
        for code in earlier:
            self.kinds(code)

    def kinds(self, code: str) -> Kinds:
        """What the next cell does."""
        tree = parsed(code)
        if tree is None:
            return _OTHER
        reader = Reader(self._names)
        with suppress(TooMuch, RecursionError):  # what was seen until then counts
            reader.run(tree)
        self._names = reader.names
        return _of_events(reader.done)


def parsed(code: str) -> ast.Module | None:
    """The syntax tree of a cell; None if it has none, or is too long to be looked at."""
    if len(code) > MAX_CODE:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in its strings
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def code_of(call: ToolCall) -> str | None:
    """The code that a call hands over; None if its tool takes none."""
    code = call.arguments.get(CODE)
    return code if isinstance(code, str) else None


def kind_of(call: ToolCall) -> Kind:
    """The primary kind of a call by itself, without what earlier cells had defined."""
    return _kinds(call, CellReader()).primary


def kinds_of(trajectory: Trajectory) -> tuple[Kinds, ...]:
    """The kinds of every call of an episode, in the order of `Trajectory.results`.

    Calls that were refused or failed are among them: what counts is what was asked for.
    """
    reader = CellReader()
    return tuple(_of_result(result, reader) for result in trajectory.results)


def combination(kinds: Iterable[Kinds]) -> frozenset[Kind]:
    """The primary kinds that an episode combines; empty without a call."""
    return frozenset(one.primary for one in kinds)


def _of_result(result: ToolResult, reader: CellReader) -> Kinds:
    kept = found_in(result.data)
    if kept is not None:
        return _only("page" if kept.kind == "page" else _SEARCHES[kept.kind])
    return _kinds(result.call, reader)


def _kinds(call: ToolCall, reader: CellReader) -> Kinds:
    code = code_of(call)
    return _only(_by_name(call.name.lower())) if code is None else reader.kinds(code)


def _by_name(name: str) -> Kind:
    if "search" in name:
        return "image_search" if "image" in name else "text_search"
    if "open_page" in name:
        return "page"
    return "crop" if any(word in name for word in ("zoom", "crop", "rotate")) else "other"


def _of_events(done: set[Event]) -> Kinds:
    """From what a cell did to its kinds; see the rules above."""
    crop, mark, numeric = bool(done & {"cut", "shown"}), "marked" in done, "numeric" in done
    if not (crop or mark or "pictured" in done):
        numeric |= "arithmetic" in done
    named: tuple[tuple[Kind, bool], ...] = (("crop", crop), ("mark", mark), ("numeric", numeric))
    every = frozenset(kind for kind, holds in named if holds)
    if mark:
        return Kinds("mark", every)
    if numeric and "shown" not in done:
        return Kinds("numeric", every)
    return Kinds("crop", every) if crop else _OTHER


def _only(kind: Kind) -> Kinds:
    return Kinds(kind, frozenset((kind,)))


_OTHER = _only("other")
_SEARCHES: dict[Literal["text", "image"], Kind] = {"text": "text_search", "image": "image_search"}
