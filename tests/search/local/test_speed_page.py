"""What the page says of the speed of search is what results/search.json holds."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return dict(json.loads((ROOT / "results" / "search.json").read_text()))


def test_the_tables_are_made_from_the_results(
    found: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import search_report

    page = (ROOT / "docs" / "search_speed.md").read_text()
    for name, text in search_report.tables(found).items():
        assert f"<!-- {name} -->\n{text}\n<!-- /{name} -->" in page
    sys.modules.pop("search_report")


@pytest.mark.parametrize("name", ["plain", "shuffled", "misspelt"])
def test_what_is_found_is_within_two_points_of_the_best_engine(
    found: dict[str, Any], name: str
) -> None:
    shares: dict[int, dict[str, float]] = {}
    for run in found["runs"]:
        ranks = run["sets"][name]["ranks"]
        assert len(ranks) == run["sets"][name]["n"]
        share = sum(rank != "0" for rank in ranks) / len(ranks)
        shares.setdefault(run["size"], {})[run["engine"]] = share
    assert 100_000 in shares
    for of_engine in shares.values():
        assert max(of_engine.values()) - of_engine["saccade"] <= 0.02
        assert of_engine["tantivy"] < of_engine["saccade"]
