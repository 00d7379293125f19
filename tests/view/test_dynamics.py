"""The dynamics of a training: table, JSON and figure from its metrics."""

import json
from pathlib import Path

import pytest
from PIL import Image as PILImage

from saccade.errors import FormatError, StoreError
from saccade.view.dynamics import dynamics_json, dynamics_parts, is_training, read_dynamics
from saccade.view.report import as_json, as_markdown, report, write_report
from saccade.view.reports.overview import figure_of
from saccade.view.tables import markdown


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


def supervised(folder: Path) -> Path:
    """As `saccade sft` writes it."""
    folder.mkdir()
    rows = ({"step": n, "loss": 2.0 / n, "mean_token_accuracy": 0.9} for n in range(1, 5))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def table(*folders: Path) -> list[str]:
    return markdown(dynamics_parts([read_dynamics(folder) for folder in folders])).splitlines()


def test_the_table_has_the_first_and_the_last_step(tmp_path: Path) -> None:
    lines = [line for line in table(training(tmp_path / "a|b")) if line.startswith("| a")]
    assert len(lines) == 12
    start = "| a\\|b | 1 | 0.033 | 0.033 | 0.250 | - | 1.00 | 0.50 | 20.0 | 0.0000 | 0.100 |"
    assert lines[0].startswith(start)
    assert lines[-1].startswith("| a\\|b | 30 | 1.000 | 1.000 | 0.250 | 0.500 |")


def test_trainings_on_demonstrations_have_a_table_of_their_losses(tmp_path: Path) -> None:
    lines = table(training(tmp_path / "rl"), supervised(tmp_path / "sft"))
    assert "| run | step | loss | token accuracy |" in lines
    assert [line for line in lines if line.startswith("| sft |")] == [
        "| sft | 1 | 2.0000 | 0.9000 |", "| sft | 2 | 1.0000 | 0.9000 |",
        "| sft | 3 | 0.6667 | 0.9000 |", "| sft | 4 | 0.5000 | 0.9000 |",
    ]  # fmt: skip


def test_a_half_written_line_is_no_step_yet(tmp_path: Path) -> None:
    run = read_dynamics(training(tmp_path / "a"))
    assert len(run.steps) == 30
    assert run.series("mean_iou")[0] == list(range(4, 31))
    assert [row["step"] for row in dynamics_json(run)["steps"]] == list(range(1, 31))  # type: ignore[union-attr,index,call-overload]
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "metrics.jsonl").write_text("")
    with pytest.raises(StoreError, match="no step of a training is finished yet"):
        read_dynamics(tmp_path / "new")


def test_a_metric_that_is_no_number_is_null_in_json(tmp_path: Path) -> None:
    made = report([training(tmp_path / "a", grad_norm=float("nan"), kl=float("inf"))])
    (out,) = write_report(made, tmp_path / "report.json")
    text = out.read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    (run,) = json.loads(text)["trainings"]
    assert [(row["grad_norm"], row["kl"]) for row in run["steps"]] == [(None, None)] * 30
    assert json.loads(text) == as_json(made)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"step": 2, "lo', "damaged"),
        ("\xff", "damaged"),
        ("[2]", "expected an object"),
        ('{"loss": 1.0}', "step is missing"),
        ('{"step": NaN}', "step is missing"),
        ('{"step": 2, "loss": "low"}', "loss must be a number, got 'low'"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str, reason: str) -> None:
    content = f'{{"step": 1}}\n{line}\n'.encode("latin-1")
    (tmp_path / "metrics.jsonl").write_bytes(content)
    with pytest.raises(FormatError, match=rf"metrics\.jsonl:2: .*{reason}"):
        read_dynamics(tmp_path)


def test_the_report_of_trainings_is_written_and_drawn(tmp_path: Path) -> None:
    made = report([training(tmp_path / "a"), training(tmp_path / "b"), supervised(tmp_path / "c")])
    write_report(made, tmp_path / "out")
    assert (tmp_path / "out" / "report.md").read_text() == as_markdown(made, tmp_path)
    assert len(json.loads((tmp_path / "out" / "report.json").read_text())["trainings"]) == 3
    with PILImage.open(tmp_path / "out" / "report.png") as drawn:
        assert drawn.size == (2175, 1080)
        assert len(drawn.convert("RGB").getcolors(1 << 20) or []) > 50


def test_no_line_runs_through_a_legend(tmp_path: Path) -> None:
    figure = figure_of([], [read_dynamics(training(tmp_path / "a"))])
    figure.draw_without_rendering()
    for axes in figure.subfigs[0].axes:
        if legend := axes.get_legend():
            assert not legend.get_window_extent().overlaps(axes.get_window_extent())
