"""The only loop in which a policy meets an environment."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple, Protocol, TypeVar

from saccade.env import Environment
from saccade.errors import ConfigError, ContextOverflow, PluginError
from saccade.types import Policy, Sampling, Task, Trajectory

Item = TypeVar("Item")


class Scorer(Protocol):
    """What gives a trajectory its score; `saccade.rewards.Reward` is one."""

    async def apply(self, task: Task, trajectory: Trajectory) -> Trajectory: ...


class Job(NamedTuple):
    """One attempt at one task."""

    task: Task
    sample: int = 0


async def rollout(
    policy: Policy,
    environment: Environment,
    task: Task,
    *,
    sample: int = 0,
    seed: int = 0,
    sampling: Sampling | None = None,
    reward: Scorer | None = None,
) -> Trajectory:
    """Let a policy attempt a task once.

    Args:
        policy: Writes the turns.
        environment: Reads them and answers.
        task: The question.
        sample: Which of several attempts, counted from 0.
        seed: With task, sample and turn it decides the sampling noise.
        sampling: Temperature and limits; greedy if left out.
        reward: Scores the finished trajectory.

    Returns:
        The finished trajectory. A failure on our side is in it (`stop` ABORTED or TIMEOUT).

    Raises:
        ConfigError: something is set up so that no episode can succeed.
    """
    base = sampling or Sampling()
    async with environment.episode(
        task, sample=sample, seed=seed, count_tokens=policy.count_tokens
    ) as episode:
        while not episode.done:
            try:
                completion = await policy.act(episode.trajectory, episode.sampling(base))
            except ContextOverflow:
                episode.overflow()
            else:
                await episode.step(completion)
    return episode.trajectory if reward is None else await reward.apply(task, episode.trajectory)


async def rollout_group(
    policy: Policy,
    environment: Environment,
    task: Task,
    *,
    size: int,
    seed: int = 0,
    sampling: Sampling | None = None,
    reward: Scorer | None = None,
) -> tuple[Trajectory, ...]:
    """Several attempts at one task, side by side: the group of a group-relative advantage."""
    attempts = (
        rollout(
            policy,
            environment,
            task,
            sample=sample,
            seed=seed,
            sampling=sampling,
            reward=reward,
        )
        for sample in range(size)
    )
    return tuple(await asyncio.gather(*attempts))


async def rollout_many(
    policy: Policy,
    environment: Environment,
    jobs: Iterable[Job],
    *,
    on_finish: Callable[[Task, Trajectory], None],
    concurrency: int = 64,
    seed: int = 0,
    sampling: Sampling | None = None,
    reward: Scorer | None = None,
) -> None:
    """Run jobs, `concurrency` at a time, and hand over each result as it comes.

    Jobs are drawn as `in_parallel` draws them. An exception (a ConfigError, a full disk in
    `on_finish`) stops the run; what was finished before is handed over, scored or not.
    """

    async def attempt(job: Job) -> None:
        played = await rollout(
            policy, environment, job.task, sample=job.sample, seed=seed, sampling=sampling
        )
        await score(job.task, played, reward, on_finish)

    await in_parallel(attempt, jobs, concurrency=concurrency)


async def score(
    task: Task,
    trajectory: Trajectory,
    reward: Scorer | None,
    on_finish: Callable[[Task, Trajectory], None],
) -> None:
    """Score a finished trajectory and hand it over: unscored, if it comes to no score.

    Raises:
        ConfigError: the reward cannot work; the trajectory was handed over.
    """
    try:
        scored = trajectory if reward is None else await reward.apply(task, trajectory)
    except ConfigError as error:
        on_finish(task, trajectory.unscored(error))
        raise
    except asyncio.CancelledError:
        on_finish(task, trajectory.unscored(PluginError("the run ended before it was scored")))
        raise
    on_finish(task, scored)


async def in_parallel(
    work: Callable[[Item], Awaitable[None]], items: Iterable[Item], *, concurrency: int
) -> None:
    """Do some work for each item, `concurrency` of them at a time.

    Items are drawn lazily, `concurrency` at a time and in a thread: a generator of a million tasks
    costs the memory of the running and the next ones, and one that reads files or draws scenes does
    not hold up the others. An exception stops what is under way.
    """
    queue: Iterator[Item] = iter(items)
    drawn: deque[Item] = deque()
    drawing = asyncio.Lock()
    ended = False

    async def draw() -> Item | None:
        nonlocal ended
        async with drawing:
            if not drawn and not ended:
                drawn.extend(await asyncio.to_thread(list, islice(queue, concurrency)))
                ended = len(drawn) < concurrency  # or each worker would look again, in a thread
            return drawn.popleft() if drawn else None

    async def go_on() -> None:
        while (item := await draw()) is not None:
            await work(item)

    workers = [asyncio.create_task(go_on()) for _ in range(concurrency)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
