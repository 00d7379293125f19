"""Attacks: each is a frozen record with its options, called on a target and its inputs.

    found = Pgd(steps=40)(Classifier(net), images, labels, epsilons=[0.5, 1.0])
    found.success.float().mean(1)            # fooling rate at each epsilon

A run file names them by the table below or as `package.module:Name`. To add one, subclass
`base.Attack` (or `single.OneStep`) and add its name here. Only `make_attack` loads torch: names in
a run file are read and checked without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from saccade.config import Part, build
from saccade.errors import ConfigError

if TYPE_CHECKING:
    from saccade.robust.attacks.base import Attack

Norm = Literal["l2", "linf", "l0"]
"""By which the size of a change is measured; `l0` is the number of values that differ."""

ATTACKS = {
    "ossa": "saccade.robust.attacks.single:Ossa",
    "fgm": "saccade.robust.attacks.single:Fgm",
    "otcm": "saccade.robust.attacks.single:Otcm",
    "deepfool": "saccade.robust.attacks.single:DeepFool",
    "random": "saccade.robust.attacks.single:Random",
    "pgd": "saccade.robust.attacks.stepped:Pgd",
    "ossa_iterated": "saccade.robust.attacks.stepped:OssaIterated",
    "ossa_two_step": "saccade.robust.attacks.stepped:OssaTwoStep",
    "opt": "saccade.robust.attacks.minimal:Opt",
    "greedy_l0": "saccade.robust.attacks.minimal:GreedyL0",
    "adaptive_confidence": "saccade.robust.attacks.adaptive:AdaptiveConfidence",
    "adaptive_eigenvalue": "saccade.robust.attacks.adaptive:AdaptiveEigenvalue",
}


def make_attack(part: Attack | Part | str, where: str = "attack") -> Attack:
    """The attack behind a name, with its options; an attack is itself.

    Raises:
        ConfigError: there is no such attack, or an option is wrong.
    """
    from saccade.robust.attacks.base import Attack

    if isinstance(part, Attack):
        return part
    made = build(part, ATTACKS, where)
    if not isinstance(made, Attack):
        name = type(made).__name__
        raise ConfigError(f"{where}: {name} is no saccade.robust.attacks.base.Attack")
    return made
