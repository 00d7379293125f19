"""The parts of a report in a terminal: tables that fit, whatever its width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from rich.console import Console
from rich.table import Table as Shown
from rich.text import Text

from saccade.cli.common.console import linked
from saccade.view.tables import Cell, Link, Part, Table, plain

PROSE_WIDTH = 24
"""Number of characters that a column of words has at least."""
GAP = 2
"""Number of spaces between two columns."""


def show_parts(console: Console, parts: Sequence[Part]) -> None:
    """Print tables and paragraphs with an empty line between them.

    No number and no name is broken: a table that is too wide continues below, under the names of
    its rows.
    """
    for at, part in enumerate(parts):
        if at:
            console.print()
        if isinstance(part, str):
            console.print(Text(plain(part), style="dim"))
            continue
        for piece, places in enumerate(_pieces(part, console.width)):
            if piece:
                console.print()
            elif part.title:
                console.print(Text(plain(part.title), style="bold"))
            console.print(_shown(part, places))


def _pieces(table: Table, width: int) -> Iterator[tuple[int, ...]]:
    """The columns of each part of a table, the names of the rows in all of them."""
    widths = [_width(table, place) for place in range(len(table.head))]
    keys = tuple(range(table.keys))
    room = width - sum(widths[place] + GAP for place in keys)
    piece, left = keys, room
    for place in range(table.keys, len(table.head)):
        if len(piece) > len(keys) and widths[place] > left:
            yield piece
            piece, left = keys, room
        piece += (place,)
        left -= widths[place] + GAP
    yield piece


def _width(table: Table, place: int) -> int:
    """The characters that a column needs; a heading is broken between its words."""
    cells = (*table.head[place].split(), *(row[place] for row in table.rows))
    widest = max((Text(plain(cell)).cell_len for cell in cells), default=0)
    return min(widest, PROSE_WIDTH) if table.head[place] in table.prose else widest


def _shown(table: Table, places: Sequence[int]) -> Shown:
    shown = Shown(box=None, header_style="bold", pad_edge=False, padding=(0, GAP, 0, 0))
    heads = [wrap(plain(table.head[p]), max(1, _width(table, p))) for p in places]
    height = max(map(len, heads))
    for place, lines in zip(places, heads, strict=True):
        words = table.head[place] in table.prose
        named = place < table.keys
        shown.add_column(
            Text("\n".join([""] * (height - len(lines)) + lines)),  # they stand on their column
            justify="left" if named or words else "right",
            overflow="fold",
            no_wrap=not words and not named,
            min_width=None if named else _width(table, place),
        )
    for row in table.rows:
        shown.add_row(*(_cell(row[place]) for place in places))
    return shown


def _cell(cell: Cell) -> Text:
    text = Text(plain(cell))
    if isinstance(cell, Link):
        text.stylize(linked(cell.target))
    return text
