"""`saccade index embed`: the passages of an index are embedded, to be found by meaning too."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from saccade.cli.common.options import Json
from saccade.cli.common.say import say, say_record


def embed(
    index: Annotated[Path, typer.Argument(metavar="INDEX", help="The folder of the index.")],
    model: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="A model of sentence-transformers."),
    ] = None,
    embedder: Annotated[
        str | None,
        typer.Option(metavar="NAME", help='An embedder of your own, "package.module:Name".'),
    ] = None,
    as_json: Json = False,
) -> None:
    """Embed the passages of an index for search by meaning.

    Only what has no embedding yet is worked on. A run file then names the same model:
    provider.sentences = { kind = "sentence_model", path = FOLDER }.
    """
    from saccade.cli.common.interrupt import says
    from saccade.cli.common.progress import bars
    from saccade.config import Part
    from saccade.errors import ConfigError
    from saccade.search.local.sentences import embed as embed_index

    if (model is None) == (embedder is None):
        raise ConfigError("index embed: name either --model FOLDER or --embedder NAME")
    part = Part.model_validate(
        {"kind": embedder} if model is None else {"kind": "sentence_model", "path": str(model)}
    )
    says(f"interrupted: {index} keeps what was finished; the same command resumes")
    with bars(quiet=as_json) as progress:
        bar = progress.add_task("documents", total=None)
        made = embed_index(
            index, part,
            on_progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )  # fmt: skip
    if as_json:
        say_record(made)
    else:
        say(f"{index}: {made.passages:,} passages are embedded ({made.added:,} added)")
