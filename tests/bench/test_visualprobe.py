"""VisualProbe. Format: Mini-o3/Mini-o3, docs/mini_o3_demo.md; multimodal_dataset.py joins paths."""

import json
from pathlib import Path

import pytest
from looked_up import figures, parquet, png, scored, tasks

from saccade.bench.sets.highres.visualprobe import VisualProbe
from saccade.errors import FormatError


def a_row(level: str, number: int = 0, **changes: object) -> dict[str, object]:
    return {
        "images": [f"VisualProbe_{level}/data/{number}.png"],
        "doc_id": f"{number}",
        "problem": "<image>\nWhat is written on the smallest sign?",
        "solution": "Exit 9",
        "data_source": f"visual_probe_{level.lower()}",
    } | changes


def written(folder: Path, level: str, *rows: dict[str, object]) -> Path:
    place = folder / f"VisualProbe_{level}"
    (place / "data").mkdir(parents=True, exist_ok=True)
    for number in range(3):
        (place / "data" / f"{number}.png").write_bytes(png(8 + number))
    (place / "val.json").write_text(json.dumps(rows))
    return place


def test_levels_are_read_together_or_alone(tmp_path: Path) -> None:
    written(tmp_path, "Easy", a_row("Easy", 0))
    hard = written(tmp_path, "Hard", a_row("Hard", 0), a_row("Hard", 1))
    found = [(task.id, task.family) for task in tasks("visualprobe", tmp_path)]
    assert found == [
        ("visualprobe-easy-0", "easy"), ("visualprobe-hard-0", "hard"),
        ("visualprobe-hard-1", "hard"),
    ]  # fmt: skip
    assert len(tasks("visualprobe", hard)) == 2
    first = tasks("visualprobe", hard / "val.json")[1]
    assert first.question == "What is written on the smallest sign?"
    assert first.images[0].size == (9, 9)


def test_the_level_is_that_of_the_folder_where_a_row_does_not_say(tmp_path: Path) -> None:
    place = written(tmp_path, "Medium", a_row("Medium", data_source=""))
    place.rename(tmp_path / "medium")
    (task,) = tasks("visualprobe", tmp_path / "medium")
    assert task.family == "medium"


def test_parquet_files_with_images_inside_are_read(tmp_path: Path) -> None:
    row = a_row("Hard") | {"images": [{"bytes": png(), "path": None}]}
    file = parquet(tmp_path / "VisualProbe_Hard" / "val.parquet", [row])
    assert tasks("visualprobe", file)[0].images[0].size == (8, 8)


async def test_an_answer_in_other_words_is_judged(tmp_path: Path) -> None:
    written(tmp_path, "Hard", a_row("Hard"))
    (task,) = tasks("visualprobe", tmp_path)
    said = [(await VisualProbe().judge(task, a)).correct for a in ("exit 9.", "Number 9", "")]
    assert said == [True, None, False]


def test_numbers_by_level(tmp_path: Path) -> None:
    written(tmp_path, "Easy", a_row("Easy"))
    written(tmp_path, "Hard", a_row("Hard", 0), a_row("Hard", 1))
    asked = tasks("visualprobe", tmp_path)
    values = [1.0, 1.0, 0.0]
    attempts = [scored(t, "Exit 9", v) for t, v in zip(asked, values, strict=True)]
    assert figures(VisualProbe().metrics(attempts)) == {
        ("accuracy", "all"): 0.667, ("accuracy", "easy"): 1.0, ("accuracy", "hard"): 0.5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"solution": ""}, "solution"), ({"images": ["VisualProbe_Hard/data/7.png"]}, "images"),
     ({"problem": None}, "problem"), ({"doc_id": "0"}, "visualprobe-hard-0.*row 0")],
)  # fmt: skip
def test_a_row_that_cannot_be_used_is_named(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    written(tmp_path, "Hard", a_row("Hard", 0), a_row("Hard", 1, **changes))
    with pytest.raises(FormatError, match=rf"val\.json: row 1.*{message}"):
        tasks("visualprobe", tmp_path)
