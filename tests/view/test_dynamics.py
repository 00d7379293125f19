"""The dynamics of a training: table, JSON and figure from its metrics."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image as PILImage

from saccade.errors import StoreError
from saccade.view.dynamics import (
    as_json,
    is_training,
    markdown,
    read_dynamics,
    write_dynamics,
)


def training(folder: Path, steps: int = 30, **changes: object) -> Path:
    """As `saccade rl` writes it; no box is known before the first call."""
    folder.mkdir()
    rows = []
    for step in range(1, steps + 1):
        row = {
            "step": step, "reward": step / steps, "accuracy": step / steps, "tool_calls": 1.0,
            "tool_calls_ok": 0.5, "tool_call_rate": 0.25, "response_tokens": 20.0,
            "entropy": 0.1, "kl": 0.0, "aborted": 0.0, "groups/unscored": 1.0, "loss": 0.0,
        }  # fmt: skip
        if step > 3:
            row |= {"mean_iou": 0.5, "coverage": 0.9}
        rows.append(json.dumps(row | changes) + "\n")
    (folder / "metrics.jsonl").write_text("".join(rows) + '{"step": 31, "rew')
    return folder


def test_a_training_is_distinguished_from_a_run_of_episodes(tmp_path: Path) -> None:
    assert is_training(training(tmp_path / "a"))
    (tmp_path / "b").mkdir()
    assert not is_training(tmp_path / "b")


def test_the_table_has_the_first_and_the_last_step(tmp_path: Path) -> None:
    lines = markdown([read_dynamics(training(tmp_path / "a|b"))]).splitlines()
    assert len(lines) == 2 + 12
    start = "| a\\|b | 1 | 0.033 | 0.033 | 0.250 | - | 1.00 | 0.50 | 20.0 | 0.100 |"
    assert lines[2].startswith(start)
    assert lines[-1].startswith("| a\\|b | 30 | 1.000 | 1.000 | 0.250 | 0.500 |")


def test_a_half_written_line_is_no_step_yet(tmp_path: Path) -> None:
    run = read_dynamics(training(tmp_path / "a"))
    assert len(run.steps) == 30
    assert run.series("mean_iou")[0] == list(range(4, 31))
    assert [row["step"] for row in as_json([run])[0]["steps"]] == list(range(1, 31))  # type: ignore[union-attr,index,call-overload]


def test_the_figure_is_drawn(tmp_path: Path) -> None:
    runs = [read_dynamics(training(tmp_path / name)) for name in ("a", "b")]
    text, numbers, picture = write_dynamics(runs, tmp_path / "out")
    assert text.read_text() == markdown(runs)
    assert len(json.loads(numbers.read_text())) == 2
    with PILImage.open(picture) as drawn:
        assert drawn.size == (1800, 510)
        assert len(drawn.convert("RGB").getcolors(1 << 20) or []) > 50


def test_what_is_no_such_training_is_explained(tmp_path: Path) -> None:
    (tmp_path / "sft").mkdir()
    (tmp_path / "sft" / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    with pytest.raises(StoreError, match="a training without rewards"):
        read_dynamics(tmp_path / "sft")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "metrics.jsonl").write_text("")
    with pytest.raises(StoreError, match="no step of a training is finished yet"):
        read_dynamics(tmp_path / "new")


def test_the_command_reports_trainings(tmp_path: Path) -> None:
    folder = training(tmp_path / "a")
    command = [sys.executable, "-m", "saccade", "report", str(folder)]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "out")], capture_output=True, text=True, check=True
    )
    assert done.stdout == markdown([read_dynamics(folder)])
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "dynamics.json", "dynamics.md", "dynamics.png",
    ]  # fmt: skip
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert len(json.loads(done.stdout)[0]["steps"]) == 30
