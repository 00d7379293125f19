"""An agent under attack: does looking again help?

Two things can be attacked. The *view* is the image of a question as it is first shown, small; tools
go on to cut from the clean photograph. The *photograph* is where the view and every crop are taken
from. Each arm (answer at once; do as it likes) is attacked through its own clean episode: PGD, or
another attack that the run file names, raises the probability that it writes another answer, or
anything else at all. No label is used. What was attacked is then attempted anew, from the first
turn, as images of 8 bits, in every arm: with its own attack, with that of the others (transfer),
and with random signs of the same size.

Gradients are taken with the tokens of the clean episode (teacher forcing): an attack that searched
through the agent's calls could be stronger, so the figures are upper bounds of robustness.
"""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from saccade.arms import ARMS
from saccade.errors import ConfigError
from saccade.files import write_whole
from saccade.images.image import Image
from saccade.measures.intervals import wilson
from saccade.policies import LocalPolicy
from saccade.recipe import make_tasks
from saccade.robust.agent.experiment import Attacker, Experiment, attackers_of
from saccade.robust.agent.recipe import AgentAttackRecipe, Threat
from saccade.robust.agent.results import (
    CLEAN,
    NOISE,
    AgentAttackResult,
    ArmOutcomes,
    AttackOutcomes,
    Outcome,
    Table,
)
from saccade.robust.attacks import make_attack
from saccade.robust.progress import OnNote, OnProgress, Timetable
from saccade.runs.assemble import assemble
from saccade.runs.claim import Claim
from saccade.runs.manifest import Manifest, manifest_of, read_manifest
from saccade.types import Task, Trajectory

TOGETHER = 32
"""Number of tasks whose attacked images exist at the same time."""
SHOWN = 4
"""Number of tasks whose attacked images are kept to look at."""


def measure_agent(
    recipe: AgentAttackRecipe,
    on_progress: OnProgress = lambda *_: None,
    *,
    on_note: OnNote = lambda _: None,
) -> AgentAttackResult:
    """Attack an agent; what is measured is kept as JSON in the folder of the recipe.

    A run that is interrupted, or asks for more tasks, goes on with those that are not kept.

    Args:
        recipe: The run file.
        on_progress: Told what is under way.
        on_note: Told how long it will take.

    Raises:
        ConfigError: the policy is no local model, a task shows no image or has no answer, or the
            folder holds a run with other options.
        StoreLocked: another process writes to the folder.

    Warns:
        UserWarning: the accuracy of an arm on clean images is at chance.
    """
    assembly = assemble(recipe)
    try:
        policy = assembly.policy
        if not isinstance(policy, LocalPolicy):
            raise ConfigError(
                'policy: an attack needs gradients; use a local model, policy.kind="hf"'
            )
        method = make_attack(recipe.attack.method, "attack.method")
        method.check_norm("linf")
        tasks = _attackable(make_tasks(recipe), recipe.attack.arms)
        manifest = manifest_of("attack", recipe, fingerprint=assembly.environment.fingerprint)
        with Claim(Path(recipe.out), manifest, begun=("agent-*.json",)):
            policy.loaded.model.requires_grad_(requires_grad=False)
            parts = policy, assembly.environment, assembly.reward
            experiment = Experiment(recipe, *parts, method)
            return _measured(experiment, manifest, tasks, on_progress, on_note)
    finally:
        asyncio.run(assembly.close())


def _measured(
    experiment: Experiment, manifest: Manifest, tasks: Sequence[Task], on_progress: OnProgress,
    on_note: OnNote,
) -> AgentAttackResult:  # fmt: skip
    recipe = experiment.recipe
    folder, section = Path(recipe.out), recipe.attack
    held = read_manifest(folder)
    begun = time.monotonic()
    on_progress("clean images", 0, 100)
    clean = {arm: experiment.attempt(arm, tasks) for arm in section.arms}
    of_episodes = time.monotonic() - begun
    untouched = [_outcomes_of(arm, tasks, episodes) for arm, episodes in clean.items()]
    for row in untouched:
        if warning := _chance_warning(tasks, row):
            warnings.warn(warning, stacklevel=2)
    timetable = experiment.timetable(tasks, clean, of_episodes, on_progress)
    on_note(timetable.announcement)
    outcomes: dict[Threat, list[ArmOutcomes]] = {threat: [] for threat in section.threats}
    for threat in section.threats:
        for place, task in enumerate(tasks[:SHOWN]):
            experiment.keep(f"{threat}-clean-{place}", experiment.untouched(threat, task))
        for attacker in attackers_of(recipe):
            file = folder / f"agent-{threat}-{attacker.name}.json"
            attack = _Attack(experiment, threat, attacker, clean, file)
            outcomes[threat] += attack.on(tasks, timetable).outcomes
    table = Table(untouched, outcomes)
    result = AgentAttackResult(
        config=manifest.config,
        command=held.command if held.config == manifest.config else manifest.command,
        fingerprint=manifest.fingerprint,
        tasks=tuple(task.id for task in tasks),
        unscored=table.unscored,
        clean=table.clean(),
        threats={threat: table.rows(threat) for threat in outcomes},
        outcomes={threat: (*untouched, *rows) for threat, rows in outcomes.items()},
    )
    write_whole(folder / "agent_attack.json", result.model_dump_json(indent=1).encode())
    return result


def _outcomes_of(arm: str, tasks: Sequence[Task], episodes: Sequence[Trajectory]) -> ArmOutcomes:
    """An arm on clean images."""
    outcomes = [Outcome.of(*pair) for pair in zip(tasks, episodes, strict=True)]
    return ArmOutcomes.of(outcomes, arm=arm, attacked=CLEAN, loss=None, epsilon=0)


def _chance_warning(tasks: Sequence[Task], row: ArmOutcomes) -> str | None:
    """What to say of an arm that is no better than a guess among choices, or the answers given."""
    answers = len({task.answer for task in tasks})
    scored = [task for task, sign in zip(tasks, row.correct, strict=True) if sign != "-"]
    if answers < 2 or not scored:
        return None
    chance = sum(1 / (len(task.choices) or answers) for task in scored) / len(scored)
    right, n = row.correct.count("1"), len(scored)
    low, high = wilson(right, n)
    if low > chance:
        return None
    return (
        f"arm {row.arm}: an accuracy of {right / n:.3f} [{low:.3f}, {high:.3f}] on clean images, "
        f"n = {n}, cannot be told from guessing ({chance:.3f}): there is little to take from it"
    )


@dataclass(frozen=True)
class _Attack:
    """An attacker of a view or a photograph, and the file of what became of every question."""

    experiment: Experiment
    threat: Threat
    attacker: Attacker
    clean: Mapping[str, Sequence[Trajectory]]
    file: Path

    @property
    def name(self) -> str:
        return f"{self.threat}, {self.attacker.name}"

    def on(self, tasks: Sequence[Task], timetable: Timetable) -> AttackOutcomes:
        """Every arm at each budget, on questions that are kept and then on those that are not.

        Raises:
            ConfigError: what is kept is of another model, or of other tasks.
            FormatError: it cannot be read.
        """
        found = AttackOutcomes.read(self.file, tasks, model=self.experiment.model)
        done = len(found.tasks) if found else 0
        for kind in (self.name, f"{self.name}: episodes"):
            timetable.skip(kind, done / len(tasks))
        for first in range(done, len(tasks), TOGETHER):
            more = self._on(tasks, slice(first, first + TOGETHER), timetable)
            found = more if found is None else found.followed_by(more)
            write_whole(self.file, found.model_dump_json().encode())
        assert found is not None, "there is a question"
        return found

    def _on(self, tasks: Sequence[Task], which: slice, timetable: Timetable) -> AttackOutcomes:
        section, experiment = self.experiment.recipe.attack, self.experiment
        part, changed = tasks[which], []
        for place, task in enumerate(part, start=which.start):
            with timetable.part(self.name, self.name, 1 / len(tasks)):
                episode = self.clean[self.attacker.arm][place]
                changed.append(experiment.changed(self.threat, self.attacker, task, episode, place))
            if place < SHOWN:
                for epsilon, image in zip(section.epsilons, changed[-1], strict=True):
                    name = f"{self.threat}-{self.attacker.name}-{place}-by-{epsilon}"
                    experiment.keep(name, image)
        kind = f"{self.name}: episodes"
        with timetable.part(kind, kind, len(part) / len(tasks)):
            rows = [
                self._row(arm, part, [of_task[size] for of_task in changed], epsilon)
                for size, epsilon in enumerate(section.epsilons)
                for arm in section.arms
            ]
        return AttackOutcomes.of(rows, part, model=experiment.model)

    def _row(
        self, arm: str, tasks: Sequence[Task], images: Sequence[Image], epsilon: int
    ) -> ArmOutcomes:
        """An arm on attacked images; what it looked at is measured on the photograph shown."""
        record = self.experiment.environment.record
        shown = [_with_image(task, image) for task, image in zip(tasks, images, strict=True)]
        originals = {
            image.source.digest: record.shown(task.images[0])
            for task, image in zip(tasks, images, strict=True)
        }
        ways, measured = (originals, tasks) if self.threat == "view" else (None, shown)
        episodes = self.experiment.attempt(arm, shown, ways)
        outcomes = [Outcome.of(*pair) for pair in zip(measured, episodes, strict=True)]
        loss = self.attacker.loss
        attacked = NOISE if loss is None else self.attacker.arm
        return ArmOutcomes.of(outcomes, arm=arm, attacked=attacked, loss=loss, epsilon=epsilon)


def _attackable(tasks: Iterable[Task], arms: Iterable[str]) -> list[Task]:
    """All of them.

    Raises:
        ConfigError: there is none, two have one id, or one has no image, no answer, or no box where
            an arm stages what is shown by it.
    """
    staged = [arm for arm in arms if ARMS[arm].shows in ("true", "wrong")]
    found: dict[str, Task] = {}
    for task in tasks:
        if not task.images or task.answer is None:
            raise ConfigError(f"tasks: {task.id} needs an image and an answer to be attacked")
        if staged and not task.boxes:
            raise ConfigError(f"tasks: {task.id} has no box, which the arm {staged[0]} needs")
        if task.id in found:
            raise ConfigError(f"tasks: two have the id {task.id}")
        found[task.id] = task
    if not found:
        raise ConfigError("tasks: there is none to attack")
    return list(found.values())


def _with_image(task: Task, image: Image) -> Task:
    """A task that shows another first image."""
    place = next(i for i, part in enumerate(task.prompt) if isinstance(part, Image))
    prompt = (*task.prompt[:place], image, *task.prompt[place + 1 :])
    return task.model_copy(update={"prompt": prompt})
