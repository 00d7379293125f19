"""`saccade index`: an index on this machine is built, and searched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saccade.cli.common.options import Json
from saccade.cli.common.say import say, say_json, say_record

if TYPE_CHECKING:
    from saccade.search.found import Result
    from saccade.search.local.build import Built

MAX_LEFT_OUT = 10
"""Number of files that are named, of those that could not be read."""
SNIPPET = 400
"""Number of characters of a snippet that are shown."""


def build(
    source: Annotated[
        Path,
        typer.Argument(metavar="SOURCE", help="A file of rows (.jsonl, .parquet), or a folder."),
    ],
    out: Annotated[Path, typer.Option(metavar="INDEX", help="The folder of the index.")],
    words: Annotated[
        int | None,
        typer.Option(
            min=20,
            max=10_000,
            help="Words of a passage, about. Default: 200, or as the index has them.",
        ),
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove documents that the source does not have.")
    ] = False,
    embeddings: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npy",
            help="Embeddings of the pictures: float32, a row for each id of FILE.ids.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Build an index for search, or bring it up to date.

    Rows have id, title, text, and optional url and image (a path beside the file). In a folder,
    texts become documents and images become pictures. Only what is new or changed is worked on.
    """
    from saccade.cli.common.interrupt import says
    from saccade.cli.common.progress import bars
    from saccade.search.local.build import build as build_index
    from saccade.untrusted.printable import one_line

    says(f"interrupted: {out} keeps what was finished; the same command resumes")
    left_out: list[str] = []
    with bars(quiet=as_json) as progress:
        bar = progress.add_task("documents", total=None)

        def on_progress(done: int, total: int | None) -> None:
            progress.update(bar, completed=done, total=total)

        def on_left_out(file: str, reason: str) -> None:
            if len(left_out) < MAX_LEFT_OUT:
                left_out.append(one_line(f"left out: {file}: {reason}"))

        built = build_index(
            source, out, words=words, prune=prune, embeddings=embeddings,
            on_progress=on_progress, on_left_out=on_left_out,
        )  # fmt: skip
    for line in left_out:
        say(line, err=True)
    if built.left_out > len(left_out):
        say(f"left out: {built.left_out - len(left_out):,} more", err=True)
    if as_json:
        say_record(built)
    else:
        _say_built(out, built)


def _say_built(out: Path, built: Built) -> None:
    done = (
        f"{getattr(built, name):,} {name.replace('_', ' ')}"
        for name in ("added", "replaced", "unchanged", "removed", "repeated", "left_out")
        if getattr(built, name)
    )
    say(f"{out}: {built.documents:,} documents ({', '.join(done)})")
    if built.pictures:
        say(f"{built.pictures:,} have a picture, {built.embedded:,} of them an embedding")
    if built.kept:
        say(f"{built.kept:,} are not in the source, and were kept; --prune removes them")
    say(f"digest {built.digest}")


def search(
    index: Annotated[Path, typer.Argument(metavar="INDEX", help="The folder of the index.")],
    query: Annotated[
        str, typer.Argument(metavar="[QUERY]", help="The words.", show_default=False)
    ] = "",
    image: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Search with an image, for pictures that look like it."),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="Number of results.")] = 5,
    as_json: Json = False,
) -> None:
    """Search an index by words, or by an image."""
    from saccade.errors import ConfigError
    from saccade.search.local.index import Index

    if bool(query.strip()) == (image is not None):
        raise ConfigError("index search: name either words or --image FILE")
    with Index.open(index) as opened:
        kind = "text" if image is None else "image"
        if kind not in opened.kinds:
            held = " and ".join(sorted(opened.kinds)) or "nothing"
            raise ConfigError(f"{index}: holds nothing to be searched by {kind}, only {held}")
        if image is None:
            results = opened.text(query, k)
        else:
            from saccade.images.image import Image

            results = opened.image(Image.open(image), k)
        finished = opened.state.finished
    if as_json:
        hits = [found.hit.model_dump(mode="json") for found in results]
        say_json({"digest": opened.digest, "finished": finished, "results": hits})
        return
    if not finished:
        say(f"{index}: its build has not come to its end; run it again", err=True, colour="yellow")
    _show(results)


def _show(results: tuple[Result, ...]) -> None:
    from saccade.untrusted.printable import one_line

    if not results:
        say("nothing was found")
    for hit, _ in results:
        say(f"{hit.rank}. {one_line(hit.title) or '(no title)'}", bold=True)
        parts = (f"score {hit.score:.3f}", one_line(hit.document), one_line(hit.url))
        say("   " + "  ".join(part for part in parts if part))
        snippet = one_line(hit.snippet)
        if snippet:
            say("   " + (snippet if len(snippet) <= SNIPPET else f"{snippet[:SNIPPET]} ..."))
