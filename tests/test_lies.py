"""Servers that lie, are slow or never end: a run comes to its end, and shows no key."""

import json
from pathlib import Path

import pytest
from command import here

import saccade.client.chat
from saccade.runs.folder import RunReader
from saccade.testing import ScriptedServer
from saccade.testing.lies import ENDLESS, LIES, SLOW, lying

KEY = "sk-opensesame-123"


def run(folder: Path, server: ScriptedServer, n: int, *settings: str) -> str:
    """A run of as many questions as there are lies; all that it said."""
    rows = [{"id": f"t{number}", "question": "What?", "answer": "1"} for number in range(n)]
    (folder / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "run.toml").write_text("tools = {}\ncanary = false\nconcurrency = 4\n")
    done = here(
        "rollout", str(folder / "run.toml"), "tasks.kind=file",
        f"tasks.path={folder / 'tasks.jsonl'}", "policy.kind=openai", "policy.model=m",
        f"policy.base_url={server.url}", "policy.api_key_env=LIES_KEY", "policy.max_retries=0",
        f"out={folder / 'run'}", "environment.limits.max_turns=2", *settings,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    kept = [file.read_text() for file in (folder / "run").glob("*.json*")]
    assert "opensesame" not in said + "".join(kept)
    assert all(c.isprintable() or c == "\n" for c in said)
    return said


def test_every_lie_costs_its_own_episode_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIES_KEY", KEY)
    with ScriptedServer(lying(LIES)) as server:
        run(tmp_path, server, len(LIES))
    entries = list(RunReader(tmp_path / "run").entries())
    assert len(entries) == len(LIES)
    assert len(server.requests) >= len(LIES)


def test_what_has_no_end_is_ended_by_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIES_KEY", KEY)
    monkeypatch.setattr(saccade.client.chat, "MAX_REPLY_BYTES", 1_000_000)
    with ScriptedServer(lying(ENDLESS)) as server:
        said = run(tmp_path, server, len(ENDLESS))
    assert "a reply of more than 1000000 bytes" in said


def test_what_is_slow_is_ended_by_its_time_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIES_KEY", KEY)
    with ScriptedServer(lying(SLOW)) as server:
        said = run(tmp_path, server, len(SLOW), "policy.timeout_s=0.2")
    assert "no reply within 0.2 s" in said
