"""The update: loss and gradient of a plain loop, zero gradient where nothing is trained on.

The oracle (reference_grpo.py) knows torch and the class of transformers; pixels come to it from the
image processor of transformers, token by token from what was sampled.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import reference_grpo as reference
import torch
from PIL import Image as PILImage
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from trl.trainer.grpo_config import GRPOConfig

from saccade.embedded import folder_of
from saccade.errors import RenderError
from saccade.models.load import LoadedModel, load
from saccade.nano.spec import environment
from saccade.policies.hf import HFOptions, HFPolicy
from saccade.rewards import RewardOptions
from saccade.rollout import rollout
from saccade.train.advantages import Group, advantages, group_rewards, trained_turns
from saccade.train.grpo import GRPO
from saccade.train.sample import TrainingBatch, TrainingSample
from saccade.types import Sampling, StopReason, Task, Trajectory
from saccade.world import tasks

GROUP = 4
NANO = str(folder_of("nano-sft"))


def play(loaded: LoadedModel, prompts: Sequence[Task], **changes: object) -> list[Trajectory]:
    """Groups of sampled episodes; this model calls and sees crops in the middle."""
    policy = HFPolicy(HFOptions(path=loaded.path), loaded=loaded)
    sampling = Sampling(temperature=1.0).model_copy(update=changes)

    async def all_of_them() -> list[Trajectory]:
        reward = RewardOptions().make()
        return await asyncio.gather(
            *(
                rollout(policy, environment(), p, sample=s, sampling=sampling, reward=reward)
                for p in prompts
                for s in range(GROUP)
            )
        )

    return asyncio.run(all_of_them())


def samples_of(loaded: LoadedModel, trajectories: Sequence[Trajectory]) -> list[TrainingSample]:
    groups_P = [
        Group(Task(id="t", prompt=("?",)), tuple(trajectories[at : at + GROUP]))
        for at in range(0, len(trajectories), GROUP)
    ]
    every = advantages(group_rewards(groups_P)).flatten().tolist()
    rendered = [loaded.renderer.render(t, generation=False) for t in trajectories]
    return [
        TrainingSample(
            item,
            item.sampled if trained_turns(t, (), 3) else [False] * len(item.ids),
            [advantage] * len(item.ids),
        )
        for t, item, advantage in zip(trajectories, rendered, every, strict=True)
    ]


class Fixed:
    """The same samples for every batch."""

    def __init__(self, samples: list[TrainingSample]) -> None:
        self._samples = samples

    def training_batch(self, number: int) -> TrainingBatch:
        return TrainingBatch(self._samples, {})


def trainer_of(
    loaded: LoadedModel, samples: list[TrainingSample], out: Path, **options: object
) -> GRPO:
    arguments = GRPOConfig(
        output_dir=str(out), use_cpu=True, bf16=False, max_steps=1, report_to=[],
        per_device_train_batch_size=len(samples), num_generations=GROUP, temperature=1.0,
        loss_type="dapo", beta=0.0, activation_checkpointing=False, disable_tqdm=True,
        dataloader_pin_memory=False, **options,
    )  # fmt: skip
    trainer = GRPO(loaded, arguments)
    trainer.source = Fixed(samples)
    return trainer


def loss_of(trainer: GRPO) -> torch.Tensor:
    """As TRL computes it in a step, the gradient in the parameters."""
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    inputs = trainer._prepare_inputs([{"prompt": ""}])
    return trainer.compute_loss(trainer.model, inputs)


def episodes_of(
    loaded: LoadedModel, trajectories: Sequence[Trajectory], samples: Sequence[TrainingSample]
) -> list[list[reference.Episode]]:
    """The same for the oracle: pixels by the image processor of transformers."""
    rule = loaded.renderer.rule
    processor = Qwen2VLImageProcessorPil(
        patch_size=rule.patch, merge_size=rule.merge, temporal_patch_size=2,
        image_mean=list(rule.mean), image_std=list(rule.std), do_resize=False,
    )  # fmt: skip
    made = []
    for trajectory, sample in zip(trajectories, samples, strict=True):
        shown = [PILImage.fromarray(np.array(i.pixels())) for i in trajectory.images]
        pixels = processor(images=shown, return_tensors="pt") if shown else {}
        score = trajectory.score
        made.append(
            reference.Episode(
                ids=sample.rendered.ids,
                trained=sample.trained_T,
                pixel_values=pixels.get("pixel_values"),
                image_grid_thw=pixels.get("image_grid_thw"),
                reward=score.value if score else None,
            )
        )
    return [made[at : at + GROUP] for at in range(0, len(made), GROUP)]


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load(NANO)


@pytest.fixture(scope="module")
def played(loaded: LoadedModel) -> list[Trajectory]:
    """Images in the middle, a text without an image, one aborted episode and one that timed out."""
    questions = [
        *tasks("read0", n=2, seed=31, split="dev"),
        *tasks("easy", n=1, seed=3, split="dev"),
    ]
    text = Task(id="text", prompt=("What digit is on the red object?",), answer="4", judge="exact")
    trajectories = play(loaded, [*questions, text])
    assert any(len(t.images) == 2 for t in trajectories)
    assert any(not t.images for t in trajectories)
    trajectories[1] = _unscored(trajectories[1], StopReason.ABORTED)
    trajectories[6] = _unscored(trajectories[6], StopReason.TIMEOUT)
    # The outcomes are spread by hand: a trained model would get most of them right.
    return [_scored(t, n) for n, t in enumerate(trajectories)]


def _unscored(trajectory: Trajectory, stop: StopReason) -> Trajectory:
    return trajectory.model_copy(update={"stop": stop, "score": None, "verdict": None})


def _scored(trajectory: Trajectory, number: int) -> Trajectory:
    if trajectory.score is None:
        return trajectory
    value = [0.8, 2.0, 0.0, -0.2, 2.0][number % 5]
    return trajectory.model_copy(
        update={"score": trajectory.score.model_copy(update={"value": value})}
    )


@pytest.mark.parametrize("passes", [1, 2])
def test_loss_and_gradient_are_those_of_a_plain_loop(
    loaded: LoadedModel, played: list[Trajectory], tmp_path: Path, passes: int
) -> None:
    """On the weights that sampled, and on others, where ratios are not 1 and some are clipped."""
    samples = samples_of(loaded, played)
    ours, plain = load(NANO), reference.load(NANO)
    if passes > 1:
        moved(ours.model)
        moved(plain)
    trainer = trainer_of(ours, samples, tmp_path, num_iterations=passes)
    loss = loss_of(trainer)
    loss.backward()

    episodes = episodes_of(loaded, played, samples)
    flat = [episode for group in episodes for episode in group]
    sampled = [torch.tensor(x.rendered.log_probs)[torch.tensor(x.trained_T)] for x in samples]
    wanted = reference.step(
        plain,
        episodes,
        suppressed=list(loaded.renderer.suppressed),
        old=dict(zip(map(id, flat), sampled, strict=True)) if passes > 1 else None,
    )
    assert loss.item() == pytest.approx(wanted, abs=1e-6)
    if passes > 1:
        assert abs(wanted) > 1e-3
        assert trainer._metrics["train"]["clip_ratio/region_mean"][0] > 0.005
    theirs = dict(plain.named_parameters())
    compared = 0
    for name, parameter in ours.model.named_parameters():
        if theirs[name].grad is None:
            assert parameter.grad is None or not parameter.grad.any(), name
            continue
        torch.testing.assert_close(parameter.grad, theirs[name].grad, atol=1e-6, rtol=1e-4)
        compared += bool(theirs[name].grad.any())
    assert compared > 50


def moved(model: torch.nn.Module) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05 * parameter.std())


def test_training_sees_the_log_probs_that_were_sampled(
    loaded: LoadedModel, played: list[Trajectory], tmp_path: Path
) -> None:
    samples = samples_of(loaded, played)
    trainer = trainer_of(load(NANO), samples, tmp_path)
    loss_of(trainer)
    assert trainer._metrics["train"]["sampling_gap"][0] < 1e-4
    plain = reference.load(NANO)
    for episode, sample in zip(
        (e for group in episodes_of(loaded, played, samples) for e in group), samples, strict=True
    ):
        with torch.no_grad():
            known = reference.log_probs(plain, episode, list(loaded.renderer.suppressed), 1.0)
        sampled = torch.tensor(sample.rendered.sampled[1:])
        ours = torch.tensor(sample.rendered.log_probs[1:])[sampled]
        torch.testing.assert_close(ours, known[sampled], atol=1e-4, rtol=0)


def test_what_is_not_trained_on_has_no_gradient_at_all(
    loaded: LoadedModel, played: list[Trajectory], tmp_path: Path
) -> None:
    """Observations, the prompt, aborted and timed-out episodes; everything else has some."""
    samples = samples_of(loaded, played)
    trainer = trainer_of(load(NANO), samples, tmp_path, shuffle_dataset=False)
    loss = loss_of(trainer)
    trainer._scores.retain_grad()
    loss.backward()
    order = [next(n for n, x in enumerate(samples) if x.rendered is r) for r in trainer._rendered]
    for row, number in enumerate(order):
        sample, at = samples[number], samples[number].rendered.prompt_len
        gradient = trainer._scores.grad[row]
        trained = torch.zeros(len(gradient), dtype=torch.bool)
        trained[: len(sample.trained_T) - at] = torch.tensor(sample.trained_T[at:])
        assert not gradient[~trained].any()
        assert bool(gradient[trained].all()) == (sample.advantages_T[0] != 0 or not trained.any())
        if number in (1, 6):
            assert not gradient.any()


def test_a_stray_image_token_is_an_error(loaded: LoadedModel, played: list[Trajectory]) -> None:
    """TRL drops the images of the whole batch without a word where the counts differ."""
    trajectory = played[0]
    turn = trajectory.turns[0]
    ids = (loaded.renderer.image_token, *(turn.completion.token_ids or ()))
    stray = turn.model_copy(
        update={"completion": turn.completion.model_copy(update={"token_ids": ids})}
    )
    forged = trajectory.model_copy(update={"turns": (stray, *trajectory.turns[1:])})
    with pytest.raises(RenderError, match="image tokens without an image"):
        loaded.renderer.render(forged, generation=False)
    assert loaded.renderer.image_token in loaded.renderer.suppressed


def test_an_image_that_a_group_shares_is_encoded_once(
    loaded: LoadedModel, played: list[Trajectory], tmp_path: Path
) -> None:
    samples = samples_of(loaded, played)
    model = load(NANO)
    trainer = trainer_of(model, samples, tmp_path)
    sizes: list[int] = []
    model.model.model.visual.register_forward_pre_hook(
        lambda module, arguments, named: sizes.append(len(named["grid_thw"])), with_kwargs=True
    )
    loss_of(trainer)
    distinct = {image for sample in samples for image in sample.rendered.images}
    assert sizes == [len(distinct)]
    assert len(distinct) < sum(len(sample.rendered.images) for sample in samples)
