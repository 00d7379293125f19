"""Text that others wrote, made fit for a terminal, to which control characters are commands.

What is not printed, by Unicode's own table, becomes a space: C0 and C1 controls (escape sequences,
carriage return, backspace, bell), DEL, marks that turn the direction of writing, characters without
width, halves of surrogate pairs, and what no table knows.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with its lines, and a space for every character that is not printed."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def one_line(text: str) -> str:
    """The same on one line, with single spaces."""
    return " ".join(printable(text).split())
