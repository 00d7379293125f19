"""Mistakes in a target by which an attack looks weak or a net looks robust, each with the way out.

They are looked for where they cost little: what is computed anyway is looked at, and only where
it is suspicious is the target asked again. Users of other libraries meet them as silent failures:
softmax before the loss (github.com/bethgelab/foolbox/issues/618), nets in training mode (74 there),
gradients that vanish (github.com/Trusted-AI/adversarial-robustness-toolbox/issues/368), nets that
draw at random (github.com/fra31/auto-attack/blob/master/flags_doc.md).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Integral

import torch
from torch import nn

from saccade.errors import ConfigError

Function = Callable[[torch.Tensor], torch.Tensor]
UNNORMALISED = 0.1
"""Largest |log sum_k p_k| of log-probabilities: in bfloat16, over a vocabulary, it is .05."""
UNEQUAL = 0.02
"""Largest difference of two passes, as a part of the range of a row of log-probabilities: bfloat16
in batches of other sizes stays below it, a dropout does not."""
NEAR = (1e-3, 1e-2)
"""Steps, as parts of the range of the inputs, by which a flat target is told from a masked one."""

FAR = 1e4
"""How far beyond the inputs a function is asked, in parts of their range, to tell what squashes."""
NEAR_ENDS = 1e-3
"""What is so near to 0 or 1 there is the end of a sigmoid."""

_NO_GRADIENT = (
    "target: log_probs has no gradient in its inputs; leave out .detach(), .data, .numpy() and "
    "torch.no_grad() or inference_mode() within it"
)


@contextmanager
def differentiable() -> Iterator[None]:
    """Gradients within, whatever the caller has switched off; a decorator too."""
    with torch.inference_mode(mode=False), torch.enable_grad():
        yield


def plain(x: torch.Tensor) -> torch.Tensor:
    """The same values outside of any graph; a copy where they were made in inference mode."""
    return x.clone() if x.is_inference() else x.detach()


def check_ending(module: nn.Module) -> None:
    """A module computes logits, as far as its last layer tells.

    Raises:
        ConfigError: it makes probabilities, or it is no module.
    """
    if not isinstance(module, nn.Module):
        raise ConfigError(
            f"target: expected a torch.nn.Module, got a {type(module).__name__}; a function that "
            "returns logits is wrapped in saccade.fisher.target.Logits"
        )
    last = module
    while isinstance(last, nn.Sequential) and len(last):
        last = last[-1]
    if isinstance(last, nn.Softmax | nn.Softmax2d | nn.Sigmoid):
        raise ConfigError(
            f"target: expected logits, but the module ends in {type(last).__name__}, behind which "
            "gradients vanish; leave out that layer, as module[:-1] does for a Sequential"
        )


def check_target(target: object) -> None:
    """Something gives log-probabilities, as far as its methods tell.

    Raises:
        ConfigError: it has no `log_probs`, as a module has none.
    """
    if not callable(getattr(target, "log_probs", None)):
        wrapper = "Classifier" if isinstance(target, nn.Module) else "Logits"
        raise ConfigError(
            f"target: expected an object with log_probs, got a {type(target).__name__}; what "
            f"returns logits is wrapped in saccade.fisher.target.{wrapper}"
        )


def check_whole(name: str, value: object, most: int = 2**31) -> None:
    """A number of things: whole, from 1.

    Raises:
        ConfigError: it is none.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or not 1 <= int(value) < most:
        raise ConfigError(f"{name}: at least 1, a whole number, got {value!r:.60}")


def check_seed(seed: object, least: int = -(2**62), most: int = 2**62) -> None:
    """A seed is a whole number that its generator takes.

    Raises:
        ConfigError: it is not.
    """
    if not isinstance(seed, Integral) or isinstance(seed, bool) or not least <= int(seed) <= most:
        raise ConfigError(f"seed: expected a whole number from {least} to {most}, got {seed!r:.60}")


def check_evaluates(module: nn.Module) -> None:
    """A module is in evaluation mode.

    Raises:
        ConfigError: a part of it is in training mode: dropout and batch statistics would make each
            pass another function.
    """
    if any(part.training for part in module.modules()):
        raise ConfigError("target: the module is in training mode; call .eval() first")


def check_logits(function: Function, x: torch.Tensor, logits: torch.Tensor) -> None:
    """What a function returned for inputs are logits: (N, C), or (N, T, C).

    Raises:
        ConfigError: they are something else, or probabilities.
    """
    kind = type(logits).__name__
    if not isinstance(logits, torch.Tensor):
        mend = "its .logits" if hasattr(logits, "logits") else "the logits alone"
        raise ConfigError(
            f"target: expected a tensor of logits, got a {kind}; wrap the module in one that "
            f"returns {mend}"
        )
    shape = tuple(logits.shape)
    if logits.ndim == 1 or (logits.ndim == 2 and logits.shape[1] == 1):
        raise ConfigError(
            f"target: expected logits (N, C) with C at least 2, got {shape}; one logit z of two "
            "classes is torch.cat([torch.zeros_like(z), z], 1) with z (N, 1)"
        )
    if logits.ndim < 2 or len(logits) != len(x) or not logits.is_floating_point():
        raise ConfigError(
            f"target: expected logits ({len(x)}, C), got {shape} {logits.dtype} for inputs "
            f"{tuple(x.shape)}"
        )
    if kind := no_logits(function, x, logits):
        raise ConfigError(
            f"target: expected logits, got {kind}, behind which gradients vanish or point "
            f"elsewhere; leave out the {'sigmoid' if kind is _BETWEEN else 'softmax'} of the net"
        )


def no_logits(function: Function, x: torch.Tensor, values: torch.Tensor) -> str:
    """What a function returns instead of logits, or nothing: for inputs, and wherever it is asked.

    Logits can sum to 1 by chance, but not for other inputs again: a ramp over the range of the
    inputs, and one far beyond it, where logits are large and only what is squashed stays small.
    """
    if not len(x) or not (kinds := _kinds(values)):
        return ""
    low, high = float(x.min()), float(x.max())
    ramp = torch.linspace(low, high if high > low else low + 1, x[0].numel()).double()
    first = values
    with torch.no_grad():
        for spread in (1, FAR):
            wide = ramp.mean() + spread * (ramp - ramp.mean())
            values = function(wide.to(x).view_as(x[0]).expand_as(x).contiguous())
            if values.isfinite().all():
                kinds = [kind for kind in kinds if kind in _kinds(values)]
    ends = values.detach().double()
    share = float(((ends <= NEAR_ENDS) | (ends >= 1 - NEAR_ENDS)).double().mean())
    saturated = share > 0.5 and not torch.equal(values, first)  # zeros everywhere are logits, too
    return next((kind for kind in kinds if kind is not _BETWEEN or saturated), "")


_BETWEEN = "values from 0 to 1, as behind a sigmoid"


def _kinds(values: torch.Tensor) -> list[str]:
    """What values (..., C) look like besides logits."""
    wide = values.detach().double()
    kinds = {
        "probabilities (rows sum to 1)": _sum_to_one(wide),
        "probabilities in percent (rows sum to 100)": _sum_to_one(wide / 100),
        "negative log-probabilities": bool((wide >= 0).all()) and _sum_to_one((-wide).exp()),
        _BETWEEN: bool(((wide >= 0) & (wide <= 1)).all()),
    }
    return [kind for kind, seems in kinds.items() if seems]


def check_normalised(log_probs: torch.Tensor, log_totals: torch.Tensor) -> None:
    """Rows (N, C) are log-probabilities.

    Args:
        log_probs: The rows.
        log_totals: (N,) logarithms of the sums of their exponentials.

    Raises:
        ConfigError: they are probabilities or logits.
    """
    worst = float(log_totals.detach().abs().max())
    if worst <= UNNORMALISED:
        return
    got = "rows that are not normalised, as logits are"
    if _sum_to_one(log_probs):
        got = "probabilities (rows sum to 1); log(softmax) loses what is small"
    raise ConfigError(
        f"target: expected log-probabilities, got {got}; return logits.log_softmax(-1), or wrap "
        "the module that returns logits in saccade.fisher.target.Classifier"
    )


def some_of(x: torch.Tensor) -> torch.Tensor:
    """The inputs that are looked at twice: the first four at most, fewer than all of several."""
    return x[: max(1, min(4, len(x) // 2))]


def check_same(once: torch.Tensor, again: torch.Tensor) -> None:
    """Two passes over inputs, in batches of two sizes, gave the same log-probabilities.

    Raises:
        ConfigError: they differ by more than rounding.
    """
    once, again = once.detach().double(), again.detach().double()
    span = once.amax(-1, keepdim=True) - once.amin(-1, keepdim=True)
    if once.shape == again.shape and ((once - again).abs() <= UNEQUAL * span + 1e-3).all():
        return
    raise ConfigError(
        "target: two passes over the same input gave different log-probabilities: a dropout, a "
        "batch normalisation in training mode, or something that draws at random; call .eval(), "
        "or let log_probs draw the same for every input each time"
    )


def check_values(values: torch.Tensor) -> None:
    """Log-probabilities can be differentiated.

    Raises:
        ConfigError: they hang on nothing.
    """
    if not values.requires_grad:
        raise ConfigError(_NO_GRADIENT)


def check_graph(gradient: torch.Tensor | None) -> torch.Tensor:
    """The gradient in the inputs, if log-probabilities hang on them.

    Raises:
        ConfigError: they do not.
    """
    if gradient is None:
        raise ConfigError(_NO_GRADIENT)
    return gradient


def check_finite(gradients: torch.Tensor) -> None:
    """The gradients (N, ...) are numbers.

    Raises:
        ConfigError: that of an input is not.
    """
    bad = (~gradients.isfinite()).flatten(1).any(1).nonzero()
    if len(bad):
        raise ConfigError(
            f"target: the gradient at input {int(bad[0])} is not finite; a logarithm of softmax "
            "makes it so: return logits.log_softmax(-1)"
        )


def report_zero(n: int, masked: bool) -> None:
    """The gradient is zero at all of n inputs: a warning, where no more is known.

    Raises:
        ConfigError: something in the target hides it.
    """
    if masked:
        raise ConfigError(
            f"target: the gradient is zero at all of {n} inputs, but log-probabilities change with "
            "them: something in it has no derivative (rounding, a cast, a backward of its own); "
            "give it the backward of the identity, or attack what is behind it"
        )
    warnings.warn(
        f"target: the gradient is zero at all of {n} inputs: attacks by it leave them as they are",
        stacklevel=3,
    )


def changes_nearby(function: Function, x: torch.Tensor) -> bool:
    """Whether values change when every second number of the inputs goes up a little, or down."""
    span = max(float(x.max() - x.min()), 1e-3)
    signs = torch.ones(x[0].numel(), device=x.device, dtype=x.dtype)
    signs[1::2] = -1
    with torch.no_grad():
        here = function(x)
        return any(
            not torch.equal(function(x + part * span * signs.view_as(x[0])), here)
            for step in NEAR
            for part in (step, -step)
        )


def _sum_to_one(rows: torch.Tensor) -> bool:
    """Whether all rows (..., C) are at least 0 and sum to 1, in half precision too."""
    wide = rows.detach().double()
    return bool((wide >= 0).all()) and bool(((wide.sum(-1) - 1).abs() <= 1e-2).all())
