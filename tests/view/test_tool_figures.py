"""What runs called, as tables, figures and one page: counted by hand, of any policy."""

import base64
import io
import json
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from building import a_result, a_task, a_trajectory, a_turn, plain
from PIL import Image as PILImage
from test_dynamics import supervised, training
from test_page import keep

from saccade.nano.deepeyes_v2.skills import play
from saccade.nano.deepeyes_v2.teacher import Teacher
from saccade.types import StopReason, Task, ToolCall, ToolResult, Trajectory, Verdict
from saccade.view.report import as_json, as_markdown, report, write_report
from saccade.view.reports import html
from saccade.view.reports.bars import kinds_figure
from saccade.view.reports.gathered import run_tools
from saccade.world import tasks

FAMILIES = ("read", "far", "easy", "compute", "compute_far", "lookup", "all", "sum")
"""Of the second embedded agent; reports call `all` integration, docs/search_world.md."""
CROP, SUM = "display(image_1.crop((0, 0, 9, 9)))", "print(47 * 83)"


def call(name: str, **arguments: str) -> ToolResult:
    return a_result("done").model_copy(update={"call": ToolCall(name=name, arguments=arguments)})


def made(task: Task, *results: ToolResult, right: bool = True, sample: int = 0) -> Trajectory:
    """An episode with these calls, a turn each, and an answer."""
    verdict = Verdict(correct=right)
    turns = [a_turn(result) for result in results] + [a_turn(answer="7")]
    name = f"{task.id}:{sample}"
    return a_trajectory(
        *turns, score=float(right), verdict=verdict, id=name, task_id=task.id, sample=sample,
    )  # fmt: skip


def question(name: str, family: str) -> Task:
    return a_task(plain(90, 90), "What?", id=name, answer="7", meta={"family": family})


def two_runs(out: Path) -> list[Path]:
    """`before` crops and sums; `after` calls for half of the questions, and searches as well."""
    code = [call("python", code=CROP), call("python", code=SUM)]
    asked = [question(f"q{n}", "far" if n < 2 else "compute") for n in range(4)]
    before = [(task, made(task, code[0], code[1], right=False)) for task in asked]
    after = [(task, made(task)) for task in asked[1:3]]
    after += [(asked[0], made(asked[0], code[0], call("search", query="x")))]
    after += [(asked[3], made(asked[3], code[1]))]
    return [keep(out / "before", before), keep(out / "after", after)]


def rows(text: str, title: str) -> list[list[str]]:
    """The rows of a table of Markdown."""
    table = text.split(f"**{title}**")[1].split("\n\n")[1]
    return [[cell.strip() for cell in line.strip("|").split("|")]
            for line in table.splitlines()[2:]]  # fmt: skip


def test_calls_are_counted_by_hand(tmp_path: Path) -> None:
    text = as_markdown(report(two_runs(tmp_path)), tmp_path)
    (kinds,) = (row for row in rows(text, "Kinds of calls, share with 95 % CI")
                if row[:2] == ["all", "after"])  # fmt: skip
    assert kinds[2] == "3"  # a crop, a search, a sum
    assert [cell.split()[0] for cell in kinds[3:]] == ["0.33"] * 3  # and no other kind
    assert ["all", "before", "1.000", "[0.510, 1.000]", "4"] in [
        row[:5] for row in rows(text, "Share of episodes with a call")
    ]  # Wilson, four of four
    combined = [row[1:4] for row in rows(text, "Kinds that episodes combine") if row[0] == "far"]
    assert combined == [
        ["before", "crop + numeric", "1.000"],
        ["after", "crop + text search", "0.500"], ["after", "no call", "0.500"],
    ]  # fmt: skip


def test_the_invocation_rate_is_compared_question_by_question(tmp_path: Path) -> None:
    first, second = two_runs(tmp_path)
    found = {change.family: change for change in report([first, second]).changes}
    assert set(found) == {"far", "compute", "all"}
    every = found["all"]
    assert (every.before, every.after, every.paired.lost, every.paired.gained) == (1, 0.5, 2, 0)
    assert every.paired.p == pytest.approx(0.5)  # two of two the same way: 2 / 4
    other = keep(tmp_path / "other", [(t, made(t)) for t in [question("q0", "far").model_copy(
        update={"prompt": (plain(90, 90, "red"), "What?")})]])  # fmt: skip
    assert not report([first, other]).changes, "another question of the same id"


def test_the_matrix_has_each_run_on_each_family(tmp_path: Path) -> None:
    text = as_markdown(report(two_runs(tmp_path)), tmp_path)
    found = rows(text, "Accuracy by run and family")
    assert found[0] == ["before", *["0.00 [0.00, 0.66] (2)"] * 2, "0.00 [0.00, 0.49] (4)"]
    assert [row[0] for row in found] == ["before", "after"]


class Page(HTMLParser):
    """What a page would load, and what it shows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [str(value) for name, value in attrs if name in ("src", "href", "srcset")]
        assert not [name for name, _ in attrs if name.startswith("on")]


HOSTILE = (
    "<script>x</script>",
    '"><img src=http://evil/x>',
    "$x^{2$",
    "_",
    "\u202eback",
    "x" * 900,
)


def test_the_page_holds_everything_and_loads_nothing(tmp_path: Path) -> None:
    """Hostile names stay text, in figures too, whose library reads $ as mathematics."""
    pairs = []
    for number, family in enumerate(HOSTILE):
        task = question(f"t{number}", family)
        pairs.append((task, made(task, call("python", code=CROP), call(f"search{family}"))))
    runs = [keep(tmp_path / name, pairs) for name in ("a$b", "_c")]
    write_report(report(runs), tmp_path / "out")
    text = (tmp_path / "out" / "report.html").read_text()
    assert "\u202e" not in text
    page = Page(text)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert len(page.loads) == 6  # overview, kinds, combinations, invocation, code, mix
    for load in page.loads:
        kind, _, data = load.partition(";base64,")
        assert kind == "data:image/png"
        with PILImage.open(io.BytesIO(base64.b64decode(data, validate=True))) as image:
            assert image.width > 500
    inside = {base64.b64decode(load.partition(",")[2]) for load in page.loads}
    assert inside == {path.read_bytes() for path in (tmp_path / "out").glob("*.png")}


def test_without_escaping_a_family_would_be_markup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the test of the page would see if names were written as they are."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    asked = [question("t", "<script>x</script>"), question("u", "far")]
    run = keep(tmp_path / "run", [(task, made(task)) for task in asked])
    (out,) = write_report(report([run]), tmp_path / "page.html")
    assert "script" not in Page(out.read_text()).tags
    monkeypatch.setattr(html, "escape", lambda text, quote=True: text)
    (out,) = write_report(report([run]), tmp_path / "page.html")
    assert "script" in Page(out.read_text()).tags


def test_every_run_has_its_command_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)  # not drawn: it is about words
    runs = two_runs(tmp_path)
    folder = training(tmp_path / "rl")
    content = json.loads((runs[0] / "run.json").read_text())
    for path, command in ((runs[0], "saccade rollout a.toml"), (folder, "saccade rl b.toml")):
        (path / "run.json").write_text(json.dumps(content | {"command": command}))
    (out,) = write_report(report([*runs, folder]), tmp_path / "page.html")
    text = out.read_text()
    assert f"saccade report {runs[0]} {runs[1]} {folder}" in text
    assert "saccade rollout a.toml" in text
    assert "saccade rl b.toml" in text


def test_episodes_without_calls_have_no_figure_of_tools(tmp_path: Path) -> None:
    task = question("t", "far")
    found = report([keep(tmp_path / "run", [(task, made(task))])])
    written = write_report(found, tmp_path / "out")
    assert [path.name for path in written if path.suffix == ".png"] == ["report.png"]
    assert "Kinds of calls" not in as_markdown(found, tmp_path)


def test_what_did_not_finish_is_in_no_share(tmp_path: Path) -> None:
    task, other = question("t", "far"), question("u", "far")
    failed = made(task, call("search")).model_copy(
        update={"stop": StopReason.ABORTED, "score": None}
    )
    use = run_tools("r", [(task, failed), (other, made(other))]).families["all"]
    assert (use.episodes, use.calls, use.called.value) == (1, 0, 0.0)


def test_trainings_are_drawn_by_step_and_family(tmp_path: Path) -> None:
    """Kept steps as `saccade rl` leaves them; what is logged of a family has its name behind it."""
    logged = {"accuracy": 0.25, "low": 0.07, "high": 0.59, "scored": 8.0, "tool_calls": 1.5}
    changes = {"accuracy_low": 0.1, "accuracy_high": 0.9, "scored": 8.0, "tool_calls_std": 0.5,
               **{f"families/far/{name}": value for name, value in logged.items()},
               "accuracy/near": 0.5}  # fmt: skip
    folder = training(tmp_path / "rl", **changes)  # type: ignore[arg-type]
    before, after = two_runs(tmp_path)
    for step, run in ((1, before), (30, after)):
        shutil.copytree(run, folder / "rollouts" / f"step-{step:05d}")
    found = report([folder, supervised(tmp_path / "sft")])
    written = write_report(found, tmp_path / "out")
    drawn = [path.name for path in written if path.suffix == ".png"]
    assert drawn == ["report.png", "report-dynamics.png", "report-steps.png", "report-families.png"]
    text = as_markdown(found, tmp_path)
    kept = rows(text, "Kept steps of training, with 95 % CI")
    assert [row[:5] for row in kept] == [
        ["rl", "1", "0.00 [0.00, 0.49] (4)", "4", "1.00 [0.51, 1.00]"],
        ["rl", "30", "1.00 [0.51, 1.00] (4)", "4", "0.50 [0.15, 0.85]"],
    ]
    first, last, older, _ = rows(text, "Training by family, first and last step")
    assert first == ["rl", "far", "1", "0.250", "[0.070, 0.590]", "8", "1.50", "-"]
    assert last[2] == "30"
    assert older == ["rl", "near", "1", "0.500", "-", "-", "-", "-"], "as logged until now"
    assert [step["step"] for step in as_json(found)["kept_steps"]["rl"]] == [1, 30]  # type: ignore[index,call-overload,union-attr]


def test_the_second_agent_is_told_by_its_families(tmp_path: Path) -> None:
    """Its tools, words and worlds, played for real: a look, a search, a cell, none."""
    asked = [next(tasks(family, n=1, seed=5, split="train")) for family in FAMILIES]
    uses = run_tools("teacher", play(Teacher(), asked)).families
    combined = {family: next(iter(use.combinations)) for family, use in uses.items()}
    del combined["all"]
    assert combined == {
        "read": "crop", "far": "crop", "easy": "no call", "compute": "numeric",
        "compute_far": "crop + numeric", "lookup": "text_search",
        "integration": "crop + numeric + text_search", "sum": "no call",
    }  # fmt: skip
    assert uses["compute"].code is not None
    assert uses["compute"].code.answers.value == 1


def test_the_bars_are_as_long_as_the_shares(tmp_path: Path) -> None:
    found = report(two_runs(tmp_path)).tools
    figure = kinds_figure(found)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    bars: dict[float, float] = {}
    for patch in axes.patches:
        if width := patch.get_width():  # type: ignore[attr-defined]
            middle = round(patch.get_y() + patch.get_height() / 2, 2)  # type: ignore[attr-defined]
            bars[middle] = bars.get(middle, 0) + width
    assert len(bars) == 6  # two families and all, two runs each
    assert all(total == pytest.approx(1) for total in bars.values())
    assert len(re.findall(r"n = \d+", " ".join(text.get_text() for text in axes.texts))) == 6
