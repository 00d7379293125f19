"""TRL's GRPOTrainer with our rollout, our reward and our forward pass.

What comes from TRL: the loss and its variants, optimiser, accumulation, LoRA, checkpoints, loggers,
DeepSpeed and FSDP through accelerate. What is ours: a step's episodes are `rollout`s in the
ordinary environment, their tokens are those that `Renderer.render` returns (nothing is tokenised
again), their advantages come from `advantages`, and the log-probabilities of the update are
computed by the same function over the same distribution that was sampled from.

Pinned to trl 1.16: it overrides `_generate_and_score_completions`,
`_get_per_token_logps_and_entropies` and `_compute_loss`. tests/train/test_grpo.py compares loss and
gradient with a plain loop.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol, TypedDict

import torch
from datasets import Dataset
from peft import PeftConfig, PeftModel
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, TrainerCallback
from trl.models.utils import unwrap_model_for_generation
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from saccade.errors import ServiceError
from saccade.models.batch import Batch, collate, hidden_states
from saccade.models.generate import TurnRequest, write_turns
from saccade.models.load import LoadedModel
from saccade.models.scores import TokenScores, score_tokens
from saccade.render.qwen_vl import Rendered
from saccade.train.checkpoints import ResumesWithItsWeights
from saccade.train.generator import ModelGenerator
from saccade.train.sample import TrainingBatch
from saccade.types import Completion

ENGINE_GAP = 0.1
"""Mean difference per token, in nats, up to which the log-probabilities of an engine are those of
the trained model. Measured with vLLM 0.32 and an embedded model (`make test-servers`): 0.002 with
the engine in bfloat16 and the training in float32. An engine on transformers in float32: below
1e-5; one that samples at twice the temperature 0.9, one that repeats image tokens once more 7."""


class BatchSource(Protocol):
    """Where training samples come from."""

    def training_batch(self, number: int) -> TrainingBatch:
        """This process's part of the batch of that number: as many samples every time."""
        ...


class SampledTokens(NamedTuple):
    """Tokens of a batch that a model shall score."""

    batch: Batch
    rows: torch.Tensor
    """(N,) int64."""
    columns: torch.Tensor
    """(N,) int64, at least 1."""


class TRLBatch(TypedDict, total=False):
    """Samples as TRL's loss takes them: prompts padded on the left, what follows on the right."""

    prompt_ids: torch.Tensor
    prompt_mask: torch.Tensor
    completion_ids: torch.Tensor
    completion_mask: torch.Tensor
    tool_mask: torch.Tensor
    """(B, C) int64: 1 on what is trained on."""
    advantages: torch.Tensor
    """(B, C)."""
    num_items_in_batch: torch.Tensor
    """Tokens that are trained on, in all processes."""
    sampling_per_token_logps: torch.Tensor
    old_per_token_logps: torch.Tensor
    ref_per_token_logps: torch.Tensor
    rendered: Sequence[Rendered]


class GRPO(ResumesWithItsWeights, GRPOTrainer):
    """Trains on the batches of a source."""

    source: BatchSource
    """Set by `train_on`."""

    def __init__(
        self,
        loaded: LoadedModel,
        args: GRPOConfig,
        *,
        callbacks: list[TrainerCallback] | None = None,
        peft_config: PeftConfig | None = None,
        reference: PreTrainedModel | None = None,
    ) -> None:
        """Make a trainer.

        Args:
            loaded: The model and its renderer.
            args: Options of TRL.
            callbacks: Callbacks of transformers.
            peft_config: Options of LoRA.
            reference: The reference model, to log the divergence from it; with LoRA the model
                without its adapters is taken, with a KL term in the loss the copy of TRL.
        """
        self._loaded, self._reference = loaded, reference
        self._rendered: Sequence[Rendered] = ()
        self._scores = torch.zeros(0)
        self._agreed = False
        super().__init__(
            model=loaded.model,
            processing_class=loaded.renderer.tokenizer,
            reward_funcs=_scored_by_the_environment,
            args=args,
            train_dataset=Dataset.from_dict({"prompt": [""] * (args.generation_batch_size or 1)}),
            callbacks=callbacks,
            peft_config=peft_config,
        )
        for model in (self._bare_model(), self.ref_model, reference):
            if model is not None:
                add_token_scores(model, loaded.renderer.suppressed, self.temperature)

    def train_on(self, source: BatchSource, *, checkpoint: Path | None) -> None:
        """Train to the last step, from a checkpoint if there is one."""
        self.source = source
        self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)

    def log_metric(self, name: str, value: float) -> None:
        """Add a number to the log of the step."""
        self._metrics["train"][name].append(value)

    def _generate_and_score_completions(self, inputs: object) -> TRLBatch:  # type: ignore[override]
        """The tensors of a training batch, in TRL's layout: padded prompts, then the rest.

        `inputs`, the rows of the data set, say nothing: the source decides what is sampled.
        """
        samples, metrics = self.source.training_batch(self.state.global_step // self._updates)
        for name, value in metrics.items():
            self.log_metric(name, value)
        items = [sample.rendered for sample in samples]
        starts = [item.prompt_len for item in items]
        prompts = [torch.tensor(item.ids[:at]) for item, at in zip(items, starts, strict=True)]
        rests = [torch.tensor(item.ids[at:]) for item, at in zip(items, starts, strict=True)]
        trained = [torch.tensor(x.trained_T[x.rendered.prompt_len :]).long() for x in samples]
        sampled = [torch.tensor(item.log_probs[item.prompt_len :]).float() for item in items]
        pad = self._loaded.renderer.pad
        mask = self._padded(trained, 0)
        old_log_probs = self._padded(sampled, 0.0).nan_to_num(0.0)
        tokens = self.accelerator.gather(mask.sum()).sum()
        batch: TRLBatch = {
            "prompt_ids": self._padded(prompts, pad, side="left"),
            "prompt_mask": self._padded([x.new_ones(x.shape) for x in prompts], 0, side="left"),
            "completion_ids": self._padded(rests, pad),
            "completion_mask": self._padded([x.new_ones(x.shape) for x in rests], 0),
            "tool_mask": mask,
            "advantages": self._padded(
                [torch.tensor(x.advantages_T[x.rendered.prompt_len :]) for x in samples], 0.0
            ),
            "num_items_in_batch": tokens,
            "sampling_per_token_logps": old_log_probs,
            "rendered": items,
        }
        if self._updates > 1 or self.use_vllm:
            batch["old_per_token_logps"] = old_log_probs
        reference_log_probs = self._reference_log_probs(items, mask.shape[1])
        if reference_log_probs is not None:
            batch["ref_per_token_logps"] = reference_log_probs
        if reference_log_probs is not None and not self.beta:  # with a weight TRL logs its own
            apart = ((old_log_probs - reference_log_probs) * mask).sum()
            total = self.accelerator.gather(apart).sum()
            self.log_metric("kl", (total / tokens.clamp(min=1)).item())
        return batch

    @property
    def _updates(self) -> int:
        """Optimiser steps for each batch."""
        batches: int = self.args.steps_per_generation // self.args.gradient_accumulation_steps
        return batches * self.num_iterations

    def _get_per_token_logps_and_entropies(
        self,
        model: PreTrainedModel,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **_: object,
    ) -> tuple[torch.Tensor, torch.Tensor, None]:
        """(B, logits_to_keep) log-probabilities and entropies of sampled tokens, 0 elsewhere.

        Of the episodes that `_compute_loss` is about, from what was rendered of them: an image that
        several of them show is held and encoded once.
        """
        self._scores, entropies = self._score(model, self._rendered, logits_to_keep)
        return self._scores, entropies, None

    def _compute_loss(self, model: PreTrainedModel, inputs: TRLBatch) -> torch.Tensor:
        """TRL's loss; measures how far the model is from what was sampled (0, up to rounding)."""
        self._rendered = inputs["rendered"]
        loss: torch.Tensor = super()._compute_loss(model, inputs)  # type: ignore[no-untyped-call]
        if self.state.global_step % self._updates == 0:  # later ones have moved on from the sampler
            self._measure_gap(inputs)
        return loss

    def _measure_gap(self, inputs: TRLBatch) -> None:
        """Log the gap between the sampler and the trained model, and stop if the first is too wide.

        Raises:
            ServiceError: an engine does not sample from the model that is trained.
        """
        mask = inputs["tool_mask"]
        gap = ((self._scores.detach() - inputs["sampling_per_token_logps"]) * mask).abs()
        total, tokens = self.accelerator.gather(torch.stack([gap.sum(), mask.sum()])).view(-1, 2).T
        mean = (total.sum() / tokens.sum().clamp(min=1)).item()
        self.log_metric("sampling_gap", gap.max().item())
        self.log_metric("sampling_gap_mean", mean)
        if not self.use_vllm or self._agreed:
            return
        if not mean <= ENGINE_GAP:  # not a number is too wide as well
            raise ServiceError(
                "vLLM does not sample from the model that is trained: the log-probabilities of its "
                f"tokens differ from the model's own by {mean:.3g} on average, where rounding "
                f"makes less than {ENGINE_GAP}; nothing was learned. Have both the same weights "
                "(were they sent?), the same temperature, images of the same size and numbers of "
                "enough precision? docs/training.md says which versions were tried"
            )
        self._agreed = bool(tokens.sum() > 0)

    def _score(
        self, model: PreTrainedModel, items: Sequence[Rendered], width: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        batch = collate(self._loaded, items, side="right")
        places = [
            (row, column)
            for row, item in enumerate(items)
            for column in range(max(item.prompt_len, 1), len(item.ids))
            if item.sampled[column]
        ]
        rows, columns = torch.tensor(places, dtype=torch.long).view(-1, 2).to(batch.grids.device).T
        scores: TokenScores = model(sampled=SampledTokens(batch, rows, columns))
        starts = torch.tensor([item.prompt_len for item in items], device=rows.device)
        at = (rows, columns - starts[rows])
        empty = scores.log_probs.new_zeros(len(items), width)
        return empty.index_put(at, scores.log_probs), empty.index_put(at, scores.entropy)

    def _reference_log_probs(self, items: Sequence[Rendered], width: int) -> torch.Tensor | None:
        """(B, width) log-probabilities that the reference model gives, if there is one."""
        reference = self.ref_model or self._reference
        adapted = isinstance(self._bare_model(adapters=True), PeftModel)
        if reference is None and not adapted:
            return None
        size = self.args.per_device_train_batch_size
        without = self._bare_model(adapters=True).disable_adapter() if adapted else nullcontext()
        with torch.no_grad(), without:
            pieces = [
                self._score(reference or self.model, items[at : at + size], width)[0]
                for at in range(0, len(items), size)
            ]
        return torch.cat(pieces)

    def _bare_model(self, *, adapters: bool = False) -> PreTrainedModel | PeftModel:
        """The model without the wrappers of accelerate; with LoRA's own only if asked for."""
        model = self.accelerator.unwrap_model(self.model)
        return model.get_base_model() if isinstance(model, PeftModel) and not adapters else model

    def _padded(
        self, rows: list[torch.Tensor], value: float, *, side: str = "right"
    ) -> torch.Tensor:
        padded = pad_sequence(rows, batch_first=True, padding_value=value, padding_side=side)
        return padded.to(self.accelerator.device)


class TransformersGenerator(ModelGenerator):
    """Writes turns with the model that is trained, through transformers."""

    def __init__(
        self, trainer: GRPO, loaded: LoadedModel, *, batch_size: int | None = None
    ) -> None:
        """Prepare.

        Args:
            trainer: The trainer of the model.
            loaded: The model and its renderer.
            batch_size: Turns that are written at one time; None writes all of a call.
        """
        super().__init__(loaded)
        self._trainer, self._batch_size = trainer, batch_size

    def generate(self, requests: Sequence[TurnRequest]) -> list[Completion]:
        """One generation call. Sharded weights are gathered at its start, by all processes."""
        trainer, size = self._trainer, self._batch_size or max(len(requests), 1)
        with unwrap_model_for_generation(trainer.model_wrapped, trainer.accelerator) as model:
            model.eval()
            try:
                whole = replace(self._loaded, model=model)
                parts = (requests[at : at + size] for at in range(0, len(requests), size))
                return [completion for part in parts for completion in write_turns(whole, part)]
            finally:
                model.train()


def add_token_scores(model: PreTrainedModel, suppressed: Sequence[int], temperature: float) -> None:
    """Let `model(sampled=...)` return `TokenScores`.

    It has to be a call of the model itself: that is where DistributedDataParallel and FSDP listen.
    Without `sampled` the model does what it did.
    """
    original = model.forward

    @functools.wraps(type(model).forward)
    def forward(
        self: PreTrainedModel, *args: object, sampled: SampledTokens | None = None, **kwargs: object
    ) -> object:
        if sampled is None:
            return original(*args, **kwargs)
        batch, rows, columns = sampled
        return score_tokens(
            self.lm_head,
            hidden_states(self, batch)[rows, columns - 1],
            batch.input_ids[rows, columns],
            suppressed=suppressed,
            temperature=temperature,
        )

    model.forward = types.MethodType(forward, model)


def _scored_by_the_environment(**_: object) -> list[None]:
    """Stands where TRL wants a reward function; a sample has its advantages already."""
    raise AssertionError("rewards come with the episodes")
