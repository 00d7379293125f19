"""What `saccade detect` measures: which signals tell attacked images from clean and noisy ones.

Images that the net reads right are split by image: 40 % to fit, 20 % to choose settings, 40 % to
test. Only attacks that succeeded count as adversarial. Every signal, ours and those it must beat,
has a grid of at most eight settings; for each attack the best on the development part is taken.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve

from saccade.errors import ConfigError
from saccade.files import write_whole
from saccade.fisher.target import Classifier
from saccade.plugins import guarded
from saccade.robust.attacks.adaptive import (
    AdaptiveConfidence,
    AdaptiveEigenvalue,
    typical_log_lambda,
    typical_log_q,
)
from saccade.robust.attacks.base import Attack, Norm
from saccade.robust.attacks.directions import sized
from saccade.robust.attacks.minimal import GreedyL0, Opt
from saccade.robust.attacks.single import Fgm, Ossa, Otcm
from saccade.robust.attacks.stepped import Pgd
from saccade.robust.classifiers.datasets import Dataset
from saccade.robust.classifiers.recipe import RobustRecipe
from saccade.robust.classifiers.results import Auc, DetectResult, NetDetection, SignalAuc, Span
from saccade.robust.classifiers.subjects import Subject, run_folder, subjects
from saccade.robust.detectors import make_signal
from saccade.robust.detectors.base import Extractor, Features, Reference, Scorer, Signal
from saccade.robust.detectors.detector import Detector, clean_needed, stacked
from saccade.robust.parts import named
from saccade.robust.progress import OnProgress

ATTACKS = (
    "fgm", "otcm", "ossa", "bim", "opt", "l0", "pgd40", "adaptive_confidence",
    "adaptive_eigenvalue",
)  # fmt: skip
NEGATIVES = ("clean", "noisy")
CROSSED = ("fisher", "log_q", "log_probs")
PARTS = (0.4, 0.6)
"""Where the parts to fit and to choose end, as shares of the images."""
FEWEST = 5
"""Number of successful attacks in a part, below which nothing is fitted, chosen or reported."""


class Trial(NamedTuple):
    """An attack that is to be detected."""

    attack: Attack
    epsilon: float
    images: NDArray[np.int64]
    """Which images it is tried on."""
    norm: Norm = "l2"


class Sets(NamedTuple):
    """Each kind of input, and which of them are used."""

    inputs: dict[str, torch.Tensor]
    used: dict[str, NDArray[np.bool_]]
    """Whether an input is used: if attacked, only where the attack succeeded."""
    part: NDArray[np.int64]
    """(N,): 0 to fit, 1 to choose, 2 to test."""
    images: dict[str, NDArray[np.int64]]
    """Which images a kind is made of; the adaptive attacks are run on some."""


def measure_detection(
    recipe: RobustRecipe, on_progress: OnProgress = lambda *_: None
) -> DetectResult:
    """Measure detection on every net of a recipe; kept as JSON in `out`/detect, net by net.

    The detector of the first net, fitted to FGM, is saved beside it.

    Raises:
        ConfigError: the folder holds a run with other options; too few images.
    """
    needed = clean_needed(recipe.detect.false_positive_rate) / PARTS[1]
    if recipe.n < needed:
        raise ConfigError(
            f"n: a false positive rate of {recipe.detect.false_positive_rate} needs "
            f"{math.ceil(needed)} images, got {recipe.n}"
        )
    signals = named(recipe.detect.signals, make_signal, "detect.signals")
    folder, config = run_folder(recipe, "detect")
    nets = []
    for data, subject in subjects(recipe, on_progress):
        kept = folder / f"detect-{subject.seed}.json"
        if not kept.exists():
            measured = _detected(recipe, signals, data, subject, on_progress, folder)
            write_whole(kept, measured.model_dump_json().encode())
        nets.append(NetDetection.model_validate_json(kept.read_bytes()))
    result = DetectResult(config=config, nets=tuple(nets), auc=_over_nets(nets))
    write_whole(folder / "detect.json", result.model_dump_json(indent=1).encode())
    return result


def _detected(
    recipe: RobustRecipe, signals: Mapping[str, Signal], data: Dataset, subject: Subject,
    on_progress: OnProgress, folder: Path,
) -> NetDetection:  # fmt: skip
    target = Classifier(subject.net)
    sets = _attack_all(recipe, target, subject, on_progress)
    order = np.random.default_rng(recipe.seed).permutation(len(data.train.y))
    known = data.train.part(torch.from_numpy(order[: recipe.detect.reference]))
    reference = Reference(known.x, known.y)
    auc: Auc = {}
    chosen: dict[str, dict[str, dict[str, float]]] = {}
    crossed: dict[str, Auc] = {}
    curves: dict[str, tuple[Span, ...] | None] = {}
    for done, (name, signal) in enumerate(signals.items()):
        on_progress(f"net {subject.seed}: {name}", done, len(signals))
        table = _Table(signal, target, reference, sets, data.classes, recipe)
        auc[name], chosen[name] = {}, {}
        for kind in ATTACKS:
            best = table.best(kind)
            if best is None:
                auc[name][kind] = None
                continue
            setting, scorer = best
            auc[name][kind] = table.auc(setting, scorer, kind, part=2)
            chosen[name][kind] = table.chosen(setting)
            if name in CROSSED:
                row = {other: table.auc(setting, scorer, other, part=2) for other in ATTACKS}
                crossed.setdefault(name, {})[kind] = row
            if kind == "ossa":
                curves[name] = table.curve(setting, scorer, kind)
    if subject.seed == recipe.nets[0]:
        _save(recipe, target, sets, folder)
    return NetDetection(
        net=subject.seed, accuracy=subject.accuracy, n=len(subject.images.y),
        success={kind: float(np.mean(sets.used[kind])) for kind in ATTACKS},
        auc=auc, settings=chosen, crossed=crossed, curves=curves,
    )  # fmt: skip


def _attack_all(
    recipe: RobustRecipe, target: Classifier, subject: Subject, on_progress: OnProgress
) -> Sets:
    options, (x, y) = recipe.detect, subject.images
    n, strongest = len(y), 2 * options.stepped_epsilon
    part = np.searchsorted(PARTS, (np.arange(n) + 0.5) / n)
    everything = np.arange(n)
    few = np.concatenate([
        everything[part < 2][: options.adaptive_n], everything[part == 2][: options.adaptive_n]
    ])  # fmt: skip
    log_q, log_lambda = typical_log_q(target, x), typical_log_lambda(target, x)
    walk = {"steps": options.adaptive_steps, "restarts": options.adaptive_restarts}
    trials = {
        "fgm": Trial(Fgm(), options.epsilon, everything),
        "otcm": Trial(Otcm(), options.epsilon, everything),
        "ossa": Trial(Ossa(), options.epsilon, everything),
        "bim": Trial(Pgd(steps=10), options.stepped_epsilon, everything),
        "opt": Trial(Opt(), math.inf, everything),
        "l0": Trial(GreedyL0(), options.l0, everything, norm="l0"),
        "pgd40": Trial(Pgd(steps=40), strongest, everything),
        "adaptive_confidence": Trial(AdaptiveConfidence(log_q=log_q, **walk), strongest, few),
        "adaptive_eigenvalue": Trial(
            AdaptiveEigenvalue(log_q=log_q, log_lambda=log_lambda, **walk), strongest, few
        ),
    }
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(recipe.seed))
    inputs = {"clean": x, "noisy": (x + options.epsilon * sized(noise, "l2")).clamp(0, 1)}
    used = {kind: np.ones(n, bool) for kind in NEGATIVES}
    for done, (kind, trial) in enumerate(trials.items()):
        on_progress(f"net {subject.seed}: {kind}", done, len(trials))
        which = torch.from_numpy(trial.images)
        found = trial.attack(
            target, x[which], y[which], epsilons=[trial.epsilon], norm=trial.norm, seed=recipe.seed
        )
        inputs[kind], used[kind] = found.inputs[0], found.success[0].numpy()
    images = {kind: trials[kind].images if kind in trials else everything for kind in inputs}
    return Sets(inputs, used, part, images)


class _Table:
    """A signal with all its settings on all kinds of input; features are computed once."""

    def __init__(
        self, signal: Signal, target: Classifier, reference: Reference, sets: Sets, classes: int,
        recipe: RobustRecipe,
    ) -> None:  # fmt: skip
        self._settings, self._options = signal.settings(classes), list(signal.grid(classes))
        self._target, self._reference, self._sets = target, reference, sets
        self._seed, self._trees = recipe.seed, recipe.detect.trees
        self._extractors: dict[str, Extractor] = {}
        self._features: dict[tuple[str, str], Features] = {}

    def chosen(self, setting: Signal) -> dict[str, float]:
        """Option of the grid -> its value in a setting."""
        return {option: getattr(setting, option) for option in self._options}

    def best(self, kind: str) -> tuple[Signal, Scorer] | None:
        """The setting that does best on the development part, fitted to an attack.

        None where too few attacks succeeded to fit or to choose.
        """
        tried = []
        for setting in self._settings:
            if len(self._rows(setting, kind, 0)) < FEWEST:
                return None
            scorer = self._fitted(setting, kind)
            area = self.auc(setting, scorer, kind, part=1)
            if area is None:
                return None
            tried.append((area, setting, scorer))
        _, setting, scorer = max(tried, key=lambda row: row[0])
        return setting, scorer

    def auc(self, setting: Signal, scorer: Scorer, kind: str, *, part: int) -> float | None:
        """Area under the ROC; None where too few attacks succeeded."""
        scores, truth = self._scores(setting, scorer, kind, part)
        return float(roc_auc_score(truth, scores)) if truth.sum() >= FEWEST else None

    def curve(self, setting: Signal, scorer: Scorer, kind: str) -> tuple[Span, ...] | None:
        """The ROC on the test part, at most 101 points."""
        scores, truth = self._scores(setting, scorer, kind, 2)
        if truth.sum() < FEWEST:
            return None
        false, true, _ = roc_curve(truth, scores)
        at = np.linspace(0, 1, 101)
        points = zip(at, np.interp(at, false, true), strict=True)
        return tuple((round(float(a), 4), round(float(b), 4)) for a, b in points)

    def _scores(
        self, setting: Signal, scorer: Scorer, kind: str, part: int
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        negatives = [self._rows(setting, name, part) for name in NEGATIVES]
        rows, truth = stacked(negatives, [self._rows(setting, kind, part)])
        return scorer(rows), truth

    def _fitted(self, setting: Signal, kind: str) -> Scorer:
        negatives = [self._rows(setting, name, 0) for name in NEGATIVES]
        rows, truth = stacked(negatives, [self._rows(setting, kind, 0)])
        return setting.scorer(rows, truth, seed=self._seed, trees=self._trees)

    def _rows(self, setting: Signal, kind: str, part: int) -> Features:
        key = setting.model_dump_json(exclude=set(setting.of_score))
        with guarded(f"signal {type(setting).__name__}"):
            if key not in self._extractors:
                self._extractors[key] = setting.fit(self._target, self._reference)
            if (key, kind) not in self._features:
                self._features[key, kind] = self._extractors[key](self._sets.inputs[kind])
        mine = self._sets.used[kind] & (self._sets.part[self._sets.images[kind]] == part)
        rows: Features = self._features[key, kind][mine]
        return rows


def _save(recipe: RobustRecipe, target: Classifier, sets: Sets, folder: Path) -> None:
    fit = sets.part < 2
    changed = sets.inputs["fgm"][torch.from_numpy(fit & sets.used["fgm"])]
    clean, noisy = (sets.inputs[name][torch.from_numpy(fit)] for name in NEGATIVES)
    detector = Detector.fit(
        target, clean, changed, noisy=noisy, seed=recipe.seed, trees=recipe.detect.trees,
        false_positive_rate=recipe.detect.false_positive_rate,
    )  # fmt: skip
    detector.save(folder / "detector.npz")


def _over_nets(nets: Sequence[NetDetection]) -> dict[str, dict[str, SignalAuc]]:
    """Signal -> attack -> what stands in all nets together."""
    made: dict[str, dict[str, SignalAuc]] = {}
    for name in nets[0].auc:
        made[name] = {}
        for kind in ATTACKS:
            pairs = [(net.auc["fisher"][kind], net.auc[name][kind]) for net in nets]
            known = [own for _, own in pairs if own is not None]
            gains = [f - own for f, own in pairs if f is not None and own is not None]
            made[name][kind] = SignalAuc(
                nets=tuple(own for _, own in pairs),
                mean=float(np.mean(known)) if known else None,
                interval=over_nets(known),
                fisher_minus=float(np.mean(gains)) if gains else None,
                fisher_minus_interval=over_nets(gains),
            )
    return made


def over_nets(values: Sequence[float]) -> Span | None:
    """95 % of the mean over nets, by Student's t."""
    if len(values) < 2:
        return None
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    mean = float(np.mean(values))
    return mean - half, mean + half
