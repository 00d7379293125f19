"""What a run of a benchmark measured: every number of a table, with how it came about.

    measured = measure(Path("runs/vstar"))
    measured.accuracy()                # the headline metric of all items
    measured.model_dump_json()         # all of it, for other programs

The verdicts are those that the run keeps; nothing is judged anew.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, cast

from pydantic import JsonValue, ValidationError

from saccade.bench import BENCHMARKS
from saccade.bench.benchmark import ALL, About, Benchmark, Scored
from saccade.bench.measured.attempts import Attempt, attempts_of, groups_of, in_group
from saccade.bench.measured.cost import Cost, cost_of
from saccade.bench.measured.ends import Ends, ends_of
from saccade.bench.measured.repeated import of_samples
from saccade.bench.measured.tools import Grounding, ToolUse, grounding, tool_use
from saccade.bench.order import Order, rotated_from
from saccade.bench.scorers.groups import all_right
from saccade.config import Part, build
from saccade.errors import ConfigError, SaccadeError
from saccade.measures.means import Metric
from saccade.plugins import guarded
from saccade.runs.card import model_name
from saccade.runs.folder import RunReader
from saccade.runs.manifest import FINISHED, Manifest, as_typed
from saccade.types import Record, Task, Trajectory

VERBS = ("bench", "rescore")
"""What `run.json` calls the runs that may be of a benchmark."""
UNFINISHED = "the run is not finished: the same command goes on with it"


class Measured(Record):
    """What a run of a benchmark measured."""

    benchmark: str
    """Its name in `saccade.bench.BENCHMARKS`, or that of the user's own."""
    title: str
    headline: str
    """Name of the metric that tables show first."""
    run: str
    """What the run is called."""
    path: str
    command: str
    fingerprint: str | None
    """Of the environment."""
    commit: str | None
    """Of the checkout that Saccade ran from, if it ran from one."""
    created: str
    """When the run was first started, in UTC."""
    complete: bool
    """Whether nothing is left to do of it."""
    models: tuple[str, ...]
    """What wrote the turns."""
    arm: str
    """How questions were attempted: direct, cot, agent."""
    coords: tuple[str, ...]
    """The frame in which boxes were written and read, see `CoordSpace`."""
    order: str
    """The order in which options were shown."""
    shard: str
    """Which part of the items it took: 1/1 is all."""
    drawn: int | None
    """Number of items that were asked for; None: all."""
    seed: int | None
    items: int
    """Number of items that were attempted, each form of a question counted."""
    questions: int
    """Number of questions that they are forms of: what intervals are over."""
    samples: int
    """Number of samples of each that were asked for."""
    judges: dict[str, int]
    """What decided, and how often: a rule by its name, a model with its name and the hash of its
    prompt."""
    metrics: tuple[Metric, ...]
    """By the final verdict: that of the rule or, where it left an answer open, of the judges."""
    rule: tuple[Metric, ...]
    """By the rule of the benchmark alone; what it left open is not scored."""
    rule_undecided: int
    """Number of finished episodes that the rule left open."""
    answered: tuple[Metric, ...]
    """By the final verdict, of the episodes that ended with an answer."""
    compat: tuple[Metric, ...] | None
    """As VLMEvalKit scores; None where that was not asked for."""
    compat_unknown: int
    """Number of finished episodes on which VLMEvalKit's result is not fixed, and not counted."""
    repeated: tuple[Metric, ...]
    """pass@k and the majority's vote, where items have several samples."""
    ends: tuple[Ends, ...]
    """How episodes ended, by group; `all` comes first, here and below."""
    tools: tuple[ToolUse, ...]
    grounding: tuple[Grounding, ...]
    """Of groups with true boxes."""
    cost: Cost
    notes: tuple[str, ...] = ()
    """What a reader has to know before believing the numbers."""

    def accuracy(self, group: str = ALL, *, by: Sequence[Metric] | None = None) -> Metric | None:
        """The headline metric of a group; None if there is none.

        Args:
            group: As the benchmark names it.
            by: Metrics of another way of scoring; None: by the final verdict.
        """
        metrics = self.metrics if by is None else by
        named = [m for m in metrics if m.group == group]
        return next((m for m in named if m.name == self.headline), named[0] if named else None)

    def ended(self, group: str = ALL) -> Ends | None:
        """How the episodes of a group ended; None of a group that no item is in by itself."""
        return next((ends for ends in self.ends if ends.group == group), None)


def measure(path: Path, *, compat: bool = False) -> Measured:
    """What a run of a benchmark measured.

    Args:
        path: A run folder of `saccade bench`, finished or not.
        compat: Whether replies are scored as VLMEvalKit does, too.

    Raises:
        ConfigError: it is no run of a benchmark, or of one that is not at hand.
        StoreError: there is no run in the folder.
        FormatError: a record of it is damaged.
        PluginError: the benchmark failed on an episode.
    """
    reader = RunReader(path)
    benchmark = benchmark_of(reader.manifest, path)
    run = Path(path).resolve().name
    return measured_of(run, path, reader.manifest, benchmark, reader.entries(), compat=compat)


def is_bench(manifest: Manifest) -> bool:
    """Whether a run is of a benchmark: attempted, or judged anew."""
    return manifest.verb in VERBS and isinstance(manifest.config.get("bench"), dict)


def benchmark_of(manifest: Manifest, path: Path) -> Benchmark:
    """The benchmark of a run, with its options.

    Raises:
        ConfigError: it is no run of a benchmark, or of one that is not at hand.
    """
    if not is_bench(manifest):
        raise ConfigError(f"{path}: made by `saccade {manifest.verb}`, and is no benchmark")
    part = Part.model_validate(manifest.config["bench"])
    return cast(Benchmark, build(part, BENCHMARKS, "bench"))


def known_benchmark(manifest: Manifest) -> tuple[Benchmark, tuple[str, ...]]:
    """The benchmark of a run that may be a stranger's, and what is to be said of it.

    A folder must not choose which code is imported: a benchmark of the user's own is used where the
    program has loaded it already. Without it, or if an option is wrong, numbers are accuracies by
    family.
    """
    part = manifest.config.get("bench")
    kind = str(part.get("kind")) if isinstance(part, dict) else ""
    module, _, name = kind.partition(":")
    own = getattr(sys.modules[module], name, None) if name and module in sys.modules else None
    try:
        if kind in BENCHMARKS or (isinstance(own, type) and issubclass(own, Benchmark)):
            return cast(Benchmark, build(Part.model_validate(part), BENCHMARKS, "bench")), ()
        said = f"the benchmark {kind!r} is not loaded: its groups and metrics are not known here"
    except (SaccadeError, ValidationError) as error:
        said = f"the benchmark cannot be made again ({error}): its groups are not known here"
    return _Unknown(), (said,)


class _Unknown(Benchmark):
    """A benchmark of which only the verdicts are at hand."""

    name: ClassVar[str] = "unknown"
    about: ClassVar[About] = About("a benchmark of one's own", None, "", "", "", "", "")


def measured_of(
    run: str,
    path: Path,
    manifest: Manifest,
    benchmark: Benchmark,
    pairs: Iterable[tuple[Task, Trajectory]],
    *,
    compat: bool = False,
    notes: Sequence[str] = (),
) -> Measured:
    """What episodes of a benchmark measured.

    Args:
        run: What the run is called.
        path: Its folder.
        manifest: What was run.
        benchmark: The benchmark.
        pairs: Each episode with its task.
        compat: Whether replies are scored as VLMEvalKit does, too; they are where the run file asks
            for it.
        notes: What is to be known of the run beside what it says itself.

    Raises:
        PluginError: the benchmark failed on an episode.
    """
    config, attempts = manifest.config, attempts_of(benchmark, pairs)
    compat = compat or config.get("compat") is not None
    groups = groups_of(benchmark, attempts)
    held = {group: in_group(attempts, group) for group in groups}
    done = [a for a in attempts if a.finished]
    theirs = _as_theirs(benchmark, done) if compat else {}
    complete = (path / FINISHED).is_file()
    return Measured(
        benchmark=benchmark.name,
        title=benchmark.about.title,
        headline=benchmark.headline,
        run=run,
        path=str(path),
        command=as_typed(manifest.command),
        fingerprint=manifest.fingerprint,
        commit=manifest.commit,
        created=manifest.created,
        complete=complete,
        models=_models(attempts),
        arm=_text(config, "arm"),
        coords=tuple(sorted({a.trajectory.environment.coords.value for a in attempts})),
        order=_text(config, "order"),
        shard=_text(config, "shard") or "1/1",
        drawn=_count(config, "n"),
        seed=manifest.seed,
        items=len({a.task.id for a in attempts}),
        questions=len({a.unit for a in attempts}),
        samples=_count(config, "samples") or 1,
        judges=_judges(done),
        metrics=_metrics(benchmark, done, lambda a: a.value),
        rule=_metrics(benchmark, done, lambda a: a.rule),
        rule_undecided=sum(a.rule is None and a.task.answer is not None for a in done),
        answered=_metrics(
            benchmark, [a for a in done if a.trajectory.answer is not None], lambda a: a.value
        ),
        compat=_metrics(benchmark, done, lambda a: theirs.get(id(a))) if compat else None,
        compat_unknown=sum(value is None for value in theirs.values()),
        repeated=of_samples(groups, attempts),
        ends=tuple(ends_of(group, of) for group, of in held.items()),
        tools=tuple(tool_use(group, of) for group, of in held.items()),
        grounding=tuple(
            found for group, of in held.items() if (found := grounding(group, of)) is not None
        ),
        cost=cost_of(attempts, config.get("policy")),
        notes=(*notes, *_notes(config, complete=complete)),
    )


def _as_theirs(benchmark: Benchmark, done: Sequence[Attempt]) -> dict[int, float | None]:
    with guarded(f"benchmark {benchmark.name}"):
        return {id(a): benchmark.compat(a.task, a.reply) for a in done}


def _metrics(
    benchmark: Benchmark, attempts: Sequence[Attempt], value: Callable[[Attempt], float | None]
) -> tuple[Metric, ...]:
    scored = [Scored(a.task, a.trajectory, value(a)) for a in attempts]
    with guarded(f"benchmark {benchmark.name}"):
        return (*benchmark.metrics(scored), *_all_rotations(attempts, scored))


def _all_rotations(attempts: Sequence[Attempt], scored: Sequence[Scored]) -> list[Metric]:
    """Of options in circular order: the share of questions that are right in every rotation.

    A question counts where all of its rotations are scored, once for each sample.
    """
    shown = Counter((rotated_from(a.task), a.trajectory.sample) for a in attempts)
    groups = {a.task.id: [group for group in a.groups if group != ALL] for a in attempts}
    whole = [
        one
        for one in scored
        if (question := rotated_from(one.task)) is not None
        and shown[question, one.trajectory.sample] == len(one.task.choices)
    ]
    return all_right(
        "all rotations right", whole, lambda task: groups[task.id], lambda t: rotated_from(t) or ""
    )


def _judges(done: Sequence[Attempt]) -> dict[str, int]:
    """What decided each scored answer; episodes without one need nothing that decides."""
    verdicts = [a.trajectory.verdict for a in done if a.trajectory.answer is not None]
    names = Counter(v.judge for v in verdicts if v is not None and v.correct is not None)
    return dict(sorted(names.items()))


def _models(attempts: Sequence[Attempt]) -> tuple[str, ...]:
    turns = (turn for a in attempts for turn in a.trajectory.turns)
    return tuple(sorted({model_name(turn.completion.model) for turn in turns} - {""}))


def _notes(config: Mapping[str, JsonValue], *, complete: bool) -> list[str]:
    order: Order | str = _text(config, "order")
    notes = [] if complete else [UNFINISHED]
    if order == "file":
        notes.append("options were shown in the order of the file, which a model may have learnt")
    if (shard := _text(config, "shard")) not in ("", "1/1"):
        notes.append(f"only shard {shard} of the items")
    if (drawn := _count(config, "n")) is not None:
        notes.append(f"n={drawn}: items drawn by a hash of seed and id, not all of them")
    return notes


def _text(config: Mapping[str, JsonValue], key: str) -> str:
    value = config.get(key)
    return value if isinstance(value, str) else ""


def _count(config: Mapping[str, JsonValue], key: str) -> int | None:
    value = config.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
