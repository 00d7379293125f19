"""Playing back scripts and finished runs."""

import asyncio
import json
from pathlib import Path

import pytest
from building import a_task

from saccade.dialects.deepeyes import DeepEyes
from saccade.env import Environment
from saccade.errors import ConfigError, FormatError
from saccade.policies.replay import ReplayOptions, ReplayPolicy, read_script, script_of
from saccade.rollout import rollout
from saccade.types import Trajectory

TASK = a_task()


def play(policy: ReplayPolicy) -> Trajectory:
    return asyncio.run(rollout(policy, Environment(DeepEyes()), TASK))


def test_a_script_file_and_a_finished_run_say_the_same(tmp_path: Path) -> None:
    script, run = tmp_path / "script.jsonl", tmp_path / "trajectories.jsonl"
    turns = ["<tool_call>{}</tool_call>", "<think>é</think><answer>7</answer>"]
    script.write_text(json.dumps({"task": "t", "turns": turns}) + "\n")
    first = play(ReplayPolicy(ReplayOptions(script=script)))
    run.write_text(first.model_dump_json() + "\n")
    second = play(ReplayPolicy(ReplayOptions(script=run)))
    assert first.answer == second.answer == "7"
    assert first.model_copy(update={"seconds": 0.0}) == second.model_copy(
        update={"seconds": 0.0,
                "turns": tuple(t.model_copy(update={"results": o.results})
                               for t, o in zip(second.turns, first.turns, strict=True))}
    )  # fmt: skip
    assert script_of([first]) == read_script(script)


def test_a_function_may_write_the_turns() -> None:
    done = play(ReplayPolicy(lambda t: f"<answer>{t.task_id}{len(t.turns)}</answer>"))
    assert done.answer == "t0"


def test_a_script_that_runs_out_is_a_mistake_of_the_user() -> None:
    with pytest.raises(ConfigError, match="1 turns for task 't', turn 2"):
        play(ReplayPolicy({"t": ("<tool_call>{}</tool_call>",)}))
    with pytest.raises(ConfigError, match="0 turns for task 't', turn 1"):
        play(ReplayPolicy({}))


@pytest.mark.parametrize(
    ("line", "says"),
    [("{", "script.jsonl:2"), ("[]", "script.jsonl:2"), ('{"task": "t"}', "script.jsonl:2: turns"),
     ('{"task": 3, "turns": []}', "script.jsonl:2: task"), ("x" * 300, "more than 200 bytes")],
)  # fmt: skip
def test_a_bad_line_is_named(
    tmp_path: Path, line: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saccade.policies.replay.MAX_LINE_BYTES", 200)
    file = tmp_path / "script.jsonl"
    file.write_text('{"task": "a", "turns": ["x"]}\n' + line + "\n")
    with pytest.raises(FormatError, match=says):
        read_script(file)
    with pytest.raises(FormatError, match="cannot be read"):
        read_script(tmp_path / "none.jsonl")
