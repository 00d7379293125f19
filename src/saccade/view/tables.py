"""Tables and sentences, and how they are written: Markdown, and LaTeX for papers.

What stands in a cell may come out of a run; each writer sees to it that it stays text. How a
terminal shows the same parts is in `saccade.cli.common.tables`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

MAX_CELL = 300
"""Number of characters of a cell that are written."""


class Link(NamedTuple):
    """Text of a cell that leads to an episode on a page."""

    text: str
    target: str
    """A relative or absolute URL, percent-encoded."""


Cell = str | Link


class Table(NamedTuple):
    """A table whose first columns name a row."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    keys: int = 1
    """Number of columns that name a row; where a table is too wide they stand in every part of
    it."""
    prose: tuple[str, ...] = ()
    """Columns of words; the others hold numbers and are never broken."""


Part = Table | str
"""A table, or a paragraph."""


def number(value: float | None, digits: int | None) -> str:
    """A number with so many decimals, a count if None, and a dash where nothing is known."""
    return "-" if value is None else f"{value:.{digits or 0}f}"


def interval(low: float | None, high: float | None, *, sign: bool = False) -> str:
    """The two ends of a confidence interval; of a difference with their signs."""
    if low is None or high is None:
        return "-"
    return f"[{low:+.3f}, {high:+.3f}]" if sign else f"[{low:.3f}, {high:.3f}]"


def p_value(p: float | None) -> str:
    """A probability under a null hypothesis, and a dash where there is none."""
    return "-" if p is None else "<0.0001" if p < 1e-4 else f"{p:.4f}"


def plain(cell: Cell) -> str:
    """The text of a cell on one line, without hidden characters."""
    flat = _flat(cell.text if isinstance(cell, Link) else cell)
    return flat if len(flat) <= MAX_CELL else flat[: MAX_CELL - 3] + "..."


def _flat(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def markdown(parts: Sequence[Part]) -> str:
    """The parts as GitHub's Markdown."""
    return "\n\n".join(map(_markdown, parts)) + "\n"


def latex(parts: Sequence[Part]) -> str:
    """The parts as LaTeX; paragraphs are comments, for a table of a paper stands alone."""
    written = (_latex(part) for part in parts)
    return "% needs \\usepackage{booktabs}\n\n" + "\n\n".join(written) + "\n"


def _markdown(part: Part) -> str:
    if isinstance(part, str):
        return _BLOCK.sub(r"\\\1", _markdown_text(part))
    sides = ("---" if _is_text(part, place) else "--:" for place in range(len(part.head)))
    lines = [f"**{_markdown_text(part.title)}**", ""] if part.title else []
    lines += ["| " + " | ".join(map(_markdown_text, part.head)) + " |", f"|{'|'.join(sides)}|"]
    lines += ["| " + " | ".join(map(_markdown_cell, row)) + " |" for row in part.rows]
    return "\n".join(lines)


_BLOCK = re.compile(r"^([#>+=-])")
"""What would make a heading, a quotation or a list of a paragraph."""


def _markdown_cell(cell: Cell) -> str:
    text = _markdown_text(plain(cell))
    return f"[{text}]({cell.target})" if isinstance(cell, Link) else text


def _markdown_text(text: str) -> str:
    """Text that cannot end its cell or line, begin markup or hide characters."""
    text = _flat(text)
    for mark in "\\|`*_~$":
        text = text.replace(mark, "\\" + mark)
    return text.replace("](", "]\\(").replace("&", "&amp;").replace("<", "&lt;")


_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\char34{}",
    **{c: "\\" + c for c in "&%$#_{}"},
}  # fmt: skip


_LIGATURE = re.compile("(?<=[-'`?!])(?=[-'`])")
"""Between two characters that LaTeX may set as one, such as the two hyphens of an option."""


def _latex(part: Part) -> str:
    if isinstance(part, str):
        return f"% {plain(part)}"
    sides = "".join("l" if _is_text(part, place) else "r" for place in range(len(part.head)))
    lines = [f"% {plain(part.title)}"] if part.title else []
    lines += [f"\\begin{{tabular}}{{{sides}}}", r"\toprule", _latex_row(part.head), r"\midrule"]
    lines += [_latex_row(row) for row in part.rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def _latex_row(cells: Sequence[Cell]) -> str:
    row = " & ".join(_latex_text(plain(cell)) for cell in cells) + r" \\"
    # After the end of a row or a rule these would be its options.
    return f"{{{row[0]}}}{row[1:]}" if row[0] in "[*" else row


def _latex_text(text: str) -> str:
    return "{}".join("".join(_LATEX.get(c, c) for c in run) for run in _LIGATURE.split(text))


def _is_text(table: Table, place: int) -> bool:
    return place < table.keys or table.head[place] in table.prose
