"""Run folders as files of conversations for other trainers, and such files as run folders.

    export_run(ExportOptions(run="runs/demos", out="cold_start", to="sharegpt"))
    import_file(ImportOptions(file="sft_part_0.json", out="runs/cold", dialect="deepeyes_v2"))

Both go through a file once; one conversation is in memory at a time, and of those that a run folder
has already its key. What cannot be read or written is an error that names it, or is left out and
counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue

from saccade.data.demos.conversations import (
    AS_THEY_ARE,
    IMPORTED,
    MADE_INERT,
    conversation_of,
    demonstration_of,
    environment_of,
)
from saccade.dialects import BUILT_IN, built_in
from saccade.dialects.base import Dialect
from saccade.errors import ConfigError, FormatError
from saccade.files import make_folder, write_whole
from saccade.formats.conversations import (
    Conversation,
    OnLeftOut,
    UnfitConversation,
    read_sharegpt,
    read_trl,
    write_sharegpt,
    write_trl,
)
from saccade.formats.prompts import read_prompts
from saccade.formats.published import write_parquet
from saccade.images.decode import MAX_SOURCE_PIXELS
from saccade.images.geometry import PixelBudget
from saccade.runs.folder import Key, RunFolder, RunReader, finished_in
from saccade.runs.manifest import manifest_of
from saccade.types import Record

VERB, SUMMARY = "demos import", "summary.json"
DEFAULT_DIALECT = "deepeyes_v2"
MOST_NAMED = 100
"""Rows that are named, of those that were left out."""

Malformed = Literal["refuse", "leave_out"]
Format = Literal["sharegpt", "trl", "parquet"]


class LeftOut(Record):
    """A row that was left out."""

    place: str
    reason: str
    error: str


class _LeavesOut:
    """Counts what is left out, and names the first ones."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.named: list[LeftOut] = []

    def __call__(self, error: UnfitConversation) -> None:
        self.counts[error.reason] += 1
        if len(self.named) < MOST_NAMED:
            named = LeftOut(place=error.where, reason=error.reason, error=str(error)[:500])
            self.named.append(named)


def _refuse(error: UnfitConversation) -> None:
    raise FormatError(f"{error}; with malformed=leave_out it is left out and counted") from error


class ExportOptions(Record):
    """What `saccade demos export` writes."""

    run: str
    out: str
    to: Format
    keep: Literal["right", "answered"] = "right"
    """Which episodes are written: those whose answer was right, or all that ended with one. Of
    questions all are."""
    malformed: Malformed = "refuse"
    """What happens at an episode that the format cannot hold."""
    name: str = "saccade"
    """What LLaMA-Factory calls the data set."""
    prompts: str | None = None
    """A row, as `dialect.prompts` takes it: its system turn and its instructions stand around each
    question; None: a row is the question alone."""
    env_name: str | None = None
    """The environment that the rows of questions name; None: the one that theirs did."""


class Exported(Record):
    """What was written of a run."""

    file: str
    to: Format
    episodes: int
    """Number of episodes of the run; of questions, where those are written."""
    written: int
    images: int
    left_out: dict[str, int]
    named: tuple[LeftOut, ...] = ()
    """The first ones that were left out, of those that could not be written."""


def export_run(
    options: ExportOptions, *, on_progress: Callable[[str, int, int], None] | None = None
) -> Exported:
    """Write the episodes of a run as conversations, or its questions as published rows.

    Args:
        options: What is written, and where.
        on_progress: Called with "episodes", how many are done, and of how many.

    Raises:
        ConfigError: the run has nothing that can be written, `out` holds something else, or an
            option belongs to another format.
        FormatError: with `malformed="refuse"`, an episode cannot be written; names it.
        StoreError: there is no run, or `out` cannot be written.
    """
    if options.to != "parquet" and (options.prompts or options.env_name):
        raise ConfigError(f"prompts, env_name: belong to to=parquet, got to={options.to}")
    reader, folder = RunReader(Path(options.run)), Path(options.out)
    total = finished_in(options.run)
    leaves_out, seen = _LeavesOut(), [0]
    on_left_out = _refuse if options.malformed == "refuse" else leaves_out

    def conversations() -> Iterator[Conversation]:
        for task, trajectory in reader.entries():
            seen[0] += 1
            if on_progress is not None:
                on_progress("episodes", seen[0], max(total, seen[0]))
            right = trajectory.verdict is not None and trajectory.verdict.correct
            if options.keep == "right" and not right:
                leaves_out.counts["not known to be right"] += 1
                continue
            try:
                conversation = conversation_of(trajectory, task)
            except UnfitConversation as error:
                on_left_out(error)
                continue
            yield conversation

    if options.to == "parquet":
        make_folder(folder)
        rows = write_parquet(
            reader.tasks(),
            folder / "rows.parquet",
            prompts=read_prompts(options.prompts) if options.prompts else None,
            env_name=options.env_name,
            on_left_out=on_left_out,
        )
        file, number, images, seen[0] = rows.file, rows.rows, rows.images, rows.tasks
    else:
        if options.to == "sharegpt":
            written = write_sharegpt(
                conversations(), folder, name=options.name, on_left_out=on_left_out
            )
        else:
            written = write_trl(conversations(), folder, on_left_out=on_left_out)
        file, number, images = written.file, written.conversations, written.images
    if not number:
        reasons = ", ".join(f"{n} {reason}" for reason, n in leaves_out.counts.items())
        what = "questions" if options.to == "parquet" else "episodes"
        said = f"{options.run}: nothing to write of {seen[0]} {what} ({reasons or 'none'})"
        remedy = "; with keep=answered those that nobody judged are written too"
        raise ConfigError(said if what == "questions" else said + remedy)
    return Exported(
        file=str(file),
        to=options.to,
        episodes=seen[0],
        written=number,
        images=images,
        left_out=dict(leaves_out.counts),
        named=tuple(leaves_out.named),
    )


class ImportOptions(Record):
    """What `saccade demos import` reads; the configuration of the run that it leaves."""

    file: str
    out: str
    images: str | None = None
    """The folder that images lie in or below; None: that of the file."""
    dialect: str | None = None
    """How calls and answers are written; None: as the file says of a conversation, else
    `deepeyes_v2`."""
    malformed: Malformed = "refuse"
    """What happens at a row that cannot be used."""
    view: PixelBudget = AS_THEY_ARE
    """How images are shown to the model that learns from them."""
    max_image_pixels: int = Field(default=MAX_SOURCE_PIXELS, ge=1)
    """Number of pixels of an image file from which it is refused."""


class Imported(Record):
    """What became of a file of conversations."""

    out: str
    fingerprint: str
    rows: int
    imported: int
    """Number of conversations that were written now."""
    already: int
    """Number of them that were there before."""
    without_images: int
    """Number of conversations that are text alone, of all that are there."""
    made_inert: int
    """Number of conversations in which a control token was made inert."""
    left_out: dict[str, int]
    named: tuple[LeftOut, ...] = ()
    """The first rows that were left out."""


def import_file(
    options: ImportOptions, *, on_progress: Callable[[int], None] | None = None
) -> Imported:
    """Read a file of conversations into a run folder, of which `saccade sft` takes episodes.

    Once more resumes: what is there is not written again.

    Args:
        options: What is read, and where it goes.
        on_progress: Called with how many rows were read that can be used.

    Raises:
        ConfigError: the dialect is not known, the folder holds another run, or no row can be used.
        FormatError: the file cannot be read; with `malformed="refuse"`, a row cannot be used.
        StoreError: the folder cannot be written.
    """
    dialect = _dialect(options.dialect or DEFAULT_DIALECT)
    record = environment_of(dialect, options.view)
    manifest = manifest_of(VERB, options, fingerprint=record.fingerprint, prompts=IMPORTED)
    leaves_out, counts = _LeavesOut(), Counter[str]()
    on_left_out = _refuse if options.malformed == "refuse" else leaves_out
    seen: set[Key] = set()
    with RunFolder(Path(options.out), manifest) as folder:
        there = folder.done  # a copy: one for each row would cost minutes of a long file
        for number, conversation in enumerate(_read(options, on_left_out), start=1):
            try:
                _keep(conversation, options, folder, there, seen, counts)
            except UnfitConversation as error:
                on_left_out(error)
            if on_progress is not None:
                on_progress(number)
        if not counts["imported"] + counts["already"]:
            reasons = ", ".join(f"{n} times {why}" for why, n in leaves_out.counts.items())
            raise ConfigError(f"{options.file}: nothing can be used ({reasons or 'no rows'})")
    done = Imported(
        out=options.out,
        fingerprint=record.fingerprint,
        rows=counts["imported"] + counts["already"] + sum(leaves_out.counts.values()),
        imported=counts["imported"],
        already=counts["already"],
        without_images=counts["without_images"],
        made_inert=counts["made_inert"],
        left_out=dict(leaves_out.counts),
        named=tuple(leaves_out.named),
    )
    write_whole(Path(options.out) / SUMMARY, done.model_dump_json(indent=2).encode())
    return done


def _keep(
    conversation: Conversation,
    options: ImportOptions,
    folder: RunFolder,
    there: frozenset[Key],
    seen: set[Key],
    counts: Counter[str],
) -> None:
    """Write a conversation into the folder, unless it is there."""
    said: JsonValue = conversation.meta.get("dialect")
    own = said if isinstance(said, str) and said in BUILT_IN else DEFAULT_DIALECT
    dialect = _dialect(options.dialect or own)
    name = conversation.meta.get("id")
    if not isinstance(name, str) or not name.strip():
        name = f"{Path(options.file).stem}-{_number(conversation.place)}"
    task, trajectory = demonstration_of(conversation, dialect, name=name, view=options.view)
    key = (task.id, trajectory.sample)
    if key in seen:
        raise UnfitConversation(conversation.place, "its id comes twice", repr(name)[:100])
    seen.add(key)
    folder.check(task)
    counts["without_images"] += not conversation.images
    counts["made_inert"] += MADE_INERT in trajectory.annotations
    if key in there:
        counts["already"] += 1
        return
    folder.append(task, trajectory)
    counts["imported"] += 1


def _number(place: str) -> str:
    """The number of a row, from its place: `a.json: row 7`, `a.jsonl:7`."""
    return place.rpartition(":")[2].removeprefix(" row ").strip()


def _read(options: ImportOptions, on_left_out: OnLeftOut) -> Iterator[Conversation]:
    path = Path(options.file)
    most = options.max_image_pixels
    if path.suffix == ".parquet":
        if options.images is not None:
            raise ConfigError("images: those of a .parquet file are in it, or beside it")
        return read_trl(path, max_pixels=most, on_left_out=on_left_out)
    images = None if options.images is None else Path(options.images)
    return read_sharegpt(path, images=images, max_pixels=most, on_left_out=on_left_out)


def _dialect(name: str) -> Dialect:
    found = built_in(name)
    if found is None or found.native_tools:
        known = ", ".join(n for n in BUILT_IN if n != "native")
        raise ConfigError(f"dialect: expected one of {known}, got {name!r}")
    return found
