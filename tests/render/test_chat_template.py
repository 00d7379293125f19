"""The chat template of a checkpoint, as servers apply it, against what the renderer writes."""

import re
from pathlib import Path

import pytest
from building import a_task, a_trajectory, a_turn, plain
from pydantic import JsonValue
from transformers import AutoTokenizer

from saccade.dialects.native import Native
from saccade.embedded import MODELS, folder_of
from saccade.env import Environment
from saccade.images.geometry import PixelBudget
from saccade.images.image import Image
from saccade.nano.spec import environment
from saccade.render.qwen_vl import CHAT_TEMPLATE, chat_template, load_renderer
from saccade.tools.zoom import ZoomIn
from saccade.types import Message, Trajectory
from saccade.world import tasks

VIEW = PixelBudget(factor=28, max_pixels=9 * 28 * 28)
WIDE, TALL = plain(90, 30).fit(VIEW), plain(30, 60).fit(VIEW)
CALL = {"type": "function", "function": {"name": "z", "arguments": {"bbox_2d": [1, 2], "é": "ß"}}}
CALL_TEXT = '<tool_call>\n{"name": "z", "arguments": {"bbox_2d": [1, 2], "é": "ß"}}\n</tool_call>'


def wire(message: Message) -> JsonValue:
    """A message with its images, as the clients of chat servers write it."""
    parts: list[JsonValue] = [
        {"type": "image"} if isinstance(part, Image) else {"type": "text", "text": part}
        for part in message.content
    ]
    text_alone = len(message.content) == 1 and isinstance(message.content[0], str)
    return {"role": message.role, "content": message.text if text_alone else parts}


def sent(trajectory: Trajectory, *, calls: bool = False) -> list[JsonValue]:
    """A conversation; with `calls` those of an assistant stand in their own field."""
    messages = [wire(message) for message in trajectory.prompt]
    for turn in trajectory.turns:
        text = turn.prefix + turn.completion.text
        said: dict[str, JsonValue] = {"role": "assistant", "content": text}
        if calls and text.endswith(CALL_TEXT):
            said |= {"content": text.removesuffix(CALL_TEXT).rstrip("\n"), "tool_calls": [CALL]}
        messages += [said, *map(wire, turn.observation)]
    return messages


def assert_same_ids(
    folder: Path, trajectory: Trajectory, *, tools: list[JsonValue] | None = None
) -> None:
    """The ids of a server that applies the template and repeats the mark of each image."""
    renderer = load_renderer(folder)
    ours = renderer.render(trajectory, generation=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = tokenizer.apply_chat_template(
        sent(trajectory, calls=bool(tools)), tools=tools, tokenize=False,
        add_generation_prompt=True, chat_template=chat_template(),
    )  # fmt: skip
    counts = iter(grid.tokens(renderer.rule.merge) for grid in renderer.grids(ours.images))
    expanded = re.sub(r"<\|image_pad\|>", lambda mark: mark[0] * next(counts), text)
    assert renderer.decode(ours.ids) == expanded
    assert tokenizer(expanded, add_special_tokens=False)["input_ids"] == ours.ids


@pytest.mark.parametrize(
    "prompt",
    [
        [Message(role="user", content=("What?",))],
        [Message(role="system", content=("Be brief.\n",)), Message(role="user", content=(" é\n",))],
        [Message(role="user", content=("Left ", WIDE, "or right", TALL, "?"))],
        [Message(role="user", content=(TALL, WIDE))],
    ],
    ids=["text", "a system turn", "images between text", "images alone"],
)
def test_the_template_writes_what_the_renderer_writes(
    tiny_qwen2_5_vl: Path, prompt: list[Message]
) -> None:
    seen = a_turn(
        text="<think>x</think>\n<answer>1</answer>\n",
        observation=(Message(role="user", content=(TALL, "again")),),
    )
    for turns in ((), (seen,), (seen, seen)):
        assert_same_ids(tiny_qwen2_5_vl, a_trajectory(*turns, prompt=tuple(prompt)))


@pytest.mark.parametrize("system", ["Be brief.", None])
def test_tools_and_their_results_are_written_as_the_renderer_writes_them(
    tiny_qwen2_5_vl: Path, system: str | None
) -> None:
    begun = Environment(Native(), [ZoomIn()]).begin(a_task("What?", TALL))
    prompt = (Message(role="system", content=(system,)),) if system else ()
    results = [Message(role="tool", content=(text,)) for text in ("one", "(1 image(s) follow)")]
    results.append(Message(role="user", content=(WIDE,)))
    turns = [
        a_turn(text=said + CALL_TEXT, observation=tuple(results))
        for said in ("<think>x</think>\n", "")
    ]
    trajectory = begun.model_copy(
        update={"prompt": (*prompt, *begun.prompt[1:]), "turns": tuple(turns)}
    )
    tools = [tool.function() for tool in trajectory.environment.tools]
    assert_same_ids(tiny_qwen2_5_vl, trajectory, tools=tools)


def test_the_prompt_of_an_embedded_model_is_the_one_that_it_was_trained_on() -> None:
    for task in tasks("read", n=2, seed=1, split="dev"):
        assert_same_ids(folder_of("nano-look"), environment().begin(task))


@pytest.mark.parametrize("name", MODELS)
def test_embedded_models_carry_the_template(name: str) -> None:
    folder = folder_of(name)
    assert (folder / CHAT_TEMPLATE).read_text(encoding="utf-8") == chat_template()
    assert AutoTokenizer.from_pretrained(folder).chat_template == chat_template()
