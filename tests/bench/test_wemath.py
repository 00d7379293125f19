"""We-Math. Format: We-Math/We-Math, data/testmini.json; formulas: its evaluation/
four_dimensional_metrics.py and accuracy.py. VLMEvalKit, vlmeval/dataset/image_mcq.py (WeMath)."""

from itertools import product
from pathlib import Path

import pytest
from maths_sets import (
    assert_differences,
    judged,
    numbers,
    packed,
    png,
    scored,
    tasks,
    write_json,
    write_parquet,
    write_tsv,
)

from saccade.bench.benchmark import Scored
from saccade.bench.sets.maths.wemath import WeMath
from saccade.errors import FormatError
from saccade.types import Task


def part(problem: str, key: str, **changes: object) -> dict[str, object]:
    steps, _, which = key.partition("_")
    row = {
        "ID": problem, "split": "testmini", "knowledge concept": "Length", "key": key,
        "question": f"OA = ( ) m, {which}", "answer": "C", "question number": 1,
        "option": "A. 300, 400;B. 400, 300;C. 3000, 4000; D. No correct answer",
        "image_path": f"{steps}/image/{problem.rpartition('_')[2]}-{which}.png",
    }  # fmt: skip
    return row | changes


def problem(name: str) -> list[dict[str, object]]:
    steps = int(name[0])
    keys = [f"{steps}steps_{n}" for n in (*range(1, steps + 1), "multi")]
    return [part(name, key) for key in keys]


def written(folder: Path, rows: list[dict[str, object]]) -> Path:
    write_json(folder / "testmini.json", rows, *(str(row["image_path"]) for row in rows))
    return folder


def attempts(read: list[Task], right: dict[str, str], sample: int = 0) -> list[Scored]:
    """Attempts at the parts of problems; "10 1" is: step 1, not 2, and the whole."""
    found: list[Scored] = []
    for task in read:
        name = str(task.meta["unit"]).removeprefix("wemath-")
        steps, whole = right[name].split()
        which = str(task.meta["part"]).partition("_")[2]
        value = whole if which == "multi" else steps[int(which) - 1]
        found.append(scored(task, None if value == "?" else float(value), sample))
    return found


def test_the_parts_of_a_problem_share_its_id(tmp_path: Path) -> None:
    read = tasks("wemath", written(tmp_path, problem("2steps_1") + problem("3steps_7")))
    assert [task.id for task in read][:3] == [f"wemath-2steps_1-{n}" for n in ("1", "2", "multi")]
    assert read[0].choices == ("300, 400", "400, 300", "3000, 4000", "No correct answer")
    assert read[0].answer == "C. 3000, 4000"
    assert [task.family for task in read[2:4]] == ["two-step", "one-step"]


def test_score_and_kinds_by_hand(tmp_path: Path) -> None:
    """Ten problems: 3 mastered, 1 mastered loosely, 1 by rote, 2 inadequate, 3 insufficient."""
    names = [f"2steps_{n}" for n in range(1, 6)] + [f"3steps_{n}" for n in range(1, 6)]
    read = tasks("wemath", written(tmp_path, [row for name in names for row in problem(name)]))
    right = dict(zip(names, [
        "11 1", "10 1", "00 1", "11 0", "00 0", "111 1", "111 1", "111 0", "011 0", "000 0",
    ], strict=True))  # fmt: skip
    found = numbers(WeMath(), attempts(read, right))
    assert found["score (strict)", "all"] == pytest.approx((10 - 0.5 * 2 - 2 - 3) / 10)
    assert found["score (loose)", "all"] == pytest.approx((10 - 0.5 * 2 - 1 - 3) / 10)
    assert found["insufficient knowledge", "all"] == 0.3
    assert found["inadequate generalization", "all"] == 0.2
    assert found["complete mastery (strict)", "all"] == 0.3
    assert found["complete mastery (loose)", "all"] == 0.4
    assert found["rote memorization (strict)", "all"] == pytest.approx(2 / 5)
    assert found["rote memorization (loose)", "all"] == pytest.approx(1 / 5)
    assert found["accuracy", "one-step"] == pytest.approx((5 + 11) / 25)
    assert found["accuracy", "two-step"] == 3 / 5
    assert found["accuracy", "three-step"] == 2 / 5


@pytest.mark.parametrize("steps", [2, 3])
def test_every_pattern_of_right_parts_scores_as_the_published_formula(
    steps: int, tmp_path: Path
) -> None:
    """The conditions of calculate_metrics in four_dimensional_metrics.py, written out."""
    (name,) = [f"{steps}steps_1"]
    read = tasks("wemath", written(tmp_path, problem(name)))
    for *held, whole in product((False, True), repeat=steps + 1):
        pattern = "".join("01"[h] for h in held) + f" {int(whole)}"
        found = numbers(WeMath(), attempts(read, {name: pattern}))
        ig, ik = all(held) and not whole, not all(held) and not whole
        for mode, rote in (("strict", not all(held) and whole), ("loose", not any(held) and whole)):
            assert found[f"score ({mode})", "all"] == 1 - 0.5 * ig - rote - ik


def test_no_whole_that_is_right_is_no_crash(tmp_path: Path) -> None:
    """The published code divides by the number of problems whose whole is right."""
    read = tasks("wemath", written(tmp_path, problem("2steps_1")))
    found = numbers(WeMath(), attempts(read, {"2steps_1": "11 0"}))
    assert found["rote memorization (strict)", "all"] is None
    assert found["score (strict)", "all"] == 0.5
    assert numbers(WeMath(), [])["score (strict)", "all"] is None


def test_a_problem_counts_only_with_all_of_its_parts(tmp_path: Path) -> None:
    read = tasks("wemath", written(tmp_path, problem("2steps_1") + problem("2steps_2")))
    found = WeMath().metrics(attempts(read, {"2steps_1": "11 1", "2steps_2": "1? 0"}))
    by_name = {(metric.name, metric.group): metric for metric in found}
    assert by_name["score (strict)", "all"].n == 1
    assert by_name["accuracy", "one-step"].n == 3


def test_samples_are_joined_apart_and_the_interval_is_over_problems(tmp_path: Path) -> None:
    names = ["2steps_1", "2steps_2", "2steps_3"]
    read = tasks("wemath", written(tmp_path, [row for name in names for row in problem(name)]))
    first = attempts(read, dict(zip(names, ["11 1", "11 0", "00 0"], strict=True)), 0)
    again = attempts(read, dict(zip(names, ["11 0", "11 0", "00 1"], strict=True)), 1)
    score = WeMath().metrics(first + again)[0]
    assert (score.value, score.n, score.units) == (pytest.approx(2.5 / 6), 6, 3)
    assert score.method == "wilson"
    assert score.low is not None
    assert score.low < 2.5 / 6


async def test_letters_and_texts_are_read_and_options_moved(tmp_path: Path) -> None:
    rows = [row for n in range(1, 5) for row in problem(f"2steps_{n}")]
    read = tasks("wemath", written(tmp_path, rows), order="hashed")
    assert len({(task.answer or "")[0] for task in read}) > 1
    for task in read[:2]:
        letter = (task.answer or "")[0]
        assert await judged(WeMath(), task, letter, "3000, 4000", "400, 300") == [True, True, False]


def test_options_that_name_points_of_the_picture_are_not_moved(tmp_path: Path) -> None:
    rows = [part("2steps_1", "2steps_1", option="A. F; B. D; C. B; D. No correct answer")]
    (task,) = tasks("wemath", written(tmp_path, rows), order="hashed")
    assert task.question.endswith("A. F\nB. D\nC. B\nD. No correct answer")
    assert task.answer == "C"


def test_parquet_and_tsv_give_the_same_tasks(tmp_path: Path) -> None:
    card = part("2steps_1", "2steps_1", image_path={"bytes": png(), "path": "1-1.png"})
    write_parquet(tmp_path / "testmini-00000-of-00001.parquet", [card])
    row = {
        "index": 0, "image": packed(), "question": card["question"], "A": "300, 400",
        "B": "400, 300", "C": "3000, 4000", "D": "No correct answer", "E": "", "answer": "C",
        "ID": "2steps_1", "key": "2steps_1", "knowledge concept": "Length",
    }  # fmt: skip
    write_tsv(tmp_path / "WeMath.tsv", [row])
    (parquet,) = tasks("wemath", tmp_path)
    (tsv,) = tasks("wemath", tmp_path / "WeMath.tsv")
    for name in ("id", "question", "choices", "answer", "meta"):
        assert getattr(parquet, name) == getattr(tsv, name)


async def test_our_rule_and_that_of_vlmevalkit_differ_where_it_is_said() -> None:
    await assert_differences(WeMath())


def test_mistakes_name_file_and_row(tmp_path: Path) -> None:
    for changes, what in (
        ({"key": "steps"}, "key: expected one like 2steps_1"),
        ({"answer": "E"}, "letter of an option"),
        ({"option": ""}, "letter of an option"),
        ({"question": " "}, "no text"),
        ({"image_path": "2steps/none.png"}, "none.png"),
    ):
        write_json(
            tmp_path / "testmini.json",
            [part("2steps_1", "2steps_1") | changes],
            "2steps/image/1-1.png",
        )
        with pytest.raises(FormatError, match=rf"testmini\.json: row 0: .*{what}"):
            tasks("wemath", tmp_path)
    twice = [*problem("2steps_1"), part("2steps_1", "2steps_1")]
    with pytest.raises(FormatError, match=r"row 3: the id .* is that of .*row 0"):
        tasks("wemath", written(tmp_path, twice))
