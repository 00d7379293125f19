r"""The prompts that published checkpoints were trained with, taken from a row of their data.

DeepEyes and DeepEyesV2 keep their prompts in the rows of their training data. A row looks like

    {"prompt": [{"role": "system", "content": "..."},
                {"role": "user", "content": "<image>\n{question}{instructions}"}],
     "extra_info": {"question": "What is ...?", ...}, ...}

Source: `ChenShawn/DeepEyes-Datasets-47k` (parquet) and `honglyhly/DeepEyesV2_RL` on the hub; the
columns are those that `verl/utils/dataset/rl_dataset.py` of the DeepEyes repository reads.
"""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from saccade.errors import FormatError
from saccade.files import open_file, read_text_lines, text_of
from saccade.formats.columns import rows_of
from saccade.formats.rows import RowTurn
from saccade.types import Record

MAX_ROW_BYTES = 16 * 2**20


class PromptTexts(Record):
    """The templates that a row implies."""

    system: str
    user: str
    """With `{question}` where the row has its question, and `<image>` where it has images."""
    observation: str
    """What follows the question; the published environment repeats it in every tool response."""


class _Extra(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    question: str


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    prompt: tuple[RowTurn, ...]
    extra_info: _Extra


def read_prompts(place: str) -> PromptTexts:
    """The templates of a row.

    Args:
        place: A .parquet, .jsonl or .json file of rows, with `#7` for another row than the first.

    Raises:
        FormatError: names file and row, and what it lacks.
        MissingExtra: a parquet file, and pyarrow is not installed.
    """
    name, _, number = place.partition("#")
    if number and not number.isdecimal():
        raise FormatError(f"{place}: expected a row number after '#', got {number[:40]!r}")
    path, row = Path(name), int(number or 0)
    where = f"{path}, row {row}"
    try:
        record = _Row.model_validate(_read_row(path, row))
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise FormatError(f"{where}: {key}: {first['msg']}") from error
    return _templates(record, where)


def _templates(record: _Row, where: str) -> PromptTexts:
    system = "".join(turn.content for turn in record.prompt if turn.role == "system")
    users = [turn.content for turn in record.prompt if turn.role == "user"]
    if len(users) != 1 or any(turn.role not in ("system", "user") for turn in record.prompt):
        roles = ", ".join(turn.role for turn in record.prompt)
        raise FormatError(
            f"{where}: expected one user message, after a system message or none, got {roles}"
        )
    question = record.extra_info.question
    if not question or question not in users[0]:
        raise FormatError(f"{where}: extra_info.question does not stand in the user message")
    before, _, after = users[0].partition(question)
    return PromptTexts(system=system, user=f"{before}{{question}}{after}", observation=after)


def _read_row(path: Path, row: int) -> object:
    if path.suffix == ".parquet":
        return _read_parquet(path, row)
    if path.suffix == ".jsonl":
        lines = (text for _, text in read_text_lines(path, most=MAX_ROW_BYTES) if text.strip())
        rows = [_json(text, path, row) for text in islice(lines, row, row + 1)]
    else:
        with open_file(path) as file:
            data = file.read(MAX_ROW_BYTES + 1)
        if len(data) > MAX_ROW_BYTES:
            raise FormatError(f"{path}: over {MAX_ROW_BYTES} bytes; use .jsonl or .parquet")
        content = _json(text_of(data, path), path, row)
        rows = content[row : row + 1] if isinstance(content, list) else [content][row:]
    if not rows:
        raise FormatError(f"{path}: there is no row {row}")
    return rows[0]


def _json(text: str, path: Path, row: int) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}, row {row}: not JSON ({error})") from error


def _read_parquet(path: Path, row: int) -> object:
    columns = ("prompt", "extra_info")
    rows = rows_of(path, wanted=columns.__contains__, together=16, first=row)
    for found in rows:
        return found
    raise FormatError(f"{path}: there is no row {row}")
