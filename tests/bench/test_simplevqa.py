"""SimpleVQA. Format: m-a-p/SimpleVQA, test.parquet; VLMEvalKit, vlmeval/dataset/simplevqa.py."""

from pathlib import Path

import pytest
from building import a_task
from looked_up import attempt, figures, parquet, png_text, scored, tasks

from saccade.bench.scoring import RULES, BenchReward
from saccade.bench.sets.search.simplevqa import SimpleVQA
from saccade.errors import FormatError
from saccade.rewards import RewardOptions
from saccade.testing import ScriptedReply, ScriptedServer


def a_row(number: int = 0, **changes: object) -> dict[str, object]:
    return {
        "data_id": number,
        "image": png_text(),
        "image_description": "",
        "language": "CN" if number % 2 else "EN",
        "question": "Who founded this company?",
        "answer": "Gustave Eiffel",
        "original_category": "Celebrity",
        "source": "https://example.org",
        "atomic_question": "Which company is it?",
        "atomic_fact": "Eiffel",
        "vqa_category": "Entity",
    } | changes


def test_questions_of_both_languages_are_read_from_the_published_file(tmp_path: Path) -> None:
    parquet(tmp_path / "view_200.parquet", [a_row(0)])
    parquet(tmp_path / "test.parquet", [a_row(0), a_row(1)])
    first, second = tasks("simplevqa", tmp_path)
    assert (first.id, second.id) == ("simplevqa-en-0", "simplevqa-zh-1")
    assert (first.family, second.family) == ("en", "zh")
    assert first.images[0].size == (8, 8)
    assert first.meta["category"] == "Celebrity"
    assert [t.id for t in tasks("simplevqa", tmp_path, language="zh")] == ["simplevqa-zh-1"]


def test_the_tsv_of_vlmevalkit_is_read_where_rows_share_an_image(tmp_path: Path) -> None:
    file = tmp_path / "SimpleVQA.tsv"
    lines = ["index\timage\tquestion\tanswer\tcategory", f"3\t{png_text()}\tWho?\tEiffel\tx",
             "4\t3\t\u8c01\uff1f\tEiffel\tx"]  # fmt: skip
    file.write_text("\n".join(lines) + "\n")
    first, second = tasks("simplevqa", file)
    assert (first.id, second.id) == ("simplevqa-en-3", "simplevqa-zh-4")
    assert first.images[0].source.digest == second.images[0].source.digest
    file.write_text("\n".join([lines[0], "4\t9\tWho?\tEiffel\tx"]) + "\n")
    with pytest.raises(FormatError, match=r"SimpleVQA\.tsv: row 0.*refers to the row .9."):
        tasks("simplevqa", file)


def test_correct_incorrect_and_not_attempted_by_hand(tmp_path: Path) -> None:
    asked = tasks("simplevqa", parquet(tmp_path / "test.parquet", [a_row(2 * n) for n in range(6)]))
    said = [("Gustave Eiffel", 1.0), ("It was Eiffel", 1.0), ("Edison", 0.0),
            ("I don't know.", 0.0), (None, 0.0), ("Somebody", None)]  # fmt: skip
    attempts = [scored(task, *one) for task, one in zip(asked, said, strict=True)]
    metrics = SimpleVQA().metrics(attempts)
    found = figures(metrics)
    assert found["accuracy", "all"] == 0.4, "2 of the 5 that are decided"
    assert found["incorrect", "all"] == 0.2
    assert found["not attempted", "all"] == 0.4
    assert found["correct given attempted", "all"] == 0.667
    accuracy, given = 2 / 5, 2 / 3
    assert found["F-score", "en"] == round(2 * accuracy * given / (accuracy + given), 3) == 0.5
    score = next(m for m in metrics if (m.name, m.group) == ("F-score", "all"))
    assert (score.n, score.units, score.method) == (5, 5, "wilson")
    assert score.low is not None
    assert score.high is not None
    assert 0.1 < score.low < 0.5 < score.high < 0.9


def test_the_f_score_is_the_accuracy_where_everything_is_attempted(tmp_path: Path) -> None:
    asked = tasks("simplevqa", parquet(tmp_path / "test.parquet", [a_row(2 * n) for n in range(4)]))
    attempts = [scored(t, "Edison", v) for t, v in zip(asked, (1.0, 0.0, 0.0, 0.0), strict=True)]
    metrics = {(m.name, m.group): m for m in SimpleVQA().metrics(attempts)}
    accuracy, score = metrics["accuracy", "all"], metrics["F-score", "all"]
    assert (score.value, score.low, score.high) == (accuracy.value, accuracy.low, accuracy.high)


async def test_a_refusal_is_not_attempted_before_a_judge_is_asked() -> None:
    with ScriptedServer(lambda _: "CORRECT") as server:
        judge = {"kind": "llm", "base_url": server.url, "model": "j"}
        options = RewardOptions.model_validate({"judge": [judge]})
        reward = BenchReward(SimpleVQA(), options)
        task = a_task(answer="Eiffel", judge=RULES)
        refused = await reward.apply(task, attempt(task, "I cannot identify the person."))
        assert server.requests == []
        assert refused.verdict is not None
        assert refused.verdict.correct is False
        assert refused.verdict.reason.startswith("not attempted")
        other = await reward.apply(task, attempt(task, "The builder of the tower"))
        assert len(server.requests) == 1
        assert other.verdict is not None
        assert other.verdict.correct is True
        await reward.close()


async def test_a_judge_that_is_down_or_rambles_is_no_score_as_it_is_in_vlmevalkit() -> None:
    """There an outage is in no class but in the denominator, and a long reply not attempted."""
    assert theirs(None) == {"correct": 0, "incorrect": 0, "not attempted": 0, "of": 1}
    assert theirs("I would say so") == {"correct": 0, "incorrect": 0, "not attempted": 1, "of": 1}
    task = a_task(answer="Eiffel", judge=RULES)
    for reply in (ScriptedReply(status=503), "I would say so"):
        with ScriptedServer(lambda _, reply=reply: reply) as server:  # type: ignore[misc]
            judge = {"kind": "llm", "base_url": server.url, "model": "j", "max_retries": 0}
            reward = BenchReward(SimpleVQA(), RewardOptions.model_validate({"judge": [judge]}))
            done = await reward.apply(task, attempt(task, "The builder of the tower"))
            assert done.score is None
            assert done.reward_failed is isinstance(reply, ScriptedReply)
            await reward.close()


def theirs(reply: str | None) -> dict[str, int]:
    """SimpleVQAEval of VLMEvalKit on one answer, restated; None is an outage."""
    counts = {"correct": 0, "incorrect": 0, "not attempted": 0, "of": 1}
    known = {"\u6b63\u786e": "correct", "\u9519\u8bef": "incorrect"}
    if reply is not None:
        counts[known.get(reply, "not attempted")] += 1
    return counts


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"answer": ""}, "answer"), ({"language": "FR"}, "language"), ({"image": "x.png"}, "image")],
)
def test_a_row_that_cannot_be_used_is_named(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    file = parquet(tmp_path / "test.parquet", [a_row(0), a_row(1, **changes)])
    with pytest.raises(FormatError, match=rf"test\.parquet: row 1.*{message}"):
        tasks("simplevqa", file)


def test_a_missing_column_and_a_repeated_id_are_named(tmp_path: Path) -> None:
    bare = {key: value for key, value in a_row().items() if key != "question"}
    with pytest.raises(FormatError, match=r"a\.parquet: row 0.*question"):
        tasks("simplevqa", parquet(tmp_path / "a.parquet", [bare]))
    with pytest.raises(FormatError, match=r"b\.parquet: row 1.*simplevqa-en-0.*row 0"):
        tasks("simplevqa", parquet(tmp_path / "b.parquet", [a_row(), a_row()]))
