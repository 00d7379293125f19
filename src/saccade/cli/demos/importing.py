"""`saccade demos import`: a file of conversations as a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saccade.cli.common.options import Json
from saccade.cli.common.say import say, say_record

if TYPE_CHECKING:
    from pydantic import JsonValue


def importing(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="sharegpt (.json, .jsonl), or a .parquet file as TRL reads it."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="RUN", help="The run folder that is made.")],
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The folder that images lie in or below; without it that of the file.",
        ),
    ] = None,
    dialect: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="How calls and answers are written; without it as the file says, or deepeyes_v2.",
        ),
    ] = None,
    malformed: Annotated[
        str,
        typer.Option(metavar="HOW", help="refuse, or leave_out rows that cannot be used."),
    ] = "refuse",
    factor: Annotated[
        int,
        typer.Option(
            min=1,
            max=1024,
            help="Both sides of an image are made multiples of it, as the model needs them: 28 for "
            "Qwen2.5-VL, 32 for Qwen3-VL. 1 leaves images as they are.",
        ),
    ] = 28,
    max_pixels: Annotated[
        int | None,
        typer.Option(min=1, help="Pixels that an image is shown with at most; published: 262144."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Read conversations of others as episodes to learn from.

    Nothing is played and nothing judged: train on it with keep = "answered". The same command
    resumes. Exit code 2 if nothing can be used.

    saccade demos import sft_part_0.json --images data --out runs/cold
    """
    from saccade.cli.common.interrupt import says
    from saccade.cli.common.progress import bars
    from saccade.cli.demos.export import say_left_out
    from saccade.config import validate
    from saccade.data.demos.exchange import ImportOptions, import_file

    view: dict[str, JsonValue] = {"factor": factor}
    if max_pixels is not None:
        view["max_pixels"] = max_pixels
    options = validate(
        ImportOptions,
        {"file": str(file), "out": str(out), "images": None if images is None else str(images),
         "dialect": dialect, "malformed": malformed, "view": view},
    )  # fmt: skip
    says(f"interrupted: {out} keeps what was imported; the same command resumes")
    with bars(quiet=as_json) as progress:
        bar = progress.add_task("conversations", total=None)
        found = import_file(options, on_progress=lambda done: progress.update(bar, completed=done))
    if as_json:
        say_record(found)
        return
    say(
        f"{found.out}: {found.imported} of {found.rows} conversations, {found.without_images} of "
        f"those that are there without images; {found.already} were there before"
    )
    if found.made_inert:
        say(f"  control tokens were made inert in {found.made_inert}")
    say_left_out(found.left_out, found.named)
    say(f'train on it: saccade sft RECIPE runs=["{found.out}"] keep=answered')
