"""A published training row as a question; see `saccade.formats.parquet` for what a row is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

from saccade.config import explain
from saccade.errors import FormatError, ImageError
from saccade.files import beside
from saccade.formats.marks import IMAGE, has_marks, interleaved, marked
from saccade.images.image import Image
from saccade.types import Part, Task

JUDGES = {"thinklite_eureka": "math", "reason": "math", "xince": "math"}
"""Sources whose answers are compared as mathematics; the others go by the reward's own judge."""

ENVIRONMENTS = ("visual_toolbox_v2", "deepeyes_v2")
"""Environments that the published code registers. Source: `verl/workers/agent/envs` of DeepEyes and
of DeepEyesV2; some of the latter's rows name others, such as `code_toolbox_lingyi_v1`, and cannot
be played there (its issue 26)."""

_UNREAD = re.compile(r"image(_?\d+)?|img|picture|videos?|audios?|multi_modal_data")
"""Columns of other formats, which would be part of the question."""

_LEADING_MARKS = re.compile(rf"(\s*{IMAGE})+")


class RowTurn(BaseModel):
    """A message of a published row."""

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
    candidate_answers: str | None = None


class _Extra(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    question: str | None = None


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    prompt: tuple[RowTurn, ...] = Field(min_length=1)
    images: tuple[_Image, ...] | None = None
    data_source: str | None = None
    env_name: str | None = None
    ability: str | None = None
    reward_model: _RewardModel
    extra_info: _Extra | None = None

    @field_validator("images", mode="before")
    @classmethod
    def _one_or_bare(cls, value: object) -> object:
        """A single image, encoded bytes and paths stand for lists of what the column holds."""
        listed = [value] if isinstance(value, dict | bytes | str) else value
        if not isinstance(listed, list | tuple):
            return listed
        return [
            {"bytes": i} if isinstance(i, bytes) else {"path": i} if isinstance(i, str) else i
            for i in listed
        ]


def is_read(column: str) -> bool:
    """Whether a column says anything of a question, be it that the row cannot be used."""
    return column in _Row.model_fields or _UNREAD.fullmatch(column) is not None


def id_of(raw: dict[str, object], number: int, *, file: str, by_row: bool = False) -> str:
    """What the question of a row is called: by its source and index, or by its file and number.

    Args:
        raw: The row; `data_source` and `extra_info` are enough.
        number: Number of the row in its file, counted from 0.
        file: What the file is called.
        by_row: Whether an index that the row has is left alone.
    """
    source, extra = raw.get("data_source"), raw.get("extra_info")
    known = extra if isinstance(extra, dict) else {}
    index = next((name for key in ("index", "id") if (name := _index(known.get(key)))), None)
    prefix = f"{source}-" if source and not by_row else ""
    if index is None or by_row:
        return f"{prefix}{file}-{number}"
    return f"{prefix or file + '-'}{index}"


def _index(value: object) -> str:
    """An index as a name: a column of whole numbers that has gaps comes as floats and NaN."""
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() else str(value) if value == value else ""
    return "" if value is None else str(value).strip()


def task_of(raw: dict[str, object], name: str, path: Path, number: int, max_pixels: int) -> Task:
    """The question of a row.

    Args:
        raw: The row.
        name: What the question is called.
        path: The file; image paths in it are relative to its folder and may not leave it.
        number: Number of the row, counted from 0.
        max_pixels: Larger images are refused.

    Raises:
        FormatError: the row cannot be used; names file and row.
    """
    where = f"{path}: row {number}"
    try:
        row = _Row.model_validate(raw)
    except ValidationError as error:
        raise FormatError(f"{where}: {explain(_Row, error)[0]}") from error
    for column, value in raw.items():
        if _UNREAD.fullmatch(column) and value not in (None, "", b"", [], {}):
            raise FormatError(f"{where}: {column}: this column is not read; images go to 'images'")
    images = [
        _image(image, path, where, k, max_pixels) for k, image in enumerate(row.images or (), 1)
    ]
    try:
        return Task(
            id=name,
            prompt=_prompt(row, images, where),
            answer=row.reward_model.ground_truth,
            judge=JUDGES.get(row.data_source or ""),
            source=row.data_source or path.name,
            meta=_meta(row),
        )
    except ValidationError as error:
        raise FormatError(f"{where}: {explain(Task, error)[0]}") from error


def _meta(row: _Row) -> dict[str, JsonValue]:
    meta = {
        "env_name": row.env_name,
        "ability": row.ability,
        "family": row.data_source,
        "candidate_answers": row.reward_model.candidate_answers,
    }
    return cast(dict[str, JsonValue], {key: value for key, value in meta.items() if value})


def _prompt(row: _Row, images: Sequence[Image], where: str) -> tuple[Part, ...]:
    """The question with its images where their marks are; without marks, before it."""
    asked = marked(_user_turn(row, where), len(images), f"{where}: prompt")
    if images and IMAGE not in asked and any(has_marks(turn.content) for turn in row.prompt):
        raise FormatError(f"{where}: prompt: {IMAGE} stands in the system turn, which is left out")
    question = ((row.extra_info and row.extra_info.question) or "").strip()
    if question and not has_marks(question):
        question = _marked(question, asked, where)
    text = question or asked.strip()
    if not text.replace(IMAGE, "").strip():
        raise FormatError(f"{where}: prompt: no user turn with a question")
    return interleaved(text, images, f"{where}: extra_info.question" if question else where)


def _user_turn(row: _Row, where: str) -> str:
    """The only turn of the user, which nothing but a system turn may stand beside."""
    asked = [turn.content for turn in row.prompt if turn.role == "user"]
    if len(asked) != 1 or any(turn.role not in ("system", "user") for turn in row.prompt):
        roles = ", ".join(turn.role for turn in row.prompt)
        problem = "no user turn with a question" if not asked else "a row is one question"
        raise FormatError(
            f"{where}: prompt: {problem}: expected one user turn, after a system turn or none, got "
            f"{roles}"
        )
    return asked[0]


def _marked(question: str, asked: str, where: str) -> str:
    """The question with the marks that the user turn has around it."""
    if IMAGE not in asked:
        return question
    # Between the marks: a question such as "age" stands in the text of a mark, too.
    texts = asked.split(IMAGE)
    for before, text in enumerate(texts):
        if question in text:
            return IMAGE * before + question + IMAGE * (len(texts) - 1 - before)
    leading = _LEADING_MARKS.match(asked)
    if leading and IMAGE not in asked[leading.end() :]:
        return leading.group() + question
    raise FormatError(
        f"{where}: prompt: the place of its images in the question is not known: they stand within "
        "the user turn, and extra_info.question is no part of it"
    )


def _image(image: _Image, path: Path, where: str, number: int, max_pixels: int) -> Image:
    name = f"{where}: image {number}" + (f" ({image.path})" if image.path else "")
    try:
        if image.data:
            return Image.from_bytes(image.data, name=name, max_pixels=max_pixels)
        if not image.path:
            raise FormatError(f"{where}: images: an image with neither bytes nor path")
        file = beside(path, image.path, f"{where}: images")
        return Image.open(file, name=name, max_pixels=max_pixels)
    except ImageError as error:
        raise FormatError(str(error)) from error
