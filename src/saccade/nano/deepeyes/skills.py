"""What a base must be able to do before it goes on: measured by letting it act, greedily."""

from __future__ import annotations

from saccade.measures import Pair, summary
from saccade.nano.deepeyes.corpus import LEGIBLE, SHOW, grounding_of
from saccade.nano.deepeyes.evaluate import evaluate, questions
from saccade.nano.stage import Measured
from saccade.types import Policy, Task


class Exam:
    """Questions of the development split, drawn once."""

    def __init__(self, *, n: int, seed: int) -> None:
        self._asked = {
            family: questions(family, n=n, seed=seed, split="dev")
            for family in ("read0", "read1", "easy")
        }

    def sit(self, policy: Policy) -> Measured:
        """Measure the skills, each as a share of questions.

        Returns:
            `thought_FAMILY`: thoughts that are right. `direct_easy`: large digits read at once.
            `shown`: small digits read when asked to show the object. `own_box`: when asked for the
            digit and forced to call; `iou`: of what these calls showed.
        """
        found: Measured = {}
        small: list[Pair] = []
        shown: list[Pair] = []
        for family, asked in self._asked.items():
            direct = evaluate(policy, asked, "direct")
            found[f"thought_{family}"] = sum(map(_thought_is_right, direct)) / len(direct)
            if family == "easy":
                found["direct_easy"] = summary(direct).accuracy or 0.0
            else:
                small += evaluate(policy, asked, "own_box")
                shown += evaluate(policy, [_show(task) for task in asked], "agent")
        found["shown"] = summary(shown).accuracy or 0.0
        own = summary(small)
        return {**found, "own_box": own.accuracy or 0.0, "iou": own.iou or 0.0}


def _show(task: Task) -> Task:
    """The same scene and digit, asked for so that a base calls: a skill, not yet a decision."""
    prompt = (task.images[0], SHOW[0].format(task.boxes[0].label))
    return task.model_copy(update={"prompt": prompt})


def _thought_is_right(pair: Pair) -> bool:
    """Whether the thought names the place of the asked object, and on which side its width is."""
    task, trajectory = pair
    thought = trajectory.turns[0].action.thought if trajectory.turns else None
    said = grounding_of(thought or "")
    if said is None:
        return False
    shown, truth = trajectory.images[0], task.boxes[0].box
    there = shown.to_source(said.box).iou(truth) >= 0.3
    return there and (said.width > LEGIBLE) == (task.meta["family"] == "easy")
