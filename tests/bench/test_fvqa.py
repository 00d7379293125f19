"""FVQA-test and other rows of MMSearch-R1.

Format: EvolvingLMMs-Lab/multimodal-search-r1, mmsearch_r1/data/data_example.ipynb; lmms-lab/FVQA.
"""

import json
from pathlib import Path

import pytest
from looked_up import attempt, figures, offering, parquet, png, scored, tasks

from saccade.bench.benchmark import Scored
from saccade.bench.sets.search.fvqa import FVQA
from saccade.errors import FormatError
from saccade.types import StopReason


def a_row(number: int = 0, **changes: object) -> dict[str, object]:
    return {
        "data_id": f"fvqa_test_{number}",
        "prompt": [{"role": "user", "content": "Which country is this dish from?"}],
        "images": [{"bytes": png(), "path": None}],
        "reward_model": {
            "ground_truth": "Spain",
            "candidate_answers": json.dumps(["Kingdom of Spain", "ES", "Spain"]),
            "style": "rule",
        },
        "data_source": "mmsearch_r1/fvqa_test",
        "image_urls": ["https://example.org/1.jpg"],
        "category": "search_required" if number % 2 else "search_free",
    } | changes


def test_a_row_is_a_question_with_all_its_gold_answers(tmp_path: Path) -> None:
    parquet(tmp_path / "fvqa_train.parquet", [a_row(7)])
    parquet(tmp_path / "fvqa_test.parquet", [a_row(0), a_row(1)])
    first, second = tasks("fvqa", tmp_path)
    assert first.id == "fvqa-fvqa_test_0", "the rows to train with are not asked"
    assert first.question == "Which country is this dish from?"
    assert first.answer == "Spain or Kingdom of Spain or ES"
    assert first.meta["answers"] == ["Spain", "Kingdom of Spain", "ES"]
    assert first.meta["image_urls"] == ["https://example.org/1.jpg"]
    assert (first.source, first.family, second.family) == ("fvqa", "search_free", "search_required")
    assert len(first.images) == 1


def test_candidates_may_be_a_list_or_missing(tmp_path: Path) -> None:
    listed = a_row(reward_model={"ground_truth": "Spain", "candidate_answers": ["ES"]})
    file = parquet(tmp_path / "a.parquet", [listed])
    assert tasks("fvqa", file)[0].meta["answers"] == ["Spain", "ES"]
    file = parquet(tmp_path / "b.parquet", [a_row(reward_model={"ground_truth": "Spain"})])
    assert tasks("fvqa", file)[0].meta["answers"] == ["Spain"]


async def test_exact_matches_are_right_by_rule_and_the_rest_is_judged(tmp_path: Path) -> None:
    (task,) = tasks("fvqa", parquet(tmp_path / "fvqa_test.parquet", [a_row()]))
    said = [(await FVQA().judge(task, answer)).correct for answer in ("es", "In Spain", "")]
    assert said == [True, None, False]


def test_numbers_by_category_with_exact_matches_and_the_search_ratio(tmp_path: Path) -> None:
    asked = tasks("fvqa", parquet(tmp_path / "fvqa_test.parquet", [a_row(n) for n in range(4)]))
    played = [
        offering(attempt(asked[0], "Spain"), "text_search"),
        offering(attempt(asked[1], "In Spain", calls=["image_search"]), "text_search"),
        offering(attempt(asked[2], "Italy", calls=["zoom_in"]), "text_search"),
        offering(attempt(asked[3], None), "text_search"),
    ]
    values = [1.0, 1.0, 0.0, 0.0]
    found = figures(FVQA().metrics([*map(Scored, asked, played, values)]))
    assert found["accuracy", "all"] == 0.5
    assert found["accuracy", "search_free"] == 0.5
    assert found["exact match", "all"] == 0.25
    assert found["exact match", "search_required"] == 0
    assert found["search ratio", "all"] == 0.25
    assert found["search ratio", "search_required"] == 0.5


def test_an_aborted_episode_is_in_no_number(tmp_path: Path) -> None:
    (task,) = tasks("fvqa", parquet(tmp_path / "fvqa_test.parquet", [a_row()]))
    failed = attempt(task, None).model_copy(update={"stop": StopReason.ABORTED})
    found = FVQA().metrics([scored(task, "Spain", 1.0), Scored(task, failed, None)])
    assert {metric.n for metric in found} == {1}
    assert "search ratio" not in {m.name for m in found}, "no search tool is offered"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reward_model": {"ground_truth": ""}}, "ground_truth: no answer"),
        ({"prompt": []}, "prompt"),
        ({"images": [{"bytes": b"no image", "path": None}]}, "image 1"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    file = parquet(tmp_path / "fvqa_test.parquet", [a_row(0), a_row(1, **changes)])
    with pytest.raises(FormatError, match=rf"fvqa_test\.parquet: row 1.*{message}"):
        tasks("fvqa", file)


def test_a_missing_column_and_a_repeated_id_are_named(tmp_path: Path) -> None:
    bare = {key: value for key, value in a_row().items() if key != "reward_model"}
    with pytest.raises(FormatError, match=r"a\.parquet: row 0.*reward_model"):
        tasks("fvqa", parquet(tmp_path / "a.parquet", [bare]))
    with pytest.raises(FormatError, match=r"b\.parquet: row 1.*fvqa_test_0.*row 0"):
        tasks("fvqa", parquet(tmp_path / "b.parquet", [a_row(), a_row()]))
