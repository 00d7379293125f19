"""Runs of `saccade rl`: what they measure, keep and refuse."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from trainings import (
    NANO,
    metrics,
    recipe_of,
    state,
)
from transformers import AutoModelForImageTextToText

from saccade.errors import ConfigError, ServiceError
from saccade.models.batch import collate
from saccade.models.load import load, read_stamp, write_stamp
from saccade.nano.spec import environment
from saccade.policies.hf import HFOptions, HFPolicy
from saccade.recipe import make_environment
from saccade.runs.folder import RunReader
from saccade.tools.zoom import ZoomIn
from saccade.train import rl as module
from saccade.train.checkpoints import Step
from saccade.train.rl import rl
from saccade.train.sample import TrainingSample, masked
from saccade.types import Completion, Sampling, Score, ToolContext, ToolFunction, Trajectory
from saccade.world import tasks


def logits(model: torch.nn.Module) -> torch.Tensor:
    """On a question with its image."""
    loaded = load(NANO)
    begun = environment().begin(next(tasks("read0", n=1, seed=3, split="dev")))
    batch = collate(loaded, [loaded.renderer.render(begun, generation=True)], side="right")
    with torch.no_grad():
        return model.eval()(**batch.inputs()).logits


def test_a_run_trains_measures_and_keeps(tmp_path: Path) -> None:
    news: list[Step] = []
    start = Path(shutil.copytree(NANO, tmp_path / "start"))
    write_stamp(start, ["elsewhere", *read_stamp(NANO).fingerprints])
    settings = (f"model={start}", "train.steps=3", "train.keep_every=2")
    folder = rl(recipe_of(tmp_path / "run", *settings), on_step=news.append)
    assert [step.step for step in news] == [1, 2, 3]
    rows = metrics(tmp_path / "run")
    wanted = {
        "reward", "reward/accuracy", "reward/format_penalty", "reward/tool_bonus", "accuracy",
        "tool_calls", "tool_calls_ok", "tool_call_rate", "response_tokens", "mean_iou",
        "aborted", "timeout",
        "unscored", "stops/answer", "entropy", "kl", "sampling_gap", "loss", "grad_norm",
        "groups/sampled", "groups/trained", "groups/unscored", "groups/zero_variance",
        "accuracy_low", "accuracy_high", "scored", "tool_calls_std",
    }  # fmt: skip
    for row in rows:
        assert wanted <= row.keys()
        assert row["sampling_gap"] < 1e-4
        assert row["episodes"] == 8
    assert rows[0]["kl"] == pytest.approx(0, abs=1e-5)
    assert rows[2]["kl"] != rows[0]["kl"]
    kept = sorted((tmp_path / "run" / "rollouts").iterdir())
    assert [path.name for path in kept] == ["step-00001", "step-00003"]
    for path, row in zip(kept, (rows[0], rows[2]), strict=True):
        episodes = [entry.trajectory for entry in RunReader(path).entries()]
        values = [t.score.value for t in episodes if t.score]
        assert len(episodes) == 8
        assert row["reward"] == pytest.approx(sum(values) / len(values))
    trained_in = RunReader(kept[0]).manifest.fingerprint
    assert read_stamp(folder).fingerprints == tuple(sorted(("elsewhere", trained_in)))
    before, after = state(Path(NANO)), state(folder)
    for name in before:
        assert torch.equal(before[name].float(), after[name]) == ("visual" in name), name


def test_a_weighted_divergence_is_logged_once(tmp_path: Path) -> None:
    """By TRL, whose estimate of it is never negative."""
    rl(recipe_of(tmp_path / "run", "train.steps=2", "train.kl=0.1"))
    first, second = (row["kl"] for row in metrics(tmp_path / "run"))
    assert first == pytest.approx(0, abs=1e-5)
    assert second > 1e-4


@pytest.mark.parametrize("extra", [(), ("train.lora={rank = 4, alpha = 8}",)])
def test_a_saved_model_answers_as_it_did_before(
    tmp_path: Path, extra: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Full weights and merged LoRA, loaded as any other checkpoint."""
    lived: list[torch.Tensor] = []
    export = module._export

    def spy(trainer: module.GRPO, *arguments: object) -> None:
        lived.append(logits(trainer.accelerator.unwrap_model(trainer.model)))
        export(trainer, *arguments)

    monkeypatch.setattr(module, "_export", spy)
    folder = rl(recipe_of(tmp_path / "run", "train.steps=2", *extra))
    saved = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    torch.testing.assert_close(logits(saved), lived[0], atol=1e-4, rtol=0)
    assert (lived[0] - logits(load(NANO).model)).abs().max() > 1e-3
    for name in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"):
        assert (folder / name).read_bytes() == (Path(NANO) / name).read_bytes()
    assert load(folder).renderer.rule == load(NANO).renderer.rule


def test_a_stock_processor_and_model_write_what_ours_do(tmp_path: Path) -> None:
    beside = Path(sys.prefix) / "torchvision"
    if not (beside / "torchvision").is_dir():
        pytest.skip(f"no torchvision in {beside}: `make setup` installs it")
    folder = rl(recipe_of(tmp_path / "run", "train.steps=1", "train.lora={rank = 4, alpha = 8}"))
    begun = environment().begin(next(tasks("read", n=1, seed=3, split="dev")))
    begun.images[0].pixels().save(tmp_path / "view.png")
    policy = HFPolicy(HFOptions(path=str(folder)))
    rendered = policy.loaded.renderer.render(begun, generation=True)
    text = re.sub(r"(<\|image_pad\|>)+", r"\1", policy.loaded.renderer.decode(rendered.ids))
    child = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("stock_processor.py")), str(folder),
         str(tmp_path / "view.png")],
        input=text, text=True, capture_output=True, check=True,
        env={**os.environ, "PYTHONPATH": str(beside)},
    )  # fmt: skip
    name, prompt, ids = json.loads(child.stdout)
    assert name == "Qwen2_5_VLProcessor"
    assert prompt == rendered.ids
    ours = asyncio.run(policy.act(begun, Sampling(max_tokens=40)))
    assert ids == list(ours.token_ids or ())


def test_tensorboard_gets_what_the_run_logs(tmp_path: Path) -> None:
    rl(recipe_of(tmp_path, "train.steps=2", 'train.trl={report_to=["tensorboard"]}'))
    (events,) = tmp_path.rglob("events.out.tfevents.*")
    read = EventAccumulator(str(events.parent))
    read.Reload()
    for name in ("accuracy", "tool_calls", "reward/tool_bonus", "kl"):
        read_back = {event.step: event.value for event in read.Scalars(f"train/{name}")}
        assert read_back == pytest.approx({row["step"]: row[name] for row in metrics(tmp_path)})


class Down:
    """A tool whose server is not there."""

    spec = ZoomIn().spec

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    @asynccontextmanager
    async def open(self, context: ToolContext) -> AsyncIterator[ToolFunction]:
        raise ServiceError("the tool server is down")
        yield


def test_a_step_in_which_everything_was_aborted_ends_the_run(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path / "run", "train.steps=2")
    recipe = recipe.model_copy(update={"tools": {f"{__name__}:Down": {}}})
    with (
        pytest.warns(UserWarning, match="was trained in the environment"),
        pytest.raises(ServiceError, match=r"every episode of a step .*server is down"),
    ):
        rl(recipe)
    assert not (tmp_path / "run").exists(), "a training without a step claims no folder"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("train.micro_batch=3",), "cannot be shared out in batches of 3"),
        (("train.trl.max_steps=4",), "max_steps: set by the other options"),
        (("train.trl.no_such=4",), "no_such"),
        (("tasks.n=0",), "greater than or equal to 1"),
    ],
)
def test_bad_settings_are_explained(tmp_path: Path, settings: tuple[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        rl(recipe_of(tmp_path / "run", *settings))
    assert not (tmp_path / "run").exists()


def test_what_came_before_a_fatal_failure_is_never_held_against_the_episode(tmp_path: Path) -> None:
    """Boxes that are not square fail here; with one an episode is lost."""
    recipe = recipe_of(
        tmp_path, "tools.zoom_in.max_ratio=1", 'train.mask=["tool_failure"]', "train.failures=1"
    )
    renderer = load(NANO).renderer
    task = next(tasks("read", n=1, seed=3, split="dev"))
    call, answer = (
        '<tool_call>{"name": "image_zoom_in_tool", "arguments": {"bbox_2d": [1, 2, 9, 4]}}'
        "</tool_call>",
        "<answer>1</answer>",
    )
    env = make_environment(recipe)

    async def played(*texts: str) -> Trajectory:
        async with env.episode(task) as episode:
            for text in texts:
                await episode.step(Completion(text=text))
        return episode.trajectory.model_copy(update={"score": Score(value=0.0)})

    lost, fine = asyncio.run(played(call, answer)), asyncio.run(played(answer))
    assert not lost.results[0].ok
    samples = []
    for trajectory, advantage in ((lost, -1.0), (lost, 0.5), (fine, -1.0)):
        rendered = renderer.render(trajectory, generation=False)
        sample = TrainingSample(rendered, rendered.sampled, [advantage] * len(rendered.ids))
        options = {"masks": recipe.train.mask, "failures": recipe.train.failures}
        samples.append(masked(sample, trajectory, renderer, **options))
    assert [set(sample.advantages_T) for sample in samples] == [{0.0}, {0.5}, {-1.0}]
    after = len(
        renderer.render(lost.model_copy(update={"turns": lost.turns[:1]}), generation=False).ids
    )
    assert any(samples[1].trained_T[:after])
    assert not any(samples[1].trained_T[after:])
