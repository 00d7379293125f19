"""A run folder as a table of episodes: for pandas, and as a data set of Hugging Face.

    frame = to_pandas("runs/vstar")
    frame.groupby("family")["correct"].mean()

    dataset = to_dataset("runs/vstar")              # images are `List(Image())`
    dataset[0]["tool_images"]

A row is an episode, aborted ones included (`stop` says so, and they have no verdict). Images of the
question are the bytes of their files, those that tools returned are PNG. A text in `messages` names
an image by its place in `images` and `tool_images`, one after the other, counted from 0.
"""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

from saccade.errors import ConfigError, FormatError, ImageError, StoreError, require
from saccade.files import make_folder, writing
from saccade.images.image import Image
from saccade.runs.folder import Entry, RunReader
from saccade.types import Message, Trajectory

if TYPE_CHECKING:
    import datasets
    import pandas
    import pyarrow

MAX_IMAGE_BYTES = 2 * 2**30
"""Bytes that the images of a table in memory may have, each source counted once."""
ROWS_AT_ONCE = 8
"""Rows that are in memory while a data set is written."""


class Picture(TypedDict):
    """An image as `datasets` stores it."""

    bytes: bytes
    path: str
    """A name, not a place: it ends as the format does."""


class EpisodeRow(TypedDict):
    """The columns."""

    task: str
    sample: int
    source: str
    family: str
    question: str
    choices: list[str]
    gold: str | None
    """The right answer, as the benchmark has it."""
    answer: str | None
    """The answer of the model; None where the episode ended without one."""
    correct: bool | None
    """None where it is undecided, or not judged."""
    value: float | None
    """What enters an average: the grade of the verdict, else 1 or 0."""
    score: float | None
    """The reward."""
    stop: str
    error: str | None
    turns: int
    tool_calls: int
    tool_calls_executed: int
    prompt_tokens: int | None
    completion_tokens: int | None
    seconds: float
    messages: str
    """The conversation as JSON: a list of `{"role", "content"}`, whose content is a list of
    `{"type": "text", "text"}` and `{"type": "image", "image"}`."""
    images: list[Picture]
    tool_images: list[Picture]


OnDamaged = Callable[[FormatError], None]


def to_pandas(
    path: str | Path, *, images: bool = True, on_damaged: OnDamaged | None = None
) -> pandas.DataFrame:
    """The episodes of a run as a table in memory.

    Args:
        path: The run folder.
        images: Whether the columns `images` and `tool_images` are there.
        on_damaged: Called for each record or episode that cannot be read, which is then left out;
            None: the first one is an error.

    Raises:
        ConfigError: the images have more than `MAX_IMAGE_BYTES`.
        FormatError: the folder holds something that cannot be read; names file and line.
        MissingExtra: pandas is not installed.
        StoreError: there is no run in the folder.
    """
    require("pandas")
    import pandas

    held: list[Mapping[str, object]] = []
    for row in _bounded(rows(path, images=images, on_damaged=on_damaged)):
        held.append(row if images else {k: v for k, v in row.items() if k not in _PICTURES})
    columns = [c for c in EpisodeRow.__annotations__ if images or c not in _PICTURES]
    frame = pandas.DataFrame(held, columns=columns)
    return frame.astype({name: kind for name, kind in _NULLABLE.items() if name in columns})


def to_dataset(
    path: str | Path, *, cache: str | Path | None = None, on_damaged: OnDamaged | None = None
) -> datasets.Dataset:
    """The episodes of a run as a data set of Hugging Face; few rows at a time are in memory.

    Args:
        path: The run folder.
        cache: Where its Arrow file is written; None: in a folder that this process removes when it
            ends. Give one to a process that is to be the last to need it.
        on_damaged: As for `to_pandas`.

    Raises:
        FormatError: the folder holds something that cannot be read; names file and line.
        MissingExtra: datasets is not installed.
        StoreError: there is no run in the folder.
    """
    require("datasets")
    import datasets

    text, number = datasets.Value("string"), datasets.Value("int64")
    real, truth = datasets.Value("float64"), datasets.Value("bool")
    kinds = {
        **dict.fromkeys(("sample", "turns", "tool_calls", "tool_calls_executed"), number),
        **dict.fromkeys(("prompt_tokens", "completion_tokens"), number),
        **dict.fromkeys(("value", "score", "seconds"), real),
        "correct": truth,
        "choices": datasets.List(text),
        **dict.fromkeys(_PICTURES, datasets.List(datasets.Image())),
    }
    features = {name: kinds.get(name, text) for name in EpisodeRow.__annotations__}
    schema = datasets.Features(features).arrow_schema
    where = Path(cache) if cache is not None else Path(tempfile.mkdtemp(prefix="saccade-dataset-"))
    if cache is None:
        atexit.register(shutil.rmtree, where, ignore_errors=True)
    file = where / "episodes.arrow"
    _write(file, schema, rows(path, on_damaged=on_damaged))
    return datasets.Dataset.from_file(str(file))


def rows(
    path: str | Path, *, images: bool = True, on_damaged: OnDamaged | None = None
) -> Iterator[EpisodeRow]:
    """The episodes of a run, one by one; no more than one of them is in memory.

    Args:
        path: The run folder.
        images: Whether images are read; else their columns are empty.
        on_damaged: As for `to_pandas`.

    Raises:
        FormatError: the folder holds something that cannot be read; names file and line.
        StoreError: there is no run in the folder.
    """
    reader = RunReader(Path(path), on_damaged=on_damaged)
    for entry in reader.entries():
        try:
            yield _row(entry, images=images)
        except (ImageError, StoreError) as error:
            damaged = FormatError(f"{path}: episode {entry.trajectory.id[:200]!r}: {error}")
            if on_damaged is None:
                raise damaged from error
            on_damaged(damaged)


def _row(entry: Entry, *, images: bool) -> EpisodeRow:
    task, t = entry
    verdict = t.verdict
    asked = [part for message in t.prompt for part in _images(message)]
    seen = [part for turn in t.turns for message in turn.observation for part in _images(message)]
    return EpisodeRow(
        task=task.id,
        sample=t.sample,
        source=task.source,
        family=task.family,
        question=task.question,
        choices=[*task.choices],
        gold=task.answer,
        answer=t.answer,
        correct=None if verdict is None else verdict.correct,
        value=None if verdict is None else verdict.value,
        score=None if t.score is None else t.score.value,
        stop="" if t.stop is None else t.stop.value,
        error=t.error,
        turns=len(t.turns),
        tool_calls=len(t.results),
        tool_calls_executed=len(t.executed),
        prompt_tokens=_total(turn.completion.prompt_tokens for turn in t.turns),
        completion_tokens=_total(turn.completion.completion_tokens for turn in t.turns),
        seconds=t.seconds,
        messages=_messages(t),
        images=[_source(image) for image in asked] if images else [],
        tool_images=[_shown(image) for image in seen] if images else [],
    )


def _images(message: Message) -> list[Image]:
    return [part for part in message.content if isinstance(part, Image)]


def _source(image: Image) -> Picture:
    return Picture(bytes=image.source.encoded(), path=image.source.name)


def _shown(image: Image) -> Picture:
    data = image.encoded("png").data
    return Picture(bytes=data, path=f"{image.source.digest[:16]}.png")


def _total(counts: Iterable[int | None]) -> int | None:
    """None where a turn's count is not known."""
    known = [*counts]
    return sum(c for c in known if c is not None) if known and None not in known else None


def _messages(t: Trajectory) -> str:
    place = 0
    found = []
    for message in t.messages:
        content: list[dict[str, str | int]] = []
        for part in message.content:
            if isinstance(part, str):
                content.append({"type": "text", "text": part})
            else:
                content.append({"type": "image", "image": place})
                place += 1
        found.append({"role": message.role, "content": content})
    return json.dumps(found, ensure_ascii=False)


def _bounded(found: Iterable[EpisodeRow]) -> Iterator[EpisodeRow]:
    """The rows, in which the same bytes are one object.

    Raises:
        ConfigError: there are too many.
    """
    held: dict[str, Picture] = {}
    total = 0
    for row in found:
        for name in _PICTURES:
            pictures = row[name]
            for place, picture in enumerate(pictures):
                digest = picture["path"] if name == "images" else ""
                if digest in held:
                    pictures[place] = held[digest]
                    continue
                if digest:
                    held[digest] = picture
                total += len(picture["bytes"])
        if total > MAX_IMAGE_BYTES:
            raise ConfigError(
                f"the images have more than {MAX_IMAGE_BYTES // 2**30} GiB, too much for a "
                "table in memory: leave them out with images=False, or use to_dataset"
            )
        yield row


def _write(file: Path, schema: pyarrow.Schema, found: Iterable[EpisodeRow]) -> None:
    """An Arrow stream, whole or not at all.

    Raises:
        FormatError: a row cannot be read.
        StoreError: it cannot be written.
    """
    import pyarrow

    part = file.with_name(f".{file.name}.part")
    remaining = iter(found)
    make_folder(file.parent)
    try:
        with writing(file):
            with (
                pyarrow.OSFile(str(part), "wb") as out,
                pyarrow.ipc.new_stream(out, schema) as stream,
            ):
                while batch := [*islice(remaining, ROWS_AT_ONCE)]:
                    stream.write_batch(pyarrow.RecordBatch.from_pylist(batch, schema=schema))
            part.replace(file)
    finally:
        part.unlink(missing_ok=True)


_PICTURES: tuple[Literal["images", "tool_images"], ...] = ("images", "tool_images")
_NULLABLE = {
    "correct": "boolean",
    "value": "Float64",
    "score": "Float64",
    "prompt_tokens": "Int64",
    "completion_tokens": "Int64",
}
"""Columns in which nothing is something else than false or 0."""
