"""`saccade bench list`: which benchmarks there are, and which are on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from saccade.cli.common.options import Json
from saccade.cli.common.say import say, say_json

if TYPE_CHECKING:
    from pydantic import JsonValue
    from rich.console import Console

LICENCE_WIDTH = 20
SHOWN = (
    ("licence", "licence"), ("get it from", "source"), ("data=PATH is", "layout"),
    ("on this machine", "on_disk"), ("metric", "metric"),
    ("published scorers", "differs"), ("paper", "paper"),
)  # fmt: skip
"""What is said of one benchmark, and the key of it."""


def listing(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="Say all there is to say of one.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List benchmarks: items, licence, source, what is here."""
    from saccade.cli.benches.chosen import check_name
    from saccade.cli.common.console import terminal

    if name is not None:
        check_name(name)
    rows = listed([name] if name is not None else None)
    if as_json:
        say_json(rows, indent=2)
    elif name is None:
        _show_all(terminal(), rows)
    else:
        _show_one(terminal(), rows[0])


def listed(names: list[str] | None = None) -> list[dict[str, JsonValue]]:
    """What there is to say of each benchmark, in the order of the table."""
    from typing import cast

    from saccade.bench import BENCHMARKS
    from saccade.bench.benchmark import Benchmark
    from saccade.bench.disk import found_on_disk
    from saccade.config import resolve

    rows: list[dict[str, JsonValue]] = []
    for name in BENCHMARKS if names is None else names:
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


def _show_all(console: Console, rows: list[dict[str, JsonValue]]) -> None:
    """Two lines for each: what it is, and where it is here or where to get it."""
    from rich.text import Text

    from saccade.bench.disk import DATA

    wide = max(len(str(row["name"])) for row in rows)
    head = f"{'name':<{wide}}  {'items':>6}  here  {'licence':<{LICENCE_WIDTH}}  benchmark"
    console.print(Text(head, style="bold"))
    for row in rows:
        items = "-" if row["items"] is None else f"{row['items']:,}"
        here = "no" if row["on_disk"] is None else "yes"
        licence = shortened(str(row["licence"]))
        line = f"{row['name']:<{wide}}  {items:>6}  {here:<4}  {licence:<{LICENCE_WIDTH}}  "
        console.print(Text(f"{line}{row['title']}"), soft_wrap=True)
        first = str(row["source"]).partition(", ")[0].partition(" (")[0]
        more = "" if first == row["source"] else " ..."
        console.print(Text(f"  {row['on_disk'] or first + more}", style="dim"), soft_wrap=True)
    say(
        "\nsaccade bench list NAME says all of one, and what its files are. A data set is\n"
        f"named with data=PATH, or lies under its name in the folder ${DATA}."
    )


def _show_one(console: Console, row: dict[str, JsonValue]) -> None:
    from textwrap import wrap

    from rich.text import Text

    items = "" if row["items"] is None else f", {row['items']:,} items"
    console.print(Text(f"{row['name']}: {row['title']}{items}", style="bold"))
    wide = max(len(title) for title, _ in SHOWN)
    for title, key in SHOWN:
        text = str(row[key] or ("no" if key == "on_disk" else ""))
        lines = wrap(text, max(20, console.width - wide - 2), break_long_words=False,
                     break_on_hyphens=False)  # fmt: skip
        for number, line in enumerate(lines):
            console.print(Text(f"{'' if number else title:<{wide}}  {line}"), soft_wrap=True)


def shortened(licence: str) -> str:
    """A licence without what is said about it, in the width of its column."""
    short = licence
    for mark in (";", ",", " ("):
        short = short.partition(mark)[0]
    if len(short) > LICENCE_WIDTH or len(short) < len(licence):
        short = short[: LICENCE_WIDTH - 4].rstrip() + " ..."
    return short
