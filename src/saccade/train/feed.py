"""Which questions a step asks: a function of the run file and of the number of the batch alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from saccade.errors import ConfigError
from saccade.recipe import Recipe, make_tasks
from saccade.types import Task


class Question(NamedTuple):
    """A task, and how often all tasks were gone through before it."""

    task: Task
    epoch: int


class Feed:
    """The tasks of a run file in their order, again and again; only the newest are held.

    Going back draws them again from the start, which a resumed run does once.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._next = 0
        self._stream = self._questions()

    def take(self, start: int, count: int) -> list[Question]:
        """Questions number `start` to `start + count`.

        Raises:
            ConfigError: there is no task.
        """
        if start < self._next:
            self._next, self._stream = 0, self._questions()
        while self._next < start:
            self._draw()
        return [self._draw() for _ in range(count)]

    def _draw(self) -> Question:
        self._next += 1
        return next(self._stream)

    def _questions(self) -> Iterator[Question]:
        epoch = 0
        while True:
            empty = True
            for task in make_tasks(self._recipe):
                empty = False
                yield Question(task, epoch)
            if empty:
                raise ConfigError("tasks: there is none to learn from")
            epoch += 1
