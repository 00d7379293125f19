"""What docs/search_world.md says is what results/lookup_nano.json holds."""

import json
from pathlib import Path
from typing import Any

import pytest
from scripts import benchmark

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return dict(json.loads((ROOT / "results" / "lookup_nano.json").read_text()))


def test_the_tables_are_made_from_the_results(found: dict[str, Any]) -> None:
    module = benchmark("lookup_nano")
    page = (ROOT / "docs" / "search_world.md").read_text()
    for mark, table in module.tables(found).items():
        assert f"<!-- {mark} -->\n{table}\n<!-- /{mark} -->" in page


def test_the_world_is_what_it_must_be(found: dict[str, Any]) -> None:
    arms, chance = found["arms"], found["closed_book"]["chance"]
    for family in ("lookup", "lookup_compute", "lookup_far", "emblem", "all"):
        assert arms["all tools"][family]["accuracy"] >= 0.9
        expected = chance["product" if family in ("lookup_compute", "all") else "one fact"]
        closed = arms["no tools"][family]
        assert closed["low"] <= expected <= closed["high"]
    assert all(row["rank <= 5"]["accuracy"] > 0.8 for row in found["search"].values())
    assert found["search"]["price red 47"]["rank <= 5"]["accuracy"] == 1
