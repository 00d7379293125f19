"""Several claims at once: p-values that keep the chance of any wrong claim at the stated level."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for the number of claims, in the order in which they came.

    To claim what is below 0.05 is then wrong anywhere with a probability of at most 0.05, whatever
    the claims have to do with each other.

    Source: S. Holm, Scand. J. Statist. 6 (1979) 65-70, as adjusted p-values: the k-th smallest of m
    becomes the largest of (m - j + 1) p_j over j <= k, and at most 1.
    """
    m, largest = len(p_values), 0.0
    adjusted = [0.0] * m
    for place, index in enumerate(sorted(range(m), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (m - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted
