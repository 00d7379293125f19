"""`saccade index`: an index on this machine is built, and searched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saccade.cli.common.options import Json
from saccade.cli.common.say import say, say_json, say_record

if TYPE_CHECKING:
    from saccade.search.found import Result


def build(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="A file (.jsonl, .parquet, ...), or a folder.")
    ],
    out: Annotated[Path, typer.Option(metavar="INDEX", help="The folder of the index.")],
    words: Annotated[
        int | None,
        typer.Option(min=20, help="Words of a passage. Default: 200, or as the index has them."),
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove documents that the source does not have.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Build an index for search, or bring it up to date."""
    from saccade.cli.common.interrupt import says
    from saccade.cli.common.progress import bars
    from saccade.search.local.build import build as build_index

    says(f"interrupted: {out} keeps what was finished; the same command resumes")
    with bars(quiet=as_json) as progress:
        bar = progress.add_task("rows", total=None)
        built = build_index(
            source, out, words=words, prune=prune,
            on_progress=lambda done: progress.update(bar, completed=done),
        )  # fmt: skip
    if as_json:
        say_record(built)
        return
    say(
        f"{out}: {built.documents:,} documents, {built.pictures:,} of them with a picture "
        f"({built.added:,} added, {built.replaced:,} replaced, {built.unchanged:,} unchanged, "
        f"{built.removed:,} removed)"
    )


def search(
    index: Annotated[Path, typer.Argument(metavar="INDEX", help="The folder of the index.")],
    query: Annotated[str, typer.Argument(metavar="QUERY", help="The words.", show_default=False)],
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="Number of results.")] = 5,
    as_json: Json = False,
) -> None:
    """Search an index by words."""
    from saccade.search.local.index import Index

    with Index.open(index) as opened:
        results = opened.text(query, k)
    if as_json:
        say_json({"results": [found.hit.model_dump(mode="json") for found in results]})
        return
    _show(results)


def _show(results: tuple[Result, ...]) -> None:
    from saccade.untrusted.printable import one_line

    if not results:
        say("nothing was found")
    for hit, _ in results:
        say(f"{hit.rank}. {one_line(hit.title) or '(no title)'}", bold=True)
        say(f"   {one_line(hit.document)}  score {hit.score:.3f}  {one_line(hit.url)}")
        say(f"   {one_line(hit.snippet)[:300]}")
