"""The arms do what they are named after, judged by the pixels that were shown."""

import numpy as np
import pytest
from building import a_task, noise, zoom_text

from saccade.arms import ARMS, apply_arm, targets_of
from saccade.dialects.deepeyes import DeepEyes
from saccade.dialects.native import Native
from saccade.env import Environment
from saccade.errors import ConfigError
from saccade.images.geometry import Box, PixelBudget
from saccade.images.image import Image
from saccade.policies.replay import ReplayPolicy
from saccade.rollout import rollout
from saccade.tools.zoom import Rotate, ZoomIn
from saccade.types import Completion, Sampling, TargetBox, Task, Trajectory

PHOTO, OTHER = noise(600, 400), noise(600, 400, seed=1)
LEFT, RIGHT = Box(10, 10, 90, 90), Box(500, 300, 580, 380)
ASKED = [200, 150, 300, 250]


def task(name: str, box: Box, image: int = 1) -> Task:
    return a_task(PHOTO, OTHER, "?", id=name, answer="7", boxes=(TargetBox(box=box, image=image),))


def call(image: int = 1) -> str:
    return zoom_text(*ASKED, image=f"image_{image}")


async def play(arm: str, *asked: Task, turn: str | None = None) -> list[Trajectory]:
    budget = PixelBudget(max_pixels=600 * 400)
    environment = Environment(DeepEyes(), [ZoomIn(), Rotate()], view=budget)
    script = {t.id: (turn or call(), "<answer>7</answer>") for t in asked}
    player = apply_arm(arm, ReplayPolicy(script), environment, targets_of(asked))
    return [await rollout(player.policy, player.environment, t) for t in asked]


def crop_of(trajectory: Trajectory) -> Image:
    (result,) = trajectory.results
    (crop,) = result.content
    assert isinstance(crop, Image)
    return crop


async def test_each_question_has_its_own_truth_also_on_one_photograph() -> None:
    shown = [crop_of(t) for t in await play("true_box", task("a", LEFT), task("b", RIGHT))]
    assert [crop.region for crop in shown] == [LEFT, RIGHT]


async def test_the_truth_may_be_on_a_later_image() -> None:
    (trajectory,) = await play("true_box", task("a", LEFT, image=2))
    assert crop_of(trajectory).source.digest == OTHER.source.digest


async def test_a_wrong_place_shows_nothing_of_the_object() -> None:
    (trajectory,) = await play("wrong_box", task("a", Box(180, 130, 320, 270)))
    crop = crop_of(trajectory)
    assert crop.region.intersect(Box(180, 130, 320, 270)).area == 0
    assert crop.region.width == pytest.approx(100, abs=2)


async def test_a_blank_crop_has_the_size_that_was_asked_for_and_no_content() -> None:
    (own,), (blank,) = (
        await play("own_box", task("a", LEFT)),
        await play("blank_crop", task("a", LEFT)),
    )
    assert crop_of(blank).size == crop_of(own).size
    assert np.asarray(crop_of(blank).pixels()).std() == 0
    assert np.asarray(crop_of(own).pixels()).std() > 0
    assert blank.prompt == own.prompt
    assert blank.environment.fingerprint != own.environment.fingerprint


async def test_without_tools_there_is_one_turn_and_none_is_mentioned() -> None:
    (trajectory,) = await play("no_tool", task("a", LEFT))
    assert trajectory.stop == "max_turns"
    assert not trajectory.environment.tools
    assert "image_zoom_in_tool" not in trajectory.prompt[0].text


class Spy(ReplayPolicy):
    """Notes what it is forced to do."""

    forced: list[str | None]

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        self.forced.append(sampling.force.text if sampling.force else None)
        return await super().act(trajectory, sampling)


@pytest.mark.parametrize(
    ("arm", "first"),
    [("direct", "<answer>"), ("own_box", "<tool_call>"), ("agent", None), ("no_tool", None)],
)
async def test_only_the_first_move_is_forced(arm: str, first: str | None) -> None:
    spy = Spy({"a": (call(), "<answer>7</answer>")})
    spy.forced = []
    player = apply_arm(arm, spy, Environment(DeepEyes(), [ZoomIn()]), {})
    await rollout(player.policy, player.environment, task("a", LEFT))
    assert spy.forced[0] == first
    assert not any(spy.forced[1:])


def test_what_cannot_be_is_refused() -> None:
    policy, environment = ReplayPolicy({}), Environment(Native(), [ZoomIn()])
    with pytest.raises(ConfigError, match="did you mean 'true_box'"):
        apply_arm("true_bx", policy, environment)
    with pytest.raises(ConfigError, match="cannot be forced"):
        apply_arm("direct", policy, environment)
    assert set(ARMS) >= {
        "direct",
        "agent",
        "own_box",
        "wrong_box",
        "true_box",
        "blank_crop",
        "no_tool",
    }
