"""What both trainers leave on disk: checkpoints, the journal of metrics, and the result.

A training has begun when it has made a step, or has kept an episode: until then it holds nothing
that could be lost.

A step belongs to the run when its checkpoint is written. On a resume, later lines of the journal
are cut from it and kept in `superseded/`, so that no step is in it twice.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from peft import PeftModel
from pydantic import JsonValue
from transformers import (
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer import TRAINER_STATE_NAME

from saccade.errors import ConfigError
from saccade.files import MAX_KEPT_BYTES, read_lines, read_whole, write_whole
from saccade.models.load import LoadedModel, save_weights, write_stamp
from saccade.render.qwen_vl import CHAT_TEMPLATE, chat_template
from saccade.runs.card import CARD, model_card
from saccade.runs.folder import JOURNALS
from saccade.runs.manifest import RUN, read_manifest

PROCESSOR_FILES = (
    "tokenizer.json", "tokenizer_config.json", "preprocessor_config.json", "processor_config.json",
    "video_preprocessor_config.json", "chat_template.jinja", "chat_template.json", "vocab.json",
    "merges.txt", "added_tokens.json", "special_tokens_map.json", "generation_config.json",
)  # fmt: skip
"""Copied from the base: what an image-only processor saves would not load beside torchvision."""

RECOMPUTING = ("activation_checkpointing", "gradient_checkpointing")
"""An option of transformers 5.23, and its older name, which TRL sets to True of its own accord."""

METRICS = "metrics.jsonl"
SUPERSEDED = "superseded"
MODEL = "model"
ROLLOUTS = "rollouts"
"""Run folders of the episodes of chosen steps."""
BEGUN = (METRICS, "checkpoint-*", *(f"{ROLLOUTS}/*/{journal}" for journal in JOURNALS))
"""What shows that a training holds something: steps, or episodes; see `saccade.runs.claim`."""


@dataclass(frozen=True)
class Step:
    """An optimiser step of a training under way."""

    step: int
    last: int
    metrics: dict[str, float]


class ResumesWithItsWeights(Trainer):
    """A Trainer that goes on from the weights of the checkpoint, not beyond the last step.

    transformers 5.23 writes the weights of the Qwen-VL classes under other names than they have in
    the model, and its Trainer reads them back by name: all are "missing", a warning is logged, and
    the training goes on from the weights of the base. It also looks for the end of a training after
    a step: from a checkpoint of the last one it would make one more.
    """

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: PreTrainedModel | None = None
    ) -> None:
        target = model or self.model
        if isinstance(target, PeftModel):  # adapters keep their names
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        saved = type(target).from_pretrained(
            resume_from_checkpoint, dtype=target.dtype, use_safetensors=True
        )
        target.load_state_dict(saved.state_dict())

    def _run_epoch(self, **epoch: object) -> None:
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
            return
        super()._run_epoch(**epoch)

    def create_model_card(self, *_: object, **__: object) -> None:
        """TRL's knows neither base nor data of a run; `export` writes the card of the result."""


def recomputing(arguments: type[TrainingArguments], on: bool) -> dict[str, bool]:
    """Options for computing activations again, under every name that this version has for it.

    TRL 1.16 takes transformers of either name; vLLM 0.32 wants one below 5.20, the older.
    """
    return {name: on for name in RECOMPUTING if name in arguments.__dataclass_fields__}


class Journal(TrainerCallback):
    """Keeps the metrics of every logged step, and calls back."""

    def __init__(self, out: Path, on_step: Callable[[Step], None]) -> None:
        self._out, self._on_step = out, on_step

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: object,
    ) -> None:
        """Cut what was written after the checkpoint that is resumed from."""
        if not state.is_world_process_zero:
            return
        path = self._out / METRICS
        whole = [line for line in _lines(path) if line.endswith(b"\n")]
        kept = [line for line in whole if json.loads(line)["step"] <= state.global_step]
        if later := whole[len(kept) :]:
            (self._out / SUPERSEDED).mkdir(exist_ok=True)
            with (self._out / SUPERSEDED / METRICS).open("ab") as file:
                file.writelines(later)
        write_whole(path, b"".join(kept))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        if logs is None or "loss" not in logs or not state.is_world_process_zero:
            return
        with (self._out / METRICS).open("a") as file:
            file.write(json.dumps({"step": state.global_step, **logs}) + "\n")
        self._on_step(Step(state.global_step, state.max_steps, logs))


def read_metrics(out: Path) -> list[dict[str, JsonValue]]:
    """The metrics of every step of a training, each with its number as `step`."""
    return [json.loads(line) for line in _lines(out / METRICS)]


def _lines(metrics: Path) -> list[bytes]:
    """The lines of a file that a training may not have begun yet, with their ends."""
    if not metrics.exists():
        return []
    return [line for _, line in read_lines(metrics, most=MAX_KEPT_BYTES)]


def logged_until(checkpoint: Path | None) -> list[dict[str, float]]:
    """The metrics of the steps that a checkpoint holds, as they were logged; each has its `step`.

    Empty without a checkpoint. They are a part of it: what is computed of them goes on as it was.
    """
    if checkpoint is None:
        return []
    state = json.loads(read_whole(checkpoint / TRAINER_STATE_NAME, most=MAX_KEPT_BYTES))
    rows: list[dict[str, float]] = [row for row in state["log_history"] if "loss" in row]
    return rows


def last_checkpoint(out: Path, *, steps: int) -> Path | None:
    """The newest that is complete: the Trainer writes its state last.

    Raises:
        ConfigError: it is of more steps than are asked for.
    """
    found = {
        int(path.parent.name.removeprefix("checkpoint-")): path.parent
        for path in out.glob(f"checkpoint-*[0-9]/{TRAINER_STATE_NAME}")
        if re.fullmatch(r"checkpoint-\d+", path.parent.name) and _whole(path)
    }
    reached = max(found, default=0)
    if reached > steps:
        raise ConfigError(
            f"out={out} holds checkpoint-{reached}, of more steps than the {steps} that are asked "
            f"for; ask for {reached} or more, or choose another out"
        )
    return found.get(reached)


def _whole(path: Path) -> bool:
    try:
        json.loads(read_whole(path, most=MAX_KEPT_BYTES))
    except ValueError:
        return False
    return True


def export(
    loaded: LoadedModel, out: Path, *, dtype: torch.dtype, fingerprints: Sequence[str]
) -> Path:
    """Write a checkpoint with the processor files of its base beside it, so that servers take it.

    A base without a chat template gets that of the renderer. The checkpoint appears whole or not at
    all, says which environments it was trained in, and has a model card if it lies in the folder of
    its run.
    """
    base = _folder_of(loaded.path)
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    save_weights(loaded.model, part, dtype=dtype)
    loaded.renderer.tokenizer.save_pretrained(str(part))
    for name in PROCESSOR_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, part / name)
    if not any(part.glob("chat_template.*")):
        (part / CHAT_TEMPLATE).write_text(chat_template(), encoding="utf-8")
    write_stamp(part, fingerprints)
    if (out.parent / RUN).is_file():
        card = model_card(out.parent, read_manifest(out.parent), tuple(fingerprints))
        (part / CARD).write_text(card, encoding="utf-8")
    shutil.rmtree(out, ignore_errors=True)
    part.rename(out)
    return out


def _folder_of(base: str) -> Path:
    """The folder of a base: itself, or where the processor files of a model of the hub are held."""
    if Path(base).is_dir():
        return Path(base)
    return Path(snapshot_download(base, allow_patterns=list(PROCESSOR_FILES)))
