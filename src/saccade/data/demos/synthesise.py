"""Cold-start demonstrations: teachers solve questions with the real tools, the best is kept.

DeepEyesV2 begins with supervised fine-tuning on episodes of strong models that were driven turn by
turn: "we only preserve trajectories where the final answer is correct and the code is error-free".
Source: arXiv 2511.05271, section 3.2; the code that made them was not published.

In the folder `out`:

    played/        a run folder with every episode, which a rerun goes on with
    kept/          a run folder with the demonstrations: `saccade sft runs=[...]` reads it
    sharegpt/      the same for LLaMA-Factory, and in trl/ for TRL: see `demos.written_as`
    report.jsonl   a line for each attempt: kept, or why not (`Attempt`)
    audit.json     what all of it has come to (`Audit`), and as a page in audit.md
    summary.json   the counts of it
    spent.jsonl    a line for each request that a teacher has answered

All but `played/` and `spent.jsonl` is derived from these, and written anew by each start.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

from saccade.data.demos.audit import Attempt, Audit, attempt_of, audit_of, markdown_of
from saccade.data.demos.budget import SPENT, Meter
from saccade.data.demos.filters import Filters
from saccade.data.demos.kept import KEPT, check_formats, clear_parts, write_as, write_kept
from saccade.data.demos.leaks import Leaks
from saccade.data.demos.play import OnProgress, Stage
from saccade.data.demos.recipe import DemosRecipe
from saccade.data.demos.teachers import TEACHER, make_teachers
from saccade.files import write_parts, write_whole
from saccade.plugins import guarded
from saccade.recipe import make_environment, make_reward, task_source
from saccade.runs.assemble import mismatches
from saccade.runs.claim import Claim
from saccade.runs.folder import JOURNALS, RunFolder, RunReader
from saccade.runs.manifest import manifest_of
from saccade.tasks import Outlined
from saccade.types import Task

PLAYED = "played"
REPORT, AUDIT, PAGE, SUMMARY = "report.jsonl", "audit.json", "audit.md", "summary.json"
BEGUN = (SPENT, REPORT, *(f"{PLAYED}/{name}" for name in JOURNALS))
"""What shows that a synthesis has done something; see `saccade.runs.claim`."""


class Synthesised(NamedTuple):
    """The result."""

    kept: Path
    """The run folder of the demonstrations."""
    audit: Audit
    open: dict[str, int]
    """Why attempts were not made, and how many: the same command makes them."""


async def synthesise(
    recipe: DemosRecipe, *, on_progress: OnProgress = lambda *_: None
) -> Synthesised:
    """Let teachers play, and keep what students can learn from; run it again to resume.

    Args:
        recipe: The run file.
        on_progress: Called with the number of questions that are settled, of episodes that are
            finished, and of those that are kept.

    Raises:
        ConfigError: a recipe that cannot work, or `out` holds another synthesis.
        MissingExtra: a part or a format needs an optional dependency.
        StoreError: the folder cannot be written; what was finished is kept.
        PluginError: a dialect or the source of the questions raised; what was played is kept.
    """
    out = Path(recipe.out)
    check_formats(recipe.demos.written_as)
    environment = make_environment(recipe)
    reward, teachers = make_reward(recipe), make_teachers(recipe)
    record = environment.record
    manifest = manifest_of("demos", recipe, fingerprint=record.fingerprint, prompts=record.prompts)
    leaks = Leaks(environment, _outlines(recipe), kinds=recipe.demos.filters.leaks)
    filters = Filters(recipe.demos.filters, leaks, teachers)
    async with AsyncExitStack() as stack:
        for part in (teachers, environment, reward):
            stack.push_async_callback(part.close)
        for teacher in teachers.all:
            for mismatch in mismatches(teacher.policy.info, environment):
                warnings.warn(f"teacher {teacher.name}: {mismatch}", stacklevel=2)
        with Claim(out, manifest, begun=BEGUN):
            clear_parts(out)
            with RunFolder(out / PLAYED, manifest) as folder:
                meter = Meter(out, recipe.demos.caps, finished=len(folder.done))
                stack.callback(meter.close)
                teachers.meter = meter
                stage = Stage(
                    recipe, environment, reward, teachers, folder, leaks, filters, on_progress
                )
                await stage.play()
            attempts = _attempts(out, recipe, filters, stage)
            kept = {(a.task, a.sample) for a in attempts if a.kept and a.sample is not None}
            write_kept(out, manifest, out / PLAYED, kept)
            formats = write_as(out, recipe.demos.written_as)
            noted = {"stopped": meter.reached, "down": stage.down, "formats": formats}
            audit = audit_of(attempts, meter.by_teacher).model_copy(update=noted)
            opened = _open(attempts, stage)
            _write_report(out, attempts, audit, opened)
    return Synthesised(out / KEPT, audit, opened)


def _outlines(recipe: DemosRecipe) -> Iterable[Task]:
    """All questions without their images, of a source that can tell them."""
    source = task_source(recipe)
    if isinstance(source, Outlined):
        with guarded("tasks"):
            yield from source.outlines()


def _attempts(out: Path, recipe: DemosRecipe, filters: Filters, stage: Stage) -> list[Attempt]:
    """Every attempt that the folder holds, by question and sample, and what becomes of it."""
    found: dict[str, list[Attempt]] = {}
    for task, trajectory in RunReader(out / PLAYED).entries():
        name = str(trajectory.annotations.get(TEACHER, ""))
        drop = filters.drop(task, trajectory)
        found.setdefault(task.id, []).append(attempt_of(task, trajectory, name, drop))
    for task, teacher, leak in stage.leaking.values():
        unasked = Attempt(
            task=task.id, sample=None, teacher=teacher.name, reason=leak.reason,
            detail=leak.detail, source=task.source, family=task.family,
        )  # fmt: skip
        found.setdefault(task.id, []).append(unasked)
    settled = (_settled(attempts, recipe.demos.enough) for attempts in found.values())
    return [attempt for attempts in settled for attempt in attempts]


def _settled(attempts: list[Attempt], enough: int) -> list[Attempt]:
    """The attempts at a question in order, without copies and without more than is wanted."""
    decided: list[Attempt] = []
    texts: set[str] = set()
    for attempt in sorted(attempts, key=lambda a: (a.sample is None, a.sample)):
        reason = ""
        if attempt.kept and attempt.text in texts:
            reason = "copy"
        elif attempt.kept and len(texts) >= enough:
            reason = "enough"
        elif attempt.kept:
            texts.add(attempt.text)
        changed = {"kept": False, "reason": reason} if reason else {}
        decided.append(attempt.model_copy(update=changed))
    return decided


def _open(attempts: Iterable[Attempt], stage: Stage) -> dict[str, int]:
    """Why attempts are open, and how many; a question that has enough has none."""
    solved = {a.task for a in attempts if a.kept}
    reasons: dict[str, int] = {}
    waiting = [a.reason for a in attempts if a.reason in ("aborted", "not scored")]
    for reason in [*waiting, *(why for (task, _), why in stage.open.items() if task not in solved)]:
        reasons[reason] = reasons.get(reason, 0) + 1
    return reasons


def _write_report(
    out: Path, attempts: Iterable[Attempt], audit: Audit, opened: dict[str, int]
) -> None:
    write_parts(out / REPORT, (a.model_dump_json().encode() + b"\n" for a in attempts))
    write_whole(out / AUDIT, audit.model_dump_json(indent=1).encode() + b"\n")
    write_whole(out / PAGE, markdown_of(audit).encode())
    counts = audit.model_dump(mode="json", include=set(_COUNTS)) | {"open": opened}
    write_whole(out / SUMMARY, (json.dumps(counts, indent=2) + "\n").encode())


_COUNTS = ("questions", "solved", "episodes", "kept", "dropped", "stopped", "down")
