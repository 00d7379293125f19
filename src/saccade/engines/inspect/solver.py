"""The solver `saccade/episode`: our loop, in which Inspect's model is the policy.

`saccade.rollout.rollout` stays the only place where a policy meets an environment. Inspect sees a
model call for each turn, and afterwards the conversation with its thoughts, calls and images.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from inspect_ai.model import (
    ChatMessage,
    GenerateConfig,
    Model,
    ModelOutput,
    StopReason,
    get_model,
)
from inspect_ai.solver import Generate, Solver, TaskState, solver
from pydantic import JsonValue

from saccade.bench.recipe import BenchRecipe
from saccade.bench.run import as_played
from saccade.config import validate
from saccade.engines.inspect import named
from saccade.engines.inspect.messages import assistant, completion_in, sent, shown, tool_info
from saccade.engines.inspect.samples import task_in
from saccade.env import Environment
from saccade.errors import ContextOverflow, ServiceError
from saccade.recipe import make_environment
from saccade.rollout import rollout
from saccade.types import Completion, ModelInfo, Sampling, Trajectory
from saccade.types import StopReason as Stop

TRAJECTORY = "saccade_trajectory"
"""Key of a sample's store: the episode, as run folders hold it."""

_STOPS: dict[Stop, StopReason] = {Stop.MAX_TOKENS: "max_tokens"}


class InspectPolicy:
    """Inspect's model as a policy.

    A text dialect is read from the text as it came, which the provider `saccade` keeps. Other
    providers take thoughts out of it: use them with the dialect `native`.
    """

    def __init__(self, model: Model) -> None:
        self.failure: BaseException | None = None
        """What the model raised last: a limit of Inspect, a server that failed."""
        self._model = model

    @property
    def info(self) -> ModelInfo:
        return ModelInfo(name=self._model.name)

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        """The next turn.

        Raises:
            ContextOverflow: the prompt is too long.
        """
        record = trajectory.environment
        tools = [tool_info(spec) for spec in record.tools] if record.native_tools else []
        config = GenerateConfig(stop_seqs=[*sampling.stop] or None, seed=sampling.seed % 2**31)
        started = time.monotonic()
        try:
            output = await self._model.generate(await sent(trajectory), tools=tools, config=config)
        except BaseException as error:
            self.failure = error
            raise
        if output.empty or output.stop_reason == "model_length":
            raise ContextOverflow(output.error or "the model's context is full")
        if output.stop_reason == "content_filter":
            raise ServiceError(f"{output.model}: the provider's filter refused the turn")
        completion = completion_in(output.message)
        usage = output.usage
        return completion.model_copy(
            update={
                "finish": "length" if output.stop_reason == "max_tokens" else "stop",
                "model": completion.model or output.model,
                "prompt_tokens": usage.input_tokens if usage else None,
                "completion_tokens": usage.output_tokens if usage else None,
                "seconds": time.monotonic() - started,
            }
        )

    def count_tokens(self, trajectory: Trajectory) -> int | None:
        """Only the server knows."""

    async def close(self) -> None:
        """Inspect closes its model."""


class _Stage:
    """An environment while episodes need it: the last one out closes what its tools started."""

    def __init__(self, recipe: BenchRecipe) -> None:
        self._recipe = recipe
        self._made: Environment | None = None
        self._players = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Environment]:
        if self._made is None:
            self._made = make_environment(as_played(self._recipe))
        self._players += 1
        try:
            yield self._made
        finally:
            self._players -= 1
            if not self._players:
                await self._made.close()


@solver(name=named("episode"))
def episode(recipe: dict[str, JsonValue]) -> Solver:
    """Attempt a question in the environment of a run file.

    Args:
        recipe: A `BenchRecipe`, as JSON.

    Raises:
        ConfigError: a part cannot work.
    """
    made = validate(BenchRecipe, recipe)
    stage = _Stage(made)

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        policy = InspectPolicy(get_model())
        async with stage.open() as environment:
            trajectory = await rollout(
                policy, environment, task_in(state, made), sample=state.epoch - 1,
                seed=made.seed, sampling=made.sampling,
            )  # fmt: skip
        state.messages = await shown(trajectory)
        state.output = _output(trajectory, str(state.model))
        state.store.set(TRAJECTORY, trajectory.model_dump(mode="json"))
        if trajectory.stop is Stop.ABORTED:
            # A limit of Inspect, or what failed: Inspect ends, retries and counts the sample.
            raise policy.failure or ServiceError(f"{trajectory.id}: {trajectory.error}")
        return state

    return solve


def _output(trajectory: Trajectory, model: str) -> ModelOutput:
    """The last turn, whose completion is the answer."""
    if not trajectory.turns:
        return ModelOutput(model=model)
    last = trajectory.turns[-1]
    message: ChatMessage = assistant(last.completion)
    reason = _STOPS.get(trajectory.stop or Stop.ABORTED, "stop")
    output = ModelOutput.from_message(message, reason)
    return output.model_copy(update={"completion": trajectory.answer or last.completion.text})
