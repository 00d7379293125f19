"""The detector: what it tells apart, how it is calibrated, and how it travels."""

import builtins
import dataclasses
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from torch import nn

from saccade.errors import ConfigError, FormatError
from saccade.fisher.spectrum import eigenpairs
from saccade.fisher.target import Classifier
from saccade.robust.attacks.single import Otcm
from saccade.robust.attacks.stepped import Pgd
from saccade.robust.detectors import SIGNALS, make_signal
from saccade.robust.detectors.base import Reference
from saccade.robust.detectors.detector import MOST_VALUES, Detector
from saccade.robust.detectors.forest import TREES, Forest
from saccade.robust.detectors.spectral import log_spectrum


@pytest.fixture(scope="module")
def parts(digits: tuple) -> dict:
    """Clean, noisy and adversarial inputs of two halves; only those that fool the net."""
    net, x, y = digits
    target = Classifier(net)
    found = Otcm()(target, x, y, epsilons=[1.0])
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    noisy = (x + noise / noise.flatten(1).norm(dim=1)[:, None, None, None]).clamp(0, 1)
    first = torch.arange(len(x)) < 150
    won = found.success[0]
    return {
        "target": target, "x": x, "y": y,
        "clean": (x[first], x[~first]), "noisy": (noisy[first], noisy[~first]),
        "changed": (found.inputs[0][first & won], found.inputs[0][~first & won]),
    }  # fmt: skip


@pytest.fixture(scope="module")
def detector(parts: dict) -> Detector:
    return Detector.fit(
        parts["target"], parts["clean"][0], parts["changed"][0], noisy=parts["noisy"][0]
    )


def auc(clean: np.ndarray, changed: np.ndarray) -> float:
    truth = np.arange(len(clean) + len(changed)) >= len(clean)
    return float(roc_auc_score(truth, np.concatenate([clean, changed])))


def test_it_tells_attacked_inputs_from_clean_and_noisy_ones(
    parts: dict, detector: Detector
) -> None:
    clean, noisy, changed = (
        detector.score(parts["target"], parts[kind][1]) for kind in ("clean", "noisy", "changed")
    )
    assert len(changed) > 50
    assert auc(clean, changed) > 0.85
    assert auc(noisy, changed) > 0.8


def test_few_clean_inputs_are_flagged_and_each_is_judged_alone(
    parts: dict, detector: Detector
) -> None:
    clean = parts["clean"][1]
    flagged = detector.flags(parts["target"], clean)
    assert flagged.mean() <= 0.15  # 5 % asked for, calibrated on 37 inputs
    alone = [detector.score(parts["target"], one[None])[0] for one in clean[:5]]
    np.testing.assert_allclose(alone, detector.score(parts["target"], clean)[:5])


def test_it_is_saved_and_loaded_without_unpickling(
    parts: dict, detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "detector.npz"
    detector.save(path)

    def forbidden(*args: object, **kwargs: object) -> None:
        raise AssertionError("something was unpickled or executed")

    for name in ("load", "loads", "Unpickler", "_Unpickler"):
        monkeypatch.setattr(pickle, name, forbidden)
    monkeypatch.setattr(builtins, "eval", forbidden)
    loaded = Detector.load(path)
    assert (loaded.k, loaded.threshold) == (detector.k, detector.threshold)
    x = parts["clean"][1]
    np.testing.assert_array_equal(
        loaded.score(parts["target"], x), detector.score(parts["target"], x)
    )


def test_what_is_no_detector_is_refused(tmp_path: Path, detector: Detector) -> None:
    path = tmp_path / "x"
    path.write_bytes(pickle.dumps(detector.forest))
    with pytest.raises(FormatError, match="no saved forest"):
        Detector.load(path)
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("roots.npy", b"no array")
    with pytest.raises(FormatError, match="no saved forest"):
        Detector.load(path)
    with path.open("wb") as file:
        np.savez(file, roots=np.array([{"a": 1}], dtype=object))
    with pytest.raises(FormatError, match="no saved forest"):
        Detector.load(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("roots.npy", b"0" * (300 << 20))
    with pytest.raises(FormatError, match="bytes unpacked"):
        Detector.load(path)


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("left", lambda a: a + len(a), "behind its parent"),
        ("right", lambda a: np.zeros_like(a), "behind its parent"),
        ("roots", lambda a: a - 1, "a root is no node"),
        ("feature", lambda a: a + 9, "other than k = 9"),
        ("feature", lambda a: a - 1, "below 0"),
        ("share", lambda a: a + 2, "out of range"),
        ("split", lambda a: a[:-1], "unequal length"),
        ("split", lambda a: a.astype(np.float32), "no row of float64"),
        ("split", lambda a: a * np.nan, "out of range"),
    ],
)
def test_a_forest_that_would_lead_astray_is_refused(
    tmp_path: Path, detector: Detector, name: str, change: Callable, match: str
) -> None:
    path = tmp_path / "forest.npz"
    changed = detector.forest._replace(**{name: change(getattr(detector.forest, name))})
    dataclasses.replace(detector, forest=changed).save(path)
    with pytest.raises(FormatError, match=match):
        Detector.load(path)


def test_without_the_check_an_astray_forest_is_taken(
    tmp_path: Path, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the refusals above are the check's own."""
    path = tmp_path / "forest.npz"
    astray = detector.forest._replace(left=detector.forest.left + len(detector.forest.left))
    dataclasses.replace(detector, forest=astray).save(path)
    monkeypatch.setattr(Forest, "_problem", lambda forest: None)
    Detector.load(path)


def test_a_header_that_claims_more_than_there_is_is_refused(tmp_path: Path) -> None:
    """NPY format 1.0 (numpy.lib.format): a shape of 10^15 values before eight bytes."""
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,), }"
    header = header.ljust(117) + b"\n"
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(8)
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("roots.npy", array)
    with pytest.raises(FormatError, match="no saved forest"):
        Detector.load(path)


def test_the_forest_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(200, 3))
    truth = rows[:, 0] + rows[:, 1] * rows[:, 2] > 0
    theirs = RandomForestClassifier(
        TREES, min_samples_leaf=3, class_weight="balanced", random_state=5
    ).fit(rows, truth)
    ours = Forest.fit(rows, truth, min_leaf=3, seed=5)
    fresh = generator.normal(size=(300, 3))
    np.testing.assert_allclose(ours.score(fresh), theirs.predict_proba(fresh)[:, 1], atol=1e-12)


def test_too_few_inputs_are_named(parts: dict) -> None:
    clean, changed = parts["clean"][0], parts["changed"][0]
    with pytest.raises(ConfigError, match="needs 400 clean"):
        Detector.fit(parts["target"], clean, changed, false_positive_rate=0.01)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        Detector.fit(parts["target"], clean, changed, false_positive_rate=1.5)


@pytest.mark.parametrize("name", SIGNALS)
def test_every_signal_sees_an_attack_that_is_plain(parts: dict, name: str) -> None:
    """The least likely class at twice the size is better than chance for each; none gives NaN."""
    target = parts["target"]
    reference = Reference(*(part[:150] for part in (parts["x"], parts["y"])))
    setting = make_signal(name).settings(10)[-1]
    features = setting.fit(target, reference)
    rows = {kind: [features(half) for half in parts[kind]] for kind in ("clean", "changed")}
    assert all(np.isfinite(part).all() for halves in rows.values() for part in halves)
    fitted = np.concatenate([rows["clean"][0], rows["changed"][0]])
    truth = np.arange(len(fitted)) >= len(rows["clean"][0])
    score = setting.scorer(fitted, truth, seed=0, trees=TREES)
    assert auc(score(rows["clean"][1]), score(rows["changed"][1])) > 0.6


def test_grids_are_of_one_budget() -> None:
    sizes = {name: len(make_signal(name).settings(10)) for name in SIGNALS}
    assert max(sizes.values()) == sizes["fisher"] == 8
    assert all(sizes[name] == 8 for name in ("kd", "lid", "mahalanobis", "squeezing"))


def test_the_spectrum_ends_where_the_rank_does(digits: tuple) -> None:
    net, x, _ = digits
    rows = log_spectrum(Classifier(net), x[:3], 12)
    assert rows.shape == (3, 12)
    assert (rows[:, 9:] == -46.05).all()


def test_many_classes_are_seen_through_their_largest_eigenvalues() -> None:
    """A hundred: as many as a detector looks at come out of Lanczos as out of all gradients."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.Tanh(), nn.Linear(48, 100))
    target = Classifier(net.double().eval())
    x = torch.rand(60, 1, 8, 8, dtype=torch.float64)
    found = eigenpairs(target, x[:10], MOST_VALUES)
    wanted = eigenpairs(target, x[:10], MOST_VALUES, "gram").log_values
    assert found.passes.jvp > 0  # by Lanczos
    assert float((found.log_values - wanted).abs().max()) < 1e-3
    changed = Pgd()(target, x, epsilons=[3.0], bounds=None).inputs[0]
    detector = Detector.fit(target, torch.cat([x, x.flip(0)]), changed, trees=20)
    assert detector.k == MOST_VALUES
    scores = np.concatenate([detector.score(target, x), detector.score(target, changed)])
    assert roc_auc_score(np.arange(120) >= 60, scores) > 0.7
