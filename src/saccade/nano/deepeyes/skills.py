"""The skills that a base must have before it goes on: measured by letting it act, greedily."""

from __future__ import annotations

from saccade.measures.summary import Pair, summary
from saccade.nano.deepeyes.corpus import LEGIBLE, SHOW, grounding_of
from saccade.nano.evaluate import evaluate, questions
from saccade.nano.stage import Skills
from saccade.types import Policy, Task


class SkillQuestions:
    """Questions of the development split, drawn once and asked at every measurement."""

    def __init__(self, *, n: int, seed: int) -> None:
        self._questions = {
            family: questions(family, n=n, seed=seed, split="dev")
            for family in ("read0", "read1", "easy")
        }

    def measure(self, policy: Policy) -> Skills:
        """Measure the skills of a policy, each as a share of questions.

        Returns:
            `thought_FAMILY`: thoughts that are right. `direct_easy`: large digits read at once.
            `shown`: small digits read when asked to show the object. `own_box`: when asked for the
            digit and forced to call; `iou`: mean IoU of what these calls showed.
        """
        skills: Skills = {}
        small: list[Pair] = []
        shown: list[Pair] = []
        for family, tasks in self._questions.items():
            direct = evaluate(policy, tasks, "direct")
            skills[f"thought_{family}"] = sum(map(_thought_is_right, direct)) / len(direct)
            if family == "easy":
                skills["direct_easy"] = summary(direct).accuracy or 0.0
            else:
                small += evaluate(policy, tasks, "own_box")
                shown += evaluate(policy, [_show(task) for task in tasks], "agent")
        skills["shown"] = summary(shown).accuracy or 0.0
        own = summary(small)
        return {**skills, "own_box": own.accuracy or 0.0, "iou": own.mean_iou or 0.0}


def _show(task: Task) -> Task:
    """The same scene and digit, asked for so that a base calls: a skill, not yet a decision."""
    prompt = (task.images[0], SHOW[0].format(task.boxes[0].label))
    return task.model_copy(update={"prompt": prompt})


def _thought_is_right(pair: Pair) -> bool:
    """Whether the thought names the place of the asked object, and on which side its width is."""
    task, trajectory = pair
    thought = trajectory.turns[0].action.thought if trajectory.turns else None
    grounding = grounding_of(thought or "")
    if grounding is None:
        return False
    shown, truth = trajectory.images[0], task.boxes[0].box
    found = shown.to_source(grounding.box).iou(truth) >= 0.3
    return found and (grounding.width > LEGIBLE) == (task.meta["family"] == "easy")
