"""Visual evidence gain, measured: an observation is replaced, everything before it stays.

A policy that tells how likely it finds an answer (`policies.ScoringPolicy`, every local model) is
asked for the gold answer behind the observation as it was, behind a grey image and behind another
place, all of one size. Two answers are asked for. One follows the observation at once: a thought
that was written behind the observation has named what was seen, and would carry it past the
replacement. The other follows that thought, as far as the model wrote it: what is left there is
what the image says beyond the words.

Of any other policy the recorded turns up to the observation are played again, with and without the
replacement, and it goes on from there: accuracy over continuations. Whatever it looks at later is
replaced too, or it would only look once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from saccade.bench.audit.looks import Look, another_place, finished, looks, replaced, up_to
from saccade.dialects.base import Seams
from saccade.errors import FormatError
from saccade.files import read_lines
from saccade.policies import ScoringPolicy
from saccade.rewards.judges import gold_option
from saccade.runs.journal import Journal
from saccade.tools.staged import blank
from saccade.types import Completion, Record, Task, Trajectory, option_letter

SCORES = "evidence.jsonl"
KEPT, BLANK = "evidence_kept", "evidence_blank"
"""Run folders of the continuations."""
MAX_LINE = 2**16


class Told(Record):
    """Log-probabilities of the gold answer in one episode, in nats; a line of `evidence.jsonl`."""

    task: str
    sample: int
    kept: float
    """With the observation as it was; the answer follows at once."""
    blank: float
    wrong: float | None
    """None where the image has no room for another place."""
    thought_kept: float | None
    """The same behind the thought that the model wrote; None where its next turn is no answer, or
    the answer has no opening of its own."""
    thought_blank: float | None


class Opening(NamedTuple):
    """How a turn goes on where the answer follows."""

    begun: str
    closing: str


async def tell(
    policy: ScoringPolicy,
    seams: Seams,
    agent: Path,
    out: Path,
    *,
    on_progress: Callable[[int], None],
) -> None:
    """Score every episode with a look that is not in the file yet.

    Args:
        policy: The policy that played the episodes.
        seams: Those of its dialect.
        agent: The run folder of the agent.
        out: The folder of the audit.
        on_progress: Called with the number of episodes that are in the file.

    Raises:
        StoreError: the file cannot be written.
        FormatError: it is damaged.
    """
    done = {(told.task, told.sample) for told in read_told(out)}
    on_progress(len(done))
    journal = Journal(out, SCORES)
    try:
        for task, trajectory in finished(agent):
            answer, seen = gold(task), looks(trajectory)
            if answer is None or not seen or (task.id, trajectory.sample) in done:
                continue
            told = await _told(policy, seams, task, trajectory, seen[-1], answer)
            journal.append(told.model_dump_json().encode() + b"\n")
            done.add((task.id, trajectory.sample))
            on_progress(len(done))
    finally:
        journal.close()


def read_told(out: Path) -> Iterator[Told]:
    """The lines of `evidence.jsonl`; none where there is no such file.

    Raises:
        FormatError: a line is damaged; names file and line.
    """
    file = out / SCORES
    if not file.exists():
        return
    for number, line in read_lines(file, most=MAX_LINE):
        if not line.endswith(b"\n"):
            return  # it is still being written
        try:
            yield Told.model_validate_json(line)
        except ValidationError as error:
            raise FormatError(f"{file}:{number}: {error.errors()[0]['msg']}") from error


def gold(task: Task) -> str | None:
    """The gold answer as a model is to write it: the letter of an option, or the text."""
    if not task.answer:
        return None
    place = gold_option(task) if task.choices else None
    return task.answer.strip() if place is None else option_letter(place)


def opening(seams: Seams, prefix: str) -> Opening:
    """What stands before an answer that follows at once, and what closes it.

    A thought that the prefix opens is closed empty. An answer that nothing opens ends its turn.
    """
    thought, answer = seams.thought, seams.answer
    inside = thought is not None and prefix.startswith(thought.opening)
    begun = thought.closing if thought is not None and inside else ""
    return Opening(begun, "") if answer is None else Opening(begun + answer.opening, answer.closing)


class Recorded(NamedTuple):
    """The first episodes of the agent, as far as they are played again."""

    begun: dict[str, tuple[Completion, ...]]
    """Task id -> the turns up to the last look."""
    calls: dict[str, int]
    """Task id -> number of accepted calls before that look."""


def recorded(agent: Path) -> Recorded:
    """What is repeated of each question whose first episode has a look."""
    found = Recorded({}, {})
    for task, trajectory in finished(agent):
        seen = looks(trajectory) if trajectory.sample == 0 else []
        if seen:
            turns = trajectory.turns[: seen[-1].turn + 1]
            found.begun[task.id] = tuple(turn.completion for turn in turns)
            found.calls[task.id] = seen[-1].calls
    return found


async def _told(
    policy: ScoringPolicy,
    seams: Seams,
    task: Task,
    trajectory: Trajectory,
    look: Look,
    answer: str,
) -> Told:
    begun = up_to(trajectory, look)
    empty = replaced(begun, look, blank(look.crop))
    place = another_place(task, trajectory, look)
    lead, closing = opening(seams, begun.prefix)

    async def ask(so_far: Trajectory, lead: str) -> float:
        return await policy.answer_log_prob(
            so_far, answer + closing, begun=lead, ends_turn=not closing
        )

    words = _own_words(seams, trajectory, look)
    return Told(
        task=task.id,
        sample=trajectory.sample,
        kept=await ask(begun, lead),
        blank=await ask(empty, lead),
        wrong=None if place is None else await ask(replaced(begun, look, place), lead),
        thought_kept=None if words is None else await ask(begun, words),
        thought_blank=None if words is None else await ask(empty, words),
    )


def _own_words(seams: Seams, trajectory: Trajectory, look: Look) -> str | None:
    """What the model wrote behind a look, up to its answer; None where that cannot be told."""
    last = trajectory.turns[-1]
    if seams.answer is None or trajectory.answer is None or len(trajectory.turns) != look.turn + 2:
        return None
    at = last.completion.text.rfind(seams.answer.opening)
    return None if at < 0 else last.completion.text[: at + len(seams.answer.opening)]
