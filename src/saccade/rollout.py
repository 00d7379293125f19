"""The only loop in which a policy meets an environment."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple, Protocol

from saccade.env import Environment
from saccade.errors import ContextOverflow
from saccade.types import Policy, Sampling, Task, Trajectory


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

    Jobs are drawn lazily, `concurrency` at a time and in a thread: a generator of a million tasks
    costs the memory of the running and the next ones, and one that reads files or draws scenes does
    not hold up the others. An exception (a ConfigError, a full disk in `on_finish`) stops the run;
    what was handed over before stays handed over.
    """
    queue: Iterator[Job] = iter(jobs)
    drawn: deque[Job] = deque()
    drawing = asyncio.Lock()

    async def draw() -> Job | None:
        async with drawing:
            if not drawn:
                drawn.extend(await asyncio.to_thread(list, islice(queue, concurrency)))
            return drawn.popleft() if drawn else None

    async def work() -> None:
        while (job := await draw()) is not None:
            trajectory = await rollout(
                policy,
                environment,
                job.task,
                sample=job.sample,
                seed=seed,
                sampling=sampling,
                reward=reward,
            )
            on_finish(job.task, trajectory)

    workers = [asyncio.create_task(work()) for _ in range(concurrency)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
