"""Numbers that are no plain mean, against a bootstrap and a mean written down by hand."""

import numpy as np
import pytest

from saccade.measures.totals import mean_of_means, metrics_of_totals, ratio


def test_a_mean_of_means_counts_each_group_once() -> None:
    parts = {"many": [(f"a{n}", 1.0) for n in range(90)], "few": [("b0", 0.0), ("b1", 1.0)]}
    found = mean_of_means("macro accuracy", "all", parts)
    assert found.value == pytest.approx((1.0 + 0.5) / 2)
    assert (found.n, found.units) == (92, 92)
    weighted = mean_of_means("x", "all", parts, weights={"many": 3.0, "few": 1.0})
    assert weighted.value == pytest.approx((3 * 1.0 + 0.5) / 4)


def test_an_empty_group_is_left_out_and_nothing_has_no_value() -> None:
    assert mean_of_means("x", "all", {"a": [("u", 1.0)], "b": []}).value == 1.0
    nothing = mean_of_means("x", "all", {"a": []})
    assert (nothing.value, nothing.n, nothing.method) == (None, 0, "none")


def test_what_belongs_to_a_unit_is_drawn_together() -> None:
    """Two attempts that always agree are no more than one: the interval is as wide."""
    rng = np.random.default_rng(5)
    right = rng.integers(0, 2, 60).astype(float)
    once = mean_of_means("x", "all", {"a": [(f"u{n}", v) for n, v in enumerate(right)]})
    pairs = [(f"u{n}", v) for n, v in enumerate(right) for _ in range(2)]
    twice = mean_of_means("x", "all", {"a": pairs})
    assert (once.low, once.high) == (twice.low, twice.high)


def test_the_interval_of_a_plain_mean_is_that_of_the_normal_distribution() -> None:
    """Of 400 attempts the percentile interval is the normal one, but for 2,000 resamples: 10 %."""
    pairs = [(f"u{n}", float(n % 10 < 7)) for n in range(400)]
    found = mean_of_means("x", "all", {"a": pairs})
    half = 1.96 * (0.7 * 0.3 / 400) ** 0.5
    assert found.low == pytest.approx(0.7 - half, abs=0.1 * half)
    assert found.high == pytest.approx(0.7 + half, abs=0.1 * half)


def test_a_ratio_without_a_bottom_is_no_number() -> None:
    entries = [("u", 0, 0.0), ("v", 1, 0.0)]
    formulas = {"precision": lambda t_RC: ratio(t_RC[:, 0], t_RC[:, 1])}
    (found,) = metrics_of_totals("all", entries, 2, formulas, n=2)
    assert (found.value, found.n) == (None, 2)
