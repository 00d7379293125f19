"""Pictures that a cell makes and does not show: files that it saves, figures that it loses.

A model sees what is shown and nothing else, and many take a picture that they have saved for one
that they will see. What libraries call "save" and "close" does what it did, and is remembered until
the cell ends. Of what cells do a few are kept and the others counted; pictures are held weakly.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections import deque
from collections.abc import Callable
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEPT = 16
"""Number of things that are remembered of a cell."""
REMEMBERED = 64
"""Number of pictures of which is remembered that they were shown."""
NAMED = 3
"""Number of files that a note names."""
NAME_CHARS = 40


class Unshown(NamedTuple):
    """A picture that was saved, closed or cleared."""

    deed: str
    picture: weakref.ref[object] | None
    """None of an array."""
    name: str | None = None
    """The file."""
    loose: bool = False
    """An array, or written into memory: it may be shown as another object, which nobody can tell.
    """


class Watch:
    """Looks at what a cell saves, closes and clears, and at what it shows."""

    def __init__(self) -> None:
        """Let what libraries call "save" and "close" be seen here too."""
        self._kept: list[Unshown] = []
        self._more = 0
        self._seen: deque[weakref.ref[object]] = deque(maxlen=REMEMBERED)
        self._within = False
        self._figure: type[Figure] | None = None
        image = vars(Image)["Image"]
        image.save = self._saving(image.save, "fp")
        if "matplotlib.pyplot" in sys.modules:
            self._watch_figures()
        if (cv2 := sys.modules.get("cv2")) is not None:
            vars(cv2)["imwrite"] = self._writing(vars(cv2)["imwrite"])

    def begin(self) -> None:
        """A new cell."""
        self._kept.clear()
        self._more = 0
        self._within = False

    def shown(self, picture: object) -> None:
        """An image or a figure is returned: nothing need be said of it."""
        self._seen.append(weakref.ref(picture))
        file = vars(picture).get("filename")
        self._kept[:] = [
            one
            for one in self._kept
            if not (_is(one.picture, picture) or (type(file) is str and file == one.name))
        ]

    def notes(self, *, something_shown: bool) -> list[str]:
        """What the cell made and did not show, in at most three sentences."""
        left = [one for one in self._kept if not (one.loose and something_shown)]
        said = []
        if saved := [one for one in left if one.deed == "saved"]:
            names = [repr(one.name[:NAME_CHARS]) for one in saved if one.name is not None]
            said.append(f"{self._count(saved)} saved but not shown{_listed(names)}; {_way(names)}")
        for deed in ("closed", "cleared"):
            if lost := [one for one in left if one.deed == deed]:
                number = self._count(lost, "figure")
                said.append(f"{number} {deed} before being shown; plt.show() shows figures")
        return said

    def _count(self, some: list[Unshown], noun: str = "picture") -> str:
        number = len(some)
        more = " or more" if self._more else ""
        return f"a {noun} was" if number == 1 and not more else f"{number}{more} {noun}s were"

    def _watch_figures(self) -> None:
        from matplotlib import _pylab_helpers, pyplot

        figure = vars(sys.modules["matplotlib.figure"])["Figure"]
        self._children, self._figure = figure.get_children, figure
        self._open = _pylab_helpers.Gcf.get_all_fig_managers
        figure.savefig = self._saving(figure.savefig, "fname")
        figure.clear = self._clearing(figure.clear)
        vars(pyplot)["close"] = self._closing(vars(pyplot)["close"])

    def _saving(self, save: Callable[..., object], argument: str) -> Callable[..., object]:
        """A method that saves its object: to a path, or into memory."""

        @functools.wraps(save)
        def saved(picture: object, *given: object, **options: object) -> object:
            outermost, self._within = not self._within, True  # figures are saved as images
            try:
                made = save(picture, *given, **options)
            finally:
                self._within = not outermost
            if outermost:
                self._saved(picture, given[0] if given else options.get(argument))
            return made

        return saved

    def _saved(self, picture: object, target: object) -> None:
        path = _path(target)
        is_figure = self._figure is not None and isinstance(picture, self._figure)
        if not (self._is_drawn(picture) if is_figure else path is not None):
            return  # an empty figure, or an image that is encoded and looked at by nobody
        self._kept[:] = [one for one in self._kept if not _is(one.picture, picture)]
        self._keep(Unshown("saved", weakref.ref(picture), path, path is None), picture)

    def _writing(self, write: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(write)
        def written(*given: object, **options: object) -> object:
            made = write(*given, **options)
            if made and not self._within:
                self._keep(Unshown("saved", None, _path(given[0] if given else None), loose=True))
            return made

        return written

    def _closing(self, close: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(close)
        def closed(*given: object, **options: object) -> object:
            before = self._figures()
            made = close(*given, **options)
            left = self._figures()
            for figure in before:
                if not any(figure is other for other in left):
                    self._lost("closed", figure)
            return made

        return closed

    def _clearing(self, clear: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(clear)
        def cleared(figure: Figure, *given: object, **options: object) -> object:
            self._lost("cleared", figure)
            # What is drawn on it from now on is another picture.
            self._kept[:] = [
                one._replace(picture=_GONE) if _is(one.picture, figure) else one
                for one in self._kept
            ]
            return clear(figure, *given, **options)

        return cleared

    def _figures(self) -> list[Figure]:
        return [manager.canvas.figure for manager in self._open()]

    def _lost(self, deed: str, figure: Figure) -> None:
        """A figure with something on it, of which nothing else is known yet."""
        if self._is_drawn(figure) and not any(_is(one.picture, figure) for one in self._kept):
            self._keep(Unshown(deed, weakref.ref(figure)), figure)

    def _is_drawn(self, figure: object) -> bool:
        """Whether something is on a figure besides its ground."""
        if self._figure is None or not isinstance(figure, self._figure):
            return False
        return len(self._children(figure)) > 1

    def _keep(self, one: Unshown, picture: object = None) -> None:
        if picture is not None and any(_is(seen, picture) for seen in self._seen):
            return
        if len(self._kept) < KEPT:
            self._kept.append(one)
        else:
            self._more += 1


class _Nothing:
    """What is no more."""


_GONE: weakref.ref[object] = weakref.ref(_Nothing())


def _is(held: weakref.ref[object] | None, picture: object) -> bool:
    return held is not None and held() is picture


def _path(target: object) -> str | None:
    """The text of a path; None of a file object, and of what only behaves like a path."""
    if type(target) is str:
        return target
    return str(target) if isinstance(target, PurePath) else None


def _listed(names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f": {', '.join(names[:NAMED])}{more}"


def _way(names: list[str]) -> str:
    file = names[0] if len(names) == 1 else "..."
    return f"display(Image.open({file})) shows it" if names else "plt.show() shows it"
