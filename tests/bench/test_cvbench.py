"""CV-Bench. Format: the data card of nyu-visionx/CV-Bench; lmms-eval, tasks/cv_bench/utils.py."""

import json
from pathlib import Path

import pytest
from tables import packed, png, scored, tasks, values, write_parquet, write_tsv

from saccade.bench.sets.options.cvbench import CVBench
from saccade.errors import FormatError


def row(idx: int, kind: str, source: str, **fields: object) -> dict[str, object]:
    usual: dict[str, object] = {
        "task": "Count", "image": {"bytes": png(), "path": None}, "question": "How many?",
        "choices": ["1", "2", "3"], "answer": "(C)", "filename": "img/2D/count/a.png",
        "prompt": "How many? Select from the following choices.\n(A) 1\n(B) 2\n(C) 3",
    }  # fmt: skip
    return {"idx": idx, "type": kind, "source": source, **usual, **fields}


def test_the_question_is_asked_with_options_that_can_be_moved(tmp_path: Path) -> None:
    write_parquet(tmp_path / "test_2d.parquet", row(0, "2D", "ADE20K"))
    write_parquet(tmp_path / "test_3d.parquet", row(0, "3D", "Omni3D", task="Depth"))
    first, second = tasks("cvbench", tmp_path)
    assert (first.id, second.id) == ("cvbench-2D-0", "cvbench-3D-0")
    assert first.question == "How many?"
    assert first.answer == "C. 3"
    assert (first.family, second.family) == ("2D/Count", "3D/Depth")
    assert {t.choices for t in tasks("cvbench", tmp_path, order="hashed")} != {first.choices}


def test_the_lines_stand_beside_the_images(tmp_path: Path) -> None:
    (tmp_path / "img/2D/count").mkdir(parents=True)
    (tmp_path / "img/2D/count/a.png").write_bytes(png())
    held = row(0, "2D", "COCO")
    held.pop("image")
    (tmp_path / "test_2d.jsonl").write_text(json.dumps(held) + "\n")
    (task,) = tasks("cvbench", tmp_path)
    assert task.images[0].size == (40, 30)


def test_the_tsv_of_vlmevalkit_has_the_same_task(tmp_path: Path) -> None:
    held = {
        "index": 0, "image": packed(), "question": "How many?", "A": 1, "B": 2, "C": 3,
        "answer": "C", "split": "2D", "source": "ADE20K", "category": "Count", "prompt": "?",
    }  # fmt: skip
    (task,) = tasks("cvbench", write_tsv(tmp_path / "CV-Bench-2D.tsv", held))
    assert (task.answer, task.family) == ("C. 3", "2D/Count")


def test_2d_is_the_mean_of_its_sources_and_all_the_mean_of_2d_and_3d(tmp_path: Path) -> None:
    """By hand: ADE20K 1 of 1, COCO 1 of 3, Omni3D 0 of 2."""
    kinds = [("2D", "ADE20K"), *[("2D", "COCO")] * 3, *[("3D", "Omni3D")] * 2]
    rows = [row(n, *kind) for n, kind in enumerate(kinds)]
    asked = tasks("cvbench", write_parquet(tmp_path / "test.parquet", *rows))
    held = [scored(task, v) for task, v in zip(asked, (1.0, 1.0, 0, 0, 0, 0), strict=True)]
    found = values(CVBench(), held)
    assert found["accuracy", "ADE20K"] == 1.0
    assert found["accuracy", "2D"] == pytest.approx((1 + 1 / 3) / 2)
    assert found["accuracy", "3D"] == 0.0
    assert found["accuracy", "all"] == pytest.approx(((1 + 1 / 3) / 2 + 0) / 2)
    assert values(CVBench(), held[:4])["accuracy", "all"] == pytest.approx((1 + 1 / 3) / 2)


def test_a_letter_at_the_head_of_a_word_is_no_answer() -> None:
    """lmms-eval takes the first letter of a reply: "Based on ..." would be B."""
    assert CVBench().compat(CVBench.differences[0].task, "Based on what?") is None


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"source": None}, "source: missing"),
        ({"answer": "(D)"}, "answer: expected one of A, B, C"),
        ({"choices": []}, "answer|options"),
        ({"image": {"bytes": b"no image", "path": None}}, "image"),
    ],
)
def test_mistakes_name_file_and_row(tmp_path: Path, change: dict[str, object], match: str) -> None:
    held = [row(0, "2D", "COCO"), row(1, "2D", "COCO") | change]
    write_parquet(tmp_path / "test.parquet", *held)
    with pytest.raises(FormatError, match=rf"test\.parquet: row 1.*({match})"):
        tasks("cvbench", tmp_path)
