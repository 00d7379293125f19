"""What `saccade attack` measures on a classifier: fooling rates, saturation, vulnerability.

Only images that the net reads right are attacked. They are taken block by block, and each block is
kept when it is measured: a run that is interrupted goes on with the next one, and a run with a
larger `n` with the images that are new.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy import stats
from torch import nn

from saccade.errors import ConfigError, FormatError
from saccade.files import MAX_KEPT_BYTES, read_whole, write_whole
from saccade.fisher.spectrum import eigenpairs
from saccade.fisher.target import CHUNK, Classifier, tail_of
from saccade.measures.intervals import wilson
from saccade.robust.attacks import make_attack
from saccade.robust.attacks.base import Attack, Attacked, Batch
from saccade.robust.attacks.minimal import least_along
from saccade.robust.attacks.single import Fgm, Ossa
from saccade.robust.classifiers.folder import folder_of, hold
from saccade.robust.classifiers.nets import Scaled
from saccade.robust.classifiers.recipe import RobustRecipe, check_attack
from saccade.robust.classifiers.results import (
    AttackedImages,
    AttackResult,
    Block,
    KeptAttack,
    NetAttack,
    NeverFlips,
    Rate,
    Scores,
    Vulnerability,
)
from saccade.robust.classifiers.splits import Split
from saccade.robust.classifiers.subjects import (
    Subject,
    check_seen,
    seconds_a_pass,
    seen,
    subjects,
)
from saccade.robust.parts import named
from saccade.robust.progress import OnNote, OnProgress, Timetable

VULNERABILITY = "vulnerability"
RESAMPLINGS = 1000
PASSES_OF_SCORES = 150
"""Gradients that the scores of an image cost: eigenpairs, and sizes on a grid along three lines."""


def measure_attacks(
    recipe: RobustRecipe,
    on_progress: OnProgress = lambda *_: None,
    *,
    on_note: OnNote = lambda _: None,
    on_net: Callable[[Subject], None] = lambda _: None,
) -> AttackResult:
    """Attack every net of a recipe; what is measured is kept as JSON in `out`/attack.

    Args:
        recipe: The run file.
        on_progress: Told what is under way.
        on_note: Told how long it will take, and what is kept of an earlier run.
        on_net: Given every net with its images, before it is attacked.

    Raises:
        ConfigError: data, a net or an attack that cannot be used, or a folder that holds a run with
            other options.
        StoreLocked: another process writes to the folder.
    """
    check_attack(recipe)
    attacks = named(recipe.attack.methods, make_attack, "attack.methods")
    for made in attacks.values():
        made.check_norm(recipe.attack.norm)
    held, folder = hold(recipe, "attack"), folder_of(recipe, "attack")
    nets, timetable = [], None
    with held.claim:
        for _, subject in subjects(recipe, on_progress):
            on_net(subject)
            if timetable is None:
                try_attacks(attacks, subject, recipe)
                timetable = _timetable(recipe, attacks, subject, on_progress)
                on_note(timetable.announcement)
            timetable.begin_round()
            kept = KeptNet(folder / f"attack-{subject.seed}.json", recipe, attacks, subject)
            kept.complete(timetable, on_note)
            nets.append(kept.net())
        result = AttackResult(
            config=held.config, command=held.command, nets=tuple(nets), rates=_pooled(recipe, nets)
        )
        write_whole(folder / "attack.json", result.model_dump_json(indent=1).encode())
    return result


def try_attacks(attacks: Mapping[str, Attack], subject: Subject, recipe: RobustRecipe) -> None:
    """Every attack on two images: one that fails does so at once, not after the others.

    Raises:
        ConfigError: what it proposes is no input.
    """
    x, y = subject.images.part(slice(0, 2))
    for attack in attacks.values():
        if not type(attack).__module__.startswith("saccade."):
            _attack(attack, subject.net, Split(x, y), recipe, recipe.seed)


class KeptNet:
    """The file of a net, completed block by block."""

    def __init__(
        self, file: Path, recipe: RobustRecipe, attacks: Mapping[str, Attack], subject: Subject
    ) -> None:
        """Read what is kept.

        Raises:
            FormatError: the file is of another version.
        """
        self._file, self._recipe, self._subject, self._attacks = file, recipe, subject, attacks
        self._kept = KeptAttack(net=subject.seed, accuracy=subject.accuracy)
        if file.exists():
            try:
                self._kept = KeptAttack.model_validate_json(read_whole(file, most=MAX_KEPT_BYTES))
            except (OSError, ValidationError) as error:
                raise FormatError(
                    f"{file}: not what this version keeps of a net; delete it to attack the net "
                    "again"
                ) from error

    def complete(self, timetable: Timetable, on_note: OnNote) -> None:
        """Measure what is missing of the images that are asked for.

        Raises:
            ConfigError: what is kept is of another net or of other images; there are more already,
                in a run that is not finished.
        """
        images, seed, blocks = self._subject.images, self._recipe.seed, self._kept.blocks
        n = len(images.y)
        if self._kept.n > n:
            raise ConfigError(
                f"n: {self._file} holds {self._kept.n} images, {n} are asked for; go on with "
                f"n={self._kept.n} or more, or choose another out"
            )
        at = 0
        for block in blocks:
            part = images.part(slice(at, at + block.attacked.n))
            check_seen(self._file, block.seen, seen(self._subject.net, part))
            at += block.attacked.n
        if self._kept.n < n:
            full = tuple(block for block in blocks if block.attacked.n == CHUNK)
            if blocks:
                on_note(
                    f"net {self._subject.seed}: {len(full) * CHUNK} of {n} images are kept, the "
                    "others are attacked now"
                )
            self._kept = self._kept.model_copy(update={"blocks": full, "whole": None})
            for at in range(len(full) * CHUNK, n, CHUNK):
                part = images.part(slice(at, at + CHUNK))
                self._write(blocks=(*self._kept.blocks, self._block(part, seed + at, n, timetable)))
        if self._kept.whole is None and any(made.chunk is None for made in self._attacks.values()):
            self._write(whole=self._attacked(images, seed, 1.0, timetable, at_once=True))

    def net(self) -> NetAttack:
        """What came of all images."""
        kept, n = self._kept, self._kept.n
        parts = [block.attacked for block in kept.blocks]
        fooled, sizes = {}, {}
        for scale, (name, attack) in product(self._recipe.attack.scales, self._attacks.items()):
            key = _key(name, scale)
            held = parts if attack.chunk or kept.whole is None else [kept.whole]
            fooled[key] = tuple(map(sum, zip(*(part.fooled[key] for part in held), strict=True)))
            totals = map(sum, zip(*(part.sizes[key] for part in held), strict=True))
            sizes[key] = tuple(total / n for total in totals)
        scores = [block.scores for block in kept.blocks]
        return NetAttack(
            net=kept.net, accuracy=kept.accuracy, n=n, fooled=fooled, mean_size=sizes,
            vulnerability=vulnerability(scores, self._recipe.attack.limit),
        )  # fmt: skip

    def _block(self, images: Split, seed: int, n: int, timetable: Timetable) -> Block:
        share = len(images.y) / n
        attacked = self._attacked(images, seed, share, timetable, at_once=False)
        what = f"net {self._subject.seed}: {VULNERABILITY}"
        with timetable.part(what, VULNERABILITY, share):
            scores = scores_of(Classifier(self._subject.net), images, self._recipe.attack.limit)
        return Block(seen=seen(self._subject.net, images), attacked=attacked, scores=scores)

    def _attacked(
        self, images: Split, seed: int, share: float, timetable: Timetable, *, at_once: bool
    ) -> AttackedImages:
        fooled, sizes = {}, {}
        for scale, (name, attack) in product(self._recipe.attack.scales, self._attacks.items()):
            if (attack.chunk is None) != at_once:
                continue
            key, net = _key(name, scale), _confident(self._subject.net, scale)
            with timetable.part(f"net {self._subject.seed}: {name}", key, share):
                found = _attack(attack, net, images, self._recipe, seed)
            fooled[key] = tuple(int(count) for count in found.success.sum(1))
            sizes[key] = tuple(float(size) for size in found.sizes.sum(1))
        return AttackedImages(n=len(images.y), fooled=fooled, sizes=sizes)

    def _write(self, **changed: object) -> None:
        self._kept = self._kept.model_copy(update=changed)
        write_whole(self._file, self._kept.model_dump_json().encode())


def scores_of(target: Classifier, images: Split, limit: float) -> Scores:
    """The largest eigenvalue and the confidence of images, and the least L2 that flips them.

    That size is measured along the top eigenvector, either way, without clipping (as in the
    paper's figure).
    """
    x, y = images
    pairs = eigenpairs(target, x)
    with torch.no_grad():
        log_q = tail_of(target.log_probs(x)).log_q
    batch = Batch(target, x, y)
    ossa, gradient = Ossa().direction(batch), Fgm().direction(batch)
    both = [least_along(target, x, y, sign * ossa, limit=limit) for sign in (1, -1)]
    along_gradient = least_along(target, x, y, gradient, limit=limit)
    least = torch.minimum(*both)
    return Scores(
        log_lambda1=tuple(pairs.log_values[:, 0].tolist()),
        log_q=tuple(log_q.tolist()),
        least_l2=tuple(None if size == math.inf else size for size in least.tolist()),
        never_with_its_sign=int(both[0].isinf().sum()),
        never_along_the_gradient=int(along_gradient.isinf().sum()),
    )


def vulnerability(blocks: Sequence[Scores], limit: float) -> Vulnerability:
    """The largest eigenvalue as a score of each input, against the least L2 that flips it.

    Images that never flip are the saturation of the attack and rank as `limit`. Beside it the
    confidence, which must be beaten; intervals are of 1,000 resamplings of images. Where all images
    rank alike there is no correlation.
    """
    log_lambda1 = np.array([value for block in blocks for value in block.log_lambda1])
    log_q = np.array([value for block in blocks for value in block.log_q])
    sizes = [size for block in blocks for size in block.least_l2]
    least = np.array([limit if size is None else min(size, limit) for size in sizes])

    n = len(least)
    rows = np.stack([log_lambda1, log_q, least])
    whole = _rank_correlations(rows)
    rng = np.random.default_rng(0)
    again = np.stack([
        _rank_correlations(rows[:, rng.integers(0, n, n)]) for _ in range(RESAMPLINGS)
    ])  # fmt: skip
    gain = np.abs(again[:, 0]) - np.abs(again[:, 1])
    low, high = (_known(v) for v in np.quantile(gain, (0.025, 0.975)))
    return Vulnerability(
        spearman_log_lambda1=_known(whole[0]),
        spearman_log_q=_known(whole[1]),
        gain=_known(abs(whole[0]) - abs(whole[1])),
        gain_interval=None if low is None or high is None else (low, high),
        never_flips=NeverFlips(
            n=n, along_the_eigenvector=sizes.count(None),
            with_its_sign=sum(block.never_with_its_sign for block in blocks),
            along_the_gradient=sum(block.never_along_the_gradient for block in blocks), limit=limit,
        ),
        log_lambda1=tuple(_known(round(float(v), 4)) for v in log_lambda1),
        log_q=tuple(round(float(v), 4) for v in log_q),
        least_l2=tuple(None if size is None else round(size, 4) for size in sizes),
    )  # fmt: skip


def _rank_correlations(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2,): Spearman's correlation of each of the first two rows (3, N) with the third."""
    # `stats.spearmanr` ranks the third row twice and computes p: five times as long.
    with np.errstate(invalid="ignore"):  # not a number where a row is constant
        correlations: NDArray[np.float64] = np.corrcoef(stats.rankdata(rows, axis=1))
    return correlations[:2, 2]


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _attack(
    attack: Attack, net: nn.Module, images: Split, recipe: RobustRecipe, seed: int
) -> Attacked:
    section, (x, y) = recipe.attack, images
    return attack(
        Classifier(net), x, y, epsilons=section.epsilons, norm=section.norm,
        bounds=(0.0, 1.0) if section.clip or section.levels else None, levels=section.levels,
        seed=seed,
    )  # fmt: skip


def _timetable(
    recipe: RobustRecipe, attacks: Mapping[str, Attack], subject: Subject, on_progress: OnProgress
) -> Timetable:
    section = recipe.attack
    of_all = seconds_a_pass(subject.net, subject.images) * len(subject.images.y)
    seconds = {
        _key(name, scale): of_all * attack.passes(len(section.epsilons))
        for scale, (name, attack) in product(section.scales, attacks.items())
    }
    nets = len(recipe.nets) if recipe.model is None else 1
    return Timetable({**seconds, VULNERABILITY: of_all * PASSES_OF_SCORES}, nets, on_progress)


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


def _key(name: str, scale: float) -> str:
    return f"{name} x{scale:g}"


def _confident(net: nn.Module, scale: float) -> nn.Module:
    return net if scale == 1 else Scaled(net, scale).eval()
