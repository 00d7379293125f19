"""Who writes the turns of a round: the trained model itself, or an engine beside it (`vllm`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from accelerate import Accelerator
from torch import nn
from trl.models.utils import unwrap_model_for_generation

from saccade.models import LoadedModel
from saccade.policies.hf import TurnRequest, request_turn, write_turns
from saccade.types import Completion, Sampling, Trajectory


class Generator(Protocol):
    """Writes turns."""

    def request(self, trajectory: Trajectory, sampling: Sampling) -> TurnRequest:
        """What is to be written next.

        Raises:
            ContextOverflow: the prompt fills the context.
        """
        ...

    def count_tokens(self, trajectory: Trajectory) -> int:
        """Length of the next prompt."""
        ...

    def generate(self, requests: Sequence[TurnRequest]) -> list[Completion]:
        """One generation call, which every process makes; one with nothing to write as well."""
        ...


class ModelGenerator:
    """What generators of one model share: its prompts."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded

    def request(self, trajectory: Trajectory, sampling: Sampling) -> TurnRequest:
        return request_turn(self._loaded, trajectory, sampling)

    def count_tokens(self, trajectory: Trajectory) -> int:
        return len(self._loaded.renderer.render(trajectory, generation=True).ids)


class WrappedModel(Protocol):
    """The part of a trainer that its own model generates through."""

    accelerator: Accelerator
    model_wrapped: nn.Module


class TransformersGenerator(ModelGenerator):
    """Writes turns with the model that is trained, through transformers."""

    def __init__(
        self, trainer: WrappedModel, loaded: LoadedModel, *, batch_size: int | None = None
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
