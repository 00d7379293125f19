"""An audit from its folders: accuracies, pairs of arms, gain, harm and visual evidence gain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from saccade.bench.audit.evidence import BLANK, KEPT, SCORES, Told, gold, read_told
from saccade.bench.audit.looks import accepted_calls, has_failed, has_place_beside, looks
from saccade.bench.audit.notes import notes_on
from saccade.bench.audit.record import (
    ARMS,
    NEED_BOXES,
    WITHOUT_TOOL,
    ArmPair,
    ArmResult,
    Audit,
    Evidence,
    Measure,
    Replacement,
    ToolEffect,
    When,
)
from saccade.bench.benchmark import unit_of
from saccade.images.image import Image
from saccade.measures.means import Metric, bootstrap, mean_of
from saccade.measures.multiple import holm
from saccade.measures.paired import paired
from saccade.measures.summary import is_correct
from saccade.runs.folder import RunReader
from saccade.runs.manifest import RUN, as_typed
from saccade.tools.zoom import ZOOM
from saccade.types import Task, Trajectory


class _Episode(NamedTuple):
    task: str
    unit: str
    sample: int
    correct: bool | None
    """None where it has no verdict, or failed on our side."""
    failed: bool
    unjudged: bool
    """Whether its reward failed on our side."""
    looked: bool
    """Whether a call for the zoom was accepted; of `result_only`, whether a crop was shown."""
    answered: bool
    dialect: str
    boxed: bool
    """Whether the question has a true box."""
    roomy: bool
    """Whether there is a place beside it."""
    seen: int
    """Number of crops that were shown."""
    unstaged: tuple[str, ...]
    """Names of tools beside the zoom."""
    gold: bool
    """Whether a gold answer is known."""


Shares = Mapping[str, float]
"""Task id -> share of right answers among its scored episodes."""


def read_audit(out: Path) -> Audit:
    """What an audit has measured so far.

    Raises:
        StoreError: there is no audit in this folder.
        FormatError: a record of it is damaged.
    """
    manifest = RunReader(out / "agent").manifest
    played = {
        arm: _episodes(out / arm, beside=arm == "result_only")
        for arm in ARMS
        if (out / arm / RUN).exists()
    }
    agent = played["agent"]
    found = Audit(
        out=str(out),
        fingerprint=manifest.fingerprint,
        command=as_typed(manifest.command),
        arms=tuple(_result(arm, played[arm], agent) for arm in played),
        pairs=_pairs(played),
        effects=_effects(played),
        also_without=_also_without(played),
        evidence=_evidence(out, agent),
        no_look=sum(not e.seen and not e.failed for e in agent),
        looked_again=sum(e.seen > 1 and not e.failed for e in agent),
        no_gold=sum(e.seen and not e.gold for e in agent) if (out / SCORES).exists() else 0,
    )
    dialects = {arm: episodes[0].dialect for arm, episodes in played.items() if episodes}
    boxes, others = any(e.boxed for e in agent), agent[0].unstaged if agent else ()
    notes = notes_on(found, dialects, boxes=boxes, unstaged=others)
    return found.model_copy(update={"notes": notes})


def _episodes(run: Path, *, beside: bool = False) -> list[_Episode]:
    """The facts of each episode of a run; one episode is in memory at a time."""
    return [_episode(*entry, beside=beside) for entry in RunReader(run).entries()]


def _episode(task: Task, trajectory: Trajectory, *, beside: bool) -> _Episode:
    failed = has_failed(trajectory)
    looked = len(_shown(trajectory)) > len(task.images)
    return _Episode(
        task=task.id,
        unit=unit_of(task),
        sample=trajectory.sample,
        correct=None if failed else is_correct(trajectory),
        failed=failed,
        unjudged=trajectory.reward_failed,
        looked=looked if beside else accepted_calls(trajectory) > 0,
        answered=trajectory.answer is not None,
        dialect=trajectory.environment.dialect,
        boxed=bool(task.boxes),
        roomy=has_place_beside(task),
        seen=len(looks(trajectory)),
        unstaged=tuple(t.name for t in trajectory.environment.tools if t.name != ZOOM),
        gold=gold(task) is not None,
    )


def _shown(trajectory: Trajectory) -> list[Image]:
    """The images of the question, crops beside it included."""
    parts = (part for message in trajectory.prompt for part in message.content)
    return [part for part in parts if isinstance(part, Image)]


def _result(arm: str, episodes: Sequence[_Episode], agent: Sequence[_Episode]) -> ArmResult:
    finished = [e for e in episodes if not e.failed]
    scored = [(e.unit, float(e.correct)) for e in finished if e.correct is not None]
    return ArmResult(
        arm=arm,
        accuracy=mean_of("accuracy", "all", scored),
        episodes=len(episodes),
        no_look=None if arm in WITHOUT_TOOL else sum(not e.looked for e in finished),
        no_answer=sum(not e.answered for e in finished),
        unscored=len(finished) - len(scored),
        unjudged=sum(e.unjudged for e in finished),
        failed=len(episodes) - len(finished),
        left_out=len({e.task for e in agent if not _is_usable(arm, e)}),
    )


def _is_usable(arm: str, episode: _Episode) -> bool:
    """Whether the question of an episode can be asked in an arm."""
    return arm not in NEED_BOXES or (episode.boxed and (episode.roomy or arm != "wrong_box"))


def _shares(episodes: Sequence[_Episode], key: Callable[[_Episode], str]) -> Shares:
    held: dict[str, list[float]] = {}
    for e in episodes:
        if e.correct is not None:
            held.setdefault(key(e), []).append(float(e.correct))
    return {name: fmean(values) for name, values in held.items()}


def _common(
    before: Sequence[_Episode], after: Sequence[_Episode]
) -> tuple[list[_Episode], list[_Episode]]:
    """The scored episodes of the tasks that both have scored."""
    names = {e.task for e in before if e.correct is not None}
    names &= {e.task for e in after if e.correct is not None}
    first, second = ([e for e in arm if e.task in names] for arm in (before, after))
    return first, second


def _pairs(played: Mapping[str, Sequence[_Episode]]) -> tuple[ArmPair, ...]:
    """Every arm against `no_tool`, and against the agent."""
    named = [(base, arm) for arm in played for base in ("no_tool", "agent") if base in played]
    wanted = [(b, a) for b, a in named if b != a and (b, a) != ("agent", "no_tool")]
    found = []
    for before, after in wanted:
        first, second = _common(played[before], played[after])
        if not first:
            continue
        was, now = (_shares(arm, lambda e: e.unit) for arm in (first, second))
        same = [was[unit] for unit in was if was[unit] == now[unit]]
        both = sum(share >= 0.5 for share in same)
        compared = paired([*was.values()], [now[unit] for unit in was])
        found.append((before, after, both, len(same) - both, compared))
    adjusted = holm([pair[-1].p for pair in found])
    return tuple(
        ArmPair(before=b, after=a, both=both, neither=neither, paired=compared, p_holm=p)
        for (b, a, both, neither, compared), p in zip(found, adjusted, strict=True)
    )


def _effects(played: Mapping[str, Sequence[_Episode]]) -> tuple[ToolEffect, ...]:
    found = []
    for without in WITHOUT_TOOL:
        if without not in played:
            continue
        first, second = _common(played[without], played["agent"])
        was, now = (_shares(arm, lambda e: e.task) for arm in (first, second))
        units = {e.task: e.unit for e in second}
        gain = [(units[task], now[task] * (1 - was[task])) for task in was]
        harm = [(units[task], was[task] * (1 - now[task])) for task in was]
        found.append(
            ToolEffect(
                without=without,
                gain=mean_of("tool gain", "all", gain),
                harm=mean_of("tool harm", "all", harm),
            )
        )
    return tuple(found)


def _also_without(played: Mapping[str, Sequence[_Episode]]) -> Metric | None:
    arms = [_shares(played[arm], lambda e: e.task) for arm in WITHOUT_TOOL if arm in played]
    if not arms:
        return None
    pairs = []
    for e in played["agent"]:
        shares = [arm[e.task] for arm in arms if e.task in arm]
        if e.correct and e.looked and shares:
            pairs.append((e.unit, max(shares)))
    return mean_of("also solved without the tool", "all", pairs)


def _evidence(out: Path, agent: Sequence[_Episode]) -> tuple[Evidence, ...]:
    units = {e.task: e.unit for e in agent}
    told = [*read_told(out)]
    if told:
        return _by_log_prob(told, units)
    if not all((out / name / RUN).exists() for name in (KEPT, BLANK)):
        return ()
    going_on = [_episodes(out / name) for name in (KEPT, BLANK)]
    kept, blank = (_shares(episodes, lambda e: e.task) for episodes in going_on)
    rows = [(units.get(task, task), kept[task], blank[task]) for task in kept if task in blank]
    if not rows:
        return ()
    both = set(kept) & set(blank)
    n = min(sum(e.task in both and e.correct is not None for e in run) for run in going_on)
    failed = sum(e.correct is None for run in going_on for e in run)
    gain = _gain(rows, "accuracy", "blank", "going on", n=n)
    return (gain.model_copy(update={"failed": failed}),)


def _by_log_prob(told: Sequence[Told], units: Mapping[str, str]) -> tuple[Evidence, ...]:
    wanted: list[tuple[Replacement, When, list[tuple[str, float | None, float | None]]]] = [
        ("blank", "at once", [(units.get(t.task, t.task), t.kept, t.blank) for t in told]),
        ("wrong", "at once", [(units.get(t.task, t.task), t.kept, t.wrong) for t in told]),
        (
            "blank", "behind its thought",
            [(units.get(t.task, t.task), t.thought_kept, t.thought_blank) for t in told],
        ),
    ]  # fmt: skip
    found = []
    for replaced_by, when, rows in wanted:
        known = [(u, k, r) for u, k, r in rows if k is not None and r is not None]
        if known:
            found.append(_gain(known, "log_prob", replaced_by, when, n=len(known)))
    return tuple(found)


def _gain(
    rows: Sequence[tuple[str, float, float]],
    measure: Measure,
    replaced_by: Replacement,
    when: When,
    *,
    n: int,
) -> Evidence:
    """The mean difference with its bootstrap over units."""
    units: dict[str, list[float]] = {}
    for unit, kept, replaced in rows:
        units.setdefault(unit, []).append(kept - replaced)
    interval = bootstrap([*units.values()]) if len(units) > 1 else None
    return Evidence(
        measure=measure,
        replaced_by=replaced_by,
        when=when,
        kept=fmean(kept for _, kept, _ in rows),
        replaced=fmean(replaced for _, _, replaced in rows),
        gain=fmean(value for values in units.values() for value in values),
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        n=n,
        units=len(units),
    )
