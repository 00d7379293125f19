"""TIR-Bench as its authors publish it, and the mistakes of their scorer.

Source: agents-x-project/TIR-Bench at f79c756, calculate_score.py and tools.py.
"""

import json
from pathlib import Path

import pytest
from building import a_trajectory, a_turn, plain
from PIL import Image as PILImage

from saccade.bench.benchmark import Scored
from saccade.bench.scorers.pieces import (
    same_letters,
    same_number,
    same_order,
    same_pair,
    same_set,
    same_words,
)
from saccade.bench.scoring import BenchReward, rule_verdict
from saccade.bench.sets.agents.tir_bench import TirBench
from saccade.bench.source import BenchTasks
from saccade.config import Part
from saccade.errors import FormatError
from saccade.rewards import RewardOptions
from saccade.testing import ScriptedReply, ScriptedServer
from saccade.types import Task, Verdict

JIGSAW = "Please complete the jigsaw puzzle. For example, 1, 16, 15, 2."
COLOUR = "Which is closest to the share of green? (A) 9% (B) 13% (C) 17% (D) 21%"


def row(**changes: object) -> dict[str, object]:
    return {
        "id": 7, "task": "color", "image_1": "data/color/7.jpg", "image_2": None,
        "prompt": COLOUR, "answer": "B", "meta_data": {},
    } | changes  # fmt: skip


def write(folder: Path, *rows: dict[str, object]) -> Path:
    for one in rows:
        for column in ("image_1", "image_2"):
            if isinstance(one.get(column), str):
                path = folder / str(one[column])
                path.parent.mkdir(parents=True, exist_ok=True)
                PILImage.new("RGB", (60, 40), "green").save(path)
    (folder / "TIR-Bench.json").write_text(json.dumps(list(rows)))
    return folder


def tasks(place: Path, order: str = "file") -> list[Task]:
    source = BenchTasks(benchmark=Part(kind="tir_bench"), data=place, order=order)  # type: ignore[arg-type]
    return [*source.tasks(seed=0, max_pixels=10**8)]


def only(folder: Path, **changes: object) -> Task:
    (task,) = tasks(write(folder, row(**changes)))
    return task


async def judged(task: Task, answer: str) -> Verdict:
    return await TirBench().judge(task, answer)


def test_options_at_the_end_of_a_prompt_are_options(tmp_path: Path) -> None:
    task = only(tmp_path)
    assert task.choices == ("9%", "13%", "17%", "21%")
    assert task.question == "Which is closest to the share of green?"
    assert (task.family, task.answer, task.id) == ("color", "B", "tir-7")
    (moved,) = tasks(tmp_path, order="hashed")
    assert sorted(moved.choices) == sorted(task.choices)
    assert moved.choices[ord((moved.answer or "")[0]) - 65] == "13%"


@pytest.mark.parametrize(
    "prompt",
    [
        "Which pair of lines is parallel, A or B?",
        "Which?\nA. one\nB. two\n\nAnswer with a letter.",
        "Which?\nA. one\nC. two",
        "Which?\nA. one\nB. one",
    ],
)
async def test_a_prompt_whose_options_are_not_sure_stays_whole(tmp_path: Path, prompt: str) -> None:
    task = only(tmp_path, prompt=prompt)
    assert (task.choices, task.question) == ((), prompt)
    assert (await judged(task, "The answer is (B)")).correct is True
    assert (await judged(task, "A. one")).correct is False
    assert (await judged(task, "b")).correct is True


def test_two_images_and_the_spellings_of_rows(tmp_path: Path) -> None:
    both = only(tmp_path / "a", image_2="data/color/8.jpg", prompt=f"<image>{COLOUR}")
    assert len(both.images) == 2
    assert "<image>" not in both.question
    named = row(category="maze", id=None, question_id="m-3")
    del named["task"]
    (task,) = tasks(write(tmp_path / "b", named))
    assert (task.family, task.id) == ("maze", "tir-m-3")
    (tmp_path / "b" / "TIR-Bench.json").write_text(json.dumps({"0": row(id=None)}))
    write(tmp_path / "b" / "more", row())
    (tmp_path / "b" / "data" / "color").mkdir(parents=True, exist_ok=True)
    PILImage.new("RGB", (6, 4)).save(tmp_path / "b" / "data" / "color" / "7.jpg")
    (task,) = tasks(tmp_path / "b")
    assert task.id == "tir-0"


@pytest.mark.parametrize(
    ("answer", "correct"),
    [
        ("970", True),
        ("It costs 970 yen.", True),
        ("$970.00", True),
        ("1,970", False),
        ("97", False),
        ("3 or 970", None),
        ("9,970", False),
        ("970, 3", None),
        ("nine hundred and seventy", None),
        ("97000%", None),
        ("x" * 30_000 + "970", None),
    ],
)
def test_a_number_is_the_only_one_of_its_answer(answer: str, correct: bool | None) -> None:
    assert same_number("970", answer, "j").correct is correct


@pytest.mark.parametrize(
    ("answer", "correct"),
    [
        ("[3, 6]", True),
        ("row 3, column 6", True),
        ("For example [1, 2]; here it is [3, 6]", None),
        ("[6, 3]", False),
        ("3, 6", True),
        ("somewhere", None),
    ],
)
def test_a_row_and_a_column_have_an_order(answer: str, correct: bool | None) -> None:
    assert same_pair([3, 6], answer, "j").correct is correct


@pytest.mark.parametrize(
    ("answer", "grade", "correct"),
    [
        ("[11, 2, 6, 7]", 1.0, True),
        ("The cells 2, 6, 7 and 11 differ.", 1.0, True),
        ("[2, 6, 8]", 2 / 5, False),
        ("[]", 0.0, False),
        ("Cells 2, 6 or maybe 7, 8, 9.", None, None),
        ("none that I can see", None, None),
    ],
)
def test_spotted_places_are_graded_by_the_iou_of_sets(
    answer: str, grade: float | None, correct: bool | None
) -> None:
    verdict = same_set([2, 6, 7, 11], answer, "j")
    assert (verdict.correct, verdict.value) == (correct, pytest.approx(grade))


@pytest.mark.parametrize(
    ("answer", "grade", "correct"),
    [
        ("3, 1, 2, 4", 1.0, True),
        ("**3, 1, \n4, 2**, so that the edges of 2 pieces meet", 0.5, False),
        ("3 1 4 2", 0.5, False),
        ("3, 1, 2", 0.0, False),
        ("[3, 1, 2, 4] or [1, 2, 3, 4]", None, None),
        ("I cannot tell", None, None),
        ("1" + " " * 19_000 + "x", None, None),
    ],
)
def test_a_jigsaw_is_graded_by_the_share_of_right_places(
    answer: str, grade: float | None, correct: bool | None
) -> None:
    verdict = same_order([3, 1, 2, 4], answer, "j")
    assert (verdict.correct, verdict.value) == (correct, grade)


@pytest.mark.parametrize(
    ("gold", "answer", "correct"),
    [
        ("CD", "D and C", True),
        ("CD", "CD", True),
        ("CD", "C, D, E", False),
        ("CD", "the lines C and D", None),
        ("B", "A cat", None),
        ("B", "I think B or C", None),
        ("B", "Final answer: B.", True),
    ],
)
def test_letters_are_a_set_and_no_words(gold: str, answer: str, correct: bool | None) -> None:
    assert same_letters(gold, answer, "j").correct is correct


@pytest.mark.parametrize(
    ("answer", "correct"),
    [
        ("MOBI", True),
        ("The sign says 'mobi'.", True),
        ("automobile", None),
        ("not mobi but aires", None),
        ("aires", False),
        ("m o b i", None),
    ],
)
def test_what_a_picture_says_is_whole_words(answer: str, correct: bool | None) -> None:
    assert same_words("mobi", answer, "j").correct is correct


async def test_an_unparsed_choice_does_not_become_the_nearest_letter(tmp_path: Path) -> None:
    """judge_choice: all letters are five edits from "a cat", and the first of them is A."""
    task = only(tmp_path, answer="A")
    assert (await judged(task, "it looks rather green")).correct is not True
    whole = only(tmp_path, prompt="Which animal, A or B?", answer="A")
    verdict = await judged(whole, "a cat")
    assert (verdict.correct, verdict.value, verdict.unread) == (None, None, True)


async def test_an_outage_of_the_judge_is_no_answer_a(tmp_path: Path) -> None:
    """extract_answer.py swallows 100 failures and returns None, which scores as "A"."""
    task = only(tmp_path, prompt="Which animal, A or B?", answer="A")
    task = task.model_copy(update={"judge": "benchmark"})
    episode = a_trajectory(a_turn(answer="a cat"))
    with ScriptedServer(lambda _: ScriptedReply(status=503)) as down:
        judge = {"kind": "llm", "base_url": down.url, "model": "j", "max_retries": 0}
        options = RewardOptions.model_validate({"preset": "benchmark", "judge": [judge]})
        reward = BenchReward(TirBench(), options)
        scored = await reward.apply(task, episode)
        await reward.close()
    assert (scored.verdict, scored.score) == (None, None)
    assert scored.reward_failed
    rule = rule_verdict(scored)
    assert rule is not None
    assert rule.correct is None
    empty = await judged(task, " ")
    assert (empty.correct, empty.reason) == (False, "no answer")


async def test_a_word_is_not_its_anagram_and_two_numbers_are_not_one(tmp_path: Path) -> None:
    """judge_choice sorts the letters of words; judge_int takes "3 or 4" for 34."""
    word = only(tmp_path / "a", prompt="Which animal?", answer="cat")
    assert (await judged(word, "act")).correct is None
    assert (await judged(word, "Cat.")).correct is True
    number = only(tmp_path / "b", prompt="How many?", answer="34")
    assert (await judged(number, "3 or 4")).correct is None


async def test_a_mended_answer_belongs_to_one_picture(tmp_path: Path) -> None:
    """calculate_score.py looks for "60.jpg" in the path, and so replaces that of 160.jpg too."""
    first, second = tasks(
        write(
            tmp_path,
            row(id=1, task="ocr", image_1="data/ocr/60.jpg", prompt="What is it?", answer="x"),
            row(id=2, task="ocr", image_1="data/ocr/160.jpg", prompt="What is it?", answer="bank"),
        )
    )
    assert (first.answer, second.answer) == ("mobi", "bank")
    assert (await judged(first, "mobi")).correct is True
    assert (await judged(second, "bank")).correct is True
    assert (await judged(second, "mobi")).correct is False


@pytest.mark.parametrize(
    ("changes", "answer", "value"),
    [
        ({"task": "jigsaw", "prompt": JIGSAW, "answer": "3, 1, 2, 4"}, "3, 1, 4, 2", 0.5),
        ({"task": "spot_difference", "prompt": "Where?", "answer": "[2, 3]"}, "[2]", 0.5),
        ({"task": "spot_difference", "prompt": "How many?", "answer": 6}, "6", 1.0),
        ({"task": "word_search", "prompt": "Where?", "answer": [3, 6]}, "[3, 6]", 1.0),
        ({"task": "word_search", "prompt": "How many?", "answer": "1"}, "once: 1", 1.0),
        ({"task": "instrument", "prompt": "Read it.", "answer": 11.1}, "11.1 kg/cm2", 1.0),
        ({"task": "symbolic", "prompt": "Which lines?", "answer": "CD"}, "C and D", 1.0),
    ],
)
async def test_the_rule_of_a_task(
    tmp_path: Path, changes: dict[str, object], answer: str, value: float
) -> None:
    assert (await judged(only(tmp_path, **changes), answer)).value == value


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ([row(), row()], r"row 1: the id 'tir-7' is that of .*row 0"),
        ([row(prompt=None)], r"row 0: .*prompt"),
        ([row(answer="")], r"row 0: answer: empty"),
        ([row(task="jigsaw", answer="upside down")], r"row 0: answer: expected the order"),
        ([row(image_1=None)], r"row 0: image_1: no image"),
        ([row(answer="K")], None),
    ],
)
def test_a_mistake_names_file_and_row(
    tmp_path: Path, rows: list[dict[str, object]], wanted: str | None
) -> None:
    write(tmp_path, *rows)
    if wanted is None:  # a letter that no option has: the prompt stays whole
        assert tasks(tmp_path)[0].choices == ()
        return
    with pytest.raises(FormatError, match=wanted):
        tasks(tmp_path)


def test_a_picture_that_cannot_be_read_names_file_and_row(tmp_path: Path) -> None:
    write(tmp_path, row())
    (tmp_path / "data" / "color" / "7.jpg").write_bytes(b"no image")
    with pytest.raises(FormatError, match=r"TIR-Bench\.json: row 0: image_1"):
        tasks(tmp_path)


def test_its_number_is_the_mean_of_grades_by_task() -> None:
    """By hand: (1 + 0.5 + 0) / 3, and 0.25 of the two jigsaws."""
    values = [("color", 1.0), ("jigsaw", 0.5), ("jigsaw", 0.0)]
    scored = [
        Scored(
            Task(id=f"t{n}", prompt=(plain(4, 4), "?"), source="tir_bench", meta={"family": task}),
            a_trajectory(a_turn(answer="x")),
            value,
        )
        for n, (task, value) in enumerate(values)
    ]
    found = {metric.group: metric.value for metric in TirBench().metrics(scored)}
    assert found == {"all": 0.5, "color": 1.0, "jigsaw": 0.25}
