"""What runs are called where several of them stand side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath


def run_names(runs: Sequence[Path]) -> tuple[str, ...]:
    """A name for each run: its folder's, under as many folders as tell it from the others.

    It does not depend on how the folder was named: `.` has a name, too.
    """
    every = [run.resolve().parts for run in runs]
    return tuple(_name(parts, set(every) - {parts}) for parts in every)


def _name(parts: tuple[str, ...], others: set[tuple[str, ...]]) -> str:
    depth = 1
    while depth < len(parts) and any(other[-depth:] == parts[-depth:] for other in others):
        depth += 1
    return PurePath(*parts[-depth:]).as_posix()
