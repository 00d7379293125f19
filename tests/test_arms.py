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
from saccade.tools.staged import StagedZoom
from saccade.tools.zoom import Rotate, ZoomIn
from saccade.types import Completion, Sampling, TargetBox, Task, Tool, Trajectory

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


async def free(
    arm: str,
    script: tuple[str, ...],
    *asked: Task,
    tools: tuple[Tool, ...] = (ZoomIn(),),
    **how: object,
) -> list[Trajectory]:
    """The arm with nothing forced, as behind a chat server."""
    environment = Environment(DeepEyes(), tools, view=PixelBudget(max_pixels=600 * 400))
    policy = ReplayPolicy({t.id: script for t in asked})
    player = apply_arm(arm, policy, environment, targets_of(asked), forced=False, **how)  # type: ignore[arg-type]
    return [await rollout(player.policy, player.environment, t) for t in asked]


@pytest.mark.parametrize("arm", [arm for arm in ARMS if arm != "result_only"])
async def test_without_force_no_arm_asks_a_policy_for_what_a_server_cannot_do(arm: str) -> None:
    spy = Spy({"a": (call(), call(), "<answer>7</answer>")})
    spy.forced = []
    for dialect in (DeepEyes(), Native()):
        asked = task("a", LEFT)
        environment = Environment(dialect, [ZoomIn()])
        player = apply_arm(arm, spy, environment, targets_of([asked]), forced=False)
        await rollout(player.policy, player.environment, asked)
    assert not any(spy.forced)


async def test_direct_without_force_is_a_prompt_without_tools_and_all_of_the_reply() -> None:
    (trajectory,) = await free("direct", ("7",), task("a", LEFT))
    assert trajectory.answer == "7"
    assert "tool" not in "".join(m.text for m in trajectory.prompt)
    assert [image.source.digest for image in trajectory.images] == [
        PHOTO.source.digest, OTHER.source.digest,
    ]  # fmt: skip


async def test_without_force_a_call_for_a_tool_that_is_not_there_is_an_error_not_the_end() -> None:
    (trajectory,) = await free("no_tool", (call(), "<answer>7</answer>"), task("a", LEFT))
    assert trajectory.answer == "7"
    assert "the tools are: none" in (trajectory.results[0].error or "")


async def test_format_only_accepts_a_call_and_shows_no_image() -> None:
    script = (zoom_text(5, 5, 4, 4), call(), "<answer>7</answer>")
    (trajectory,) = await free("format_only", script, task("a", LEFT))
    refused, accepted = trajectory.results
    assert not refused.ok
    assert accepted.ok
    assert accepted.outcome == "nothing"
    assert all(isinstance(part, str) for part in accepted.content)
    assert len(trajectory.images) == 2
    assert trajectory.successes == ()


async def test_result_only_shows_the_crops_beside_the_question_as_they_were_shown() -> None:
    asked = task("a", LEFT)
    crop = crop_of((await free("agent", (call(), "<answer>7</answer>"), asked))[0])
    (trajectory,) = await free(
        "result_only", ("<answer>7</answer>",), asked, crops={("a", 0): [crop]}
    )
    assert [*trajectory.images[2:]] == [crop]
    assert not trajectory.environment.tools
    last = [p for p in trajectory.prompt[-1].content if isinstance(p, Image)][-1]
    assert last == crop
    assert trajectory.prompt[-1].text.startswith("?")
    (without,) = await free("result_only", ("<answer>7</answer>",), asked, crops={})
    assert len(without.images) == 2
    with pytest.raises(ConfigError, match="play `agent` first"):
        await free("result_only", (), asked)


async def test_of_several_objects_the_nearest_is_shown_and_then_another() -> None:
    asked = a_task(PHOTO, "?", id="a", boxes=tuple(TargetBox(box=box) for box in (LEFT, RIGHT)))
    near_right = zoom_text(480, 250, 560, 330)
    (trajectory,) = await free("true_box", (near_right, near_right, "<answer>7</answer>"), asked)
    shown = [r.content[0].region for r in trajectory.results if isinstance(r.content[0], Image)]
    assert shown == [RIGHT, LEFT]


async def test_a_wrong_place_shows_none_of_several_objects() -> None:
    boxes = [Box(x, 0, x + 60, 400) for x in (40, 260, 480)]
    asked = a_task(PHOTO, "?", id="a", boxes=tuple(TargetBox(box=box) for box in boxes))
    (trajectory,) = await free("wrong_box", (call(), "<answer>7</answer>"), asked)
    region = crop_of(trajectory).region
    assert all(region.intersect(box).area == 0 for box in boxes)
    assert region.area > 80 * 80


@pytest.mark.parametrize("arm", ["true_box", "wrong_box", "blank_crop", "format_only"])
async def test_a_crop_of_a_crop_is_staged_too(arm: str) -> None:
    asked = a_task(PHOTO, "?", id="a", boxes=(TargetBox(box=LEFT),))
    of_crop = zoom_text(10, 10, 60, 60, image="image_2")
    (trajectory,) = await free(arm, (call(), of_crop, "<answer>7</answer>"), asked)
    assert trajectory.answer == "7"
    for result in (r for r in trajectory.results if r.ok):
        for part in result.content:
            if isinstance(part, Image):
                inside = part.source == PHOTO.source or part.source.digest == PHOTO.source.digest
                assert inside == (arm != "blank_crop")
                assert (part.region == LEFT) == (arm == "true_box")
                assert arm != "wrong_box" or part.region.intersect(LEFT).area == 0


async def test_a_true_box_that_the_zoom_would_refuse_is_shown_in_a_larger_one() -> None:
    small = Box(300, 200, 306, 204)
    asked = a_task(PHOTO, "?", id="a", boxes=(TargetBox(box=small),))
    (trajectory,) = await free("true_box", (call(), "<answer>7</answer>"), asked)
    region = crop_of(trajectory).region
    assert region.coverage(small) == 1
    assert region.width < 60


async def test_boxes_may_be_filled_in_while_tasks_are_drawn() -> None:
    asked, targets = task("a", LEFT), dict[str, tuple[TargetBox, ...]]()
    environment = Environment(DeepEyes(), [ZoomIn()], view=PixelBudget(max_pixels=600 * 400))
    script = ReplayPolicy({"a": (call(), "<answer>7</answer>")})
    player = apply_arm("true_box", script, environment, targets, forced=False)
    targets["a"] = asked.boxes
    assert crop_of(await rollout(player.policy, player.environment, asked)).region == LEFT


async def test_staging_may_begin_behind_a_number_of_honest_calls() -> None:
    staged = StagedZoom(ZoomIn(), "blank", {}, after={"a": 1})
    asked = task("a", LEFT)
    script = (call(), zoom_text(5, 5, 4, 4), call(), "<answer>7</answer>")
    (trajectory,) = await free("agent", script, asked, tools=(staged,))
    first, _, second = trajectory.results
    assert isinstance(first.content[0], Image)
    assert isinstance(second.content[0], Image)
    assert first.content[0].source.digest == PHOTO.source.digest
    assert np.asarray(second.content[0].pixels()).std() == 0


async def test_a_question_without_a_box_is_named_where_one_is_needed() -> None:
    with pytest.raises(ConfigError, match="a: no true box is known"):
        await free("true_box", (call(),), a_task(PHOTO, "?", id="a"))
