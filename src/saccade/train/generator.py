"""Who writes the turns of a round.

The trained model does itself (`grpo.TransformersGenerator`), or an engine beside it
(`vllm.VLLMGenerator`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from saccade.models.generate import TurnRequest, request_turn
from saccade.models.load import LoadedModel
from saccade.policies.hf import info_of
from saccade.types import Completion, ModelInfo, Sampling, Trajectory


class Generator(Protocol):
    """Writes turns."""

    @property
    def info(self) -> ModelInfo:
        """What is known of the model that was trained from."""
        ...

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

    @property
    def info(self) -> ModelInfo:
        return info_of(self._loaded)

    def request(self, trajectory: Trajectory, sampling: Sampling) -> TurnRequest:
        return request_turn(self._loaded, trajectory, sampling)

    def count_tokens(self, trajectory: Trajectory) -> int:
        return len(self._loaded.renderer.render(trajectory, generation=True).ids)
