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
from saccade.view.report import as_json, as_markdown, report, write_report
from saccade.view.reports.overview import Bars, figure_of
from saccade.view.tables import Table, latex


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
    made = report([run_folder, other]).runs
    for found, path in zip(made, (run_folder, other), strict=True):
        pairs = [(e.task, e.trajectory) for e in RunReader(path).entries()]
        assert found.families["all"] == summary(pairs)
    assert [set(found.families) for found in made] == [{"read0", "easy", "all"}, {"all"}]


def test_the_table_counts_by_hand(tmp_path: Path) -> None:
    text = as_markdown(report([mixed(tmp_path / "mixed")]), tmp_path)
    row, means, ends = [line for line in text.splitlines() if line.startswith("| mixed | all |")]
    # Wilson, two of three: the interval is that of any statistics package.
    assert row.startswith("| mixed | all | 0.667 | [0.208, 0.939] | 3 |")
    assert means.startswith("| mixed | all | 1.00 | 0.00 |")
    assert ends == "| mixed | all | 0 | 0 | 1 | 0 | 0 | answer 4 | - | - |"


HOSTILE = (
    "a | b", "<script>x</script>", "line\nbreak", "\u202eback", "\\|", "![x](http://evil)", "`x`",
    "\\input{/etc/passwd}%", "$x$", "[2cm]", "* a", "--out ''x''", 'a "b" &lt; _c_ ~~d~~',
)  # fmt: skip


def test_hostile_names_stay_in_their_cells(tmp_path: Path) -> None:
    image = plain(90, 90)
    tasks = [a_task(image, id=n, answer="A", source=n) for n in HOSTILE]
    run = keep(tmp_path / "run", [(t, episode(t, ["<answer>A</answer>"])) for t in tasks])
    write_report(report([run]), tmp_path / "out")
    text = (tmp_path / "out" / "report.md").read_text()
    table = [line for line in text.splitlines() if line.startswith("|")]
    bare = (line.replace("\\\\", "").replace("\\|", "") for line in table)
    assert {line.count("|") for line in bare} == {9, 11, 4}
    assert "<script" not in text
    assert "\u202e" not in text
    assert "](http" not in text
    tex = (tmp_path / "out" / "report.tex").read_text()
    rows = [line for line in tex.splitlines() if line.endswith("\\\\")]
    assert {line.replace("\\&", "").count("&") for line in rows} == {7, 9, 2}
    assert r"\textbackslash{}input\{/etc/passwd\}\%" in tex
    assert r"\$x\$" in tex
    assert latex([Table("", ("[a", "b"), (("* c", "--d ''e'' \"f\" [g"),))]).splitlines()[4:7] == [
        r"{[}a & b \\",
        r"\midrule",
        r"{*} c & -{}-d '{}'e'{}' \char34{}f\char34{} [g \\",
    ]
    assert r'| a "b" &amp;lt; \_c\_ \~\~d\~\~ |' in text
    assert r"| \$x\$ |" in text


def test_it_is_written_as_tables_numbers_and_picture(run_folder: Path, tmp_path: Path) -> None:
    made = report([run_folder, mixed(tmp_path / "mixed")])
    out = tmp_path / "out"
    written = write_report(made, out)
    named = ["md", "tex", "json", "html", "png"]
    drawn = ["kinds", "combinations", "invocation", "mix"]
    assert [path.name for path in written] == [
        *(f"report.{kind}" for kind in named),
        *(f"report-{name}.png" for name in drawn),
    ]
    assert sorted(out.iterdir()) == sorted(written)
    assert (out / "report.md").read_text() == as_markdown(made, out)
    assert json.loads((out / "report.json").read_text()) == as_json(made)
    assert r"\begin{tabular}{llrrrrrr}" in (out / "report.tex").read_text()
    with PILImage.open(out / "report.png") as image:
        assert image.format == "PNG"
        assert len(set(image.convert("RGB").resize((40, 40)).get_flattened_data())) > 8


@pytest.mark.parametrize("name", ["table.tex", "numbers.json", "deep/text.md"])
def test_a_file_is_written_alone(run_folder: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out" / name
    assert write_report(report([run_folder]), out) == (out,)
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == [out]


def test_no_legend_hides_a_bar(tmp_path: Path) -> None:
    """Six runs with long names: what is drawn beside the axes leaves them their room."""
    image, names = plain(90, 90), [f"a-run-with-quite-a-long-name-{n}" for n in range(6)]
    task = a_task(image, id="t", answer="A", source="s")
    done = episode(task, ["<answer>A</answer>"])
    made = report([keep(tmp_path / name, [(task, done)]) for name in names])
    figure = figure_of([Bars(run.run, run.families) for run in made.runs], made.trainings)
    figure.draw_without_rendering()
    (axes,) = figure.subfigs[0].axes
    legend = axes.get_legend()
    assert legend is not None
    drawn, room = legend.get_window_extent(), axes.get_window_extent()
    assert not drawn.overlaps(room)
    assert room.width > 150
    assert drawn.x1 <= figure.bbox.x1


def test_without_matplotlib_the_rest_is_written_all_the_same(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtra, match=r"plots\]"):
        write_report(report([run_folder]), tmp_path / "out")
    kept = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert kept == ["report.html", "report.json", "report.md", "report.tex"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "matplotlib is not installed" in page
    assert "<img" not in page


def saccade(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "saccade", *arguments]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=5 * LIMIT_S, check=False
    )


def test_the_commands_print_and_write(run_folder: Path, tmp_path: Path) -> None:
    done = saccade("report", str(run_folder), "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (tmp_path / "out" / "report.md").read_text()
    written = done.stderr.split()
    assert written[:5] == [f"out/report.{kind}" for kind in ("md", "tex", "json", "html", "png")]
    assert written[5:] == [
        f"out/report-{name}.png" for name in ("kinds", "combinations", "invocation")
    ]
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
