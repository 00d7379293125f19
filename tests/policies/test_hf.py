"""The local policy: one batch, noise of its own for each row, log-probabilities that hold.

The oracle for log-probabilities is a plain Hugging Face forward pass; it uses nothing of ours but
the rendered ids and pixels.
"""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
import torch
from building import a_task, plain, zoom_text
from transformers import AutoModelForImageTextToText, GenerationConfig

from saccade.dialects.deepeyes import DeepEyes
from saccade.env import Environment
from saccade.errors import ContextOverflow
from saccade.images.geometry import PixelBudget
from saccade.models.batch import FeatureCache, collate
from saccade.models.generate import TurnRequest
from saccade.models.load import LoadedModel
from saccade.models.sampler import Sampler
from saccade.models.scores import log_probs
from saccade.policies import hf
from saccade.policies.hf import HFOptions, HFPolicy
from saccade.rollout import Job, rollout, rollout_many
from saccade.tools.zoom import ZoomIn
from saccade.types import Completion, Limits, Sampling, StopReason, Task, Trajectory
from saccade.world import tasks

ZOOM = zoom_text(9, 9, 80, 80)


def environment(policy: HFPolicy, **limits: int) -> Environment:
    budget = PixelBudget(factor=policy.loaded.renderer.rule.factor, max_pixels=112 * 112)
    return Environment(
        DeepEyes(),
        [ZoomIn()],
        view=budget,
        coords=policy.loaded.renderer.coords,
        limits=Limits(**({"max_turns": 3, "max_turn_tokens": 24} | limits)),
    )


@pytest.fixture
def policy(tiny: Path) -> HFPolicy:
    return HFPolicy(HFOptions(path=str(tiny)))


class Looking(HFPolicy):
    """A tiny random model calls no tools: its own tokens are kept, but a call is read into them."""

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        own = await super().act(trajectory, sampling)
        return own.model_copy(update={"text": ZOOM if len(trajectory.turns) < 2 else own.text,
                                      "finish": "stop"})  # fmt: skip


def scenes(n: int) -> list[Task]:
    return list(tasks("read", n=n, seed=3))


async def run(policy: HFPolicy, n: int, concurrency: int, **limits: int) -> dict[str, Trajectory]:
    done: dict[str, Trajectory] = {}
    await rollout_many(
        policy, environment(policy, **limits), [Job(task) for task in scenes(n)],
        on_finish=lambda task, t: done.__setitem__(task.id, t), concurrency=concurrency,
        sampling=Sampling(temperature=1.0), seed=1,
    )  # fmt: skip
    return done


async def test_rollout_log_probs_equal_a_teacher_forced_pass(tiny: Path) -> None:
    policy = Looking(HFOptions(path=str(tiny)))
    done = (await run(policy, 4, 4)).values()
    assert all(len(t.images) == 3 for t in done), "images in the middle"
    loaded = policy.loaded
    plain = AutoModelForImageTextToText.from_pretrained(tiny)
    for t in done:
        rendered = loaded.renderer.render(t, generation=False)
        ours = log_probs(loaded, [rendered])[0]
        pixels = loaded.renderer.pixels(rendered.images)
        ids = torch.tensor([rendered.ids])
        with torch.inference_mode():
            logits = plain(
                input_ids=ids, attention_mask=torch.ones_like(ids),
                pixel_values=pixels.pixel_values, image_grid_thw=pixels.image_grid_thw,
                mm_token_type_ids=(ids == loaded.renderer.image_token).int(),
            ).logits[0]  # fmt: skip
        logits = logits.clone()
        logits[:, list(loaded.renderer.suppressed)] = float("-inf")
        oracle = logits.log_softmax(-1)
        checked = 0
        for at, sampled in enumerate(rendered.sampled):
            if sampled:
                expected = oracle[at - 1, rendered.ids[at]].item()
                assert abs(rendered.log_probs[at] - expected) < 1e-4
                assert abs(ours[at].item() - expected) < 1e-4
                checked += 1
        assert checked == sum(len(turn.completion.token_ids or ()) for turn in t.turns)


async def test_log_probs_of_a_batch_equal_those_alone(policy: HFPolicy) -> None:
    done = (await run(policy, 3, 3)).values()
    rendered = [policy.loaded.renderer.render(t, generation=False) for t in done]
    together = log_probs(policy.loaded, rendered, temperature=0.7)
    for item, row in zip(rendered, together, strict=True):
        alone = log_probs(policy.loaded, [item], temperature=0.7)[0]
        at = [k for k, sampled in enumerate(item.sampled) if sampled]
        assert torch.allclose(alone[at], row[at], atol=1e-4)


async def test_a_run_repeats_token_for_token_at_any_concurrency(tiny: Path) -> None:
    policy = Looking(HFOptions(path=str(tiny)))

    def tokens(done: dict[str, Trajectory]) -> dict[str, list[tuple[int, ...] | None]]:
        return {k: [turn.completion.token_ids for turn in t.turns] for k, t in done.items()}

    one = tokens(await run(policy, 16, 1, max_turns=2, max_turn_tokens=6))
    many = tokens(await run(policy, 16, 16, max_turns=2, max_turn_tokens=6))
    assert one == many
    assert len(set(map(str, one.values()))) == 16, "and they differ from each other"


async def test_concurrent_acts_become_one_batch(
    policy: HFPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def counted(
        loaded: LoadedModel, requests: list[TurnRequest], *, cache: FeatureCache
    ) -> list[Completion]:
        sizes.append(len(requests))
        return write_turns(loaded, requests, cache=cache)

    write_turns = hf.write_turns
    monkeypatch.setattr(hf, "write_turns", counted)
    await run(policy, 16, 16)
    assert sizes[0] == 16


async def test_greedy_equals_plain_generate(policy: HFPolicy, tiny: Path) -> None:
    env = environment(policy)
    done = await rollout(policy, env, scenes(1)[0])
    rendered = policy.loaded.renderer.render(
        done.model_copy(update={"turns": (), "prefix": ""}), generation=True
    )
    inputs = collate(policy.loaded, [rendered], side="left").inputs()
    del inputs["position_ids"]
    plain = AutoModelForImageTextToText.from_pretrained(tiny)
    ids = plain.generate(
        **inputs,
        generation_config=GenerationConfig(
            do_sample=False, max_new_tokens=24, pad_token_id=0,
            eos_token_id=policy.loaded.renderer.end_of_turn,
            suppress_tokens=list(policy.loaded.renderer.suppressed),
        ),
    )[0, len(rendered.ids):].tolist()  # fmt: skip
    assert list(done.turns[0].completion.token_ids or ()) == ids


async def test_stop_strings_and_token_limits_end_a_turn(policy: HFPolicy) -> None:
    start = environment(policy).begin(scenes(1)[0])
    free = await policy.act(start, Sampling(temperature=1, seed=5, max_tokens=40))
    assert free.finish == "length"
    assert len(free.token_ids or ()) == 40
    text = policy.loaded.renderer.decode(list(free.token_ids or ())[:12])
    stop = text[-3:]
    cut = await policy.act(start, Sampling(temperature=1, seed=5, max_tokens=40, stop=(stop,)))
    assert cut.finish == "stop"
    assert stop in cut.text
    assert stop not in policy.loaded.renderer.decode(list(cut.token_ids or ())[:-1])
    assert cut.token_ids == (free.token_ids or ())[: len(cut.token_ids or ())]
    assert len(cut.log_probs or ()) == len(cut.token_ids or ())


async def test_rows_of_a_batch_keep_their_own_sampling(policy: HFPolicy) -> None:
    start = environment(policy).begin(scenes(1)[0])
    samplings = [
        Sampling(max_tokens=5),
        Sampling(temperature=1, seed=1, max_tokens=20),
        Sampling(temperature=1, seed=2, max_tokens=9),
        Sampling(temperature=0.5, top_p=0.5, seed=1, max_tokens=20),
    ]
    together = await asyncio.gather(*(policy.act(start, s) for s in samplings))
    alone = [await policy.act(start, s) for s in samplings]
    assert [c.token_ids for c in together] == [c.token_ids for c in alone]
    assert [len(c.token_ids or ()) for c in together] == [5, 20, 9, 20]


async def test_a_later_turn_encodes_only_what_is_new(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = Looking(HFOptions(path=str(tiny)))
    model, sizes = policy.loaded.model, list[int]()
    encode = model.get_image_features

    def counted(patches: torch.Tensor, grids: torch.Tensor, **options: bool) -> object:
        sizes.append(len(grids))
        return encode(patches, grids, **options)

    monkeypatch.setattr(model, "get_image_features", counted)
    await run(policy, 4, 4)
    assert sizes == [4, 4], "four views; then four crops, which the third turn shows again"


@pytest.mark.parametrize(
    "error", [RuntimeError("out of memory"), IndexError("an id beyond the table")], ids=repr
)
async def test_a_request_that_fails_does_not_harm_the_others(
    policy: HFPolicy, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    env = environment(policy)
    good, bad = env.begin(scenes(2)[0]), env.begin(scenes(2)[1])
    write_turns = hf.write_turns
    poison = policy.loaded.renderer.render(bad, generation=True).images

    def failing(
        loaded: LoadedModel, requests: list[TurnRequest], *, cache: FeatureCache
    ) -> list[Completion]:
        if any(request.rendered.images == poison for request in requests):
            raise error
        return write_turns(loaded, requests, cache=cache)

    monkeypatch.setattr(hf, "write_turns", failing)
    done = await asyncio.gather(
        *(policy.act(t, Sampling(max_tokens=4)) for t in (good, bad, good)), return_exceptions=True
    )
    assert [type(d) for d in done] == [Completion, type(error), Completion]


async def test_a_cancelled_turn_leaves_the_batch_alone(policy: HFPolicy) -> None:
    start = environment(policy).begin(scenes(1)[0])
    first = asyncio.create_task(policy.act(start, Sampling(max_tokens=6)))
    second = asyncio.create_task(policy.act(start, Sampling(max_tokens=6)))
    await asyncio.sleep(0)
    first.cancel()
    assert len((await second).token_ids or ()) <= 6
    assert first.cancelled()


async def test_a_prompt_that_fills_the_context_is_refused(policy: HFPolicy) -> None:
    start = environment(policy, max_context=100).begin(scenes(1)[0])
    with pytest.raises(ContextOverflow, match="fill the context"):
        await policy.act(start, Sampling())
    done = await rollout(policy, environment(policy, max_context=100), scenes(1)[0])
    assert done.stop is StopReason.MAX_TOKENS
    assert done.turns == ()


async def test_rows_with_and_without_images_share_a_batch(policy: HFPolicy) -> None:
    env = environment(policy)
    text = env.begin(a_task("What is 1 + 1?", id="text"))
    image = plain(50, 70)
    two = env.begin(a_task(image, "and", image, "Compare.", id="two"))
    starts = [text, two, env.begin(scenes(1)[0])]
    sampling = Sampling(temperature=1, seed=7, max_tokens=8)
    together = await asyncio.gather(*(policy.act(t, sampling) for t in starts))
    alone = [await policy.act(t, sampling) for t in starts]
    assert [c.token_ids for c in together] == [c.token_ids for c in alone]


def draw(logits: torch.Tensor, sampling: Sampling, n: int) -> Counter[int]:
    samplings = [sampling.model_copy(update={"seed": seed}) for seed in range(n)]
    sampler = Sampler(samplings, suppressed=[3], device=torch.device("cpu"))
    scores = sampler(torch.zeros(n, 1, dtype=torch.long), logits.expand(n, -1).clone())
    return Counter(scores.argmax(-1).tolist())


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 1.0), (2.0, 1.0), (1.0, 0.8)])
def test_frequencies_follow_the_softmax(temperature: float, top_p: float) -> None:
    """Chi-square over 20,000 draws; the limit is the 99.99 % quantile for 5 degrees: 25.7."""
    logits = torch.tensor([[1.0, 0.0, -1.0, 9.0, 0.5, -0.3]])
    n = 20_000
    seen = draw(logits, Sampling(temperature=temperature, top_p=top_p), n)
    kept = [0, 1, 2, 4, 5]
    p = (logits[0, kept] / temperature).softmax(-1)
    order = p.argsort(descending=True)
    before = p[order].cumsum(0) - p[order]
    p[order[before >= top_p]] = 0
    p = p / p.sum()
    assert seen[3] == 0, "suppressed"
    chi = sum((seen[k] - n * q) ** 2 / (n * q) for k, q in zip(kept, p.tolist(), strict=True) if q)
    assert chi < 25.7
    assert all(seen[k] == 0 for k, q in zip(kept, p.tolist(), strict=True) if q == 0)


def test_noise_does_not_depend_on_the_neighbours() -> None:
    logits = torch.randn(8, 50, generator=torch.Generator().manual_seed(0))
    samplings = [Sampling(temperature=1, seed=seed) for seed in range(8)]
    ids = torch.zeros(8, 1, dtype=torch.long)
    forward = Sampler(samplings, [], torch.device("cpu"))(ids, logits).argmax(-1)
    reverse = Sampler(samplings[::-1], [], torch.device("cpu"))(ids, logits.flip(0)).argmax(-1)
    assert torch.equal(forward, reverse.flip(0))
