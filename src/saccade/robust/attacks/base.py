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
from typing import ClassVar, NamedTuple, final

import torch

from saccade.errors import ConfigError
from saccade.fisher.checks import check_seed, check_target, differentiable
from saccade.fisher.target import CHUNK, Target
from saccade.plugins import guarded
from saccade.robust.attacks import AnyNorm, Norm, norm_of
from saccade.robust.attacks.arguments import (
    Box,
    box_of,
    classes_of,
    inputs_within,
    predictions,
    sizes_of,
)
from saccade.types import Record


class Attacked(NamedTuple):
    """What an attack made, for each epsilon."""

    inputs: torch.Tensor
    """(E, N, *shape), within the bounds."""
    success: torch.Tensor
    """(E, N) bool, judged on what is returned."""
    sizes: torch.Tensor
    """(E, N): norm of the change as it is returned; clipping makes it smaller."""

    @property
    def unmoved(self) -> torch.Tensor:
        """(N,) bool: returned as they came at each epsilon.

        Of attacks that step along a gradient these are the inputs at which there is none.
        """
        return (self.sizes == 0).all(0)


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
    takes_inf: ClassVar[bool] = False
    """Whether the attack looks for the least change, and needs no budget."""
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

    def passes(self, budgets: int) -> int:
        """About how many gradients an input takes at so many budgets: for the expected duration."""
        return 10 * budgets

    @abstractmethod
    def propose(self, batch: Batch, epsilons: Sequence[float]) -> Sequence[torch.Tensor]:
        """Changed inputs for each epsilon; the caller projects, clips, rounds and judges them.

        Args:
            batch: N inputs (N, *shape), at most `chunk` of them, floats within the bounds; what is
                done to them changes nothing outside. Its target gives log-probabilities (N,
                classes) that are differentiable in the inputs.
            epsilons: Budgets in `batch.norm`.

        Returns:
            For each epsilon (N, *shape), all finite. The same batch gives the same: what is drawn
            at random is drawn from `batch.seed`.
        """

    @final
    @differentiable()
    def __call__(
        self,
        target: Target,
        x: torch.Tensor,
        labels: torch.Tensor | None = None,
        *,
        epsilons: Sequence[float],
        norm: AnyNorm = "l2",
        target_classes: torch.Tensor | None = None,
        bounds: tuple[float, float] | None = (0.0, 1.0),
        levels: int | None = None,
        seed: int = 0,
    ) -> Attacked:
        """Attack inputs at each epsilon, and measure success on what is returned.

        Args:
            target: Gives log-probabilities.
            x: (N, ...) inputs, within the bounds: those that are less than half a level of 8 bits
                outside are clipped. The change is measured from there.
            labels: (N,) whole numbers, what must not come out; the most likely classes if left out,
                so that no label leaks into the attack.
            epsilons: Budgets: the largest size of a change; 0 returns the inputs. An attack that
                looks for the least change takes `math.inf`.
            norm: The norm by which a change is measured, as any library spells it (`norm_of`).
            target_classes: (N,) whole numbers: what must come out; it makes the attack a targeted
                one.
            bounds: The bounds of inputs; None for none.
            levels: Round to so many equal steps between the bounds, 255 for images of 8 bits. It
                comes last: a change may then exceed its budget by half a level a value.
            seed: Seed of everything that an attack draws at random.

        Raises:
            ConfigError: inputs out of bounds, labels of another number, epsilons that are no sizes,
                a norm or a target that this attack does not know, a target that has no usable
                gradient or says another thing each time, or a proposal that is no input.
            PluginError: `propose` raised.
        """
        norm, box, name = self.check_norm(norm), box_of(bounds, levels), type(self).__name__
        check_seed(seed)
        check_target(target)
        x = inputs_within(x, box)
        sizes = sizes_of(epsilons, x, norm, box)
        if max(sizes) == math.inf and not self.takes_inf:
            raise ConfigError(
                f"epsilons: {name} steps as far as it may, and takes finite sizes only"
            )
        if target_classes is not None and not self.can_target:
            raise ConfigError(f"target_classes: {name} cannot be sent to a class")
        if not len(x):
            return _nothing(x, len(sizes))
        log_probs = predictions(target, x)
        count = log_probs.shape[1]
        labels = classes_of("labels", labels, x, count)
        target_classes = classes_of("target_classes", target_classes, x, count)
        labels = log_probs.argmax(1) if labels is None else labels
        classes = labels if target_classes is None else target_classes
        made = []
        step = self.chunk or len(x)
        budgets = [size for size in sizes if size > 0]
        for start in range(0, len(x), step):
            rows = slice(start, start + step)
            own = Batch(  # copies: what an attack does to them changes nothing outside
                target, x[rows].clone(), classes[rows].clone(), norm=norm, box=box,
                targeted=target_classes is not None, seed=seed + start,
            )  # fmt: skip
            with guarded(f"attack {name}"):
                proposed = self.propose(own, budgets) if budgets else ()
            made.append(_within_budget(name, x[rows], proposed, sizes, norm, box))
        return _judged(target, x, torch.cat(made, 1), labels, target_classes, norm)

    def check_norm(self, norm: AnyNorm) -> Norm:
        """A norm by our name, in which the attack can be given a budget.

        Raises:
            ConfigError: it cannot, or there is no such norm.
        """
        named = norm_of(norm)
        if named not in self.norms:
            known = " or ".join(self.norms)
            raise ConfigError(f"norm: {type(self).__name__} takes a budget in {known}, not {named}")
        return named


def projected(change: torch.Tensor, epsilon: float, norm: AnyNorm) -> torch.Tensor:
    """The nearest change (N, *shape) of size at most epsilon.

    Raises:
        ConfigError: there is no such norm.
    """
    norm = norm_of(norm)
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

    There is one for each epsilon above 0. A proposal within its budget but for the rounding of its
    type is taken as it is.
    """
    made = []
    proposals = iter(proposed)
    for epsilon in epsilons:
        if epsilon == 0:
            made.append(box.hold(x))
            continue
        inputs = next(proposals)
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


def _nothing(x: torch.Tensor, budgets: int) -> Attacked:
    """What becomes of no inputs at so many budgets."""
    none = x.new_zeros((budgets, 0))
    return Attacked(x.expand(budgets, *x.shape), none.bool(), none.double())


def _sizes(change: torch.Tensor, norm: Norm) -> torch.Tensor:
    """(...,) float64, of changes (..., D)."""
    if norm == "l0":
        return (change != 0).sum(-1).double()
    wide = change.double()
    return wide.norm(dim=-1) if norm == "l2" else wide.abs().amax(-1)


def _most_likely(target: Target, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        parts = [target.log_probs(part).argmax(-1) for part in torch.split(x, CHUNK)]
    return torch.cat(parts)
