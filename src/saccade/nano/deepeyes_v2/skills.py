"""The skills that the second base must have: measured by letting it act, greedily."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np

from saccade.measures.summary import Pair
from saccade.nano.deepeyes_v2.corpus import SHOW
from saccade.nano.deepeyes_v2.spec import environment
from saccade.nano.deepeyes_v2.thoughts import LEGIBLE, Located, located_in, said_in
from saccade.nano.stage import Skills
from saccade.rewards import RewardOptions
from saccade.rollout import Job, rollout_many
from saccade.types import Policy, Sampling, Task
from saccade.world import tasks
from saccade.world.facts import facts_of

CONCURRENCY = 256


class SkillQuestions:
    """Questions of the development split, drawn once and asked at every measurement."""

    def __init__(self, *, n: int, seed: int) -> None:
        asked = {
            family: list(tasks(family, n=n, seed=seed, split="dev"))
            for family in ("read0", "read1", "easy", "compute", "compute_far", "sum")
        }
        small = [*asked["read0"][: n // 2], *asked["read1"][: n // 2]]
        asked["shown"] = [_show(task, "object") for task in small]
        asked["shown_plate"] = [_show(task, "plate") for task in asked["compute_far"]]
        rng = np.random.default_rng([seed, 22])
        asked["code"] = [_computed(index, *rng.integers(10, 100, size=2)) for index in range(n)]
        known = list(facts_of("dev", seed).facts.values())
        asked["search"] = [
            Task(
                id=f"lookup-dev-672-s{seed}-{index:05d}",
                prompt=(f"Search for the {fact.attribute} of {fact.thing.name}.",),
                answer=str(fact.value),
                judge="exact",
            )
            for index, fact in enumerate(known[:: max(1, len(known) // n)][:n])
        ]
        self._asked = asked

    def measure(self, policy: Policy) -> Skills:
        """Measure the skills of a policy, each as a share of questions.

        Returns:
            `thought_FAMILY`: first thoughts that place what is asked for rightly. `plates`: both
            numbers of legible plates read. `sum`, `easy`: answered at once. `shown`,
            `shown_plate`: small ones read when asked to show them. `code`: cells that print what
            they were asked to compute. `search`: facts told after a search that was asked for.
        """
        pairs = iter(play(policy, [task for asked in self._asked.values() for task in asked]))
        played = {name: [next(pairs) for _ in asked] for name, asked in self._asked.items()}
        skills: Skills = {
            f"thought_{name}": _share(played[name], _thought_is_right)
            for name in ("read0", "read1", "easy", "compute", "compute_far")
        }
        skills["plates"] = _share(played["compute"] + played["sum"], _plates_are_read)
        for name in ("sum", "easy", "shown", "shown_plate", "search"):
            skills[name] = _share(played[name], is_right)
        skills["code"] = _share(played["code"], _computes)
        return skills


def play(
    policy: Policy,
    questions: Sequence[Task],
    *,
    temperature: float = 0.0,
    samples: int = 1,
    seed: int = 0,
) -> list[Pair]:
    """Attempt questions with all tools; scored pairs in the order of the questions."""
    pairs: list[Pair] = []
    asker = environment()
    asyncio.run(
        rollout_many(
            policy,
            asker,
            [Job(task, sample) for task in questions for sample in range(samples)],
            on_finish=lambda task, trajectory: pairs.append((task, trajectory)),
            concurrency=CONCURRENCY,
            seed=seed,
            sampling=Sampling(temperature=temperature),
            reward=RewardOptions().make(),
        )
    )
    place = {task.id: position for position, task in enumerate(questions)}
    return sorted(pairs, key=lambda pair: (place[pair[0].id], pair[1].sample))


def _show(task: Task, noun: str) -> Task:
    """The same scene, asked for so that a base looks: a skill, not yet a decision."""
    target = task.boxes[0]
    prompt = (task.images[0], SHOW[0].format(target.label, noun))
    answer = task.answer
    if noun == "plate":
        numbers = task.meta["numbers"]
        assert isinstance(numbers, list)
        answer = str(numbers[0])
    return task.model_copy(update={"id": f"show-{task.id}", "prompt": prompt, "answer": answer})


def _computed(index: int, a: int, b: int) -> Task:
    return Task(
        id=f"code-{index}",
        prompt=(f"Compute {a} times {b} with code.",),
        answer=str(a * b),
        judge="exact",
    )


def is_right(pair: Pair) -> bool:
    """Whether the answer of an episode is correct."""
    verdict = pair[1].verdict
    return bool(verdict and verdict.correct)


def _share(pairs: Sequence[Pair], holds: Callable[[Pair], bool]) -> float:
    return sum(map(holds, pairs)) / len(pairs)


def _first_thought(pair: Pair) -> str:
    turns = pair[1].turns
    return (turns[0].action.thought if turns else None) or ""


def _thought_is_right(pair: Pair) -> bool:
    """Whether the first thought places the first asked thing, and on which side its width is."""
    task, trajectory = pair
    said = located_in(_first_thought(pair))[:1]
    return bool(said) and _placed(said[0], task, trajectory.images[0].to_source(said[0].box))


def _placed(said: Located, task: Task, found: object) -> bool:
    target = task.boxes[0]
    large = task.meta["family"] in ("easy", "compute", "sum")
    return (
        said.colour == target.label
        and found.iou(target.box) >= 0.3  # type: ignore[attr-defined]
        and (said.width > LEGIBLE) == large
    )


def _plates_are_read(pair: Pair) -> bool:
    return said_in(_first_thought(pair)) == pair[0].meta["numbers"]


def _computes(pair: Pair) -> bool:
    task, trajectory = pair
    results = [result for turn in trajectory.turns for result in turn.results]
    text = "".join(part for r in results for part in r.content if isinstance(part, str))
    return f"stdout:\n```{task.answer}```" in text
