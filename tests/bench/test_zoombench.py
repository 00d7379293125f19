"""ZoomBench. Format: inclusionAI/Zooming-without-Zooming, utils/convert_benchmark.py; the card."""

from pathlib import Path

import pytest
from looked_up import figures, parquet, png, scored, tasks

from saccade.bench.sets.highres.zoombench import ZoomBench
from saccade.errors import FormatError

OPTIONS = "How many table lamps are in the image? Select from the following choices.\n(A) 0\n(B) 2"


def a_row(number: int = 0, **changes: object) -> dict[str, object]:
    return {
        "id": number,
        "query": "What is written on the badge?",
        "response": "NASA",
        "question_type": "oq",
        "dimension": "OCR" if number % 2 else "Counting",
        "image": {"bytes": png(9), "path": None},
        "crop_image": {"bytes": png(5), "path": None},
    } | changes


def options(**changes: object) -> dict[str, object]:
    return a_row(**({"query": OPTIONS, "response": "B", "question_type": "mcq"} | changes))  # type: ignore[arg-type]


def test_the_whole_image_is_shown_or_its_crop(tmp_path: Path) -> None:
    parquet(tmp_path / "data" / "test.parquet", [a_row()])
    (whole,) = tasks("zoombench", tmp_path)
    (crop,) = tasks("zoombench", tmp_path, view="crop")
    assert (whole.id, whole.images[0].size) == ("zoombench-0", (9, 9))
    assert (crop.id, crop.images[0].size) == ("zoombench-0", (5, 5))
    assert whole.family == "Counting"


def test_the_dual_view_asks_each_question_twice_as_one_unit(tmp_path: Path) -> None:
    file = parquet(tmp_path / "test.parquet", [a_row(0), a_row(1, crop_image=None)])
    asked = tasks("zoombench", file, view="dual")
    assert [task.id for task in asked] == ["zoombench-0+full", "zoombench-0+crop"]
    assert {task.meta["unit"] for task in asked} == {"zoombench-0"}
    assert len(tasks("zoombench", file)) == 2, "a question without a crop is in the full view"


def test_a_part_of_the_dual_view_holds_both_views_of_a_question(tmp_path: Path) -> None:
    file = parquet(tmp_path / "test.parquet", [a_row(n) for n in range(9)])
    asked = tasks("zoombench", file, n=4, view="dual")
    assert len(asked) == 8
    assert len({task.meta["unit"] for task in asked}) == 4


@pytest.mark.parametrize("response", ["B", "(B)", "B. 2", "b", "2"])
def test_options_at_the_end_of_a_question_are_options(tmp_path: Path, response: str) -> None:
    (task,) = tasks("zoombench", parquet(tmp_path / "test.parquet", [options(response=response)]))
    assert task.choices == ("0", "2")
    assert task.answer == "B. 2"
    assert task.question.endswith("Select from the following choices.")


@pytest.mark.parametrize(
    "query", ["Which of these?\n(A) 0\n(C) 2", "Which?\n(A) only one", "Which? (A) 0 (B) 2"]
)
def test_what_is_no_list_of_options_stays_in_the_question(tmp_path: Path, query: str) -> None:
    (task,) = tasks("zoombench", parquet(tmp_path / "test.parquet", [options(query=query)]))
    assert task.choices == ()
    assert task.question == query
    assert task.answer == "B"


def test_an_open_answer_that_begins_with_a_letter_is_no_option(tmp_path: Path) -> None:
    (task,) = tasks("zoombench", parquet(tmp_path / "test.parquet", [options(response="a dog")]))
    assert (task.choices, task.answer) == ((), "a dog")


async def test_options_and_open_answers_are_judged_each_in_their_way(tmp_path: Path) -> None:
    file = parquet(tmp_path / "test.parquet", [options(number=0), a_row(1)])
    choice, text = tasks("zoombench", file)
    judge = ZoomBench().judge
    assert [(await judge(choice, a)).correct for a in ("B", "A", "(B) 2")] == [True, False, True]
    assert [(await judge(text, a)).correct for a in ("nasa", "ESA")] == [True, None]


def test_the_gap_is_paired_by_question(tmp_path: Path) -> None:
    file = parquet(tmp_path / "test.parquet", [a_row(n) for n in range(4)])
    asked = tasks("zoombench", file, view="dual")
    full_and_crop = [(1, 1), (0, 1), (0, 1), (0, None)]
    values = [None if v is None else float(v) for pair in full_and_crop for v in pair]
    attempts = [scored(t, "NASA", v) for t, v in zip(asked, values, strict=True)]
    metrics = {(m.name, m.group): m for m in ZoomBench(view="dual").metrics(attempts)}
    found = figures([*metrics.values()])
    assert found["accuracy", "all"] == 0.25, "of the whole images"
    assert found["accuracy", "Counting"] == 0.5
    assert found["crop accuracy", "all"] == 1.0
    gap = metrics["zooming gap", "all"]
    assert (gap.n, gap.method) == (3, "paired")
    assert gap.value == pytest.approx(2 / 3)
    # Bonett and Price: two gained, none lost of 3, with one of each added.
    centre = 2 / 5
    half = 1.959964 * ((4 / 5 - centre**2) / 5) ** 0.5
    assert gap.low == pytest.approx(centre - half, abs=1e-5)
    assert gap.high == pytest.approx(min(1, centre + half), abs=1e-5)
    assert found["right in both views", "all"] == 0.333
    assert found["right in the crop alone", "all"] == 0.667
    assert found["right in the full view alone", "all"] == 0
    assert found["right in neither view", "all"] == 0


def test_one_view_has_the_accuracy_alone(tmp_path: Path) -> None:
    file = parquet(tmp_path / "test.parquet", [a_row(0), a_row(1)])
    asked = tasks("zoombench", file, view="crop")
    found = figures(ZoomBench(view="crop").metrics([scored(t, "NASA", 1.0) for t in asked]))
    assert set(found) == {("accuracy", "all"), ("accuracy", "Counting"), ("accuracy", "OCR")}


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"response": ""}, "response"), ({"image": {"bytes": b"x"}}, "image"),
     ({"id": 0}, "zoombench-0.*row 0")],
)  # fmt: skip
def test_a_row_that_cannot_be_used_is_named(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    rows = [a_row(0, image={"bytes": png()}), a_row(1, image={"bytes": png()}) | changes]
    with pytest.raises(FormatError, match=rf"test\.parquet: row 1.*{message}"):
        tasks("zoombench", parquet(tmp_path / "test.parquet", rows))


def test_the_columns_of_the_card_are_read_and_missing_ones_named(tmp_path: Path) -> None:
    row = {"prompt": "What?", "answer": "NASA", "image": {"bytes": png()}}
    (task,) = tasks("zoombench", parquet(tmp_path / "a.parquet", [row]))
    assert (task.id, task.answer) == ("zoombench-0", "NASA")
    with pytest.raises(FormatError, match=r"b\.parquet: row 0.*response"):
        tasks("zoombench", parquet(tmp_path / "b.parquet", [{"query": "What?"}]))
