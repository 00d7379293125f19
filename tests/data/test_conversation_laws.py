"""Laws of what is written for others and read again, on texts that hypothesis makes up.

Whatever a text holds, a conversation comes back as it was or is refused: never another one.
"""

import asyncio
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from building import a_task, call_text, noise, plain, played, zoom_text
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.data.demos.conversations import conversation_of, demonstration_of
from saccade.dialects.base import Dialect
from saccade.dialects.deepeyes import DeepEyes
from saccade.dialects.deepeyes_v2 import DeepEyesV2
from saccade.dialects.plain import Plain
from saccade.env import Environment
from saccade.formats.conversations import (
    Conversation,
    UnfitConversation,
    read_sharegpt,
    read_trl,
    write_sharegpt,
    write_trl,
)
from saccade.images.geometry import Box, PixelBudget
from saccade.images.image import Image
from saccade.tools.zoom import ZoomIn
from saccade.types import Message, StopReason, Trajectory

IMAGES = (plain(56, 28, "red"), noise(28, 28), noise(28, 28).crop(Box(3, 4, 20, 25)))
FRAGMENTS = (
    "<image>", "<im", "age>", "<video>", "<audio>", "<|im_end|>", "<|image_pad|>", "<think>",
    "</think>", "<answer>", "</answer>", "<code>", "\r\n", "\n", "\r", "\u2028", "\x85", "\x00",
    " ", "\ufeff", '"', "\\", "\\n", "\U0001f600", "e\u0301", "{}", "\ud83d",
)  # fmt: skip
texts = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=8), max_size=5).map("".join)
contents = st.lists(texts | st.sampled_from(IMAGES), max_size=4)


def parts(message: Message) -> list[object]:
    """The content, texts that follow each other as one, images as size and pixels."""
    found: list[object] = []
    for part in message.content:
        if isinstance(part, Image):
            found.append((part.pixels().size, part.pixels().tobytes()))
        elif part and found and isinstance(found[-1], str):
            found[-1] += part
        elif part:
            found.append(part)
    return found


def shown(messages: Iterable[Message]) -> list[object]:
    return [(message.role, parts(message)) for message in messages]


Through = Callable[[Conversation], Conversation]


def sharegpt(conversation: Conversation) -> Conversation:
    with tempfile.TemporaryDirectory() as folder:
        (read,) = read_sharegpt(write_sharegpt([conversation], Path(folder)).file)
    return read


def trl(conversation: Conversation) -> Conversation:
    with tempfile.TemporaryDirectory() as folder:
        (read,) = read_trl(write_trl([conversation], Path(folder)).file)
    return read


through = pytest.mark.parametrize("through", [sharegpt, trl])


@through
@given(
    system=st.none() | texts,
    turns=st.lists(st.tuples(st.sampled_from(["user", "tool"]), contents, texts), max_size=3),
    meta=st.dictionaries(texts, texts | st.integers() | st.booleans(), max_size=2),
)
@settings(max_examples=30)
def test_a_conversation_comes_back_or_is_refused(
    through: Through,
    system: str | None,
    turns: list[tuple[str, list[object], str]],
    meta: dict[str, object],
) -> None:
    messages = [] if system is None else [{"role": "system", "content": [system]}]
    for role, content, reply in turns:
        messages.append({"role": role, "content": content})
        messages.append({"role": "assistant", "content": [reply]})
    conversation = Conversation(tuple(map(Message.model_validate, messages)), dict(meta))  # type: ignore[arg-type]
    try:
        read = through(conversation)
    except UnfitConversation:
        return
    assert shown(read.messages) == shown(conversation.messages)
    assert read.meta == conversation.meta


BOX = zoom_text(0, 0, 28, 28)
LOOK = f"<think>Small.</think>{BOX}"
BLOCK = "<think>Small.</think>\n<code>\n```python\nprint(1)\n```\n</code>"
TAGGED = (LOOK, BLOCK, BOX, call_text("nothing"), "<tool_call>{</tool_call>", "<code>1</code>")
LINES = (
    "Thought: small\nCall: image_zoom_in_tool {\"bbox_2d\": [0, 0, 28, 28]}",
    "Call: nothing {}", "Call: image_zoom_in_tool {", "Thought: hm",
)  # fmt: skip
DIALECTS: dict[str, tuple[Dialect, tuple[str, ...], str]] = {
    "deepeyes": (DeepEyes(), TAGGED, "<think>I see.</think><answer>{}</answer>"),
    "deepeyes_v2": (DeepEyesV2(), TAGGED, "I see.</think>\n<answer>{}</answer>"),
    "plain": (Plain(), LINES, "Answer: {}"),
}
VIEW = PixelBudget(max_pixels=56 * 56)


def outline(episode: Trajectory) -> list[object]:
    """What a reader of an episode goes by: text, action, and what came of each call.

    Errors as they are shown, in which a blank makes a tag inert.
    """
    return [
        (
            turn.prefix + turn.completion.text,
            turn.action,
            [
                (result.call, result.error and result.error.replace(" ", ""))
                for result in turn.results
            ],
        )
        for turn in episode.turns
    ]


@through
@pytest.mark.parametrize("name", DIALECTS)
@given(data=st.data())
@settings(max_examples=10)
def test_an_episode_comes_back_or_is_refused(name: str, through: Through, data: object) -> None:
    dialect, written, last = DIALECTS[name]
    beside = texts.filter(lambda text: text.isprintable())
    turns = data.draw(  # type: ignore[attr-defined]
        st.lists(st.tuples(beside, st.sampled_from(written), beside).map("".join), max_size=3)
    )
    answer = data.draw(texts)  # type: ignore[attr-defined]
    asked = data.draw(texts)  # type: ignore[attr-defined]
    task = a_task(IMAGES[0], "Which?", asked, id="q", answer="7")
    environment = Environment(dialect, [ZoomIn()], view=VIEW, observation=PixelBudget())
    episode = asyncio.run(played(*turns, last.format(answer), task=task, environment=environment))
    try:
        read = through(conversation_of(episode, task))
        back = demonstration_of(read, dialect, name="q", view=VIEW)
    except UnfitConversation:
        return
    assert episode.stop is StopReason.ANSWER
    assert shown(back.trajectory.messages) == shown(episode.messages)
    assert outline(back.trajectory) == outline(episode)
    assert back.trajectory.answer == episode.answer
