"""Published numbers: each belongs to a benchmark, says where it stands, and can be what it says."""

import json
from pathlib import Path

import pytest

from saccade.bench import BENCHMARKS
from saccade.bench import published as module
from saccade.bench.published import Row, benchmarks, published
from saccade.errors import FormatError

NAMES = {
    "vstar", "hrbench_4k", "hrbench_8k", "mme_realworld", "mme_realworld_lite", "treebench",
    "visualprobe", "zoombench", "seedbench2_plus", "cvbench", "mmstar", "pope", "vlmevalkit",
    "mathvista", "mathverse", "mathvision", "wemath", "dynamath", "logicvista", "charxiv",
    "chartqa", "ocrbench", "refcoco", "refcoco_plus", "refcocog", "reasonseg", "mmsearch", "fvqa",
    "infoseek", "simplevqa", "realx", "vdr", "tir_bench", "agentvista", "visualtoolbench", "nano",
    "nano_realx", "vstar_mini",
}  # fmt: skip
"""Of every benchmark that there is or will be."""
EVERY = [row for name in benchmarks() for row in published(name)]


def test_every_row_belongs_to_a_benchmark_and_says_where_it_stands() -> None:
    assert set(benchmarks()) <= NAMES
    assert set(BENCHMARKS) <= NAMES
    assert len(EVERY) > 300
    for row in EVERY:
        assert row.source.strip(), row
        assert row.protocol.strip(), row
        assert "arXiv" in row.source or "/" in row.source, row
        assert 0 < row.value <= (1000 if row.unit == "of 1000" else 100), row
    assert published("no_such_benchmark") == ()


def test_no_row_stands_there_twice() -> None:
    keys = [(r.benchmark, r.model, r.tools, r.metric, r.group, r.source, r.note) for r in EVERY]
    assert len(keys) == len(set(keys))


def test_what_is_of_a_thousand_is_not_read_as_a_share() -> None:
    units = {row.benchmark: row.unit for row in EVERY}
    assert units["ocrbench"] == "of 1000"
    assert {unit for name, unit in units.items() if name != "ocrbench"} == {"%"}
    assert value("ocrbench", "Qwen2.5-VL-7B") == 864


def test_one_number_under_two_protocols_is_two_rows() -> None:
    of = [row for row in published("vstar") if row.model == "DeepEyes-7B" and row.group == "all"]
    assert sorted(row.value for row in of) == [84.3, 85.6, 89.0, 90.1]
    assert len({(row.source, row.note) for row in of}) == 4
    assert any("always A" in row.protocol for row in of)


def value(benchmark: str, model: str, group: str = "all") -> float:
    (row,) = (
        r
        for r in published(benchmark)
        if (r.model, r.group) == (model, group) and r.tools == "none"
    )
    return row.value


def whole(row: Row) -> bool:
    """Whether a whole number of right answers of n has the printed share."""
    assert row.n is not None
    return any(abs(100 * right / row.n - row.value) <= 0.0501 for right in range(row.n + 1))


def test_sizes_of_the_subsets_of_realx_fit_the_printed_shares() -> None:
    rows = published("realx")
    sizes = {row.group: row.n for row in rows}
    assert sizes == {"all": 300, "perception": 164, "reason": 178, "search": 211, "integration": 72}
    odd = [row for row in rows if not whole(row)]
    assert len(odd) == 6
    assert all(("no whole number" in row.note) == (row in odd) for row in rows)


def test_realx_has_four_tool_conditions_of_each_model_that_was_asked_in_all() -> None:
    conditions: dict[str, set[str]] = {}
    for row in published("realx"):
        conditions.setdefault(row.model, set()).add(row.tools)
    full = {
        model for model, held in conditions.items() if held == {"none", "image", "search", "all"}
    }
    assert full == {"GPT-4o", "Gemini 2.5 Pro", "o3"} | {f"Qwen2.5-VL-{n}B" for n in (7, 32, 72)}


def test_overall_figures_lie_between_those_of_their_parts() -> None:
    for name in ("vstar", "hrbench_4k", "hrbench_8k", "pope"):
        held: dict[tuple[str, str, str], dict[str, float]] = {}
        for row in published(name):
            held.setdefault((row.model, row.tools, row.source), {})[row.group] = row.value
        for key, groups in held.items():
            parts = [v for group, v in groups.items() if group != "all"]
            if parts and "all" in groups:
                assert min(parts) - 0.1 <= groups["all"] <= max(parts) + 0.1, (name, key)


@pytest.mark.parametrize(
    "change",
    [{"value": "high"}, {"unit": "points"}, {"source": "nowhere"}, {"n": 0}, {"extra": 1}],
)
def test_a_row_that_cannot_be_is_refused(
    change: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = json.loads(module.FILE.read_text())
    held["rows"][3] |= change
    file = tmp_path / "published.json"
    file.write_text(json.dumps(held))
    monkeypatch.setattr(module, "FILE", file)
    module._rows.cache_clear()
    try:
        with pytest.raises(FormatError, match=r"published\.json"):
            published("vstar")
    finally:
        module._rows.cache_clear()
