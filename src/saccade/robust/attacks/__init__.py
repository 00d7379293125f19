"""Attacks: each is a frozen record with its options, called on a target and its inputs.

    found = Pgd(steps=40)(Classifier(net), images, labels, epsilons=[0.5, 1.0])
    found.success.float().mean(1)            # fooling rate at each epsilon

A run file names them by the table below or as `package.module:Name`. To add one, subclass
`base.Attack` (or `single.OneStep`) and add its name here. Only `make_attack` loads torch: names in
a run file are read and checked without it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from saccade.config import Part, build, suggestion
from saccade.errors import ConfigError

if TYPE_CHECKING:
    from saccade.robust.attacks.base import Attack

Norm = Literal["l2", "linf", "l0"]
"""By which the size of a change is measured; `l0` is the number of values that differ."""
AnyNorm = str | float
"""A norm as any library spells it: see `norm_of`."""

_SPELLING = re.compile(
    r"(?:[l\u2113][\s_-]*)?(?P<order>0|2|inf(?:ty|inity)?|∞)(?:\.0*)?(?:[\s_-]*(?:norm|distance))?"
)

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
    if not isinstance(part, Part | str):
        raise ConfigError(f"{where}: expected an attack or the name of one, got {part!r:.60}")
    made = build(part, ATTACKS, where)
    if not isinstance(made, Attack):
        name = type(made).__name__
        raise ConfigError(f"{where}: {name} is no saccade.robust.attacks.base.Attack")
    return made


def norm_of(norm: object, where: str = "norm") -> Norm:
    """A norm by our name, however another library spells it.

    2, "2", "L2" and foolbox's `distances.l2` are `l2`; `np.inf`, `math.inf`, "inf", "Linf" and
    "L_inf" are `linf`; 0 and "L0" are `l0`. Source: the arguments `norm` of ART ("inf", `np.inf`,
    1, 2) and AutoAttack ("Linf", "L2", "L1"), `ord` of numpy, the distances of foolbox.

    Raises:
        ConfigError: it is none of them.
    """
    text = "" if isinstance(norm, bool) else str(norm).strip()
    found = _SPELLING.fullmatch(text.lower())
    if found is not None:
        orders: dict[str, Norm] = {"0": "l0", "2": "l2"}
        return orders.get(found["order"], "linf")
    near = suggestion(text.lower(), ("l2", "linf", "l0"))
    raise ConfigError(
        f"{where}: expected 'l2', 'linf' or 'l0' (2, np.inf and 'Linf' are understood), got "
        f"{str(norm)[:60]!r}{near}"
    )
