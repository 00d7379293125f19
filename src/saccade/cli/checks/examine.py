"""What `saccade check recipe` finds without a model: the parts of a run, made as its command does.

A part that fails says what the command would say; the others are looked at all the same. What needs
a model or torch is in `trial`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple, cast

from saccade.bench.recipe import BenchRecipe
from saccade.bench.run import as_played, bench_reward
from saccade.cli.benches.chosen import default_out
from saccade.cli.checks.kinds import Kind
from saccade.cli.common.references import with_benchmarks
from saccade.errors import ConfigError, SaccadeError, require
from saccade.recipe import Recipe, check_policy, count_tasks, make_environment, make_reward
from saccade.rewards import Reward
from saccade.runs.folder import RunReader
from saccade.runs.manifest import RUN, differences, manifest_of, read_manifest
from saccade.runs.preflight import check_runs, check_tasks
from saccade.types import Record

TRAINING = ("torch", "transformers", "safetensors", "trl", "accelerate", "peft", "datasets")
ATTACKING = ("torch", "scipy", "sklearn", "matplotlib")
MODULES = {
    "sft": ("train", TRAINING),
    "rl": ("train", TRAINING),
    "agent attack": ("robust", ATTACKING),
    "classifier": ("robust", ATTACKING),
}
"""Kind of run file -> the extra that its command needs, and the modules of it."""

State = Literal["ok", "warning", "error", "not tried"]


class Finding(NamedTuple):
    """What was found of a part of a run."""

    part: str
    state: State
    text: str


class Examination:
    """The findings of a run file, in the order in which they are made."""

    def __init__(self, on_finding: Callable[[Finding], None] = lambda finding: None) -> None:
        self.findings: list[Finding] = []
        self.fingerprint: str | None = None
        self._on_finding = on_finding

    @property
    def failed(self) -> bool:
        """Whether the command would fail."""
        return self.has_error()

    def has_error(self, *parts: str) -> bool:
        """Whether one of these parts is wrong, or any part if none is named."""
        wrong = {finding.part for finding in self.findings if finding.state == "error"}
        return bool(wrong & set(parts) if parts else wrong)

    def add(self, part: str, state: State, text: str) -> None:
        self.findings.append(Finding(part, state, text))
        self._on_finding(self.findings[-1])

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What Saccade raises in the block is the finding of this part."""
        try:
            yield
        except SaccadeError as error:
            self.add(name, "error", str(error))


def examine_parts(kind: Kind, recipe: Record, found: Examination) -> None:
    """Whatever can be found without a model; nothing heavy is imported."""
    if kind.name in MODULES:
        extra, modules = MODULES[kind.name]
        with found.part("packages"):
            require(*modules, extra=extra)
            found.add("packages", "ok", f"the extra {extra!r} is installed")
    if isinstance(recipe, Recipe):
        _examine_played(kind, recipe, found)
    elif kind.name == "sft":
        _examine_demonstrations(recipe, found)
    else:
        _examine_classifier(recipe, found)


def _examine_played(kind: Kind, recipe: Recipe, found: Examination) -> None:
    with found.part("environment"):
        environment = make_environment(as_attempted(recipe))
        found.fingerprint = environment.fingerprint
        tools = ", ".join(tool.name for tool in environment.record.tools) or "none"
        dialect = environment.record.dialect
        text = f"{environment.fingerprint}; dialect {dialect}, tools: {tools}"
        found.add("environment", "ok", text)
        _examine_folder(kind, recipe, environment.fingerprint, found)
    reward = None
    with found.part("reward"):
        reward = reward_of(recipe)
        judges = ", ".join(part.kind for part in recipe.reward.judge)
        found.add("reward", "ok", f"preset {recipe.reward.preset}, judge: {judges}")
    with found.part("tasks"):
        check_tasks(recipe, None if kind.name == "curate" else reward)
        count = count_tasks(recipe)
        found.add("tasks", "ok", "there are some" if count is None else f"{count:,}")
    if kind.name == "curate":
        from saccade.data.curate import CurateRecipe, make_terms

        with found.part("curate.terms"):
            terms = make_terms(with_benchmarks(cast(CurateRecipe, recipe)))
            found.add("curate.terms", "ok", ", ".join(name for name, _ in terms))
    if kind.name == "demos":
        from saccade.data.demos.kept import check_formats
        from saccade.data.demos.recipe import DemosRecipe
        from saccade.data.demos.teachers import check_teachers, names_of

        demos = cast(DemosRecipe, recipe)
        with found.part("teachers"):
            check_teachers(demos)
            found.add("teachers", "ok", ", ".join(names_of(demos.teachers)))
        with found.part("formats"):
            check_formats(demos.demos.written_as)
            found.add("formats", "ok", ", ".join(("ours", *demos.demos.written_as)))
    elif kind.name != "rl":
        with found.part("policy"):
            check_policy(recipe)


def as_attempted(recipe: Recipe) -> Recipe:
    """The run file with what its command makes of it: the arm of a benchmark."""
    return as_played(recipe) if isinstance(recipe, BenchRecipe) else recipe


def reward_of(recipe: Recipe) -> Reward:
    """What scores the episodes: the rule of a benchmark first, where it is one."""
    return bench_reward(recipe) if isinstance(recipe, BenchRecipe) else make_reward(recipe)


def _examine_folder(kind: Kind, recipe: Recipe, fingerprint: str, found: Examination) -> None:
    """Whether `out` is free, or holds a run that would be resumed."""
    name = recipe.out or (
        default_out(recipe, recipe.arm) if isinstance(recipe, BenchRecipe) else None
    )
    if name is None:
        found.add("out", "error", "out: missing; name the run folder with out=runs/NAME")
        return
    out = Path(name)
    if not (out / RUN).exists():
        found.add("out", "ok", f"{out} is free")
        return
    changes = differences(
        read_manifest(out), manifest_of(kind.verb, recipe, fingerprint=fingerprint)
    )
    if changes:
        found.add("out", "error", f"out={out} holds another run: {'; '.join(changes)}")
    else:
        found.add("out", "ok", f"{out} holds this run, which is resumed")


def _examine_demonstrations(recipe: Record, found: Examination) -> None:
    from saccade.train.recipe import SFTRecipe

    with found.part("runs"):
        folders = cast(SFTRecipe, recipe).runs
        check_runs(folders)
        count = sum(1 for folder in folders for _ in RunReader(Path(folder)).trajectories())
        found.add("runs", "ok", f"{count:,} episodes in {', '.join(folders)}")


def _examine_classifier(recipe: Record, found: Examination) -> None:
    from saccade.robust.classifiers.recipe import RobustRecipe, check_attack, check_detect

    chosen = cast(RobustRecipe, recipe)
    with found.part("data"):
        check_attack(chosen)
        try:
            check_detect(chosen)
        except ConfigError as error:  # the run file is good for `saccade attack` alone
            found.add("detect", "warning", str(error))
