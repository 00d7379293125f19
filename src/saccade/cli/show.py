"""A trajectory as text for a terminal: what the model thought, where it looked, what it said."""

from __future__ import annotations

import json
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from saccade.image import Image
from saccade.measures import Summary
from saccade.types import StopReason, Task, ToolResult, Trajectory, Turn

STOPS = {
    StopReason.ANSWER: "answered",
    StopReason.NO_ACTION: "ended without an answer",
    StopReason.MAX_TURNS: "out of turns",
    StopReason.MAX_TOKENS: "out of tokens",
    StopReason.MAX_IMAGES: "out of images",
    StopReason.TIMEOUT: "out of time (not the model's fault; unscored)",
    StopReason.ABORTED: "aborted (not the model's fault; unscored)",
}


def show_task(console: Console, task: Task) -> None:
    """The question, its images and its options."""
    for number, image in enumerate(task.images, start=1):
        console.print(Text(f"image_{number}  {image.size} pixels", style="dim"))
    console.print(Text(task.question, style="bold"))
    for letter, choice in zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", task.choices, strict=False):
        console.print(Text(f"  {letter}. {choice}"))


def show_turns(console: Console, trajectory: Trajectory) -> None:
    """Every turn, then how it ended and what it scored."""
    for part in trajectory.prompt[-1].content:
        if isinstance(part, Image):
            console.print(Text(f"shown to the model at {part.size}", style="dim"))
    for number, turn in enumerate(trajectory.turns, start=1):
        _show_turn(console, number, turn)
    _show_end(console, trajectory)


def summary_table(groups: Mapping[str, Summary], total: Summary) -> Table:
    """A row for each group and one for all; what is not scored has columns of its own."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("")
    for name in ("n", "right", "95 %", "score", "calls", "IoU", "unscored", "timeout", "aborted"):
        table.add_column(name, justify="right")
    rows = dict(groups) if len(groups) > 1 else {}
    for name, s in (rows | {"all": total}).items():
        interval = "-" if s.low is None else f"{s.low:.3f}-{s.high:.3f}"
        numbers = [_number(v) for v in (s.accuracy, s.score, s.calls, s.iou)]
        table.add_row(
            name, str(s.scored), numbers[0], interval, *numbers[1:],
            str(s.unscored), str(s.timeout), str(s.aborted),
        )  # fmt: skip
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _show_turn(console: Console, number: int, turn: Turn) -> None:
    console.print(Text(f"turn {number}", style="cyan"))
    if turn.action.thought:
        console.print(Text(f"  thinks   {_line(turn.action.thought)}", style="italic"))
    for problem in turn.action.problems:
        console.print(Text(f"  problem  {problem.kind.value}", style="yellow"))
    for call in turn.action.calls:
        arguments = _line(json.dumps(call.arguments, ensure_ascii=False))
        console.print(Text(f"  calls    {call.name} {arguments}"))
    for result in turn.results:
        _show_result(console, result)
    if turn.dropped:
        console.print(Text(f"  the observation was left out ({turn.dropped})", style="yellow"))
    if turn.action.answer is not None:
        console.print(Text(f"  answers  {_line(turn.action.answer)}", style="bold green"))


def _show_result(console: Console, result: ToolResult) -> None:
    if result.error is not None:
        console.print(Text(f"  error    {_line(result.error)}", style="red"))
    for part in result.content:
        if isinstance(part, Image):
            where = ", ".join(f"{v:g}" for v in part.region)
            text = f"  sees     pixels [{where}] of its source, shown at {part.size}"
        else:
            text = f"  reads    {_line(part)}"
        console.print(Text(text))


def _show_end(console: Console, trajectory: Trajectory) -> None:
    end = STOPS[trajectory.stop] if trajectory.stop else "under way"
    if trajectory.error:
        end += f": {_line(trajectory.error)}"
    console.print(Text(f"{end}, {trajectory.seconds:.1f} s", style="dim"))
    score = trajectory.score
    if score is not None:
        parts = "  ".join(f"{name} {value:+g}" for name, value in score.parts.items())
        console.print(Text(f"score {score.value:g}  ({parts})"))


def _line(text: str, limit: int = 400) -> str:
    """One line without control characters: text in a trajectory is hostile to terminals too."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return flat if len(flat) <= limit else flat[: limit - 3] + "..."
