"""Tables as text: whole in files, and cut to the width of a terminal between columns."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from saccade.runs.manifest import as_typed

Rows = Sequence[Sequence[str]]
"""A table; its first row is the head."""
GAP = 2
"""Blanks between columns in a terminal."""


def markdown(rows: Rows) -> str:
    """A table, its first row the head."""
    lines = ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]) + "\n"


def _cell(text: str) -> str:
    """Text that cannot end its cell or its row: the options of an attack may hold anything."""
    flat = " ".join(text.splitlines())
    return flat.replace("\\", "\\\\").replace("|", "\\|")


def within(rows: Rows, width: int, *, keys: int = 1) -> list[Rows]:
    """The same as one table or several, side by side no wider than a terminal.

    Names and numbers are never cut: what does not fit goes to the next table, behind the columns
    that name its rows, and columns are spread evenly. A head is broken between words only.

    Args:
        rows: The table.
        width: Columns of the terminal.
        keys: Number of its first columns that name a row; every table has them.
    """
    widths = widths_of(rows)
    fewest = len(_parts(widths, width, keys))
    even = next(w for w in range(width + 1) if len(_parts(widths, w, keys)) <= fewest)
    return [
        [[*row[:keys], *(row[place] for place in part)] for row in rows]
        for part in _parts(widths, even, keys)
    ]


def widths_of(rows: Rows) -> list[int]:
    """Of each column: the longest entry, or the longest word of the head."""
    columns = [(head.split(), entries) for head, *entries in zip(*rows, strict=True)]
    return [max(map(len, (*head, *entries)), default=0) for head, entries in columns]


def _parts(widths: Sequence[int], width: int, keys: int) -> list[list[int]]:
    """Places of the columns of each table, as many in each as fit, one at least."""
    named = used = sum(widths[:keys]) + GAP * (keys - 1)
    parts: list[list[int]] = [[]]
    for place in range(keys, len(widths)):
        if parts[-1] and used + GAP + widths[place] > width:
            parts.append([])
            used = named
        parts[-1].append(place)
        used += GAP + widths[place]
    return parts


def under_figure(caption: str, command: str, *, width: int) -> str:
    """What stands under a figure: what was measured, and the command line that did it."""
    lines = [*wrap(caption, width), *(wrap(as_typed(command), width) if command else [])]
    return plain("\n".join(lines))


def plain(text: str) -> str:
    """What matplotlib writes as it is: no mathematics, and no label that it leaves out."""
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")
