"""pass@k, the majority's vote, and Holm's adjustment, against enumeration and published figures."""

from fractions import Fraction
from itertools import combinations, product
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saccade.measures.multiple import holm
from saccade.measures.samples import majority, pass_at


@given(st.integers(1, 7), st.data())
def test_pass_at_k_is_the_share_of_draws_with_a_right_one(n: int, data: st.DataObject) -> None:
    correct, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    draws = list(combinations([True] * correct + [False] * (n - correct), k))
    assert pass_at(k, n, correct) == pytest.approx(
        float(Fraction(sum(map(any, draws)), len(draws)))
    )


def test_pass_at_k_is_unbiased_where_the_plug_in_is_not() -> None:
    """A question that is answered rightly with p = 1/4, of which n = 4 samples are drawn."""
    p, n, k = Fraction(1, 4), 4, 2
    expected = plug_in = 0.0
    for drawn in product([True, False], repeat=n):
        chance = float(p ** sum(drawn) * (1 - p) ** (n - sum(drawn)))
        expected += chance * pass_at(k, n, sum(drawn))
        plug_in += chance * (1 - (1 - sum(drawn) / n) ** k)
    assert expected == pytest.approx(float(1 - (1 - p) ** k))
    assert plug_in < expected - 0.04


@pytest.mark.parametrize(("k", "n", "correct"), [(3, 2, 1), (0, 2, 1), (1, 2, 3), (1, 2, -1)])
def test_pass_at_k_of_fewer_samples_is_refused(k: int, n: int, correct: int) -> None:
    with pytest.raises(ValueError, match="pass@"):
        pass_at(k, n, correct)


def test_a_tie_has_what_a_lot_would_yield_on_average() -> None:
    assert majority(["a", "b", "a"], [1.0, 0.0, 1.0]) == 1.0
    assert majority(["a", "b"], [1.0, 0.0]) == 0.5
    assert majority(["a", "b", "c", "c", "b"], [1.0, 0.0, 0.0, 0.0, 0.0]) == 0.0
    assert majority(["a", "b", "c"], [1.0, 0.0, 0.0]) == pytest.approx(1 / 3)


def test_samples_without_an_answer_do_not_vote() -> None:
    assert majority(["a", None, None], [1.0, 0.0, 0.0]) == 1.0
    assert majority([None, None], [0.0, 0.0]) == 0.0
    assert majority(["a", "a", "b"], [None, None, 1.0]) is None, "what most say was not scored"
    assert majority(["a", "a"], [1.0, None]) == 1.0
    assert majority([], []) is None


def test_holm_is_that_of_statistics_packages() -> None:
    """R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") is 0.03 0.06 0.06 0.02."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.7]) == [0.7]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.floats(0.001, 0.5))
def test_holm_claims_what_the_step_down_procedure_claims(p: list[float], level: float) -> None:
    """Oracle: walk up the sorted p-values while each is below level / (number left)."""
    claimed = []
    for place, value in enumerate(sorted(p)):
        if value * (len(p) - place) > level:
            break
        claimed.append(value)
    assert sorted(v for v, a in zip(p, holm(p), strict=True) if a <= level) == claimed
    assert all(a >= v for v, a in zip(p, holm(p), strict=True))
    assert fmean(holm(p)) <= 1
