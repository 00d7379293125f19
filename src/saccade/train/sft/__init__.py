"""Supervised fine-tuning on trajectories: TRL's SFTTrainer, fed with what the renderer returns.

    # saccade sft recipes/nano_sft.toml
    model = "nano-base"
    out = "runs/nano-sft"
    runs = ["runs/nano-demos"]
    steps = 80

There is no second chat template: ids, mask and pixels of an example are those of
`Renderer.render`, the same that a policy samples from. Loss is on what the assistant wrote, its end
of turn included; observations, with their images, are context. Episodes of a teacher are learned in
the learner's form: see `saccade.train.sft.demonstrations`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from pydantic import JsonValue
from transformers import HfArgumentParser, PrinterCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from saccade.errors import ConfigError
from saccade.files import MAX_KEPT_BYTES, read_whole, write_whole
from saccade.models.batch import collate
from saccade.models.load import LoadedModel, load, without_bars
from saccade.render.qwen_vl import Rendered
from saccade.runs.claim import Claim
from saccade.runs.finished import finish, finished
from saccade.runs.folder import RunReader, finished_in
from saccade.runs.manifest import manifest_of
from saccade.train.checkpoints import (
    BEGUN,
    MODEL,
    Journal,
    ResumesWithItsWeights,
    Step,
    export,
    last_checkpoint,
    read_metrics,
    recomputing,
)
from saccade.train.recipe import SFTRecipe
from saccade.train.sft.demonstrations import NOT_WRITTEN, demonstration
from saccade.types import StopReason, Task, Trajectory

IGNORED = -100
EXAMPLES = "examples.json"
"""What a training was made on, and what was left out, in its folder."""


@dataclass(frozen=True)
class Examples:
    """What is trained on, and what was left out and why."""

    trajectories: tuple[Trajectory, ...]
    left_out: dict[str, int]
    fingerprints: tuple[str, ...]
    """Fingerprints of the environments that they were made in."""


def sft(
    recipe: SFTRecipe,
    *,
    on_step: Callable[[Step], None] = lambda step: None,
    on_resume: Callable[[Path], None] = lambda checkpoint: None,
) -> Path:
    """Fine-tune a model on demonstrations; a run that was interrupted goes on.

    A run that is finished is left as it is; `finished.json` holds what came of it.

    Args:
        recipe: What to train, and on what.
        on_step: Called after every optimiser step.
        on_resume: Called with the checkpoint that the training goes on from, if there is one.

    Returns:
        The folder of the new checkpoint, which loads as the base did.

    Raises:
        ConfigError: no demonstration is left, or `out` holds a run of another recipe.
        StoreLocked: another process trains in `out`.
        RenderError: a trajectory does not fit the model.
    """
    out, config = Path(recipe.out), recipe.model_dump(mode="json")
    total = sum(map(finished_in, recipe.runs))
    if finished("sft", config, out, total=total) is not None:
        return out / MODEL
    with Claim(out, manifest_of("sft", recipe), begun=BEGUN):
        counts = _train(recipe, out, on_step, on_resume)
        losses = [row["loss"] for row in read_metrics(out)]
        counts |= {"model": str(out / MODEL), "losses": losses}
        finish(out, "sft", config, counts, needs=[MODEL], total=total)
    return out / MODEL


def _train(
    recipe: SFTRecipe,
    out: Path,
    on_step: Callable[[Step], None],
    on_resume: Callable[[Path], None],
) -> dict[str, JsonValue]:
    """Train to the last step and export; return what was trained on and what was left out."""
    loaded = load(recipe.model)
    examples = read_examples(recipe, loaded)
    counts: dict[str, JsonValue] = {
        "trajectories": len(examples.trajectories),
        "left_out": dict(examples.left_out),
        "fingerprints": list(examples.fingerprints),
    }
    steps = recipe.total_steps(len(examples.trajectories))
    checkpoint = last_checkpoint(out, steps=steps)
    _keep_counts(out / EXAMPLES, counts, resumed=checkpoint is not None)
    loaded.model.model.visual.requires_grad_(not recipe.freeze_vision)
    trainer = _Trainer(
        model=loaded.model,
        args=training_arguments(recipe, out, steps=steps),
        train_dataset=Dataset.from_dict({"index": range(len(examples.trajectories))}),
        processing_class=loaded.renderer.tokenizer,
        data_collator=_Collator(loaded, examples.trajectories),
        callbacks=[Journal(out, on_step)],
    )
    trainer.remove_callback(PrinterCallback)
    if checkpoint is not None:
        on_resume(checkpoint)
    with without_bars():
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    dtype = getattr(torch, recipe.save_dtype)
    export(loaded, out / MODEL, dtype=dtype, fingerprints=examples.fingerprints)
    return counts


def _keep_counts(file: Path, counts: dict[str, JsonValue], *, resumed: bool) -> None:
    """Keep what is trained on.

    Raises:
        ConfigError: a training that goes on was begun on other demonstrations.
    """
    if resumed and file.exists() and json.loads(read_whole(file, most=MAX_KEPT_BYTES)) != counts:
        raise ConfigError(
            f"{file}: the demonstrations have changed since this training began; choose another "
            "out to train on those of today"
        )
    write_whole(file, json.dumps(counts, indent=2).encode())


def read_examples(recipe: SFTRecipe, loaded: LoadedModel) -> Examples:
    """The demonstrations of a recipe.

    Raises:
        ConfigError: none is left.
    """
    kept: list[Trajectory] = []
    left_out: Counter[str] = Counter()
    fingerprints: set[str] = set()
    for folder in recipe.runs:
        for task, trajectory in RunReader(Path(folder)).entries():
            example = _example(recipe, loaded, task, trajectory)
            if isinstance(example, str):
                left_out[example] += 1
                continue
            kept.append(example)
            fingerprints.add(example.environment.fingerprint)
    if not kept:
        reasons = ", ".join(f"{n} {reason}" for reason, n in left_out.items()) or "no episodes"
        raise ConfigError(f"runs: nothing to train on in {', '.join(recipe.runs)} ({reasons})")
    return Examples(tuple(kept), dict(left_out), tuple(sorted(fingerprints)))


def labels(rendered: Sequence[Rendered], length: int) -> torch.Tensor:
    """(B, length) int64: the id where the assistant wrote it, `IGNORED` elsewhere."""
    rows = torch.full((len(rendered), length), IGNORED)
    for row, item in enumerate(rendered):
        ids = torch.tensor(item.ids)
        rows[row, : len(ids)] = ids.where(torch.tensor(item.sampled), torch.tensor(IGNORED))
    return rows


class _Trainer(ResumesWithItsWeights, SFTTrainer):
    """TRL's trainer, which resumes."""


class _Collator:
    """From rows that name examples to the inputs of the model."""

    def __init__(self, loaded: LoadedModel, trajectories: Sequence[Trajectory]) -> None:
        self._loaded, self._trajectories = loaded, trajectories

    def __call__(self, rows: Sequence[dict[str, int]]) -> dict[str, torch.Tensor]:
        render = self._loaded.renderer.render
        rendered = [render(self._trajectories[r["index"]], generation=False) for r in rows]
        batch = collate(self._loaded, rendered, side="right")
        inputs = {name: value.cpu() for name, value in batch.inputs().items()}
        return inputs | {"labels": labels(rendered, batch.input_ids.shape[1])}


def training_arguments(recipe: SFTRecipe, out: Path, *, steps: int) -> SFTConfig:
    """The options of TRL.

    Args:
        recipe: The run file.
        out: Its folder.
        steps: Number of optimiser steps.

    Raises:
        ConfigError: `trl` says what is said elsewhere, or what TRL does not take.
    """
    ours: dict[str, Any] = {
        "output_dir": str(out),
        "max_steps": steps,
        "per_device_train_batch_size": recipe.batch_size,
        "gradient_accumulation_steps": recipe.accumulate,
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": recipe.schedule,
        "warmup_steps": recipe.warmup_steps or ceil(recipe.warmup_ratio * steps),
        "save_steps": recipe.save_steps,
        "save_total_limit": 2,
        "seed": recipe.seed,
        "use_cpu": recipe.device == "cpu",
        "logging_steps": 1,
        "disable_tqdm": True,
        "max_length": None,
        **recomputing(SFTConfig, recipe.gradient_checkpointing),
        "remove_unused_columns": False,
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "dataloader_pin_memory": False,
        "average_tokens_across_devices": True,
    }
    if twice := sorted(set(ours) & set(recipe.trl)):
        raise ConfigError(f"trl: {', '.join(twice)}: set by the other options of the run file")
    usual: dict[str, object] = {"report_to": [], "bf16": False}
    try:
        parsed = HfArgumentParser(SFTConfig).parse_dict({**usual, **ours, **recipe.trl})
    except ValueError as error:
        raise ConfigError(f"trl: {error}") from error
    return cast(SFTConfig, parsed[0])


def _example(
    recipe: SFTRecipe, loaded: LoadedModel, task: Task, trajectory: Trajectory
) -> Trajectory | str:
    """The trajectory as it is trained on, or why it is not."""
    if trajectory.stop is not StopReason.ANSWER:
        return "without an answer"
    right = trajectory.verdict is not None and trajectory.verdict.correct
    if recipe.keep == "right" and not right:
        return "not known to be right"
    example = demonstration(trajectory, loaded.renderer)
    if example is None:
        return NOT_WRITTEN
    rendered = loaded.renderer.render(example, generation=False)
    if len(rendered.ids) > recipe.max_tokens:
        return "too long"
    pixels = max((image.size.area for image in rendered.images), default=0)
    most = recipe.max_image_tokens
    if most is not None and pixels > most * loaded.renderer.rule.factor**2:
        return "with too large an image"
    return example
