"""Turns written by vLLM, beside the training or on a server of its own, through TRL's seam.

What differs from our own sampling: noise comes from the engine, so a resumed run goes on with other
episodes; it cannot be forced; and its log-probabilities differ from those of the training. The
ratio of the loss is therefore taken against what the engine reported of each sampled token.

An engine that reads another prompt than was sent, or images of another size, writes turns that look
ordinary. Two checks end such a training before its first update: the ids that the engine reports
are those of the renderer (here), and its log-probabilities are those of the trained model up to
rounding (`grpo.GRPO`, `ENGINE_GAP`).

tests/train/test_vllm.py holds TRL's side of the contract against an engine on transformers, and
`make test-servers` trains with vLLM itself, on a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from types import SimpleNamespace
from typing import Protocol

from PIL import Image as PILImage

from saccade.errors import ServiceError
from saccade.models.generate import TurnRequest
from saccade.models.load import LoadedModel
from saccade.train.collective import Collective
from saccade.train.generator import ModelGenerator
from saccade.types import Completion


class Engine(Protocol):
    """`trl.generation.vllm_generation.VLLMGeneration`, as far as it is used."""

    mode: str
    tensor_parallel_size: int
    max_completion_length: int
    generation_kwargs: dict[str, object]
    processing_class: object

    def sync_weights(self) -> None: ...

    def generate(
        self,
        prompts: list[list[int]],
        images: list[list[PILImage.Image] | None] | None,
        num_generations: int,
    ) -> tuple[list[list[int]], list[list[int]], list[list[list[float | None]]] | None, object]: ...


class Progress(Protocol):
    """`transformers.TrainerState`, as far as it is used."""

    global_step: int


class EngineTrainer(Protocol):
    """A trainer that holds an engine."""

    vllm_generation: Engine
    state: Progress


class VLLMGenerator(ModelGenerator):
    """Writes turns with an engine."""

    def __init__(self, trainer: EngineTrainer, loaded: LoadedModel, collective: Collective) -> None:
        """Prepare.

        Args:
            trainer: Holds the engine, and counts the optimiser steps.
            loaded: The model that is trained, and its renderer.
            collective: The processes that share the engine.
        """
        super().__init__(loaded)
        self._trainer, self._engine = trainer, trainer.vllm_generation
        self._collective = collective
        self._synced: int | None = None
        # TRL asks a processor which id stands for an image.
        self._engine.processing_class = SimpleNamespace(image_token_id=loaded.renderer.image_token)

    def generate(self, requests: Sequence[TurnRequest]) -> list[Completion]:
        """One generation call. New weights are sent to the engine after each optimiser step.

        Args:
            requests: Turns of this process; their stop strings and temperature are the same.

        Raises:
            ServiceError: the engine read another prompt than was sent, or did not report the
                log-probability of each token.
        """
        engine, renderer = self._engine, self._loaded.renderer
        if self._trainer.state.global_step != self._synced:
            engine.sync_weights()
            self._synced = self._trainer.state.global_step
        count = len(requests)
        if engine.mode == "server" or engine.tensor_parallel_size > 1:
            count = self._collective.max(count)  # such a call is shared out in equal parts
        if not count:
            return []
        stops = {stop for request in requests for stop in request.sampling.stop}
        engine.generation_kwargs |= {
            "stop": sorted(stops),
            "include_stop_str_in_output": True,
            "skip_special_tokens": False,
            "logit_bias": dict.fromkeys(renderer.suppressed, -100.0),
        }
        engine.max_completion_length = max((r.limit for r in requests), default=1)
        prompts = [self._sent(request.rendered.ids) for request in requests]
        shown = [[i.pixels() for i in r.rendered.images] or None for r in requests]
        idle = count - len(requests)
        read, sampled, log_probs, _ = engine.generate(
            prompts + [[renderer.end_of_turn]] * idle, [*shown, *[None] * idle], 1
        )
        for request, ids in zip(requests, read, strict=False):  # idle ones come last
            self._compare(request.rendered.ids, list(ids))
        if log_probs is None:
            raise ServiceError(
                "vLLM reported no log-probabilities; is it asked for them (logprobs)?"
            )
        return [
            self._completion(request, ids, [candidates[0] for candidates in known])
            for request, ids, known in zip(requests, sampled, log_probs, strict=False)
        ]

    def _sent(self, ids: Sequence[int]) -> list[int]:
        """The prompt as the engine takes it: it repeats the mark of an image itself, or does not.

        Beside the training vLLM is given images as pictures, finds one mark for each and repeats
        it; of a run of marks it would repeat the first once more. A server is given their features,
        which TRL lays on runs of marks.

        Source: trl 1.16, `generation/vllm_generation.py`, `generate` and `_place_features`.
        """
        if self._engine.mode == "server":
            return list(ids)
        mark = self._loaded.renderer.image_token
        runs = ((token, list(run)) for token, run in groupby(ids))
        return [i for token, run in runs for i in ([token] if token == mark else run)]

    def _compare(self, rendered: Sequence[int], read: Sequence[int]) -> None:
        if list(rendered) == list(read):
            return
        mark = self._loaded.renderer.image_token
        pairs = enumerate(zip(rendered, read, strict=False))
        shorter = min(len(rendered), len(read))
        at = next((place for place, (ours, theirs) in pairs if ours != theirs), shorter)
        raise ServiceError(
            f"vLLM read another prompt than was rendered: {len(rendered)} tokens with "
            f"{rendered.count(mark)} of images were expected, it read {len(read)} with "
            f"{read.count(mark)}, and they differ from token {at} on; what it writes then says "
            "nothing about this model. This version of vLLM or of trl places images differently "
            "(docs/training.md has those that were tried)"
        )

    def _completion(
        self, request: TurnRequest, ids: list[int], log_probs: list[float | None]
    ) -> Completion:
        renderer = self._loaded.renderer
        ids = ids[: request.limit]
        known = [value for value in log_probs[: len(ids)] if value is not None]
        if len(known) < len(ids):
            raise ServiceError("vLLM reported no log-probability of a token (it was not a number)")
        text = renderer.decode(ids)
        ended = renderer.end_of_turn in ids or any(s in text for s in request.sampling.stop)
        return Completion(
            text=text,
            finish="stop" if ended else "length",
            token_ids=tuple(ids),
            log_probs=tuple(known),
            model=self._loaded.path,
            prompt_tokens=len(request.rendered.ids),
            completion_tokens=len(ids),
        )
