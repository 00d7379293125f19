"""What the page says of the cost of an evaluation is what results/eval_overhead.json holds."""

import json
from pathlib import Path
from typing import Any

import pytest
from scripts import benchmark

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return dict(json.loads((ROOT / "results" / "eval_overhead.json").read_text()))


def test_the_table_is_made_from_the_results(found: dict[str, Any]) -> None:
    module = benchmark("eval_overhead")
    page = (ROOT / "docs" / "performance.md").read_text()
    assert f"<!-- eval_overhead -->\n{module.table(found)}\n<!-- /eval_overhead -->" in page


def test_an_evaluation_costs_little_beside_its_model(found: dict[str, Any]) -> None:
    """The target of photographs, 60 ms, is missed: the page says so, and this keeps what is."""
    figures = found["figures"]
    assert figures["text: saccade, CPU ms beyond the floor"]["median"] <= 5
    assert figures["text: inspect over saccade, CPU beyond the floor"]["median"] >= 5
    beyond, decode = (
        figures[f"photo: {what}"]["median"]
        for what in ("saccade, CPU ms beyond the floor", "decode, CPU ms")
    )
    assert beyond <= 0.6 * decode
    assert all(figure["n"] >= 6 for figure in figures.values())
