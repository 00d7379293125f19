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
    from saccade.bench.disk import DATA
    from saccade.cli.common.console import terminal
    from saccade.cli.common.tables import show_parts
    from saccade.view.tables import Table

    head = ("name", "items", "on this machine", "licence", "where to get it")
    keys = ("name", "items", "on_disk", "licence", "source")
    cells = tuple(tuple("-" if row[key] is None else str(row[key]) for key in keys) for row in rows)
    show_parts(terminal(), [Table("", head, cells, keys=1, prose=head[2:])])
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
