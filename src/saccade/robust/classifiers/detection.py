"""What `saccade detect` measures: which signals tell attacked images from clean and noisy ones.

Images that the net reads right are split by image: 40 % to fit, 20 % to choose settings, 40 % to
test. Only attacks that succeeded count as adversarial. Every signal, ours and those it must beat,
has a grid of at most eight settings; for each attack the best on the development part is taken.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve

from saccade.errors import FormatError
from saccade.files import MAX_KEPT_BYTES, read_whole, write_whole
from saccade.fisher.target import Classifier
from saccade.plugins import guarded
from saccade.robust.classifiers.folder import folder_of, hold
from saccade.robust.classifiers.recipe import RobustRecipe, check_detect
from saccade.robust.classifiers.results import (
    Auc,
    DetectResult,
    KeptDetection,
    NetDetection,
    Seen,
    SignalAuc,
    Span,
)
from saccade.robust.classifiers.splits import Dataset, Split
from saccade.robust.classifiers.subjects import (
    Subject,
    check_seen,
    seconds_a_pass,
    seen,
    subjects,
)
from saccade.robust.classifiers.trials import (
    ATTACKS,
    NEGATIVES,
    Sets,
    attack_all,
    parts_of,
    trials_of,
)
from saccade.robust.detectors import make_signal
from saccade.robust.detectors.base import (
    ByForest,
    Extractor,
    Features,
    Reference,
    Scorer,
    Signal,
    checked_features,
)
from saccade.robust.detectors.detector import Detector, stacked
from saccade.robust.detectors.forest import Forest
from saccade.robust.parts import named
from saccade.robust.progress import OnNote, OnProgress, Timetable

CROSSED = ("fisher", "log_q", "log_probs")
PASSES_OF_FEATURES = 3
"""Gradients that the features of an input cost, about."""
FEWEST = 5
"""Number of successful attacks in a part, below which nothing is fitted, chosen or reported."""


def measure_detection(
    recipe: RobustRecipe,
    on_progress: OnProgress = lambda *_: None,
    *,
    on_note: OnNote = lambda _: None,
) -> DetectResult:
    """Measure detection on every net of a recipe; kept as JSON in `out`/detect, net by net.

    The detector of the first net, fitted to FGM, is saved beside it. A net is measured anew when
    the number of its images changes: its images are split by their number.

    Args:
        recipe: The run file.
        on_progress: Told what is under way.
        on_note: Told how long it will take, and what is kept of an earlier run.

    Raises:
        ConfigError: data, a net or a signal that cannot be used, too few images, or a folder that
            holds a run with other options.
        StoreLocked: another process writes to the folder.
    """
    check_detect(recipe)
    signals = named(recipe.detect.signals, make_signal, "detect.signals")
    held, folder = hold(recipe, "detect"), folder_of(recipe, "detect")
    nets, timetable = [], None
    with held.claim:
        for data, subject in subjects(recipe, on_progress):
            if timetable is None:
                _try_signals(signals, data, subject, recipe)
                timetable = _timetable(recipe, signals, data, subject, on_progress)
                on_note(timetable.announcement)
            timetable.begin_round()
            file = folder / f"detect-{subject.seed}.json"
            now = seen(subject.net, subject.images, Split(*_reference(recipe, data)))
            net = _kept(file, now, len(subject.images.y), on_note)
            if net is None:
                net = _detected(recipe, signals, data, subject, timetable, folder)
                kept = KeptDetection(seen=now, found=net)
                write_whole(file, kept.model_dump_json().encode())
            nets.append(net)
        result = DetectResult(
            config=held.config, command=held.command, nets=tuple(nets), auc=_over_nets(nets)
        )
        write_whole(folder / "detect.json", result.model_dump_json(indent=1).encode())
    return result


def _kept(file: Path, now: Seen, n: int, on_note: OnNote) -> NetDetection | None:
    """What is kept of a net, if it is of so many images.

    Raises:
        ConfigError: it is of another net, or of other images.
        FormatError: the file is of another version.
    """
    if not file.exists():
        return None
    try:
        held = KeptDetection.model_validate_json(read_whole(file, most=MAX_KEPT_BYTES))
    except (OSError, ValidationError) as error:
        raise FormatError(
            f"{file}: not what this version keeps of a net; delete it to measure the net again"
        ) from error
    kept = held.found
    if kept.n == n:
        check_seen(file, held.seen, now)
        return kept
    on_note(f"net {kept.net}: {kept.n} images are kept; {n} are split anew, so it starts over")
    return None


def _reference(recipe: RobustRecipe, data: Dataset) -> Reference:
    order = np.random.default_rng(recipe.seed).permutation(len(data.train.y))
    known = data.train.part(torch.from_numpy(order[: recipe.detect.reference]))
    return Reference(known.x, known.y)


def _try_signals(
    signals: Mapping[str, Signal], data: Dataset, subject: Subject, recipe: RobustRecipe
) -> None:
    """Every signal of a user on two images, so that one that fails does so before the attacks.

    Raises:
        ConfigError: its features are no numbers (N, F), or it has too many settings.
    """
    reference, x = _reference(recipe, data), subject.images.x[:2]
    for name, signal in signals.items():
        settings = signal.settings(data.classes)
        if not type(signal).__module__.startswith("saccade."):
            with guarded(f"signal {type(signal).__name__}"):
                extract = settings[0].fit(Classifier(subject.net), reference)
                checked_features(name, extract(x), 2)


def _detected(
    recipe: RobustRecipe, signals: Mapping[str, Signal], data: Dataset, subject: Subject,
    timetable: Timetable, folder: Path,
) -> NetDetection:  # fmt: skip
    target = Classifier(subject.net)
    sets = attack_all(recipe, target, subject, timetable)
    reference = _reference(recipe, data)
    auc: Auc = {}
    chosen: dict[str, dict[str, dict[str, float]]] = {}
    crossed: dict[str, Auc] = {}
    curves: dict[str, tuple[Span, ...] | None] = {}
    for name, signal in signals.items():
        table = _Table(name, signal, target, reference, sets, data.classes, recipe)
        auc[name], chosen[name] = {}, {}
        for kind in ATTACKS:
            with timetable.part(f"net {subject.seed}: {name}", name, 1 / len(ATTACKS)):
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


def _timetable(
    recipe: RobustRecipe, signals: Mapping[str, Signal], data: Dataset, subject: Subject,
    on_progress: OnProgress,
) -> Timetable:  # fmt: skip
    """From a timed pass of the net and a timed forest, which take most of the time."""
    part = parts_of(len(subject.images.y))
    of_one = seconds_a_pass(subject.net, subject.images)
    seconds = {
        kind: of_one * len(trial.images) * trial.attack.passes(1)
        for kind, trial in trials_of(recipe, part).items()
    }
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3 * int((part == 0).sum()), max(1, data.classes - 1)))
    truth = rows[:, 0] + rng.normal(size=len(rows)) > 0.5
    Forest.fit(rows, truth, min_leaf=3, seed=0, trees=1)  # what it imports is not timed
    begun = time.monotonic()
    Forest.fit(rows, truth, min_leaf=3, seed=0, trees=recipe.detect.trees)
    of_forest = time.monotonic() - begun
    for name, signal in signals.items():
        settings = len(signal.settings(data.classes))
        features = of_one * PASSES_OF_FEATURES * len(part) * (len(ATTACKS) + len(NEGATIVES))
        fits = of_forest * len(ATTACKS) * isinstance(signal, ByForest)
        seconds[name] = settings * (features + fits)
    nets = len(recipe.nets) if recipe.model is None else 1
    return Timetable(seconds, nets, on_progress)


class _Table:
    """A signal with all its settings on all kinds of input; features are computed once."""

    def __init__(
        self, name: str, signal: Signal, target: Classifier, reference: Reference, sets: Sets,
        classes: int, recipe: RobustRecipe,
    ) -> None:  # fmt: skip
        self._name = name
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
                x = self._sets.inputs[kind]
                made = self._extractors[key](x)
                self._features[key, kind] = checked_features(self._name, made, len(x))
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
