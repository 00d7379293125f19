"""The environment: what a policy meets, whichever job it does (solve, benchmark, train, serve).

    async with environment.episode(task) as episode:
        while not episode.done:
            completion = await policy.act(episode.trajectory, episode.sampling(base))
            await episode.step(completion)
    episode.trajectory                      # finished, whatever happened

`Environment.episode` is the boundary between two kinds of failure. What the model did wrong has
become an observation or a recorded problem by then. Whatever else is raised inside the block is
ours: it ends the episode as ABORTED (or TIMEOUT), and no one scores it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from saccade.dialects.base import Dialect
from saccade.dialects.whole import put_together
from saccade.errors import ConfigError
from saccade.execution import OpenTools
from saccade.images.color import Color
from saccade.images.geometry import CoordSpace, PixelBudget
from saccade.images.image import Image
from saccade.plugins import failure_of, guarded
from saccade.types import (
    Completion,
    EnvironmentRecord,
    Limits,
    ProblemKind,
    Sampling,
    StopReason,
    Task,
    Tool,
    ToolContext,
    ToolResult,
    Trajectory,
    Turn,
)

_log = logging.getLogger(__name__)

PIXEL_RULES = "crop-then-bicubic-2"
"""Changes when the same record would show other pixels; part of every fingerprint."""

TokenCounter = Callable[[Trajectory], int | None]


class Environment:
    """A dialect, tools, limits and pixel budgets. Episodes share nothing but what its tools start.

    Tools are started before the first episode, or by `start`; `close` ends them until the next one.
    """

    def __init__(
        self,
        dialect: Dialect,
        tools: Sequence[Tool] = (),
        *,
        limits: Limits | None = None,
        view: PixelBudget | None = None,
        observation: PixelBudget | None = None,
        coords: CoordSpace = CoordSpace.ABSOLUTE,
        color: Color = Color.SRGB,
    ) -> None:
        """Put an environment together.

        Args:
            dialect: How all is written; without tools, in prompts that speak of none.
            tools: What the model can call; names must differ.
            limits: What an episode may use.
            view: How the images of the question are shown.
            observation: How images that tools return are shown; the default is `view`.
            coords: The frame in which the model writes boxes.
            color: How the colours of image files are shown.

        Raises:
            ConfigError: two tools have one name.
        """
        view = view or PixelBudget()
        specs = tuple(tool.spec for tool in tools)
        names = [spec.name for spec in specs]
        if len(set(names)) != len(names):
            raise ConfigError(f"tools: each needs a name of its own, got {', '.join(names)}")
        self._given, dialect = dialect, dialect if specs else dialect.without_tools()
        self.dialect = dialect
        self.tools = tuple(tools)
        self._started = False
        self._starting = asyncio.Lock()
        self.record = _with_fingerprint(
            EnvironmentRecord(
                fingerprint="",
                dialect=dialect.name,
                prompts=dialect.prompts.digest,
                tools=specs,
                native_tools=dialect.native_tools,
                stop=dialect.stop,
                prefill=bool(dialect.prefix),
                coords=coords,
                color=color,
                view=view,
                observation=observation or view,
                limits=limits or Limits(),
            )
        )

    def replace(
        self, *, tools: Sequence[Tool] | None = None, limits: Limits | None = None
    ) -> Environment:
        """The same with other tools or limits."""
        record = self.record
        return Environment(
            self._given,
            self.tools if tools is None else tools,
            limits=limits or record.limits,
            view=record.view,
            observation=record.observation,
            coords=record.coords,
            color=record.color,
        )

    async def start(self) -> None:
        """Start the tools; once more does nothing.

        Raises:
            ServiceError: a tool cannot be started.
        """
        async with self._starting:
            if not self._started:
                for tool in self.tools:
                    await tool.start()
                self._started = True

    async def close(self) -> None:
        """End what the tools have started."""
        self._started = False
        self._starting = asyncio.Lock()  # a lock belongs to the event loop that waited for it
        for tool in self.tools:
            await tool.close()

    @property
    def fingerprint(self) -> str:
        """16 hex digits over dialect, prompts, tools, limits and pixel rules."""
        return self.record.fingerprint

    @asynccontextmanager
    async def episode(
        self,
        task: Task,
        *,
        sample: int = 0,
        seed: int = 0,
        count_tokens: TokenCounter | None = None,
    ) -> AsyncIterator[Episode]:
        """One attempt at a task; single use.

        Args:
            task: The question.
            sample: Which of several attempts, counted from 0.
            seed: Seed of the run; with task, sample and turn it decides the sampling noise.
            count_tokens: Length of the next prompt, to keep to `Limits.max_context`.

        Raises:
            ConfigError: raised inside the block: it would fail every episode alike.
        """
        episode = Episode(self, task, sample, seed, count_tokens)
        started = time.monotonic()
        begun = False
        try:
            async with (
                asyncio.timeout(self.record.limits.max_seconds) as deadline,
                AsyncExitStack() as stack,
            ):
                if not self._started:
                    await self.start()
                await episode._open(stack)
                begun = True
                yield episode
        except ConfigError:
            raise
        except Exception as error:
            if isinstance(error, TimeoutError) and deadline.expired():
                episode._end(StopReason.TIMEOUT)
            else:
                episode._abort(error)
        finally:
            episode._close(time.monotonic() - started)
        if not begun:  # a tool could not be opened: the episode is over before its first turn
            yield episode

    def begin(self, task: Task, *, sample: int = 0, seed: int = 0) -> Trajectory:
        """The trajectory before the first turn: the prompt, with images fitted to the view.

        Raises:
            PluginError: the dialect cannot write the prompt of this task.
        """
        fitted = tuple(
            self.record.shown(part) if isinstance(part, Image) else part for part in task.prompt
        )
        with guarded(f"dialect {self.record.dialect}: task {task.id}"):
            system = self.dialect.system(self.record.tools, self.record.coords)
            question = self.dialect.question(task.model_copy(update={"prompt": fitted}))
        return Trajectory(
            id=f"{task.id}:{sample}",
            task_id=task.id,
            sample=sample,
            seed=seed,
            environment=self.record,
            prompt=(question,) if system is None else (system, question),
            prefix=self.dialect.prefix,
        )


class Episode:
    """The state of one attempt. Made by `Environment.episode`."""

    def __init__(
        self,
        environment: Environment,
        task: Task,
        sample: int,
        seed: int,
        count_tokens: TokenCounter | None,
    ) -> None:
        self.trajectory = environment.begin(task, sample=sample, seed=seed)
        self._environment = environment
        self._limits = environment.record.limits
        self._count_tokens = count_tokens or _unknown_length
        self._images: list[Image] = list(self.trajectory.images)
        self._tools = OpenTools(self._images)

    @property
    def done(self) -> bool:
        return self.trajectory.stop is not None

    def sampling(self, base: Sampling) -> Sampling:
        """The sampling of the next turn: this dialect's stop strings, this turn's own noise."""
        t = self.trajectory
        key = json.dumps([t.seed, base.seed, t.task_id, t.sample, len(t.turns)])
        noise = int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big")
        return base.model_copy(
            update={
                "stop": t.environment.stop,
                "max_tokens": min(base.max_tokens, self._limits.max_turn_tokens),
                "seed": noise,
            }
        )

    async def step(self, completion: Completion) -> None:
        """Take the model's turn: read it, execute its calls, append what the model will see."""
        if self.done:
            raise RuntimeError(f"{self.trajectory.id}: the episode is over, no step can follow")
        dialect = self._environment.dialect
        whole = put_together(dialect, completion, self.trajectory.prefix)
        completion = whole.completion
        action = whole.noted(dialect.read(completion, whole.prefix))
        turn = Turn(prefix=whole.prefix, completion=completion, action=action)
        last = len(self.trajectory.turns) + 1 >= self._limits.max_turns
        malformed = any(p.kind is ProblemKind.BAD_CALL for p in action.problems)
        if completion.finish == "length":
            self._append(turn, StopReason.MAX_TOKENS)
        elif action.answer is not None:
            self._append(turn, StopReason.ANSWER)
        elif not action.calls and not malformed:
            self._append(turn, StopReason.NO_ACTION)
        elif last:
            self._append(turn, StopReason.MAX_TURNS)
        else:
            self._observe(turn, await self._tools.results(turn))

    def overflow(self) -> None:
        """The policy found no room for the next turn: take the last observation back, end."""
        turns = self.trajectory.turns
        if turns and turns[-1].observation:
            unseen = turns[-1].model_copy(update={"observation": (), "dropped": "context"})
            self._update(turns=(*turns[:-1], unseen))
        self._end(StopReason.MAX_TOKENS)

    async def _open(self, stack: AsyncExitStack) -> None:
        record = self.trajectory.environment
        context = ToolContext(
            task_id=self.trajectory.task_id,
            images=self._images,
            coords=record.coords,
            observation=record.observation,
            seed=self.trajectory.seed,
        )
        await self._tools.open(self._environment.tools, context, stack)

    def _observe(self, turn: Turn, results: list[ToolResult]) -> None:
        """Append the turn with its observation: the whole of it, or none and the end."""
        observation = self._environment.dialect.observe(results)
        turn = turn.model_copy(update={"results": tuple(results)})
        seen = turn.model_copy(update={"observation": observation})
        before = self.trajectory.turns
        if len(self._images) > self._limits.max_images:
            unseen = turn.model_copy(update={"dropped": "images"})
            self._append(unseen, StopReason.MAX_IMAGES)
            return
        self._append(seen, None)
        length = self._count_tokens(self.trajectory)
        if length is not None and length >= self._limits.max_context:
            unseen = turn.model_copy(update={"dropped": "context"})
            self._update(turns=(*before, unseen), stop=StopReason.MAX_TOKENS)

    def _append(self, turn: Turn, stop: StopReason | None) -> None:
        self._update(turns=(*self.trajectory.turns, turn), stop=stop)

    def _end(self, reason: StopReason) -> None:
        if not self.done:
            self._update(stop=reason)

    def _abort(self, error: Exception) -> None:
        """End as ABORTED; an episode that was over when clean-up failed keeps its result."""
        reason, traceback = failure_of(error)
        _log.warning("%s: %s", self.trajectory.id, reason)
        if not self.done:
            self._update(stop=StopReason.ABORTED, error=reason, traceback=traceback)

    def _close(self, seconds: float) -> None:
        self._tools.forget()
        if not self.done:
            message = "the episode was left before it ended"
            self._update(stop=StopReason.ABORTED, error=message)
        self._update(seconds=seconds, prefix="")

    def _update(self, **changes: object) -> None:
        self.trajectory = self.trajectory.model_copy(update=changes)


def _with_fingerprint(record: EnvironmentRecord) -> EnvironmentRecord:
    """How long an episode may take is ours, not the model's: no part of the fingerprint."""
    content = record.model_dump(
        mode="json", exclude={"fingerprint": True, "limits": {"max_seconds"}}
    )
    canonical = json.dumps([PIXEL_RULES, content], sort_keys=True)
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:16]
    return record.model_copy(update={"fingerprint": digest})


def _unknown_length(trajectory: Trajectory) -> None:
    """No one but the server knows how long the prompt is."""
