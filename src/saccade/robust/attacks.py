"""Attacks of one step and of several, at a given size, all with gradients that do not vanish.

    found = attack(Classifier(model), images, labels, method="ossa", epsilons=[0.5, 1.0])
    found.success.float().mean(1)            # fooling rate at each epsilon

The methods of one step are told in `directions.direction`. Of several: `pgd` (Madry et al., arXiv
1706.06083, without a random start), `ossa_iterated` (a spectral step each time), `ossa_two_step`
(.6 and .4 of the size, the second from where the first led; Tron et al., Machine Learning 113,
2024). Attacks that look for the least change have no epsilon: see `minimal`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch

from saccade.errors import ConfigError
from saccade.robust.directions import Norm, Step, direction
from saccade.robust.target import CHUNK, Target, checked

Method = Literal[
    "ossa", "ossa_two_step", "ossa_iterated", "fgm", "otcm", "pgd", "deepfool", "random"
]
STEP_SHARE = 2.5
"""Steps of `pgd` and `ossa_iterated` are this times epsilon over their number (Madry et al.)."""
TWO_STEPS = (0.6, 0.4)


class Attacked(NamedTuple):
    """What an attack made, for each epsilon."""

    inputs: torch.Tensor
    """(E, N, *shape), within the bounds."""
    success: torch.Tensor
    """(E, N) bool, judged on what is returned."""
    sizes: torch.Tensor
    """(E, N): norm of the change as it is returned; clipping makes it smaller."""


class Box(NamedTuple):
    """Where inputs may lie."""

    bounds: tuple[float, float] | None = (0.0, 1.0)
    levels: int | None = None
    """Round to so many equal steps between the bounds; 255 for images of 8 bits."""

    def hold(self, x: torch.Tensor) -> torch.Tensor:
        """The nearest input that may be."""
        if self.bounds is None:
            return x
        low, high = self.bounds
        x = x.clamp(low, high)
        if self.levels is None:
            return x
        step = (high - low) / self.levels
        return low + ((x - low) / step).round() * step


def attack(
    target: Target,
    x: torch.Tensor,
    labels: torch.Tensor | None = None,
    *,
    method: Method = "ossa",
    epsilons: Sequence[float],
    norm: Norm = "l2",
    wanted: torch.Tensor | None = None,
    bounds: tuple[float, float] | None = (0.0, 1.0),
    levels: int | None = None,
    steps: int = 10,
    seed: int = 0,
) -> Attacked:
    """Change inputs so that the most likely class is another one.

    Args:
        target: Gives log-probabilities.
        x: (N, ...) inputs, within the bounds.
        labels: (N,) int64, what must not come out; the most likely classes if left out, so that no
            label leaks into the attack.
        method: Which attack.
        epsilons: Sizes of the change.
        norm: By which it is measured.
        wanted: (N,) int64: what must come out, for a targeted attack.
        bounds: Of the inputs; None for none.
        levels: Round to so many equal steps between the bounds, 255 for images of 8 bits.
        steps: Of `pgd` and `ossa_iterated`.
        seed: Of `random`.

    Raises:
        ConfigError: inputs out of bounds, labels of another number, epsilons that are no sizes.
    """
    x = checked(x)
    check_labels(x, labels=labels, wanted=wanted)
    check_box(x, Box(bounds, levels))
    if not epsilons or not all(e > 0 and math.isfinite(e) for e in epsilons):
        raise ConfigError(f"epsilons: expected sizes above 0, got {list(epsilons)}")
    if method not in get_args(Method):
        raise ConfigError(f"method: one of {', '.join(get_args(Method))}, got {method!r}")
    likeliest = _most_likely(target, x)
    if likeliest.ndim != 1:
        raise ConfigError("target: one distribution an input is attacked, this gives a sequence")
    labels = likeliest if labels is None else labels
    parts = []
    for at in range(0, len(x), CHUNK):
        part = slice(at, at + CHUNK)
        aim = labels[part] if wanted is None else wanted[part]
        way = _Way(target, x[part], aim, wanted is not None, norm, Box(bounds, levels))
        parts.append(way.moved(method, epsilons, steps, seed + at))
    return measured(target, x, torch.cat(parts, 1), labels, wanted, norm=norm)


def measured(
    target: Target,
    x: torch.Tensor,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    wanted: torch.Tensor | None = None,
    *,
    norm: Norm | Literal["l0"] = "l2",
) -> Attacked:
    """Success and size of changed inputs (E, N, *shape): of what is returned, whatever made it."""
    said = torch.stack([_most_likely(target, one) for one in inputs])
    success = said != labels if wanted is None else said == wanted
    change = (inputs - x).flatten(2).double()
    if norm == "l0":
        sizes = (change != 0).sum(2).double()
    else:
        sizes = change.norm(dim=2) if norm == "l2" else change.abs().amax(2)
    return Attacked(inputs, success, sizes)


class _Way(NamedTuple):
    """One batch under attack."""

    target: Target
    x: torch.Tensor
    aim: torch.Tensor
    towards: bool
    norm: Norm
    box: Box

    def moved(
        self, method: Method, epsilons: Sequence[float], steps: int, seed: int
    ) -> torch.Tensor:
        """(E, N, *shape)."""
        if method == "ossa_two_step":
            return torch.stack([self._two_steps(epsilon) for epsilon in epsilons])
        if method == "pgd" or method == "ossa_iterated":
            single: Step = "fgm" if method == "pgd" else "ossa"
            return torch.stack([self._stepped(single, epsilon, steps) for epsilon in epsilons])
        way = self._direction(self.x, method, seed)
        return torch.stack([self.box.hold(self.x + epsilon * way) for epsilon in epsilons])

    def _two_steps(self, epsilon: float) -> torch.Tensor:
        moved = self.x
        for share in TWO_STEPS:
            ahead = moved + share * epsilon * self._direction(moved, "ossa")
            moved = self.box._replace(levels=None).hold(ahead)
        return self.box.hold(moved)

    def _stepped(self, method: Step, epsilon: float, steps: int) -> torch.Tensor:
        """Projected steps; the loss goes on rising after an input is lost: it stays lost."""
        moved, size = self.x, STEP_SHARE * epsilon / steps
        for _ in range(steps):
            ahead = moved + size * self._direction(moved, method)
            near = self.x + projected(ahead - self.x, epsilon, self.norm)
            moved = self.box._replace(levels=None).hold(near)  # a step may be less than a level
        return self.box.hold(moved)

    def _direction(self, x: torch.Tensor, method: Step, seed: int = 0) -> torch.Tensor:
        return direction(
            self.target, x, self.aim, towards=self.towards, method=method, norm=self.norm, seed=seed
        )


def projected(change: torch.Tensor, epsilon: float, norm: Norm) -> torch.Tensor:
    """The nearest change of size at most epsilon."""
    if norm == "linf":
        return change.clamp(-epsilon, epsilon)
    sizes = change.flatten(1).norm(dim=1).clamp_min(1e-12)
    shrink = (epsilon / sizes).clamp_max(1.0)
    shrunk: torch.Tensor = change * shrink.view(-1, *[1] * (change.ndim - 1))
    return shrunk


def check_labels(x: torch.Tensor, **classes: torch.Tensor | None) -> None:
    """One class for each input.

    Raises:
        ConfigError: not so.
    """
    for name, given in classes.items():
        if given is not None and given.shape != (len(x),):
            shape = tuple(given.shape)
            raise ConfigError(
                f"{name}: expected one class for each of {len(x)} inputs, got {shape}"
            )


def check_box(x: torch.Tensor, box: Box) -> None:
    """Inputs lie in it.

    Raises:
        ConfigError: not so, or levels without bounds.
    """
    if box.levels is not None and (box.levels < 1 or box.bounds is None):
        raise ConfigError("levels: at least 1, between bounds")
    if box.bounds is not None:
        low, high = float(x.min()), float(x.max())
        if low < box.bounds[0] or high > box.bounds[1]:
            raise ConfigError(
                f"inputs: from {low:g} to {high:g}, outside of the bounds {box.bounds}; "
                "say bounds=..."
            )


def _most_likely(target: Target, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        parts = [target.log_probs(part).argmax(-1) for part in torch.split(x, CHUNK)]
    return torch.cat(parts)
