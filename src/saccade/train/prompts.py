"""Which prompts a step samples: a function of the run file and of the number of the batch alone.

Families that were dropped on the way (`saccade.train.families`) are passed over from then on.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from saccade.errors import ConfigError
from saccade.recipe import Recipe, make_tasks
from saccade.tasks import UNNAMED
from saccade.types import Task


class Prompt(NamedTuple):
    """A task, and how often all tasks were gone through before it."""

    task: Task
    epoch: int


class PromptStream:
    """The tasks of a run file, again and again; only the newest are held.

    Going back draws them again from the start, which a resumed run does once.
    """

    def __init__(
        self, recipe: Recipe, window: int = 0, *, dropped: Mapping[str, int] | None = None
    ) -> None:
        """Begin.

        Args:
            recipe: The run file whose tasks are drawn.
            window: Each prompt is drawn at random from the next so many; 0 keeps their order.
            dropped: Family -> number of the prompt from which on it is passed over. Entries for
                prompts to come may be added.
        """
        self._recipe, self._window = recipe, window
        self._dropped = {} if dropped is None else dropped
        self._next = 0
        self._stream = self._prompts()

    def take(self, start: int, count: int) -> list[Prompt]:
        """Prompts number `start` to `start + count`.

        Raises:
            ConfigError: there is no task, or all families of them were dropped.
        """
        if start < self._next:
            self._next, self._stream = 0, self._prompts()
        while self._next < start:
            self._draw()
        return [self._draw() for _ in range(count)]

    def _draw(self) -> Prompt:
        begun = None
        for prompt in self._stream:
            dropped_at = self._dropped.get(prompt.task.family or UNNAMED)
            if dropped_at is None or self._next < dropped_at:
                self._next += 1
                return prompt
            begun = prompt.epoch if begun is None else begun
            if prompt.epoch > begun + 1:
                break
        names = ", ".join(self._dropped)
        raise ConfigError(f"tasks: every question is of a family that was dropped ({names})")

    def _prompts(self) -> Iterator[Prompt]:
        epoch = 0
        while True:
            empty = True
            for task in _mixed(make_tasks(self._recipe), self._window, self._recipe.seed, epoch):
                empty = False
                yield Prompt(task, epoch)
            if empty:
                raise ConfigError("tasks: there is none to train on")
            epoch += 1


def _mixed(tasks: Iterator[Task], window: int, seed: int, epoch: int) -> Iterator[Task]:
    """The same tasks, each drawn at random from the `window` that come next."""
    rng = random.Random(f"{seed}/{epoch}")
    held = list(islice(tasks, window))
    for task in tasks:
        if not held:
            yield task
            continue
        place = rng.randrange(len(held))
        held[place], task = task, held[place]
        yield task
    rng.shuffle(held)
    yield from held
