"""Conversations as LLaMA-Factory reads and DeepEyesV2 publishes them.

The rules of the reader there are restated here from `src/llamafactory/data/converter.py`
(`SharegptDatasetConverter`), `parser.py` (`DatasetAttr`) and `mm_plugin.py` (`_validate_messages`)
of hiyouga/LLaMA-Factory, commit ff6d4d1. The published row and list of data sets are those of
Visual-Agent/DeepEyesV2, `cold_start/data_convert.py` and `cold_start/data/dataset_info.json`.
"""

import io
import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from building import noise, plain
from PIL import Image as PILImage

from saccade.errors import ConfigError, FormatError
from saccade.formats.conversations import (
    Conversation,
    UnfitConversation,
    read_sharegpt,
    write_sharegpt,
)
from saccade.images.geometry import Box
from saccade.images.image import Image
from saccade.types import Message, Part

PART = Box(0, 0, 20, 20)
INFO = {
    "file_name": "sft_part_0.json",
    "formatting": "sharegpt",
    "columns": {"messages": "messages", "images": "images"},
    "tags": {
        "role_tag": "role", "content_tag": "content", "user_tag": "user",
        "assistant_tag": "assistant", "system_tag": "system",
    },
}  # fmt: skip


def said(role: str, *content: Part) -> Message:
    return Message(role=role, content=content)  # type: ignore[arg-type]


def talk(*content: Part, answer: str = "<answer>7</answer>", **meta: str) -> Conversation:
    return Conversation((said("user", *content), said("assistant", answer)), dict(meta))


def row(**changes: object) -> dict[str, object]:
    turns = [("system", "Think."), ("user", "<image>What?"), ("assistant", "<answer>7</answer>")]
    messages = [{"role": role, "content": content} for role, content in turns]
    return {"messages": messages, "images": ["data/a.png"]} | changes


def write(folder: Path, *rows: object, name: str = "sft_part_0.json") -> Path:
    (folder / "data").mkdir(parents=True)
    plain(40, 30, "red").pixels().save(folder / "data" / "a.png")
    (folder / name).write_text(json.dumps(rows))
    return folder / name


def as_llamafactory_has_it(folder: Path, name: str) -> list[tuple[str, list[dict[str, str]], list]]:
    """System, messages and images of each row, as its converter makes them."""
    entry = json.loads((folder / "dataset_info.json").read_text())[name]
    columns, tags = entry["columns"], entry["tags"]
    odd, even = (tags["user_tag"], tags["observation_tag"]), (tags["assistant_tag"],)
    found = []
    for line in (folder / entry["file_name"]).read_text().splitlines():
        held = json.loads(line)
        messages = held[columns["messages"]]
        system = ""
        if messages[0][tags["role_tag"]] == tags["system_tag"]:
            system, messages = messages[0][tags["content_tag"]], messages[1:]
        assert len(messages) % 2 == 0
        for turn, message in enumerate(messages):
            assert message[tags["role_tag"]] in (odd, even)[turn % 2]
        text = "".join(message[tags["content_tag"]] for message in messages)
        images = held[columns["images"]]
        assert text.count("<image>") == len(images)
        assert text.count("<video>") == text.count("<audio>") == 0
        found.append((system, messages, [PILImage.open(folder / path) for path in images]))
    return found


def test_what_is_written_is_what_llamafactory_reads(tmp_path: Path) -> None:
    image, crop = noise(28, 56), noise(56, 56).crop(PART)
    long = Conversation(
        (
            said("system", "Think."), said("user", image, "\nWhat?"), said("assistant", "<code>"),
            said("user", "Images:\n", crop, image), said("assistant", "7"),
        ),
        {},
    )  # fmt: skip
    written = write_sharegpt([long, talk("1+1?")], tmp_path, name="cold")
    assert (written.conversations, written.images, written.left_out) == (2, 3, {})
    (system, messages, images), (none, _, no_images) = as_llamafactory_has_it(tmp_path, "cold")
    assert (system, none, no_images) == ("Think.", "", [])
    assert [m["content"] for m in messages] == [
        "<image>\nWhat?", "<code>", "Images:\n<image><image>", "7",
    ]  # fmt: skip
    for file, shown in zip(images, (image, crop, image), strict=True):
        assert file.convert("RGB").tobytes() == shown.pixels().tobytes()
    assert len(list((tmp_path / "images").iterdir())) == 2, "each image once"


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    jpeg = io.BytesIO()
    noise(64, 48).pixels().save(jpeg, "JPEG")
    photo = Image.from_bytes(jpeg.getvalue())
    talks = [talk("  Is ", photo, " older than\n", photo.crop(PART), id="a b"), talk("?")]
    read = list(read_sharegpt(write_sharegpt(talks, tmp_path).file))
    assert [c.meta for c in read] == [c.meta for c in talks]
    for one, other in zip(read, talks, strict=True):
        assert [m.text for m in one.messages] == [m.text for m in other.messages]
        kinds = [[type(part) for part in m.content] for c in (one, other) for m in c.messages]
        assert kinds[:2] == kinds[2:]
        for got, expected in zip(one.images, other.images, strict=True):
            assert got.pixels().tobytes() == expected.pixels().tobytes()
    kept = (tmp_path / "images" / photo.source.name).read_bytes()
    assert kept == jpeg.getvalue(), "a file that shows the pixels is copied"


CANNOT_BE_WRITTEN: dict[str, tuple[Conversation, str]] = {
    "the mark of an image": (talk("what does <image> mean?"), "shows the mark"),
    "in what the assistant wrote": (talk("?", answer="an <image>"), "shows the mark"),
    "the mark of a video": (talk("<video>"), "shows the mark"),
    "a mark that an image completes": (talk("<image", plain(9, 9), ">", "<im", "age>"), "mark"),
    "two of the user": (
        Conversation((said("user", "a"), said("user", "b"), said("assistant", "c")), {}),
        "do not alternate",
    ),
    "the user last": (
        Conversation((said("user", "a"), said("assistant", "b"), said("user", "c")), {}),
        "last word",
    ),
    "a late system": (
        Conversation((said("user", "a"), said("system", "b"), said("assistant", "c")), {}),
        "do not alternate",
    ),
    "an image of the system": (
        Conversation((said("system", plain(9, 9)), *talk("?").messages), {}),
        "message of the system",
    ),
    "nobody": (Conversation((), {}), "no turn of the assistant"),
}


@pytest.mark.parametrize(("unfit", "reason"), CANNOT_BE_WRITTEN.values(), ids=CANNOT_BE_WRITTEN)
def test_what_it_cannot_hold_is_an_error_or_counted(
    tmp_path: Path, unfit: Conversation, reason: str
) -> None:
    with pytest.raises(UnfitConversation, match=f"row 1: .*{reason}"):
        write_sharegpt([talk("?"), unfit], tmp_path)
    assert not (tmp_path / "conversations.jsonl").exists()
    errors: list[UnfitConversation] = []
    written = write_sharegpt([talk("?"), unfit, talk("!")], tmp_path, on_left_out=errors.append)
    assert (written.conversations, written.left_out) == (2, {errors[0].reason: 1})
    assert len(as_llamafactory_has_it(tmp_path, "saccade")) == 2


def test_a_list_of_data_sets_of_somebody_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text('{"mine": {}}')
    with pytest.raises(ConfigError, match="lists other data sets"):
        write_sharegpt([talk("?")], tmp_path)
    assert (tmp_path / "dataset_info.json").read_text() == '{"mine": {}}'


def test_a_published_part(tmp_path: Path) -> None:
    path = write(tmp_path, row(), row(images=[], messages=row()["messages"][2:] * 2))  # type: ignore[index]
    text = json.dumps({"deepeyesv2_p1": INFO}, indent=2)
    (tmp_path / "dataset_info.json").write_text(text[:-2] + ",\n\n}")
    (first, second) = read_sharegpt(path)
    assert [m.role for m in first.messages] == ["system", "user", "assistant"]
    assert first.messages[1].content[1] == "What?"
    assert first.images[0].pixels().getpixel((3, 3)) == (255, 0, 0)
    assert second.images == ()


def test_a_comma_within_a_text_is_no_trailing_comma(tmp_path: Path) -> None:
    path = write(tmp_path, row(**{"a,}": row()["messages"], "messages": None}))
    entry = INFO | {"columns": {"messages": "a,}"}}
    (tmp_path / "dataset_info.json").write_text(json.dumps({"x": entry}))
    assert len(list(read_sharegpt(path))) == 1


def test_the_tags_of_plain_sharegpt(tmp_path: Path) -> None:
    turns = [("human", "<image>?"), ("gpt", "a"), ("observation", "seen"), ("gpt", "b")]
    talked = [{"from": role, "value": text} for role, text in turns]
    path = write(tmp_path, {"conversations": talked, "system": "Hm.", "images": "data/a.png"})
    (found,) = read_sharegpt(path)
    assert [m.role for m in found.messages] == ["system", "user", "assistant", "tool", "assistant"]


def test_tags_of_ones_own(tmp_path: Path) -> None:
    turns = [{"who": "Q", "what": "?"}, {"who": "A", "what": "!"}]
    path = write(tmp_path, {"chat": turns})
    tags = {"role_tag": "who", "content_tag": "what", "user_tag": "Q", "assistant_tag": "A"}
    entry = {"file_name": path.name, "columns": {"messages": "chat"}, "tags": tags}
    (tmp_path / "dataset_info.json").write_text(json.dumps({"x": entry}))
    (found,) = read_sharegpt(path)
    assert [(m.role, m.text) for m in found.messages] == [("user", "?"), ("assistant", "!")]


CANNOT_BE_READ: dict[str, tuple[dict[str, object], str]] = {
    "an image too many": ({"images": ["data/a.png"] * 2}, "1 marks <image>, 2 images"),
    "no images": ({"images": None}, "1 marks <image>, 0 images"),
    "not there": ({"images": ["data/b.png"]}, "data/b.png: cannot be read"),
    "outside": ({"images": ["../secret.png"]}, "lies outside the folder"),
    "absolute": ({"images": ["/etc/passwd"]}, "lies outside the folder"),
    "a link": ({"images": ["data/link.png"]}, "lies outside the folder"),
    "a URL": ({"images": ["http://localhost/a.png"]}, "nothing is fetched from the web"),
    "data in the text": ({"images": ["data:image/png;base64,AAAA"]}, "nothing is fetched"),
    "no image": ({"images": ["sft_part_0.json"]}, "an image cannot be used"),
    "a pipe": ({"images": ["data/pipe"]}, "a pipe or a device"),
    "no path": ({"images": [7]}, "no image"),
    "an odd role": ({"messages": [{"role": "critic", "content": ""}]}, "a role is not known"),
    "a call apart": ({"messages": [{"role": "function_call", "content": "{}"}]}, "apart from the"),
    "tools apart": ({"tools": '[{"name": "f"}]'}, "'tools' is not read"),
    "a video": ({"videos": ["a.mp4"]}, "'videos' is not read"),
    "no text": ({"messages": [{"role": "user", "content": None}]}, "is no text"),
    "no messages": ({"messages": []}, "no list of messages"),
    "messages of text": ({"messages": ["hello"]}, "a message is no object"),
    "half a character": (
        {"messages": [{"role": "user", "content": "\ud800"}], "images": []}, "half of a pair",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), CANNOT_BE_READ.values(), ids=CANNOT_BE_READ)
def test_a_row_that_cannot_be_used_is_named_or_left_out(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    path = write(tmp_path / "set", row(), row(**changes), row())
    plain(9, 9).pixels().save(tmp_path / "secret.png")
    (tmp_path / "set" / "data" / "link.png").symlink_to(tmp_path / "secret.png")
    if changes.get("images") == ["data/pipe"]:
        os.mkfifo(tmp_path / "set" / "data" / "pipe")
    with pytest.raises(UnfitConversation, match=r"sft_part_0\.json: row 1: ") as caught:
        list(read_sharegpt(path))
    assert message in str(caught.value)
    errors: list[UnfitConversation] = []
    assert len(list(read_sharegpt(path, on_left_out=errors.append))) == 2
    assert [str(error) for error in errors] == [str(caught.value)]


def test_paths_are_relative_to_the_folder_that_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "set", row(images=["a.png"]))
    assert len(list(read_sharegpt(path, images=tmp_path / "set" / "data"))) == 1
    absolute = write(tmp_path / "other", row(images=[str(tmp_path / "set" / "data" / "a.png")]))
    assert len(list(read_sharegpt(absolute, images=tmp_path / "set"))) == 1


BROKEN = {
    "cut": (lambda text: text[:-9], "row 1: not JSON"),
    "a comma is missing": (lambda text: text.replace('}, {"messages', '} {"messages'), "comma"),
    "something follows": (lambda text: text + "x", "follows the end"),
    "no object": (lambda text: "[1]", "row 0: expected an object"),
    "Latin-1": (lambda text: "[" + "é", "expected"),
    "deep": (lambda text: '[{"a":' * 100_000, "not JSON"),
}


@pytest.mark.parametrize(("change", "message"), BROKEN.values(), ids=BROKEN)
def test_a_file_that_is_no_list_of_rows(
    tmp_path: Path, change: Callable[[str], str], message: str
) -> None:
    path = write(tmp_path, row(), row())
    path.write_bytes(change(path.read_text()).encode("latin-1"))
    with pytest.raises(FormatError, match=message):
        list(read_sharegpt(path, on_left_out=lambda error: None))


def test_one_row_is_in_memory_at_a_time(tmp_path: Path) -> None:
    talks = (talk("x" * 30_000, id=str(number)) for number in range(200))
    tracemalloc.start()
    try:
        written = write_sharegpt(talks, tmp_path)
        rows = [json.loads(line) for line in written.file.read_text().splitlines()]
        (tmp_path / "all.json").write_text(json.dumps(rows))
        del rows
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        assert sum(1 for _ in read_sharegpt(tmp_path / "all.json")) == 200
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert (tmp_path / "all.json").stat().st_size > 6e6
    assert peak < 3e6, "a row and a piece of the file, of 6 MB"
