"""Conversations as TRL has them; `tests/train/test_conversations.py` lets TRL read them."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from building import noise, plain
from PIL import Image as PILImage

from saccade.formats.conversations import (
    Conversation,
    UnfitConversation,
    read_trl,
    write_trl,
)
from saccade.types import Message

IMAGE, TEXT = {"type": "image", "text": None}, {"type": "text", "text": "?"}


def png() -> bytes:
    file = io.BytesIO()
    PILImage.new("RGB", (9, 9), "red").save(file, "PNG")
    return file.getvalue()


def write(folder: Path, **columns: object) -> Path:
    path = folder / "rows.parquet"
    usual = {"images": [{"bytes": png(), "path": None}]}
    pq.write_table(pa.Table.from_pylist([usual | columns]), path)
    return path


def turns(*content: object) -> list[dict[str, object]]:
    return [{"role": "user", "content": content}, {"role": "assistant", "content": [TEXT]}]


def test_a_row_holds_its_images_in_their_places(tmp_path: Path) -> None:
    image, crop = noise(28, 56), plain(9, 9, "red")
    user = Message(role="user", content=("a ", image, crop, "b"))
    talk = Conversation((user, Message(role="assistant", content=("7",))), {"id": "x"})
    written = write_trl([talk] * 40, tmp_path)
    assert (written.conversations, written.images) == (40, 80)
    *_, last = read_trl(written.file)
    assert (last.meta, [m.text for m in last.messages]) == ({"id": "x"}, ["a b", "7"])
    assert [type(part).__name__ for part in last.messages[0].content] == [
        "str", "Image", "Image", "str",
    ]  # fmt: skip
    assert last.images[0].pixels().tobytes() == image.pixels().tobytes()


def test_contents_that_are_text_have_their_images_first(tmp_path: Path) -> None:
    messages = [{"role": role, "content": "?"} for role in ("system", "user", "assistant")]
    (talk,) = read_trl(write(tmp_path, messages=messages))
    assert [len(message.content) for message in talk.messages] == [1, 2, 1]


def test_prompt_and_completion_are_one_conversation(tmp_path: Path) -> None:
    first, last = turns(IMAGE, TEXT)
    (talk,) = read_trl(write(tmp_path, prompt=[first], completion=[last]))
    assert [message.role for message in talk.messages] == ["user", "assistant"]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"messages": turns(TEXT)}, "another number of marks"),
        ({"messages": turns(IMAGE, IMAGE)}, "another number of marks"),
        ({"messages": turns({"type": "video", "text": None})}, "neither text nor image"),
        ({"messages": [{"role": "critic", "content": "?"}]}, "a role is not known"),
        ({"messages": []}, "no list of messages"),
        ({"messages": turns(IMAGE), "images": [{"bytes": None, "path": "../a.png"}]}, "outside"),
        ({"messages": turns(IMAGE), "images": [{"bytes": b"?", "path": None}]}, "cannot be used"),
        ({"messages": turns(IMAGE), "tools": "[{}]"}, "'tools' is not read"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_or_left_out(
    tmp_path: Path, columns: dict[str, object], reason: str
) -> None:
    path = write(tmp_path, **columns)
    with pytest.raises(UnfitConversation, match=rf"rows\.parquet: row 0: .*{reason}"):
        list(read_trl(path))
    left_out: list[UnfitConversation] = []
    assert list(read_trl(path, on_left_out=left_out.append)) == []
    assert len(left_out) == 1


def test_an_image_of_a_tool_is_refused_which_trl_would_not_count(tmp_path: Path) -> None:
    roles = ("user", "assistant", "tool", "assistant")
    messages = [Message(role=role, content=("?",)) for role in roles]
    messages[2] = Message(role="tool", content=(plain(9, 9),))
    with pytest.raises(UnfitConversation, match="message of a tool"):
        write_trl([Conversation(tuple(messages), {})], tmp_path)
    assert not list(tmp_path.iterdir())
