"""Which prompts a step samples: a function of the run file and of the number of the batch alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from saccade.errors import ConfigError
from saccade.recipe import Recipe, make_tasks
from saccade.types import Task


class Prompt(NamedTuple):
    """A task, and how often all tasks were gone through before it."""

    task: Task
    epoch: int


class PromptStream:
    """The tasks of a run file, again and again; only the newest are held.

    Going back draws them again from the start, which a resumed run does once.
    """

    def __init__(self, recipe: Recipe, window: int = 0) -> None:
        """Begin.

        Args:
            recipe: The run file whose tasks are drawn.
            window: Each prompt is drawn at random from the next so many; 0 keeps their order.
        """
        self._recipe, self._window = recipe, window
        self._next = 0
        self._stream = self._prompts()

    def take(self, start: int, count: int) -> list[Prompt]:
        """Prompts number `start` to `start + count`.

        Raises:
            ConfigError: there is no task.
        """
        if start < self._next:
            self._next, self._stream = 0, self._prompts()
        while self._next < start:
            self._draw()
        return [self._draw() for _ in range(count)]

    def _draw(self) -> Prompt:
        self._next += 1
        return next(self._stream)

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
