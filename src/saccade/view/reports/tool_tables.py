"""The tables of tool use: kinds, invocation rate, code, combinations, families of trainings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from saccade.measures.means import Metric
from saccade.measures.tool_kinds import KINDS
from saccade.measures.tool_use import ToolUse
from saccade.view.dynamics import Dynamics
from saccade.view.reports.changes import ALL, Change
from saccade.view.reports.drawing import TITLES, set_title
from saccade.view.reports.gathered import (
    CURVES,
    RunTools,
    StepTools,
    families_of,
    family_columns,
)
from saccade.view.tables import Part, Table, interval, number, p_value

CODE_RATES = {
    "executed": "executed", "useful": "useful", "answers": "prints the answer", "used":
    "used later", "vacuous": "vacuous", "crashing": "crashing", "unique": "unique code",
    "repaired": "repaired", "right_after": "right after an error",
}  # fmt: skip
COMBINATIONS_SHOWN = 6
"""Combinations of a family that a table has for each run; the JSON has all."""
STEPS_SHOWN = 12
NOTES_SHOWN = 5
"""Records of a training that could not be used; the JSON names all."""


def tools_parts(runs: Sequence[RunTools], changes: Sequence[Change]) -> list[Part]:
    """What runs of episodes called; nothing where none of them called anything."""
    called = [run for run in runs if any(use.calls for use in run.families.values())]
    if not called:
        return []
    parts: list[Part] = [_invocation(runs)]
    if changes:
        parts.append(_changes(changes))
    parts += [_kinds(called), _combined(called)]
    coded = [run for run in called if any(use.code for use in run.families.values())]
    return [*parts, _code(coded)] if coded else parts


def mix_parts(runs: Sequence[RunTools]) -> list[Part]:
    """Accuracy of each run on each family: a matrix; nothing of one run or of one family."""
    families = families_of(runs)
    if len(runs) < 2 or len(families) < 3:
        return []
    rows = []
    for run in runs:
        cells = [run.accuracy(family) for family in families]
        rows.append((run.run, *(_metric(cell) for cell in cells)))
    return [Table("Accuracy by run and family", ("run", *families), tuple(rows), prose=())]


def steps_parts(trainings: Sequence[tuple[str, Sequence[StepTools]]]) -> list[Part]:
    """What was called in the kept steps of trainings, of the kinds that anything was called of."""
    rows, notes = [], []
    uses = [step.use for _, steps in trainings for step in steps]
    shown = [kind for kind in KINDS if any(use.share(kind).value for use in uses)]
    for name, steps in trainings:
        last = len(steps) - 1
        places = sorted({round(i * last / (STEPS_SHOWN - 1)) for i in range(STEPS_SHOWN)})
        for step in (steps[place] for place in places if steps):
            use, found = step.use, step.summary
            right = number(found.accuracy, 2)
            if found.accuracy is not None:
                right += f" [{found.low:.2f}, {found.high:.2f}] ({found.scored})"
            means = (_metric(use.per_episode, n=False), number(use.spread, 2))
            shares = (_metric(use.share(kind), n=False) for kind in shown)
            tokens = _metric(use.tokens, digits=0)
            rows.append((name, str(step.step), right, str(use.episodes), _metric(use.called,
                         n=False), *means, tokens, str(use.calls), *shares))  # fmt: skip
        held = dict.fromkeys(note for step in steps for note in step.notes)
        notes += [f"{name}: left out: {note}" for note in [*held][:NOTES_SHOWN]]
        if len(held) > NOTES_SHOWN:
            notes.append(f"{name}: and {len(held) - NOTES_SHOWN} more")
    if not rows:
        return []
    head = ("run", "step", "accuracy (n)", "episodes", "invocation rate", "calls", "std",
            "response tokens (n)", "n of kinds", *(TITLES[kind] for kind in shown))  # fmt: skip
    title = "Kept steps of training, with 95 % CI"
    return [Table(title, head, tuple(rows), keys=2), *notes]


def families_parts(trainings: Sequence[Dynamics]) -> list[Part]:
    """What trainings log for each family: at the first and the last step at which it is known."""
    columns = family_columns(trainings)
    rows = []
    for run in trainings:
        for family in dict.fromkeys(column.family for column in columns):
            keys = {column.name: column.key for column in columns if column.family == family}
            known = [row for row in run.steps if any(row.get(key) is not None
                     for key in (keys.get(name) for name in CURVES) if key)]  # fmt: skip
            for row in known[:1] + known[1:][-1:]:
                value = {name: row.get(key) for name, key in keys.items()}
                ends = interval(value.get("low"), value.get("high"))
                rows.append(
                    (run.run, family, f"{row['step']:.0f}", number(value.get("accuracy"), 3), ends,
                     number(value.get("scored"), 0), number(value.get("tool_calls"), 2),
                     number(value.get("tool_call_rate"), 3))
                )  # fmt: skip
    if not rows:
        return []
    head = ("run", "family", "step", "accuracy", "95 % CI", "n", "calls",
            "tool-call rate")  # fmt: skip
    return [Table("Training by family, first and last step", head, tuple(rows), keys=2)]


def _invocation(runs: Sequence[RunTools]) -> Table:
    rows = []
    for family, run, use in _uses(runs):
        ends = interval(use.called.low, use.called.high)
        tokens = _metric(use.tokens, digits=0)
        rows.append(
            (family, run, number(use.called.value, 3), ends, str(use.episodes),
             _metric(use.per_episode, n=False), number(use.spread, 2), tokens)
        )  # fmt: skip
    head = ("family", "run", "invocation rate", "95 % CI", "n", "calls", "std",
            "response tokens (n)")  # fmt: skip
    return Table("Share of episodes with a call", head, tuple(rows), 2)


def _changes(changes: Sequence[Change]) -> Table:
    rows = []
    for family in [*dict.fromkeys(c.family for c in changes if c.family != ALL), ALL]:
        for change in (c for c in changes if c.family == family):
            found = change.paired
            rows.append(
                (family, change.run, change.first, number(change.before, 3),
                 number(change.after, 3), f"{found.difference:+.3f}",
                 interval(*found.interval, sign=True), str(found.n), str(found.gained),
                 str(found.lost), p_value(change.holm_p))
            )  # fmt: skip
    head = ("family", "run", "first", "before", "after", "change", "95 % CI", "questions",
            "more", "fewer", "Holm p")  # fmt: skip
    return Table("Change of the invocation rate, on the questions of both", head, tuple(rows), 3)


def _combined(runs: Sequence[RunTools]) -> Table:
    rows = []
    for family, run, use in _uses(runs):
        for name, share in [*use.combinations.items()][:COMBINATIONS_SHOWN]:
            ends = interval(share.low, share.high)
            rows.append((family, run, set_title(name), number(share.value, 3), ends, str(share.n)))
    head = ("family", "run", "kinds of an episode", "share", "95 % CI", "n")
    return Table("Kinds that episodes combine", head, tuple(rows), 3)


def _uses(runs: Sequence[RunTools]) -> Iterator[tuple[str, str, ToolUse]]:
    """Family, run and what it called there; the runs of a family one below the other."""
    for family in families_of(runs):
        for run in runs:
            if (use := run.families.get(family)) is not None:
                yield family, run.run, use


def _kinds(runs: Sequence[RunTools]) -> Table:
    """The kinds that anything was called of; the JSON has all."""
    uses = [(family, run, use) for family, run, use in _uses(runs) if use.calls]
    shown = [kind for kind in KINDS if any(use.share(kind).value for _, _, use in uses)]
    rows = []
    for family, run, use in uses:
        shares = (_metric(use.share(kind), n=False) for kind in shown)
        rows.append((family, run, str(use.calls), *shares))
    head = ("family", "run", "n", *(TITLES[kind] for kind in shown))
    return Table("Kinds of calls, share with 95 % CI", head, tuple(rows), keys=2)


def _code(runs: Sequence[RunTools]) -> Table:
    rows = []
    for family, run, use in _uses(runs):
        if use.code is not None:
            rates = (_metric(getattr(use.code, name)) for name in CODE_RATES)
            counts = (str(use.code.calls), str(use.code.distinct))
            rows.append((family, run, *counts, *rates))
    head = ("family", "run", "calls", "distinct", *CODE_RATES.values())
    return Table("Code, share with 95 % CI (n)", head, tuple(rows), keys=2)


def _metric(metric: Metric | None, *, digits: int = 2, n: bool = True) -> str:
    if metric is None or metric.value is None:
        return "-"
    said = f"{metric.value:.{digits}f}"
    if metric.low is not None and metric.high is not None:
        said += f" [{metric.low:.{digits}f}, {metric.high:.{digits}f}]"
    return f"{said} ({metric.n})" if n else said
