"""A local model through transformers: CPU and CUDA by the same code.

Turns that are asked for at the same time become one batch. While a batch is being generated in a
worker thread, tools and other policies go on, and new requests gather for the next one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

from saccade.errors import ContextOverflow
from saccade.models import LoadedModel, collate, encode_images, load, read_stamp
from saccade.policies.sampler import Forcing, Sampler, Stopper
from saccade.render.qwen_vl import Rendered
from saccade.types import Completion, ModelInfo, Record, Sampling, Trajectory


class HFOptions(Record):
    """The `policy` section of a run file, kind "hf"."""

    path: str
    """A folder with a checkpoint, or a model id of the hub."""
    device: str = "cpu"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    max_batch: int = Field(default=64, ge=1)


class TurnRequest(NamedTuple):
    """A turn that is to be written."""

    rendered: Rendered
    """The trajectory so far, with the opening of the turn."""
    sampling: Sampling
    limit: int
    """Tokens at most."""


@torch.inference_mode()
def write_turns(loaded: LoadedModel, requests: Sequence[TurnRequest]) -> list[Completion]:
    """Write turns as one batch; each is what it would be alone.

    Raises:
        ConfigError: a sampling asks for what this model cannot do.
    """
    started = time.monotonic()
    model, renderer = loaded.model, loaded.renderer
    samplings = [request.sampling for request in requests]
    limits = [request.limit for request in requests]
    forces = [Forcing(s.force, renderer) if s.force else None for s in samplings]
    sampler = Sampler(samplings, renderer.suppressed, loaded.device, forces)
    stopper = Stopper(samplings, limits, renderer)
    batch = collate(loaded, [request.rendered for request in requests], side="left")
    seen = encode_images(model, batch)
    sequences = model.generate(
        **batch.text(),  # without positions: `generate` keeps its own, from the same rule
        **({"mm_encoder_outputs": seen} if seen else {}),
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
    new = sequences[:, batch.input_ids.shape[1] :].tolist()
    seconds = time.monotonic() - started
    completions = []
    for row, (ids, request) in enumerate(zip(new, requests, strict=True)):
        ids = ids[: stopper.lengths[row]]
        ended = renderer.end_of_turn in ids
        if ended:
            ids = ids[: ids.index(renderer.end_of_turn) + 1]
        completions.append(
            Completion(
                text=renderer.decode(ids),
                finish="stop" if ended or stopper.stopped[row] else "length",
                token_ids=tuple(ids),
                log_probs=tuple(sampler.log_probs[row][: len(ids)]),
                model=loaded.path,
                prompt_tokens=len(request.rendered.ids),
                completion_tokens=len(ids),
                seconds=seconds,
            )
        )
    return completions


def request_turn(loaded: LoadedModel, trajectory: Trajectory, sampling: Sampling) -> TurnRequest:
    """What is to be written next.

    Raises:
        ContextOverflow: the prompt fills the context.
        RenderError: an image that was not fitted for this model.
    """
    rendered = loaded.renderer.render(trajectory, generation=True)
    own = int(loaded.model.config.get_text_config().max_position_embeddings)
    room = min(trajectory.environment.limits.max_context, own) - len(rendered.ids)
    if room < 1:
        raise ContextOverflow(f"{trajectory.id}: {len(rendered.ids)} tokens fill the context")
    return TurnRequest(rendered, sampling, min(sampling.max_tokens, room))


def info_of(loaded: LoadedModel) -> ModelInfo:
    """What a checkpoint says of itself."""
    return ModelInfo(
        name=loaded.path,
        coords=loaded.renderer.coords,
        factor=loaded.renderer.rule.factor,
        fingerprints=read_stamp(loaded.path).fingerprints,
    )


@dataclass
class _Waiting:
    """A turn that waits for its batch."""

    request: TurnRequest
    future: asyncio.Future[Completion] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class HFPolicy:
    """Writes turns with a local model."""

    Options = HFOptions

    def __init__(self, options: HFOptions, *, loaded: LoadedModel | None = None) -> None:
        """Make a policy; the checkpoint is read when it is first needed, or is given."""
        self._options = options
        self._waiting: list[_Waiting] = []
        self._batches: asyncio.Task[None] | None = None
        if loaded is not None:
            self.loaded = loaded

    @cached_property
    def loaded(self) -> LoadedModel:
        """The model and its renderer."""
        options = self._options
        return load(options.path, device=options.device, dtype=getattr(torch, options.dtype))

    @property
    def info(self) -> ModelInfo:
        """What the checkpoint says of itself; it is loaded for this."""
        return info_of(self.loaded)

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        """The next turn, with its ids and log-probabilities.

        Raises:
            ContextOverflow: the prompt fills the context.
            RenderError: an image that was not fitted for this model.
        """
        request = _Waiting(request_turn(self.loaded, trajectory, sampling))
        self._waiting.append(request)
        if self._batches is None or self._batches.done():
            self._batches = asyncio.create_task(self._run_batches())
        return await request.future

    def count_tokens(self, trajectory: Trajectory) -> int:
        return len(self.loaded.renderer.render(trajectory, generation=True).ids)

    async def close(self) -> None:
        """Let go of the model."""
        self.__dict__.pop("loaded", None)

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

    async def _run_batch(self, batch: list[_Waiting]) -> None:
        """Generate; if a batch fails, its requests are tried alone, so that one fails alone."""
        try:
            requests = [waiting.request for waiting in batch]
            completions = await asyncio.to_thread(write_turns, self.loaded, requests)
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
