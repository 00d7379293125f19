"""SEED-Bench-2-Plus. Format: the data card of doolayer/SEED-Bench-2-Plus."""

import json
from pathlib import Path

import pytest
from tables import packed, png, scored, tasks, values, write_parquet, write_tsv

from saccade.bench.sets.options.seedbench2_plus import SeedBench2Plus
from saccade.errors import FormatError


def row(name: str, kind: str, **fields: object) -> dict[str, object]:
    usual: dict[str, object] = {
        "data_id": f"text_rich/{name}.png", "question": "Which line? <img>", "choice_A": "1",
        "choice_B": "2", "choice_C": "3", "choice_D": "4", "answer": "B",
        "image": {"bytes": png(), "path": None},
    }  # fmt: skip
    return {"question_id": name, "question_image_type": kind, **usual, **fields}


def test_numbers_are_by_the_kind_of_image(tmp_path: Path) -> None:
    rows = [row("0", "chart"), row("1", "chart"), row("2", "web")]
    asked = tasks("seedbench2_plus", write_parquet(tmp_path / "data" / "test-0.parquet", *rows))
    assert (asked[0].question, asked[0].answer) == ("Which line?", "B. 2")
    held = [scored(task, v) for task, v in zip(asked, (1.0, 0.0, 1.0), strict=True)]
    found = values(SeedBench2Plus(), held)
    assert found["accuracy", "all"] == pytest.approx(2 / 3)
    assert found["accuracy", "Chart"] == pytest.approx(1 / 2)
    assert found["accuracy", "Web"] == 1.0


def test_the_tsv_and_the_json_of_the_authors_are_read(tmp_path: Path) -> None:
    held = {
        "index": 5, "image": packed(), "question": "Which?", "A": 1, "B": 2, "C": 3, "D": 4,
        "answer": "B", "category": "chart",
    }  # fmt: skip
    (task,) = tasks("seedbench2_plus", write_tsv(tmp_path / "SEEDBench2_Plus.tsv", held))
    assert (task.id, task.family) == ("seedbench2_plus-5", "Chart")
    (tmp_path / "authors" / "text_rich").mkdir(parents=True)
    (tmp_path / "authors" / "text_rich" / "7.png").write_bytes(png())
    listed = row("7", "map")
    listed.pop("image")
    listed |= {f"choice_{x.lower()}": listed.pop(f"choice_{x}") for x in "ABCD"}
    file = tmp_path / "authors" / "SEED-Bench-2-Plus.json"
    file.write_text(json.dumps({"questions": [listed], "version": 1}))
    (task,) = tasks("seedbench2_plus", tmp_path / "authors")
    assert (task.id, task.answer) == ("seedbench2_plus-7", "B. 2")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"answer": "E"}, "answer"),
        ({"question": None}, "question"),
        ({"question_id": "0"}, "the id 'seedbench2_plus-0'"),
    ],
)
def test_mistakes_name_file_and_row(tmp_path: Path, change: dict[str, object], match: str) -> None:
    file = write_parquet(tmp_path / "a.parquet", row("0", "web"), row("1", "web") | change)
    with pytest.raises(FormatError, match=rf"a\.parquet: row 1: {match}"):
        tasks("seedbench2_plus", file)
