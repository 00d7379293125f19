"""The report as one HTML page: figures and tables inside it, nothing fetched, no script.

What comes out of a run is escaped. The Content-Security-Policy names the style by its hash and
allows nothing else but the images, which are data in the page.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from saccade.errors import install_line
from saccade.view.tables import Cell, Link, Part, Table, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 150
NO_FIGURES = f"Figures are not shown: matplotlib is not installed. {install_line('plots')}"


class Picture(NamedTuple):
    """A figure of the page."""

    name: str
    """Of its file, without the ending."""
    title: str
    caption: str
    png: bytes


def png_of(figure: Figure) -> bytes:
    """A figure as PNG."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    return file.getvalue()


def page(
    title: str, lines: Sequence[str], pictures: Sequence[Picture], parts: Sequence[Part]
) -> str:
    """The page.

    Args:
        title: What it is called.
        lines: What is said first of all.
        pictures: The figures, in their order.
        parts: The tables and sentences below them.
    """
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; "
        "form-action 'none'"
    )
    body = [f"<h1>{_text(title)}</h1>", *(f"<p>{_text(line)}</p>" for line in lines)]
    body += [_picture(one) for one in pictures]
    body += [f"<p>{_text(part)}</p>" if isinstance(part, str) else _table(part) for part in parts]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _picture(one: Picture) -> str:
    data = base64.b64encode(one.png).decode()
    return (
        f'<figure><h2>{_text(one.title)}</h2><img alt="{_text(one.title)}: {_text(one.caption)}" '
        f'src="data:image/png;base64,{data}"><figcaption>{_text(one.caption)}</figcaption></figure>'
    )


def _table(table: Table) -> str:
    heads = "".join(_head(table, at) for at in range(len(table.head)))
    rows = "".join(
        "<tr>" + "".join(_cell(table, at, cell) for at, cell in enumerate(row)) + "</tr>\n"
        for row in table.rows
    )
    title = f"<h2>{_text(table.title)}</h2>" if table.title else ""
    return (
        f'<section>{title}<div class="scroll" tabindex="0"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>\n{rows}</tbody></table></div></section>"
    )


def _head(table: Table, at: int) -> str:
    words = ' class="words"' if at < table.keys or table.head[at] in table.prose else ""
    return f'<th scope="col"{words}>{_text(table.head[at])}</th>'


def _cell(table: Table, at: int, cell: Cell) -> str:
    text = _text(plain(cell))
    if isinstance(cell, Link):
        text = f'<a href="{escape(cell.target, quote=True)}">{text}</a>'
    if at < table.keys:
        return f'<th scope="row">{text}</th>'
    words = ' class="words"' if table.head[at] in table.prose else ""
    return f"<td{words}>{text}</td>"


def _text(text: str) -> str:
    """Text on one line, in which nothing is markup and nothing is hidden."""
    return escape(" ".join("".join(c if c.isprintable() else " " for c in text).split()))


_STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem 1.4rem 4rem; background: #fff;
  color: #1b1f24; font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.35rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem; }
figure { margin: 0 0 1.5rem; } img { max-width: 100%; height: auto; display: block; }
figcaption { color: #545d68; font-size: .9rem; max-width: 60rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums;
  overflow-wrap: normal; }
th, td { padding: .22rem .7rem .22rem 0; vertical-align: baseline; }
thead th { color: #545d68; font-weight: normal; text-align: right; white-space: nowrap;
  border-bottom: 1px solid #d4d8de; }
tbody tr + tr { border-top: 1px solid #eceef1; }
td { text-align: right; white-space: nowrap; }
tbody th, thead th.words { text-align: left; font-weight: normal; }
tbody th { min-width: 6rem; max-width: 22rem; }
td.words { text-align: left; white-space: normal; min-width: 14rem; }
:focus-visible { outline: 3px solid #0b57c4; }
"""
