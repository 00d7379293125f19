"""RealX-Bench. Format: the card of glowol/RealXBench, revision 002f872."""

import json
from pathlib import Path

import pytest
from building import a_task
from looked_up import attempt, figures, offering, parquet, png, scored, tasks

from saccade.bench.recipe import BenchRecipe
from saccade.bench.run import preflight
from saccade.bench.scoring import RULES, BenchReward
from saccade.bench.sets.search.realx import RealX
from saccade.errors import ConfigError, FormatError
from saccade.rewards import RewardOptions


def a_row(perception: object = 1, search: object = 1, reason: object = 1) -> dict[str, object]:
    return {
        "query": "In which year was this stadium opened?",
        "answer": "2012 or 2013",
        "perception": perception,
        "search": search,
        "reason": reason,
        "image": {"bytes": png(), "path": "1.png"},
    }


def four(folder: Path) -> Path:
    rows = [a_row(1, 1, 1), a_row(1, 0, 0), a_row(0, 1, 1), a_row(0, 0, 0)]
    return parquet(folder / "data" / "train-00000-of-00001.parquet", rows)


def test_each_alternative_and_the_whole_are_gold_answers(tmp_path: Path) -> None:
    first = tasks("realx", four(tmp_path).parent.parent)[0]
    assert first.id == "realx-0"
    assert first.answer == "2012 or 2013"
    assert first.meta["answers"] == ["2012 or 2013", "2012", "2013"]
    assert first.family == "perception+search+reason"


async def test_any_alternative_is_right_and_other_words_are_judged(tmp_path: Path) -> None:
    task = tasks("realx", four(tmp_path))[0]
    said = [(await RealX().judge(task, a)).correct for a in ("2013", "2012 or 2013", "In 2012")]
    assert said == [True, True, None]


def test_the_average_each_ability_and_integration(tmp_path: Path) -> None:
    asked = tasks("realx", four(tmp_path))
    values = [1.0, 0.0, 1.0, 0.0]
    attempts = [scored(t, "2012", v) for t, v in zip(asked, values, strict=True)]
    found = figures([m for m in RealX().metrics(attempts) if m.name == "accuracy"])
    assert found == {
        ("accuracy", "all"): 0.5,
        ("accuracy", "perception"): 0.5,
        ("accuracy", "search"): 1.0,
        ("accuracy", "reason"): 1.0,
        ("accuracy", "integration"): 1.0,
    }


def test_flags_and_images_are_read_from_a_list_beside_files(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.png").write_bytes(png())
    row = a_row("1", "0", 1.0) | {"image": "images/1.png"}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(row) + "\n")
    (task,) = tasks("realx", tmp_path)
    assert [task.meta[key] for key in ("perception", "search", "reason")] == [True, False, True]


@pytest.mark.parametrize(
    ("condition", "offered"),
    [
        ("none", ["zoom_in"]),
        ("image", ["image_search"]),
        ("text", ["text_search", "python"]),
        ("all", ["text_search", "image_search"]),
    ],
)
def test_a_condition_fits_the_search_tools_that_a_run_offers(
    condition: str, offered: list[str]
) -> None:
    RealX(tools=condition).check_tools(offered)  # type: ignore[arg-type]
    others = {"none", "image", "text", "all"} - {condition}
    for other in others:
        with pytest.raises(ConfigError, match=rf"bench\.tools=.*{condition}"):
            RealX(tools=other).check_tools(offered)  # type: ignore[arg-type]


async def test_an_episode_of_another_condition_is_never_scored() -> None:
    task = a_task(answer="2012", judge=RULES)
    reward = BenchReward(RealX(), RewardOptions(preset="deepeyes"))
    played = attempt(task, "2012")
    assert (await reward.apply(task, played)).verdict is not None
    with pytest.raises(ConfigError, match=r"bench\.tools: 'none'.*text_search"):
        await reward.apply(task, offering(played, "text_search"))
    await reward.close()


def test_a_run_of_another_condition_is_refused_before_a_model_is_asked(tmp_path: Path) -> None:
    policy = {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m"}
    table = {"bench": {"kind": "realx"}, "data": str(four(tmp_path)), "policy": policy}
    assert len(preflight(BenchRecipe.model_validate(table))) == 4
    asked_for_both = table | {"bench": {"kind": "realx", "tools": "all"}}
    with pytest.raises(ConfigError, match=r"bench\.tools: 'all'.*offers none"):
        preflight(BenchRecipe.model_validate(asked_for_both))


def test_an_unknown_flag_a_missing_answer_and_image_are_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"a\.parquet: row 0.*perception"):
        tasks("realx", parquet(tmp_path / "a.parquet", [a_row("perhaps")]))
    bare = {key: value for key, value in a_row().items() if key != "answer"}
    with pytest.raises(FormatError, match=r"b\.parquet: row 0.*answer"):
        tasks("realx", parquet(tmp_path / "b.parquet", [bare]))
    lost = a_row() | {"image": {"bytes": None, "path": "9.png"}}
    with pytest.raises(FormatError, match=r"c\.parquet: row 0: image"):
        tasks("realx", parquet(tmp_path / "c.parquet", [lost]))


def test_a_repeated_id_is_named(tmp_path: Path) -> None:
    rows = [a_row() | {"id": 3}, a_row() | {"id": 3}]
    with pytest.raises(FormatError, match=r"row 1.*realx-3.*row 0"):
        tasks("realx", parquet(tmp_path / "a.parquet", rows))
