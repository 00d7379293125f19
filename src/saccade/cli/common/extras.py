"""Commands that need more than the base installation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Imports in this block may fail for want of an extra; then the error says what to install.

    Raises:
        MissingExtra: a package is not installed.
    """
    from saccade.errors import MissingExtra

    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or extra, extra) from error
