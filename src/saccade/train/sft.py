"""Supervised fine-tuning on trajectories: TRL's SFTTrainer, fed with what the renderer returns.

    # saccade sft recipes/nano_sft.toml
    model = "nano-base"
    out = "runs/nano-sft"
    runs = ["runs/nano-demos"]
    steps = 80

There is no second chat template: ids, mask and pixels of an example are those of
`Renderer.render`, the same that a policy samples from. Loss is on what the assistant wrote, its end
of turn included; observations, with their images, are context.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from datasets import Dataset
from pydantic import Field
from transformers import PrinterCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from saccade.errors import ConfigError
from saccade.files import write_whole
from saccade.models.batch import collate
from saccade.models.load import LoadedModel, load, without_bars
from saccade.render.qwen_vl import Rendered
from saccade.runs.folder import RunReader
from saccade.runs.manifest import keep_manifest, manifest_of
from saccade.train.checkpoints import (
    Journal,
    ResumesWithItsWeights,
    Step,
    export,
    last_checkpoint,
)
from saccade.types import Record, StopReason, Task, Trajectory

IGNORED = -100


class SFTRecipe(Record):
    """The run file of `saccade sft`."""

    model: str
    """Folder of a checkpoint, or model id of the hub."""
    out: str
    """Folder of checkpoints, metrics and, in `model/`, the result."""
    runs: tuple[str, ...] = Field(min_length=1)
    """Run folders with the demonstrations."""
    keep: Literal["right", "answered"] = "right"
    """Which episodes are trained on: those whose answer was right, or all that ended with an
    answer."""
    max_tokens: int = Field(default=8192, ge=1)
    """Number of tokens that a trajectory may have; a longer one is left out and counted."""
    seed: int = 0
    """Seed of the order of the examples."""
    steps: int = Field(default=100, ge=1)
    """Number of optimiser steps."""
    batch_size: int = Field(default=8, ge=1)
    """Number of examples in one forward pass."""
    accumulate: int = Field(default=1, ge=1)
    """Number of batches whose gradients are added up for one step."""
    learning_rate: float = Field(default=1e-5, gt=0)
    """Learning rate of AdamW after the warm-up."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """How the learning rate goes on after the warm-up."""
    warmup_steps: int = Field(default=0, ge=0)
    """Number of steps over which the learning rate rises from 0."""
    freeze_vision: bool = True
    """Whether the vision tower keeps its weights."""
    save_steps: int = Field(default=100, ge=1)
    """Number of steps between two checkpoints."""
    save_dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Type of the weights in the result; training is in float32."""
    device: Literal["cpu", "auto"] = "auto"
    """Where the model is trained; "auto" takes an accelerator where there is one."""


@dataclass(frozen=True)
class Examples:
    """What is trained on, and what was left out and why."""

    trajectories: tuple[Trajectory, ...]
    left_out: dict[str, int]
    fingerprints: tuple[str, ...]
    """Fingerprints of the environments that they were made in."""


def sft(recipe: SFTRecipe, *, on_step: Callable[[Step], None] = lambda step: None) -> Path:
    """Fine-tune a model on demonstrations; a run that was interrupted goes on.

    Returns:
        The folder of the new checkpoint, which loads as the base did.

    Raises:
        ConfigError: no demonstration is left, or `out` holds a run of another recipe.
        RenderError: a trajectory does not fit the model.
    """
    out = Path(recipe.out)
    keep_manifest(out, manifest_of("sft", recipe))
    loaded = load(recipe.model)
    examples = read_examples(recipe, loaded)
    counts = {**vars(examples), "trajectories": len(examples.trajectories)}
    write_whole(out / "examples.json", json.dumps(counts, indent=2).encode())
    loaded.model.model.visual.requires_grad_(not recipe.freeze_vision)
    trainer = _Trainer(
        model=loaded.model,
        args=_arguments(recipe, out),
        train_dataset=Dataset.from_dict({"index": range(len(examples.trajectories))}),
        processing_class=loaded.renderer.tokenizer,
        data_collator=_Collator(loaded, examples.trajectories),
        callbacks=[Journal(out, on_step)],
    )
    trainer.remove_callback(PrinterCallback)
    checkpoint = last_checkpoint(out)
    with without_bars():
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return export(
        loaded,
        out / "model",
        dtype=getattr(torch, recipe.save_dtype),
        fingerprints=examples.fingerprints,
    )


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
            reason = _unfit(recipe, loaded, task, trajectory)
            if reason is not None:
                left_out[reason] += 1
                continue
            kept.append(trajectory)
            fingerprints.add(trajectory.environment.fingerprint)
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


def _arguments(recipe: SFTRecipe, out: Path) -> SFTConfig:
    return SFTConfig(
        output_dir=str(out),
        max_steps=recipe.steps,
        per_device_train_batch_size=recipe.batch_size,
        gradient_accumulation_steps=recipe.accumulate,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.schedule,
        warmup_steps=recipe.warmup_steps,
        save_steps=recipe.save_steps,
        save_total_limit=2,
        seed=recipe.seed,
        use_cpu=recipe.device == "cpu",
        logging_steps=1,
        report_to=[],
        disable_tqdm=True,
        bf16=False,
        max_length=None,
        activation_checkpointing=False,
        gradient_checkpointing=False,  # the old name of the same; the default of TRL is True
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        dataloader_pin_memory=False,
        average_tokens_across_devices=True,
    )


def _unfit(
    recipe: SFTRecipe, loaded: LoadedModel, task: Task, trajectory: Trajectory
) -> str | None:
    """Why a trajectory is not trained on."""
    if trajectory.stop is not StopReason.ANSWER:
        return "without an answer"
    right = trajectory.verdict is not None and trajectory.verdict.correct
    if recipe.keep == "right" and not right:
        return "not known to be right"
    if len(loaded.renderer.render(trajectory, generation=False).ids) > recipe.max_tokens:
        return "too long"
    return None
