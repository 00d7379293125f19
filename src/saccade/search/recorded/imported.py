"""The image-search caches of MMSearch-R1 and DeepEyesV2, as recordings, and back.

    fvqa_train_image_search_results_cache.json
    {"fvqa_train_12": {"tool_returned_web_title": ["The tower", "A bridge"],
                       "cached_images_path": ["cached_images/train/12_0.jpg", null]}}

As published, a result without a picture, or whose picture is not there, is left out, and a question
of whose results none is left finds nothing. Where we deviate: the paths of a cache lead to files
below one folder or to none, and a question that the cache lacks aborts the episode (published: the
episode ends and is scored). Both repositories have placeholders for text search, and no cache of
it. Source: DeepEyesV2, data/README.md, cache_convert.py, and `image_search` in search_utils.py of
`verl/workers/agent/envs/deepeyesv2`; MMSearch-R1, README, for the pickled ones.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import BaseModel, BeforeValidator, ValidationError

from saccade.errors import ConfigError, FormatError, ImageError
from saccade.files import beside, make_folder, read_whole, text_of, write_whole
from saccade.images.image import Image
from saccade.search.found import Fetches, Hit, Result, Results
from saccade.search.recorded.content import MAX_PICTURE_BYTES, packed
from saccade.search.recorded.keys import ANY_K, BY_ID, Key
from saccade.search.recorded.recording import Engine, Recording
from saccade.types import Record

ENGINE = Engine.of("mmsearch_r1_cache", {"format": "mmsearch_r1"})
MAX_CACHE_BYTES = 2**30
"""Bytes that a cache may have, its pictures not included."""
BATCH = 32
"""Number of questions that are written at a time, and lost if the process is killed."""

NO_PICTURE = "the cache names no picture"
MISSING = "the picture is not there"
OUTSIDE = "the path leads out of the folder of pictures"
NO_IMAGE = "the file is no picture, or is too large"

OnProgress = Callable[[str, int, int], None]


class Imported(Record):
    """What became of a cache."""

    questions: int
    """Number of questions that the cache has."""
    imported: int = 0
    """Number of them that were written now."""
    already: int = 0
    """Number of them that were there with all of their pictures; they stay as they are."""
    empty: int = 0
    """Number of those written of whose results none is left."""
    results: int = 0
    """Number of results that were written."""
    left_out: dict[str, int]
    """Why a result was left out, and how many were."""
    unread: dict[str, str]
    """Questions that are not as the format says, and what is wrong."""


class _Titles(BaseModel):
    tool_returned_web_title: list[Annotated[str, BeforeValidator(lambda v: v or "")]]
    cached_images_path: list[str | None]


def import_cache(
    file: Path, out: Path, *, images: Path | None = None, on_progress: OnProgress | None = None
) -> Imported:
    """Write a cache into a recording; once more resumes.

    A question that is in the recording stays, unless pictures were missing when it was written.

    Args:
        file: The JSON of the cache.
        out: The recording; it is made where there is none.
        images: The folder that pictures lie in or below; None: that of the file.
        on_progress: Called with "questions", how many are done, and of how many.

    Raises:
        FormatError: the file is no such cache, as when it is a pickle; or the recording is none.
        StoreError: the recording cannot be written.
    """
    cache = _read(file)
    folder = (images or file.parent) / file.name
    done, counts, left_out = 0, Counter[str](), Counter[str]()
    unread: dict[str, str] = {}
    with closing(Recording(out, write=True)) as recording:
        left = iter(cache.items())
        while some := list(islice(left, BATCH)):
            with recording.together():
                for name, value in some:
                    key = Key("image", BY_ID + name, ANY_K)
                    kept = recording.get(ENGINE, key)
                    if kept is not None and not kept.results.fetches.failed:
                        counts["already"] += 1
                        continue
                    try:
                        found = _results(value, folder, left_out)
                    except FormatError as error:
                        unread[name] = str(error)
                        continue
                    recording.put(ENGINE, key, packed(found), task=name, replace=True)
                    counts["imported"] += 1
                    counts["empty"] += not found.results
                    counts["results"] += len(found.results)
            done += len(some)
            if on_progress is not None:
                on_progress("questions", done, len(cache))
    return Imported(questions=len(cache), **counts, left_out=dict(left_out), unread=unread)


class Exported(NamedTuple):
    """What was written."""

    questions: int
    results: int
    pictures: int


def export_cache(recording: Path, out: Path, *, on_progress: OnProgress | None = None) -> Exported:
    """Write the image searches of a recording as such a cache, with its pictures beside it.

    Written are searches with the whole picture of a question: what a published environment can look
    up. Imported again, they replay as before.

    Args:
        recording: The recording.
        out: The JSON; pictures go to `<name>_images` beside it.
        on_progress: Called with "questions", how many are done, and of how many.

    Raises:
        ConfigError: there is no recording, nothing in it that can be written, or several engines.
        FormatError: it is damaged.
        StoreError: something cannot be written.
    """
    folder = out.with_name(f"{out.stem}_images")
    cache: dict[str, dict[str, list[str | None]]] = {}
    pictures = set[str]()
    most: dict[str, int] = {}
    with closing(Recording(recording)) as opened:
        searched = [e for e in opened.engines() if "image" in opened.kinds(e)]
        if len(searched) != 1:
            names = " and ".join(e.name for e in searched) or "none"
            raise ConfigError(
                f"{recording}: expected the image searches of one provider, got {names}"
            )
        total = sum(1 for kept in opened.all(searched[0]) if kept.task)
        make_folder(folder)
        for kept in opened.all(searched[0]):
            if not kept.task or kept.key.k < most.get(kept.task, 0):
                continue
            most[kept.task] = kept.key.k
            paths: list[str | None] = []
            for _, thumbnail in kept.results.results:
                name, data = _file_of(thumbnail) if thumbnail is not None else (None, b"")
                if name is not None and name not in pictures:
                    write_whole(folder / name, data)
                    pictures.add(name)
                paths.append(name and f"{folder.name}/{name}")
            titles: list[str | None] = [hit.title for hit, _ in kept.results.results]
            cache[kept.task] = {"tool_returned_web_title": titles, "cached_images_path": paths}
            if on_progress is not None:
                on_progress("questions", len(cache), total)
    if not cache:
        raise ConfigError(f"{recording}: no search with the whole picture of a question")
    text = json.dumps(cache, ensure_ascii=False, indent=1)
    write_whole(out, text.encode("utf-8"))
    results = sum(len(entry["cached_images_path"]) for entry in cache.values())
    return Exported(len(cache), results, len(pictures))


def _read(file: Path) -> dict[str, object]:
    """The questions of a cache.

    Raises:
        FormatError: it is something else.
    """
    try:
        data = read_whole(file, most=MAX_CACHE_BYTES)
    except OSError as error:
        raise FormatError(f"{file}: cannot be read ({error.strerror})") from error
    _refuse_code(data, file)
    try:
        value = json.loads(text_of(data, file))
    # Of numbers of thousands of digits, and of lists in lists without end, Python says so itself.
    except (ValueError, RecursionError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{file}: expected JSON, got something else ({error})") from error
    if not isinstance(value, dict) or not value:
        raise FormatError(
            f'{file}: expected {{"ID": {{"tool_returned_web_title": [...], "cached_images_path": '
            f"[...]}}, ...}}, got {'an empty object' if value == {} else type(value).__name__}"
        )
    return value


_CODE: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"\x80[\x00-\x05]"), "a pickle"),
    (
        re.compile(rb"([(\]})]|c[\w.]+\n[\w.]+\n).*\.\s*\Z", re.DOTALL),
        "a pickle of protocol 0 or 1",
    ),
    (re.compile(rb"PK\x03\x04"), "a zip file, as torch.save makes of a pickle"),
)
"""How files of code begin, whatever they are called.

Source: pickletools of Python: PROTO, and the opcodes MARK, EMPTY_LIST, EMPTY_DICT, EMPTY_TUPLE and
GLOBAL with which a protocol that has no PROTO begins; each ends with STOP, a full stop.
"""


def _refuse_code(data: bytes, file: Path) -> None:
    for pattern, what in _CODE:
        if pattern.match(data):
            raise FormatError(
                f"{file}: {what}, which is not read: to load one runs whatever code its author put "
                "in it. Take the JSON of honglyhly/DeepEyesV2_Search_Cache, or convert the file "
                "where it can do no harm (docs/search_recorded.md shows how), and import the JSON"
            )
    if data.startswith(b"\x1f\x8b"):
        raise FormatError(f"{file}: expected JSON, got gzip; unpack it first: gunzip FILE")


def _results(value: object, folder: Path, left_out: Counter[str]) -> Results:
    """The results of a question, those left out counted.

    Raises:
        FormatError: they are not as the format says.
    """
    try:
        entry = _Titles.model_validate(value, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise FormatError(f"{place + ': ' if place else ''}{first['msg']}") from error
    titles, paths = entry.tool_returned_web_title, entry.cached_images_path
    if len(titles) != len(paths):
        raise FormatError(f"{len(titles)} titles and {len(paths)} pictures")
    found: list[Result] = []
    failed = 0
    for title, path in zip(titles, paths, strict=True):
        picture = _picture(path, folder) if path else NO_PICTURE
        if isinstance(picture, str):
            left_out[picture] += 1
            failed += picture != NO_PICTURE
        else:
            hit = Hit(rank=len(found) + 1, title=title, thumbnail=True)
            found.append(Result(hit, picture))
    return Results(tuple(found), Fetches(succeeded=len(found), failed=failed))


def _picture(name: str, folder: Path) -> Image | str:
    """The picture that a path leads to, or why there is none."""
    try:
        file = beside(folder, name, "")
    except FormatError:
        return OUTSIDE
    try:
        return Image.from_bytes(read_whole(file, most=MAX_PICTURE_BYTES), name=name)
    except FileNotFoundError:
        return MISSING
    except (OSError, ImageError):
        return NO_IMAGE


def _file_of(picture: Image) -> tuple[str, bytes]:
    """A file of what is shown, as it is where it is shown whole."""
    source = picture.source
    if picture == Image.from_bytes(source.encoded()):
        return source.name, source.encoded()
    shown = Image.from_bytes(picture.encoded().data)
    return shown.source.name, shown.source.encoded()
