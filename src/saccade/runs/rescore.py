"""A finished run judged again: nothing is played, and nothing is written into its folder.

    recipe = RescoreRecipe(run="runs/demo", out="runs/demo-math", reward=RewardOptions(...))
    await rescore(recipe)
    compared(Path("runs/demo-math")).agreement

The new folder is a run folder like others: the same tasks, turns and images, each trajectory with
its new score and, as the annotation `RESCORED_FROM`, with the one that it had. What was aborted or
ran out of time is copied as it is. Images are shared with the old folder where the file system can
(hard links: no run ever changes an image).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pydantic import Field, JsonValue

from saccade.config import validate
from saccade.errors import ConfigError
from saccade.measures.paired import Paired, paired
from saccade.measures.summary import Summary, is_correct, summary
from saccade.rewards import Reward, RewardOptions
from saccade.rollout import in_parallel, score
from saccade.runs.earlier import RESCORED_FROM, Earlier, before_rescoring
from saccade.runs.execute import keeper
from saccade.runs.folder import Entry, RunFolder, RunReader, finished_in
from saccade.runs.manifest import RUN, Manifest, manifest_of, read_manifest
from saccade.types import Record, StopReason, Task, Trajectory

VERB = "rescore"

UNJUDGED = (StopReason.ABORTED, StopReason.TIMEOUT)
"""Ends of episodes that no reward scores."""


class RescoreRecipe(Record):
    """What is judged again, and how; the keys are those of a run file."""

    run: str
    """The folder of the run."""
    out: str
    """The new run folder."""
    reward: RewardOptions = RewardOptions()
    concurrency: int = Field(default=64, ge=1)
    """Number of episodes that may be judged at the same time."""
    max_aborts: int = Field(default=100, ge=1)
    """Number of episodes in a row on which the reward may fail before the command stops."""


class Rescored(Record):
    """Two verdicts on the same episodes."""

    out: str
    run: str
    """The folder of the run that was judged again."""
    fingerprint: str | None
    """The fingerprint of the environment in which the episodes were played."""
    before: Summary
    after: Summary
    judges_before: dict[str, int]
    """Name of a judge -> number of decisions that are its own."""
    judges_after: dict[str, int]
    """The same of the new ones: a question with options, or that names its judge, is judged by
    that whatever `reward.judge` says."""
    both: int
    """Number of episodes on which both verdicts are decided."""
    agreement: float | None
    """Share of these on which they are the same."""
    wrong_to_right: tuple[str, ...]
    """Ids of the episodes that were incorrect and are correct now."""
    right_to_wrong: tuple[str, ...]
    """Ids of the episodes that were correct and are incorrect now."""
    paired: Paired | None
    """The comparison question by question; None where no episode has both verdicts."""
    failed: int
    """Number of episodes on which the new reward raised; the same command scores them again."""
    reason: str | None
    """Why it raised most often."""


async def rescore(
    recipe: RescoreRecipe,
    *,
    reward: Reward | None = None,
    on_progress: Callable[[str, int, int], None] = lambda *_: None,
) -> None:
    """Judge every finished episode of a run that the new folder does not hold yet.

    Args:
        recipe: Which run, how, and where to.
        reward: Judges in place of that of the recipe: the rule of a benchmark is in none.
        on_progress: Called with what is counted, how many are done, and of how many.

    Raises:
        ConfigError: the reward cannot work, `out` holds another run, or lies in the old one.
        StoreError: there is no run in the folder, or the new one cannot be written.
        PluginError: the reward raised on `max_aborts` episodes in a row.
    """
    run, out = Path(recipe.run), Path(recipe.out)
    reader, total = RunReader(run), finished_in(run)
    if run.resolve() in (out.resolve(), *out.resolve().parents):
        raise ConfigError(f"out={out}: choose a folder outside of {run}, which is not written to")
    if not total:
        raise ConfigError(
            f"{run}: no finished episode to judge (those of a training are in rollouts/step-*)"
        )
    reward = reward or recipe.reward.make()
    try:
        with RunFolder(out, manifest_for(recipe)) as folder:
            done = len(folder.done)

            def on_finish(*_: object) -> None:
                nonlocal done
                done += 1
                on_progress("episodes", done, max(done, total))

            async def judge(entry: Entry) -> None:
                task, played = entry
                share_images(run, out, entry)
                if played.stop in UNJUDGED:
                    folder.append(task, played)
                else:
                    await score(task, _to_be_scored(played, recipe.run), reward, keep)

            on_progress("episodes", done, max(done, total))
            keep = keeper(folder, on_finish, most=recipe.max_aborts)
            left = _left(reader, RunReader(out), folder)
            await in_parallel(judge, left, concurrency=recipe.concurrency)
    finally:
        await reward.close()


def manifest_for(recipe: RescoreRecipe) -> Manifest:
    """The manifest of the run that is judged, with the reward that judges now."""
    source = read_manifest(Path(recipe.run))
    made = manifest_of(VERB, recipe, fingerprint=source.fingerprint, prompts=source.prompts)
    return made.model_copy(update={"config": source.config | made.config, "seed": source.seed})


def own_reward(run: Path) -> dict[str, JsonValue]:
    """The reward of a run, without what is as usual.

    Raises:
        ConfigError: it is none that this version knows.
    """
    held = read_manifest(run).config.get("reward")
    options = validate(RewardOptions, held if isinstance(held, dict) else {}, f"{run}: reward")
    return options.model_dump(mode="json", exclude_defaults=True)


def check_code(recipe: RescoreRecipe, said: str) -> None:
    """Refuse to import what only the folder of a run names: somebody else may have made it.

    Args:
        recipe: What is judged again.
        said: Everything that the user has said: settings and run file.

    Raises:
        ConfigError: a judge, a term or the benchmark is a module's that the user does not name.
    """
    bench = read_manifest(Path(recipe.run)).config.get("bench")
    names = [part.kind for part in recipe.reward.judge] + [*recipe.reward.weights]
    if isinstance(bench, dict):
        names.append(str(bench.get("kind")))
    if strange := sorted({name for name in names if ":" in name and name not in said}):
        raise ConfigError(
            f"{recipe.run}/{RUN} names code that is not Saccade's ({', '.join(strange)}), and a "
            "folder must not choose what is run: name it yourself, by the run file of that run "
            "with --recipe FILE, or in a setting"
        )


def compared(out: Path) -> Rescored:
    """What the two verdicts of a run that was judged again have in common.

    Raises:
        StoreError: there is no run in the folder.
    """
    reader = RunReader(out)
    opinions = [_opinions(*entry) for entry in reader.entries()]
    known = [o for o in opinions if o.before is not None and o.after is not None]
    agreed = sum(o.before == o.after for o in known)
    errors = Counter(o.trajectory.error for o in opinions if o.trajectory.reward_failed)
    return Rescored(
        out=str(out),
        run=str(reader.manifest.config.get("run")),
        fingerprint=reader.manifest.fingerprint,
        before=summary((o.task, o.earlier) for o in opinions),
        after=summary((o.task, o.trajectory) for o in opinions),
        judges_before=_judges(o.earlier for o in opinions),
        judges_after=_judges(o.trajectory for o in opinions),
        both=len(known),
        agreement=agreed / len(known) if known else None,
        wrong_to_right=tuple(o.trajectory.id for o in known if o.after and not o.before),
        right_to_wrong=tuple(o.trajectory.id for o in known if o.before and not o.after),
        paired=_by_question(known),
        failed=errors.total(),
        reason=errors.most_common(1)[0][0] if errors else None,
    )


class _Opinions(NamedTuple):
    task: Task
    trajectory: Trajectory
    earlier: Trajectory
    """The same with the score that it had."""
    before: bool | None
    after: bool | None


def _opinions(task: Task, trajectory: Trajectory) -> _Opinions:
    earlier = before_rescoring(trajectory) or trajectory
    return _Opinions(task, trajectory, earlier, is_correct(earlier), is_correct(trajectory))


def _judges(trajectories: Iterable[Trajectory]) -> dict[str, int]:
    verdicts = (t.verdict for t in trajectories)
    decided = (v.judge for v in verdicts if v is not None and v.correct is not None)
    return dict(Counter(decided).most_common())


def _by_question(known: list[_Opinions]) -> Paired | None:
    """Samples of one question are not independent: its shares of correct ones are compared."""
    if not known:
        return None
    attempts: dict[str, list[_Opinions]] = {}
    for opinion in known:
        attempts.setdefault(opinion.task.id, []).append(opinion)
    before = [sum(bool(o.before) for o in group) / len(group) for group in attempts.values()]
    after = [sum(bool(o.after) for o in group) / len(group) for group in attempts.values()]
    return paired(before, after)


def _left(reader: RunReader, judged: RunReader, folder: RunFolder) -> Iterator[Entry]:
    """The episodes of a run that the new folder does not hold."""
    done, aborted = folder.done, {(t.task_id, t.sample) for t in judged.aborted()}
    for entry in reader.entries():
        key = (entry.task.id, entry.trajectory.sample)
        copied = entry.trajectory.stop is StopReason.ABORTED and key in aborted
        if key not in done and not copied:
            yield entry


def _to_be_scored(played: Trajectory, run: str) -> Trajectory:
    """The trajectory with the score that it has as an annotation."""
    earlier = Earlier(run=run, verdict=played.verdict, score=played.score, error=played.error)
    noted = {**played.annotations, RESCORED_FROM: earlier.model_dump(mode="json")}
    return played.model_copy(update={"annotations": noted})


def share_images(run: Path, out: Path, entry: Entry) -> None:
    """Link the images of an episode that the run folder `out` lacks.

    Those that cannot be linked `RunFolder.append` writes.
    """
    for image in {*entry.task.images, *entry.trajectory.images}:
        old, new = (folder / "images" / image.source.name for folder in (run, out))
        if old.is_file() and not old.is_symlink():
            with suppress(OSError):
                os.link(old, new)
