"""docs/search.md and examples/own_search.py run as they stand."""

import json
import re
import subprocess
import sys
from pathlib import Path

from command import here

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "search.md").read_text()
EXAMPLE = ROOT / "examples" / "own_search.py"
FILES = re.findall(r"<!-- (\S+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)


def test_the_page_leads_from_documents_to_a_run(tmp_path: Path) -> None:
    for name, text in FILES:
        (tmp_path / name).write_text(text)
    lines = [
        line.removeprefix("saccade ")
        for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
        for line in block.splitlines()
    ]
    assert len(lines) == 4
    for line in lines:
        words = [quoted or word for quoted, word in re.findall(r'"([^"]*)"|(\S+)', line)]
        done = here(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    kept = (tmp_path / "runs" / "bridges" / "trajectories.jsonl").read_text()
    shown = json.loads(kept)["turns"][0]["results"][0]["content"][0]
    printed = PAGE.split("```text\n")[1].split("```")[0].split("2. ...")[0]
    assert shown.startswith(printed)


def test_a_provider_of_ones_own_runs_and_is_the_one_of_the_page() -> None:
    code = EXAMPLE.read_text()
    assert len(code.splitlines()) <= 60
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        '1 result for "saccade":', "1. saccade",
        "   A rapid movement of both eyes between two points of fixation.",
        "a movement of the eyes",
    ]  # fmt: skip
    body = (
        PAGE.split("```py\n")[1].split("```")[0].split("async def search")[1].split("    async")[0]
    )
    assert body in code
