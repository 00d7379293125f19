"""The report: numbers that are those of `measures`, and text that cannot break out of its table."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from building import a_task, plain
from PIL import Image as PILImage
from test_page import demos, episode, keep
from waiting import LIMIT_S

from saccade.errors import MissingExtra
from saccade.measures.summary import summary
from saccade.runs.folder import RunReader
from saccade.view.report import as_json, markdown, report, write_report


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demos(tmp_path_factory.mktemp("report") / "oracle")


def mixed(out: Path) -> Path:
    """Two right, one wrong, one undecided."""
    image = plain(90, 90)
    pairs = []
    for number, (gold, answer) in enumerate([("A", "A"), ("A", "A"), ("A", "B"), (None, "A")]):
        task = a_task(image, "Which?", id=f"t{number}", answer=gold, source="quiz")
        pairs.append((task, episode(task, [f"<answer>{answer}</answer>"])))
    return keep(out, pairs)


def test_the_numbers_are_those_of_measures(run_folder: Path, tmp_path: Path) -> None:
    other = mixed(tmp_path / "mixed")
    made = as_json(report([run_folder, other]))
    for entry, path in zip(made, (run_folder, other), strict=True):
        pairs = [(e.task, e.trajectory) for e in RunReader(path).entries()]
        families = entry["families"]
        assert isinstance(families, dict)
        assert families["all"] == summary(pairs).model_dump(mode="json")
    first, second = (entry["families"] for entry in made)
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert set(first) == {"read0", "easy", "all"}
    assert set(second) == {"all"}


def test_the_table_counts_by_hand(tmp_path: Path) -> None:
    text = markdown(report([mixed(tmp_path / "mixed")]))
    row, counts = [line for line in text.splitlines() if line.startswith("| mixed | all |")]
    # Wilson, two of three: the interval is that of any statistics package.
    assert row.startswith("| mixed | all | 0.667 | [0.208, 0.939] |")
    assert " | 3 | " in row
    assert counts == "| mixed | all | answer 4 | - | - |"


def test_hostile_names_stay_in_their_cells(tmp_path: Path) -> None:
    image = plain(90, 90)
    names = ("a | b", "<script>x</script>", "line\nbreak", "\u202eback", "\\|")
    tasks = [a_task(image, id=n, answer="A", source=n) for n in names]
    run = keep(tmp_path / "run", [(t, episode(t, ["<answer>A</answer>"])) for t in tasks])
    text = markdown(report([run]))
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(line.replace("\\\\", "").replace("\\|", "").split("|")) for line in table} == {
        19,
        7,
    }
    assert "<script" not in text
    assert "\u202e" not in text


def test_it_is_written_as_text_numbers_and_picture(run_folder: Path, tmp_path: Path) -> None:
    made = report([run_folder, mixed(tmp_path / "mixed")])
    text, numbers, picture = write_report(made, tmp_path / "out")
    assert text.read_text() == markdown(made)
    assert json.loads(numbers.read_text()) == as_json(made)
    with PILImage.open(picture) as image:
        assert image.format == "PNG"
        assert len(set(image.convert("RGB").resize((40, 40)).get_flattened_data())) > 8


def test_without_matplotlib_the_numbers_are_written_all_the_same(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtra, match=r"saccade\[plots\]"):
        write_report(report([run_folder]), tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["report.json", "report.md"]


def saccade(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "saccade", *arguments]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=5 * LIMIT_S, check=False
    )


def test_the_commands_print_and_write(run_folder: Path, tmp_path: Path) -> None:
    done = saccade("report", str(run_folder), "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (tmp_path / "out" / "report.md").read_text()
    done = saccade("report", str(run_folder), "--json", cwd=tmp_path)
    assert json.loads(done.stdout) == as_json(report([run_folder]))
    done = saccade("view", str(run_folder), "--out", "page.html", cwd=tmp_path)
    assert done.stdout == "page.html\n"
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("verb", ["view", "report"])
def test_a_folder_without_a_run_is_a_clear_error(tmp_path: Path, verb: str) -> None:
    done = saccade(verb, "nowhere", cwd=tmp_path)
    assert done.returncode == 1
    assert "nowhere: no run folder (no run.json)" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_page_that_cannot_be_written_or_served_is_a_clear_error(
    run_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for arguments, code, message in (
            (["--out", "file/page.html"], 1, "file/page.html: cannot be written"),
            (["--follow", "--port", port], 2, f"view: port {port} cannot be used"),
        ):
            done = saccade("view", str(run_folder), *arguments, cwd=tmp_path)
            assert done.returncode == code
            assert message in done.stderr
            assert "Traceback" not in done.stderr
