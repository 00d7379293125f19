"""Progress on stderr, stdout is for results: bars in a terminal, plain lines where there is none.

    with bars(quiet=as_json) as progress:
        bar = progress.add_task("episodes", total=400)
        progress.reset(bar, completed=120)                  # they were there already
        progress.update(bar, advance=1, note="accuracy 0.83 (n 12)")

A log of a cluster gets a line at the start, one every `EVERY_S` seconds in which something was
done, and one at the end, also with `--json`, whose result is on stdout:

    episodes 120/400
    episodes 231/400, accuracy 0.83 (n 111), ETA 0:01:10
    episodes 400/400, accuracy 0.81 (n 280), after 0:02:58
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import timedelta

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TimeRemainingColumn,
)
from rich.text import Text

from saccade.cli.common.console import terminal
from saccade.untrusted.printable import one_line

EVERY_S = 30.0


def bars(*, quiet: bool = False) -> Progress:
    """Bars that leave nothing behind; where no terminal is, lines that stay.

    Args:
        quiet: Whether a terminal shows no bars. Lines are printed all the same.
    """
    console = terminal(stderr=True)
    if os.environ.get("RANK", "0") != "0":  # of several processes the first one reports
        console.quiet = True
    if not console.is_interactive:
        return Lines(console)
    console.quiet |= quiet
    columns = (
        _What(), BarColumn(), MofNCompleteColumn(),
        TimeRemainingColumn(), _Note(),
    )  # fmt: skip
    return Progress(*columns, console=console, transient=True)


def one_bar(progress: Progress) -> Callable[[str, int, int], None]:
    """A callback that shows what is under way in one bar: what, how much is done, of how much."""
    bar = progress.add_task("", total=None)

    def on_progress(what: str, done: int, total: int) -> None:
        progress.update(bar, description=what, completed=done, total=total)

    return on_progress


class Lines(Progress):
    """Progress as lines of text."""

    def __init__(
        self,
        console: Console,
        *,
        every_s: float = EVERY_S,
        get_time: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(console=console, disable=True, get_time=get_time)
        self._every_s, self._now = every_s, get_time
        self._began: dict[TaskID, tuple[float, float]] = {}
        """When a task began, and how much of it was there already."""
        self._printed: dict[TaskID, tuple[float, str]] = {}
        """When a line was last printed, and which."""

    def stop(self) -> None:
        """Print how far each task has come."""
        for task in self.tasks:
            self._print(task, at_once=True)

    def add_task(
        self,
        description: str,
        start: bool = True,
        total: float | None = 100.0,
        completed: int = 0,
        visible: bool = True,
        **fields: object,
    ) -> TaskID:
        added = super().add_task(description, start, total, completed, visible, **fields)
        self._begin(added)
        return added

    def reset(
        self,
        task_id: TaskID,
        *,
        start: bool = True,
        total: float | None = None,
        completed: int = 0,
        visible: bool | None = None,
        description: str | None = None,
        **fields: object,
    ) -> None:
        super().reset(
            task_id, start=start, total=total, completed=completed, visible=visible,
            description=description, **fields,
        )  # fmt: skip
        self._begin(task_id)

    def update(
        self,
        task_id: TaskID,
        *,
        total: float | None = None,
        completed: float | None = None,
        advance: float | None = None,
        description: str | None = None,
        visible: bool | None = None,
        refresh: bool = False,
        **fields: object,
    ) -> None:
        super().update(
            task_id, total=total, completed=completed, advance=advance, description=description,
            visible=visible, refresh=refresh, **fields,
        )  # fmt: skip
        task = self._tasks[task_id]
        self._print(task, at_once=task.finished or task_id not in self._printed)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        self.update(task_id, advance=advance)

    def _begin(self, task_id: TaskID) -> None:
        task = self._tasks[task_id]
        self._began[task_id] = (self._now(), task.completed)
        if task.total is not None:
            self._print(task, at_once=True)

    def _print(self, task: Task, *, at_once: bool) -> None:
        now = self._now()
        last, line = self._printed.get(task.id, (now, ""))
        if task.total is None or not (at_once or now - last >= self._every_s):
            return
        count = f"{one_line(task.description)} {task.completed:g}/{task.total:g}".strip()
        if count == line:
            return
        self._printed[task.id] = (now, count)
        self.console.print(Text(self._with_time(task, count, now)), soft_wrap=True)

    def _with_time(self, task: Task, count: str, now: float) -> str:
        began, before = self._began[task.id]
        took, done, left = now - began, task.completed - before, (task.total or 0) - task.completed
        parts = [count, one_line(str(task.fields.get("note", "")))]
        if done > 0:
            seconds = round(took * left / done if left > 0 else took)
            parts.append(f"{'ETA' if left > 0 else 'after'} {timedelta(seconds=seconds)}")
        return ", ".join(part for part in parts if part)


class _What(ProgressColumn):
    """What is under way: names of families, stages and benchmarks are a user's."""

    def render(self, task: Task) -> Text:
        return Text(one_line(task.description))


class _Note(ProgressColumn):
    """What there is to say beside the count."""

    def render(self, task: Task) -> Text:
        return Text(one_line(str(task.fields.get("note", ""))))
