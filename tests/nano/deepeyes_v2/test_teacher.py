"""The teacher answers every family through the real tools, and calls only what is needed."""

import json
import re

from saccade.nano.deepeyes_v2.skills import is_right, play
from saccade.nano.deepeyes_v2.teacher import Teacher, TeacherOptions
from saccade.world import tasks

LOOK, SEARCH, CODE = "image_zoom_in_tool", "search", "python"
CALLS = {
    "read0": [LOOK],
    "read1": [LOOK],
    "easy": [],
    "sum": [],
    "compute": [CODE],
    "compute_far": [LOOK, LOOK, CODE],
    "lookup": [SEARCH],
    "lookup_far": [LOOK, SEARCH],
    "lookup_compute": [SEARCH, SEARCH, CODE],
    "all": [LOOK, SEARCH, SEARCH, CODE],
}


def test_each_family_takes_the_calls_that_it_takes() -> None:
    asked = [next(tasks(family, n=1, seed=5, split="train")) for family in CALLS]
    for (task, trajectory), calls in zip(play(Teacher(), asked), CALLS.values(), strict=True):
        made = [call.name for turn in trajectory.turns for call in turn.action.calls]
        assert made == calls, task.id
        assert is_right((task, trajectory))
        assert not any(turn.action.problems for turn in trajectory.turns)
        if calls[:1] == [LOOK]:  # at the place that it has just said
            first = trajectory.turns[0].action
            said = re.findall(r"\[.*?\]", first.thought or "")
            assert json.loads(said[-1]) == first.calls[0].arguments["bbox_2d"]


def test_what_it_says_was_shown_to_it() -> None:
    """Facts and products are taken from results: with another world's documents it gives up."""
    (task,) = tasks("lookup", n=1, seed=5, split="train")
    lost = task.model_copy(update={"meta": {**task.meta, "entities": ["red 10"]}})
    teacher = Teacher()
    teacher._task = lambda task_id: lost  # type: ignore[assignment]
    ((_, trajectory),) = play(teacher, [task])
    assert trajectory.answer == "I cannot tell."


def test_without_chains_a_sum_is_told_at_once() -> None:
    (task,) = tasks("sum", n=1, seed=5, split="train")
    told = []
    for chains in (True, False):
        ((_, trajectory),) = play(Teacher(TeacherOptions(chains=chains)), [task])
        assert trajectory.answer == task.answer
        told.append(trajectory.turns[0].action.thought or "")
    whole, short = told
    assert " plus " in whole
    assert whole.startswith(short)
    assert " plus " not in short
