"""A forced text comes after the thought, at the start where there is none, and is told apart."""

import asyncio

import pytest
import torch

from saccade.dialects.deepeyes import SEAMS
from saccade.dialects.deepeyes_v2 import SEAMS as SEAMS_V2
from saccade.embedded import folder_of
from saccade.errors import ConfigError
from saccade.models.load import load
from saccade.models.sampler import Forcing
from saccade.models.scores import log_probs
from saccade.nano.spec import environment
from saccade.policies.hf import HFOptions, HFPolicy
from saccade.policies.openai import OpenAIOptions, OpenAIPolicy
from saccade.render.qwen_vl import load_renderer
from saccade.types import Completion, Force, Sampling, Trajectory
from saccade.world import tasks

FORCED = SEAMS.force("call")


@pytest.fixture(scope="module")
def policy() -> HFPolicy:
    return HFPolicy(HFOptions(path=str(folder_of("nano-base"))))


def begun(n: int) -> list[Trajectory]:
    return [environment().begin(task) for task in tasks("read", n=n, seed=9, split="dev")]


async def acted(policy: HFPolicy, samplings: list[Sampling]) -> list[Completion]:
    trajectories = begun(len(samplings))
    return await asyncio.gather(*map(policy.act, trajectories, samplings))


async def test_forced_and_free_turns_share_a_batch(policy: HFPolicy) -> None:
    """The free rows of a mixed batch are what they are alone."""
    free = Sampling(max_tokens=64, temperature=1.0, seed=3)
    forced = free.model_copy(update={"force": FORCED})
    mixed = await acted(policy, [forced, free, forced, free])
    alone = await acted(policy, [free] * 4)
    for row, completion in enumerate(mixed):
        thought = alone[row].text.split("</think>")[0]
        assert completion.text.startswith(thought + "</think>")
        if row % 2:
            assert completion.token_ids == alone[row].token_ids
        else:
            assert completion.text.startswith(thought + "</think><tool_call>")


async def test_log_probs_of_forced_tokens_are_the_model_s_own(policy: HFPolicy) -> None:
    sampling = Sampling(max_tokens=64, force=FORCED)
    (trajectory,) = begun(1)
    completion = await policy.act(trajectory, sampling)
    loaded = policy.loaded
    renderer = loaded.renderer
    rendered = renderer.render(trajectory, generation=True)
    ids = [*rendered.ids, *(completion.token_ids or ())]
    whole = rendered._replace(ids=ids)
    with torch.no_grad():
        (values,) = log_probs(loaded, [whole])
    expected = values[len(rendered.ids) :]
    torch.testing.assert_close(torch.tensor(completion.log_probs), expected, atol=1e-4, rtol=0)
    at = (completion.token_ids or ()).index(renderer.encode("<tool_call>")[0])
    assert (completion.log_probs or ())[at] < -2  # it would not have called


def test_a_turn_without_a_thought_starts_with_the_text() -> None:
    renderer = load_renderer(folder_of("nano-base"))
    thought, end, answer, call = (
        renderer.encode(tag)[0] for tag in ("<think>", "</think>", "<answer>", "<tool_call>")
    )
    force = Forcing(FORCED.model_copy(update={"text": "<tool_call>["}), renderer)
    assert [force.choose(answer), force.choose(7), force.choose(8)] == [
        call, *renderer.encode("["), 8,
    ]  # fmt: skip
    force = Forcing(FORCED, renderer)
    written = [force.choose(token) for token in (thought, 5, end, answer, 6, end, 7)]
    assert written == [thought, 5, end, call, 6, end, 7]


def test_a_text_with_a_thought_of_its_own_is_the_start_of_the_turn() -> None:
    renderer = load_renderer(folder_of("nano-base"))
    text = "<think>The red object.</think><answer>"
    own, thought = renderer.encode(text), renderer.encode("<think>")[0]
    force = Forcing(Force(text=text), renderer)
    assert [force.choose(thought) for _ in own] == own
    assert force.choose(5) == 5


def test_the_thought_may_close_in_several_tokens() -> None:
    """As in the vocabulary of Qwen2.5, which has no token of its own for it."""
    renderer = load_renderer(folder_of("nano-base"))
    pieces = [renderer.encode(character)[0] for character in "<think>Hm.</think"]
    end, own, text = (
        renderer.encode(">")[0],
        renderer.encode("x")[0],
        renderer.encode("<tool_call>"),
    )

    class InPieces:
        decode = renderer.decode

        def encode(self, text: str) -> list[int]:
            return (
                [i for c in text for i in renderer.encode(c)]
                if "think" in text
                else (renderer.encode(text))
            )

    force = Forcing(FORCED, InPieces())  # type: ignore[arg-type]
    written = [force.choose(token) for token in [*pieces, end, own, own]]
    assert written == [*pieces, end, *text, own]


def test_a_turn_that_is_in_its_thought_from_the_start_is_forced_behind_it() -> None:
    """`deepeyes_v2` gives the opening: it is no part of what is sampled."""
    renderer = load_renderer(folder_of("nano-base"))
    end, call = (renderer.encode(tag)[0] for tag in ("</think>", "<tool_call>"))
    force = Forcing(SEAMS_V2.force("call", "<think>"), renderer)
    assert [force.choose(token) for token in (5, 6, end, 7, 8)] == [5, 6, end, call, 8]


async def test_a_server_cannot_be_forced() -> None:
    policy = OpenAIPolicy(OpenAIOptions(base_url="http://127.0.0.1:9/v1", model="m"))
    (trajectory,) = begun(1)
    with pytest.raises(ConfigError, match=r"sampling.force"):
        await policy.act(trajectory, Sampling(force=Force(text="<answer>")))
    await policy.close()


def test_real_loading_of_the_shipped_base() -> None:
    assert load(folder_of("nano-base")).model.dtype == torch.float32
