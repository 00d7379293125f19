"""What is found before a run: by reading files of questions without their images."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from saccade.errors import ConfigError, MissingExtra
from saccade.recipe import Recipe
from saccade.runs.preflight import preflight
from saccade.types import Record, Task


def made(**tasks: object) -> Recipe:
    return Recipe.model_validate({"tasks": tasks})


def rows(path: Path, *sources: str) -> Path:
    pq.write_table(pa.table({"data_source": sources, "images": [b"none"] * len(sources)}), path)
    return path


class Nothing(Record):
    def tasks(self, *, seed: int, max_pixels: int) -> Iterator[Task]:
        return iter(())

    def count(self) -> None: ...


def test_the_judge_of_every_source_in_every_file_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [rows(tmp_path / "a.parquet", "vstar"),
             rows(tmp_path / "b.parquet", "vstar", "chart", "thinklite_eureka")]  # fmt: skip
    recipe = made(kind="parquet", path=[str(file) for file in files])
    preflight(recipe)
    monkeypatch.setitem(sys.modules, "math_verify", None)
    with pytest.raises(MissingExtra, match=r"math-verify is not installed.*\[math\]"):
        preflight(recipe)


def test_a_curation_may_drop_what_a_run_refuses(tmp_path: Path) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_text('{"question": "?", "choices": ["cat", "dog"], "answer": "cow"}\n')
    recipe = made(kind="file", path=str(file))
    preflight(recipe, scored=False)
    with pytest.raises(ConfigError, match=r"tasks\.jsonl:1: the gold answer 'cow'"):
        preflight(recipe)
    preflight(made(kind="world", n=1))


def test_a_source_without_questions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Nothing' gives no question"):
        preflight(made(kind=f"{__name__}:Nothing"))
