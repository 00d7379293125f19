"""Text that others wrote, made fit for a terminal, to which control characters are commands."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with its lines, and a space for every character that is not printed."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def one_line(text: str) -> str:
    """The same on one line, with single spaces."""
    return " ".join(printable(text).split())
