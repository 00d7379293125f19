"""The demonstrations as folders: what other trainers read, and what a kill leaves.

Read back here with `json` and `pyarrow` alone. Formats: LLaMA-Factory, `data/README.md`; TRL,
`docs/source/dataset_formats.md`.
"""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from building import a_task, plain
from teaching import a_sum, behind, kept_in, run, solve

from saccade.config import Table
from saccade.data.demos.exchange import ImportOptions, import_file
from saccade.errors import MissingExtra
from saccade.runs.folder import RunReader
from saccade.testing import ScriptedReply, ScriptedRequest, ScriptedServer
from saccade.testing.faults import disk
from saccade.types import Task

BOTH: Table = {"written_as": ["sharegpt", "trl"]}


def a_picture(number: int, **fields: object) -> Task:
    """The same sums below an image."""
    question = f"What is {number} plus 2, please?"
    usual = {"id": f"sum-{number}", "answer": str(number + 2)}
    return a_task(plain(56, 56 * number), question, **(usual | fields))  # type: ignore[arg-type]


def rows(folder: Path) -> list[Table]:
    lines = (folder / "out" / "sharegpt" / "conversations.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_every_format_holds_the_kept_episodes_and_no_other(tmp_path: Path) -> None:
    def answer(request: ScriptedRequest) -> str | ScriptedReply:
        wrong = "What is 2 plus" in request.text
        return "<think>No.</think><answer>0</answer>" if wrong else solve(request)

    tasks = [a_picture(1), a_picture(2), a_picture(3)]
    with ScriptedServer(answer) as server:
        made = run(tmp_path, tasks, [behind(server.url)], demos=BOTH, concurrency=1)
    assert set(kept_in(tmp_path)) == {"sum-1", "sum-3"}
    written = {name: (f.written, f.images, f.left_out) for name, f in made.audit.formats.items()}
    assert written == {"sharegpt": (2, 2, {}), "trl": (2, 2, {})}

    first, second = rows(tmp_path)
    assert [m["role"] for m in first["messages"]] == [
        "system", "user", "assistant", "user", "assistant",
    ]  # fmt: skip
    assert first["messages"][1]["content"].count("<image>") == 1
    said = [m["content"] for m in first["messages"] if m["role"] == "assistant"]
    assert said == [
        "<think>I add.</think><code>\n```python\nprint(1+2)\n```\n</code>",
        "<think>It is printed.</think><answer>3</answer>",
    ]
    assert "stdout:\n```3```" in first["messages"][3]["content"]
    assert len({*first["images"], *second["images"]}) == 2
    for name in (*first["images"], *second["images"]):
        assert (tmp_path / "out" / "sharegpt" / name).is_file()
    info = json.loads((tmp_path / "out" / "sharegpt" / "dataset_info.json").read_text())
    assert info["saccade"]["file_name"] == "conversations.jsonl"

    table = pq.read_table(tmp_path / "out" / "trl" / "conversations.parquet").to_pylist()
    texts = ["".join(p["text"] or "" for p in m["content"]) for m in table[0]["messages"]]
    assert [t for t in texts if t.startswith("<think>")] == said
    assert len(table) == 2
    page = (tmp_path / "out" / "audit.md").read_text()
    assert "| sharegpt | 2 | 2 | - |" in page


def test_what_is_written_can_be_imported_and_is_the_same(tmp_path: Path) -> None:
    with ScriptedServer(solve) as server:
        run(tmp_path, [a_picture(1)], [behind(server.url)])
    file = tmp_path / "out" / "sharegpt" / "conversations.jsonl"
    import_file(ImportOptions(file=str(file), out=str(tmp_path / "read")))
    (read,) = RunReader(tmp_path / "read").entries()
    kept = kept_in(tmp_path)["sum-1"].trajectory
    assert [t.completion.text for t in read.trajectory.turns] == [
        t.completion.text for t in kept.turns
    ]
    assert read.trajectory.messages == kept.messages
    assert read.task.answer == "3"


def test_what_a_format_cannot_hold_is_left_out_and_counted(tmp_path: Path) -> None:
    """LLaMA-Factory takes `<video>` in a text for the place of a video."""

    def answer(request: ScriptedRequest) -> str | ScriptedReply:
        if "What is 2 plus" in request.text:
            return "<think>There is no <video> here.</think><answer>4</answer>"
        return solve(request)

    tasks = [a_picture(1), a_picture(2)]
    with ScriptedServer(answer) as server:
        made = run(tmp_path, tasks, [behind(server.url)], demos=BOTH)
        assert made.audit.kept == 2
        ((reason, count),) = made.audit.formats["sharegpt"].left_out.items()
        assert (count, "mark of an image" in reason) == (1, True)
        assert made.audit.formats["trl"].written == 2
        assert len(rows(tmp_path)) == 1
        # Another choice of formats asks no teacher, and leaves no folder of old episodes.
        asked = len(server.requests)
        run(tmp_path, tasks, [behind(server.url)], demos={"written_as": []})
        assert len(server.requests) == asked
    assert not (tmp_path / "out" / "sharegpt").exists()
    assert not (tmp_path / "out" / "trl").exists()


def in_a_child(work: Callable[[], object]) -> int:
    """Run something in a process of its own; the signal that ended it."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_killed_at_any_step_it_goes_on_and_loses_nothing_that_was_finished(
    tmp_path: Path,
) -> None:
    tasks = [a_sum(n) for n in range(1, 4)]

    def work(folder: Path) -> int:
        """The whole synthesis with a server of its own; how many requests it got."""
        with ScriptedServer(solve) as server:
            run(folder, tasks, [behind(server.url, price_in=1.0)], concurrency=1)
            return len(server.requests)

    def finished(folder: Path) -> list[str]:
        file = folder / "out" / "played" / "trajectories.jsonl"
        lines = file.read_bytes().splitlines(keepends=True) if file.exists() else []
        return [json.loads(line)["task_id"] for line in lines if line.endswith(b"\n")]

    with disk(tmp_path / "whole" / "out", "killed") as counted:
        assert work(tmp_path / "whole") == 6
    whole = (tmp_path / "whole" / "out" / "report.jsonl").read_bytes()
    assert counted.steps > 30
    for step in range(3, counted.steps, counted.steps // 5):
        folder = tmp_path / f"{step}"
        with disk(folder / "out", "killed", at=step):
            assert in_a_child(lambda folder=folder: work(folder)) == -signal.SIGKILL
        before = finished(folder)
        assert work(folder) == 2 * (3 - len(before)), "two a question that was not finished"
        assert finished(folder)[: len(before)] == before
        assert sorted(finished(folder)) == ["sum-1", "sum-2", "sum-3"]
        assert (folder / "out" / "report.jsonl").read_bytes() == whole
        assert set(kept_in(folder)) == {"sum-1", "sum-2", "sum-3"}
        assert len(rows(folder)) == 3
        left = {path.name for path in (folder / "out").iterdir()}
        assert not any(name.startswith(".") for name in left), left


def test_a_format_whose_extra_is_missing_is_said_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(*names: str, **more: object) -> None:
        if "pyarrow" in names:
            raise MissingExtra("pyarrow", "data")

    monkeypatch.setattr("saccade.data.demos.kept.require", absent)
    with ScriptedServer(solve) as server:
        with pytest.raises(MissingExtra):
            run(tmp_path, [a_sum(1)], [behind(server.url)], demos=BOTH)
        assert server.requests == []
