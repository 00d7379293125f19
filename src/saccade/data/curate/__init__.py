"""Which questions reinforcement learning can learn from: DeepEyes' selection, as code.

    structure       a multiple-choice question becomes an open one
    verifiability   the gold answer is readable, and the judge accepts it
    difficulty      of `samples` direct answers some are right, not all and not none
    benefit         nothing is dropped: how much more often it is right with the tool than without
    utility         wrong at a glance, right when the asked region is shown

Source: DeepEyes (arXiv 2505.14362), section 3.4; the code was not published. We deviate in the
order (what costs no model comes first) and measure difficulty on the question as it will be asked.

Everything follows from the run folders in `out`, `direct/`, `benefit/` and `utility/`, which
resume; the report and the kept questions are written anew each time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from pydantic import Field, JsonValue

from saccade.config import build
from saccade.data.curate.bench import Bench, Decision, Progress, Term
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
    "CurateRecipe",
    "Curated",
    "Decision",
    "Outcome",
    "Term",
    "curate",
]

TERMS = {
    "structure": "saccade.data.curate.terms:Structure",
    "verifiability": "saccade.data.curate.terms:Verifiability",
    "difficulty": "saccade.data.curate.terms:Difficulty",
    "benefit": "saccade.data.curate.terms:Benefit",
    "utility": "saccade.data.curate.terms:Utility",
}
"""Names for run files; your own term goes there as "package.module:Class"."""


BEGUN = ("report.jsonl", *(f"*/{name}" for name in JOURNALS))
"""What shows that a curation has done something; see `saccade.runs.claim`."""


class Outcome(Record):
    """What became of a question; a line of `report.jsonl`."""

    id: str
    kept: bool = True
    term: str = ""
    """The term that dropped it."""
    reason: str = ""
    """Why it was dropped."""
    measures: dict[str, JsonValue] = Field(default_factory=dict)
    """What the terms measured: `direct`, share of direct answers that are right; `benefit`, share
    that is right with the tool, minus `direct`; `shown`, whether it is right when the asked region
    is shown."""
    source: str = ""


class Curated(NamedTuple):
    """The result."""

    tasks: Path
    """The kept questions, a task file."""
    outcomes: tuple[Outcome, ...]
    """One for each question, in the order of their source."""
    aborted: int
    """Number of attempts that failed on our side; the same curation makes them again."""


async def curate(recipe: CurateRecipe, *, on_progress: Progress = lambda *_: None) -> Curated:
    """Sort questions; run it again to resume.

    Raises:
        ConfigError: a recipe that cannot work, or `out` holds another curation.
        ServiceError: too many episodes in a row failed on our side.
        PluginError: a term, a judge or the source of the questions raised; what was played is kept.
    """
    out = Path(recipe.out)
    terms = [
        (part.kind, cast(Term, build(part, TERMS, "curate.terms"))) for part in recipe.curate.terms
    ]
    assembly = assemble(recipe)
    manifest = manifest_of("curate", recipe, fingerprint=assembly.environment.fingerprint)
    bench = Bench(recipe, assembly, on_progress)
    try:
        with Claim(out, manifest, begun=BEGUN):
            sorting = _Sorting(make_tasks(recipe))
            for name, term in terms:
                with guarded(f"curate.terms: {name}"):
                    decisions = await term.decide(sorting.open, bench)
                for key, decision in decisions.items():
                    sorting.note(name, key, decision)
            outcomes = tuple(sorting.outcomes.values())
            _write_report(out, outcomes)
            kept = write_tasks(bench.drawn(sorting.open), out / "kept")
    finally:
        await assembly.close()
    return Curated(kept, outcomes, bench.aborted)


class _Sorting:
    """The questions as they are asked, without their images, and what became of each so far."""

    def __init__(self, tasks: Iterator[Task]) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self._open: dict[str, Task] = {}
        for task in tasks:
            texts = tuple(part for part in task.prompt if isinstance(part, str))
            self._open[task.id] = task.model_copy(update={"prompt": texts})
            self.outcomes[task.id] = Outcome(id=task.id, source=task.source)

    @property
    def open(self) -> tuple[Task, ...]:
        """Those that no term has dropped."""
        return tuple(self._open.values())

    def note(self, term: str, key: str, decision: Decision) -> None:
        """Carry out a decision."""
        if key not in self._open:
            raise ConfigError(f"curate.terms: {term} decides on {key!r}, which is no open question")
        before = self.outcomes[key]
        changes: dict[str, object] = {"measures": {**before.measures, **decision.measures}}
        if decision.reason:
            changes |= {"kept": False, "term": term, "reason": decision.reason}
            del self._open[key]
        elif decision.question is not None:
            kept = {"id": key, "prompt": self._open[key].prompt}
            self._open[key] = decision.question.model_copy(update=kept)
        self.outcomes[key] = before.model_copy(update=changes)


def _write_report(out: Path, outcomes: Sequence[Outcome]) -> None:
    """A line for each question, and the counts."""
    lines = "".join(outcome.model_dump_json() + "\n" for outcome in outcomes)
    write_whole(out / "report.jsonl", lines.encode())
    reasons = Counter(f"{row.term}: {row.reason}" for row in outcomes if not row.kept)
    kept = sum(row.kept for row in outcomes)
    counts = {"questions": len(outcomes), "kept": kept, "dropped": dict(reasons.most_common())}
    write_whole(out / "summary.json", (json.dumps(counts, indent=2) + "\n").encode())
