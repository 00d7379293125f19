"""The benchmark of the reader, on a photograph of its own; its figures stand in docs/reader.md."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FIELDS = {
    "accuracy", "abstained", "wrong", "zooms", "seconds", "megabytes", "n", "low", "high",
}  # fmt: skip


@pytest.mark.skipif(
    not Path("/usr/share/fonts/truetype/dejavu").exists()
    or not Path("/usr/share/fonts/truetype/liberation").exists(),
    reason="install the Debian packages fonts-dejavu-core and fonts-liberation",
)
def test_one_photograph_goes_through_every_arm(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks/reader_photos.py"), "--seed", "7004"]
    command += ["--n", "1", "--composed-only", "--json", "--rows", str(tmp_path / "rows.jsonl")]
    first = subprocess.run(command, capture_output=True, text=True, check=True)
    report = json.loads(first.stdout)
    for name in ("composed", "composed_open"):
        assert set(report[name]) == {"view_only", "looking_again", "full_image"}
        for arm in report[name].values():
            assert set(arm) == FIELDS
            assert arm["n"] == 1
            assert arm["accuracy"] + arm["abstained"] + arm["wrong"] == 1
            assert arm["megabytes"] > 100
    assert report["composed"]["view_only"]["zooms"] == 0
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(again.stdout) == report  # finished rows are not measured again
    assert again.stderr == ""
