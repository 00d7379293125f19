"""A local model through transformers: CPU and CUDA by the same code.

Turns that are asked for at the same time become one batch. While a batch is being generated in a
worker thread, tools and other policies go on, and new requests gather for the next one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import cached_property

import torch

from saccade.models.batch import FeatureCache
from saccade.models.generate import TurnRequest, request_turn, write_turns
from saccade.models.load import LoadedModel, load, read_stamp
from saccade.models.scores import answer_log_prob
from saccade.policies.options import HFOptions
from saccade.types import Completion, ModelInfo, Sampling, Trajectory

__all__ = ["HFOptions", "HFPolicy", "info_of"]

FAILURES = (RuntimeError, ValueError, LookupError, TypeError, OSError, MemoryError)
"""What a batch may fail with. Any other error would leave its requests without an end."""
FEATURE_BYTES = 256 * 2**20
"""Bytes of image features that a policy keeps: each turn of an episode shows its images again."""


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
    """Writes turns with a local model, whose weights stay as they are."""

    Options = HFOptions

    def __init__(self, options: HFOptions, *, loaded: LoadedModel | None = None) -> None:
        """Make a policy; the checkpoint is read when it is first needed, or is given."""
        self._options = options
        self._waiting: list[_Waiting] = []
        self._batches: asyncio.Task[None] | None = None
        self._features = _feature_cache()
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

    async def answer_log_prob(
        self, so_far: Trajectory, answer: str, *, begun: str = "", ends_turn: bool = False
    ) -> float:
        """Log-probability of an answer as the next thing that is written: see `ScoringPolicy`.

        Raises:
            RenderError: an image that was not fitted for this model.
        """
        return await asyncio.to_thread(
            answer_log_prob, self.loaded, so_far, answer, begun=begun, ends_turn=ends_turn
        )

    def count_tokens(self, trajectory: Trajectory) -> int:
        return len(self.loaded.renderer.render(trajectory, generation=True).ids)

    async def close(self) -> None:
        """Let go of the model, and of what it made of images."""
        self.__dict__.pop("loaded", None)
        self._features = _feature_cache()

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
            completions = await asyncio.to_thread(
                write_turns, self.loaded, requests, cache=self._features
            )
        except FAILURES as error:
            if len(batch) > 1:
                for request in batch:
                    await self._run_batch([request])
            elif not batch[0].future.done():
                batch[0].future.set_exception(error)
            return
        for request, completion in zip(batch, completions, strict=True):
            if not request.future.done():
                request.future.set_result(completion)


def _feature_cache() -> FeatureCache:
    return FeatureCache(FEATURE_BYTES, lambda features: features.nbytes)
