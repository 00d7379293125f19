"""Whatever a model writes as arguments is its own mistake: it is told, and its episode goes on.

Every tool of the table is called with every kind of JSON value, in every frame; a tool that is
added to the table is called as well.
"""

import asyncio
import itertools
import json
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.util import find_spec
from typing import cast

import pytest
from building import a_context, a_task, noise, played
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue
from unhurried import UNHURRIED

from saccade.config import Part, build, resolve
from saccade.dialects.base import Dialect
from saccade.dialects.deepeyes import DeepEyes
from saccade.dialects.deepeyes_v2 import DeepEyesV2
from saccade.dialects.native import Native
from saccade.dialects.plain import Plain
from saccade.env import Environment
from saccade.errors import ToolError
from saccade.images.geometry import Box, CoordSpace, PixelBudget
from saccade.policies.replay import ReplayPolicy
from saccade.rollout import rollout
from saccade.sandbox.options import SandboxOptions
from saccade.tools import BUILT_IN, arguments
from saccade.tools.python import Python, PythonOptions
from saccade.tools.read_text import ReadText
from saccade.tools.staged import StagedZoom
from saccade.tools.zoom import Rotate, ZoomIn
from saccade.types import (
    Completion,
    Limits,
    StopReason,
    TargetBox,
    Tool,
    ToolFunction,
    Trajectory,
    WireCall,
)

PHOTO = noise(90, 60)
BUDGET = PixelBudget(factor=14, max_pixels=56 * 56)
VIEW = PHOTO.fit(BUDGET)
CROP = PHOTO.cut(Box(31, 17, 83, 57)).fit(BUDGET)
OCR = find_spec("rapidocr") is not None

NUMBERS = [
    0, -0.0, 1, 5e-324, 1e-308, 1e-300, -1e-300, 1e-17, 1e-6, 0.5, 1e15, 1e299, 1e300, 1e308,
    -1e308, math.inf, -math.inf, math.nan, 2**63, 10**299, 10**400, -(10**300),
]  # fmt: skip
VALUES = [
    *NUMBERS, None, True, "", "5", "NaN", "image_1", "image_2", "image_0", "image_99", "<|im_end|>",
    "\x00", "\u202e", "x" * 50_000, [], {}, [[]], [1, 2, 3], [1, 2, 3, 4, 5], [[1], 2, 3, 4],
    ["1", "2", "3", "4"], [True, False, True, True], [None] * 4, {"x1": 1}, [0] * 50_000,
    json.loads("[" * 60 + "]" * 60), {"<|im_end|>": {"</tool_response>": [1e308]}},
]  # fmt: skip
SPOTS = [0, 31.0, 40, 55, 1000, 0.4]


def boxes() -> Iterator[list[object]]:
    """A number in each corner, alone, and as the whole of a side."""
    for number, corner in itertools.product(NUMBERS, range(4)):
        box: list[object] = [10, 10, 50, 40]
        box[corner] = number
        yield box
    for number, spot in itertools.product(NUMBERS, SPOTS):
        yield [spot, spot, spot + number, spot + 30] if abs(number) < 1e301 else [number] * 4
        yield [number, number, 1e300, 1e300]


OPTIONS: dict[str, dict[str, JsonValue]] = {
    "text_search": {"provider": {"kind": "searching:Scripted"}},
    "image_search": {"provider": {"kind": "searching:Scripted"}},
    "open_page": {"allow_urls": ["example.invalid"]},
}
"""Of tools that are nothing without them."""


def built_in() -> dict[str, Tool]:
    """The tools of the table; the reader is asked to read no more than a corner."""
    made: dict[str, Tool] = {}
    for name in BUILT_IN:
        if name == "python":
            made[name] = Python(PythonOptions(sandbox=SandboxOptions(limits=UNHURRIED)))
        elif name == "read_text":
            made.update({name: ReadText(max_pixels=1500)} if OCR else {})
        elif name in OPTIONS:
            made[name] = cast(Tool, build(Part(kind=name, **OPTIONS[name]), BUILT_IN, "tools"))
        else:
            made[name] = resolve(name, BUILT_IN, "tools")()  # type: ignore[operator]
    return made


def zooms() -> dict[str, Tool]:
    """The zoom with each of its options, and what looks like it."""
    target = {"t": (TargetBox(box=Box(60, 20, 80, 50)),)}
    grown = ZoomIn(square=True, small="enlarge", min_side=24)
    return {
        "grown": grown, "square": ZoomIn(square=True), "any": ZoomIn(min_side=0, max_ratio=1e9),
        "told": ZoomIn(announce=True), "wrong": StagedZoom(grown, "wrong", target),
        "true": StagedZoom(ZoomIn(), "true", target), "blank": StagedZoom(grown, "blank", {}),
    }  # fmt: skip


async def calls_of(call: ToolFunction, every: list[dict[str, object]]) -> list[str]:
    """What the model is told of calls that are not executed; whatever else is raised fails."""
    told = []
    for given_ in every:
        try:
            await call(given_)  # type: ignore[arg-type]
        except ToolError as mistake:
            told.append(str(mistake))
    return told


@pytest.mark.parametrize("coords", list(CoordSpace))
@pytest.mark.parametrize("name", [*zooms(), "zoom_in"])
async def test_no_box_fails_a_zoom(name: str, coords: CoordSpace) -> None:
    tool = {**zooms(), "zoom_in": ZoomIn()}[name]
    context = a_context(VIEW, CROP, coords=coords, observation=BUDGET)
    every = [{"bbox_2d": box, "image": f"image_{n}"} for box in boxes() for n in (1, 2)]
    every += [{"bbox_2d": value} for value in VALUES]
    every += [{"bbox_2d": [1, 1, 50, 50], "image": value, "label": value} for value in VALUES]
    async with tool.open(context) as call:
        told = await calls_of(call, every)
    assert told
    assert max(map(len, told)) < 600


async def test_without_a_least_side_the_same_box_would_abort(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(arguments, "SMALLEST", -math.inf)
    async with ZoomIn().open(a_context(VIEW, CROP, observation=BUDGET)) as call:
        with pytest.raises((ZeroDivisionError, ValueError)):
            await call({"bbox_2d": [1e-300, 0, 2e-300, 30], "image": "image_2"})


@asynccontextmanager
async def every_tool() -> AsyncIterator[dict[str, ToolFunction]]:
    opened: dict[str, ToolFunction] = {}
    tools = built_in()
    context = a_context(VIEW, CROP, observation=BUDGET)
    async with AsyncExitStack() as stack:
        for name, tool in tools.items():
            stack.push_async_callback(tool.close)
            await tool.start()
            opened[name] = await stack.enter_async_context(tool.open(context))
        yield opened


CELLS = ["\x00", "\ud800", "(" * 5000, "9" * 5000, "-" * 50_000 + "1", "\n" * 99_000, "'''", "\\"]


async def test_no_value_fails_a_tool_of_the_table() -> None:
    keys = ("bbox_2d", "image", "label", "angle", "code", "<|im_end|>", "x" * 50_000)
    every = [{key: value} for key in keys for value in VALUES]
    every += [{"angle": 90, "image": value} for value in VALUES]
    every += [{"code": code} for code in CELLS]
    async with every_tool() as tools:
        assert set(tools) >= set(BUILT_IN) - {"read_text"}
        for name, call in tools.items():
            told = await calls_of(call, every)
            assert max(map(len, told)) < 600, name
        assert "4" in str((await tools["python"]({"code": "2 + 2"})).content[0])


@pytest.mark.skipif(not OCR, reason="install the extra 'ocr'")
async def test_no_box_fails_a_reader() -> None:
    async with built_in()["read_text"].open(a_context(VIEW, CROP)) as call:
        every = [{"bbox_2d": box, "image": "image_2"} for box in [*boxes()][::31]]
        assert await calls_of(call, every)


async def test_no_angle_fails_and_a_thin_image_is_not_turned_into_a_vast_one() -> None:
    context = a_context(VIEW, CROP, noise(3000, 1))
    async with Rotate(max_source_pixels=10_000).open(context) as call:
        every = [{"angle": n, "image": i} for n in NUMBERS for i in ("image_1", "image_2")]
        assert await calls_of(call, every)
        (told,) = await calls_of(call, [{"angle": 45, "image": "image_3"}])
        assert "too large to turn" in told


json_numbers = st.sampled_from(
    [*map(repr, (n for n in NUMBERS if -1e400 < n < 1e400)), "NaN", "Infinity", "-Infinity",
     "1e999", "-1e999", "1E-999", "-0", "1" * 5000, "1." + "0" * 5000 + "1", "0x1", "01", "1_0"]
)  # fmt: skip
texts = st.sampled_from(
    ['"image_1"', '"image_2"', '"<|im_end|>"', '"\\ud800"', '"\\u0000"', "true", "null", '""',
     "[" * 100 + "]" * 100, '{"a":' * 100 + "1" + "}" * 100]
)  # fmt: skip
values = st.recursive(
    json_numbers | texts,
    lambda inner: st.lists(inner, max_size=5).map(lambda found: f"[{', '.join(found)}]"),
    max_leaves=8,
)
box_texts = st.tuples(*[json_numbers] * 4).map(lambda four: f"[{', '.join(four)}]")
keys = st.sampled_from(["bbox_2d", "bbox_2d", "image", "label", "angle", "<|im_end|>", "\\ud800"])
objects = st.lists(st.tuples(keys, box_texts | values), max_size=4).map(
    lambda pairs: "{" + ", ".join(f'"{key}": {value}' for key, value in pairs) + "}"
)
tool_names = st.sampled_from(["image_zoom_in_tool", "image_rotate_tool", "<|im_start|>", ""])


def written(dialect: Dialect, name: str, arguments: str) -> Completion:
    """A call as a model writes it, whatever its arguments are."""
    if dialect.native_tools:
        return Completion(text="", tool_calls=(WireCall(id="1", name=name, arguments=arguments),))
    if dialect.name == "plain":
        return Completion(text=f"Call: {name} {arguments}")
    call = f'{{"name": "{name}", "arguments": {arguments}}}'
    return Completion(text=f"<think></think><tool_call>{call}</tool_call>")


@pytest.mark.parametrize("dialect", [DeepEyes(), DeepEyesV2(), Plain(), Native()],
                         ids=lambda dialect: dialect.name)  # fmt: skip
@given(
    st.lists(st.tuples(tool_names, objects), min_size=6, max_size=6), st.sampled_from(CoordSpace)
)
@settings(max_examples=3, deadline=None)
def test_no_call_aborts_an_episode(
    dialect: Dialect, calls: list[tuple[str, str]], coords: CoordSpace
) -> None:
    tools = [ZoomIn(min_side=0, max_ratio=1e9), Rotate()]
    limits = Limits(max_turns=100)
    environment = Environment(dialect, tools, view=BUDGET, coords=coords, limits=limits)
    turns = [written(dialect, name, arguments) for name, arguments in calls]
    script = ReplayPolicy({"t": [*turns, "<think></think>I cannot tell."]})
    done: Trajectory = asyncio.run(rollout(script, environment, a_task(PHOTO, "What?")))
    assert done.stop in (StopReason.ANSWER, StopReason.NO_ACTION), done.error
    assert Trajectory.model_validate_json(done.model_dump_json()).turns
    assert max(len(m.text) for turn in done.turns for m in turn.observation) < 2000


async def test_an_error_quotes_what_is_hostile_inertly_and_in_short() -> None:
    for key in ("<|im_end|>", "</tool_response>" * 9000, "\u200b<\u200b|im_end|>"):
        text = json.dumps({"name": "image_zoom_in_tool", "arguments": {key: 1, "bbox_2d": [key]}})
        done = await played(f"<tool_call>{text}</tool_call>", "<answer>7</answer>")
        (message,) = done.turns[0].observation
        assert "unknown argument" in message.text
        assert len(message.text) < 300
        assert "<|im_end|>" not in message.text
        assert "</tool_response>" not in message.text
