"""The tables of docs/data.md are those of their results, and say what the page says of them."""

import json
from pathlib import Path
from typing import Any

from scripts import benchmark

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "data.md").read_text()
FOUND: dict[str, Any] = json.loads((ROOT / "results" / "near_duplicates.json").read_text())
SORTED: dict[str, Any] = json.loads((ROOT / "results" / "nano_curate_v2.json").read_text())


def block(name: str) -> str:
    return PAGE.partition(f"<!-- {name} -->\n")[2].partition(f"\n<!-- /{name} -->")[0]


def test_the_tables_of_near_duplicates_are_those_of_their_run() -> None:
    script = benchmark("near_duplicates")
    for name, table in script.TABLES.items():
        assert block(name) == table(FOUND), f"{FOUND['command']}, then its table into docs/data.md"


def test_what_is_promised_of_near_duplicates_was_measured() -> None:
    for one in FOUND["planted"]:
        kinds = one["decontaminate"]["kinds"]
        for kind in ("resized and compressed again", "brighter by a fifth", "another question"):
            assert kinds[kind]["share"] >= 0.9, (one["set"], kind)
        assert one["decontaminate"]["precision"]["share"] >= 0.95
        assert one["duplicates"]["precision"]["share"] >= 0.95
        assert one["duplicates"]["kinds"]["another question"]["found"] == 0


def test_the_table_of_the_selection_is_that_of_its_run() -> None:
    by = {stage["stage"]: stage["by"]["family"] for stage in SORTED["diversity"]}
    columns = [by[stage] for stage in ("source", "without_tools", "rl", "cold_start")]
    for family in ("read", "easy", "far"):
        cells = " | ".join(str(column["counts"].get(family, 0)) for column in columns)
        assert f"| `{family}` | {cells} |" in block("nano_curate_v2")
    effective = " | ".join(f"{column['effective']:.1f}" for column in columns)
    assert f"| effective number | {effective} |" in block("nano_curate_v2")
    assert (SORTED["questions"], f"{SORTED['seconds_cpu']} s of CPU time" in PAGE) == (300, True)
