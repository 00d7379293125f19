"""Where the files of a data set are below the folder that a user names.

Folders that are links are looked into, and files that are links are files: the cache of
huggingface_hub consists of them, and large sets often lie on another disk.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from saccade.errors import FormatError

MAX_FILES = 200_000
MAX_SEEN = 5_000_000
"""Files and folders below a place, of which those of a data set are looked for."""


def find_files(place: Path, patterns: Sequence[str], what: str) -> list[Path]:
    """The files of a data set: the one that a user names, or those of a folder.

    Args:
        place: A file, or a folder.
        patterns: Globs below the folder, the likeliest first; the first that matches counts.
        what: What is missing, for the message, as in "a folder with test.jsonl and images/".

    Raises:
        FormatError: there is none.
    """
    if os.path.isfile(place):
        return [place]
    below: list[str] | None = None
    for pattern in patterns:
        if "**" in pattern:
            below = [*_below(place)] if below is None else below
            fits = re.compile(_regex(pattern)).fullmatch
            found = sorted(place / name for name in below if fits(name))
        else:
            found = sorted(file for file in place.glob(pattern) if os.path.isfile(file))
        if len(found) > MAX_FILES:
            raise FormatError(f"{place}: over {MAX_FILES} files match {pattern}")
        if found:
            return found
    there = os.path.isdir(place)
    lacks = f"no {' or '.join(patterns)} in it" if there else "no such file or folder"
    raise FormatError(f"{place}: expected {what}; {lacks}")


def _below(place: Path) -> Iterator[str]:
    """The files below a folder, by their paths in it; hidden folders are left out.

    Raises:
        FormatError: there are too many.
    """
    seen: set[tuple[int, int]] = set()
    count = 0
    for folder, folders, files in os.walk(place, followlinks=True):
        held = os.stat(folder)
        if (held.st_dev, held.st_ino) in seen:  # a link to a folder above it, or the same once more
            folders.clear()
            continue
        seen.add((held.st_dev, held.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        count += len(folders) + len(files)
        if count > MAX_SEEN:
            raise FormatError(f"{place}: over {MAX_SEEN} files; name the folder of the data set")
        relative = os.path.relpath(folder, place)
        for name in files:
            path = name if relative == "." else f"{relative}/{name}"
            if os.path.isfile(os.path.join(folder, name)):
                yield path


def _regex(pattern: str) -> str:
    """A glob as a regular expression of paths."""
    marks = {"**/": r"(?:[^/]+/)*", "*": r"[^/]*", "?": r"[^/]"}
    parts = re.split(r"(\*\*/|\*|\?|\[[^\]]+\])", pattern)
    return "".join(
        marks.get(part) or (part if part.startswith("[") else re.escape(part)) for part in parts
    )
