"""`saccade bench list`: which benchmarks there are, and which are on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saccade.cli.common.options import Json
from saccade.cli.common.say import say, say_json

if TYPE_CHECKING:
    from pydantic import JsonValue


def listing(as_json: Json = False) -> None:
    """List benchmarks: items, licence, source, what is here."""
    rows = listed()
    if as_json:
        say_json(rows, indent=2)
        return
    from rich.table import Table
    from rich.text import Text

    from saccade.bench.disk import DATA
    from saccade.cli.common.console import terminal

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("name", "items", "licence", "where to get it", "on this machine"):
        table.add_column(column, justify="right" if column == "items" else "left")
    for row in rows:
        cells = [row["name"], row["items"], row["licence"], row["source"], row["on_disk"]]
        table.add_row(*(Text("-" if cell is None else str(cell)) for cell in cells))
    terminal().print(table)
    say(
        f"\nname a data set with data=PATH, or put it into a folder ${DATA} under its name; "
        "what each has to be: saccade bench list --json"
    )


def listed() -> list[dict[str, JsonValue]]:
    """What there is to say of each benchmark, in the order of the table."""
    from typing import cast

    from saccade.bench import BENCHMARKS
    from saccade.bench.benchmark import Benchmark
    from saccade.bench.disk import found_on_disk
    from saccade.config import resolve

    rows: list[dict[str, JsonValue]] = []
    for name in BENCHMARKS:
        made = cast(type[Benchmark], resolve(name, BENCHMARKS, "bench"))
        about, place = made.about, found_on_disk(made)
        rows.append(
            {
                "name": name,
                "title": about.title,
                "items": about.items,
                "licence": about.licence,
                "source": about.source,
                "layout": about.layout,
                "metric": about.metric,
                "differs": about.differs,
                "paper": about.paper,
                "on_disk": None if place is None else str(place),
            }
        )
    return rows
