r"""Conversations as LLaMA-Factory is trained on them, and as the cold start of DeepEyesV2 has them.

    conversations.jsonl    {"messages": [{"role": "user", "content": "<image>\nWhat is it?"},
                             {"role": "assistant", "content": "<answer>a mug</answer>"}],
                            "images": ["images/0e47...6f6c.png"], "meta": "{\"id\": \"mug\"}"}
    dataset_info.json      how LLaMA-Factory reads it; `dataset_dir` is this folder
    images/                the images as they were shown

The n-th `<image>` of the messages is the n-th image. Source: LLaMA-Factory, `data/README.md`,
`SharegptDatasetConverter` in `src/llamafactory/data/converter.py`, `_validate_messages` in
`mm_plugin.py`; DeepEyesV2, `cold_start/data/dataset_info.json` and `cold_start/data_convert.py`.

Read are `.jsonl` and `.json` (one list, of any size) with the columns and tags that a
`dataset_info.json` beside the file names, else those that either of the two uses. Calls apart from
the text (`function_call`, `tools`), videos and audios are not read: such a row is unfit.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from saccade.errors import ConfigError, FormatError
from saccade.files import make_folder, open_file, read_whole, text_of, write_parts, write_whole
from saccade.formats.conversations.conversation import (
    MAX_IMAGES,
    MAX_MESSAGES,
    Conversation,
    Counts,
    OnLeftOut,
    Role,
    UnfitConversation,
    Written,
    check_text,
    fitting,
    meta_of,
    meta_text,
    picture_of,
    placed,
)
from saccade.formats.marks import IMAGE
from saccade.formats.records import Row, read_records, stream_list
from saccade.images.decode import MAX_SOURCE_PIXELS
from saccade.images.image import Image
from saccade.types import Message

ROWS, INFO, IMAGES = "conversations.jsonl", "dataset_info.json", "images"
MAX_INFO_BYTES = 16 * 2**20

_MEDIA = re.compile("<(?:video|audio)>")
"""What LLaMA-Factory takes for the place of a video or an audio. Source: its `mm_plugin.py`."""
_TRAILING = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])', re.DOTALL)
"""A text of JSON, or a comma after which a list or an object ends."""


class Layout(NamedTuple):
    """What the parts of a row are called; None where each row tells it itself."""

    messages: str | None = None
    images: str = "images"
    system: str | None = "system"
    role: str | None = None
    content: str | None = None
    roles: Mapping[str, Role | None] = {
        "system": "system", "user": "user", "human": "user", "assistant": "assistant",
        "gpt": "assistant", "observation": "tool", "tool": "tool",
        "function_call": None, "function": None,
    }  # fmt: skip
    """What each role is here; None: a call apart from the text."""


def write_sharegpt(
    conversations: Iterable[Conversation],
    folder: Path,
    *,
    name: str = "saccade",
    on_left_out: OnLeftOut | None = None,
) -> Written:
    """Write conversations for LLaMA-Factory: `dataset_dir: FOLDER`, `dataset: NAME`.

    One row is in memory at a time. Images are the pixels that were shown, each once.

    Args:
        conversations: What is written, in this order.
        folder: Where `conversations.jsonl`, `dataset_info.json` and `images/` go.
        name: What the data set is called.
        on_left_out: Called for each conversation that cannot be written; None: it is an error.

    Raises:
        UnfitConversation: a conversation cannot be written; names it.
        ConfigError: the folder holds the `dataset_info.json` of something else.
        StoreError: the folder cannot be written.
    """
    info = json.dumps({name: _entry()}, indent=2).encode()
    _check_free(folder / INFO, info)
    make_folder(folder / IMAGES)
    counts = Counts()

    def row(conversation: Conversation, where: str) -> bytes:
        return _line(conversation, where, folder)

    rows = fitting(conversations, row, counts, on_left_out)
    write_parts(folder / ROWS, rows)
    write_whole(folder / INFO, info)
    return counts.written(folder / ROWS)


def read_sharegpt(
    path: Path,
    *,
    images: Path | None = None,
    max_pixels: int = MAX_SOURCE_PIXELS,
    on_left_out: OnLeftOut | None = None,
) -> Iterator[Conversation]:
    """The conversations of a file, one by one; no more than one of them is in memory.

    Args:
        path: A `.jsonl` or `.json` file.
        images: The folder that images lie in or below, and that their paths are relative to; None:
            that of the file. What leads out of it is not opened.
        max_pixels: Larger images are refused.
        on_left_out: Called for each row that cannot be used, which is then left out.

    Raises:
        FormatError: the file cannot be read; or, without `on_left_out`, a row cannot be used
            (`UnfitConversation`).
    """
    layout = layout_beside(path)
    for row in _rows(path):
        try:
            yield _conversation(row, layout, images or path.parent, max_pixels)
        except UnfitConversation as error:
            if on_left_out is None:
                raise
            on_left_out(error)


def layout_beside(path: Path) -> Layout:
    """How the `dataset_info.json` beside a file says that it is read; without one, the usual ways.

    The comma that DeepEyesV2's has after its last entry is read over.

    Raises:
        FormatError: there is one, and it is no JSON.
    """
    info = path.with_name(INFO)
    if not os.path.lexists(info):
        return Layout()
    try:
        text = text_of(read_whole(info, most=MAX_INFO_BYTES), info)
        held = json.loads(_TRAILING.sub(lambda found: found[1] or "", text))
    except OSError as error:
        raise FormatError(f"{info}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{info}: not JSON ({error})") from error
    entries = held.values() if isinstance(held, dict) else ()
    entry = next(
        (e for e in entries if isinstance(e, dict) and e.get("file_name") == path.name), None
    )
    return Layout() if entry is None else _layout(entry)


def _layout(entry: dict[str, object]) -> Layout:
    """What an entry says; what it leaves out has the name that LLaMA-Factory gives it."""
    columns, tags = _texts(entry.get("columns")), _texts(entry.get("tags"))
    usual = Layout()
    roles = dict(usual.roles)
    own: dict[str, Role | None] = {
        "user_tag": "user", "assistant_tag": "assistant", "system_tag": "system",
        "observation_tag": "tool", "function_tag": None,
    }  # fmt: skip
    roles |= {tags[tag]: role for tag, role in own.items() if tag in tags}
    return Layout(
        messages=columns.get("messages"),
        images=columns.get("images", usual.images),
        system=columns.get("system", usual.system),
        role=tags.get("role_tag"),
        content=tags.get("content_tag"),
        roles=roles,
    )


def _texts(value: object) -> dict[str, str]:
    held = value if isinstance(value, dict) else {}
    return {str(key): text for key, text in held.items() if isinstance(text, str)}


def _rows(path: Path) -> Iterator[Row]:
    if path.suffix not in (".json", ".jsonl"):
        raise FormatError(f"{path}: expected a file that ends in .json or .jsonl")
    return stream_list(path) if path.suffix == ".json" and _is_list(path) else read_records(path)


def _is_list(path: Path) -> bool:
    try:
        with open_file(path) as file:
            return file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"["
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror})") from error


def _conversation(row: Row, layout: Layout, folder: Path, max_pixels: int) -> Conversation:
    for column in ("tools", "videos", "audios", "chosen", "rejected", "kto_tag"):
        if row.values.get(column) not in (None, "", [], "[]"):
            raise UnfitConversation(row.place, f"the column {column!r} is not read")
    key = layout.messages or ("messages" if "messages" in row.values else "conversations")
    held = row.values.get(key)
    if not isinstance(held, list) or not held:
        raise UnfitConversation(row.place, f"no list of messages in the column {key!r}")
    if len(held) > MAX_MESSAGES:
        raise UnfitConversation(row.place, f"more than {MAX_MESSAGES} messages")
    texts = [_message(message, layout, row.place) for message in held]
    system = row.values.get(layout.system) if layout.system else None
    if isinstance(system, str) and system and texts[0][0] != "system":
        check_text(system, row.place)
        texts.insert(0, ("system", system))
    pictures = iter(_images(row, layout, folder, max_pixels, sum(t.count(IMAGE) for _, t in texts)))
    messages = tuple(
        Message(role=role, content=placed(text, pictures, IMAGE)) for role, text in texts
    )
    meta = meta_of(row.values.get("meta"))
    if isinstance(name := row.values.get("id"), str | int) and "id" not in meta:
        meta["id"] = str(name)
    return Conversation(messages, meta, row.place)


def _message(message: object, layout: Layout, where: str) -> tuple[Role, str]:
    if not isinstance(message, dict):
        raise UnfitConversation(where, "a message is no object")
    named = message.get(layout.role or ("role" if "role" in message else "from"))
    text = message.get(layout.content or ("content" if "content" in message else "value"))
    if not isinstance(named, str) or named not in layout.roles:
        raise UnfitConversation(where, "a role is not known", repr(named)[:80])
    role = layout.roles[named]
    if role is None or message.get("tool_calls"):
        raise UnfitConversation(where, "a call stands apart from the text", repr(named)[:80])
    if not isinstance(text, str):
        raise UnfitConversation(where, "the content of a message is no text")
    check_text(text, where)
    return role, text


def _images(
    row: Row, layout: Layout, folder: Path, max_pixels: int, marks: int
) -> tuple[Image, ...]:
    """The images of a row, as many as its texts have marks."""
    held = row.values.get(layout.images)
    listed = [] if held is None or held == "" else held if isinstance(held, list) else [held]
    if len(listed) != marks:
        detail = f"{marks} marks {IMAGE}, {len(listed)} images"
        raise UnfitConversation(row.place, f"another number of {IMAGE} than of images", detail)
    if marks > MAX_IMAGES:
        raise UnfitConversation(row.place, f"more than {MAX_IMAGES} images")
    below = row._replace(file=folder / row.file.name)
    try:
        return tuple(
            below.image(value, max_pixels=max_pixels, column=layout.images) for value in listed
        )
    except FormatError as error:
        said = str(error).removeprefix(f"{row.place}: ")
        raise UnfitConversation(row.place, "an image cannot be used", said) from error


def _line(conversation: Conversation, where: str, folder: Path) -> bytes:
    """A row; its images are written before it."""
    messages: list[dict[str, str]] = []
    for message in conversation.messages:
        for part in message.content:
            if isinstance(part, str) and (IMAGE in part or _MEDIA.search(part)):
                raise UnfitConversation(
                    where,
                    "a text shows the mark of an image, a video or an audio",
                    f"LLaMA-Factory would look for one, in a message of the {message.role}",
                )
        text = "".join(part if isinstance(part, str) else IMAGE for part in message.content)
        if text.count(IMAGE) != sum(isinstance(part, Image) for part in message.content):
            raise UnfitConversation(where, "texts beside an image make another mark with it")
        messages.append({"role": message.role, "content": text})
    names = []
    for image in conversation.images:
        picture = picture_of(image)
        file = folder / IMAGES / picture.name
        if not file.exists():
            write_whole(file, picture.data)
        names.append(f"{IMAGES}/{picture.name}")
    row = {"messages": messages, "images": names, "meta": meta_text(conversation.meta)}
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


def _entry() -> dict[str, object]:
    return {
        "file_name": ROWS,
        "formatting": "sharegpt",
        "columns": {"messages": "messages", "images": "images"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
            "observation_tag": "tool",
            "system_tag": "system",
        },
    }


def _check_free(info: Path, wanted: bytes) -> None:
    """Make sure that no list of data sets of somebody is written over."""
    if not os.path.lexists(info):
        return
    try:
        held = read_whole(info, most=MAX_INFO_BYTES)
    except OSError as error:
        raise ConfigError(f"{info}: is in the way ({error.strerror})") from error
    if held != wanted:
        raise ConfigError(
            f"{info}: lists other data sets already; choose another folder, and copy the entry "
            "over afterwards"
        )
