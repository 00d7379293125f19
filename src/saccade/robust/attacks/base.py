"""What every attack shares, and the one place in which it is judged.

An attack proposes changed inputs. `Attack.__call__`, which no attack can override, projects them to
the budget, clips them to the bounds, rounds them to levels, and measures success and size on what
it then returns: no attack can claim a success that it does not have.

    class Brighter(Attack):
        '''Add the same to every value.'''

        def propose(self, batch: Batch, epsilons: Sequence[float]) -> list[torch.Tensor]:
            return [batch.x + epsilon for epsilon in epsilons]
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple, final

import torch

from saccade.errors import ConfigError
from saccade.fisher.target import CHUNK, Target, checked
from saccade.plugins import guarded
from saccade.types import Record

Norm = Literal["l2", "linf", "l0"]
"""By which the size of a change is measured; `l0` is the number of values that differ."""


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

    def clip(self, x: torch.Tensor) -> torch.Tensor:
        """The nearest input within the bounds."""
        return x if self.bounds is None else x.clamp(*self.bounds)

    def hold(self, x: torch.Tensor) -> torch.Tensor:
        """The nearest input that may be: clipped, then rounded to levels."""
        x = self.clip(x)
        if self.bounds is None or self.levels is None:
            return x
        low, high = self.bounds
        step = (high - low) / self.levels
        return low + ((x - low) / step).round() * step


class Batch(NamedTuple):
    """Inputs under attack."""

    target: Target
    x: torch.Tensor
    """(N, *shape)."""
    classes: torch.Tensor
    """(N,) int64: the classes to leave; the classes to reach if the attack is targeted."""
    targeted: bool = False
    norm: Norm = "l2"
    box: Box = Box()
    seed: int = 0
    """The seed of everything that an attack draws at random."""


class Attack(Record, ABC):
    """Changes inputs so that another class becomes the most likely one. Its fields are options."""

    norms: ClassVar[tuple[Norm, ...]] = ("l2", "linf")
    """Norms in which the attack can be given a budget."""
    can_target: ClassVar[bool] = True
    """Whether the attack can aim at a class."""
    chunk: ClassVar[int | None] = CHUNK
    """Number of inputs that `propose` gets at a time; None for all of them."""

    def __init_subclass__(cls) -> None:
        """Keep the judge in one place.

        Raises:
            ConfigError: a subclass overrides `__call__`.
        """
        super().__init_subclass__()
        if cls.__call__ is not Attack.__call__:
            raise ConfigError(f"{cls.__name__}: override propose; __call__ judges every attack")

    @abstractmethod
    def propose(self, batch: Batch, epsilons: Sequence[float]) -> Sequence[torch.Tensor]:
        """Changed inputs (N, *shape) for each epsilon; the caller projects, clips and judges."""

    @final
    def __call__(
        self,
        target: Target,
        x: torch.Tensor,
        labels: torch.Tensor | None = None,
        *,
        epsilons: Sequence[float],
        norm: Norm = "l2",
        target_classes: torch.Tensor | None = None,
        bounds: tuple[float, float] | None = (0.0, 1.0),
        levels: int | None = None,
        seed: int = 0,
    ) -> Attacked:
        """Attack inputs at each epsilon, and measure success on what is returned.

        Args:
            target: Gives log-probabilities.
            x: (N, ...) inputs, within the bounds.
            labels: (N,) int64, what must not come out; the most likely classes if left out, so that
                no label leaks into the attack.
            epsilons: Budgets: the largest size of a change. An attack that looks for the least
                change takes `math.inf`.
            norm: The norm by which a change is measured.
            target_classes: (N,) int64: what must come out; it makes the attack a targeted one.
            bounds: The bounds of inputs; None for none.
            levels: Round to so many equal steps between the bounds, 255 for images of 8 bits. It
                comes last: a change may then exceed its budget by half a level a value.
            seed: Seed of everything that an attack draws at random.

        Raises:
            ConfigError: inputs out of bounds, labels of another number, epsilons that are no sizes,
                a norm or a target that this attack does not know, or a proposal that is no input.
            PluginError: `propose` raised.
        """
        x, box, name = checked(x), Box(bounds, levels), type(self).__name__
        _check_classes(x, labels=labels, target_classes=target_classes)
        _check_box(x, box)
        if not epsilons or not all(epsilon > 0 for epsilon in epsilons):
            raise ConfigError(f"epsilons: expected sizes above 0, got {list(epsilons)}")
        self.check_norm(norm)
        if target_classes is not None and not self.can_target:
            raise ConfigError(f"target_classes: {name} cannot be sent to a class")
        likeliest = _most_likely(target, x)
        if likeliest.ndim != 1:
            raise ConfigError(
                "target: one distribution an input is attacked, this gives a sequence"
            )
        labels = likeliest if labels is None else labels
        classes = labels if target_classes is None else target_classes
        made = []
        step = self.chunk or len(x)
        for start in range(0, len(x), step):
            rows = slice(start, start + step)
            own = Batch(  # copies: what an attack does to them changes nothing outside
                target, x[rows].clone(), classes[rows].clone(), norm=norm, box=box,
                targeted=target_classes is not None, seed=seed + start,
            )  # fmt: skip
            with guarded(f"attack {name}"):
                proposed = self.propose(own, epsilons)
            made.append(_within_budget(name, x[rows], proposed, epsilons, norm, box))
        return _judged(target, x, torch.cat(made, 1), labels, target_classes, norm)

    def check_norm(self, norm: Norm) -> None:
        """Whether the attack can be given a budget in a norm.

        Raises:
            ConfigError: it cannot.
        """
        if norm not in self.norms:
            known = " or ".join(self.norms)
            raise ConfigError(f"norm: {type(self).__name__} takes a budget in {known}, not {norm}")


def projected(change: torch.Tensor, epsilon: float, norm: Norm) -> torch.Tensor:
    """The nearest change (N, *shape) of size at most epsilon."""
    if norm == "linf":
        return change.clamp(-epsilon, epsilon)
    if norm == "l0":
        flat = change.flatten(1)
        largest = flat.abs().topk(min(int(epsilon), flat.shape[1])).indices
        kept = torch.zeros_like(flat).scatter(1, largest, flat.gather(1, largest))
        return kept.view_as(change)
    sizes = change.flatten(1).norm(dim=1).clamp_min(1e-12)
    shrink = (epsilon / sizes).clamp_max(1.0)
    shrunk: torch.Tensor = change * shrink.view(-1, *[1] * (change.ndim - 1))
    return shrunk


def _within_budget(
    name: str,
    x: torch.Tensor,
    proposed: Sequence[torch.Tensor],
    epsilons: Sequence[float],
    norm: Norm,
    box: Box,
) -> torch.Tensor:
    """(E, N, *shape): proposals, projected to the budget where they exceed it, clipped, rounded.

    A proposal within its budget but for the rounding of its type is taken as it is.
    """
    made = []
    for epsilon, inputs in zip(epsilons, proposed, strict=True):
        if inputs.shape != x.shape or not inputs.isfinite().all():
            raise ConfigError(
                f"{name}: expected {tuple(x.shape)} finite inputs at epsilon {epsilon:g}, got "
                f"{tuple(inputs.shape)}, {int(inputs.isfinite().sum())} values of it finite"
            )
        inputs = inputs.detach().to(x.dtype)
        change = inputs - x
        rounding = 4 * torch.finfo(x.dtype).eps * math.sqrt(x[0].numel())
        slack = rounding * (epsilon + float(x.abs().max()))
        over = _sizes(change.flatten(1), norm) > epsilon + (0 if norm == "l0" else slack)
        if over.any():
            inputs = inputs.clone()
            inputs[over] = x[over] + projected(change[over], epsilon, norm)
        made.append(box.hold(inputs))
    return torch.stack(made)


def _judged(
    target: Target,
    x: torch.Tensor,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    target_classes: torch.Tensor | None,
    norm: Norm,
) -> Attacked:
    """Success and size of changed inputs (E, N, *shape): of what is returned, whatever made it."""
    found = torch.stack([_most_likely(target, one) for one in inputs])
    success = found != labels if target_classes is None else found == target_classes
    return Attacked(inputs, success, _sizes((inputs - x).flatten(2), norm))


def _sizes(change: torch.Tensor, norm: Norm) -> torch.Tensor:
    """(...,) float64, of changes (..., D)."""
    if norm == "l0":
        return (change != 0).sum(-1).double()
    wide = change.double()
    return wide.norm(dim=-1) if norm == "l2" else wide.abs().amax(-1)


def _check_classes(x: torch.Tensor, **classes: torch.Tensor | None) -> None:
    """One class for each input, or none given."""
    for name, given in classes.items():
        if given is not None and given.shape != (len(x),):
            shape = tuple(given.shape)
            raise ConfigError(
                f"{name}: expected one class for each of {len(x)} inputs, got {shape}"
            )


def _check_box(x: torch.Tensor, box: Box) -> None:
    """Inputs lie in it, and levels lie between bounds."""
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
