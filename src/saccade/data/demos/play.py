"""The episodes of a synthesis, played: each question until enough of them are kept, within caps."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import takewhile

from saccade.data.demos.filters import Drop, Filters
from saccade.data.demos.leaks import Leaks
from saccade.data.demos.recipe import DemosRecipe
from saccade.data.demos.teachers import TEACHER, Teacher, Teachers
from saccade.env import Environment
from saccade.recipe import make_tasks
from saccade.rewards import Reward
from saccade.rollout import in_parallel, rollout, score
from saccade.runs.diagnosis import RunWatch
from saccade.runs.folder import Key, RunFolder, RunReader
from saccade.types import StopReason, Task, Trajectory

_log = logging.getLogger(__name__)

OnProgress = Callable[[int, int, int], None]
"""Number of questions that are settled, of episodes that are finished, and of those kept."""


class Stage:
    """Plays what is missing in a run folder.

    Args:
        recipe: The run file.
        environment: The student's.
        reward: Judges the answers.
        teachers: Who plays; their meter is set.
        folder: What is played is kept here, open for writing.
        leaks: What no teacher may be told.
        filters: Decides which episodes are kept.
        on_progress: Called when a question is settled or an episode finished.
    """

    def __init__(
        self,
        recipe: DemosRecipe,
        environment: Environment,
        reward: Reward,
        teachers: Teachers,
        folder: RunFolder,
        leaks: Leaks,
        filters: Filters,
        on_progress: OnProgress,
    ) -> None:
        assert teachers.meter is not None
        self._recipe, self._environment, self._reward = recipe, environment, reward
        self._teachers, self._folder, self._meter = teachers, folder, teachers.meter
        self._leaks, self._filters, self._on_progress = leaks, filters, on_progress
        self._kept: defaultdict[str, set[int]] = defaultdict(set)
        self._failed_in_a_row: Counter[str] = Counter()
        self._watch = RunWatch()
        self._settled = self._demonstrations = 0
        self._there = set(folder.done | folder.waiting)
        """Episodes that need not be played."""
        self.leaking: dict[str, tuple[Task, Teacher, Drop]] = {}
        """Task id -> a question, without its images, that a teacher would be told the answer of."""
        self.open: dict[Key, str] = {}
        """Attempts that were not made, of questions that were begun with, and why."""
        self.down: dict[str, str] = {}
        """Name of a teacher that is asked no more -> the last failure of its episodes."""

    async def play(self) -> None:
        """Attempt every question, `concurrency` of them at a time.

        Raises:
            ConfigError: no episode could succeed; or a question is another one than in the folder.
            StoreError: the folder cannot be written; what was finished is kept.
            PluginError: the source of the tasks or the dialect raised.
        """
        reader = RunReader(self._folder.path)
        for task, trajectory in reader.entries():
            if not trajectory.reward_failed and trajectory.stop is not StopReason.ABORTED:
                self._note(task, trajectory)
        self._tell()
        if self._folder.waiting:
            await in_parallel(
                lambda entry: score(*entry, self._reward, self._keep),
                list(reader.waiting()),
                concurrency=self._recipe.concurrency,
            )
        drawn: Iterator[Task] = make_tasks(self._recipe)
        admitted = takewhile(lambda _: not self._meter.reached and not self._all_down, drawn)
        await in_parallel(self._question, admitted, concurrency=self._recipe.concurrency)

    @property
    def _all_down(self) -> bool:
        return len(self.down) == len(self._teachers.all)

    async def _question(self, task: Task) -> None:
        """Attempt a question until enough is kept, sample by sample."""
        self._folder.check(task)
        self._teachers.expect(task)
        try:
            for sample in range(self._recipe.samples):
                if len(self._kept[task.id]) >= self._recipe.demos.enough:
                    break
                if (task.id, sample) not in self._there:
                    await self._attempt(task, sample)
        finally:
            self._teachers.forget(task)
        self._settled += 1
        self._tell()

    async def _attempt(self, task: Task, sample: int) -> None:
        """One attempt, unless the teacher would be told the answer, is down, or costs too much."""
        teacher, key = self._teachers.of(task.id, sample), (task.id, sample)
        leak = await asyncio.to_thread(self._leaks.before, task, teacher)
        if leak is not None:
            texts = tuple(part for part in task.prompt if isinstance(part, str))
            bare = task.model_copy(update={"prompt": texts, "boxes": ()})
            drop = Drop("leak", f"{leak.where}: {leak.detail}")
            self.leaking.setdefault(task.id, (bare, teacher, drop))
            return
        if teacher.name in self.down:
            self.open[key] = f"{teacher.name} is down"
            return
        async with self._meter.episode(key) as admitted:
            if not admitted:
                self.open[key] = self._meter.reached
                return
            try:
                async with asyncio.timeout(self._meter.left_s) as limit:
                    await self._play(task, sample, teacher)
            except TimeoutError:
                if not limit.expired():
                    raise
                self._meter.out_of_time()
                self.open[key] = self._meter.reached

    async def _play(self, task: Task, sample: int, teacher: Teacher) -> None:
        recipe = self._recipe
        played = await rollout(
            self._teachers, self._environment, task,
            sample=sample, seed=recipe.seed, sampling=recipe.sampling,
        )  # fmt: skip
        noted = {**played.annotations, TEACHER: teacher.name}
        named = played.model_copy(update={"annotations": noted})
        await score(task, named, self._reward, self._keep)

    def _keep(self, task: Task, trajectory: Trajectory) -> None:
        """What has come of an attempt: into the folder, and into the counts.

        An episode that a cap ended is no failure: it is open, and what it has used is counted.
        """
        if trajectory.stop is StopReason.ABORTED and self._meter.has_ended(trajectory.error):
            self.open[trajectory.task_id, trajectory.sample] = self._meter.reached
            return
        trajectory = self._folder.append(task, trajectory)
        if trajectory.stop is not StopReason.ABORTED:
            self._there.add((task.id, trajectory.sample))
        if (said := self._watch.add(task, trajectory)) is not None:
            _log.warning(said)
        self._count_failures(trajectory)
        if trajectory.error is None:
            self._meter.count_finished()
            self._note(task, trajectory)
        self._tell()

    def _count_failures(self, trajectory: Trajectory) -> None:
        """A teacher with which one episode after the other fails is asked no more."""
        name = self._teachers.of(trajectory.task_id, trajectory.sample).name
        if trajectory.stop is not StopReason.ABORTED:
            self._failed_in_a_row[name] = 0
            return
        self._failed_in_a_row[name] += 1
        if self._failed_in_a_row[name] >= self._recipe.demos.down_after and name not in self.down:
            self.down[name] = trajectory.error or ""
            _log.warning(
                "teacher %s: %d episodes in a row failed on our side, so it is asked no more; the "
                "last one by %s",
                name, self._failed_in_a_row[name], trajectory.error,
            )  # fmt: skip

    def _note(self, task: Task, trajectory: Trajectory) -> None:
        if self._filters.drop(task, trajectory) is None:
            self._kept[task.id].add(trajectory.sample)
            self._demonstrations += 1

    def _tell(self) -> None:
        self._on_progress(self._settled, len(self._there), self._demonstrations)
