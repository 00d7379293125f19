"""Writes what a benchmark found to its places in a page: between `<!-- NAME -->` and its end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def fill(page: Path, tables: Mapping[str, str]) -> None:
    """Replace what stands in each place of a file; see `filled`."""
    page.write_text(filled(page.read_text(), tables))


def filled(text: str, tables: Mapping[str, str]) -> str:
    """A page with other tables.

    Args:
        text: Markdown.
        tables: Name of a place -> what stands there from now on.

    Raises:
        ValueError: the page has no such place, or has it twice.
    """
    for name, table in tables.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if text.count(start) != 1 or text.count(end) != 1:
            raise ValueError(f"{start} and {end} must stand in the page once each")
        before, _, rest = text.partition(start)
        after = rest.partition(end)[2]
        text = "\n".join((f"{before}{start}", table.strip("\n"), f"{end}{after}"))
    return text
