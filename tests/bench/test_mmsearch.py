"""MMSearch. Format: CaraJ7/MMSearch, eval_end2end.py; CaraJ/MMSearch, end2end.parquet."""

from pathlib import Path

import pytest
from looked_up import figures, parquet, png, scored, tasks

from saccade.bench.sets.search.mmsearch import MMSearch
from saccade.errors import FormatError


def a_row(number: int = 0, *, image: bool = True, **changes: object) -> dict[str, object]:
    held = {"bytes": png(), "path": None} if image else None
    return {
        "sample_id": f"s{number}",
        "query": "When is the US release date for this movie?",
        "query_image": held,
        "image_search_result": {"bytes": png(20), "path": None} if image else None,
        "area": "news" if image else "knowledge",
        "subfield": "Entertainment",
        "timestamp": "2024-10-25",
        "gt_requery": "Venom The Last Dance US release date",
        "gt_answer": "October 25, 2024",
        "alternative_gt_answers": ["25 October 2024"],
    } | changes


def two(folder: Path) -> Path:
    parquet(folder / "rerank.parquet", [{"sample_id": "another task"}])
    return parquet(folder / "end2end.parquet", [a_row(0), a_row(1, image=False)]).parent


def test_the_end_to_end_questions_are_asked_with_their_image_alone(tmp_path: Path) -> None:
    first, second = tasks("mmsearch", two(tmp_path))
    assert (first.id, second.id) == ("mmsearch-s0", "mmsearch-s1")
    assert [image.size for image in first.images] == [(8, 8)], "no published search result"
    assert second.images == ()
    assert first.answer == "October 25, 2024 or 25 October 2024"
    assert (first.family, second.family) == ("news", "knowledge")
    assert first.meta["subfield"] == "Entertainment"


def test_the_image_subset_can_be_asked_alone(tmp_path: Path) -> None:
    assert [task.id for task in tasks("mmsearch", two(tmp_path), subset="image")] == ["mmsearch-s0"]


def test_accuracy_and_f1_also_of_the_questions_with_an_image(tmp_path: Path) -> None:
    first, second = tasks("mmsearch", two(tmp_path))
    attempts = [scored(first, "25 October", None), scored(second, "October 25 2024", 1.0)]
    found = figures(MMSearch().metrics(attempts))
    assert found["accuracy", "all"] == 1
    assert found["accuracy", "with image"] is None, "no judge decided"
    assert found["end-to-end F1", "with image"] == 0.8
    assert found["end-to-end F1", "all"] == 0.9
    assert found["end-to-end F1", "knowledge"] == 1
    assert found["exact match", "all"] == 0.5
    assert list(found)[:2] == [("accuracy", "all"), ("accuracy", "with image")]


def test_a_reply_without_words_has_no_f1(tmp_path: Path) -> None:
    first, _ = tasks("mmsearch", two(tmp_path))
    found = figures(MMSearch().metrics([scored(first, None, 0.0), scored(first, "the", 0.0)]))
    assert found["end-to-end F1", "all"] == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"gt_answer": ""}, "gt_answer"), ({"query_image": {"bytes": b"x"}}, "query_image")],
)
def test_a_row_that_cannot_be_used_is_named(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    rows = [a_row(0, query_image={"bytes": png()}), a_row(1, **changes)]
    file = parquet(tmp_path / "end2end.parquet", rows)
    with pytest.raises(FormatError, match=rf"end2end\.parquet: row 1.*{message}"):
        tasks("mmsearch", file)


def test_a_missing_column_and_a_repeated_id_are_named(tmp_path: Path) -> None:
    bare = {key: value for key, value in a_row().items() if key != "gt_answer"}
    with pytest.raises(FormatError, match=r"a\.parquet: row 0.*gt_answer"):
        tasks("mmsearch", parquet(tmp_path / "a.parquet", [bare]))
    with pytest.raises(FormatError, match=r"b\.parquet: row 1.*mmsearch-s0.*row 0"):
        tasks("mmsearch", parquet(tmp_path / "b.parquet", [a_row(), a_row()]))
