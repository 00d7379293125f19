"""`saccade demos import` and `saccade demos export`, as they are typed."""

import json
from pathlib import Path

from building import plain
from command import here

USER = {"role": "user", "content": "<image>\nWhat is it?"}
ANSWER = {"role": "assistant", "content": "<think>A mug.</think><answer>a mug</answer>"}
GOOD = {"messages": [USER, ANSWER], "images": ["p/a.png"]}
BAD = {"messages": [USER, ANSWER], "images": ["../\x1b[31msecret"]}


def write(folder: Path, *rows: object) -> None:
    (folder / "p").mkdir()
    plain(56, 84).pixels().save(folder / "p" / "a.png")
    (folder / "part.json").write_text(json.dumps(rows))


def test_a_file_becomes_a_run_and_a_file_again(tmp_path: Path) -> None:
    write(tmp_path, GOOD, BAD)
    refused = here("demos", "import", "part.json", "--out", "run", cwd=tmp_path)
    assert refused.returncode == 1
    assert "part.json: row 1: an image cannot be used" in refused.stderr
    assert "malformed=leave_out" in refused.stderr
    lenient = ["demos", "import", "part.json", "--out", "run", "--malformed", "leave_out"]
    done = here(*lenient, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "run: 0 of 2 conversations" in done.stdout
    assert "1 were there before" in done.stdout
    assert "left out: 1: an image cannot be used" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr + refused.stderr
    told = json.loads(here(*lenient, "--json", cwd=tmp_path).stdout)
    assert (told["already"], told["left_out"]) == (1, {"an image cannot be used": 1})
    export = ["demos", "export", "run", "--out", "x", "--to", "sharegpt"]
    unasked = here(*export, cwd=tmp_path)
    assert unasked.returncode == 2
    assert "1 not known to be right" in unasked.stderr
    written = here(*export, "--keep", "answered", cwd=tmp_path)
    assert "x/conversations.jsonl: 1 of 1 episodes with 1 images" in written.stdout
    assert "episodes 1/1" in written.stderr
    (row,) = (tmp_path / "x/conversations.jsonl").read_text().splitlines()
    assert json.loads(row)["messages"] == GOOD["messages"]


def test_a_mistake_is_told_without_a_traceback(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    for words in (
        ("import", "part.json", "--out", "run", "--dialect", "deepeye"),
        ("import", "part.json", "--out", "run", "--malformed", "skip"),
        ("export", "run", "--out", "x", "--to", "alpaca"),
        ("export", "part.json", "--out", "x", "--to", "trl"),
        ("import", "gone.json", "--out", "run"),
    ):
        done = here("demos", *words, cwd=tmp_path)
        assert done.returncode in (1, 2), words
        assert "Traceback" not in done.stderr
        assert done.stderr.startswith("error: ")
    assert not (tmp_path / "run").exists()
