"""A folder as a source: texts become documents, image files become pictures.

The id of each is its path below the folder. What a picture shows says `captions.jsonl` in the
folder, with rows of `file`, `title`, and optional `text` and `url`; else its file name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from saccade.errors import FormatError
from saccade.files import beside, read_whole, text_of
from saccade.formats.records import read_records
from saccade.images.image import Image
from saccade.search.local.source.rows import MAX_TEXT, Item
from saccade.search.local.store.document import Document
from saccade.search.pages.html import readable

TEXTS = {".txt", ".md", ".rst", ".html", ".htm"}
IMAGES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".avif"}
CAPTIONS = "captions.jsonl"
MAX_TITLE = 300

LeftOut = Callable[[str, str], None]
"""Called with a file that is left out, and the reason."""

_HEADING = re.compile(
    r"""^\#{1,6}[ ]+(?P<marked>\S[^\n]*)$
    |^(?P<underlined>\w[^\n]*)\n([=~*^"'-])\3{2,}$""",
    re.MULTILINE | re.VERBOSE,
)
"""Of Markdown, or underlined as in reStructuredText."""


class _Caption(BaseModel):
    model_config = ConfigDict(extra="ignore")

    file: str
    title: str
    text: str = ""
    url: str = ""


def files_of(folder: Path, on_left_out: LeftOut) -> list[str]:
    """Paths of the texts and images of a folder and those below it, in order.

    Not followed: links to folders, and links that leave the folder. Hidden files and folders, and
    files of other kinds, are no part of it.

    Raises:
        FormatError: a folder cannot be read.
    """
    found: list[str] = []

    def cannot(error: OSError) -> None:
        raise FormatError(f"{error.filename}: cannot be read ({error.strerror})") from error

    for above, folders, names in os.walk(folder, onerror=cannot, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            path = Path(above, name)
            if name.startswith(".") or path.suffix.lower() not in TEXTS | IMAGES:
                continue
            inner = path.relative_to(folder).as_posix()
            try:
                inner.encode()
                beside(folder / "_", inner, inner)
            except UnicodeEncodeError:
                on_left_out(ascii(inner), "its name is no UTF-8")
            except FormatError:
                on_left_out(inner, "a link that leaves the folder")
            else:
                found.append(inner)
    return sorted(found)


def items_in(folder: Path, names: list[str], on_left_out: LeftOut) -> Iterator[Item]:
    """The documents of a folder; what cannot be read is left out.

    Raises:
        FormatError: the captions are wrong.
    """
    captions = _captions(folder)
    for name in names:
        path = folder / name
        place = str(path)
        if path.suffix.lower() in IMAGES:
            caption = captions.get(name)
            title = caption.title if caption else path.stem.replace("_", " ").replace("-", " ")
            text, url = (caption.text, caption.url) if caption else ("", "")
            document = Document(name, title, url, text.strip())
            yield Item(place, document, partial(Image.open, path))
            continue
        try:
            title, text = _read(path)
        except (FormatError, OSError) as error:
            said = error.strerror if isinstance(error, OSError) else str(error)
            on_left_out(name, said or "cannot be read")
            continue
        if text:
            yield Item(place, Document(name, title, "", text))
        else:
            on_left_out(name, "no text in it")


def _captions(folder: Path) -> dict[str, _Caption]:
    file = folder / CAPTIONS
    if not file.exists():
        return {}
    found: dict[str, _Caption] = {}
    for row in read_records(file):
        caption = row.read(_Caption)
        if not (folder / caption.file).is_file():
            raise row.wrong(f"file: there is no {caption.file[:200]!r} in {folder}")
        found[caption.file] = caption
    return found


def _read(path: Path) -> tuple[str, str]:
    """Title and text of a file.

    Raises:
        FormatError: it is no UTF-8.
        OSError: it cannot be read, is no regular file, or is too large.
    """
    text = text_of(read_whole(path, most=MAX_TEXT), path).replace("\r\n", "\n").strip()
    if path.suffix.lower() in (".html", ".htm"):
        title, text, _ = readable(text)
    else:
        heading = _HEADING.search(text) if path.suffix != ".txt" else None
        title = "" if heading is None else heading["marked"] or heading["underlined"]
        if heading is not None and heading["marked"]:
            title = title.rstrip().rstrip("#").rstrip()
    return (title or path.stem)[:MAX_TITLE], text
