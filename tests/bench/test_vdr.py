"""The Vision-DeepResearch pack.

Format: Osilly/Vision-DeepResearch at 67af60f, rllm/eval/unpack_parquet.py and README.md.
"""

import json
from pathlib import Path

import pytest
from building import a_task
from looked_up import attempt, figures, parquet, png, png_text, scored, tasks

from saccade.bench.scoring import RULES, BenchReward
from saccade.bench.sets.search.vdr import VDR
from saccade.errors import FormatError
from saccade.rewards import RewardOptions
from saccade.testing import ScriptedReply, ScriptedServer


def a_row(number: int = 0, **changes: object) -> dict[str, object]:
    packed = [{"filename": f"{number}.jpg", "data": png_text()}]
    return {
        "id": str(number),
        "question": f"image_id: {number}.jpg Question: Who made the film in {number}.jpg?",
        "answer": "Agnes Varda",
        "images": [f"{number}.jpg"],
        "image_packed": json.dumps(packed),
    } | changes


def two_sets(folder: Path) -> Path:
    parquet(folder / "data" / "bcvl_level1_199.parquet", [a_row(0), a_row(1)])
    parquet(folder / "data" / "testmini500_v1.parquet", [a_row(0) | {"question_original": "Who?"}])
    return folder


def test_each_file_is_a_family_with_its_own_ids(tmp_path: Path) -> None:
    found = [(task.id, task.family) for task in tasks("vdr", two_sets(tmp_path))]
    assert found == [
        ("vdr-bcvl_level1_199-0", "bcvl_level1_199"),
        ("vdr-bcvl_level1_199-1", "bcvl_level1_199"),
        ("vdr-testmini500_v1-0", "testmini500_v1"),
    ]


def test_sets_are_chosen_by_how_their_names_begin(tmp_path: Path) -> None:
    two_sets(tmp_path)
    assert len(tasks("vdr", tmp_path, sets=["BCVL"])) == 2
    assert len(tasks("vdr", tmp_path, sets=["testmini500_v1", "bcvl_level1"])) == 3
    with pytest.raises(FormatError, match="no set 'livevqa'; there are bcvl_level1_199"):
        tasks("vdr", tmp_path, sets=["livevqa"])


def test_images_are_unpacked_and_their_file_names_left_out_of_the_question(tmp_path: Path) -> None:
    first = tasks("vdr", two_sets(tmp_path))[0]
    assert first.images[0].size == (8, 8)
    assert first.question == "Who made the film in image_1?"


def test_unpacked_files_and_bytes_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "0_0_1.jpg").write_bytes(png(5))
    path = {"images": ["/home/someone/data/images/0_0_1.jpg"], "image_packed": None}
    file = parquet(tmp_path / "a.parquet", [a_row(0, **path, question="image_id:1 Question: Who?")])
    (task,) = tasks("vdr", file)
    assert task.images[0].size == (5, 5)
    assert task.question == "Who?"
    held = {"images": [{"bytes": png(6), "path": None}], "image_packed": None}
    file = parquet(tmp_path / "b.parquet", [a_row(0, **held, question="Who?")])
    assert tasks("vdr", file)[0].images[0].size == (6, 6)


def test_numbers_by_set(tmp_path: Path) -> None:
    asked = tasks("vdr", two_sets(tmp_path))
    values = [1.0, 0.0, 0.0]
    found = figures(
        VDR().metrics([scored(t, "Varda", v) for t, v in zip(asked, values, strict=True)])
    )
    assert found["accuracy", "all"] == 0.333
    assert found["accuracy", "bcvl_level1_199"] == 0.5
    assert found["accuracy", "testmini500_v1"] == 0


async def test_a_judge_outage_is_no_score_and_scoring_again_asks_again() -> None:
    """Upstream an outage becomes an exact match: deepresearch_reward.py, JudgeFallback."""
    task = a_task(answer="Agnes Varda", judge=RULES)
    played = attempt(task, "The film is by Varda, of France")
    assert not theirs("Agnes Varda", "The film is by Varda, of France", judge=None)
    with (
        ScriptedServer(lambda _: ScriptedReply(status=503)) as down,
        ScriptedServer(lambda _: "CORRECT") as up,
    ):
        for server, correct in ((down, None), (up, True)):
            judge = {"kind": "llm", "base_url": server.url, "model": "j", "max_retries": 0}
            reward = BenchReward(VDR(), RewardOptions.model_validate({"judge": [judge]}))
            played = await reward.apply(task, played)
            assert played.reward_failed is (correct is None)
            assert (played.verdict.correct if played.verdict else None) is correct
            assert (played.score is None) is (correct is None)
            await reward.close()


def theirs(gold: str, answer: str, *, judge: bool | None) -> bool:
    """What RewardDeepResearchFn makes of an answer, restated: without a judge an exact match."""
    return gold.lower() == answer.lower() if judge is None else judge


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_packed": "no JSON"}, "image_packed: expected JSON"),
        ({"image_packed": '[{"filename": "1.jpg", "data": "AAAA"}]'}, r"image_packed\[0\]"),
        ({"image_packed": '[{"filename": "1.jpg", "data": null}]'}, "none of its images has data"),
        ({"image_packed": None, "images": ["9.jpg"]}, r"images\[0\]"),
        ({"answer": ""}, "answer"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    file = parquet(tmp_path / "set.parquet", [a_row(0), a_row(1, **changes)])
    with pytest.raises(FormatError, match=rf"set\.parquet: row 1.*{message}"):
        tasks("vdr", file)


def test_a_missing_column_and_a_repeated_id_are_named(tmp_path: Path) -> None:
    bare = {key: value for key, value in a_row().items() if key != "answer"}
    with pytest.raises(FormatError, match=r"a\.parquet: row 0.*answer"):
        tasks("vdr", parquet(tmp_path / "a.parquet", [bare]))
    with pytest.raises(FormatError, match=r"b\.parquet: row 1.*vdr-b-0.*row 0"):
        tasks("vdr", parquet(tmp_path / "b.parquet", [a_row(), a_row()]))
