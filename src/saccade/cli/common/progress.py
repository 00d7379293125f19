"""Progress bars with the time that is left, on stderr: stdout is for results."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def bars(*, quiet: bool = False) -> Progress:
    """Bars that leave nothing behind."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    return Progress(*columns, console=Console(stderr=True, quiet=quiet), transient=True)


def one_bar(progress: Progress) -> Callable[[str, int, int], None]:
    """A callback that shows what is under way in one bar: what, how much is done, of how much."""
    bar = progress.add_task("", total=None)

    def on_progress(what: str, done: int, total: int) -> None:
        progress.update(bar, description=what, completed=done, total=total)

    return on_progress
