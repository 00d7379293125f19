"""Questions in files: JSON Lines of the user's own, and parquet rows as they are published."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from saccade.errors import FormatError
from saccade.formats.columns import count_parquet_rows
from saccade.formats.parquet import check_ids, first_rows, read_parquet
from saccade.formats.rows import ENVIRONMENTS, JUDGES
from saccade.formats.tasks import count_rows, read_rows, read_tasks
from saccade.types import Record, Task


class FileTasks(Record):
    """Questions in a JSON Lines file; see `saccade.formats.tasks`."""

    path: Path
    """The file; image paths in it are relative to its folder."""
    n: int | None = Field(default=None, ge=1)
    """Number of questions, from the first one on; None: all."""

    def tasks(self, *, seed: int, max_pixels: int) -> Iterator[Task]:
        """The questions in the order of the file.

        Raises:
            FormatError: a row that cannot be used, or two of one id; before the first question.
        """
        deque(islice(read_rows(self.path), self.n), maxlen=0)
        return islice(read_tasks(self.path, max_pixels=max_pixels), self.n)

    def count(self) -> int:
        rows = count_rows(self.path)
        return rows if self.n is None else min(rows, self.n)

    def outlines(self) -> Iterator[Task]:
        """Every question that is asked, without its images and boxes.

        Raises:
            FormatError: a row that cannot be used, or a file without rows.
        """
        number = 0
        for number, row in islice(read_rows(self.path), self.n):
            yield Task(
                id=f"{self.path}:{number}",
                prompt=(row.question,),
                answer=row.answer,
                choices=row.choices,
                judge=row.judge,
                source=self.path.name,
                meta=row.meta,
            )
        if not number:
            raise FormatError(f'{self.path}: no question; a line is one: {{"question": "..."}}')


class ParquetTasks(Record):
    """Published training rows; see `saccade.formats.parquet`."""

    path: Path | Annotated[tuple[Path, ...], Field(min_length=1)]
    """One file, or several."""
    order: Literal["files", "mixed"] = "files"
    """Whether files are read one after the other, or side by side, each as far as the others: data
    are often published in files by kind."""
    n: int | None = Field(default=None, ge=1)
    """Number of questions, from the first row that can be used on; None: all."""
    malformed: Literal["refuse", "leave_out"] = "refuse"
    """What happens at a row that cannot be used: the run stops, or a warning names the row."""
    ids: Literal["index", "row"] = "index"
    """What a question is called by: the index that its row has, or its file and the number of the
    row. Rows without an index are called by the latter in any case."""

    def tasks(self, *, seed: int, max_pixels: int) -> Iterator[Task]:
        """The questions in the order of their rows.

        Raises:
            FormatError: two rows of one id, before the first question; or a row that cannot be
                used.
        """
        self._check_ids()
        rows = read_parquet(
            *self._paths,
            by_row=self.ids == "row",
            mixed=self.order == "mixed",
            max_pixels=max_pixels,
            on_malformed=None if self.malformed == "refuse" else _warn,
        )
        return _names_odd_environments(islice(rows, self.n))

    def count(self) -> int:
        rows = sum(count_parquet_rows(path) for path in self._paths)
        return rows if self.n is None else min(rows, self.n)

    def outlines(self) -> Iterator[Task]:
        """A question of each source, which decides on the judge of its rows.

        Raises:
            FormatError: a file that cannot be read, or has no row, or two rows of one id.
        """
        self._check_ids()
        for path in self._paths:
            found = first_rows(path)
            if not found:
                raise FormatError(f"{path}: no rows")
            for source, number in found.items():
                yield Task(
                    id=f"{path}: row {number}",
                    prompt=(),
                    judge=JUDGES.get(source),
                    source=source or path.name,
                )

    def parts(self) -> list[ParquetTasks]:
        """Each file, where all of them are asked; they are often published by kind."""
        if self.n is not None or len(self._paths) < 2:
            return [self]
        return [self.model_copy(update={"path": path}) for path in self._paths]

    def _check_ids(self) -> None:
        if self.malformed == "refuse":
            most = self.n if self.order == "files" else None
            check_ids(self._paths, by_row=self.ids == "row", most=most)

    @property
    def _paths(self) -> tuple[Path, ...]:
        return self.path if isinstance(self.path, tuple) else (self.path,)


def _names_odd_environments(tasks: Iterator[Task]) -> Iterator[Task]:
    """The same questions; a warning names each environment of theirs that nobody has published."""
    known: set[object] = {None, *ENVIRONMENTS}
    for task in tasks:
        name = task.meta.get("env_name")
        if name not in known:
            known.add(name)
            warnings.warn(
                f"{task.id}: a row for the environment {str(name)[:80]!r}, which is not among the "
                f"published ones ({', '.join(ENVIRONMENTS)}): it is asked like the others, in the "
                "environment of this run",
                stacklevel=2,
            )
        yield task


def _warn(error: FormatError) -> None:
    warnings.warn(f"left out: {error}", stacklevel=2)
