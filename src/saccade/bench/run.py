"""A benchmark played: the same items in any arm, into a run folder that resumes.

    async with arm_of(recipe) as assembly:
        asked = await play_arm(recipe, assembly, out, on_finish=show)

Three arms attempt the same tasks. `direct` and `cot` are one turn in prompts without tools, for any
model that follows instructions; `agent` is the environment of the run file. A model that was
trained here speaks its own dialect alone, so that in `direct` and `cot` it is made to answer after
a thought of its own (`saccade.arms`).
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha256
from itertools import islice
from pathlib import Path

from saccade.arms import apply_arm
from saccade.bench.recipe import BenchRecipe
from saccade.bench.scoring import BenchReward
from saccade.bench.source import BenchTasks
from saccade.canary.warning import blindness, knows_the_world
from saccade.config import Part, validate
from saccade.plugins import guarded
from saccade.policies import LocalPolicy
from saccade.recipe import DialectPart, check_policy, make_environment, make_policy
from saccade.rewards import RewardOptions
from saccade.rollout import Job
from saccade.runs.assemble import Assembly, mismatches, unusable
from saccade.runs.execute import play
from saccade.runs.folder import Key, RunReader
from saccade.runs.manifest import RUN, read_manifest
from saccade.types import Policy, Task, Trajectory

VERB = "bench"
CHECKED = 4
"""Number of tasks that are drawn and checked before a run."""
LOOKED_AT = 100
"""Number of finished items that a run which goes on compares with the data set as it is now; those
that are attempted again are all compared."""

OnFinish = Callable[[Task, Trajectory], None]


async def run_bench(
    recipe: BenchRecipe,
    out: Path,
    *,
    on_finish: OnFinish,
    on_resume: Callable[[int], None] | None = None,
) -> frozenset[Key]:
    """Attempt every item that the run folder does not hold yet.

    Args:
        recipe: What to play.
        out: The run folder.
        on_finish: Called after an episode is safe in the folder.
        on_resume: Called with the number of episodes that the folder holds already.

    Returns:
        Task id and sample of every attempt that the recipe asks for.

    Raises:
        ConfigError: the recipe cannot work, or `out` holds another run.
        FormatError: a row of the data set cannot be used; names file and row.
        StoreError: the folder cannot be written; what was finished is kept.
        ServiceError: `recipe.max_aborts` episodes in a row were aborted.
        PluginError: so many failed in a row, the last one in its reward.

    Warns:
        UserWarning: the model seems blind, or the environment is not the one that it knows.
    """
    async with arm_of(recipe) as assembly:
        if not (out / RUN).exists():
            seeing = assembly.policy, assembly.environment
            said = await blindness(as_played(recipe), *seeing)
            if said is not None:
                warnings.warn(said, stacklevel=2)
        return await play_arm(recipe, assembly, out, on_finish=on_finish, on_resume=on_resume)


async def play_arm(
    recipe: BenchRecipe,
    assembly: Assembly,
    out: Path,
    *,
    on_finish: OnFinish,
    on_resume: Callable[[int], None] | None = None,
    tasks: Iterable[Task] | None = None,
) -> frozenset[Key]:
    """The same with parts that stand already, and that stay open.

    Args:
        recipe: What is played; it is kept in the folder.
        assembly: The policy in the environment of an arm, and what scores it.
        out: The run folder.
        on_finish: Called after an episode is safe in the folder.
        on_resume: Called with the number of episodes that the folder holds already.
        tasks: Other tasks than the items that the recipe asks for.

    Returns:
        Task id and sample of every attempt that is asked for.

    Raises:
        SaccadeError: as for `run_bench`.
    """
    asked: set[Key] = set()
    jobs = _jobs(recipe, out, asked) if tasks is None else _samples(recipe, tasks, asked)
    await play(VERB, recipe, assembly, jobs, out, on_finish=on_finish, on_resume=on_resume)
    return frozenset(asked)


@asynccontextmanager
async def arm_of(recipe: BenchRecipe) -> AsyncIterator[Assembly]:
    """The policy in the environment of an arm, and the reward; closed on the way out.

    Raises:
        ConfigError: a part is missing or cannot work.
        MissingExtra: a part needs an optional dependency.

    Warns:
        UserWarning: for each way in which the environment is not the one that the model knows.
    """
    async with AsyncExitStack() as stack:
        policy = make_policy(recipe)
        stack.push_async_callback(policy.close)
        reward = bench_reward(recipe)
        stack.push_async_callback(reward.close)
        forced = recipe.arm != "agent" and must_be_forced(policy)
        environment = make_environment(recipe if forced else as_played(recipe))
        stack.push_async_callback(environment.close)
        known = mismatches if forced or recipe.arm == "agent" else unusable
        for mismatch in known(policy.info, environment):
            warnings.warn(mismatch, stacklevel=2)
        player = apply_arm("direct" if forced else "agent", policy, environment)
        yield Assembly(player.policy, player.environment, reward)


def as_played(recipe: BenchRecipe) -> BenchRecipe:
    """The run file with the dialect and the limits of its arm, for a model that speaks any."""
    if recipe.arm == "agent":
        return recipe
    section = recipe.environment
    limits = section.limits.model_copy(update={"max_turns": 1})
    return recipe.model_copy(
        update={
            "dialect": DialectPart(kind=recipe.arm),
            "tools": {},
            "environment": section.model_copy(update={"limits": limits}),
        }
    )


def must_be_forced(policy: Policy) -> bool:
    """Whether a model answers at once only if it is made to, and can be made to.

    It speaks nothing but the dialect that it was trained in, and its weights are in this process:
    a server cannot be made to do anything.
    """
    own = bool(policy.info.fingerprints) or knows_the_world(policy.info.name)
    return own and isinstance(policy, LocalPolicy)


def bench_reward(recipe: BenchRecipe) -> BenchReward:
    """What scores the episodes of a benchmark.

    Raises:
        ConfigError: there is no such benchmark or judge, or an option is wrong.
        MissingExtra: a judge is not installed.
    """
    return BenchReward(recipe.source.made, recipe.reward)


def reward_of(run: Path, options: RewardOptions) -> BenchReward | None:
    """The reward with which the run in a folder can be judged again; None if it is no benchmark.

    Raises:
        ConfigError: it is a benchmark that this version does not know, or an option is wrong.
        StoreError: there is no run in the folder.
    """
    part = read_manifest(run).config.get("bench")
    if part is None:
        return None
    bench = validate(Part, part if isinstance(part, dict) else {}, f"{run}: bench")
    return BenchReward(BenchTasks(benchmark=bench).made, options)


def preflight(recipe: BenchRecipe) -> list[str]:
    """Find what can be wrong before a model is loaded; every row is read, few images are.

    Returns:
        The ids of the items that are asked; none, where a shard of few items is empty.

    Raises:
        ConfigError: a part cannot work, or the data set is not here.
        FormatError: a row cannot be used; names file and row.
        MissingExtra: a part needs an optional dependency.
    """
    source, reward = recipe.source, bench_reward(recipe)
    _ = source.place  # before what takes longer
    check_policy(recipe)
    offered = make_environment(as_played(recipe)).tools
    with guarded(f"bench {recipe.bench.kind}"):
        source.made.check_tools([tool.spec.name for tool in offered])
        ids = source.ids(recipe.seed)
        drawn = source.tasks(seed=recipe.seed, max_pixels=recipe.max_image_pixels)
        for task in islice(drawn, CHECKED):
            reward.check(task)
    return ids


def _jobs(recipe: BenchRecipe, out: Path, asked: set[Key]) -> Iterator[Job]:
    """Every attempt at every item; those of items that are finished are not made again.

    But for a few, which come first: whoever plays them finds out if the data set has changed.
    """
    played = Counter(t.task_id for t in RunReader(out).trajectories() if not t.reward_failed)
    whole = {name for name, number in played.items() if number >= recipe.samples}
    with guarded(f"bench {recipe.bench.kind}"):
        for name in recipe.source.ids(recipe.seed) if whole else ():
            if name in whole:
                asked.update((name, sample) for sample in range(recipe.samples))
        again = set(sorted(whole, key=lambda name: sha256(name.encode()).digest())[:LOOKED_AT])
        passes = [lambda name: name not in whole]
        if again:
            passes.insert(0, again.__contains__)
        for wanted in passes:
            tasks = recipe.source.tasks(
                seed=recipe.seed, max_pixels=recipe.max_image_pixels, wanted=wanted
            )
            yield from _samples(recipe, tasks, asked)


def _samples(recipe: BenchRecipe, tasks: Iterable[Task], asked: set[Key]) -> Iterator[Job]:
    for task in tasks:
        for sample in range(recipe.samples):
            asked.add((task.id, sample))
            yield Job(task, sample)
