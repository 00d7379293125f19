"""What a synthesis has come to: what was kept and why the rest was not, tools, lengths, variety."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median

from pydantic import Field

from saccade.data.demos.budget import Usage
from saccade.data.demos.filters import Drop, chars_of, tokens_of
from saccade.measures.summary import is_correct
from saccade.types import Record, Task, Trajectory

CODE = ("python",)
LOOK = ("image_zoom_in_tool", "read_text")
SEARCH = ("text_search", "search", "image_search", "visit", "open_page")


class Attempt(Record):
    """An episode and what became of it; a line of `report.jsonl`."""

    task: str
    """Id of the question."""
    sample: int | None
    """Which attempt at the question; None: it was not asked."""
    teacher: str
    kept: bool = False
    reason: str = ""
    """Why it was dropped: see `saccade.data.demos.filters`."""
    detail: str = ""
    correct: bool | None = None
    """What the judge said of its answer."""
    tools: dict[str, int] = Field(default_factory=dict)
    """Name of a tool -> number of calls, those that failed included."""
    turns: int = 0
    tokens: int = 0
    """Number of tokens that the teacher wrote."""
    chars: int = 0
    """Number of characters of turns and observations."""
    source: str = ""
    family: str = ""
    thought: str = ""
    """Digest of the first thought, upper case, digits and spaces left aside."""
    text: str = ""
    """Digest of all turns: two attempts with the same one are copies."""


class Length(Record):
    """How long the kept episodes are."""

    mean: float
    median: float
    most: float


class TeacherAudit(Record):
    """What a teacher has come to."""

    episodes: int
    """Number of episodes that were finished."""
    aborted: int
    """Number of attempts that failed on our side and were not made good yet."""
    accuracy: float | None
    """Share of right answers among those that were judged."""
    kept: int
    tokens_in: int
    tokens_out: int
    money: float
    """What its requests cost, those of aborted episodes included."""


class FormatAudit(Record):
    """What was written in a format of others."""

    written: int
    """Number of demonstrations."""
    images: int
    left_out: dict[str, int]
    """Reason -> number of demonstrations that the format cannot hold."""


class Audit(Record):
    """The content of `audit.json`."""

    questions: int
    """Number of questions that were asked, or that could not be because of a leak."""
    solved: int
    """Number of questions of which an episode is kept."""
    episodes: int
    """Number of episodes that were finished."""
    kept: int
    dropped: dict[str, int]
    """Reason -> number of attempts, by how often."""
    details: dict[str, int]
    """Reason with its detail -> number of attempts: the most frequent ones."""
    open: int
    """Number of attempts that another start makes again."""
    teachers: dict[str, TeacherAudit]
    tools: dict[str, int]
    """Name of a tool -> number of calls in kept episodes."""
    mix: dict[str, float]
    """Share of the kept episodes with code, a search, a look, several of them, or no call."""
    calls: dict[str, int]
    """Number of calls -> number of kept episodes with so many."""
    turns: Length | None
    tokens: Length | None
    chars: Length | None
    distinct_thoughts: float | None
    """Number of different first thoughts over the number of kept episodes: 1 where none is used
    twice."""
    groups: dict[str, dict[str, int]]
    """Family, or source, of a question -> number of questions, of episodes, and of those kept."""
    formats: dict[str, FormatAudit] = Field(default_factory=dict)
    """Format of others -> what was written in it."""
    stopped: str = ""
    """Which cap ended the run before all questions were settled."""
    down: dict[str, str] = Field(default_factory=dict)
    """Teacher that was asked no more -> the last failure of its episodes."""


def attempt_of(task: Task, trajectory: Trajectory, teacher: str, drop: Drop | None) -> Attempt:
    """What the report says of an episode."""
    thought = trajectory.turns[0].action.thought if trajectory.turns else None
    texts = [(t.prefix, t.completion.text, t.completion.thought) for t in trajectory.turns]
    calls = [w.arguments for t in trajectory.turns for w in t.completion.tool_calls]
    return Attempt(
        task=task.id,
        sample=trajectory.sample,
        teacher=teacher,
        kept=drop is None,
        reason="" if drop is None else drop.reason,
        detail="" if drop is None else drop.detail,
        correct=is_correct(trajectory),
        tools=tools_of(trajectory),
        turns=len(trajectory.turns),
        tokens=tokens_of(trajectory),
        chars=chars_of(trajectory),
        source=task.source,
        family=task.family,
        thought=_digest("".join(filter(str.isalpha, thought or "")).casefold()),
        text=_digest(repr((texts, calls))),
    )


def tools_of(trajectory: Trajectory) -> dict[str, int]:
    """Name of what was called -> how often."""
    return dict(Counter(result.call.name or "(unread)" for result in trajectory.results))


def audit_of(attempts: Sequence[Attempt], used: Mapping[str, Usage]) -> Audit:
    """The statistics of a report.

    Args:
        attempts: Every line of it.
        used: Name of a teacher -> what its requests came to.
    """
    kept = [a for a in attempts if a.kept]
    dropped = [a for a in attempts if not a.kept]
    asked = [a for a in attempts if a.sample is not None]
    tools: Counter[str] = Counter()
    for attempt in kept:
        tools.update(attempt.tools)
    by_reason = Counter(a.reason for a in dropped)
    details = Counter(f"{a.reason}: {a.detail}" for a in dropped if a.detail)
    is_open = [a for a in dropped if Drop(a.reason).is_open]
    return Audit(
        questions=len({a.task for a in attempts}),
        solved=len({a.task for a in kept}),
        episodes=len(asked) - sum(a.reason == "aborted" for a in asked),
        kept=len(kept),
        dropped=dict(by_reason.most_common()),
        details=dict(details.most_common(20)),
        open=len(is_open),
        teachers=_teachers(asked, used),
        tools=dict(tools.most_common()),
        mix=_mix(kept),
        calls={str(n): count for n, count in sorted(Counter(map(_calls, kept)).items())},
        turns=_length(a.turns for a in kept),
        tokens=_length(a.tokens for a in kept),
        chars=_length(a.chars for a in kept),
        distinct_thoughts=len({a.thought for a in kept}) / len(kept) if kept else None,
        groups=_groups(attempts),
    )


def markdown_of(audit: Audit) -> str:
    """The audit as a page of tables."""
    lines = [
        "# Demonstrations",
        "",
        f"{audit.kept} of {audit.episodes} episodes are kept, of {audit.solved} of "
        f"{audit.questions} questions.",
    ]
    if audit.stopped:
        lines += ["", f"Stopped: {audit.stopped}."]
    lines += [f"\nTeacher {name} is down: {why}." for name, why in audit.down.items()]
    for title, head, rows in tables_of(audit):
        lines += ["", f"## {title}", "", _row(head), _row(["---"] * len(head))]
        lines += [_row(row) for row in rows]
    return "\n".join(lines) + "\n"


def tables_of(audit: Audit) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, head and rows of each table."""
    found = [
        ("Dropped", ["reason", "attempts"], _counts(audit.dropped)),
        (
            "Teachers",
            ["teacher", "episodes", "accuracy", "kept", "aborted", "tokens in", "out", "money"],
            [
                [name, str(t.episodes), _share(t.accuracy), str(t.kept), str(t.aborted),
                 f"{t.tokens_in:,}", f"{t.tokens_out:,}", f"{t.money:.4f}"]
                for name, t in audit.teachers.items()
            ],
        ),
        ("Tools", ["tool", "calls in kept episodes"], _counts(audit.tools)),
        ("Kept episodes with", ["", "share"], [[k, _share(v)] for k, v in audit.mix.items()]),
        ("Calls", ["calls", "kept episodes"], _counts(audit.calls)),
        (
            "Lengths",
            ["of kept episodes", "mean", "median", "most"],
            [
                [name, f"{length.mean:.1f}", f"{length.median:.1f}", f"{length.most:.0f}"]
                for name, length in (
                    ("turns", audit.turns), ("tokens written", audit.tokens),
                    ("characters", audit.chars),
                )
                if length is not None
            ],
        ),
        (
            "Questions",
            ["family or source", "questions", "episodes", "kept"],
            [[n, *(str(g[k]) for k in ("questions", "episodes", "kept"))]
             for n, g in audit.groups.items()],
        ),
        (
            "Formats",
            ["format", "written", "images", "left out"],
            [[name, str(f.written), str(f.images), _reasons(f.left_out)]
             for name, f in audit.formats.items()],
        ),
        ("First thoughts", ["different, of kept"], [[_share(audit.distinct_thoughts)]]),
    ]  # fmt: skip
    return [table for table in found if table[2]]


def _teachers(asked: Sequence[Attempt], used: Mapping[str, Usage]) -> dict[str, TeacherAudit]:
    found = {}
    for name in sorted({a.teacher for a in asked} | set(used)):
        own, usage = [a for a in asked if a.teacher == name], used.get(name, Usage())
        judged = [a.correct for a in own if a.correct is not None]
        aborted = sum(a.reason == "aborted" for a in own)
        found[name] = TeacherAudit(
            episodes=len(own) - aborted,
            aborted=aborted,
            accuracy=fmean(judged) if judged else None,
            kept=sum(a.kept for a in own),
            **usage._asdict(),
        )
    return found


def _mix(kept: Sequence[Attempt]) -> dict[str, float]:
    """What the kept episodes use: one seam for what counts as code, search and look."""
    kinds = {"code": CODE, "search": SEARCH, "look": LOOK}
    used = [{k for k, names in kinds.items() if set(names) & set(a.tools)} for a in kept]
    if not kept:
        return {}
    shares = {kind: fmean(kind in each for each in used) for kind in kinds}
    several = fmean(len(each) > 1 for each in used)
    return shares | {"several of these": several, "no call": fmean(not a.tools for a in kept)}


def _groups(attempts: Sequence[Attempt]) -> dict[str, dict[str, int]]:
    names = sorted({a.family or a.source for a in attempts})
    groups = {}
    for name in names:
        own = [a for a in attempts if (a.family or a.source) == name]
        groups[name] = {
            "questions": len({a.task for a in own}),
            "episodes": sum(a.sample is not None for a in own),
            "kept": sum(a.kept for a in own),
        }
    return groups


def _calls(attempt: Attempt) -> int:
    return sum(attempt.tools.values())


def _length(values: Iterable[float]) -> Length | None:
    listed = sorted(values)
    if not listed:
        return None
    return Length(mean=fmean(listed), median=median(listed), most=listed[-1])


def _counts(counts: Mapping[str, int]) -> list[list[str]]:
    return [[name, str(count)] for name, count in counts.items()]


def _reasons(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in counts.items()) or "-"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _row(cells: Iterable[str]) -> str:
    escaped = (" ".join(cell.split()).replace("|", r"\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()
