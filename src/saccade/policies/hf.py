"""A local model through transformers: CPU and CUDA by the same code.

Turns that are asked for at the same time become one batch. While a batch is being generated in a
worker thread, tools and other policies go on, and new requests gather for the next one.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
from pydantic import Field
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

from saccade.errors import ContextOverflow
from saccade.models import LoadedModel, collate, load
from saccade.policies.sampler import Force, Sampler, Stopper
from saccade.render.qwen_vl import Rendered
from saccade.types import Completion, Record, Sampling, Trajectory


class HFOptions(Record):
    """The `policy` section of a run file, kind "hf"."""

    path: str
    """A folder with a checkpoint, or a model id of the hub."""
    device: str = "cpu"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    max_batch: int = Field(default=64, ge=1)


@dataclass
class _Request:
    """One turn that waits for its batch."""

    rendered: Rendered
    sampling: Sampling
    limit: int
    future: asyncio.Future[Completion] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class HFPolicy:
    """Writes turns with a local model."""

    Options = HFOptions

    def __init__(self, options: HFOptions, *, loaded: LoadedModel | None = None) -> None:
        """Make a policy; the checkpoint is read when it is first needed, or is given."""
        self._options = options
        self._waiting: list[_Request] = []
        self._batches: asyncio.Task[None] | None = None
        if loaded is not None:
            self.loaded = loaded

    @cached_property
    def loaded(self) -> LoadedModel:
        """The model and its renderer."""
        options = self._options
        return load(options.path, device=options.device, dtype=getattr(torch, options.dtype))

    @property
    def model(self) -> str:
        return self._options.path

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        """The next turn, with its ids and log-probabilities.

        Raises:
            ContextOverflow: the prompt fills the context.
            RenderError: an image that was not fitted for this model.
        """
        rendered = self.loaded.renderer.render(trajectory, generation=True)
        room = self._context(trajectory) - len(rendered.ids)
        if room < 1:
            raise ContextOverflow(f"{trajectory.id}: {len(rendered.ids)} tokens fill the context")
        request = _Request(rendered, sampling, min(sampling.max_tokens, room))
        self._waiting.append(request)
        if self._batches is None or self._batches.done():
            self._batches = asyncio.create_task(self._run_batches())
        return await request.future

    def count_tokens(self, trajectory: Trajectory) -> int:
        return len(self.loaded.renderer.render(trajectory, generation=True).ids)

    async def close(self) -> None:
        """Let go of the model."""
        self.__dict__.pop("loaded", None)

    def _context(self, trajectory: Trajectory) -> int:
        own = self.loaded.model.config.get_text_config().max_position_embeddings
        return min(trajectory.environment.limits.max_context, int(own))

    async def _run_batches(self) -> None:
        """Batch after batch until no request waits."""
        while self._waiting:
            gathered = -1
            # Episodes that are ready now reach `act` within a few steps of the event loop.
            while gathered < len(self._waiting) < self._options.max_batch:
                gathered = len(self._waiting)
                for _ in range(4):
                    await asyncio.sleep(0)
            size = self._options.max_batch
            batch, self._waiting = self._waiting[:size], self._waiting[size:]
            wanted = [request for request in batch if not request.future.done()]
            if wanted:
                await self._run_batch(wanted)

    async def _run_batch(self, batch: list[_Request]) -> None:
        """Generate; if a batch fails, its requests are tried alone, so that one fails alone."""
        try:
            completions = await asyncio.to_thread(self._generate, batch)
        except (RuntimeError, ValueError) as error:
            if len(batch) > 1:
                for request in batch:
                    await self._run_batch([request])
            elif not batch[0].future.done():
                batch[0].future.set_exception(error)
            return
        for request, completion in zip(batch, completions, strict=True):
            if not request.future.done():
                request.future.set_result(completion)

    @torch.inference_mode()
    def _generate(self, batch: list[_Request]) -> list[Completion]:
        started = time.monotonic()
        model, renderer = self.loaded.model, self.loaded.renderer
        samplings = [request.sampling for request in batch]
        limits = [request.limit for request in batch]
        forces = [Force(s.force, renderer) if s.force else None for s in samplings]
        sampler = Sampler(samplings, renderer.suppressed, self.loaded.device, forces)
        stopper = Stopper(samplings, limits, renderer)
        inputs = collate(self.loaded, [r.rendered for r in batch], side="left").inputs()
        del inputs["position_ids"]  # `generate` keeps its own, from the same rule
        sequences = model.generate(
            **inputs,
            generation_config=GenerationConfig(
                do_sample=False,
                max_new_tokens=max(limits),
                eos_token_id=renderer.end_of_turn,
                pad_token_id=renderer.pad,
                repetition_penalty=1.0,
            ),
            logits_processor=LogitsProcessorList([sampler]),
            stopping_criteria=StoppingCriteriaList([stopper]),
        )
        new = sequences[:, inputs["input_ids"].shape[1] :].tolist()
        seconds = time.monotonic() - started
        return [
            self._completion(ids, row, sampler, stopper, batch[row], seconds)
            for row, ids in enumerate(new)
        ]

    def _completion(
        self,
        ids: list[int],
        row: int,
        sampler: Sampler,
        stopper: Stopper,
        request: _Request,
        seconds: float,
    ) -> Completion:
        renderer = self.loaded.renderer
        ids = ids[: stopper.lengths[row]]
        ended = renderer.end_of_turn in ids
        if ended:
            ids = ids[: ids.index(renderer.end_of_turn) + 1]
        return Completion(
            text=renderer.decode(ids),
            finish="stop" if ended or stopper.stopped[row] else "length",
            token_ids=tuple(ids),
            log_probs=tuple(sampler.log_probs[row][: len(ids)]),
            model=self.loaded.path,
            prompt_tokens=len(request.rendered.ids),
            completion_tokens=len(ids),
            seconds=seconds,
        )
