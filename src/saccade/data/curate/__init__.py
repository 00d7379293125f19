"""Which questions a training can learn from: DeepEyes' and DeepEyesV2's selections, as code.

DeepEyes, which trains by reinforcement learning alone, writes the kept questions to `out/kept/`:

    structure       a multiple-choice question becomes an open one
    verifiability   the gold answer is readable, and the judge accepts it
    difficulty      of `samples` direct answers some are right, not all and not none
    benefit         nothing is dropped: how much more often it is right with the tool than without
    utility         wrong at a glance, right when the asked region is shown

Source: DeepEyes (arXiv 2505.14362), section 3.4; the code was not published. We deviate in the
order (what costs no model comes first) and measure difficulty on the question as it will be asked.

DeepEyesV2, which has a cold start too, sorts them into `out/rl/` and `out/cold_start/`:

    structure, verifiability   as above
    duplicates                 of questions that are the same in text and images, the first stays
    decontaminate              what a benchmark asks is dropped
    without_tools              at most 2 of 8 answers without tools are right
    with_tools                 solved with tools: for RL; not solved: for the cold start

Source: DeepEyesV2 (arXiv 2511.05271), data curation; the code was not published. We deviate where
the paper says nothing: solved is at least one right attempt of 8, attempts are sampled at
temperature 1, and duplicates and benchmarks are looked for before the model plays, since that costs
less. The terms of a run file are named in their order, as in recipes/nano_curate_v2.toml.

Everything follows from the run folders in `out` (`direct/`, `with_tools/`, `benefit/`, `utility/`),
which resume; the report and the task files are written anew each time.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from pydantic import Field, JsonValue

from saccade.config import build
from saccade.data.curate.bench import Bench, Checked, Decision, Progress, Sorts, Term
from saccade.data.curate.diversity import Stage, Traits, stage_of, traits_of
from saccade.data.curate.recipe import CurateRecipe
from saccade.errors import ConfigError
from saccade.files import write_whole
from saccade.formats.tasks import write_tasks
from saccade.plugins import guarded
from saccade.recipe import make_tasks
from saccade.runs.assemble import assemble
from saccade.runs.claim import Claim
from saccade.runs.folder import JOURNALS
from saccade.runs.manifest import manifest_of
from saccade.types import Record, Task

__all__ = [
    "TERMS",
    "Bench",
    "Checked",
    "CurateRecipe",
    "Curated",
    "Decision",
    "Outcome",
    "Sorts",
    "Term",
    "curate",
    "make_terms",
]

TERMS = {
    "structure": "saccade.data.curate.terms:Structure",
    "verifiability": "saccade.data.curate.terms:Verifiability",
    "duplicates": "saccade.data.curate.duplicates:Duplicates",
    "decontaminate": "saccade.data.curate.duplicates:Decontaminate",
    "difficulty": "saccade.data.curate.terms:Difficulty",
    "without_tools": "saccade.data.curate.terms:WithoutTools",
    "with_tools": "saccade.data.curate.terms:WithTools",
    "benefit": "saccade.data.curate.terms:Benefit",
    "utility": "saccade.data.curate.terms:Utility",
}
"""Names for run files; your own term goes there as "package.module:Class"."""


BEGUN = ("report.jsonl", *(f"*/{name}" for name in JOURNALS))
"""What shows that a curation has done something; see `saccade.runs.claim`."""


KEPT = "kept"
"""The set of the questions that no term puts into another one."""


class Outcome(Record):
    """What became of a question; a line of `report.jsonl`."""

    id: str
    kept: bool = True
    term: str = ""
    """The term that dropped it."""
    reason: str = ""
    """Why it was dropped."""
    into: str = ""
    """The set that it went to: the name of the folder with the task file."""
    measures: dict[str, JsonValue] = Field(default_factory=dict)
    """What the terms measured: `direct`, share of direct answers that are right; `with_tools`, the
    same of attempts with tools; `benefit`, share that is right with the tool, minus `direct`;
    `shown`, whether it is right when the asked region is shown; `duplicate_of`, the first of its
    kind; `match`, the item of a benchmark, and how near it is."""
    source: str = ""


class Curated(NamedTuple):
    """The result."""

    tasks: Path
    """The questions for reinforcement learning, a task file."""
    sets: dict[str, Path]
    """The task file of each set: `kept`, or those of the terms that sort."""
    outcomes: tuple[Outcome, ...]
    """One for each question, in the order of their source."""
    aborted: int
    """Number of attempts that failed on our side; the same curation makes them again."""


def make_terms(recipe: CurateRecipe) -> list[tuple[str, Term]]:
    """The terms of a run file with their names, each checked as far as it can be beforehand.

    Raises:
        SaccadeError: there is no such term, or one cannot work.
    """
    terms = []
    for part in recipe.curate.terms:
        term = cast(Term, build(part, TERMS, "curate.terms"))
        if isinstance(term, Checked):
            term.check(recipe)
        terms.append((part.kind, term))
    return terms


async def curate(recipe: CurateRecipe, *, on_progress: Progress = lambda *_: None) -> Curated:
    """Sort questions; run it again to resume.

    Raises:
        ConfigError: a recipe that cannot work, or `out` holds another curation.
        ServiceError: too many episodes in a row failed on our side.
        PluginError: a term, a judge or the source of the questions raised; what was played is kept.
    """
    out = Path(recipe.out)
    terms = make_terms(recipe)
    assembly = assemble(recipe)
    manifest = manifest_of("curate", recipe, fingerprint=assembly.environment.fingerprint)
    bench = Bench(recipe, assembly, on_progress)
    try:
        with Claim(out, manifest, begun=BEGUN):
            sorting = _Sorting(make_tasks(recipe), _sets_of(terms))
            for name, term in terms:
                with guarded(f"curate.terms: {name}"):
                    decisions = await term.decide(sorting.open, bench)
                for key, decision in decisions.items():
                    sorting.note(name, key, decision)
                sorting.count(name)
            sets = sorting.sets()
            files = {
                name: write_tasks(bench.drawn(questions), out / name)
                for name, questions in sets.items()
            }
            outcomes = sorting.outcomes
            sizes = {name: len(questions) for name, questions in sets.items()}
            _write_report(out, outcomes, sizes, sorting.stages)
    finally:
        await assembly.close()
    return Curated(next(iter(files.values())), files, outcomes, bench.aborted)


def _sets_of(terms: Sequence[tuple[str, Term]]) -> tuple[str, ...]:
    """The sets that terms sort into.

    Raises:
        ConfigError: the name of one is that of no folder, or of a run folder.
    """
    sets = [name for _, term in terms if isinstance(term, Sorts) for name in term.sets]
    for name in sets:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", name) or name in ("direct", *TERMS):
            raise ConfigError(f"curate.terms: {name!r} is no name for a set of questions")
    return tuple(dict.fromkeys(sets))


class _Sorting:
    """The questions as they are asked, without their images, and what became of each so far."""

    def __init__(self, tasks: Iterator[Task], sets: tuple[str, ...]) -> None:
        self._outcomes: dict[str, Outcome] = {}
        self._open: dict[str, Task] = {}
        self._sets = sets
        self._traits: dict[str, Traits] = {}
        for task in tasks:
            texts = tuple(part for part in task.prompt if isinstance(part, str))
            self._open[task.id] = task.model_copy(update={"prompt": texts})
            self._outcomes[task.id] = Outcome(id=task.id, source=task.source)
            self._traits[task.id] = traits_of(task)
        self.stages: list[Stage] = []
        """The questions before the first term, and after each."""
        self.count("source")

    @property
    def open(self) -> tuple[Task, ...]:
        """Those that no term has dropped."""
        return tuple(self._open.values())

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """What became of each question, in the order of their source."""
        return tuple(self._outcomes.values())

    def note(self, term: str, key: str, decision: Decision) -> None:
        """Carry out a decision."""
        if key not in self._open:
            raise ConfigError(f"curate.terms: {term} decides on {key!r}, which is no open question")
        if decision.into and decision.into not in self._sets:
            raise ConfigError(f"curate.terms: {term} has no set {decision.into!r}")
        before = self._outcomes[key]
        changes: dict[str, object] = {"measures": {**before.measures, **decision.measures}}
        if decision.reason:
            changes |= {"kept": False, "term": term, "reason": decision.reason, "into": ""}
            del self._open[key]
        else:
            changes["into"] = decision.into or before.into
            if decision.question is not None:
                kept = {"id": key, "prompt": self._open[key].prompt}
                self._open[key] = decision.question.model_copy(update=kept)
        self._outcomes[key] = before.model_copy(update=changes)

    def count(self, name: str) -> None:
        """Note which kinds of questions are open."""
        self.stages.append(stage_of(name, map(self._traits.__getitem__, self._open)))

    def sets(self) -> dict[str, tuple[Task, ...]]:
        """The open questions of each set, the empty ones too; all of them have one from now on."""
        sorted_into: dict[str, list[Task]] = {name: [] for name in self._sets or (KEPT,)}
        for key, task in self._open.items():
            name = self._outcomes[key].into or KEPT
            sorted_into.setdefault(name, []).append(task)
            self._outcomes[key] = self._outcomes[key].model_copy(update={"into": name})
        if self._sets:
            for name, tasks in sorted_into.items():
                self.stages.append(stage_of(name, (self._traits[task.id] for task in tasks)))
        return {name: tuple(tasks) for name, tasks in sorted_into.items()}


def _write_report(
    out: Path, outcomes: Sequence[Outcome], sets: dict[str, int], stages: Sequence[Stage]
) -> None:
    """A line for each question, and the counts."""
    lines = "".join(outcome.model_dump_json() + "\n" for outcome in outcomes)
    write_whole(out / "report.jsonl", lines.encode())
    reasons = Counter(f"{row.term}: {row.reason}" for row in outcomes if not row.kept)
    kept = sum(row.kept for row in outcomes)
    counts = {
        "questions": len(outcomes),
        "kept": kept,
        "sets": sets,
        "dropped": dict(reasons.most_common()),
        "diversity": [stage.summary() for stage in stages],
    }
    write_whole(out / "summary.json", (json.dumps(counts, indent=2) + "\n").encode())
