"""`saccade index import` and `saccade index export`: caches of others as recordings, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from saccade.cli.common.options import Json
from saccade.cli.common.say import say, say_json, say_record

MOST_NAMED = 5
"""Number of questions that could not be read that are named in a terminal; `--json` names all."""


def importing(
    cache: Annotated[
        Path, typer.Argument(metavar="CACHE.json", help="Of MMSearch-R1 or DeepEyesV2.")
    ],
    out: Annotated[Path, typer.Option(help="The recording, an SQLite file.")],
    images: Annotated[
        Path | None,
        typer.Option(
            help="The folder that pictures lie in or below; without it that of the cache."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Import a published cache of image searches.

    Results whose pictures are not there are left out, as published, and counted; run the same
    command again when they are. Exit code 1 if nothing could be imported.

    saccade index import cache.json --out cache.sqlite
    """
    from saccade.cli.common.interrupt import says
    from saccade.cli.common.progress import bars, one_bar
    from saccade.search.recorded.imported import import_cache

    says(f"interrupted: {out} keeps what was imported; the same command resumes")
    with bars(quiet=as_json) as progress:
        done = import_cache(cache, out, images=images, on_progress=one_bar(progress))
    if as_json:
        say_record(done)
    else:
        say(
            f"{out}: {done.imported} of {done.questions} questions with {done.results} results; "
            f"{done.already} were there before"
        )
        for reason, number in sorted(done.left_out.items()):
            say(f"  left out: {number} results: {reason}")
        if done.empty:
            say(f"  nothing is left of the results of {done.empty} questions")
        for name, reason in list(done.unread.items())[:MOST_NAMED]:
            say(f"  not read: {name[:80]!r}: {reason}")
        if len(done.unread) > MOST_NAMED:
            say(f"  not read: {len(done.unread) - MOST_NAMED} more questions; see --json")
    if not done.imported + done.already:
        raise typer.Exit(1)


def exporting(
    recording: Annotated[
        Path, typer.Argument(metavar="FILE.sqlite", help="Of `replay`, or imported.")
    ],
    out: Annotated[
        Path, typer.Option(help="The JSON; pictures go to a folder NAME_images beside it.")
    ],
    as_json: Json = False,
) -> None:
    """Write recorded image searches as a published cache.

    saccade index export cache.sqlite --out cache.json
    """
    from saccade.cli.common.progress import bars, one_bar
    from saccade.search.recorded.imported import export_cache

    with bars(quiet=as_json) as progress:
        done = export_cache(recording, out, on_progress=one_bar(progress))
    if as_json:
        say_json(done._asdict())
    else:
        say(
            f"{out}: {done.questions} questions with {done.results} results and {done.pictures} "
            "pictures"
        )
