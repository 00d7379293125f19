"""The probe in miniature: it learns, reports its interval, and tells a legible digit from none."""

from saccade.nano.deepeyes.legibility import CONDITIONS, LIMITS, measure_legibility


def test_a_short_probe_already_tells_view_from_crop() -> None:
    seen: set[tuple[str, int]] = set()
    found = measure_legibility(
        seed=2, n=60, steps=120, scenes=300, on_step=lambda s, step, last: seen.add((s, step))
    )
    assert set(found) == set(CONDITIONS) == set(LIMITS)
    for row in found.values():
        assert row.n == 60
        assert row.low <= row.accuracy <= row.high
    assert found["read_crop"].accuracy > 0.4
    # Four standard errors above .2, the bound of the full probe.
    assert found["read_view"].accuracy < 0.2 + 4 * 0.052
    assert len(seen) == 3 * 120


def test_another_seed_asks_other_digits() -> None:
    a, again, b = (measure_legibility(seed=s, n=20, steps=2, scenes=10) for s in (1, 1, 2))
    assert a == again != b
