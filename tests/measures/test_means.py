"""Means with intervals, against scipy and simulation."""

import random
from statistics import fmean

import numpy as np
import pytest
from scipy.stats import binomtest
from scipy.stats import bootstrap as scipy_bootstrap

from saccade.measures.means import mean_of, means_by


def test_a_proportion_has_wilsons_interval() -> None:
    pairs = [(f"q{k}", float(k < 30)) for k in range(40)]
    found = mean_of("accuracy", "all", pairs)
    low, high = binomtest(30, 40).proportion_ci(method="wilson")
    assert found.value == 0.75
    assert (found.low, found.high) == pytest.approx((low, high))
    assert (found.n, found.units, found.method) == (40, 40, "wilson")


def test_other_values_have_an_interval_like_the_bootstrap() -> None:
    rng = np.random.default_rng(0)
    values = rng.beta(2, 3, size=200)
    found = mean_of("mIoU", "all", [(str(k), float(v)) for k, v in enumerate(values)])
    expected = scipy_bootstrap((values,), np.mean, method="percentile", rng=rng)
    low, high = expected.confidence_interval
    width = high - low
    assert found.low == pytest.approx(low, abs=0.1 * width)
    assert found.high == pytest.approx(high, abs=0.1 * width)
    assert found.method == "wilson"


def test_attempts_of_one_unit_are_no_independent_trials() -> None:
    """Four cycles that always agree say as much as one: the interval is that of the questions."""
    questions = [(f"q{k}", float(k < 15)) for k in range(20)]
    once = mean_of("accuracy", "all", questions)
    four = mean_of("accuracy", "all", [pair for pair in questions for _ in range(4)])
    assert (four.low, four.high) == pytest.approx((once.low, once.high))
    assert (four.n, four.units) == (80, 20)


def test_the_interval_holds_what_it_promises() -> None:
    """Of 200 samples of 60 graded values about 95 % hold the true mean; 3 sigma allow 90.4 %."""
    random.seed(1)
    held = 0
    for _ in range(200):
        values = [random.choice((0.0, 0.25, 0.5, 1.0)) for _ in range(60)]
        found = mean_of("x", "all", [(str(k), v) for k, v in enumerate(values)])
        assert found.low is not None
        assert found.high is not None
        held += found.low <= fmean((0.0, 0.25, 0.5, 1.0)) <= found.high
    assert held >= 180


def test_the_same_numbers_have_the_same_interval() -> None:
    pairs = [(str(k), k / 50) for k in range(50)]
    assert mean_of("x", "all", pairs) == mean_of("x", "all", pairs)


def test_nothing_scored_is_no_number() -> None:
    (found,) = means_by("accuracy", {"all": []})
    assert found.value is None
    assert found.low is None
    assert found.n == 0
