"""What an attack may be called with: inputs, classes and sizes, each checked before the first pass.

A mistake here gives numbers that look like a robust net, or like a strong attack: pixels from 0 to
255 or normalised ones, sizes in the other unit, classes as one-hot rows.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from numbers import Integral
from typing import NamedTuple

import torch

from saccade.errors import ConfigError
from saccade.fisher.checks import check_normalised, check_same, plain, some_of
from saccade.fisher.target import CHUNK, Target, checked
from saccade.robust.attacks import Norm

EIGHT_BITS = 255
HALF_LEVEL = 0.5
WIDE = 100
"""A range of inputs from which on it is taken for one of 8 bits."""


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


def inputs_within(x: torch.Tensor, box: Box) -> torch.Tensor:
    """The inputs, clipped where they are a hair outside of the bounds; a batch may be empty.

    A hair is half a level of 8 bits: rounding, or undoing a normalisation, goes so far, and the
    image is the same.

    Raises:
        ConfigError: they cannot be differentiated, or lie farther outside.
    """
    if isinstance(x, torch.Tensor) and x.ndim > 1 and not len(x) and x.is_floating_point():
        return plain(x)
    x = checked(x)
    if box.bounds is None:
        return x
    bottom, top = box.bounds
    low, high = float(x.min()), float(x.max())
    hair = (top - bottom) / EIGHT_BITS / 2
    if bottom - hair <= low and high <= top + hair:
        return x if bottom <= low and high <= top else box.clip(x)
    mend = "say bounds=..."
    if (bottom, top) == (0, 1) and low >= 0:
        mend = "divide them by 255, or say bounds=(0, 255)"
    elif (bottom, top) == (0, 1):
        mend = "make their normalisation the first layer of the net, or say bounds=(low, high)"
    raise ConfigError(
        f"inputs: from {low:g} to {high:g}, outside of the bounds {tuple(box.bounds)}; {mend}"
    )


def box_of(bounds: object, levels: object) -> Box:
    """Where inputs may lie, from the arguments of an attack.

    Raises:
        ConfigError: bounds that are no two finite numbers in order, levels that are no whole number
            above 0, or have no bounds.
    """
    pair = None
    if bounds is not None:
        pair = _pair_of(bounds)
        if pair is None or not -math.inf < pair[0] < pair[1] < math.inf:
            raise ConfigError(
                f"bounds: expected (low, high) with low < high, or None, got {bounds!r:.60}"
            )
    if levels is None:
        return Box(pair)
    if isinstance(levels, bool) or not isinstance(levels, Integral):
        raise ConfigError(f"levels: expected a whole number or None, got {levels!r:.60}")
    if levels < 1 or pair is None:
        raise ConfigError("levels: at least 1, between bounds")
    return Box(pair, int(levels))


def _pair_of(bounds: object) -> tuple[float, float] | None:
    """Two numbers, or None where there are none."""
    try:
        both = list(bounds)  # type: ignore[call-overload]
        if len(both) != 2 or any(isinstance(bound, str) for bound in both):
            return None
        return float(both[0]), float(both[1])
    except (TypeError, ValueError):
        return None


def sizes_of(epsilons: Sequence[float], x: torch.Tensor, norm: Norm, box: Box) -> list[float]:
    """Budgets as floats; 0 is one.

    Warns where they are less than half a level of inputs that span 8 bits.

    Raises:
        ConfigError: they are no sizes, or finite ones beyond any change within the bounds.
    """
    try:
        sizes = [float(epsilon) for epsilon in epsilons]
    except (TypeError, ValueError):
        sizes = []
    if not sizes or not all(size >= 0 for size in sizes):
        shown = list(epsilons) if isinstance(epsilons, Sequence) else epsilons
        raise ConfigError(f"epsilons: expected a list of sizes of at least 0, got {shown}")
    if box.bounds is None or norm == "l0" or not len(x):
        return sizes
    span = box.bounds[1] - box.bounds[0]
    most = span * (math.sqrt(x[0].numel()) if norm == "l2" else 1)
    finite = [size for size in sizes if size < math.inf]
    if finite and max(finite) > most * (1 + 1e-6):
        hint = f"; {max(finite):g} levels of 255 are {max(finite) * span / EIGHT_BITS:.4g}"
        raise ConfigError(
            f"epsilons: {max(finite):g} in {norm} is more than any change within the bounds "
            f"{tuple(box.bounds)}, of {most:.4g} at most{hint if norm == 'linf' else ''}"
        )
    small = [size for size in sizes if 0 < size < HALF_LEVEL]
    if span >= WIDE and small:
        warnings.warn(
            f"epsilons: {min(small):g} in {norm} is less than half a level of inputs in "
            f"{tuple(box.bounds)}; the same part of [0, 1] is {min(small) * span:g} here",
            stacklevel=4,
        )
    return sizes


def classes_of(name: str, given: object, x: torch.Tensor, classes: int) -> torch.Tensor | None:
    """(N,) int64, one class for each input, on its device; None if none are given.

    Raises:
        ConfigError: another shape or type, or a class that the target does not have.
    """
    if given is None:
        return None
    if not isinstance(given, torch.Tensor):
        raise ConfigError(
            f"{name}: expected a tensor of classes, got a {type(given).__name__}; torch.as_tensor "
            "makes one"
        )
    shape, kind = tuple(given.shape), str(given.dtype).removeprefix("torch.")
    if shape != (len(x),):
        mend = ""
        if shape == (len(x), 1):
            mend = "; .squeeze(1) makes it so"
        elif shape == (len(x), classes):
            mend = "; one-hot rows are made classes by .argmax(1)"
        raise ConfigError(
            f"{name}: expected one class for each of {len(x)} inputs, got {shape}{mend}"
        )
    if given.is_floating_point() or given.is_complex() or given.dtype == torch.bool:
        raise ConfigError(f"{name}: expected whole numbers, got {kind}; .long() makes them so")
    known = plain(given).to(x.device, torch.int64)
    least, most = int(known.min()), int(known.max())
    if least < 0 or most >= classes:
        raise ConfigError(
            f"{name}: expected classes from 0 to {classes - 1}, as many as the target has, got "
            f"{least} to {most}"
        )
    return known


def predictions(target: Target, x: torch.Tensor) -> torch.Tensor:
    """(N, C) log-probabilities of inputs.

    Raises:
        ConfigError: they are none, they depend on the other inputs, or change from pass to pass.
    """
    with torch.no_grad():
        alone = target.log_probs(some_of(x))
        if alone.ndim != 2:
            raise ConfigError(
                "target: one distribution an input is attacked, this gives a sequence"
            )
        parts = [target.log_probs(part) for part in torch.split(x, CHUNK)]
    log_probs = torch.cat(parts)
    if not log_probs.isfinite().all():
        bad = int((~log_probs.isfinite()).any(1).nonzero()[0])
        raise ConfigError(
            f"target: log-probabilities of input {bad} are not all finite; where it takes the "
            "logarithm of softmax, return logits.log_softmax(-1)"
        )
    check_normalised(log_probs, log_probs.double().logsumexp(1))
    check_same(alone, log_probs[: len(alone)])
    return log_probs
