"""AgentVista: README of hkust-nlp/AgentVista (Data Format), columns of Warrieryes/AgentVista."""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from building import a_trajectory, a_turn
from PIL import Image as PILImage

from saccade.bench.benchmark import Scored
from saccade.bench.scoring import BenchReward, rule_verdict
from saccade.bench.sets.agents.agentvista import AgentVista
from saccade.bench.source import BenchTasks
from saccade.config import Part
from saccade.errors import FormatError
from saccade.rewards import RewardOptions
from saccade.testing import ScriptedReply, ScriptedServer
from saccade.types import Task


def png() -> bytes:
    buffer = io.BytesIO()
    PILImage.new("RGB", (40, 30), "red").save(buffer, "PNG")
    return buffer.getvalue()


def row(**changes: object) -> dict[str, object]:
    return {
        "question_id": "12", "problem": "<image>\nWhich game is it, and how far did it fall?",
        "images": [{"bytes": png(), "path": "07_0.png"}], "solution": "Monster Town; 59.86%",
        "domain": "entertainment", "subdomain": "Video Game Mechanics",
    } | changes  # fmt: skip


def write(folder: Path, *rows: dict[str, object]) -> Path:
    (folder / "data").mkdir(exist_ok=True)
    table = pa.Table.from_pylist(list(rows))
    pq.write_table(table, folder / "data" / "train-00000-of-00001.parquet")
    return folder


def tasks(place: Path) -> list[Task]:
    source = BenchTasks(benchmark=Part(kind="agentvista"), data=place)
    return [*source.tasks(seed=0, max_pixels=10**8)]


def test_a_row_of_the_hub(tmp_path: Path) -> None:
    both = [{"bytes": png(), "path": None}] * 2
    (task,) = tasks(write(tmp_path, row(images=both)))
    assert (task.id, task.family, len(task.images)) == ("agentvista-12", "entertainment", 2)
    assert task.question == "Which game is it, and how far did it fall?"
    assert task.answer == "Monster Town; 59.86%"


@pytest.mark.parametrize("folder", ["", "images"])
def test_the_other_spelling_with_images_beside_the_file(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / folder / "07_0.png").write_bytes(png())
    asked = {"doc_id": 3, "question": "Which?", "images": "['07_0.png']", "answer": 5}
    (tmp_path / "val.json").write_text(json.dumps([asked]))
    (task,) = tasks(tmp_path)
    assert (task.id, task.answer, len(task.images)) == ("agentvista-3", "5", 1)


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ([row(), row()], r"row 1: the id 'agentvista-12' is that of .*row 0"),
        ([row(images=[])], r"row 0: images: expected a list of images, got none"),
        ([row(images=[{"bytes": b"x", "path": None}])], r"row 0: images"),
        ([row(solution=" ")], r"row 0: answer: empty"),
        ([{"question_id": "1", "images": row()["images"], "solution": "x"}], r"row 0: .*problem"),
    ],
)
def test_a_mistake_names_file_and_row(
    tmp_path: Path, rows: list[dict[str, object]], wanted: str
) -> None:
    with pytest.raises(FormatError, match=wanted):
        tasks(write(tmp_path, *rows))


async def test_a_judge_decides_and_an_outage_decides_nothing(tmp_path: Path) -> None:
    (task,) = tasks(write(tmp_path, row()))
    episode = a_trajectory(a_turn(answer="Monster Town, by 59.9 per cent"))
    with (
        ScriptedServer(lambda _: "CORRECT") as up,
        ScriptedServer(lambda _: ScriptedReply(status=500)) as down,
    ):
        found = []
        for url in (up.url, down.url):
            judge = {"kind": "llm", "base_url": url, "model": "j", "max_retries": 0}
            options = RewardOptions.model_validate({"preset": "benchmark", "judge": [judge]})
            reward = BenchReward(AgentVista(), options)
            found.append(await reward.apply(task, episode))
            await reward.close()
    judged, failed = found
    assert judged.verdict is not None
    assert (judged.verdict.correct, judged.verdict.raw) == (True, "CORRECT")
    rule = rule_verdict(judged)
    assert rule is not None
    assert rule.correct is None, "a rule does not know other words"
    assert failed.reward_failed
    assert failed.verdict is None


def test_numbers_by_domain_and_by_the_number_of_images(tmp_path: Path) -> None:
    both = [{"bytes": png(), "path": None}] * 2
    made = tasks(write(tmp_path, row(), row(question_id="2", images=both, domain="culture")))
    pairs = zip(made, (1.0, 0.0), strict=True)
    scored = [Scored(task, a_trajectory(a_turn(answer="x")), value) for task, value in pairs]
    found = {metric.group: metric.value for metric in AgentVista().metrics(scored)}
    assert found == {
        "all": 0.5, "entertainment": 1, "culture": 0, "single image": 1, "several images": 0,
    }  # fmt: skip
