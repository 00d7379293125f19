"""The reward of a benchmark: its rule decides first, then the judges of the run file.

What the rule says by itself is noted beside the verdict, so that the score of rules alone stands
beside the judged one in every table.
"""

from __future__ import annotations

from pydantic import ValidationError

from saccade.bench.benchmark import Benchmark
from saccade.errors import ConfigError, SaccadeError
from saccade.plugins import guarded
from saccade.rewards import Reward, RewardOptions
from saccade.rewards.judges import Choice, Exact, FirstOf, Judge, gold_option
from saccade.types import Task, Trajectory, Verdict

RULES = "benchmark"
"""What tasks of benchmarks name as their judge (`Task.judge`): the rule of the benchmark."""
RULE = "rule"
"""The annotation with the verdict of the rule alone, of an episode that ended with an answer."""


class BenchReward(Reward):
    """Scores the episodes of a benchmark. Immutable."""

    def __init__(self, benchmark: Benchmark, options: RewardOptions) -> None:
        """Put the rule of a benchmark before the judges of a run file.

        Raises:
            ConfigError: an unknown preset, term or judge, or a wrong option.
            MissingExtra: a judge is not installed.
        """
        self._benchmark = benchmark
        models = [j for j in options.make_judges() if not isinstance(j, Exact | Choice)]
        self._models = [*map(benchmark.judging, models)]
        judges: list[Judge] = [_Rule(benchmark), *self._models]
        super().__init__(
            options.make_terms(),
            FirstOf(judges),
            judges={RULES: FirstOf(judges)},
            unread=options.unread or "unscored",
            long_answers="judged",
        )

    async def apply(self, task: Task, trajectory: Trajectory) -> Trajectory:
        """The trajectory with its verdict and score, and with what the rule says by itself.

        Raises:
            ConfigError: no task can be scored so, or the episode was played with tools that the
                benchmark's options exclude.
        """
        self._benchmark.check_tools([tool.name for tool in trajectory.environment.tools])
        answer = trajectory.answer
        if answer is not None and task.answer is not None:
            try:
                with guarded(f"benchmark {self._benchmark.name}"):
                    rule = await self._benchmark.judge_episode(task, trajectory)
            except ConfigError:
                raise
            except SaccadeError as error:
                return trajectory.unscored(error)
            noted = {**trajectory.annotations, RULE: rule.model_dump(mode="json")}
            trajectory = trajectory.model_copy(update={"annotations": noted})
        return await super().apply(task, trajectory)

    async def _opinion(self, task: Task, trajectory: Trajectory) -> Verdict:
        """What the rule says, as it is noted, and where that is nothing, what the models say."""
        rule = _Rule(self._benchmark, rule_verdict(trajectory))
        return await FirstOf([rule, *self._models]).judge(task, trajectory.answer or "")

    def check(self, task: Task) -> None:
        """Find out before an episode whether it could be scored.

        Raises:
            ConfigError: the gold answer does not name one of the options.
        """
        super().check(task)
        if task.choices and task.answer is not None and gold_option(task) is None:
            raise ConfigError(
                f"{task.id}: {task.answer[:200]!r} names none of the options for sure"
            )


class _Rule:
    """The rule of a benchmark as a judge, which closes it."""

    def __init__(self, benchmark: Benchmark, said: Verdict | None = None) -> None:
        self._benchmark = benchmark
        self._said = said

    @property
    def name(self) -> str:
        return f"{RULE}:{self._benchmark.name}"

    async def judge(self, task: Task, answer: str) -> Verdict:
        return self._said or await self._benchmark.judge(task, answer)

    async def close(self) -> None:
        await self._benchmark.close()


def rule_verdict(trajectory: Trajectory) -> Verdict | None:
    """What the rule alone says; None where there was no answer to judge."""
    try:
        return Verdict.model_validate(trajectory.annotations.get(RULE))
    except ValidationError:
        return None
