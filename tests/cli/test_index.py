"""`saccade index` as a user types it."""

import json
from pathlib import Path

from command import here

ROWS = (
    '{"id": "a", "title": "Light\\u001b[31mhouse", "text": "It is red.", "url": "https://x.org"}\n'
    '{"id": "b", "title": "Harbour", "text": "Ships."}\n'
)


def test_an_index_is_built_updated_and_searched(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(ROWS)
    built = here("index", "build", "rows.jsonl", "--out", "ix", cwd=tmp_path)
    assert built.returncode == 0, built.stderr
    assert "ix: 2 documents (2 added)" in built.stdout
    assert "documents 2/2" in built.stderr
    (tmp_path / "rows.jsonl").write_text(ROWS.splitlines()[0])
    again = here("index", "build", "rows.jsonl", "--out", "ix", "--json", cwd=tmp_path)
    assert json.loads(again.stdout)["kept"] == 1
    shown = here("index", "search", "ix", "red lighthouse", cwd=tmp_path)
    assert shown.returncode == 0
    assert shown.stdout.startswith("1. Light [31mhouse\n   score ")
    assert "It is red." in shown.stdout
    found = json.loads(here("index", "search", "ix", "ships", "--json", cwd=tmp_path).stdout)
    assert [hit["document"] for hit in found["results"]] == ["b"]
    assert here("index", "search", "ix", "zeppelin", cwd=tmp_path).stdout == "nothing was found\n"


def test_mistakes_are_told_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(ROWS + "no JSON\n")
    wrong = here("index", "build", "rows.jsonl", "--out", "ix", cwd=tmp_path)
    assert wrong.returncode == 1
    assert "error: rows.jsonl:3: not JSON" in wrong.stderr
    neither = here("index", "search", "ix", cwd=tmp_path)
    assert neither.returncode == 2
    assert "either words or --image" in neither.stderr
    none = here("index", "search", "none", "x", cwd=tmp_path)
    assert none.returncode == 2
    assert "saccade index build" in none.stderr
