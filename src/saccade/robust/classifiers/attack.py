"""What `saccade attack` measures on a classifier: fooling rates, saturation, vulnerability.

Only images that the net reads right are attacked. Each net is measured once and kept in the run
folder; a run that is interrupted goes on with the next net.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy import stats
from torch import nn

from saccade.files import write_whole
from saccade.fisher.spectrum import eigenpairs
from saccade.fisher.target import CHUNK, Classifier, tail_of
from saccade.measures.intervals import wilson
from saccade.robust.attacks import make_attack
from saccade.robust.attacks.base import Attack, Batch
from saccade.robust.attacks.minimal import least_along
from saccade.robust.attacks.single import Fgm, Ossa
from saccade.robust.classifiers.nets import Scaled
from saccade.robust.classifiers.recipe import RobustRecipe, check_attack
from saccade.robust.classifiers.results import (
    AttackResult,
    NetAttack,
    NeverFlips,
    Rate,
    Vulnerability,
)
from saccade.robust.classifiers.splits import Split
from saccade.robust.classifiers.subjects import Subject, run_folder, subjects
from saccade.robust.parts import named
from saccade.robust.progress import OnProgress


def measure_attacks(
    recipe: RobustRecipe, on_progress: OnProgress = lambda *_: None
) -> AttackResult:
    """Attack every net of a recipe; what is measured is kept as JSON in `out`/attack.

    Raises:
        ConfigError: the folder holds a run with other options.
    """
    check_attack(recipe)
    attacks = named(recipe.attack.methods, make_attack, "attack.methods")
    for made in attacks.values():
        made.check_norm(recipe.attack.norm)
    folder, config = run_folder(recipe, "attack")
    nets = []
    for _, subject in subjects(recipe, on_progress):
        kept = folder / f"attack-{subject.seed}.json"
        if not kept.exists():
            write_whole(
                kept, _attacked(recipe, attacks, subject, on_progress).model_dump_json().encode()
            )
        nets.append(NetAttack.model_validate_json(kept.read_bytes()))
    result = AttackResult(config=config, nets=tuple(nets), rates=_pooled(recipe, nets))
    write_whole(folder / "attack.json", result.model_dump_json(indent=1).encode())
    return result


def _attacked(
    recipe: RobustRecipe, attacks: Mapping[str, Attack], subject: Subject, on_progress: OnProgress
) -> NetAttack:
    section, (x, y) = recipe.attack, subject.images
    fooled, sizes = {}, {}
    jobs = [(scale, name) for scale in section.scales for name in attacks]
    for done, (scale, name) in enumerate(jobs):
        on_progress(f"net {subject.seed}: {name}", done, len(jobs))
        found = attacks[name](
            Classifier(_confident(subject.net, scale)), x, y, epsilons=section.epsilons,
            norm=section.norm, bounds=(0.0, 1.0) if section.clip or section.levels else None,
            levels=section.levels, seed=recipe.seed,
        )  # fmt: skip
        key = f"{name} x{scale:g}"
        fooled[key] = tuple(int(count) for count in found.success.sum(1))
        sizes[key] = tuple(float(size) for size in found.sizes.mean(1))
    on_progress(f"net {subject.seed}: vulnerability", len(jobs), len(jobs))
    return NetAttack(
        net=subject.seed, accuracy=subject.accuracy, n=len(y), fooled=fooled, mean_size=sizes,
        vulnerability=vulnerability(subject.net, subject.images, section.limit),
    )  # fmt: skip


def vulnerability(net: nn.Module, images: Split, limit: float) -> Vulnerability:
    """The largest eigenvalue as a score of each input, against the least L2 that flips it.

    That size is measured along the top eigenvector, either way, without clipping (as in the
    paper's figure); images that never flip are the saturation of the attack and rank as `limit`.
    Beside it the confidence, which must be beaten; intervals are of 1,000 resamplings of images.
    """
    target = Classifier(net)
    rows = []
    for at in range(0, len(images.y), CHUNK):
        x, y = images.part(slice(at, at + CHUNK))
        pairs = eigenpairs(target, x)
        with torch.no_grad():
            log_q = tail_of(target.log_probs(x)).log_q
        batch = Batch(target, x, y)
        ossa, gradient = Ossa().direction(batch), Fgm().direction(batch)
        both = [least_along(target, x, y, sign * ossa, limit=limit) for sign in (1, -1)]
        along_gradient = least_along(target, x, y, gradient, limit=limit)
        rows.append(torch.stack([pairs.log_values[:, 0], log_q, torch.minimum(*both), both[0],
                                 along_gradient], 1))  # fmt: skip
    table = torch.cat(rows).numpy()
    least = np.minimum(table[:, 2], limit)

    def score(which: np.ndarray) -> tuple[float, float]:
        ranks = [stats.spearmanr(table[which, i], least[which]).statistic for i in (0, 1)]
        return float(ranks[0]), float(ranks[1])

    whole = score(np.arange(len(table)))
    rng = np.random.default_rng(0)
    again = np.array([score(rng.integers(0, len(table), len(table))) for _ in range(1000)])
    gain = np.abs(again[:, 0]) - np.abs(again[:, 1])
    low, high = (float(v) for v in np.quantile(gain, (0.025, 0.975)))
    flips = [int(np.isinf(table[:, i]).sum()) for i in (2, 3, 4)]
    return Vulnerability(
        spearman_log_lambda1=whole[0],
        spearman_log_q=whole[1],
        gain=abs(whole[0]) - abs(whole[1]),
        gain_interval=(low, high),
        never_flips=NeverFlips(
            n=len(table), along_the_eigenvector=flips[0], with_its_sign=flips[1],
            along_the_gradient=flips[2], limit=limit,
        ),
        log_lambda1=tuple(round(float(v), 4) for v in table[:, 0]),
        log_q=tuple(round(float(v), 4) for v in table[:, 1]),
        least_l2=tuple(None if np.isinf(v) else round(float(v), 4) for v in table[:, 2]),
    )  # fmt: skip


def _pooled(recipe: RobustRecipe, nets: Sequence[NetAttack]) -> dict[str, tuple[Rate, ...]]:
    """Method and scale -> rates over all nets, by epsilon."""
    n = sum(net.n for net in nets)
    made = {}
    for key in nets[0].fooled:
        cells = []
        for i, epsilon in enumerate(recipe.attack.epsilons):
            fooled = sum(net.fooled[key][i] for net in nets)
            each = tuple(net.fooled[key][i] / net.n for net in nets)
            span = wilson(fooled, n)
            cells.append(Rate(epsilon=epsilon, rate=fooled / n, n=n, interval=span, nets=each))
        made[key] = tuple(cells)
    return made


def _confident(net: nn.Module, scale: float) -> nn.Module:
    return net if scale == 1 else Scaled(net, scale).eval()
