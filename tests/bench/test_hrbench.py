"""HR-Bench. Format: the data card of DreamMr/HR-Bench, and vlmeval/dataset/utils/hrbench.py."""

from pathlib import Path

import pytest
from tables import packed, scored, tasks, values, write_parquet, write_tsv

from saccade.bench.benchmark import unit_of
from saccade.bench.sets.highres.hrbench import HRBench4K
from saccade.bench.source import BenchTasks
from saccade.config import Part
from saccade.errors import FormatError
from saccade.types import Task

COLOURS = ("red", "blue", "green", "white")


def cycles(number: int, category: str, colour: str) -> list[dict[str, object]]:
    """The four rows of a question, as they stand in the file: the right option goes round."""
    made = []
    for turn in range(4):
        options = [COLOURS[(k - turn) % 4] for k in range(4)]
        made.append(
            {
                "index": 4 * number + turn, "question": f"What colour is thing {number}?",
                "answer": "ABCD"[turn], "category": category,
                **dict(zip("ABCD", options, strict=True)),
                "cycle_category": f"cycle_{turn}", "image": packed(colour=colour),
            }
        )  # fmt: skip
    return made


@pytest.fixture
def asked(tmp_path: Path) -> list[Task]:
    rows = [*cycles(0, "single", "red"), *cycles(1, "cross", "red"), *cycles(2, "cross", "blue")]
    return tasks("hrbench_4k", write_tsv(tmp_path / "hr_bench_4k.tsv", *rows), order="hashed")


def test_four_rows_are_one_question_and_their_options_stay(asked: list[Task]) -> None:
    assert len({unit_of(task) for task in asked}) == 3
    assert [(task.answer or "")[:2] for task in asked[:4]] == ["A.", "B.", "C.", "D."]
    assert {(task.answer or "")[3:] for task in asked} == {"red"}
    assert [task.family for task in asked[::4]] == ["FSP", "FCP", "FCP"]
    assert all("order" not in task.meta for task in asked)
    assert "balanced" in str(asked[0].meta["order_kept"])


def test_the_metric_is_the_mean_over_the_cycles(asked: list[Task]) -> None:
    right = [1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1]  # question by question
    found = values(HRBench4K(), [scored(t, float(v)) for t, v in zip(asked, right, strict=True)])
    assert found["accuracy", "all"] == pytest.approx(7 / 12)
    assert found["accuracy", "FSP"] == 1.0
    assert found["accuracy", "FCP"] == pytest.approx(3 / 8)
    assert found["all cycles right", "all"] == pytest.approx(1 / 3)
    assert found["all cycles right", "FCP"] == 0.0


def test_cycles_count_alike_where_one_has_lost_attempts(asked: list[Task]) -> None:
    """By hand: cycle 0 has one attempt, which is right; the others three, all wrong."""
    held = [scored(t, 1.0 if n == 0 else None if n % 4 == 0 else 0.0) for n, t in enumerate(asked)]
    found = values(HRBench4K(), held)
    assert found["accuracy", "all"] == pytest.approx((1 + 0 + 0 + 0) / 4)
    assert found["all cycles right", "all"] == 0.0  # of the one question that is scored whole


def test_intervals_are_of_questions_not_of_rows(asked: list[Task]) -> None:
    metric = HRBench4K().metrics([scored(task, 1.0) for task in asked])[0]
    assert (metric.n, metric.units) == (12, 3)


def test_the_parquet_file_has_the_same_tasks(tmp_path: Path, asked: list[Task]) -> None:
    rows = [*cycles(0, "single", "red"), *cycles(1, "cross", "red"), *cycles(2, "cross", "blue")]
    write_parquet(tmp_path / "p" / "hr_bench_4k.parquet", *rows)
    assert tasks("hrbench_4k", tmp_path / "p") == asked


def test_two_options_of_one_text_are_told_apart_by_their_letters(tmp_path: Path) -> None:
    row = cycles(0, "single", "red")[0] | {"B": "red"}
    (task,) = tasks("hrbench_4k", write_tsv(tmp_path / "hr_bench_4k.tsv", row))
    assert task.answer == "A"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"answer": "E"}, r"row 1: answer: expected one of A, B, C, D .* got 'E'"),
        ({"answer": ""}, r"row 1: answer"),
        ({"image": "x" * 90}, r"row 1: image"),
        ({"question": " "}, r"row 1: question"),
        ({"index": 0}, r"row 1: the id 'hrbench_4k-0' is that of .*row 0"),
    ],
)
def test_mistakes_name_file_and_row(tmp_path: Path, change: dict[str, object], match: str) -> None:
    first, second, *_ = cycles(0, "single", "red")
    file = write_tsv(tmp_path / "hr_bench_4k.tsv", first, second | change)
    with pytest.raises(FormatError, match=rf"hr_bench_4k\.tsv: {match}"):
        tasks("hrbench_4k", file)


def test_a_folder_without_the_file_says_what_is_expected(tmp_path: Path) -> None:
    source = BenchTasks(benchmark=Part(kind="hrbench_8k"), data=tmp_path)
    with pytest.raises(FormatError, match=r"hr_bench_8k\.tsv"):
        source.count()
