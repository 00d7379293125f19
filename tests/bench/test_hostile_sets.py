"""Files that are none: every benchmark names file and row, and nothing else is ever raised."""

import base64
import json
import math
import tracemalloc
from pathlib import Path

import pytest
from maths_sets import packed, tasks

from saccade.bench import BENCHMARKS
from saccade.bench.source import BenchTasks
from saccade.config import Part
from saccade.errors import FormatError

READ = [name for name in BENCHMARKS if name not in ("nano", "nano_realx")]
PIXELS = 10**6


def refusal(kind: str, file: Path) -> str:
    """What is said against a file."""
    with pytest.raises(FormatError) as caught:
        list(BenchTasks(benchmark=Part(kind=kind), data=file).tasks(seed=0, max_pixels=PIXELS))
    return str(caught.value)


@pytest.mark.parametrize("kind", READ)
def test_what_is_no_file_of_a_benchmark_is_named(kind: str, tmp_path: Path) -> None:
    contents = {
        "deep.json": b"[" * 10**5, "deeper.json": b'{"a":' * 10**5, "empty.json": b"",
        "none.json": b"[]", "number.json": b"[1]", "text.json": b"\xff\xfe\x00[",
        "cut.json": b'[{"a": 1}, {"a"', "more.json": b"[{}] [", "nan.json": b'[{"id": NaN}]',
        "half.jsonl": b'{"id": "\\ud800", "question": "\\ud800"}\n', "deep.jsonl": b"[" * 10**5,
        "cells.tsv": b"index\tquestion\n1\t2\t3\n", "head.tsv": b"\t\t\n", "none.tsv": b"",
        "lines.tsv": b"index\tquestion\n" + b"\n" * 1000, "quote.tsv": b'index\tquestion\n"1\tx\n',
        "bad.parquet": b"PAR1" + b"\0" * 64 + b"PAR1", "none.parquet": b"",
    }  # fmt: skip
    for name, content in contents.items():
        file = tmp_path / name
        file.write_bytes(content)
        said = refusal(kind, file)
        assert name in said, (kind, said)
        assert len(said) < 2000, (kind, name)


ROW = {
    "id": "1", "pid": "1", "question": "q", "answer": "1", "question_type": "free_form",
    "answer_type": "float", "precision": 1, "options": [], "choices": None, "level": 1,
    "subject": "s", "image": packed(),
}  # fmt: skip
HOSTILE = [
    ("mathvision", {"image": "../../etc/passwd"}, "image"),
    ("mathvision", {"image": "/etc/passwd"}, "image"),
    ("mathvision", {"image": "https://example.org/1.png"}, "nothing is fetched"),
    ("mathvision", {"image": "x" * 5000 + ".png"}, "image"),
    ("mathvision", {"image": "a\0b.png"}, "image"),
    ("mathvision", {"image": "data:image/png;base64,AAAA"}, "image"),
    ("mathvision", {"image": base64.b64encode(b"PK" * 60).decode()}, "image"),
    ("mathvision", {"options": [str(n) for n in range(27)], "answer": "Z"}, "at most 26"),
    ("mathvision", {"options": ["[" * 20_000, "b"], "answer": "A"}, "10000 characters"),
    ("mathvision", {"options": ["a", "b"], "answer": "C"}, "letter of an option"),
    ("mathvision", {"question": " "}, "no text"),
    ("mathvision", {"answer": math.nan}, "answer: empty"),
    ("mathvision", {"id": "x" * 10**6}, "an id of"),
    ("mathvision", {"question": {"a": 1}}, "question"),
    ("mathvista", {"precision": "many"}, "precision"),
    ("mathvista", {"question_type": "multi_choice", "choices": ["a"], "answer": "b"}, "none of"),
    ("refcoco", {"bbox": [math.inf, 1, 2, 3], "question_id": "1"}, "bbox"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "changes", "said"), HOSTILE)
def test_a_row_that_is_none_is_named(
    kind: str, changes: dict[str, object], said: str, tmp_path: Path
) -> None:
    file = tmp_path / "val.json"
    file.write_text(json.dumps([ROW | changes]))
    found = refusal(kind, file)
    assert "val.json: row 0" in found
    assert said in found
    assert len(found) < 2000


def test_missing_decimals_are_those_of_the_answer(tmp_path: Path) -> None:
    (tmp_path / "val.json").write_text(json.dumps([ROW | {"precision": "nan", "answer": "1.25"}]))
    (task,) = tasks("mathvista", tmp_path / "val.json")
    assert "2 decimals" in task.question


def test_ids_far_apart_are_one(tmp_path: Path) -> None:
    rows = [ROW | {"id": str(n % 700)} for n in range(701)]
    (tmp_path / "val.json").write_text(json.dumps(rows))
    source = BenchTasks(benchmark=Part(kind="mathvision"), data=tmp_path / "val.json")
    with pytest.raises(FormatError, match=r"row 700: the id 'mathvision-0' is that of .*row 0 "):
        source.ids(0)


def test_a_json_file_costs_its_text_and_a_row(tmp_path: Path) -> None:

    row = ROW | {"image": "", "metadata": {"a": list(range(200))}}
    text = json.dumps([row | {"id": str(n)} for n in range(500)])
    file = tmp_path / "val.json"
    file.write_text(text)
    source = BenchTasks(benchmark=Part(kind="mathvision"), data=file)
    list(source.ids(0))
    tracemalloc.start()
    list(source.ids(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3.5 * len(text)
