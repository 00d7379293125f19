"""Twelve questions on real photographs of up to 21 megapixels, from file to scored run folder.

A loopback server plays the model. It knows the true boxes, decodes the image bytes that it gets,
and asks for boxes in *their* size and in the frame of the run; its arithmetic is its own. First it
zooms to the surroundings of the target, then to the target inside of that crop, then it answers.
"""

import asyncio
import json
from pathlib import Path

import pytest
from command import here, in_a_process

from saccade.agent import make_task
from saccade.config import validate
from saccade.recipe import Recipe
from saccade.rollout import Job
from saccade.runs.execute import run
from saccade.runs.folder import RunReader
from saccade.testing import ScriptedRequest, ScriptedServer
from saccade.types import StopReason, Trajectory

SPAN = {"absolute": None, "relative_1000": 1000.0, "relative_1": 1.0}
LETTERS = "ABCD"


def grown(box: list[float], factor: float, within: list[float]) -> list[float]:
    """A box `factor` times as large about its centre, inside of another."""
    (x1, y1, x2, y2), (wx1, wy1, wx2, wy2) = box, within
    dx, dy = (x2 - x1) * (factor - 1) / 2, (y2 - y1) * (factor - 1) / 2
    return [max(x1 - dx, wx1), max(y1 - dy, wy1), min(x2 + dx, wx2), min(y2 + dy, wy2)]


class Looker:
    """The script: two looks, then the right letter."""

    def __init__(
        self, questions: list[dict], natives: dict[str, tuple[int, int]], frame: str
    ) -> None:
        self.questions = {q["question"]: q for q in questions}
        self.natives, self.frame = natives, frame

    def __call__(self, request: ScriptedRequest) -> str:
        question = next(q for text, q in self.questions.items() if text in request.text)
        width, height = self.natives[question["image"]]
        target = [float(v) for v in question["bbox"]]
        whole = [0.0, 0.0, float(width), float(height)]
        around = grown(target, 4.0, whole)
        if request.turn == 0:
            return self.call("image_1", around, whole, request.images[0].size, "far away")
        if request.turn == 1:
            close = grown(target, 1.3, around)
            return self.call("image_2", close, around, request.images[1].size, "closer")
        letter = LETTERS[question["answer_index"]]
        return f"<think>Now it is plain.</think><answer>{letter}</answer>"

    def call(
        self, name: str, box: list[float], shown: list[float], size: tuple[int, int], thought: str
    ) -> str:
        """A call for a box of the photograph, on an image that shows the part `shown` of it."""
        spans = [SPAN[self.frame] or float(side) for side in size]
        x = [(v - shown[0]) / (shown[2] - shown[0]) * spans[0] for v in box[::2]]
        y = [(v - shown[1]) / (shown[3] - shown[1]) * spans[1] for v in box[1::2]]
        corners = [round(v, 4) for pair in zip(x, y, strict=True) for v in pair]
        arguments = {"bbox_2d": corners, "label": thought, "image": name}
        call = {"name": "image_zoom_in_tool", "arguments": arguments}
        return f"<think>I look {thought}.</think><tool_call>{json.dumps(call)}</tool_call>"


@pytest.fixture(scope="module")
def questions(shared_data: Path) -> list[dict]:
    return json.loads((shared_data / "vstar_mini" / "questions.json").read_text())


@pytest.fixture(scope="module")
def natives(shared_data: Path, questions: list[dict]) -> dict[str, tuple[int, int]]:
    from PIL import Image as PILImage

    sizes = {}
    for name in {q["image"] for q in questions}:
        with PILImage.open(shared_data / "vstar_mini" / name) as opened:
            upright = opened.getexif().get(0x0112, 1) < 5
            sizes[name] = opened.size if upright else opened.size[::-1]
    return sizes


def check(trajectory: Trajectory, question: dict, native: tuple[int, int]) -> None:
    assert trajectory.stop is StopReason.ANSWER, trajectory.error
    assert trajectory.score is not None
    assert trajectory.score.value == 2.0
    first, second = (result.content[0] for result in trajectory.results)
    photo = trajectory.images[0]
    assert photo.source.size == native
    assert first.source.digest == second.source.digest == photo.source.digest
    x1, y1, x2, y2 = question["bbox"]
    for crop in (first, second):
        cx1, cy1, cx2, cy2 = crop.region
        assert cx1 <= x1 + 1
        assert cy1 <= y1 + 1
        assert cx2 >= x2 - 1
        assert cy2 >= y2 - 1
    area = second.region.width * second.region.height
    assert area < 2.2 * (x2 - x1) * (y2 - y1), "the second look is a close one"


@pytest.mark.parametrize("frame", SPAN)
def test_twelve_questions_in_every_frame(
    frame: str, shared_data: Path, questions: list[dict], natives: dict, tmp_path: Path
) -> None:
    folder = shared_data / "vstar_mini"
    with ScriptedServer(Looker(questions, natives, frame)) as server:
        recipe = validate(Recipe, settings(server.url, frame))
        jobs = []
        for q in questions:
            right = q["options"][q["answer_index"]]
            jobs.append(Job(make_task(folder / q["image"], q["question"], q["options"], right)))
        asyncio.run(run("rollout", recipe, jobs, tmp_path / "run", on_finish=lambda task, t: None))
    entries = {e.task.question: e.trajectory for e in RunReader(tmp_path / "run").entries()}
    assert len(entries) == 12
    for question in questions:
        check(entries[question["question"]], question, natives[question["image"]])
    stored = {f.read_bytes() for f in (tmp_path / "run" / "images").iterdir()}
    assert stored == {(folder / q["image"]).read_bytes() for q in questions}


def settings(url: str, frame: str) -> dict:
    return {
        "concurrency": 2,
        "policy": {"kind": "openai", "base_url": url, "model": "script"},
        "environment": {
            "coords": frame,
            "view": {"max_pixels": 1_000_000},
            "observation": {"min_pixels": 200_000, "max_pixels": 1_000_000},
        },
    }


def test_solve_answers_all_twelve_from_the_command_line(
    shared_data: Path, questions: list[dict], natives: dict, tmp_path: Path
) -> None:
    """The frames in turn; the photograph of 21 megapixels at the default budgets."""
    for number, question in enumerate(questions):
        frame = list(SPAN)[number % 3]
        out = tmp_path / str(number)
        options = [o for choice in question["options"] for o in ("--choice", choice)]
        small = ["environment.view.max_pixels=1000000"] if "bottle" not in question["image"] else []
        run = here if number else in_a_process
        with ScriptedServer(Looker(questions, natives, frame)) as server:
            done = run(
                "solve", str(shared_data / "vstar_mini" / question["image"]), question["question"],
                "policy.kind=openai", f"policy.base_url={server.url}", "policy.model=script",
                f"environment.coords={frame}", f"out={out}", *small, *options,
                "--answer", question["options"][question["answer_index"]], "--json",
            )  # fmt: skip
        assert done.returncode == 0, done.stderr
        entry = next(RunReader(out).entries())
        check(entry.trajectory, question, natives[question["image"]])
        assert json.loads(done.stdout)["id"] == entry.trajectory.id
