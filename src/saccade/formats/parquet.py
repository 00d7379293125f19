r"""Training rows as DeepEyes, DeepEyesV2 and MMSearch-R1 publish them (the parquet format of verl).

    {"data_source": "vstar", "env_name": "visual_toolbox_v2", "ability": "...",
     "prompt": [{"role": "system", "content": "..."},
                {"role": "user", "content": "<image>\n{question}{instructions}"}],
     "images": [{"bytes": b"...", "path": null}],
     "reward_model": {"style": "...", "ground_truth": "..."},
     "extra_info": {"question": "...", "answer": "...", "index": "..."}}

Source: `ChenShawn/DeepEyes-Datasets-47k` and `honglyhly/DeepEyesV2_RL` on the hub; the columns are
those that `verl/utils/dataset/rl_dataset.py` of the DeepEyes repository reads. The instructions in
a prompt are the environment's business and are left out (`dialect.prompts` takes them from a row).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import cast

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from saccade.errors import FormatError, ImageError, MissingExtra
from saccade.images.decode import MAX_SOURCE_PIXELS
from saccade.images.image import Image
from saccade.types import Part, Task

IMAGE = "<image>"
JUDGES = {"thinklite_eureka": "math", "reason": "math", "xince": "math"}
"""Sources whose answers are compared as mathematics; the others go by the reward's own judge."""
_BATCH_ROWS, _NAMES = 16, 65536
"""Number of rows in memory at the same time: whole ones, and names of sources alone."""


class _Turn(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    role: str
    content: str


class _Image(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    data: bytes | None = Field(default=None, alias="bytes")
    path: str | None = None


class _RewardModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    ground_truth: str = Field(min_length=1)


class _Extra(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    question: str | None = None
    index: str | int | None = None
    id: str | int | None = None


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    prompt: tuple[_Turn, ...] = Field(min_length=1)
    images: tuple[_Image, ...] | None = None
    data_source: str = ""
    env_name: str | None = None
    ability: str | None = None
    reward_model: _RewardModel
    extra_info: _Extra | None = None


def read_parquet(
    path: Path,
    *,
    max_pixels: int = MAX_SOURCE_PIXELS,
    on_malformed: Callable[[FormatError], None] | None = None,
) -> Iterator[Task]:
    """The tasks of a file, one by one; a few rows are in memory at a time.

    Args:
        path: The file; image paths in it are relative to its folder and may not leave it.
        max_pixels: Larger images are refused.
        on_malformed: Called for each row that cannot be used, which is then left out.

    Raises:
        FormatError: the file cannot be read; or, without `on_malformed`, names file and row of the
            first row that cannot be used.
        MissingExtra: pyarrow is not installed.
    """
    numbers = count()
    for row in _rows(path):
        number = next(numbers)
        try:
            yield _task(row, path, number, max_pixels)
        except FormatError as error:
            if on_malformed is None:
                raise
            on_malformed(error)


def count_parquet_rows(path: Path) -> int:
    """How many rows a file has; those that cannot be used count too.

    Raises:
        FormatError: the file cannot be read.
    """
    with _open(path) as file:
        return int(file.metadata.num_rows)


def first_rows(path: Path) -> dict[str, int]:
    """Name of each source in a file -> its first row; only that column is read.

    Raises:
        FormatError: the file cannot be read.
        MissingExtra: pyarrow is not installed.
    """
    found: dict[str, int] = {}
    for number, row in enumerate(_rows(path, columns=["data_source"], together=_NAMES)):
        found.setdefault(str(row.get("data_source") or ""), number)
    return found


def _rows(
    path: Path, *, columns: Sequence[str] | None = None, together: int = _BATCH_ROWS
) -> Iterator[dict[str, object]]:
    with _open(path) as file:
        import pyarrow

        try:
            for batch in file.iter_batches(batch_size=together, columns=columns):
                yield from batch.to_pylist()
        except (OSError, pyarrow.ArrowException) as error:
            raise FormatError(f"{path}: damaged ({str(error).splitlines()[0]})") from error


def _open(path: Path):  # type: ignore[no-untyped-def]  # pyarrow has no types
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise MissingExtra("pyarrow", "data") from error
    if not path.is_file():
        raise FormatError(f"{path}: no parquet file (it does not exist)")
    try:
        return ParquetFile(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise FormatError(f"{path}: no parquet file ({str(error).splitlines()[0]})") from error


def _task(raw: dict[str, object], path: Path, number: int, max_pixels: int) -> Task:
    where = f"{path}: row {number}"
    try:
        row = _Row.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "row"
        raise FormatError(f"{where}: {place}: {first['msg']}") from error
    images = [_image(image, path, where, max_pixels) for image in row.images or ()]
    extra = row.extra_info or _Extra()
    index = extra.index if extra.index is not None else extra.id
    name = number if index is None else index
    meta = {"env_name": row.env_name, "ability": row.ability, "family": row.data_source}
    return Task(
        id=f"{row.data_source or path.stem}-{name}"[:500],
        prompt=_prompt(row, extra, images, where),
        answer=row.reward_model.ground_truth,
        judge=JUDGES.get(row.data_source),
        source=row.data_source or path.name,
        meta=cast(dict[str, JsonValue], {k: v for k, v in meta.items() if v}),
    )


def _prompt(row: _Row, extra: _Extra, images: list[Image], where: str) -> tuple[Part, ...]:
    """The question with its images where their marks are; without marks, before it."""
    asked = next((turn.content for turn in row.prompt if turn.role == "user"), "")
    marks = asked.count(IMAGE)
    if marks not in (0, len(images)):
        raise FormatError(f"{where}: prompt: {marks} marks {IMAGE} for {len(images)} images")
    question = (extra.question or "").replace(IMAGE, "").strip()
    if question:
        return (*images, question)
    parts: list[Part] = [] if marks else list(images)
    for place, text in enumerate(asked.split(IMAGE)):
        if place:
            parts.append(images[place - 1])
        if text.strip():
            parts.append(text.strip())
    if not any(isinstance(part, str) for part in parts):
        raise FormatError(f"{where}: prompt: no user turn with a question")
    return tuple(parts)


def _image(image: _Image, path: Path, where: str, max_pixels: int) -> Image:
    try:
        if image.data is not None:
            return Image.from_bytes(image.data, name=f"{where}: image", max_pixels=max_pixels)
        if image.path is None:
            raise FormatError(f"{where}: images: an image with neither bytes nor path")
        folder = path.parent.resolve()
        file = (folder / image.path).resolve()
        if not file.is_relative_to(folder):
            raise FormatError(
                f"{where}: images: {image.path!r} lies outside the folder of the file"
            )
        return Image.open(file, max_pixels=max_pixels)
    except ImageError as error:
        raise FormatError(f"{where}: {error}") from error
