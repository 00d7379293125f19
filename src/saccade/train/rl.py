"""`saccade rl`: tool use from outcome reward, on TRL's trainer.

    model = rl(recipe)      # the folder of the new checkpoint; run it again to resume

`saccade.train.step` is the algorithm, `saccade.train.grpo` its update. A run leaves in `out`:
`run.json`, `metrics.jsonl` (a line a step), `checkpoint-*`, `rollouts/` (run folders of chosen
steps, for `saccade view`), `superseded/` (what came after the checkpoint that a resumed run went on
from) and `model/`.
"""

from __future__ import annotations

import copy
import shutil
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from accelerate import PartialState
from peft import LoraConfig, PeftModel
from pydantic import JsonValue
from transformers import HfArgumentParser, PreTrainedModel, PrinterCallback
from trl.trainer.grpo_config import GRPOConfig

from saccade.errors import ConfigError
from saccade.models.load import LoadedModel, load, read_stamp, without_bars
from saccade.recipe import make_environment
from saccade.runs.claim import Claim
from saccade.runs.finished import finish, finished
from saccade.runs.manifest import manifest_of
from saccade.train.checkpoints import (
    BEGUN,
    MODEL,
    ROLLOUTS,
    SUPERSEDED,
    Journal,
    Step,
    export,
    last_checkpoint,
    logged_until,
    read_metrics,
    recomputing,
)
from saccade.train.collective import Processes
from saccade.train.generator import Generator
from saccade.train.grpo import GRPO, TransformersGenerator
from saccade.train.recipe import LoRA, RLRecipe, Training
from saccade.train.step import RLStep
from saccade.train.vllm import VLLMGenerator


def rl(
    recipe: RLRecipe,
    *,
    on_step: Callable[[Step], None] = lambda step: None,
    on_resume: Callable[[Path], None] = lambda checkpoint: None,
) -> Path:
    """Train a model by the outcome of its own episodes; a run that was interrupted goes on.

    Under `torchrun` or `accelerate launch` each process plays its share of the episodes. A run that
    is finished is left as it is; `finished.json` holds what came of it.

    Args:
        recipe: What to train.
        on_step: Called in the main process, after every optimiser step.
        on_resume: Called there with the checkpoint that the training goes on from, if there is one.

    Returns:
        The folder of the new checkpoint, which loads as the base did.

    Raises:
        ConfigError: a recipe that cannot work, or `out` holds a run of another one.
        StoreLocked: another process trains in `out`.
        ServiceError: a judge or a generation server is down.
    """
    out, config = Path(recipe.out), recipe.model_dump(mode="json")
    if finished("rl", config, out) is not None:
        return out / MODEL
    state = PartialState(cpu=recipe.train.device == "cpu")
    arguments = trainer_arguments(recipe, out)
    with _held(recipe, out) if state.is_main_process else nullcontext():
        state.wait_for_everyone()
        checkpoint = last_checkpoint(out, steps=recipe.train.steps)
        if state.is_main_process:
            _set_aside(out, checkpoint)
            if checkpoint is not None:
                on_resume(checkpoint)
        dropped = _train(recipe, arguments, checkpoint, Journal(out, on_step))
        if state.is_main_process:
            steps = read_metrics(out)
            ends: dict[str, JsonValue] = {"first": steps[0], "last": steps[-1]}
            ends["dropped"] = dict(dropped)
            finish(out, "rl", config, {"model": str(out / MODEL), **ends}, needs=[MODEL])
        state.wait_for_everyone()
    return out / MODEL


def _held(recipe: RLRecipe, out: Path) -> Claim:
    fingerprint = make_environment(recipe).fingerprint
    return Claim(out, manifest_of("rl", recipe, fingerprint=fingerprint), begun=BEGUN)


def _train(
    recipe: RLRecipe, arguments: GRPOConfig, checkpoint: Path | None, journal: Journal
) -> dict[str, int]:
    """Train to the last step, and export.

    Returns:
        The families that were dropped, each with the last step in which it was drawn.
    """
    options, state = recipe.train, PartialState()
    loaded = load(recipe.model, dtype=getattr(torch, options.dtype))
    loaded.model.model.visual.requires_grad_(not options.freeze_vision)
    with without_bars(), warnings.catch_warnings():
        # trl 1.16 reads an attribute that transformers 5.23 has given a new name.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing. is deprecated")
        trainer = GRPO(
            loaded,
            arguments,
            callbacks=[journal],
            peft_config=_lora(options.lora),
            reference=_reference(loaded, options, arguments.device),
        )
        trainer.remove_callback(PrinterCallback)
        collective = Processes()
        generator = _generator(trainer, loaded, options, collective)
        history = logged_until(checkpoint)
        with RLStep(recipe, loaded.renderer, generator, collective, history=history) as step:
            trainer.train_on(step, checkpoint=checkpoint)
    state.wait_for_everyone()
    if state.is_main_process:
        _export(trainer, loaded, Path(recipe.out) / MODEL, options, step.fingerprint)
    return step.dropped


def _reference(
    loaded: LoadedModel, options: Training, device: torch.device
) -> PreTrainedModel | None:
    """The copy of the model that the divergence is logged from, where nothing else stands for it.

    With LoRA it is the model without its adapters; with a KL term TRL keeps a copy of its own.
    """
    if not options.kl_logged or options.lora is not None or options.kl:
        return None
    return copy.deepcopy(loaded.model).requires_grad_(False).to(device)


def _generator(
    trainer: GRPO, loaded: LoadedModel, options: Training, collective: Processes
) -> Generator:
    if trainer.use_vllm:
        return VLLMGenerator(trainer, loaded, collective)
    return TransformersGenerator(trainer, loaded, batch_size=options.generation_batch)


def trainer_arguments(recipe: RLRecipe, out: Path) -> GRPOConfig:
    """The options of TRL.

    Raises:
        ConfigError: the step cannot be shared out, or `train.trl` says what is said elsewhere.
    """
    options, processes = recipe.train, PartialState().num_processes
    if options.prompts % processes:
        raise ConfigError(
            f"train.prompts: {options.prompts} prompts cannot be shared among {processes} "
            "processes; a group stays in one process, so it must be a multiple of them"
        )
    rows = options.prompts * options.group // processes // options.updates
    micro = options.micro_batch or rows
    if rows % micro:
        raise ConfigError(
            f"train.micro_batch: an update has {rows} episodes for each process, which cannot be "
            f"shared out in batches of {micro}"
        )
    ours = {
        "output_dir": str(out),
        "max_steps": options.steps,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": rows // micro,
        "steps_per_generation": rows // micro * options.updates,
        "num_generations": options.group,
        "temperature": recipe.sampling.temperature,
        "learning_rate": options.learning_rate,
        "lr_scheduler_type": "constant_with_warmup"
        if options.schedule == "constant"
        else options.schedule,
        "warmup_steps": options.warmup_steps,
        "weight_decay": options.weight_decay,
        "max_grad_norm": options.max_grad_norm,
        "epsilon": options.clip_range,
        "epsilon_high": options.clip_range_high,
        "beta": options.kl,
        "loss_type": options.loss,
        **recomputing(GRPOConfig, options.gradient_checkpointing),
        "ddp_find_unused_parameters": not options.freeze_vision,
        "save_steps": options.save_steps,
        "save_total_limit": 2,
        "seed": recipe.seed,
        "use_cpu": options.device == "cpu",
        "shuffle_dataset": False,
        "remove_unused_columns": False,
        "logging_steps": 1,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }
    if twice := sorted(set(ours) & set(options.trl)):
        raise ConfigError(f"train.trl: {', '.join(twice)}: set by the other options of `train`")
    usual: dict[str, object] = {"report_to": [], "bf16": False}
    if options.trl.get("use_vllm"):
        usual["vllm_importance_sampling_correction"] = False
        _check_vllm(options)
    try:
        parsed = HfArgumentParser(GRPOConfig).parse_dict({**usual, **ours, **options.trl})
    except ValueError as error:
        raise ConfigError(f"train.trl: {error}") from error
    return cast(GRPOConfig, parsed[0])


def _check_vllm(options: Training) -> None:
    if options.counterfactual or options.probe:
        raise ConfigError(
            "train.trl: use_vllm: counterfactual and probe force what a model writes, which vLLM "
            "cannot; leave one of them out"
        )
    if options.trl.get("vllm_importance_sampling_correction"):
        raise ConfigError(
            "train.trl: vllm_importance_sampling_correction: the ratio of the loss is against what "
            "vLLM sampled already; leave it out"
        )


def _lora(options: LoRA | None) -> LoraConfig | None:
    if options is None:
        return None
    names = "|".join(options.targets)
    return LoraConfig(
        r=options.rank,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        target_modules=rf".*language_model\..*\.({names})",
    )


def _export(
    trainer: GRPO, loaded: LoadedModel, out: Path, options: Training, fingerprint: str
) -> None:
    """Write the trained weights, adapters merged, and the environments of all its trainings."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    if isinstance(model, PeftModel):
        model = model.merge_and_unload()
    dtype = getattr(torch, options.save_dtype)
    before = read_stamp(loaded.path).fingerprints
    stamped = sorted({*before, fingerprint})
    export(replace(loaded, model=model), out, dtype=dtype, fingerprints=stamped)


def _set_aside(out: Path, checkpoint: Path | None) -> None:
    """Move the episodes of steps that no checkpoint holds out of the run."""
    kept = int(checkpoint.name.removeprefix("checkpoint-")) if checkpoint else 0
    for folder in sorted((out / ROLLOUTS).glob("step-*")):
        if int(folder.name.split("-")[1]) > kept:
            target = out / SUPERSEDED / folder.name
            number = 1
            while target.exists():
                number += 1
                target = target.with_name(f"{folder.name}.{number}")
            target.parent.mkdir(exist_ok=True)
            shutil.move(folder, target)
