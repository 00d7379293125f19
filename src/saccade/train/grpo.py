"""TRL's GRPOTrainer with our rollout, our reward and our forward pass.

What comes from TRL: the loss and its variants, optimiser, accumulation, LoRA, checkpoints, loggers,
DeepSpeed and FSDP through accelerate. What is ours: a step's episodes are `rollout`s in the
ordinary environment, their tokens are those that `Renderer.render` returns (nothing is tokenised
again), their advantages come from `groups`, and the log-probabilities of the update are computed by
the same function over the same distribution that was sampled from.

Pinned to trl 1.16: it overrides `_generate_and_score_completions`,
`_get_per_token_logps_and_entropies` and `_compute_loss`. tests/train/test_grpo.py compares loss and
gradient with a plain loop.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import NamedTuple, TypedDict

import torch
from datasets import Dataset
from peft import PeftConfig, PeftModel
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, TrainerCallback
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from saccade.models import Batch, LoadedModel, TokenScores, collate, hidden_states, score_tokens
from saccade.render.qwen_vl import Rendered
from saccade.train.checkpoints import ResumesWithItsWeights


class Lesson(NamedTuple):
    """What is learned from one episode."""

    rendered: Rendered
    learned: list[bool]
    """For each id whether it is learned from: a sampled one that no rule left out."""
    advantages: list[float]
    """Of each id; without effect where nothing is learned."""


class Written(NamedTuple):
    """Tokens of a batch that a model shall score."""

    batch: Batch
    rows: torch.Tensor
    """(N,) int64."""
    columns: torch.Tensor
    """(N,) int64, at least 1."""


class LessonBatch(TypedDict, total=False):
    """Lessons as TRL's loss takes them: prompts padded on the left, what follows on the right."""

    prompt_ids: torch.Tensor
    prompt_mask: torch.Tensor
    completion_ids: torch.Tensor
    completion_mask: torch.Tensor
    tool_mask: torch.Tensor
    """(B, C) int64: 1 on what is learned from."""
    advantages: torch.Tensor
    """(B, C)."""
    num_items_in_batch: torch.Tensor
    """Tokens that are learned from, in all processes."""
    sampling_per_token_logps: torch.Tensor
    old_per_token_logps: torch.Tensor
    ref_per_token_logps: torch.Tensor
    rendered: Sequence[Rendered]


Collect = Callable[[int], Sequence[Lesson]]
"""From the number of a batch to this process's lessons: as many for every batch."""


class GRPO(ResumesWithItsWeights, GRPOTrainer):
    """Learns from lessons."""

    def __init__(
        self,
        loaded: LoadedModel,
        collect: Collect,
        args: GRPOConfig,
        *,
        callbacks: list[TrainerCallback] | None = None,
        peft_config: PeftConfig | None = None,
        start: PreTrainedModel | None = None,
    ) -> None:
        """Make a trainer.

        Args:
            loaded: The model and its renderer.
            collect: Gives the lessons of each batch.
            args: Of TRL.
            callbacks: Of transformers.
            peft_config: LoRA.
            start: The model as it was before, to log the divergence from it; with LoRA the model
                without its adapters is taken, with a KL term in the loss the copy of TRL.
        """
        self._loaded, self._collect, self._start = loaded, collect, start
        self._rendered: Sequence[Rendered] = ()
        self._scores = torch.zeros(0)
        super().__init__(
            model=loaded.model,
            processing_class=loaded.renderer.tokenizer,
            reward_funcs=_scored_by_the_environment,
            args=args,
            train_dataset=Dataset.from_dict({"prompt": [""] * (args.generation_batch_size or 1)}),
            callbacks=callbacks,
            peft_config=peft_config,
        )
        for model in (self._bare_model(), self.ref_model, start):
            if model is not None:
                add_token_scores(model, loaded.renderer.suppressed, self.temperature)

    def log_metric(self, name: str, value: float) -> None:
        """Add a number to the log of the step."""
        self._metrics["train"][name].append(value)

    def create_model_card(self, *_: object, **__: object) -> None:
        """The run folder says itself what it is: recipe.json, metrics.jsonl."""

    def _generate_and_score_completions(self, inputs: object) -> LessonBatch:  # type: ignore[override]
        """The tensors of a batch of lessons, in TRL's layout: padded prompts, then the rest.

        `inputs`, the rows of the data set, say nothing: the step decides what is asked.
        """
        updates = self.args.steps_per_generation // self.args.gradient_accumulation_steps
        updates *= self.num_iterations
        lessons = self._collect(self.state.global_step // updates)
        items = [lesson.rendered for lesson in lessons]
        starts = [item.prompt_len for item in items]
        prompts = [torch.tensor(item.ids[:at]) for item, at in zip(items, starts, strict=True)]
        rests = [torch.tensor(item.ids[at:]) for item, at in zip(items, starts, strict=True)]
        learned = [torch.tensor(x.learned[x.rendered.prompt_len :]).long() for x in lessons]
        known = [torch.tensor(item.log_probs[item.prompt_len :]).float() for item in items]
        pad = self._loaded.renderer.pad
        mask = self._padded(learned, 0)
        old = self._padded(known, 0.0).nan_to_num(0.0)
        tokens = self.accelerator.gather(mask.sum()).sum()
        batch: LessonBatch = {
            "prompt_ids": self._padded(prompts, pad, side="left"),
            "prompt_mask": self._padded([x.new_ones(x.shape) for x in prompts], 0, side="left"),
            "completion_ids": self._padded(rests, pad),
            "completion_mask": self._padded([x.new_ones(x.shape) for x in rests], 0),
            "tool_mask": mask,
            "advantages": self._padded(
                [torch.tensor(x.advantages[x.rendered.prompt_len :]) for x in lessons], 0.0
            ),
            "num_items_in_batch": tokens,
            "sampling_per_token_logps": old,
            "rendered": items,
        }
        if updates > 1 or self.use_vllm:
            batch["old_per_token_logps"] = old
        start = self._start_log_probs(items, mask.shape[1])
        if start is not None:
            batch["ref_per_token_logps"] = start
            apart = self.accelerator.gather(((old - start) * mask).sum()).sum()
            self.log_metric("kl_to_start", (apart / tokens.clamp(min=1)).item())
        return batch

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

    def _compute_loss(self, model: PreTrainedModel, inputs: LessonBatch) -> torch.Tensor:
        """TRL's loss; logs how far the model is from what was sampled (0, up to rounding)."""
        self._rendered = inputs["rendered"]
        loss: torch.Tensor = super()._compute_loss(model, inputs)  # type: ignore[no-untyped-call]
        if "old_per_token_logps" not in inputs:
            gap = (self._scores.detach() - inputs["sampling_per_token_logps"]) * inputs["tool_mask"]
            self.log_metric("sampling_gap", gap.abs().max().item())
        return loss

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
        scores: TokenScores = model(written=Written(batch, rows, columns))
        starts = torch.tensor([item.prompt_len for item in items], device=rows.device)
        at = (rows, columns - starts[rows])
        empty = scores.log_probs.new_zeros(len(items), width)
        return empty.index_put(at, scores.log_probs), empty.index_put(at, scores.entropy)

    def _start_log_probs(self, items: Sequence[Rendered], width: int) -> torch.Tensor | None:
        """What the model thought of the sampled tokens before it was trained, if that is kept."""
        start = self.ref_model or self._start
        adapted = isinstance(self._bare_model(adapters=True), PeftModel)
        if start is None and not adapted:
            return None
        size = self.args.per_device_train_batch_size
        without = self._bare_model(adapters=True).disable_adapter() if adapted else nullcontext()
        with torch.no_grad(), without:
            pieces = [
                self._score(start or self.model, items[at : at + size], width)[0]
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


def add_token_scores(model: PreTrainedModel, suppressed: Sequence[int], temperature: float) -> None:
    """Let `model(written=...)` return `TokenScores`.

    It has to be a call of the model itself: that is where DistributedDataParallel and FSDP listen.
    Without `written` the model does what it did.
    """
    original = model.forward

    @functools.wraps(type(model).forward)
    def forward(
        self: PreTrainedModel, *args: object, written: Written | None = None, **kwargs: object
    ) -> object:
        if written is None:
            return original(*args, **kwargs)
        batch, rows, columns = written
        return score_tokens(
            self.lm_head,
            hidden_states(self, batch)[rows, columns - 1],
            batch.input_ids[rows, columns],
            suppressed=suppressed,
            temperature=temperature,
        )

    model.forward = types.MethodType(forward, model)


def _scored_by_the_environment(**_: object) -> list[None]:
    """Stands where TRL wants a reward function; a lesson has its advantage already."""
    raise AssertionError("rewards come with the episodes")
