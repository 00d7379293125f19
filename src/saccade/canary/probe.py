"""Questions to a policy outside of any dialect: a prompt, a reply, and what came in its place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from saccade.canary.reading import answer_of
from saccade.dialects.base import merged
from saccade.errors import ContextOverflow, RenderError, ServiceError
from saccade.recipe import Recipe
from saccade.types import (
    Completion,
    EnvironmentRecord,
    Message,
    ModelInfo,
    Part,
    Policy,
    Sampling,
    Trajectory,
)

AT_ONCE = 8
"""Number of questions that are under way at the same time."""


class Reply(NamedTuple):
    """What came back."""

    text: str
    """As the model wrote it; empty if nothing came."""
    completion: Completion | None = None
    error: str | None = None
    """Why nothing came: the server refused, or failed."""

    @property
    def answer(self) -> str:
        """The text without its thought."""
        return answer_of(self.text)

    @property
    def mute(self) -> bool:
        """Whether it was cut, is empty, or is a thought without an answer."""
        cut = self.completion is not None and self.completion.finish == "length"
        return self.error is None and (cut or not self.answer.strip())

    @property
    def shown(self) -> str:
        """The reply as evidence, on one line."""
        line = " ".join((self.error or self.text).split())
        return line if len(line) <= 120 else f"{line[:117]}..."


class Watched:
    """A policy that remembers why a turn failed, whoever asked for it."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.failure: str | None = None

    @property
    def info(self) -> ModelInfo:
        return self._policy.info

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        """The next turn.

        Raises:
            ServiceError: as the policy does.
        """
        try:
            return await self._policy.act(trajectory, sampling)
        except ServiceError as error:
            self.failure = str(error)
            raise

    def count_tokens(self, trajectory: Trajectory) -> int | None:
        return self._policy.count_tokens(trajectory)

    async def close(self) -> None:
        await self._policy.close()


class Probe:
    """Asks a policy as a run would: with its sampling, and images that its view leaves alone."""

    def __init__(
        self,
        policy: Policy,
        recipe: Recipe,
        *,
        at_once: int | None = None,
        on_reply: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare.

        Args:
            policy: Is asked.
            recipe: Its sampling and environment count.
            at_once: Number of questions that may be under way; at most 8 if it is left out.
            on_reply: Called after each reply.
        """
        self.policy, self.recipe = policy, recipe
        section = recipe.environment
        self.view = section.view
        limit = min(recipe.sampling.max_tokens, section.limits.max_turn_tokens)
        self._sampling = recipe.sampling.model_copy(update={"max_tokens": limit})
        self._record = EnvironmentRecord(
            fingerprint="", dialect="", prompts="", view=section.view, limits=section.limits
        )
        self._slots = asyncio.Semaphore(at_once or min(recipe.concurrency, AT_ONCE))
        self._on_reply = on_reply

    async def ask(self, *prompt: Part) -> Reply:
        """The reply to a user message of text and images."""
        message = Message(role="user", content=merged(prompt))
        return await self.go_on(
            Trajectory(id="canary:0", task_id="canary", environment=self._record, prompt=(message,))
        )

    async def go_on(self, trajectory: Trajectory) -> Reply:
        """The next turn of a conversation."""
        async with self._slots:
            reply = await _act(self.policy, trajectory, self._sampling)
        self.count()
        return reply

    def count(self) -> None:
        """Say that one more question is answered."""
        self._on_reply()

    async def ask_all(self, prompts: Iterable[Sequence[Part]]) -> list[Reply]:
        """The replies to several prompts, side by side, in their order."""
        return list(await asyncio.gather(*(self.ask(*prompt) for prompt in prompts)))


async def _act(policy: Policy, trajectory: Trajectory, sampling: Sampling) -> Reply:
    try:
        completion = await policy.act(trajectory, sampling)
    except (ServiceError, ContextOverflow, RenderError) as error:
        return Reply("", error=str(error))
    return Reply(completion.text, completion)
