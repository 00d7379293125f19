"""A policy in its environment, and what an attack makes of the images that it is shown."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np
import torch
from PIL import Image as PILImage
from torch import nn

from saccade.arms import apply_arm, targets_of
from saccade.env import Environment
from saccade.files import write_whole
from saccade.images.image import Image
from saccade.models.load import LoadedModel
from saccade.policies import LocalPolicy
from saccade.rewards import Reward
from saccade.robust.agent.originals import OnTheOriginal
from saccade.robust.agent.recipe import AgentAttackRecipe, Loss, Threat
from saccade.robust.agent.results import NOISE
from saccade.robust.attacks.base import Attack
from saccade.robust.attacks.single import Random
from saccade.robust.progress import OnProgress, Timetable
from saccade.robust.vlm import SameAgain
from saccade.rollout import Job, rollout_many
from saccade.types import Task, Trajectory

TOLD = 64
"""Number of values of a weight by which a model is told from another one, about."""


@dataclass(frozen=True)
class Attacker:
    """Random signs, or an attack on a loss of an arm's clean episode."""

    arm: str
    loss: Loss | None

    @property
    def name(self) -> str:
        return NOISE if self.loss is None else f"{self.arm}-{self.loss}"


def attackers_of(recipe: AgentAttackRecipe) -> list[Attacker]:
    """Noise first, then an attacker for every arm and loss."""
    section = recipe.attack
    first = next(iter(section.arms))
    every = product(section.arms, section.losses)
    return [Attacker(first, None), *(Attacker(arm, loss) for arm, loss in every)]


@dataclass(frozen=True)
class Experiment:
    """A policy in its environment, and what is tried on it."""

    recipe: AgentAttackRecipe
    policy: LocalPolicy
    environment: Environment
    reward: Reward
    method: Attack

    @cached_property
    def model(self) -> str:
        """Digest of the weights."""
        return digest_of(self.policy.loaded.model)

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

    def timetable(
        self,
        tasks: Sequence[Task],
        clean: Mapping[str, Sequence[Trajectory]],
        of_episodes: float,
        on_progress: OnProgress,
    ) -> Timetable:
        """From the seconds that all clean episodes took, and one attack for each threat."""
        section, (arm, *_) = self.recipe.attack, self.recipe.attack.arms
        seconds = {}
        for threat in section.threats:
            for attacker in attackers_of(self.recipe):
                kind = f"{threat}, {attacker.name}"
                seconds[f"{kind}: episodes"] = of_episodes * len(section.epsilons)
                seconds[kind] = 0.0
            begun = time.monotonic()
            attacker = Attacker(arm, section.losses[0])
            self.changed(threat, attacker, tasks[0], clean[arm][0], 0)
            of_one = time.monotonic() - begun
            kinds = [f"{threat}, {one.name}" for one in attackers_of(self.recipe) if one.loss]
            seconds |= dict.fromkeys(kinds, of_one * len(tasks))
        return Timetable(seconds, 1, on_progress)

    def changed(
        self, threat: Threat, attacker: Attacker, task: Task, episode: Trajectory, place: int
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
        write_whole(folder / f"{name}.png", image.encoded("png").data)


def digest_of(model: nn.Module) -> str:
    """Of the weights of a model: of some values of each, for a large one has many."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)}".encode())
        some = value.flatten()[:: max(1, value.numel() // TOLD)]
        digest.update(some.float().cpu().numpy().tobytes())
    return digest.hexdigest()


def _target(
    loaded: LoadedModel, episode: Trajectory, loss: Loss | None, *, source: bool
) -> SameAgain:
    """Of the tokens that shall change; of all where an episode ended without an answer."""
    tokens: Loss = "answer" if loss == "answer" and episode.answer else "all"
    return SameAgain(loaded, episode, tokens=tokens, source=source, exact=False)


def _as_image(pixels: torch.Tensor) -> Image:
    """(3, H, W) in [0, 1]."""
    values = (pixels.detach().float().cpu() * 255).round().to(torch.uint8)
    return Image.from_pixels(PILImage.fromarray(np.ascontiguousarray(values.permute(1, 2, 0))))
