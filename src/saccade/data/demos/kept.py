"""The demonstrations of a synthesis as folders: a run of ours, and what other trainers read.

Each folder is written beside its place and takes the place of the old one as a whole. A process
that is killed leaves the old one, or none, and the next start writes it anew.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

from saccade.data.demos.audit import FormatAudit
from saccade.data.demos.conversations import conversation_of
from saccade.data.demos.recipe import WrittenAs
from saccade.errors import require
from saccade.files import writing
from saccade.formats.conversations import (
    Conversation,
    UnfitConversation,
    write_sharegpt,
    write_trl,
)
from saccade.runs.folder import Entry, Key, RunFolder, RunReader
from saccade.runs.manifest import Manifest
from saccade.runs.rescore import share_images

KEPT = "kept"
"""The run folder, which `saccade sft` reads."""
_WRITERS = {"sharegpt": write_sharegpt, "trl": write_trl}


def clear_parts(out: Path) -> None:
    """Remove what a killed process left of files and folders that were never completed."""
    with writing(out):
        for part in (*out.glob(".*.part"), *out.glob(".*.old")):
            if part.is_dir() and not part.is_symlink():
                shutil.rmtree(part)
            else:
                part.unlink(missing_ok=True)


def write_kept(out: Path, manifest: Manifest, played: Path, wanted: Collection[Key]) -> None:
    """Write some episodes of a run folder as one of their own.

    Args:
        out: The folder of the synthesis.
        manifest: What its `run.json` says.
        played: Where the episodes are; their images are linked, not copied, where that works.
        wanted: Which of them.

    Raises:
        StoreError: the folder cannot be written.
    """
    with _in_place(out / KEPT) as part, RunFolder(part, manifest) as folder:
        for task, trajectory in RunReader(played).entries():
            if (task.id, trajectory.sample) in wanted:
                share_images(played, part, Entry(task, trajectory))
                folder.append(task, trajectory)


def check_formats(formats: Sequence[WrittenAs]) -> None:
    """Make sure that what the formats need is installed.

    Raises:
        MissingExtra: it is not.
    """
    if "trl" in formats:
        require("pyarrow")


def write_as(out: Path, formats: Sequence[WrittenAs]) -> dict[str, FormatAudit]:
    """Write the demonstrations in formats of others, each in the folder of its name.

    An episode that a format cannot hold is left out and counted. The folder of a format that is
    not wanted any more is removed: it would hold other episodes than `kept/`.

    Args:
        out: The folder of the synthesis, in which `kept/` is.
        formats: Which ones.

    Returns:
        Format -> what was written.

    Raises:
        MissingExtra: a format needs an optional dependency.
        StoreError: a folder cannot be written.
    """
    for unwanted in set(get_args(WrittenAs)) - set(formats):
        shutil.rmtree(out / unwanted, ignore_errors=True)
    return {format: _write(out, format) for format in formats}


def _write(out: Path, format: WrittenAs) -> FormatAudit:
    left_out: Counter[str] = Counter()

    def leave_out(error: UnfitConversation) -> None:
        left_out[error.reason] += 1

    def conversations() -> Iterator[Conversation]:
        for task, trajectory in RunReader(out / KEPT).entries():
            try:
                yield conversation_of(trajectory, task)
            except UnfitConversation as error:
                leave_out(error)

    with _in_place(out / format) as part:
        written = _WRITERS[format](conversations(), part, on_left_out=leave_out)
    return FormatAudit(
        written=written.conversations, images=written.images, left_out=dict(left_out)
    )


@contextmanager
def _in_place(folder: Path) -> Iterator[Path]:
    """A new folder that takes the place of another one when it is complete."""
    part, old = (folder.with_name(f".{folder.name}.{state}") for state in ("part", "old"))
    for left in (part, old):  # of a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    yield part
    with writing(folder):
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
