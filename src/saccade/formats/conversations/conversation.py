"""A conversation to learn from: messages of text and images, and what is known beside them.

    Conversation((Message(role="user", content=(image, "What is it?")),
                  Message(role="assistant", content=("<answer>a mug</answer>",))), {"id": "mug"})

All formats here agree on its shape, which `check` makes sure of: a system message or none, then by
turns a user (or a tool) and the assistant, who has the last word; images only in what the assistant
was shown.

Source: LLaMA-Factory, `data/README.md` ("the human and observation should appear in odd positions,
while gpt and function should appear in even positions") and `SharegptDatasetConverter` in
`src/llamafactory/data/converter.py`, which leaves out what is otherwise; TRL 1.16,
`prepare_multimodal_messages` in `trl/data_utils.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from pydantic import JsonValue

from saccade.errors import FormatError
from saccade.images.image import Image
from saccade.types import Message, Part

_Row = TypeVar("_Row")

Role = Literal["system", "user", "assistant", "tool"]

MAX_MESSAGES = 1000
"""Messages of a conversation."""
MAX_IMAGES = 256
"""Images of a conversation."""


class UnfitConversation(FormatError):
    """A conversation that a format cannot hold, or that is none."""

    def __init__(self, where: str, reason: str, detail: str = "") -> None:
        """Say where and why.

        Args:
            where: The file and row, or the id.
            reason: What is wrong, in words that are the same for each conversation of its kind.
            detail: What was expected and what was got here.
        """
        super().__init__(": ".join(part for part in (where, reason, detail) if part))
        self.where, self.reason = where, reason


OnLeftOut = Callable[[UnfitConversation], None]


class Conversation(NamedTuple):
    """Messages, and what is known beside them."""

    messages: tuple[Message, ...]
    meta: dict[str, JsonValue]
    """What a reader knows of it: `id`, and what `saccade.data.demos.conversations` notes."""
    place: str = ""
    """Where it was read, for messages: file and row."""

    @property
    def images(self) -> tuple[Image, ...]:
        """Every image, in the order of the text."""
        parts = (part for message in self.messages for part in message.content)
        return tuple(part for part in parts if isinstance(part, Image))


class Written(NamedTuple):
    """What was written of conversations."""

    file: Path
    """The file with the rows."""
    conversations: int
    images: int
    """Number of images that the rows show, those that come again included."""
    left_out: dict[str, int]
    """Why a conversation was left out, and how many were."""


def check(conversation: Conversation, where: str) -> None:
    """Make sure of the shape that all formats agree on.

    Raises:
        UnfitConversation: it has another; says which message.
    """
    roles = [message.role for message in conversation.messages]
    begin = 1 if roles[:1] == ["system"] else 0
    if len(roles) > MAX_MESSAGES:
        raise UnfitConversation(where, f"more than {MAX_MESSAGES} messages", f"got {len(roles)}")
    if "assistant" not in roles:
        raise UnfitConversation(where, "no turn of the assistant", f"got {_listed(roles)}")
    for place, role in enumerate(roles[begin:]):
        if (role == "assistant") != bool(place % 2) or role == "system":
            raise UnfitConversation(
                where,
                "the roles do not alternate",
                "expected a system message or none, then by turns a user (or a tool) and the "
                f"assistant, got {_listed(roles)}",
            )
    if roles[-1] != "assistant":
        raise UnfitConversation(where, "the assistant does not have the last word")
    if len(conversation.images) > MAX_IMAGES:
        raise UnfitConversation(where, f"more than {MAX_IMAGES} images")
    for message in conversation.messages:
        shows = any(isinstance(part, Image) for part in message.content)
        if shows and message.role in ("system", "assistant"):
            raise UnfitConversation(where, f"an image stands in a message of the {message.role}")
        check_text(message.text, where)


def check_text(text: str, where: str) -> None:
    """Make sure that a file can hold a text.

    Raises:
        UnfitConversation: it holds half of a pair of UTF-16, which JSON can bring in.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UnfitConversation(where, "half of a pair of UTF-16 is no text") from error


def _listed(roles: Sequence[str]) -> str:
    shown = ", ".join(roles[:8])
    return f"{shown} and {len(roles) - 8} more" if len(roles) > 8 else shown or "no message"


def fitting(
    conversations: Iterable[Conversation],
    take: Callable[[Conversation, str], _Row],
    counts: Counts,
    on_left_out: OnLeftOut | None,
) -> Iterator[_Row]:
    """The rows of conversations, without those that a format cannot hold.

    Args:
        conversations: What is written.
        take: Makes the row of one, which has the right shape.
        counts: Is kept up to date.
        on_left_out: Called for each that is left out; None: it is an error.

    Raises:
        UnfitConversation: the first one, without `on_left_out`.
    """
    for number, conversation in enumerate(conversations):
        where = conversation.place or str(conversation.meta.get("id") or f"row {number}")
        try:
            check(conversation, where)
            row = take(conversation, where)
        except UnfitConversation as error:
            if on_left_out is None:
                raise
            counts.left_out[error.reason] += 1
            on_left_out(error)
            continue
        counts.conversations += 1
        counts.images += len(conversation.images)
        yield row


class Counts:
    """What was written so far."""

    def __init__(self) -> None:
        self.conversations = self.images = 0
        self.left_out: Counter[str] = Counter()

    def written(self, file: Path) -> Written:
        return Written(file, self.conversations, self.images, dict(self.left_out))


class Picture(NamedTuple):
    """An image of a conversation as a file."""

    name: str
    """Made of the SHA-256 of the bytes; as its bytes end."""
    data: bytes


def picture_of(image: Image) -> Picture:
    """A file from which every reader gets exactly the pixels that are shown."""
    wire: Literal["jpeg", "png"] = "jpeg" if image.is_sent_as_file("jpeg") else "png"
    data = image.encoded(wire).data
    ending = "jpg" if wire == "jpeg" else "png"
    return Picture(f"{hashlib.sha256(data).hexdigest()}.{ending}", data)


def meta_text(meta: dict[str, JsonValue]) -> str:
    """What is known of a conversation, in one column: as objects, rows would differ in type."""
    return json.dumps(meta, ensure_ascii=True, sort_keys=True)


def meta_of(value: object) -> dict[str, JsonValue]:
    """The same, read again; what somebody else keeps in such a column is nothing to us."""
    if not isinstance(value, str):
        return {}
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def placed(text: str, images: Iterator[Image], mark: str) -> tuple[Part, ...]:
    """A text with the next image at each of its marks; not a space of it is lost.

    Raises:
        StopIteration: there are fewer images than marks.
    """
    first, *others = text.split(mark)
    parts: list[Part] = [first]
    for piece in others:
        parts += [next(images), piece]
    return tuple(part for part in parts if part != "")
