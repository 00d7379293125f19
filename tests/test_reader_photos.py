"""The benchmark of the reader on one photograph, and its published figures in docs/reader.md."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FIELDS = {
    "accuracy", "incorrect", "abstained", "tool_calls", "seconds", "megabytes", "n", "low", "high",
}  # fmt: skip


@pytest.mark.skipif(
    not Path("/usr/share/fonts/truetype/dejavu").exists()
    or not Path("/usr/share/fonts/truetype/liberation").exists(),
    reason="install the Debian packages fonts-dejavu-core and fonts-liberation",
)
def test_one_photograph_goes_through_every_arm(tmp_path: Path) -> None:
    """Of 3.6 megapixels, about the least on which such a word is six pixels high."""
    command = [sys.executable, str(ROOT / "benchmarks/reader_photos.py"), "--seed", "7004"]
    command += ["--n", "1", "--composed-only", "--json", "--rows", str(tmp_path / "rows.jsonl")]
    command += ["--size", "1632", "2176"]
    first = subprocess.run(command, capture_output=True, text=True, check=True)
    report = json.loads(first.stdout)
    for name in ("composed", "composed_open"):
        assert set(report[name]) == {"view_only", "looking_again", "full_image"}
        for arm in report[name].values():
            assert set(arm) == FIELDS
            assert arm["n"] == 1
            assert arm["accuracy"] + arm["incorrect"] + arm["abstained"] == 1
            assert arm["megabytes"] > 100
    assert report["composed"]["view_only"]["tool_calls"] == 0
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(again.stdout) == report  # finished rows are not measured again
    assert again.stderr == ""


def test_the_page_shows_the_figures_of_its_file() -> None:
    report = json.loads((ROOT / "results/reader.json").read_text())
    lines = (ROOT / "docs/reader.md").read_text().splitlines()
    for name in ("composed", "composed_open", "twelve"):
        arms = {**report[name], "full_image_defaults": report["full_image_defaults"][name]}
        for arm, s in arms.items():
            (line,) = (x for x in lines if x.startswith(f"| {name} | {arm} |"))
            cells = [cell.strip() for cell in line.split("|")[3:9]]
            assert cells == [
                f"{s['accuracy']:.2f}", f"[{s['low']:.2f}, {s['high']:.2f}]",
                f"{s['incorrect']:.2f}", f"{s['abstained']:.2f}",
                str(s["n"]), f"{s['tool_calls']:g}",
            ]  # fmt: skip
    composed, twelve = report["composed"], report["twelve"]
    assert composed["view_only"]["accuracy"] <= 0.2
    assert composed["looking_again"]["accuracy"] >= 0.85
    assert composed["looking_again"]["incorrect"] <= 0.03
    assert composed["looking_again"]["tool_calls"] <= 8
    assert twelve["looking_again"]["accuracy"] * twelve["looking_again"]["n"] >= 4
    assert twelve["looking_again"]["incorrect"] == 0
