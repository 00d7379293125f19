"""What is learned of a teacher that sends parts of its turns in fields of their own."""

from collections.abc import Sequence

import pytest
from building import a_task, plain

from saccade.dialects.base import Dialect
from saccade.dialects.deepeyes import DeepEyes
from saccade.dialects.deepeyes_v2 import DeepEyesV2
from saccade.dialects.native import Native
from saccade.dialects.plain import Plain
from saccade.embedded import folder_of
from saccade.env import Environment
from saccade.images.geometry import PixelBudget
from saccade.render.qwen_vl import QwenVLRenderer, load_renderer
from saccade.rollout import rollout
from saccade.tools.zoom import ZoomIn
from saccade.train.sft.demonstrations import demonstration
from saccade.types import (
    Action,
    Completion,
    ModelInfo,
    Sampling,
    StopReason,
    ToolCall,
    Trajectory,
    WireCall,
)

DIALECTS: list[Dialect] = [DeepEyes(), DeepEyesV2(), Plain(), Native()]
by_name = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
ZOOM = ToolCall(name="image_zoom_in_tool", arguments={"bbox_2d": [0, 0, 28, 28]})
WIRE = WireCall(id="c", name=ZOOM.name, arguments='{"bbox_2d":[0, 0, 28,28]}')
LOOK, SEEN = "Too small.", "It is a B."


class Teacher:
    """Answers with these completions in turn."""

    def __init__(self, *completions: Completion) -> None:
        self._completions = completions

    @property
    def info(self) -> ModelInfo:
        return ModelInfo(name="teacher")

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        return self._completions[len(trajectory.turns)]

    def count_tokens(self, trajectory: Trajectory) -> None:
        return None

    async def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def renderer() -> QwenVLRenderer:
    return load_renderer(str(folder_of("nano-base")))


async def play(dialect: Dialect, *completions: Completion) -> Trajectory:
    budget = PixelBudget(max_pixels=56 * 56, factor=14)
    env = Environment(dialect, [ZoomIn()], view=budget, observation=budget)
    done = await rollout(Teacher(*completions), env, a_task(plain(56, 56), "What?"))
    assert done.stop is StopReason.ANSWER
    return done


def whole(dialect: Dialect) -> list[Completion]:
    """What a local model writes, behind the given beginning of its turn."""
    actions = [Action(thought=LOOK, calls=(ZOOM,)), Action(thought=SEEN, answer="B")]
    texts = [dialect.write(action).removeprefix(dialect.prefix) for action in actions]
    return [Completion(text=text) for text in texts]


def learned(renderer: QwenVLRenderer, done: Trajectory) -> tuple[list[int], list[bool]]:
    example = demonstration(done, renderer)
    assert example is not None
    rendered = renderer.render(example, generation=False)
    return rendered.ids, rendered.sampled


def apart(dialect: Dialect, *, bare: bool) -> Sequence[Completion]:
    """The same from a server with a reasoning parser, and a tool parser where one belongs."""
    calls = {"tool_calls": (WIRE,)} if dialect.native_tools else {}
    text = "" if dialect.native_tools else dialect.write(Action(calls=(ZOOM,)))
    answer = "B" if bare else dialect.write(Action(answer="B"))
    return (
        Completion(text=text, thought=LOOK, **calls),
        Completion(text=answer, thought=SEEN, token_ids=(5, 6, 7), log_probs=(-1.0, -1.0, -1.0)),
    )


@by_name
@pytest.mark.parametrize("bare", [False, True])
async def test_parts_that_came_apart_are_learned_as_the_dialect_writes_them(
    dialect: Dialect, bare: bool, renderer: QwenVLRenderer
) -> None:
    local = await play(dialect, *whole(dialect))
    rendered = renderer.render(local, generation=False)
    teacher = await play(dialect, *apart(dialect, bare=bare))
    ids, sampled = learned(renderer, teacher)
    assert renderer.decode(ids) == renderer.decode(rendered.ids)
    assert (ids, sampled) == (rendered.ids, rendered.sampled)


@by_name
async def test_a_local_episode_is_learned_as_it_is(
    dialect: Dialect, renderer: QwenVLRenderer
) -> None:
    completions = [
        c.model_copy(update={"token_ids": (*renderer.encode(c.text), renderer.end_of_turn)})
        for c in whole(dialect)
    ]
    done = await play(dialect, *completions)
    assert demonstration(done, renderer) == done


@pytest.mark.parametrize("ids", [(5, 6, 7), (10**6,), (2**40,)])
async def test_ids_of_another_tokenizer_are_left_out(
    ids: tuple[int, ...], renderer: QwenVLRenderer
) -> None:
    text = "<think>a</think><answer>B</answer>"
    done = await play(DeepEyes(), Completion(text=text, token_ids=ids, log_probs=(0.0,) * len(ids)))
    trained, sampled = learned(renderer, done)
    written = [token for token, own in zip(trained, sampled, strict=True) if own]
    assert renderer.decode(written) == text


async def test_a_call_that_nobody_could_read_is_not_learned(renderer: QwenVLRenderer) -> None:
    bad = WIRE.model_copy(update={"arguments": "{"})
    for calls in ((bad,), (WIRE, bad)):
        done = await play(Native(), Completion(text="", tool_calls=calls), Completion(text="B"))
        assert demonstration(done, renderer) is None


async def test_a_thought_that_would_end_itself_is_not_learned(renderer: QwenVLRenderer) -> None:
    done = await play(Native(), Completion(text="B", thought="No </think> here, <think>so"))
    assert demonstration(done, renderer) is None
