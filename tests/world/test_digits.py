"""The handwriting: unchanged samples, two splits that never mix, ink that says nothing."""

import hashlib
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saccade.world.digits import Alpha, Split, glyph, load, members

samples = st.integers(0, 1796)
seeds = st.integers(0, 2**32 - 1)
sides = st.integers(12, 160)
splits = st.sampled_from(["train", "dev", "test"])


def draw(seed: int, sample: int, side: int, split: Split) -> Alpha:
    return glyph(np.random.default_rng(seed), sample, side, split)


def test_the_samples_are_the_published_ones() -> None:
    published = pytest.importorskip("sklearn.datasets").load_digits()
    assert np.array_equal(load().images * 16, published.images)
    assert np.array_equal(load().labels, published.target)


def test_the_samples_never_change() -> None:
    images = (load().images * 16).astype(np.uint8)
    assert images.shape == (1797, 8, 8)
    assert images.max() == 16
    digest = hashlib.sha256(images.tobytes() + load().labels.astype(np.uint8).tobytes())
    assert digest.hexdigest()[:16] == "87ff0c9e40dc7e2c"


def test_the_licence_lies_beside_the_file() -> None:
    text = files("saccade.world").joinpath("DIGITS.md").read_text(encoding="utf-8")
    assert "CC BY 4.0" in text
    assert "Alpaydin" in text


def test_every_sample_is_in_one_split() -> None:
    train, dev, test = members("train"), members("dev"), members("test")
    assert (len(train), len(dev), len(test)) == (1197, 200, 400)
    assert sorted(train + dev + test) == list(range(1797))


def test_the_split_never_moves() -> None:
    """Published weights were trained on one side of it."""
    expected = np.random.RandomState(0).permutation(1797)[:400]
    assert members("test") == tuple(expected.tolist())
    assert members("test")[:8] == (1081, 1707, 927, 713, 262, 182, 303, 895)


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_a_split_holds_every_class(split: Split) -> None:
    counts = np.bincount(load().labels[list(members(split))], minlength=10)
    assert counts.min() > 0.06 * counts.sum()


@given(samples, samples, sides, splits, seeds)
def test_ink_does_not_tell_one_sample_from_another(
    sample: int, other: int, side: int, split: Split, seed: int
) -> None:
    """The same random numbers give any two samples, of whatever class, the same ink."""
    ink = float(draw(seed, sample, side, split).mean())
    # float32 maps leave 1e-7; one step of Newton's method too few leaves 2e-4.
    assert float(draw(seed, other, side, split).mean()) == pytest.approx(ink, rel=1e-5)
    assert 0.26 * (1 - 1e-5) <= ink <= 0.34 * (1 + 1e-5)


@pytest.mark.parametrize("sample", [1626, 1631, 1585, 1213])
def test_the_thinnest_strokes_have_their_ink_too(sample: int) -> None:
    """Ones that three rounds of plain rescaling leave up to 12 % too faint."""
    ink = float(draw(2, 0, 40, "test").mean())
    assert ink > 0.27
    assert float(draw(2, sample, 40, "test").mean()) == pytest.approx(ink, rel=1e-5)


@given(samples, sides, splits, seeds)
def test_a_glyph_is_an_alpha_map_with_clear_ink(
    sample: int, side: int, split: Split, seed: int
) -> None:
    alpha = draw(seed, sample, side, split)
    assert alpha.shape == (side, side)
    assert alpha.dtype == np.float32
    assert alpha.min() >= 0
    assert alpha.max() <= 1
    assert alpha.max() > 0.6
    assert (alpha < 0.05).mean() > 0.2


@given(samples, seeds, seeds)
def test_only_training_digits_are_turned(sample: int, seed: int, other: int) -> None:
    """A sample that is not turned differs from itself only by a factor where it is not clipped."""

    def spread(split: Split) -> float:
        a, b = draw(seed, sample, 40, split), draw(other, sample, 40, split)
        grey = (a > 0.05) & (a < 0.95) & (b > 0.05) & (b < 0.95)
        return float((a[grey] / b[grey]).std())

    assert spread("test") < 1e-3
    angles = [np.random.default_rng(s).uniform(-10, 10) for s in (seed, other)]
    if abs(angles[0] - angles[1]) > 1:
        assert spread("train") > 1e-2
