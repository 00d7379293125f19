"""What kind a call is: by the rules that its page states, and against labels made by hand."""

import ast
import hashlib
import json
import time
from contextlib import suppress
from pathlib import Path

import pytest
from building import a_result, a_trajectory, a_turn

from saccade.measures.cells import reading
from saccade.measures.tool_kinds import (
    MAX_CODE,
    CellReader,
    combination,
    kind_of,
    kinds_of,
)
from saccade.types import ToolCall, ToolResult

LABELS = Path(__file__).resolve().parents[2] / "results" / "tool_kinds" / "cells.json"


def code(text: str) -> ToolCall:
    return ToolCall(name="python", arguments={"code": text})


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("display(image_1.crop((0, 0, 9, 9)))", "crop"),
        ("a = np.array(image_1)\nplt.imshow(a[10:90, 20:80])\nplt.show()", "crop"),
        ("image_1.rotate(90)", "crop"),
        ("d = ImageDraw.Draw(image_1)\nd.rectangle((1, 2, 3, 4), outline='red')", "mark"),
        ("plt.plot([1, 2], [3, 4])\nplt.show()", "mark"),
        ("print(47 * 83)", "numeric"),
        ("47 * 83", "numeric"),
        ("print(image_1.size)", "numeric"),
        ("plt.imshow(image_1)\nplt.title('all of it')\nplt.show()", "other"),
        ("print('the plate is red')", "other"),
        ("# 47 times 83 is 3901", "other"),
        ("pass", "other"),
        ("print(47 * ", "other"),
    ],
)
def test_code_is_told_by_what_it_does(text: str, kind: str) -> None:
    assert kind_of(code(text)) == kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("image_zoom_in_tool", "crop"), ("crop", "crop"), ("search", "text_search"),
        ("text_search", "text_search"), ("image_search", "image_search"), ("open_page", "page"),
        ("calculator", "other"),
    ],
)  # fmt: skip
def test_other_calls_are_told_by_the_name_of_their_tool(name: str, kind: str) -> None:
    assert kind_of(ToolCall(name=name)) == kind


def test_a_mark_comes_before_a_crop_and_numbers_that_are_shown_before_a_crop_that_is_not() -> None:
    both = "c = image_1.crop((0, 0, 9, 9))\nImageDraw.Draw(c).line((0, 0, 5, 5))\nprint(c.size)"
    kinds = CellReader().kinds(both)
    assert kinds.primary == "mark"
    assert kinds.every == {"crop", "mark", "numeric"}
    measured = "c = np.array(image_1)[10:90, 20:80]\nprint(c.mean())"
    assert CellReader().kinds(measured).primary == "numeric"
    assert CellReader().kinds(measured + "\nplt.imshow(c)\nplt.show()").primary == "crop"


def test_names_are_followed_from_cell_to_cell() -> None:
    reader = CellReader(["plate = image_1.crop((0, 0, 9, 9))"])
    assert reader.kinds("display(plate)").primary == "crop"
    assert CellReader().kinds("display(plate)").primary == "other"
    helper = "def look(box):\n    return image_1.crop(box)"
    assert CellReader([helper]).kinds("look((0, 0, 9, 9))").primary == "crop"


def result(call: ToolCall) -> ToolResult:
    return a_result("x").model_copy(update={"call": call})


def test_an_episode_combines_the_kinds_of_its_calls() -> None:
    calls = [code("c = image_1.crop((0, 0, 9, 9))"), code("c"), ToolCall(name="search")]
    made = a_trajectory(*(a_turn(result(call)) for call in calls), a_turn(answer="7"))
    kinds = kinds_of(made)
    assert [one.primary for one in kinds] == ["crop", "crop", "text_search"]
    assert combination(kinds) == {"crop", "text_search"}
    assert combination(()) == frozenset()


def test_code_is_never_run(tmp_path: Path) -> None:
    file = tmp_path / "file"
    for text in (f"open({str(file)!r}, 'w').write('x')", f"__import__('os').mkdir({str(file)!r})"):
        CellReader().kinds(text)
    assert not file.exists()


BOMBS = {
    "long": "x = 1\n" * MAX_CODE,
    "deep": "(" * 5000 + ")" * 5000,
    "nested": "-" * 19_000 + "1",
    "calls": "\n".join(["def f0(x): return x * 2"]
                       + [f"def f{n}(x): return f{n - 1}(x) + f{n - 1}(x)" for n in range(1, 60)]
                       + ["print(f59(1))"]),
    "itself": "def f(x): return f(f(x))\nf(1)",
    "null": "print(1)\0",
    "surrogate": "print('\ud800')",
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_hostile_code_is_read_in_bounded_time(bomb: str) -> None:
    start = time.process_time()
    kind_of(code(BOMBS[bomb]))
    assert time.process_time() - start < 5  # each takes a tenth of a second


def steps(text: str) -> int:
    """How many parts of a cell are looked at."""
    reader = reading.Reader({})
    with suppress(reading.TooMuch):
        reader.run(ast.parse(text))
    return reader._steps


def test_functions_that_call_each_other_are_followed_to_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seven levels, each of which calls the one below twelve times: 36 million calls."""
    levels = ["def f0(x): return x"]
    levels += [f"def f{n}(x): return {' + '.join([f'f{n - 1}(x)'] * 12)}" for n in range(1, 8)]
    bomb = "\n".join([*levels, "print(f7(1))"])
    assert reading.MAX_STEPS <= 50_000  # about a second
    for most in (2_000, 6_000):  # nothing else would have stopped it
        monkeypatch.setattr(reading, "MAX_STEPS", most)
        assert steps(bomb) == most + 1


def test_the_classifier_agrees_with_the_labels_that_it_was_not_made_by() -> None:
    """`benchmarks/tool_kinds.py` prints the intervals; the split is fixed in the file."""
    cells = json.loads(LABELS.read_text())["cells"]
    test = [one for one in cells if hashlib.sha256(one["code"].encode()).digest()[0] % 2]
    found = [CellReader(one["before"]).kinds(one["code"]).primary for one in test]
    agreed = sum(kind == one["primary"] for kind, one in zip(found, test, strict=True))
    assert len(test) > 70
    assert agreed / len(test) > 0.95
    most = max(sum(one["primary"] == kind for one in test) for kind in ("crop", "numeric"))
    assert most / len(test) < 0.4, "no single answer would do"
