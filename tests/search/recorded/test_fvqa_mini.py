"""The five real questions: a fact that no passage has stays unanswered, and is not made up."""

import importlib.util
import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType

import pytest

from saccade.config import Part
from saccade.dialects.deepeyes_v2 import DeepEyesV2
from saccade.env import Environment
from saccade.errors import require
from saccade.rollout import rollout
from saccade.search.found import Found, Hit
from saccade.search.local.build import build
from saccade.tools.search.image import ImageSearch, ImageSearchOptions
from saccade.tools.search.text import TextSearch, TextSearchOptions
from saccade.types import Task, Trajectory

ROOT = Path(__file__).resolve().parents[3]
GOLD = ("Spain", "Gautama Buddha", "Order of Hospitallers", "Tuileries Palace", "Portugal")
"""As the rows of the data set have them."""


@pytest.fixture(scope="module")
def fvqa_mini() -> Iterator[ModuleType]:
    file = ROOT / "benchmarks" / "fvqa_mini.py"
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[file.stem]


@pytest.fixture
def tasks(fvqa_mini: ModuleType, shared_data: Path) -> list[Task]:
    return fvqa_mini.questions(shared_data / "fvqa_mini" / "infoseek_5.parquet")


async def asked(fvqa_mini: ModuleType, task: Task, index: Path) -> Trajectory:
    part = Part(kind="local", index=str(index))
    tools = [
        ImageSearch(ImageSearchOptions(provider=part)),
        TextSearch(TextSearchOptions(provider=part, name="search")),
    ]
    environment = Environment(DeepEyesV2(), tools)
    try:
        return await rollout(fvqa_mini.Script(), environment, task)
    finally:
        await environment.close()


async def test_an_absent_fact_is_not_made_up_and_an_added_one_is_found(
    fvqa_mini: ModuleType, tasks: list[Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require("tantivy", "imagehash")
    few = list(islice(fvqa_mini.distractors(), 3))
    monkeypatch.setattr(fvqa_mini, "distractors", lambda: few)
    said: dict[bool, list[str | None]] = {}
    index = tmp_path / "index"
    for whole in (False, True):
        corpus = tmp_path / f"corpus-{whole}"
        fvqa_mini.write_corpus(corpus, tasks, whole=whole)
        build(corpus / "rows.jsonl", index)
        said[whole] = []
        for task in tasks[3:]:
            trajectory = await asked(fvqa_mini, task, index)
            assert len(trajectory.results) == 2
            assert "A Google search for" in trajectory.turns[1].observation[0].text
            said[whole].append(trajectory.answer)
    assert fvqa_mini.ABSENT == 4
    assert said[False] == [GOLD[3], "I cannot tell."]
    assert said[True] == list(GOLD[3:])


def test_a_result_on_something_else_is_no_answer(fvqa_mini: ModuleType) -> None:
    def answer(title: str, text: str) -> str | None:
        found = Found(kind="text", provider="p", hits=(Hit(rank=1, title=title, snippet=text),))
        return fvqa_mini.answer("Monument of the Discoveries", "Who is the owner?", [found])

    assert answer("Monument of the Discoveries", "It is owned by Portugal.") == "Portugal"
    assert answer("Monument", "It is owned by France.") is None
    assert answer("Lisbon", "The castle is owned by Portugal.") is None
    assert answer("Monument of the Discoveries", "It stands in Lisbon, in Portugal.") is None


def test_passages_say_where_they_come_from(
    fvqa_mini: ModuleType, tasks: list[Task], tmp_path: Path
) -> None:
    origins = fvqa_mini.write_corpus(tmp_path / "corpus", tasks, whole=True)
    rows = [json.loads(line) for line in (tmp_path / "corpus/rows.jsonl").read_text().splitlines()]
    made = [row for row in rows if row["id"].startswith("made")]
    assert {row["origin"] for row in made} == {"the item's own answer"}
    assert all("Made from the item's own answer" in row["text"] for row in made)
    real = [row for row in rows if row["id"].startswith("wordnet")]
    assert len(real) > 150
    assert all(row["origin"].startswith("WordNet 3.0, data.noun, ") for row in real)
    assert not [row for row in real if any(gold in row["text"] for gold in GOLD[1:3])]
    assert len(origins) == len(rows)


def test_the_page_shows_what_was_measured(fvqa_mini: ModuleType) -> None:
    found = json.loads((ROOT / "results" / "fvqa_mini.json").read_text())
    text = (ROOT / "docs" / "search_real_data.md").read_text()
    assert fvqa_mini.page(found) in text
    assert "The policy is a script" in text.partition("\n")[0] + found["title"]
    rows = {(r["arm"], r["task"]): r for r in found["rows"]}
    absent = rows["fact absent", "infoseek_5-4"]["answer"]
    assert (absent, rows["fact added", "infoseek_5-4"]["answer"]) == ("I cannot tell.", "Portugal")
