"""A stage of training that ends on what was learned, not on a number of steps; resumable.

At a constant rate until every skill has taken off, then cooled down, then examined. In one
recipe, two seeds may take off hundreds of steps apart; a count of steps that suits one leaves the
other half taught. A stage that misses its aims by its limit fails, and says what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import nn

from saccade.errors import TrainingError
from saccade.files import write_whole

WARM_UP = 40
MUON_RATE, ADAM_RATE = 4e-3, 3e-3
BETAS = (0.9, 0.98)
WEIGHT_DECAY = 0.01
CLIP = 1.0

Measured = dict[str, float]


class Learner(Protocol):
    """What is trained in a stage, and how it is measured."""

    @property
    def modules(self) -> nn.ModuleDict:
        """Everything that is trained."""
        ...

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        """Loss of one fresh batch; `backward` has been called on it."""
        ...

    def measure(self) -> Measured:
        """Every skill, on the development split."""
        ...


@dataclass(frozen=True)
class Plan:
    """When a stage goes on, cools down, ends and fails."""

    take_off: Mapping[str, float]
    """Skills that must be this good before the rate falls."""
    aims: Mapping[str, float]
    """Skills that must be this good at the end."""
    limit: int
    """Steps by which `take_off` must be reached."""
    cool_down: int
    """Steps over which the rate then falls to a fiftieth."""
    every: int = 200
    """Steps between two measurements, each followed by a checkpoint."""


@dataclass(frozen=True)
class Progress:
    """News of a stage under way."""

    stage: str
    step: int
    last: int
    """The step at which it ends: at the latest, until the take-off; then exactly."""
    loss: float
    measured: Measured | None
    """On steps that were measured."""


def train(
    learner: Learner,
    plan: Plan,
    folder: Path,
    *,
    stage: str,
    seed: int,
    muon: bool = True,
    on_step: Callable[[Progress], None] = lambda progress: None,
) -> Measured:
    """Carry a stage out, or go on where the folder's checkpoint was written.

    Noise is drawn from (seed, stage, step): an interrupted stage ends with the same weights.

    Returns:
        What was measured at the end.

    Raises:
        TrainingError: an aim was missed.
    """
    state = _State(learner, optimizers(learner.modules, muon=muon), folder / f"{stage}.pt")
    state.resume()
    noise = seed, sum(stage.encode())
    while not state.done:
        if state.cooling_from is None and state.step >= plan.limit:
            raise TrainingError(_missing(stage, state.step, state.measured, plan.take_off))
        state.step += 1
        rng = _noise_of(*noise, state.step)
        loss = state.update(rng, _rate(state.step, state.cooling_from, plan))
        end = plan.limit + plan.cool_down
        if state.cooling_from is not None:
            end = state.cooling_from + plan.cool_down
        measured = None
        if state.step % plan.every == 0 or state.step == end:
            measured = state.measured = learner.measure()
            if state.cooling_from is None and not _short_of(measured, plan.take_off):
                state.cooling_from, end = state.step, state.step + plan.cool_down
            state.done = state.step == end
            state.history.append({"step": state.step, "loss": loss, **measured})
            state.save()
        on_step(Progress(stage, state.step, end, loss, measured))
    if _short_of(state.measured, plan.aims):
        raise TrainingError(_missing(stage, state.step, state.measured, plan.aims))
    # What the next stage starts from does not depend on whether this one was resumed.
    _noise_of(*noise, state.step)
    return state.measured


def optimizers(modules: nn.Module, *, muon: bool) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the network, AdamW for embeddings, heads and vectors.

    Source: K. Jordan et al., Muon (2024), with the learning rate matched to AdamW's.
    """
    inner: list[nn.Parameter] = []
    outer: list[nn.Parameter] = []
    for name, parameter in modules.named_parameters():
        matrix = parameter.ndim == 2 and not any(part in name for part in ("embed", "head"))
        (inner if matrix and muon else outer).append(parameter)
    adam = torch.optim.AdamW(outer, lr=ADAM_RATE, betas=BETAS, weight_decay=WEIGHT_DECAY)
    if not inner:
        return [adam]
    return [
        torch.optim.Muon(
            inner, lr=MUON_RATE, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"
        ),
        adam,
    ]


class _State:
    """All that a stage needs to go on: weights, optimisers, step."""

    def __init__(
        self, learner: Learner, optimizers: list[torch.optim.Optimizer], path: Path
    ) -> None:
        self._learner, self._optimizers, self._path = learner, optimizers, path
        self._rates = [o.param_groups[0]["lr"] for o in optimizers]
        self.step = 0
        self.cooling_from: int | None = None
        self.done = False
        self.measured: Measured = {}
        self.history: list[Measured] = []
        """What was measured so far. It is part of the checkpoint: no crash leaves a gap in it."""

    def update(self, rng: np.random.Generator, rate: float) -> float:
        for optimizer, full in zip(self._optimizers, self._rates, strict=True):
            optimizer.param_groups[0]["lr"] = full * rate
            optimizer.zero_grad()
        loss = self._learner.loss(rng)
        nn.utils.clip_grad_norm_(self._learner.modules.parameters(), CLIP)
        for optimizer in self._optimizers:
            optimizer.step()
        return float(loss)

    def resume(self) -> None:
        if not self._path.exists():
            return
        saved = torch.load(self._path, weights_only=True)
        self._learner.modules.load_state_dict(saved["modules"])
        for optimizer, state in zip(self._optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.step, self.cooling_from = saved["step"], saved["cooling_from"]
        self.done, self.measured = saved["done"], saved["measured"]
        self.history = saved["history"]

    def save(self) -> None:
        """A crash leaves the old checkpoint or the new one."""
        temporary = self._path.with_suffix(".part")
        content = {
            "modules": self._learner.modules.state_dict(),
            "optimizers": [o.state_dict() for o in self._optimizers],
            "step": self.step,
            "cooling_from": self.cooling_from,
            "done": self.done,
            "measured": self.measured,
            "history": self.history,
        }
        torch.save(content, temporary)
        temporary.replace(self._path)
        lines = "".join(json.dumps(line) + "\n" for line in self.history)
        write_whole(self._path.with_suffix(".jsonl"), lines.encode())


def _noise_of(seed: int, stage: int, step: int) -> np.random.Generator:
    """The generator of a step; that of torch is set with it."""
    rng = np.random.default_rng([seed, stage, step])
    torch.manual_seed(int(rng.integers(2**31)))
    return rng


def _rate(step: int, cooling_from: int | None, plan: Plan) -> float:
    """Of the full rate: up over `WARM_UP` steps, constant, then down to a fiftieth."""
    warm = min(1.0, step / WARM_UP)
    if cooling_from is None:
        return warm
    return warm * max(0.02, 1 - (step - cooling_from) / plan.cool_down)


def _short_of(measured: Measured, wanted: Mapping[str, float]) -> list[str]:
    return [name for name, least in wanted.items() if not measured.get(name, 0.0) >= least]


def _missing(stage: str, step: int, measured: Measured, wanted: Mapping[str, float]) -> str:
    lines = (
        f"{n} is {measured.get(n, 0.0):.3f} of {wanted[n]}" for n in _short_of(measured, wanted)
    )
    return f"{stage}: not learned after {step} steps: {', '.join(lines)}; try another seed"
