"""ChartQA. Format: vis-nlp/ChartQA, ChartQA Dataset/test; data card of HuggingFaceM4/ChartQA;
lmms-eval, lmms_eval/tasks/chartqa; VLMEvalKit, vlmeval/dataset/utils/vqa_eval.py."""

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

from saccade.bench.scorers.charts.relaxed import judge_relaxed
from saccade.bench.sets.charts.chartqa import ChartQA
from saccade.errors import FormatError
from saccade.types import Task

HUMAN = {"imgname": "1.png", "query": "How many bars are shown?", "label": "14"}
MACHINE = {"imgname": "2.png", "query": "What was the leading chain?", "label": "Mercadona"}


def written(folder: Path) -> Path:
    test = folder / "test"
    write_json(test / "test_human.json", [HUMAN, HUMAN], "png/1.png")
    write_json(test / "test_augmented.json", [MACHINE], "png/2.png")
    return folder


def test_the_two_files_are_two_groups(tmp_path: Path) -> None:
    read = tasks("chartqa", written(tmp_path))
    assert [task.family for task in read] == ["augmented", "human", "human"]
    assert len({task.id for task in read}) == 3
    assert read[1].question.startswith("How many bars are shown?\n")
    found = numbers(ChartQA(), [scored(task, n != 0) for n, task in enumerate(read)])
    assert found["relaxed accuracy", "questions: human"] == 1
    assert found["relaxed accuracy", "all"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("gold", "answer", "question", "right"),
    [
        ("14", "14", "How many?", True), ("100", "104.9", "What value?", True),
        ("100", "106", "What value?", False), ("0.57", "0.56", "How much?", True),
        ("2014", "2014", "When is the peak?", True), ("2014", "2013", "When is the peak?", False),
        ("1625", "1600", "How many people?", True), ("2000", "1990", "How many years?", True),
        ("6.8", "6.8%", "What percentage?", True), ("6.8", "7%", "What percentage?", True),
        ("6.8", "9%", "What percentage?", False), ("62%", "0.62", "What share?", True),
        ("0", "0.0", "How many?", True), ("0", "1", "How many?", False),
        ("31846", "31,846", "What value?", True), ("26", "26 ships", "How many ships?", True),
        ("26", "26 dollars", "How much?", True), ("5", "5 million", "How many?", None),
        ("4", "four", "How many?", True), ("-3", "3", "How much?", False),
        ("Yes", "Yes.", "Is it?", True), ("Yes", "No", "Is it?", False),
        ("Yes", "Yes, it is more", "Is it?", None), ("green line", "Green Line", "Which?", True),
        ("Italy", "Mexico", "Which country?", False), ("Italy", "", "Which country?", False),
        ("5G", "5", "Which network?", False), ("[58, 56]", "58", "Which two?", None),
    ],
)  # fmt: skip
def test_numbers_are_right_within_five_percent_and_years_exactly(
    gold: str, answer: str, question: str, right: bool | None
) -> None:
    assert judge_relaxed([gold], answer, question).correct is right


async def test_our_rule_and_that_of_vlmevalkit_differ_where_it_is_said() -> None:
    await assert_differences(ChartQA())


@pytest.mark.parametrize(
    ("gold", "reply", "value"),
    [("100", "104", 1), ("100", "106", 0), ("Italy", "italy", 1), ("Italy", "Italy.", 0),
     ("0", "0", 1), ("62%", "0.62", 1), ("5", "The answer is 5", 0)],
)  # fmt: skip
def test_the_scorer_of_vlmevalkit_is_restated(gold: str, reply: str, value: float) -> None:
    """By hand from relaxed_correctness at e8e78f05."""
    assert ChartQA().compat(Task(id="t", prompt=("?",), answer=gold), reply) == value


def test_three_tables_give_the_same_tasks(tmp_path: Path) -> None:
    image = {"bytes": png(), "path": None}
    card = {"image": image, "query": HUMAN["query"], "label": ["14"], "human_or_machine": 0}
    other = {"image": image, "question": HUMAN["query"], "answer": "14", "type": "human_test"}
    row = {"index": 0, "image": packed(), "question": HUMAN["query"], "answer": "14"}
    write_parquet(tmp_path / "a" / "data" / "test-00000-of-00001.parquet", [card])
    write_parquet(tmp_path / "b" / "test-00000-of-00001.parquet", [other])
    write_tsv(tmp_path / "ChartQA_TEST.tsv", [row | {"split": "test_human"}])
    read = [tasks("chartqa", tmp_path / name)[0] for name in ("a", "b", "ChartQA_TEST.tsv")]
    for name in ("question", "answer", "meta"):
        assert len({str(getattr(task, name)) for task in read}) == 1


async def test_a_label_that_is_written_as_a_list_is_one_answer(tmp_path: Path) -> None:
    write_json(tmp_path / "test_human.json", [HUMAN | {"label": "[58, 56]"}], "png/1.png")
    (task,) = tasks("chartqa", tmp_path)
    assert task.answer == "[58, 56]"
    assert await judged(ChartQA(), task, "[58, 56]", "58") == [True, None]


def test_mistakes_name_file_and_row(tmp_path: Path) -> None:
    for changes, what in (
        ({"label": ""}, "no answer"),
        ({"query": ""}, "no text"),
        ({"imgname": "none.png"}, "none.png"),
    ):
        write_json(tmp_path / "test_human.json", [HUMAN, HUMAN | changes], "png/1.png")
        with pytest.raises(FormatError, match=rf"test_human\.json: row 1: .*{what}"):
            tasks("chartqa", tmp_path)
    write_json(tmp_path / "test_human.json", [{"imgname": "1.png", "query": "?"}], "png/1.png")
    with pytest.raises(FormatError, match=r"test_human\.json: row 0: label: missing"):
        tasks("chartqa", tmp_path)
    (tmp_path / "png" / "1.png").write_bytes(b"no picture")
    write_json(tmp_path / "test_human.json", [HUMAN])
    with pytest.raises(FormatError, match=r"test_human\.json: row 0: image"):
        tasks("chartqa", tmp_path)
