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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from PIL import Image as PILImage

from saccade.arms import ARMS, apply_arm, targets_of
from saccade.env import Environment
from saccade.errors import ConfigError
from saccade.files import write_whole
from saccade.images.image import Image
from saccade.models.load import LoadedModel
from saccade.policies import LocalPolicy
from saccade.recipe import make_tasks
from saccade.rewards import Reward
from saccade.robust.agent.originals import OnTheOriginal
from saccade.robust.agent.recipe import AgentAttackRecipe, Loss, Threat
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
from saccade.robust.attacks.base import Attack
from saccade.robust.attacks.single import Random
from saccade.robust.progress import OnProgress
from saccade.robust.vlm import SameAgain
from saccade.rollout import Job, rollout_many
from saccade.runs.assemble import Assembly, assemble
from saccade.runs.manifest import keep_manifest, manifest_of
from saccade.types import Task, Trajectory

TOGETHER = 32
"""Number of tasks whose attacked images exist at the same time."""
SHOWN = 4
"""Number of tasks whose attacked images are kept to look at."""


def measure_agent(
    recipe: AgentAttackRecipe, on_progress: OnProgress = lambda *_: None
) -> AgentAttackResult:
    """Attack an agent; what is measured is kept as JSON in the folder of the recipe.

    A run that is interrupted goes on with the next attack.

    Raises:
        ConfigError: the policy is no local model, a task shows no image or has no answer, or the
            folder holds a run with other options.
    """
    assembly = assemble(recipe)
    try:
        return _measured(recipe, assembly, on_progress)
    finally:
        asyncio.run(assembly.environment.close())


def _measured(
    recipe: AgentAttackRecipe, assembly: Assembly, on_progress: OnProgress
) -> AgentAttackResult:
    policy = assembly.policy
    if not isinstance(policy, LocalPolicy):
        raise ConfigError('policy: an attack needs gradients; use a local model, policy.kind="hf"')
    method = make_attack(recipe.attack.method, "attack.method")
    method.check_norm("linf")
    tasks = _attackable(make_tasks(recipe), recipe.attack.arms)
    folder = Path(recipe.out)
    manifest = manifest_of("attack", recipe, fingerprint=assembly.environment.fingerprint)
    keep_manifest(folder, manifest)
    policy.loaded.model.requires_grad_(requires_grad=False)
    experiment = _Experiment(recipe, policy, assembly.environment, assembly.reward, method)
    clean = {arm: experiment.attempt(arm, tasks) for arm in recipe.attack.arms}
    untouched = [
        ArmOutcomes.of(
            [Outcome.of(*pair) for pair in zip(tasks, episodes, strict=True)],
            arm=arm, attacked=CLEAN, loss=None, epsilon=0,
        )
        for arm, episodes in clean.items()
    ]  # fmt: skip
    outcomes: dict[Threat, list[ArmOutcomes]] = {threat: [] for threat in recipe.attack.threats}
    for threat in recipe.attack.threats:
        for place, task in enumerate(tasks[:SHOWN]):
            experiment.keep(f"{threat}-clean-{place}", experiment.untouched(threat, task))
        for attacker in _attackers(recipe):
            kept = folder / f"agent-{threat}-{attacker.name}.json"
            found = AttackOutcomes.read(kept, tasks)
            if found is None:
                found = experiment.attacked(threat, attacker, tasks, clean, on_progress)
                write_whole(kept, found.model_dump_json().encode())
            outcomes[threat] += found.outcomes
    table = Table(untouched, outcomes)
    result = AgentAttackResult(
        config=manifest.config,
        fingerprint=manifest.fingerprint,
        tasks=tuple(task.id for task in tasks),
        unscored=table.unscored,
        clean=table.clean(),
        threats={threat: table.rows(threat) for threat in outcomes},
        outcomes={threat: (*untouched, *rows) for threat, rows in outcomes.items()},
    )
    write_whole(folder / "agent_attack.json", result.model_dump_json(indent=1).encode())
    return result


@dataclass(frozen=True)
class _Attacker:
    """Random signs, or an attack on a loss of an arm's clean episode."""

    arm: str
    loss: Loss | None

    @property
    def name(self) -> str:
        return NOISE if self.loss is None else f"{self.arm}-{self.loss}"


def _attackers(recipe: AgentAttackRecipe) -> list[_Attacker]:
    section = recipe.attack
    first = next(iter(section.arms))
    every = product(section.arms, section.losses)
    return [_Attacker(first, None), *(_Attacker(arm, loss) for arm, loss in every)]


@dataclass(frozen=True)
class _Experiment:
    """A policy in its environment, and what is tried on it."""

    recipe: AgentAttackRecipe
    policy: LocalPolicy
    environment: Environment
    reward: Reward
    method: Attack

    def attempt(
        self,
        arm: str,
        tasks: Sequence[Task],
        originals: Mapping[str, Image] | None = None,
    ) -> list[Trajectory]:
        """Attempt tasks in one arm.

        Args:
            arm: Name of the arm.
            tasks: The tasks as they are shown.
            originals: Source of an attacked view -> the image that tools cut from instead.
        """
        found: dict[str, Trajectory] = {}
        policy, environment = apply_arm(arm, self.policy, self.environment, targets_of(tasks))
        if originals:  # outside of what an arm stages, whose boxes are those of the photograph
            tools = [OnTheOriginal(tool, originals) for tool in environment.tools]
            environment = environment.replace(tools=tools)

        def keep(task: Task, trajectory: Trajectory) -> None:
            found[task.id] = trajectory

        recipe = self.recipe
        asyncio.run(
            rollout_many(
                policy,
                environment,
                [Job(task) for task in tasks],
                on_finish=keep,
                concurrency=recipe.concurrency,
                seed=recipe.seed,
                sampling=recipe.sampling,
                reward=self.reward,
            )
        )
        return [found[task.id] for task in tasks]

    def attacked(
        self,
        threat: Threat,
        attacker: _Attacker,
        tasks: Sequence[Task],
        clean: Mapping[str, Sequence[Trajectory]],
        on_progress: OnProgress,
    ) -> AttackOutcomes:
        """Every arm on what an attacker made, at each budget."""
        section = self.recipe.attack
        found: dict[tuple[int, str], list[Outcome]] = {}
        for first in range(0, len(tasks), TOGETHER):
            part = tasks[first : first + TOGETHER]
            changed: list[list[Image]] = []
            for place in range(first, first + len(part)):
                on_progress(f"{threat}, {attacker.name}", place, len(tasks))
                episode = clean[attacker.arm][place]
                changed.append(self._changed(threat, attacker, tasks[place], episode, place))
                if place < SHOWN:
                    for epsilon, image in zip(section.epsilons, changed[-1], strict=True):
                        self.keep(f"{threat}-{attacker.name}-{place}-by-{epsilon}", image)
            for size, epsilon in enumerate(section.epsilons):
                images = [of_task[size] for of_task in changed]
                shown = [_with_image(task, image) for task, image in zip(part, images, strict=True)]
                originals = {
                    image.source.digest: task.images[0].fit(self.environment.record.view)
                    for task, image in zip(part, images, strict=True)
                }
                ways, measured = (originals, part) if threat == "view" else (None, shown)
                for arm in section.arms:
                    episodes = self.attempt(arm, shown, ways)
                    pairs = zip(measured, episodes, strict=True)
                    found.setdefault((epsilon, arm), []).extend(Outcome.of(*p) for p in pairs)
        on_progress(f"{threat}, {attacker.name}", len(tasks), len(tasks))
        attacked = NOISE if attacker.loss is None else attacker.arm
        return AttackOutcomes(
            tasks=tuple(task.id for task in tasks),
            outcomes=tuple(
                ArmOutcomes.of(
                    rows, arm=arm, attacked=attacked, loss=attacker.loss, epsilon=epsilon
                )
                for (epsilon, arm), rows in found.items()
            ),
        )

    def _changed(
        self, threat: Threat, attacker: _Attacker, task: Task, episode: Trajectory, place: int
    ) -> list[Image]:
        """The first image of an episode, attacked with each budget."""
        section = self.recipe.attack
        if not episode.turns:  # it failed on our side, and counts nowhere
            return [self.untouched(threat, task)] * len(section.epsilons)
        target = _target(self.policy.loaded, episode, attacker.loss, source=threat == "photograph")
        attack = Random() if attacker.loss is None else self.method
        found = attack(
            target,
            target.pixels(),
            torch.zeros(1, dtype=torch.long),  # to write the same is what must not come out
            epsilons=[epsilon / 255 for epsilon in section.epsilons],
            norm="linf",
            levels=255,
            seed=self.recipe.seed + place,
        )
        return [_as_image(pixels[0]) for pixels in found.inputs]

    def untouched(self, threat: Threat, task: Task) -> Image:
        """What is attacked, as it is."""
        image = task.images[0]
        return image.fit(self.environment.record.view) if threat == "view" else image

    def keep(self, name: str, image: Image) -> None:
        """An image to look at."""
        folder = Path(self.recipe.out) / "attacked"
        folder.mkdir(exist_ok=True)
        write_whole(folder / f"{name}.png", image.encoded().data)


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


def _target(
    loaded: LoadedModel, episode: Trajectory, loss: Loss | None, *, source: bool
) -> SameAgain:
    """Of the tokens that shall change; of all where an episode ended without an answer."""
    tokens: Loss = "answer" if loss == "answer" and episode.answer else "all"
    return SameAgain(loaded, episode, tokens=tokens, source=source, exact=False)


def _with_image(task: Task, image: Image) -> Task:
    """A task that shows another first image."""
    place = next(i for i, part in enumerate(task.prompt) if isinstance(part, Image))
    prompt = (*task.prompt[:place], image, *task.prompt[place + 1 :])
    return task.model_copy(update={"prompt": prompt})


def _as_image(pixels: torch.Tensor) -> Image:
    """(3, H, W) in [0, 1]."""
    values = (pixels.detach().float().cpu() * 255).round().to(torch.uint8)
    return Image.from_pixels(PILImage.fromarray(np.ascontiguousarray(values.permute(1, 2, 0))))
