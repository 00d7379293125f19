"""What writes the next turn: a script, a chat server, a local model, a rule that reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from saccade.types import Policy, Trajectory

if TYPE_CHECKING:
    from saccade.models.load import LoadedModel

BUILT_IN = {
    "replay": "saccade.policies.replay:ReplayPolicy",
    "openai": "saccade.policies.openai:OpenAIPolicy",
    "hf": "saccade.policies.hf:HFPolicy",
    "reader": "saccade.policies.reader.policy:ReaderPolicy",
    "world": "saccade.policies.world.policy:WorldPolicy",
}
"""Names for run files; your own policy goes there as "package.module:Class"."""

OPTIONS = {"hf": "saccade.policies.options:HFOptions"}
"""Options of the built-in policies whose class loads torch, by which they are checked before it."""

NEEDS = {
    "hf": ("torch", "transformers", "safetensors"),
    "reader": ("rapidocr", "onnxruntime", "rapidfuzz"),
}
"""Modules of extras that the built-in policies load when they are first needed."""


@runtime_checkable
class LocalPolicy(Policy, Protocol):
    """A policy whose weights are in this process: it can be forced, and has gradients."""

    @property
    def loaded(self) -> LoadedModel:
        """The model and its renderer."""
        ...


@runtime_checkable
class ScoringPolicy(Policy, Protocol):
    """A policy that can tell how likely it finds an answer that it did not write."""

    async def answer_log_prob(
        self, so_far: Trajectory, answer: str, *, begun: str = "", ends_turn: bool = False
    ) -> float:
        """Natural log of the probability of an answer, at temperature 1.

        Args:
            so_far: An episode whose next turn is to answer.
            answer: The text that is scored.
            begun: What stands in that turn before it; not scored.
            ends_turn: Whether the end of the turn behind it is scored too.
        """
        ...
