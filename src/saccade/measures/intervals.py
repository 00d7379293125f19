"""Confidence intervals of proportions."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

Z_95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""


class Interval(NamedTuple):
    """A 95 % confidence interval."""

    low: float
    high: float


def wilson(successes: float, n: float) -> Interval:
    """The 95 % interval of a proportion; (0, 1) if n is 0.

    Both may be fractions: those of an effective sample size.

    Source: E. B. Wilson, JASA 22 (1927) 209-212, without continuity correction.
    """
    if n == 0:
        return Interval(0.0, 1.0)
    p, z2 = successes / n, Z_95**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 / (1 + z2 / n) * sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Interval(low, high)


def wilson_of_clusters(correct_K: Sequence[int], sizes_K: Sequence[int]) -> Interval:
    """The 95 % interval of a proportion whose trials come in clusters: samples of K questions.

    It is Wilson's interval of the effective sample size p (1 - p) / v, where v is the variance of
    the proportion between clusters. With one trial in each cluster it is Wilson's interval itself.

    Source: J. N. K. Rao and A. J. Scott, Biometrics 48 (1992) 577-585, section 2: v of the ratio
    sum(correct) / sum(sizes), and the effective sample size. Where we deviate: it is at most the
    number of trials, and at least Kish's sum(sizes)^2 / sum(sizes^2), which of equal clusters is
    their number; it is the latter where v is 0, since that tells nothing of the clusters.

    Args:
        correct_K: Number of successes in each cluster.
        sizes_K: Number of trials in each, at least 1.
    """
    clusters, n, successes = len(sizes_K), sum(sizes_K), sum(correct_K)
    if clusters == n:
        return wilson(successes, n)
    effective = n * n / sum(size * size for size in sizes_K)
    # In whole numbers, so that clusters of the same share have a spread of exactly 0.
    pairs = zip(correct_K, sizes_K, strict=True)
    spread = sum((correct * n - successes * size) ** 2 for correct, size in pairs)
    if spread:
        found = successes * (n - successes) * n**2 * (clusters - 1) / (clusters * spread)
        effective = min(max(found, effective), n)
    return wilson(successes / n * effective, effective)


def wilson_of_values(sums_K: Sequence[float], sizes_K: Sequence[int]) -> Interval:
    """The 95 % interval of a mean of values in [0, 1] that come in K clusters.

    It is Wilson's of the effective sample size p (1 - p) / v, as above. Here v is the variance
    between clusters with one more cluster of zeros and one of ones, so that values that happen to
    be alike do not have an interval without width. In simulations it holds the mean of graded
    answers in 92 to 99 % of cases (K = 30 and 200), the percentile bootstrap in 45 to 96 %.

    Args:
        sums_K: Sum of the values of each cluster.
        sizes_K: Number of values in each, at least 1.
    """
    clusters, n = len(sizes_K), sum(sizes_K)
    mean = sum(sums_K) / n
    spread = sum(
        ((total - mean * size) * clusters / n) ** 2
        for total, size in zip(sums_K, sizes_K, strict=True)
    )
    centre = (clusters * mean + 1) / (clusters + 2)
    variance = (spread + mean**2 + (1 - mean) ** 2) / (clusters + 2) ** 2
    effective = centre * (1 - centre) / variance
    return wilson(mean * effective, effective)
