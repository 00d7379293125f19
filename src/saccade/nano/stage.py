"""A stage of training that ends on what was learned, not on a number of steps; resumable.

The learning rate warms up, stays constant until every skill has taken off, then decays; at the end
the skills are measured against their aims. In one recipe, two seeds may take off hundreds of steps
apart: a number of steps that suits one leaves the other half trained. A stage that misses an aim
fails, and says which.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import nn

from saccade.errors import TrainingError
from saccade.files import open_file, write_whole
from saccade.nano.muon import Muon

WARM_UP_STEPS = 40
MUON_LR, ADAMW_LR = 4e-3, 3e-3
BETAS = (0.9, 0.98)
WEIGHT_DECAY = 0.01
MAX_GRAD_NORM = 1.0

Skills = dict[str, float]
"""Skill -> how well it was measured, 0 to 1."""


class Stage(Protocol):
    """What is trained, and how its skills are measured."""

    @property
    def modules(self) -> nn.ModuleDict:
        """Every module that is trained."""
        ...

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        """Return the loss of one fresh batch, after calling `backward` on it."""
        ...

    def measure(self) -> Skills:
        """Measure every skill on the development split."""
        ...


@dataclass(frozen=True)
class Plan:
    """When the learning rate of a stage decays, and when the stage ends or fails."""

    take_off: Mapping[str, float]
    """Skills that must be this good before the learning rate decays."""
    aims: Mapping[str, float]
    """Skills that must be this good at the end; otherwise the stage fails."""
    step_limit: int
    """Number of steps by which `take_off` must be reached; otherwise the stage fails."""
    decay_steps: int
    """Number of steps over which the learning rate then decays to a fiftieth."""
    measure_every: int = 200
    """Number of steps between two measurements, each of which is followed by a checkpoint."""


@dataclass(frozen=True)
class Progress:
    """The state of a stage after an optimiser step."""

    stage: str
    step: int
    last_step: int
    """Step at which the stage ends: an upper bound before the take-off, exact after it."""
    loss: float
    skills: Skills | None
    """Skills that were measured after this step; None where nothing was measured."""


def train(
    stage: Stage,
    plan: Plan,
    folder: Path,
    *,
    name: str,
    seed: Sequence[int],
    muon: bool = True,
    on_step: Callable[[Progress], None] = lambda progress: None,
) -> Skills:
    """Train a stage to its end, from its start or from the checkpoint in the folder.

    Noise is drawn from (seed, step): an interrupted stage ends with the same weights.

    Args:
        stage: What is trained.
        plan: When it decays, ends and fails.
        folder: Where `NAME.pt` (checkpoint) and `NAME.jsonl` (measured skills) are written.
        name: Name of the stage in its files, its progress and its errors.
        seed: Numbers that, together, no other stage of this training has.
        muon: Whether matrices are trained with Muon; otherwise AdamW trains everything.
        on_step: Called after every optimiser step.

    Returns:
        The skills that were measured at the end.

    Raises:
        TrainingError: an aim was missed.
    """
    state = _State(stage, optimizers(stage.modules, muon=muon), folder / f"{name}.pt")
    state.resume()
    while not state.done:
        if state.decay_from is None and state.step >= plan.step_limit:
            raise TrainingError(_missing(name, state.step, state.skills, plan.take_off))
        state.step += 1
        rng = _noise_of(seed, state.step)
        loss = state.update(rng, _rate(state.step, state.decay_from, plan))
        last_step = plan.step_limit + plan.decay_steps
        if state.decay_from is not None:
            last_step = state.decay_from + plan.decay_steps
        skills = None
        if state.step % plan.measure_every == 0 or state.step == last_step:
            skills = state.skills = stage.measure()
            if state.decay_from is None and not _short_of(skills, plan.take_off):
                state.decay_from, last_step = state.step, state.step + plan.decay_steps
            state.done = state.step == last_step
            state.history.append({"step": state.step, "loss": loss, **skills})
            state.save()
        on_step(Progress(name, state.step, last_step, loss, skills))
    if _short_of(state.skills, plan.aims):
        raise TrainingError(_missing(name, state.step, state.skills, plan.aims))
    # What the next stage starts from does not depend on whether this one was resumed.
    _noise_of(seed, state.step)
    return state.skills


def optimizers(modules: nn.Module, *, muon: bool) -> list[torch.optim.Optimizer]:
    """Make Muon for the matrices inside the network, AdamW for embeddings, heads and vectors."""
    inner: list[nn.Parameter] = []
    outer: list[nn.Parameter] = []
    for name, parameter in modules.named_parameters():
        matrix = parameter.ndim == 2 and not any(part in name for part in ("embed", "head"))
        (inner if matrix and muon else outer).append(parameter)
    adam = torch.optim.AdamW(outer, lr=ADAMW_LR, betas=BETAS, weight_decay=WEIGHT_DECAY)
    if not inner:
        return [adam]
    return [
        Muon(inner, lr=MUON_LR, weight_decay=WEIGHT_DECAY),
        adam,
    ]


class _State:
    """Everything that a stage needs to resume: weights, optimisers, step."""

    def __init__(self, stage: Stage, optimizers: list[torch.optim.Optimizer], path: Path) -> None:
        self._stage, self._optimizers, self._path = stage, optimizers, path
        self._rates = [o.param_groups[0]["lr"] for o in optimizers]
        self.step = 0
        self.decay_from: int | None = None
        self.done = False
        self.skills: Skills = {}
        self.history: list[Skills] = []
        """Every measurement so far. It is part of the checkpoint: no crash leaves a gap in it."""

    def update(self, rng: np.random.Generator, rate: float) -> float:
        """Make one optimiser step at a share of the full learning rate; return the loss."""
        for optimizer, full in zip(self._optimizers, self._rates, strict=True):
            optimizer.param_groups[0]["lr"] = full * rate
            optimizer.zero_grad()
        loss = self._stage.loss(rng)
        nn.utils.clip_grad_norm_(self._stage.modules.parameters(), MAX_GRAD_NORM)
        for optimizer in self._optimizers:
            optimizer.step()
        return float(loss)

    def resume(self) -> None:
        """Load the checkpoint, if there is one."""
        if not self._path.exists():
            return
        with open_file(self._path) as file:
            saved = torch.load(file, weights_only=True)
        self._stage.modules.load_state_dict(saved["modules"])
        for optimizer, state in zip(self._optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.step, self.decay_from = saved["step"], saved["decay_from"]
        self.done, self.skills = saved["done"], saved["skills"]
        self.history = saved["history"]

    def save(self) -> None:
        """Write the checkpoint; a crash leaves the old one or the new one."""
        temporary = self._path.with_suffix(".part")
        content = {
            "modules": self._stage.modules.state_dict(),
            "optimizers": [o.state_dict() for o in self._optimizers],
            "step": self.step,
            "decay_from": self.decay_from,
            "done": self.done,
            "skills": self.skills,
            "history": self.history,
        }
        torch.save(content, temporary)
        temporary.replace(self._path)
        lines = "".join(json.dumps(line) + "\n" for line in self.history)
        write_whole(self._path.with_suffix(".jsonl"), lines.encode())


def _noise_of(seed: Sequence[int], step: int) -> np.random.Generator:
    """Make the random generator of a step, and seed that of torch with it."""
    rng = np.random.default_rng([*seed, step])
    torch.manual_seed(int(rng.integers(2**31)))
    return rng


def _rate(step: int, decay_from: int | None, plan: Plan) -> float:
    """Share of the full learning rate: warm-up, constant, then a linear decay to a fiftieth."""
    warm = min(1.0, step / WARM_UP_STEPS)
    if decay_from is None:
        return warm
    return warm * max(0.02, 1 - (step - decay_from) / plan.decay_steps)


def _short_of(skills: Skills, wanted: Mapping[str, float]) -> list[str]:
    return [name for name, least in wanted.items() if not skills.get(name, 0.0) >= least]


def _missing(stage: str, step: int, skills: Skills, wanted: Mapping[str, float]) -> str:
    lines = (f"{n} is {skills.get(n, 0.0):.3f} of {wanted[n]}" for n in _short_of(skills, wanted))
    return f"{stage}: not learned after {step} steps: {', '.join(lines)}; try another seed"
