"""A run folder as pandas and as a data set of Hugging Face.

Format: `datasets` 5, features.Image: a struct of `bytes` and `path`; `List(Image())` of a column.
The oracle decodes with Pillow and reads the folder's own JSON.
"""

import io
import json
import re
from pathlib import Path

import pytest
from building import a_task, noise, zoom_text
from PIL import Image as PILImage

from saccade.dialects.deepeyes import DeepEyes
from saccade.env import Environment
from saccade.errors import ConfigError, FormatError, MissingExtra, StoreError
from saccade.policies.replay import ReplayPolicy
from saccade.rewards import RewardOptions
from saccade.rollout import Job, rollout_many
from saccade.runs import export
from saccade.runs.export import rows, to_dataset, to_pandas
from saccade.runs.folder import RunFolder
from saccade.runs.manifest import Manifest
from saccade.tools.zoom import ZoomIn
from saccade.types import StopReason, Task, Trajectory

ROOT = Path(__file__).resolve().parent.parent.parent


async def play(folder: Path, *, samples: int = 1) -> Path:
    """Two questions: one that is looked at again, one that is answered at once, wrongly."""
    tasks = [
        a_task(noise(280, 224, seed=1), "Which word?", id="sign", answer="OPEN", source="signs"),
        a_task(noise(280, 224, seed=2), "How many?", id="mugs", answer="B. 3",
               choices=("2", "3"), meta={"family": "counting"}, source="signs"),
    ]  # fmt: skip
    script = {
        "sign": (f"<think>Small.</think>{zoom_text(0, 0, 140, 112)}", "<answer>OPEN</answer>"),
        "mugs": ("<answer>A</answer>",),
    }
    with RunFolder(folder, Manifest(verb="rollout", config={})) as held:

        def keep(task: Task, trajectory: Trajectory) -> None:
            held.append(task, trajectory)

        await rollout_many(
            ReplayPolicy(script), Environment(DeepEyes(), [ZoomIn()]),
            [Job(task, sample) for task in tasks for sample in range(samples)],
            on_finish=keep, concurrency=1, reward=RewardOptions().make(),
        )  # fmt: skip
    return folder


async def test_a_row_says_what_was_asked_answered_and_right(tmp_path: Path) -> None:
    frame = to_pandas(await play(tmp_path / "run")).set_index("task")
    sign, mugs = frame.loc["sign"], frame.loc["mugs"]
    assert (sign.question, sign.answer, sign.gold, sign.correct) == (
        "Which word?", "OPEN", "OPEN", True,
    )  # fmt: skip
    assert (mugs.answer, mugs.gold, mugs.correct, mugs.value) == ("A", "B. 3", False, 0.0)
    assert (mugs.family, mugs.source, mugs.choices) == ("counting", "signs", ["2", "3"])
    assert (sign.turns, sign.tool_calls, mugs.tool_calls) == (2, 1, 0)
    assert (sign.stop, mugs.stop) == ("answer", "answer")
    assert frame.groupby("family")["correct"].mean().to_dict() == {"signs": 1.0, "counting": 0.0}


async def test_images_are_the_file_of_the_question_and_the_crop_that_was_seen(
    tmp_path: Path,
) -> None:
    run = await play(tmp_path / "run")
    row = to_pandas(run).set_index("task").loc["sign"]
    (asked,), (crop,) = row.images, row.tool_images
    assert asked["bytes"] == (run / "images" / asked["path"]).read_bytes()
    with PILImage.open(io.BytesIO(crop["bytes"])) as pixels:
        assert pixels.size == size_of_the_crop(run)


async def test_messages_name_images_by_their_places(tmp_path: Path) -> None:
    row = to_pandas(await play(tmp_path / "run")).set_index("task").loc["sign"]
    messages = json.loads(row.messages)
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "user", "assistant"]
    named = [p["image"] for m in messages for p in m["content"] if p["type"] == "image"]
    assert named == [0, 1]
    assert messages[2]["content"][0]["text"].startswith("<think>Small.</think><tool_call>")


async def test_a_data_set_decodes_its_images(tmp_path: Path) -> None:
    dataset = to_dataset(await play(tmp_path / "run"), cache=tmp_path / "cache")
    row = dataset[0]
    assert row["tool_images"][0].size == size_of_the_crop(tmp_path / "run")
    assert row["images"][0].size == (280, 224)
    assert [r["correct"] for r in dataset.select_columns(["correct"])] == [True, False]
    assert dataset.features["choices"].feature.dtype == "string"
    assert dataset.filter(lambda r: r["correct"]).num_rows == 1


def size_of_the_crop(run: Path) -> tuple[int, int]:
    """Of the crop, as the folder records it."""
    text = (run / "trajectories.jsonl").read_text().splitlines()[0]
    shown = json.loads(text)["turns"][0]["observation"][0]["content"]
    width, height = next(part for part in shown if isinstance(part, dict))["size"]
    return width, height


async def test_an_aborted_episode_is_a_row_without_a_verdict(tmp_path: Path) -> None:
    run = await play(tmp_path / "run")
    lines = (run / "trajectories.jsonl").read_text().splitlines(keepends=True)
    (run / "trajectories.jsonl").write_text(lines[0])
    broken = json.loads(lines[1]) | {"stop": "aborted", "error": "the server is down",
                                     "verdict": None, "score": None, "turns": []}  # fmt: skip
    (run / "aborted.jsonl").write_text(json.dumps(broken) + "\n")
    frame = to_pandas(run).set_index("task")
    assert frame.loc["mugs", "stop"] == StopReason.ABORTED
    assert frame.loc["mugs", "error"] == "the server is down"
    assert frame["correct"].isna().sum() == 1
    assert frame["correct"].mean() == 1.0


async def test_samples_of_one_task_share_the_bytes_of_its_image(tmp_path: Path) -> None:
    frame = to_pandas(await play(tmp_path / "run", samples=2))
    first, second = frame[frame.task == "sign"]["images"]
    assert first[0]["bytes"] is second[0]["bytes"]


async def test_more_images_than_memory_may_hold_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await play(tmp_path / "run")
    monkeypatch.setattr(export, "MAX_IMAGE_BYTES", 1000)
    with pytest.raises(ConfigError, match="images=False"):
        to_pandas(run)
    assert "images" not in to_pandas(run, images=False)
    assert to_dataset(run, cache=tmp_path / "cache").num_rows == 2


@pytest.mark.parametrize("how", ["other bytes", "gone", "a link"])
async def test_an_image_that_is_not_what_the_record_says_is_an_error(
    tmp_path: Path, how: str
) -> None:
    run = await play(tmp_path / "run")
    (tmp_path / "secret.png").write_bytes(b"secret")
    for file in (run / "images").iterdir():
        file.unlink()
        if how == "other bytes":
            file.write_bytes(b"no image")
        elif how == "a link":
            file.symlink_to(tmp_path / "secret.png")
    with pytest.raises(FormatError, match="sign:0"):
        list(rows(run))
    said: list[str] = []
    assert list(rows(run, on_damaged=lambda error: said.append(str(error)))) == []
    assert len(said) == 2
    with pytest.raises(FormatError, match="sign:0"):
        to_dataset(run, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_a_folder_without_a_run_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no run folder"):
        to_pandas(tmp_path)


def test_without_pandas_the_line_that_installs_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"saccade-vlm\[data\]"):
        to_pandas(tmp_path)


async def test_the_example_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "interop.md").read_text()
    (code,) = (c for c in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "to_pandas" in c)
    await play(tmp_path / "runs" / "vstar")
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    said = capsys.readouterr().out
    assert "counting" in said
    assert said.endswith(f"Which word? {size_of_the_crop(tmp_path / 'runs' / 'vstar')}\n")
