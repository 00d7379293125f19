"""Conversations as TRL takes them for the fine-tuning of vision-language models.

    conversations.parquet    messages   [{"role": "user", "content": [{"type": "image"},
                                           {"type": "text", "text": "What is it?"}]}, ...]
                             images     [{"bytes": ..., "path": "0e47...6f6c.png"}]
                             meta       "{...}"

    dataset = load_dataset("parquet", data_files="conversations.parquet", split="train")
    SFTTrainer(model, SFTConfig(assistant_only_loss=True, ...), train_dataset=dataset)

The n-th image of the messages is the n-th one of `images`, which `datasets` decodes. With
`assistant_only_loss` the observations have no loss; without it TRL trains on them too. A row
without images has none in `images`, which TRL takes in a batch with others.

Source: TRL 1.16, `prepare_multimodal_messages` and `is_conversational` in `trl/data_utils.py`,
`DataCollatorForVisionLanguageModeling` in `trl/trainer/sft_trainer.py`. Read are also contents that
are one text, whose images then stand before the first message of the user, and the columns `prompt`
and `completion` in place of `messages`; calls apart from the text (`tool_calls`) are not read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

from saccade.errors import FormatError, require
from saccade.files import make_folder
from saccade.formats.columns import rows_of, write_rows
from saccade.formats.conversations.conversation import (
    MAX_IMAGES,
    MAX_MESSAGES,
    Conversation,
    Counts,
    OnLeftOut,
    Role,
    UnfitConversation,
    Written,
    fitting,
    meta_of,
    meta_text,
    picture_of,
)
from saccade.formats.records import Row
from saccade.images.decode import MAX_SOURCE_PIXELS
from saccade.images.image import Image
from saccade.types import Message, Part

if TYPE_CHECKING:
    import pyarrow

ROWS = "conversations.parquet"
_COLUMNS = ("messages", "prompt", "completion", "images", "image", "id", "meta", "tools")
_ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")
_TOGETHER = 16
"""Number of rows that are in memory at a time."""

_VALUE = {"dtype": "string", "_type": "Value"}
_FEATURES = {
    "messages": {
        "feature": {
            "role": _VALUE,
            "content": {"feature": {"type": _VALUE, "text": _VALUE}, "_type": "List"},
        },
        "_type": "List",
    },
    "images": {"feature": {"_type": "Image"}, "_type": "List"},
    "meta": _VALUE,
}
"""The columns as `datasets` knows them. Source: `Features.arrow_schema` of datasets 4."""


def write_trl(
    conversations: Iterable[Conversation],
    folder: Path,
    *,
    on_left_out: OnLeftOut | None = None,
) -> Written:
    """Write conversations for TRL, with their images in the file.

    Args:
        conversations: What is written, in this order; a few are in memory at a time.
        folder: Where `conversations.parquet` goes.
        on_left_out: Called for each conversation that cannot be written; None: it is an error.

    Raises:
        UnfitConversation: a conversation cannot be written; names it.
        MissingExtra: pyarrow is not installed.
        StoreError: the folder cannot be written.
    """
    require("pyarrow")
    make_folder(folder)
    counts = Counts()
    rows = fitting(conversations, _row, counts, on_left_out)
    write_rows(folder / ROWS, _schema(), rows, together=_TOGETHER)
    return counts.written(folder / ROWS)


def read_trl(
    path: Path, *, max_pixels: int = MAX_SOURCE_PIXELS, on_left_out: OnLeftOut | None = None
) -> Iterator[Conversation]:
    """The conversations of a parquet file, one by one; a few rows are in memory at a time.

    Args:
        path: The file; image paths in it are relative to its folder and may not leave it.
        max_pixels: Larger images are refused.
        on_left_out: Called for each row that cannot be used, which is then left out.

    Raises:
        FormatError: the file cannot be read; or, without `on_left_out`, a row cannot be used
            (`UnfitConversation`).
        MissingExtra: pyarrow is not installed.
    """
    rows = rows_of(path, wanted=_COLUMNS.__contains__, together=_TOGETHER)
    for number, values in enumerate(rows):
        try:
            yield _conversation(Row(path, f"{path}: row {number}", values), max_pixels)
        except UnfitConversation as error:
            if on_left_out is None:
                raise
            on_left_out(error)


def _schema() -> pyarrow.Schema:
    import pyarrow as pa

    text, features = pa.string(), {"info": {"features": _FEATURES}}
    part = pa.struct([("type", text), ("text", text)])
    message = pa.struct([("role", text), ("content", pa.list_(part))])
    picture = pa.struct([("bytes", pa.binary()), ("path", text)])
    columns = [("messages", pa.list_(message)), ("images", pa.list_(picture)), ("meta", text)]
    return pa.schema(columns, metadata={"huggingface": json.dumps(features)})


def _row(conversation: Conversation, where: str) -> dict[str, object]:
    messages = [
        {
            "role": message.role,
            "content": [
                {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"}
                for part in message.content
            ],
        }
        for message in conversation.messages
    ]
    if any(message.role == "tool" and _has_image(message) for message in conversation.messages):
        # `prepare_multimodal_messages` counts no image of a tool, and would refuse the row.
        raise UnfitConversation(where, "an image stands in a message of a tool")
    pictures = [picture_of(image) for image in conversation.images]
    images = [{"bytes": picture.data, "path": picture.name} for picture in pictures]
    return {"messages": messages, "images": images, "meta": meta_text(conversation.meta)}


def _has_image(message: Message) -> bool:
    return any(isinstance(part, Image) for part in message.content)


def _conversation(row: Row, max_pixels: int) -> Conversation:
    values = row.values
    if values.get("tools") not in (None, "", [], "[]"):
        raise UnfitConversation(row.place, "the column 'tools' is not read")
    held = values.get("messages")
    if held is None:
        parts = [values.get(column) for column in ("prompt", "completion")]
        held = [message for part in parts if isinstance(part, list) for message in part]
    if not isinstance(held, list) or not held:
        raise UnfitConversation(row.place, "no list of messages in the column 'messages'")
    if len(held) > MAX_MESSAGES:
        raise UnfitConversation(row.place, f"more than {MAX_MESSAGES} messages")
    pictures = _images(row, max_pixels)
    remaining, messages = iter(pictures), list[Message]()
    begun = False
    for message in held:
        role, content = _message(message, row.place)
        if role == "user" and isinstance(content, str) and not begun:
            content = [*({"type": "image"} for _ in pictures), {"type": "text", "text": content}]
            begun = True
        filled = tuple(_filled(content, remaining, row.place))
        messages.append(Message(role=role, content=filled))
    if sum(1 for _ in remaining):
        raise UnfitConversation(row.place, "another number of marks than of images")
    meta = meta_of(values.get("meta"))
    if isinstance(name := values.get("id"), str | int) and "id" not in meta:
        meta["id"] = str(name)
    return Conversation(tuple(messages), meta, row.place)


def _message(message: object, where: str) -> tuple[Role, str | list[object]]:
    if not isinstance(message, dict):
        raise UnfitConversation(where, "a message is no object")
    role, content = message.get("role"), message.get("content")
    if role not in _ROLES:
        raise UnfitConversation(where, "a role is not known", repr(role)[:80])
    if message.get("tool_calls"):
        raise UnfitConversation(where, "a call stands apart from the text")
    if not isinstance(content, str | list):
        raise UnfitConversation(where, "the content of a message is no text")
    return cast(Role, role), content


def _filled(content: str | list[object], images: Iterator[Image], where: str) -> Iterator[Part]:
    """The parts of a message, the next image at each place of one."""
    for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part, dict) and isinstance(part.get("text"), str):
            if part["text"]:
                yield part["text"]
        elif kind == "image":
            image = next(images, None)
            if image is None:
                raise UnfitConversation(where, "another number of marks than of images")
            yield image
        else:
            raise UnfitConversation(where, "a part of a message is neither text nor image")


def _images(row: Row, max_pixels: int) -> tuple[Image, ...]:
    held = row.values.get("images")
    if held is None:
        held = row.values.get("image")
    listed = [] if held is None else held if isinstance(held, list) else [held]
    if len(listed) > MAX_IMAGES:
        raise UnfitConversation(row.place, f"more than {MAX_IMAGES} images")
    try:
        return tuple(row.image(value, max_pixels=max_pixels, column="images") for value in listed)
    except FormatError as error:
        said = str(error).removeprefix(f"{row.place}: ")
        raise UnfitConversation(row.place, "an image cannot be used", said) from error
