"""Commands that need more than the base installation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Imports in this block may fail for want of an extra; then the error says what to install.

    Raises:
        MissingExtra: a package of an extra is not installed.
    """
    from saccade.errors import MissingExtra

    try:
        yield
    except ModuleNotFoundError as error:
        if missing := MissingExtra.of(error.name, extra):
            raise missing from error
        raise
