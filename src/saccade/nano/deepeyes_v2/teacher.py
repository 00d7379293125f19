"""A policy that knows the world's truth: it writes the demonstrations of a cold start.

It says where the asked thing is and how wide; what is large it reads at once, what is small it
looks at first. Facts it takes from what a search brought, products from what Python printed, and
what it can know by itself it says without a call. Its turns go through the ordinary environment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from saccade.dialects.deepeyes_v2 import DeepEyesV2
from saccade.nano.deepeyes_v2 import thoughts
from saccade.nano.deepeyes_v2.spec import SEARCH
from saccade.tools.python import NAME as PYTHON
from saccade.tools.zoom import ZOOM
from saccade.types import (
    Action,
    Completion,
    ModelInfo,
    Record,
    Sampling,
    Task,
    ToolCall,
    Trajectory,
)
from saccade.world import task_of
from saccade.world.facts import Thing, value_in

_PRINTED = re.compile(r"stdout:\n```(\d+)```")
UNKNOWN = "I cannot tell."
"""What it answers where a tool brought nothing that it could use."""


class TeacherOptions(Record):
    """The options of a run file."""

    chains: bool = True
    """Whether a sum is added column by column in the thought, or told at once."""


class Teacher:
    """Answers questions of the world about digits, numbers and facts."""

    Options = TeacherOptions
    info = ModelInfo(name="teacher")

    def __init__(self, options: TeacherOptions | None = None) -> None:
        self._chains = (options or TeacherOptions()).chains
        self._dialect = DeepEyesV2()
        self._task = lru_cache(maxsize=1024)(task_of)

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        """Write the right turn.

        Raises:
            ConfigError: the task is none of this world.
        """
        task = self._task(trajectory.task_id)
        action = _turn_of(task, trajectory, chains=self._chains)
        text = self._dialect.write(action).removeprefix(trajectory.prefix)
        return Completion(text=text, model=self.info.name)

    def count_tokens(self, trajectory: Trajectory) -> None:
        """Return None: a teacher has no tokenizer."""

    async def close(self) -> None:
        """Do nothing: a teacher holds no resources."""


def _turn_of(task: Task, trajectory: Trajectory, *, chains: bool) -> Action:
    """The turn that follows: what is thought until a call is needed, or until the answer."""
    turn, thought = 0, []
    for step in _steps(task, trajectory, chains=chains):
        if isinstance(step, str):
            thought.append(step)
            continue
        if turn == len(trajectory.turns):
            return step.model_copy(update={"thought": " ".join(thought)})
        turn, thought = turn + 1, []
    raise AssertionError("an episode goes on after its answer")


def _steps(task: Task, trajectory: Trajectory, *, chains: bool) -> Iterator[str | Action]:
    """What is thought and done in turn; a call ends a turn."""
    view = trajectory.images[0]
    seen = _observed(trajectory)
    numbers = _numbers(task)
    noun = "object" if numbers is None else "plate"
    values: list[int] = []
    for place, target in enumerate(task.boxes):
        x1, y1, x2, y2 = (round(v) for v in view.from_source(target.box))
        yield thoughts.located(noun, target.label, (x1, y1, x2, y2))
        if small := x2 - x1 <= thoughts.LEGIBLE:
            yield _calls(ZOOM, bbox_2d=[x1, y1, x2, y2])
            next(seen, "")
        if numbers is not None:
            yield thoughts.says(numbers[place])
        elif small:
            yield thoughts.reads(int(task.answer or 0))
    if numbers is not None and "facts" not in task.meta:
        values = numbers
    for attribute in _attributes(task):
        thing = Thing(task.boxes[0].label, (numbers or [0])[0])
        yield _calls(SEARCH, query=f"{attribute} {thing.name}")
        told = value_in(next(seen, ""), thing, attribute)
        if told is None:
            yield Action(answer=UNKNOWN)
        else:
            values.append(told)
            yield thoughts.fact(attribute, told)
    if len(values) == 2 and task.meta["reason"]:
        yield _calls(PYTHON, code=f"print({values[0]} * {values[1]})")
        printed = _PRINTED.search(next(seen, ""))
        if printed is None:
            yield Action(answer=UNKNOWN)
        else:
            yield thoughts.result(printed[1])
            yield Action(answer=printed[1])
    elif len(values) == 2 and chains:
        yield thoughts.added(*values)
    elif len(values) == 1:
        yield Action(answer=str(values[0]))
    yield Action(answer=task.answer)


def _numbers(task: Task) -> list[int] | None:
    """The numbers on the asked plates; None where a digit on an object is asked for."""
    if task.meta.get("entities"):
        entities = task.meta["entities"]
        assert isinstance(entities, list)
        return [int(str(name).split()[1]) for name in entities]
    numbers = task.meta.get("numbers")
    return [int(str(number)) for number in numbers] if isinstance(numbers, list) else None


def _attributes(task: Task) -> list[str]:
    facts = task.meta.get("facts")
    if not isinstance(facts, list):
        return []
    return [str(one["attribute"]) for one in facts if isinstance(one, dict)]


def _observed(trajectory: Trajectory) -> Iterator[str]:
    """The text that each turn was answered with."""
    for turn in trajectory.turns:
        yield "".join(message.text for message in turn.observation)


def _calls(name: str, **arguments: object) -> Action:
    return Action.model_validate({"calls": [ToolCall(name=name, arguments=arguments)]})
