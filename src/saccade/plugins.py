"""What becomes of an error in a part that may be a user's own: a reward term, a judge, a policy.

A run file can name such parts (docs/extending.md). Whatever one of them raises must neither lose
what is finished nor hide the line that raised it. `guarded` stands where the library calls one:

    with guarded("reward.weights.my_parts:Brief"):
        value = term(task, trajectory, correct)

This is one of the three places that catch any exception; `Environment.episode` and the command line
are the others.
"""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from traceback import FrameSummary, TracebackException
from typing import NamedTuple

from saccade.errors import PluginError, SaccadeError

MAX_REASON = 1000
"""Number of characters of an error's message that are kept."""
MAX_TRACEBACK = 4000
"""Number of characters of a traceback that are kept, counted from its end."""
MAX_FRAMES = 40
"""Number of calls of a traceback that are looked at, counted from where it was raised."""


class Failure(NamedTuple):
    """An error as a record keeps it."""

    reason: str
    """`KeyError: 'x' (my_parts.py:12, in act)`: the kind, the message, and the user's line."""
    traceback: str | None
    """The end of the traceback; None for an error of Saccade's own, whose message says it all."""


def failure_of(error: Exception) -> Failure:
    """What a record keeps of an error: bounded, and text that any file can hold."""
    if isinstance(error, PluginError):
        cause = error.__cause__
        told = failure_of(cause).traceback if isinstance(cause, Exception) else None
        return Failure(_bounded(str(error)), told)
    if isinstance(error, SaccadeError):
        return Failure(_bounded(f"{type(error).__name__}: {error}"), None)
    described = TracebackException.from_exception(error, limit=-MAX_FRAMES)
    text = _storable("".join(described.format()))
    cut = text if len(text) <= MAX_TRACEBACK else f"...\n{text[-MAX_TRACEBACK:]}"
    reason = _bounded(f"{type(error).__name__}: {described}")
    return Failure(reason + _place(described.stack), cut)


@contextmanager
def guarded(where: str) -> Iterator[None]:
    """Errors in this block are told as those of the part that is called in it.

    Args:
        where: The part as the run file names it.

    Raises:
        PluginError: an exception that is no `SaccadeError`; it is the cause.
    """
    try:
        yield
    except SaccadeError:
        raise
    except Exception as error:
        raise PluginError(f"{where}: {failure_of(error).reason}") from error


def _place(stack: list[FrameSummary]) -> str:
    """The innermost line of code that is neither ours nor a library's, if there is one."""
    own = [frame for frame in stack if not frame.filename.startswith(("<", *_libraries()))]
    if not stack:
        return ""
    frame = (own or stack)[-1]
    return _storable(f" ({Path(frame.filename).name}:{frame.lineno}, in {frame.name})")


@cache
def _libraries() -> tuple[str, ...]:
    """Folders whose code is not a user's: this package, the standard library, what is installed."""
    paths = sysconfig.get_paths()
    installed = (paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    return tuple(f"{folder}{os.sep}" for folder in (Path(__file__).parent, *installed))


def _bounded(text: str) -> str:
    text = _storable(text)
    return text if len(text) <= MAX_REASON else f"{text[:MAX_REASON]}..."


def _storable(text: str) -> str:
    """Without halves of surrogate pairs, which no file could hold."""
    return text.encode("utf-8", "replace").decode()
