"""CharXiv. Format: princeton-nlp/CharXiv, data/*_val.json and src/constants.py; lmms-eval,
lmms_eval/tasks/charxiv/utils.py (the parquet); VLMEvalKit, vlmeval/dataset/charxiv.py."""

from pathlib import Path

import pytest
from maths_sets import (
    Told,
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

from saccade.bench.scorers.charts.charxiv import DESCRIPTIVE, question_of
from saccade.bench.sets.charts.charxiv import CharXiv
from saccade.errors import FormatError

REASONING = {
    "figure_id": 0, "query": "Which model declines more?", "answer": "Joint-CNN",
    "inst_category": 1, "qa_source": 3,
}  # fmt: skip
FIGURE = {
    "figure_id": 0, "num_subplots": 2, "subplot_loc": [1, 2], "qids": [7, 13, 11, 18],
    "answers": ["60", "Ft-CNN, iCaRL*", "Yes", "1 by 2"],
}  # fmt: skip


def written(folder: Path, *figures: dict[str, object], mode: str = "reasoning") -> Path:
    content = {str(figure["figure_id"]): figure for figure in figures}
    pictures = [f"../images/{figure['figure_id']}.jpg" for figure in figures]
    (folder / "images").mkdir(exist_ok=True)
    write_json(folder / "data" / f"{mode}_val.json", content, *pictures)
    return folder


def reasoning(folder: Path, kind: int, answer: str) -> Path:
    return written(folder, REASONING | {"inst_category": kind, "answer": answer})


def test_a_figure_has_one_question_of_one_mode_and_four_of_the_other(tmp_path: Path) -> None:
    place = written(tmp_path, REASONING)
    written(tmp_path, FIGURE, mode="descriptive")
    (task,) = tasks("charxiv", place)
    assert (task.id, task.family, task.answer) == (
        "charxiv-reasoning-0", "text in chart", "Joint-CNN",
    )  # fmt: skip
    read = tasks("charxiv", place, mode="descriptive")
    assert [task.id for task in read] == [f"charxiv-descriptive-0-{n}" for n in range(4)]
    assert read[0].question.startswith("In the subplot at row 1 and column 2, give the highest")
    assert read[3].question.startswith("How are the subplots arranged?")
    assert {task.meta["unit"] for task in read} == {"charxiv-0"}


def test_every_number_of_a_descriptive_question_has_words() -> None:
    assert sorted(DESCRIPTIVE) == [*range(1, 20)]
    for qid, template in DESCRIPTIVE.items():
        in_words = question_of(qid, "the bottom subplot")
        assert in_words.startswith("How" if template.whole else "In the bottom subplot, ")
        assert question_of(qid, [0, 0]).startswith("How" if template.whole else "In this plot, ")


@pytest.mark.parametrize(
    ("kind", "gold", "answer", "right"),
    [
        (1, "Joint-CNN", "joint-cnn", True), (1, "Joint-CNN", "Ours", None),
        (1, "(b)", "(b)", True),
        (3, "0.01", "10^-2", True), (3, "0.01", "0.012", False), (3, "40,000", "40000", True),
        (3, "1e+06", "1000000", True), (4, "9.17", "9.17", True), (4, "9.17", "9.2", False),
        (4, "3", "three", True), (4, "3", "3 of them", None), (2, "Increase", "It rises", None),
        (1, "Joint-CNN", "", False),
    ],
)  # fmt: skip
async def test_reasoning_answers(
    kind: int, gold: str, answer: str, right: bool | None, tmp_path: Path
) -> None:
    (task,) = tasks("charxiv", reasoning(tmp_path, kind, gold))
    assert await judged(CharXiv(), task, answer) == [right]


@pytest.mark.parametrize(
    ("qid", "gold", "answer", "right"),
    [
        (7, "60", "60.0", True), (7, "60", "50", False), (6, "10^-6", "1e-6", True),
        (11, "Yes", "no", False), (11, "Not Applicable", "Yes", False), (11, "yes", "Yes", True),
        (15, "Not Applicable", "N/A", True), (15, "Not Applicable", "1.0", False),
        (15, "1.0", "Not Applicable", False), (15, "Not Applicable", "There is no bar", None),
        (13, "a, b", "b, a", True), (13, "a, b", "a", None), (18, "1 by 2", "1x2", True),
        (18, "1 by 2", "2 by 1", False), (1, "Not Applicable", "Loss", None),
        (16, "increases", "rises", None), (2, "W_H", "W_H", True),
    ],
)  # fmt: skip
async def test_descriptive_answers(
    qid: int, gold: str, answer: str, right: bool | None, tmp_path: Path
) -> None:
    figure = FIGURE | {"qids": [qid], "answers": [gold]}
    (task,) = tasks("charxiv", written(tmp_path, figure, mode="descriptive"), mode="descriptive")
    assert await judged(CharXiv(), task, answer) == [right]


async def test_a_judge_is_told_what_counts_for_this_kind_of_answer(tmp_path: Path) -> None:
    place = written(tmp_path, FIGURE, mode="descriptive")
    told = Told()
    judge = CharXiv(mode="descriptive").judging(told)
    for task in tasks("charxiv", place, mode="descriptive"):
        await judge.judge(task, "perhaps")
    asked = [task.question.rpartition("\n")[2] for task in told.seen]
    assert [text.split(" right only if it ")[1][:8] for text in asked] == [
        "is the s", "has the ", "comes to", "has the ",
    ]  # fmt: skip
    assert all("Not Applicable" in text for text in asked)
    assert judge.name.startswith("told+")


def test_groups_are_kinds_and_the_questions_of_a_figure_one_unit(tmp_path: Path) -> None:
    place = written(tmp_path, FIGURE, mode="descriptive")
    read = tasks("charxiv", place, mode="descriptive")
    found = {m.group: m for m in CharXiv().metrics([scored(t, n < 1) for n, t in enumerate(read)])}
    assert (found["all"].value, found["all"].n, found["all"].units) == (0.25, 4, 1)
    assert found["kind: information extraction"].value == 1
    assert found["kind: pattern recognition"].n == 2
    assert numbers(CharXiv(), [])["accuracy", "all"] is None


def test_the_parquet_and_the_tsv(tmp_path: Path) -> None:
    """In the parquet the kind of an answer is `reasoning_a_type`; its source is another column."""
    card: dict[str, object] = {
        "image": {"bytes": png(), "path": "0.jpg"}, "figure_path": "images/0.jpg",
        "subplot_row": 1, "subplot_col": 2, "subplot_loc": None, "reasoning_q_source": 3,
        "reasoning_q": REASONING["query"], "reasoning_a": "Joint-CNN", "reasoning_a_type": 1,
    }  # fmt: skip
    for number, (qid, answer) in enumerate(zip([7, 13, 11, 18], "abcd", strict=True), 1):
        card |= {f"descriptive_q{number}": qid, f"descriptive_a{number}": answer}
    write_parquet(tmp_path / "val.parquet", [card])
    (task,) = tasks("charxiv", tmp_path)
    assert (task.id, task.family) == ("charxiv-reasoning-0", "text in chart")
    read = tasks("charxiv", tmp_path, mode="descriptive")
    assert [task.answer for task in read] == [*"abcd"]
    assert read[0].question.startswith("In the subplot at row 1 and column 2, ")
    row = {"index": 0, "image": packed(), "question": "What is the highest tick?", "answer": "60",
           "qid": 7, "grading_query": "..."}  # fmt: skip
    write_tsv(tmp_path / "CharXiv_descriptive_val.tsv", [row])
    (tsv,) = tasks("charxiv", tmp_path / "CharXiv_descriptive_val.tsv", mode="descriptive")
    assert (tsv.question, tsv.family) == ("What is the highest tick?", "information extraction")


def test_mistakes_name_file_and_row(tmp_path: Path) -> None:
    for mode, figure, changes, what in (
        ("reasoning", REASONING, {"inst_category": 9}, "expected 1 to 4, got '9'"),
        ("reasoning", REASONING, {"answer": ""}, "answer: empty"),
        ("reasoning", REASONING, {"query": ""}, "no text"),
        ("descriptive", FIGURE, {"qids": [7, 20, 11, 18]}, "expected 1 to 19, got 20"),
        ("descriptive", FIGURE, {"qids": [7]}, "as many as answers, got 1 and 4"),
    ):
        place = written(tmp_path, figure | changes, mode=mode)
        with pytest.raises(FormatError, match=rf"{mode}_val\.json: '0': .*{what}"):
            tasks("charxiv", place, mode=mode)
    (written(tmp_path, REASONING) / "images" / "0.jpg").unlink()
    with pytest.raises(FormatError, match=r"reasoning_val\.json: '0': .*0\.jpg"):
        tasks("charxiv", tmp_path)
