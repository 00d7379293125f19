"""Tool use is what gave the model something new; what is repeated, or failed, is none.

Episodes are played with the real tools. What counts is written beside each of them by hand.
"""

import asyncio

import pytest
from building import a_result, a_task, a_trajectory, a_turn, call_text, noise, zoom_text
from unhurried import UNHURRIED

from saccade.dialects.deepeyes import DeepEyes
from saccade.dialects.deepeyes_v2 import DeepEyesV2
from saccade.env import Environment
from saccade.images.geometry import Box, PixelBudget
from saccade.measures.summary import facts, summary
from saccade.policies.replay import ReplayPolicy
from saccade.rewards import RewardOptions
from saccade.rollout import rollout
from saccade.sandbox.options import SandboxOptions
from saccade.tools.python import Python, PythonOptions
from saccade.tools.zoom import Rotate, ZoomIn
from saccade.types import Limits, Task, ToolResult, Trajectory

PHOTO = noise(400, 300)
TASK = a_task(PHOTO, "What?", answer="7")
BUDGET = PixelBudget(max_pixels=112 * 112)
LIMITS = Limits(max_turns=40, max_images=64)
PUBLISHED = {"counts": "executed"}
TERMS = ("tool_bonus", "unconditional_tool_bonus", "accumulative_tool")


def looking(*turns: str, announce: bool = False) -> Trajectory:
    """An episode with the zoom and the turning of images, and the right answer."""
    tools = [ZoomIn(min_side=5, announce=announce), Rotate()]
    environment = Environment(DeepEyes(), tools, view=BUDGET, limits=LIMITS)
    policy = ReplayPolicy({TASK.id: (*turns, "<answer>7</answer>")})
    return asyncio.run(rollout(policy, environment, TASK))


def running(*episodes: list[str]) -> list[Trajectory]:
    """Episodes of cells, each with the right answer in the end, in one sandbox."""
    tool = Python(PythonOptions(sandbox=SandboxOptions(limits=UNHURRIED)))
    environment = Environment(DeepEyesV2(), [tool], view=BUDGET, limits=LIMITS)

    async def play() -> list[Trajectory]:
        done = []
        for codes in episodes:
            turns = [f"look</think><code>\n```python\n{code}\n```\n</code>" for code in codes]
            policy = ReplayPolicy({TASK.id: (*turns, "</think><answer>7</answer>")})
            done.append(await rollout(policy, environment, TASK))
        await environment.close()
        return done

    return asyncio.run(play())


def parts(done: Trajectory, weights: dict[str, object], task: Task = TASK) -> dict[str, float]:
    options = RewardOptions.model_validate({"preset": "deepeyes_no_bonus", "weights": weights})
    scored = asyncio.run(options.make().apply(task, done)).score
    assert scored is not None
    return {name: value for name, value in scored.parts.items() if name in weights}


FAILED = [
    "1 / 0", "x = = 1", "import os; os._exit(0)", "print(7)\nraise ValueError",
    "display(image_1)\n1 / 0", "(" * 300,
]  # fmt: skip
SILENT = ["# a comment", "x = 1", "print('  ')", "None"]
CROP = "print(7); image_1.crop((0, 0, 200, 200))"
SHOWN = [
    "print(7)", "7", "print(7)  # again", "x = 8", "x", "image_1", "image_1.copy()", CROP, "1 / 0",
    "print(9)",
]  # fmt: skip


@pytest.fixture(scope="module")
def cells() -> list[Trajectory]:
    return running([*FAILED, *SILENT], SHOWN)


def test_a_cell_that_fails_or_shows_nothing_is_no_use_of_a_tool(cells: list[Trajectory]) -> None:
    done, n = cells[0], len(FAILED + SILENT)
    assert [r.outcome for r in done.results] == ["failed"] * len(FAILED) + ["nothing"] * len(SILENT)
    assert all(result.ok for result in done.results), "the model is shown what came of them"
    assert [result.failed for result in done.results] == [True] * len(FAILED) + [False] * 4
    assert (done.successes, len(done.executed)) == ((), n)
    found = facts(TASK, done)
    assert (found.tool_calls, found.tool_calls_ok) == (n, 0)
    assert summary([(TASK, done)]).tool_call_rate == 0
    assert parts(done, dict.fromkeys(TERMS, 1.0)) == dict.fromkeys(TERMS, 0.0)
    published = parts(done, {name: {"weight": 1, **PUBLISHED} for name in TERMS})
    assert published == dict(zip(TERMS, (1, 1, n), strict=True))


def test_a_cell_that_shows_something_new_is_use(cells: list[Trajectory]) -> None:
    used = [result.call.arguments["code"] for result in cells[1].successes]
    assert used == ["print(7)", "x", CROP, "print(9)"], "the question showed image_1"


def test_equal_looks_are_one() -> None:
    again = [zoom_text(10, 10, 60, 60, label=f"a {n}") for n in range(31)]
    done = looking(*again)
    assert len(done.executed) == 31
    assert len(done.successes) == 1
    assert parts(done, {"accumulative_tool": 0.1}) == {"accumulative_tool": 1}
    published = {"accumulative_tool": {"weight": 0.1, **PUBLISHED}}
    assert parts(done, published) == {"accumulative_tool": 31}
    assert len(looking(*again, announce=True).successes) == 1, "its name is not what is new"


def test_the_adaptive_term_counts_what_is_new() -> None:
    task = TASK.model_copy(update={"meta": {"tool_benefit": 1.0}})
    done = looking(*[zoom_text(10, 10, 60, 60)] * 3)
    assert parts(done, {"adaptive_tool": 1}, task) == {"adaptive_tool": 1}
    assert parts(done, {"adaptive_tool": {"weight": 1, **PUBLISHED}}, task)["adaptive_tool"] < 0.01


@pytest.mark.parametrize(
    ("turns", "successes"),
    [
        ([zoom_text(10, 10, 60, 60), zoom_text(11, 10, 61, 60), zoom_text(10, 11, 60, 62)], 1),
        ([zoom_text(10, 10, 60, 60), zoom_text(30, 10, 80, 60)], 2),
        ([zoom_text(10, 10, 60, 60), zoom_text(20, 20, 50, 50)], 2),
        ([zoom_text(0, 0, 112, 84)], 0),
        ([zoom_text(1, 0, 112, 84)], 0),
        ([call_text("image_rotate_tool", angle=a) for a in (90, 90, 180, -180, 180)], 2),
        ([call_text("nothing"), zoom_text(9, 9), zoom_text(10, 10, 60, 60)], 1),
    ],
)
def test_what_is_new_is_another_place_or_a_sharper_view(turns: list[str], successes: int) -> None:
    assert len(looking(*turns).successes) == successes


def test_a_sharper_view_of_the_same_place_is_new() -> None:
    place = PHOTO.cut(Box(40, 40, 200, 200))
    coarse, sharp = (place.fit(PixelBudget(max_pixels=n * 28 * 28)) for n in (4, 16))
    done = a_trajectory(*(a_turn(a_result(image)) for image in (coarse, sharp, coarse, sharp)))
    assert [result.content[0] for result in done.successes] == [coarse, sharp]


def test_a_text_that_was_shown_is_not_new() -> None:
    texts = ("no text found", "EXIT", "no text found", "EXIT ")
    done = a_trajectory(*(a_turn(a_result(text)) for text in texts))
    assert [result.content[0] for result in done.successes] == ["no text found", "EXIT", "EXIT "]


def test_a_record_of_before_is_read_as_done() -> None:
    written = a_result("text").model_dump(mode="json")
    del written["outcome"]
    assert ToolResult.model_validate(written) == a_result("text")
