"""DynaMath. Format: DynaMath/DynaMath, samples and result/10trials/trial1/dataset.json, and the
data card of DynaMath/DynaMath_Sample; VLMEvalKit, vlmeval/dataset/dynamath.py."""

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

from saccade.bench.sets.maths.dynamath import DynaMath
from saccade.errors import FormatError
from saccade.types import Task

FLOAT = {
    "question": "What is the period? Answer the question with a floating-point number.",
    "answer": "2.0944", "image": "image/image1.png", "answer_type": "float",
    "subject": "analytic     geometry", "level": "high school",
}  # fmt: skip
CHOICE = FLOAT | {
    "question": "Is it monotonic? choice: (A) Yes (B) No", "answer": "B",
    "answer_type": "multiple choice", "subject": "algebra",
}  # fmt: skip
TEXT = FLOAT | {"question": "Which month?", "answer": "May", "answer_type": "text"}


def written(folder: Path, trials: int = 1, **questions: dict[str, object]) -> Path:
    content = questions or {"1": FLOAT, "2": CHOICE, "3": TEXT}
    for trial in range(1, trials + 1):
        write_json(folder / f"trial{trial}" / "dataset.json", content, "image/image1.png")
    return folder


def test_the_variant_is_the_folder_and_the_unit_the_question(tmp_path: Path) -> None:
    read = tasks("dynamath", written(tmp_path, 2))
    assert [task.id for task in read[::3]] == ["dynamath-1-1", "dynamath-1-2"]
    assert read[0].meta["unit"] == read[3].meta["unit"] == "dynamath-1"
    assert read[0].family == "analytic geometry"
    assert read[1].meta["shown_options"] == ["Yes", "No"]


@pytest.mark.parametrize(
    ("place", "answer", "right"),
    [
        (0, "2.0944", True), (0, "2.0950", True), (0, "2.096", False), (0, "2π/3", True),
        (0, '{"solution": "...", "short answer": "2.094"}', True), (0, "2.1", False),
        (0, '{"short answer": 2.094}', True),
        (1, "B", True), (1, "No", True), (1, '{"short answer": "(B) No"}', True), (1, "A", False),
        (2, "May", True), (2, "may.", True), (2, '{"short answer": ""}', False), (2, "", False),
    ],
)  # fmt: skip
async def test_answers_are_judged_by_type(
    place: int, answer: str, right: bool, tmp_path: Path
) -> None:
    task = tasks("dynamath", written(tmp_path))[place]
    assert await judged(DynaMath(), task, answer) == [right]


def test_worst_case_is_the_share_of_questions_with_all_variants_right(tmp_path: Path) -> None:
    """By hand: of 3 variants, question 1 has all right, 2 has two, and of 3 one is not scored."""
    read = tasks("dynamath", written(tmp_path, 3))
    values = {"1": [1, 1, 1], "2": [1, 0, 1], "3": [1, None, 1]}
    attempts = [
        scored(task, values[task.id.split("-")[1]][int(task.id.split("-")[2]) - 1]) for task in read
    ]
    found = {(m.name, m.group): m for m in DynaMath(variants=3).metrics(attempts)}
    average, worst = found["average accuracy", "all"], found["worst-case accuracy", "all"]
    assert (average.value, average.n, average.units) == (7 / 8, 8, 3)
    assert (worst.value, worst.n) == (0.5, 2)
    assert found["worst-case accuracy", "subject: algebra"].value == 0
    assert numbers(DynaMath(), attempts)["worst-case accuracy", "all"] is None
    fewer = {(m.name, m.group): m for m in DynaMath(variants=2).metrics(attempts)}
    assert fewer["worst-case accuracy", "all"].n == 2  # what is not scored may be the worst


def test_samples_are_worst_cases_of_their_own(tmp_path: Path) -> None:
    (task,) = tasks("dynamath", written(tmp_path, **{"1": FLOAT}))
    attempts = [scored(task, value, sample) for sample, value in enumerate((1, 0))]
    assert numbers(DynaMath(variants=1), attempts)["worst-case accuracy", "all"] == 0.5


async def test_our_rule_and_that_of_vlmevalkit_differ_where_it_is_said() -> None:
    await assert_differences(DynaMath())


@pytest.mark.parametrize(
    ("kind", "gold", "reply", "value"),
    [
        ("float", "2", '{"short answer": "2.0005"}', 1), ("float", "2", '{"short answer": "3"}', 0),
        ("float", "3.1416", '{"short answer": "1π"}', 1),
        ("float", "2", '{"short answer": 2}', None),
        ("float", "2", "2.0 m", 1), ("float", "2", "about 2", None),
        ("multiple choice", "B", '{"short answer": "(B)"}', 1),
        ("multiple choice", "B", "B or C", None),
        ("multiple choice", "B", '{"short answer": "No"}', None), ("text", "May", "", 1),
        ("text", "May", '{"short answer": "June"}', 0), ("text", "5", '{"short answer": 5}', None),
    ],
)  # fmt: skip
def test_the_scorer_of_vlmevalkit_is_restated(
    kind: str, gold: str, reply: str, value: float | None
) -> None:
    """By hand from DynaMath_auxeval and parse_answer at e8e78f05."""
    task = Task(id="t", prompt=("?",), answer=gold, meta={"answer_type": kind})
    assert DynaMath().compat(task, reply) == value


def test_parquet_and_tsv_give_the_same_tasks(tmp_path: Path) -> None:
    card = {
        "id": "7", "question": CHOICE["question"], "image": "images/7.png", "ground_truth": "B",
        "decoded_image": {"bytes": png(), "path": None}, "answer_type": "multiple choice",
        "subject": "algebra", "knowledge_level": "high school",
    }  # fmt: skip
    for variant in (3, 10):
        name = f"sample{variant}-00000-of-00001.parquet"
        write_parquet(tmp_path / "p" / "data" / name, [card])
    row = {
        "index": 0, "qid": 7, "varid": 3, "image": packed(), "question": CHOICE["question"],
        "answer": "B", "answer_type": "multiple choice", "subject": "algebra",
        "knowledge_level": "high school",
    }  # fmt: skip
    write_tsv(tmp_path / "DynaMath.tsv", [row])
    parquet = tasks("dynamath", tmp_path / "p")
    (tsv,) = tasks("dynamath", tmp_path / "DynaMath.tsv")
    assert {task.id for task in parquet} == {"dynamath-7-3", "dynamath-7-10"}
    third = next(task for task in parquet if task.id == tsv.id)
    assert (third.question, third.answer, third.meta) == (tsv.question, tsv.answer, tsv.meta)


def test_mistakes_name_file_and_row(tmp_path: Path) -> None:
    wrong: list[tuple[dict[str, object], str]] = [
        (CHOICE | {"answer": "Yes"}, "letter of an option"),
        (FLOAT | {"answer": ""}, "answer: empty"),
        (FLOAT | {"question": ""}, "no text"),
        (FLOAT | {"image": "image/none.png"}, "none.png"),
        ({k: v for k, v in FLOAT.items() if k != "answer_type"}, "answer_type: missing"),
    ]
    for question, what in wrong:
        with pytest.raises(FormatError, match=rf"dataset\.json: '4': .*{what}"):
            tasks("dynamath", written(tmp_path, **{"4": question}))
