"""`saccade check recipe --probe N`: a mix of questions, played before it is trained on.

The first questions of each family are attempted once, with the policy of the run file and sampled
as its command does. A family that is never answered right teaches a policy to give up (measured in
docs/reproducing.md): it is named before a training begins. `train.drop_hopeless` watches for it
while one goes on.
"""

from __future__ import annotations

import asyncio
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from saccade.cli.checks.examine import Examination, State, as_attempted, reward_of
from saccade.cli.checks.kinds import Kind
from saccade.cli.common.options import spare_threads
from saccade.cli.common.progress import bars
from saccade.config import Part, Table
from saccade.errors import ConfigError
from saccade.measures.summary import Pair, Summary, summary
from saccade.recipe import Recipe, drawn_from, make_reward, task_source
from saccade.rollout import Job, rollout_many
from saccade.runs.assemble import Assembly, assemble
from saccade.tasks import UNNAMED, Divided, Outlined
from saccade.types import Record, StopReason, Task, Trajectory

if TYPE_CHECKING:
    from pydantic import JsonValue

    from saccade.train.recipe import RLRecipe

IDLE = 50
"""Number of questions that are drawn without a new family until a part counts as looked through."""
DRAWING_S = 60.0
"""Seconds after which the questions that were drawn until then are played."""


class Mix(NamedTuple):
    """Questions to play."""

    families: dict[str, list[Task]]
    """At most as many of each family as were asked for."""
    drawn: int
    """Number of questions that were drawn to find these."""
    in_time: bool
    """Whether each part of the source was looked through."""


def check_probed(kind: Kind, recipe: Record) -> None:
    """Make sure that a run file has questions.

    Raises:
        ConfigError: its command asks none.
    """
    if not isinstance(recipe, Recipe):
        raise ConfigError(
            f"--probe: saccade {kind.verb} asks no questions; leave --probe out, or name a run "
            "file with tasks"
        )


def probe(
    kind: Kind, recipe: Recipe, policy: Part | None, n: int, found: Examination, *, quiet: bool
) -> dict[str, JsonValue]:
    """Play `n` questions of each family, and name the families that are never answered right.

    In a training these are an error, unless `train.drop_hopeless` will drop them.

    Args:
        kind: What the run file is for.
        recipe: The run file.
        policy: What acts, as its command has it.
        n: Number of questions of each family.
        found: Takes the findings.
        quiet: Whether a terminal shows no progress.

    Returns:
        What was measured of each family; empty where nothing could be played.
    """
    if policy is None or found.failed:
        found.add("probe", "not tried", "the errors above come first")
        return {}
    path = str(policy.options.get("path"))
    if policy.kind == "hf" and not Path(path).is_dir():
        found.add("probe", "not tried", f"{path} is no folder here, and the hub is not asked")
        return {}
    with found.part("probe"):
        mix = questions(recipe, n)
        acting = _on_its_device(kind, recipe, policy)
        playing = recipe.model_copy(update={"policy": acting})
        pairs = _play(kind, playing, mix, quiet=quiet)
        return _reported(kind, recipe, mix, pairs, found)
    return {}


def questions(recipe: Recipe, n: int, *, seconds: float = DRAWING_S) -> Mix:
    """The first `n` questions of each family of a run file.

    Args:
        recipe: The run file.
        n: Number of questions of each family.
        seconds: Time after which no more are drawn.

    Raises:
        ConfigError: no `tasks` section, one that cannot be used, or no question.
        FormatError: a file of questions that cannot be used.
        PluginError: the source raised.
    """
    source, until = task_source(recipe), time.monotonic() + seconds
    families: dict[str, list[Task]] = {}
    drawn, in_time = 0, True
    for part in source.parts() if isinstance(source, Divided) else [source]:
        told = _told(part)
        idle = 0
        for task in drawn_from(part, recipe):
            drawn += 1
            held = families.setdefault(task.family or UNNAMED, [])
            if len(held) < n:
                held.append(task)
                idle = 0
            idle += 1
            full = all(len(families.get(name, ())) >= n for name in told)
            full = full and all(len(tasks) >= n for tasks in families.values())
            if full and (told or idle > IDLE):
                break
            if time.monotonic() > until:
                in_time = False
                break
    if not drawn:
        raise ConfigError("tasks: there is no question to probe")
    return Mix(families, drawn, in_time)


def _told(source: object) -> set[str]:
    """The families that a source can tell without drawing its questions."""
    if not isinstance(source, Outlined):
        return set()
    return {outline.family or UNNAMED for outline in source.outlines()}


def _on_its_device(kind: Kind, recipe: Recipe, policy: Part) -> Part:
    """The model that is trained, where and in the numbers in which it is trained."""
    if kind.name != "rl":
        return policy
    from saccade.models.devices import devices

    options = cast("RLRecipe", recipe).train
    found = [name for name in devices() if name.startswith("cuda") and options.device == "auto"]
    more: Table = {"dtype": options.dtype, "device": "cuda" if found else "cpu"}
    if options.generation_batch is not None:
        more["max_batch"] = options.generation_batch
    return Part.model_validate({"kind": policy.kind, **policy.options, **more})


def _play(kind: Kind, recipe: Recipe, mix: Mix, *, quiet: bool) -> list[Pair]:
    """An attempt at each question."""
    spare_threads(recipe.policy)
    with warnings.catch_warnings():  # of mismatches, which are findings of the trial
        warnings.simplefilter("ignore", UserWarning)
        assembly = assemble(as_attempted(recipe))
    training = kind.name == "rl"
    reward = make_reward(recipe, training=True) if training else reward_of(recipe)
    total = sum(map(len, mix.families.values()))
    pairs: list[Pair] = []
    with bars(quiet=quiet) as progress:
        bar = progress.add_task("probe", total=total)

        def keep(task: Task, trajectory: Trajectory) -> None:
            pairs.append((task, trajectory))
            progress.update(bar, advance=1)

        jobs = (Job(task) for tasks in mix.families.values() for task in tasks)
        asyncio.run(_played(recipe, assembly._replace(reward=reward), jobs, keep))
    return pairs


async def _played(
    recipe: Recipe,
    assembly: Assembly,
    jobs: Iterable[Job],
    keep: Callable[[Task, Trajectory], None],
) -> None:
    try:
        await assembly.environment.start()
        await rollout_many(
            assembly.policy,
            assembly.environment,
            jobs,
            on_finish=keep,
            concurrency=recipe.concurrency,
            seed=recipe.seed,
            sampling=recipe.sampling,
            reward=assembly.reward,
        )
    finally:
        await assembly.close()


def _reported(
    kind: Kind, recipe: Recipe, mix: Mix, pairs: list[Pair], found: Examination
) -> dict[str, JsonValue]:
    guarded = kind.name == "rl" and cast("RLRecipe", recipe).train.drop_hopeless is not None
    families: dict[str, JsonValue] = {}
    never: list[str] = []
    for name in mix.families:
        played = [pair for pair in pairs if (pair[0].family or UNNAMED) == name]
        measured = summary(played)
        families[name] = {
            "questions": measured.episodes, "scored": measured.scored, "right": measured.correct,
            "accuracy": measured.accuracy, "low": measured.low, "high": measured.high,
            "tool_calls": measured.tool_calls, "tool_call_rate": measured.tool_call_rate,
        }  # fmt: skip
        text = f"{name}: {_line(measured)}"
        if not measured.scored:
            found.add("probe", "not tried", f"{text}{_most_often(played)}")
        elif measured.correct:
            found.add("probe", "ok", text)
        else:
            never.append(name)
            state: State = "error" if kind.name == "rl" and not guarded else "warning"
            found.add("probe", state, f"{text}: never right; {_advice(kind, guarded=guarded)}")
    if not mix.in_time:
        text = f"{mix.drawn:,} questions were looked through in {DRAWING_S:g} s"
        found.add("probe", "warning", f"{text}; families that only come later are not probed")
    return {"probe": {"drawn": mix.drawn, "families": families, "never_right": list(never)}}


def _line(measured: Summary) -> str:
    if not measured.scored:
        return f"none of {measured.episodes} could be scored"
    calls = f"{measured.tool_calls:.2f} calls a question"
    interval = f"95 % CI {measured.low:.2f}-{measured.high:.2f}"
    return f"{measured.correct} of {measured.scored} right ({interval}), {calls}"


def _most_often(played: list[Pair]) -> str:
    errors = Counter(t.error for _, t in played if t.stop is StopReason.ABORTED and t.error)
    return "".join(f": {error}" for error, _ in errors.most_common(1))


def _advice(kind: Kind, *, guarded: bool) -> str:
    if kind.name != "rl":
        return "a training on it would teach to give up"
    if guarded:
        return "train.drop_hopeless drops it if that stays so"
    return (
        "a training on it teaches to give up: leave the family out, begin with a model that "
        "answers some, or set train.drop_hopeless"
    )
