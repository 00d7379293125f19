r"""Training rows as DeepEyes, DeepEyesV2 and MMSearch-R1 publish them (the parquet format of verl).

    {"data_source": "vstar", "env_name": "visual_toolbox_v2", "ability": "...",
     "prompt": [{"role": "system", "content": "..."},
                {"role": "user", "content": "<image>\n{question}{instructions}"}],
     "images": [{"bytes": b"...", "path": null}],
     "reward_model": {"style": "...", "ground_truth": "..."},
     "extra_info": {"question": "...", "answer": "...", "index": "..."}}

Source: `ChenShawn/DeepEyes-Datasets-47k` and `honglyhly/DeepEyesV2_RL` on the hub; the columns are
those that `verl/utils/dataset/rl_dataset.py` of the DeepEyes repository reads.

A row is one question. What is left out of it: the system turn, and the instructions around
`extra_info.question` in the user turn, which are the environment's business (`dialect.prompts`
takes them from a row); and columns that say nothing of question, images or answer. A row with more
in it (further turns, images in other columns) cannot be used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import heapify, heappop, heapreplace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from saccade.errors import FormatError
from saccade.formats.columns import count_parquet_rows, rows_of
from saccade.formats.rows import id_of, is_read, task_of
from saccade.images.decode import MAX_SOURCE_PIXELS
from saccade.types import Task

_NAMING = ["data_source", "extra_info"]
_BATCH_ROWS, _NAMES = 16, 4096
"""Number of rows in memory at the same time: whole ones, and names of sources alone."""


def read_parquet(
    *paths: Path,
    by_row: bool = False,
    mixed: bool = False,
    max_pixels: int = MAX_SOURCE_PIXELS,
    on_malformed: Callable[[FormatError], None] | None = None,
) -> Iterator[Task]:
    """The tasks of files, one by one; a few rows are in memory at a time.

    Args:
        *paths: The files; image paths in one are relative to its folder and may not leave it.
        by_row: Whether questions are called by file and row, also where rows have an index.
        mixed: Whether the files are read side by side, each as far as the others, instead of one
            after the other.
        max_pixels: Larger images are refused.
        on_malformed: Called for each row that cannot be used, which is then left out.

    Raises:
        FormatError: a file cannot be read; or, without `on_malformed`, names file and row of the
            first row that cannot be used, and of the row whose id it repeats.
        MissingExtra: pyarrow is not installed.
    """
    ids = _Ids(paths, by_row=by_row)
    for path, number, row in _side_by_side(paths) if mixed else _one_after_another(paths):
        try:
            yield task_of(row, ids.take(row, path, number), path, number, max_pixels)
        except FormatError as error:
            if on_malformed is None:
                raise
            on_malformed(error)


def check_ids(paths: Sequence[Path], *, by_row: bool = False, most: int | None = None) -> None:
    """Make sure that no two rows have one id; only the columns that name them are read.

    Args:
        paths: The files, as `read_parquet` reads them.
        by_row: Whether questions are called by file and row, also where rows have an index.
        most: Number of rows that are looked at, from the first one on; None: all.

    Raises:
        FormatError: names the files and rows of two that have one.
        MissingExtra: pyarrow is not installed.
    """
    ids = _Ids(paths, by_row=by_row)
    rows = (
        (row, path, number) for path in paths for number, row in enumerate(_named(path, _NAMING))
    )
    for row, path, number in islice(rows, most):
        ids.take(row, path, number)


class _Ids:
    """What the rows of files are called, each by another name."""

    def __init__(self, paths: Sequence[Path], *, by_row: bool) -> None:
        self._by_row = by_row
        self._places: dict[str, str] = {}
        stems = {path.stem for path in paths}
        same = len(stems) < len(set(paths))
        self._files = {p: f"{p.resolve().parent.name}-{p.stem}" if same else p.stem for p in paths}

    def take(self, row: dict[str, object], path: Path, number: int) -> str:
        """The name of a row.

        Raises:
            FormatError: it is that of an earlier one.
        """
        name = id_of(row, number, file=self._files[path], by_row=self._by_row)
        place = f"{path}: row {number}"
        if (earlier := self._places.setdefault(name, place)) is not place:
            raise FormatError(
                f"{place}: the id {name!r} is that of {earlier} already; with tasks.ids=row "
                "questions are called by their file and row, with tasks.malformed=leave_out the "
                "second one is left out"
            )
        return name


def first_rows(path: Path) -> dict[str, int]:
    """Name of each source in a file -> its first row; only that column is read.

    Raises:
        FormatError: the file cannot be read.
        MissingExtra: pyarrow is not installed.
    """
    found: dict[str, int] = {}
    for number, row in enumerate(_named(path, ["data_source"])):
        found.setdefault(str(row.get("data_source") or ""), number)
    return found


class _Row(NamedTuple):
    path: Path
    number: int
    values: dict[str, object]


def _one_after_another(paths: Sequence[Path]) -> Iterator[_Row]:
    for path in paths:
        for number, row in enumerate(_rows(path)):
            yield _Row(path, number, row)


def _side_by_side(paths: Sequence[Path]) -> Iterator[_Row]:
    """Always the next row of the file of which the smallest share was read."""
    counts = [count_parquet_rows(path) for path in paths]
    open_files = [_rows(path) for path in paths]
    waiting = [(0.5 / count, place, 0) for place, count in enumerate(counts) if count]
    heapify(waiting)
    while waiting:
        _, place, number = waiting[0]
        row = next(open_files[place], None)
        if row is None:  # fewer than the file says
            heappop(waiting)
            continue
        heapreplace(waiting, ((number + 1.5) / counts[place], place, number + 1))
        yield _Row(paths[place], number, row)


def _rows(path: Path) -> Iterator[dict[str, object]]:
    return rows_of(path, wanted=is_read, together=_BATCH_ROWS)


def _named(path: Path, columns: Sequence[str]) -> Iterator[dict[str, object]]:
    return rows_of(path, wanted=lambda name: name in columns, together=_NAMES)
