"""The arms do what they are named after: by what was shown, not by what they say of themselves."""

import numpy as np
import pytest

from saccade.embedded import LOOKS, folder_of
from saccade.images.geometry import Box
from saccade.images.image import Image
from saccade.nano.deepeyes_v2 import spec as deepeyes_v2
from saccade.nano.evaluate import environment_of, evaluate, families_of, questions, table
from saccade.nano.shared import SharedTurns
from saccade.nano.spec import environment
from saccade.policies.hf import HFOptions, HFPolicy
from saccade.policies.replay import ReplayPolicy
from saccade.types import Completion, ModelInfo, Sampling, TargetBox, Task, Trajectory


class Counting(SharedTurns):
    """Notes what the model itself is asked for."""

    def __init__(self, policy: HFPolicy) -> None:
        super().__init__(policy)
        self.asked: list[Trajectory] = []

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        self.asked.append(trajectory)
        return await self._policy.act(trajectory, sampling)


CALLS = [
    '<tool_call>{"name": "image_zoom_in_tool", "arguments": {"bbox_2d": [3, 3, 9, 9]}}</tool_call>',
    "<answer>1</answer>",
]


@pytest.fixture(scope="module")
def policy() -> HFPolicy:
    return HFPolicy(HFOptions(path=str(folder_of(LOOKS))))


@pytest.fixture(scope="module")
def asked() -> list[Task]:
    return questions("read", n=8, seed=21, split="dev")


def crops(trajectory: Trajectory) -> list[Image]:
    return [p for r in trajectory.results for p in r.content if isinstance(p, Image)]


def overlap(a: Box, b: Box) -> float:
    width = min(a.x2, b.x2) - max(a.x1, b.x1)
    height = min(a.y2, b.y2) - max(a.y1, b.y1)
    return max(width, 0) * max(height, 0)


def test_direct_answers_without_a_look(policy: HFPolicy, asked: list[Task]) -> None:
    for _, trajectory in evaluate(policy, asked, "direct"):
        assert len(trajectory.turns) == 1
        assert "<answer>" in trajectory.turns[0].completion.text
        assert not crops(trajectory)


@pytest.mark.parametrize("family", ["read", "easy"])
def test_forced_calls_are_calls_also_where_the_model_would_answer(
    policy: HFPolicy, family: str
) -> None:
    pairs = evaluate(policy, questions(family, n=8, seed=2, split="dev"), "own_box")
    called = ["<tool_call>" in t.turns[0].completion.text for _, t in pairs]
    assert all(called)
    # The thought before the force is the model's own.
    assert all(t.turns[0].completion.text.startswith("<think>") for _, t in pairs)


def test_the_true_box_shows_the_object(policy: HFPolicy, asked: list[Task]) -> None:
    for task, trajectory in evaluate(policy, asked, "true_box"):
        (crop,) = crops(trajectory)
        truth = task.boxes[0].box
        assert overlap(crop.region, truth) == truth.area
        assert crop.size == (28, 28)


def test_the_wrong_box_shows_nothing_of_it(policy: HFPolicy, asked: list[Task]) -> None:
    own = {t.task_id: crops(t) for _, t in evaluate(policy, asked, "own_box")}
    for task, trajectory in evaluate(policy, asked, "wrong_box"):
        (crop,) = crops(trajectory)
        assert overlap(crop.region, task.boxes[0].box) == 0
        assert own[task.id][0].region.width == pytest.approx(crop.region.width, abs=2)


def test_a_wrong_place_is_found_for_any_call_and_any_object(asked: list[Task]) -> None:
    """Also for a call for the whole image, and beside an object that fills most of it."""
    whole = CALLS[0].replace("[3, 3, 9, 9]", "[0, 0, 56, 56]")
    scripted = [Completion(text=whole), Completion(text=CALLS[1])]
    middle = TargetBox(box=Box(204, 204, 468, 468))
    huge = TargetBox(box=Box(30, 40, 660, 640))
    hard = [asked[0].model_copy(update={"boxes": (b,), "id": str(b.box)}) for b in (middle, huge)]
    for task in [*asked, *questions("easy", n=12, seed=4, split="dev"), *hard]:
        policy = ReplayPolicy({task.id: scripted})
        ((_, trajectory),) = evaluate(policy, [task], "wrong_box")
        (crop,) = crops(trajectory)
        assert overlap(crop.region, task.boxes[0].box) == 0


def test_to_the_model_a_staged_tool_looks_like_the_real_one(
    policy: HFPolicy, asked: list[Task]
) -> None:
    prompts = {
        arm: evaluate(policy, asked[:1], arm)[0][1].prompt
        for arm in ("own_box", "wrong_box", "true_box")
    }
    assert prompts["own_box"] == prompts["wrong_box"] == prompts["true_box"]


def test_the_fingerprint_tells_a_staged_tool(policy: HFPolicy, asked: list[Task]) -> None:
    prints = {
        evaluate(policy, asked[:1], arm)[0][1].environment.fingerprint
        for arm in ("own_box", "wrong_box", "true_box")
    }
    assert len(prints) == 3


def test_arms_share_the_turns_that_are_the_same(policy: HFPolicy, asked: list[Task]) -> None:
    """And each arm does what it would have done without the others."""
    counted = Counting(policy)
    shared = SharedTurns(counted)
    for arm in ("own_box", "wrong_box", "true_box"):
        alone = [t.turns for _, t in evaluate(policy, asked, arm)]
        written = [t.turns for _, t in evaluate(shared, asked, arm)]
        for ours, theirs in zip(written, alone, strict=True):
            assert [turn.action for turn in ours] == [turn.action for turn in theirs]
    firsts = [t for t in counted.asked if not t.turns]
    assert len(firsts) == len(asked)
    assert len(counted.asked) == 4 * len(asked), "one first turn, and one for each crop"


def test_another_sampling_is_another_turn(policy: HFPolicy, asked: list[Task]) -> None:
    counted = Counting(policy)
    shared = SharedTurns(counted)
    for temperature, seed in ((0.0, 0), (1.0, 0), (1.0, 1)):
        evaluate(shared, asked[:1], "direct", temperature=temperature, seed=seed)
    assert len(counted.asked) == 3


def test_results_come_in_the_order_of_the_questions(policy: HFPolicy, asked: list[Task]) -> None:
    pairs = evaluate(policy, asked, "agent", samples=2, temperature=1.0)
    assert [(t.id, tr.sample) for t, tr in pairs] == [(t.id, s) for t in asked for s in (0, 1)]


def test_the_table_repeats_itself(policy: HFPolicy) -> None:
    cells: list[tuple[str, int, int]] = []
    first, again = (
        table(
            policy, n=4, seed=5, split="dev", cells={"read0": ["agent"], "easy": ["agent"]},
            on_progress=lambda *cell: cells.append(cell),
        )
        for _ in range(2)
    )  # fmt: skip
    assert cells == 2 * [("read0, agent", 1, 2), ("easy, agent", 2, 2)]
    for family in first:
        a, b = (t[family]["agent"].model_dump(exclude={"seconds"}) for t in (first, again))
        assert a == b
    assert np.isfinite(first["easy"]["agent"].accuracy or 0)


def test_a_model_is_asked_in_the_environment_that_it_was_trained_in() -> None:
    first, second = environment(), deepeyes_v2.environment()
    for model, asker in (
        (ModelInfo(name="of DeepEyes", fingerprints=(first.fingerprint,)), first),
        (ModelInfo(name="of DeepEyesV2", fingerprints=("0" * 16, second.fingerprint)), second),
        (ModelInfo(name="of others"), first),
    ):
        assert environment_of(model).fingerprint == asker.fingerprint
    assert set(families_of(second)) > set(families_of(first))
