"""Any TSV file of VLMEvalKit, and V*Bench in one. Format: vlmeval/dataset/image_mcq.py."""

from pathlib import Path

import pytest
from tables import packed, scored, tasks, values, write_tsv

from saccade.bench.benchmark import unit_of
from saccade.bench.scoring import BenchReward
from saccade.bench.sets.options.tsv import VLMEvalKit
from saccade.errors import FormatError
from saccade.rewards import RewardOptions


def row(index: object, **fields: object) -> dict[str, object]:
    usual = {"image": packed(), "question": "Which?", "A": "red", "B": "blue", "answer": "B"}
    return {"index": index, **usual, **fields}


def test_columns_a_and_b_make_options_and_a_hint_comes_first(tmp_path: Path) -> None:
    file = write_tsv(tmp_path / "Mine.tsv", row(3, hint="Look left.", category="x", split="dev"))
    (task,) = tasks("vlmevalkit", file)
    assert (task.id, task.source, task.family) == ("Mine-3", "Mine", "x")
    assert task.question == "Look left.\nWhich?"
    assert task.answer == "B. blue"
    assert task.meta["groups"] == ["dev", "x"]
    assert task.meta["columns"] == {"category": "x", "split": "dev"}


async def test_without_options_the_answer_is_a_text(tmp_path: Path) -> None:
    held = {"index": 0, "image": packed(), "question": "What is written?", "answer": "12.5"}
    (task,) = tasks("vlmevalkit", write_tsv(tmp_path / "Vqa.tsv", held))
    assert (task.choices, task.answer) == ((), "12.5")
    assert (await VLMEvalKit().judge(task, "12.50")).correct is True
    assert (await VLMEvalKit().judge(task, "thirteen")).correct is None
    assert VLMEvalKit().compat(task, "12.5") is None


def test_answers_that_are_kept_back_are_none(tmp_path: Path) -> None:
    held = row(0)
    held.pop("answer")
    (task,) = tasks("vlmevalkit", write_tsv(tmp_path / "Test.tsv", held))
    assert task.answer is None


def test_rows_of_a_circular_file_are_forms_of_a_question(tmp_path: Path) -> None:
    rows = [row(5), row(1_000_005, A="blue", B="red", answer="A"), row(6), row(1_000_006)]
    asked = tasks("vlmevalkit", write_tsv(tmp_path / "MMBench_DEV_EN.tsv", *rows), order="hashed")
    assert [unit_of(task) for task in asked] == ["MMBench_DEV_EN-5"] * 2 + ["MMBench_DEV_EN-6"] * 2
    assert asked[1].choices == ("blue", "red")
    held = [scored(task, v) for task, v in zip(asked, (1.0, 1.0, 1.0, 0.0), strict=True)]
    found = values(VLMEvalKit(), held)
    assert found["accuracy", "all"] == pytest.approx(3 / 4)
    assert found["all cycles right", "all"] == pytest.approx(1 / 2)


def test_letters_with_a_gap_are_shown_in_a_row(tmp_path: Path) -> None:
    held = row(0, B="", C="blue", answer="C")
    (task,) = tasks("vlmevalkit", write_tsv(tmp_path / "a.tsv", held))
    assert (task.choices, task.answer) == (("red", "blue"), "B. blue")
    assert task.meta["letters"] == "AC"


@pytest.mark.parametrize("answer", ["B", "(B)", "b", "B.", "Blue"])
def test_an_answer_is_a_letter_or_a_text(tmp_path: Path, answer: str) -> None:
    (task,) = tasks("vlmevalkit", write_tsv(tmp_path / "a.tsv", row(0, answer=answer)))
    assert task.answer == "B. blue"


def test_an_unknown_answer_and_a_folder_of_files_are_refused(tmp_path: Path) -> None:
    file = write_tsv(tmp_path / "a.tsv", row(0), row(1, answer="green"))
    with pytest.raises(FormatError, match=r"a\.tsv: row 1: answer: expected one of A, B"):
        tasks("vlmevalkit", file)
    write_tsv(tmp_path / "b.tsv", row(0))
    with pytest.raises(FormatError, match=r"several files \(a\.tsv, b\.tsv\)"):
        tasks("vlmevalkit", tmp_path)


def test_vstar_is_read_from_its_tsv_too(tmp_path: Path) -> None:
    file = write_tsv(tmp_path / "VStarBench.tsv", row(0, category="direct_attributes"))
    (task,) = tasks("vstar", file)
    assert (task.id, task.family, task.answer) == ("vstar-0", "direct_attributes", "B. blue")


async def test_a_judge_that_fails_draws_no_option(tmp_path: Path) -> None:
    """VLMEvalKit draws one by lot (`rd.choice`): here the attempt has no score."""
    (task,) = tasks("vlmevalkit", write_tsv(tmp_path / "a.tsv", row(0)))
    options = RewardOptions.model_validate(
        {"preset": "benchmark", "judge": ["choice", "tables:Down"]}
    )
    reward = BenchReward(VLMEvalKit(), options)
    unread = "It is a bluish thing"
    assert (await VLMEvalKit().judge(task, unread)).correct is None
    found = [
        await reward.apply(task, scored(task, None, unread).trajectory.model_copy(
            update={"id": f"t:{n}"}
        ))
        for n in range(3)
    ]  # fmt: skip
    assert [(one.score, one.verdict) for one in found] == [(None, None)] * 3
    assert all("down" in (one.error or "") for one in found)
    await reward.close()
