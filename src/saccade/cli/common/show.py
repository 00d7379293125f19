"""A trajectory as text for a terminal: what the model thought, where it looked, what it said."""

from __future__ import annotations

import json
from collections.abc import Mapping

from PIL import Image as PILImage
from PIL import ImageDraw
from rich.console import Console
from rich.table import Table
from rich.text import Text

from saccade.images.geometry import Box
from saccade.images.image import Image
from saccade.measures.summary import Summary, is_undecided
from saccade.runs.diagnosis import unread_text, what_may_help
from saccade.types import StopReason, Task, ToolResult, Trajectory, Turn, option_letter
from saccade.untrusted.printable import one_line

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
    for i, choice in enumerate(task.choices):
        console.print(Text(f"  {option_letter(i)}. {choice}"))


def show_turns(console: Console, trajectory: Trajectory) -> None:
    """Every turn, then how it ended and what it scored."""
    for part in trajectory.prompt[-1].content:
        if isinstance(part, Image):
            console.print(Text(f"shown to the model at {part.size}", style="dim"))
            if _can_draw(console, part):
                console.print(picture(part, _first_box(trajectory, part)))
    for number, turn in enumerate(trajectory.turns, start=1):
        _show_turn(console, number, turn, trajectory.environment.dialect)
    _show_end(console, trajectory)


def picture(image: Image, box: Box | None = None) -> Text:
    """An image of at most 80x80 pixels as text: half blocks, two pixels to a character.

    Args:
        image: As shown to the model.
        box: Drawn on it, in pixels of the image.
    """
    pixels = image.pixels().copy()
    if box is not None:
        x1, y1, x2, y2 = (round(v) for v in box)
        outline = (x1 - 1, y1 - 1, x2, y2)
        ImageDraw.Draw(pixels).rectangle(outline, outline=(255, 255, 255))
    text = Text()
    for y in range(0, pixels.height - 1, 2):
        if y:
            text.append("\n")
        for x in range(pixels.width):
            above, below = (_colour(pixels, x, row) for row in (y, y + 1))
            text.append("\u2580", style=f"{above} on {below}")
    return text


def _colour(pixels: PILImage.Image, x: int, y: int) -> str:
    channels = pixels.getpixel((x, y))
    assert isinstance(channels, tuple)
    return "#{:02x}{:02x}{:02x}".format(*map(int, channels))


def _can_draw(console: Console, image: Image) -> bool:
    """Whether the terminal has the colours, and the image is small enough to be drawn whole."""
    colours = console.is_terminal and console.color_system in ("truecolor", "256")
    return colours and max(image.size) <= min(80, console.width)


def summary_table(groups: Mapping[str, Summary], total: Summary) -> Table:
    """A row for each group and one for all.

    Where answers are undecided, "at least" is the accuracy if all of them were wrong.
    Episodes that abstained, were not scored or on whose answer no judge decided have columns of
    their own, where there are any; so has the number of tasks, where several samples of a task are
    scored.
    """
    table = Table(box=None, header_style="bold", pad_edge=False, collapse_padding=True)
    table.add_column("")
    columns = ("abstained", "undecided", "unscored", "timeout", "aborted")
    counts = [c for c in columns if getattr(total, c)]
    of = ("tasks",) if total.repeated else ()
    least = ("accuracy_at_least",) if total.left_open else ()
    heads = ("n", *of, "accuracy", "95 % CI", *("at least" for _ in least))
    for head in (*heads, "reward", "tool-call rate", "mean IoU", *counts):
        table.add_column(head, justify="right")
    rows = dict(groups) if len(groups) > 1 else {}
    for name, s in (rows | {"all": total}).items():
        table.add_row(
            Text(one_line(name)), str(s.scored), *(str(getattr(s, c)) for c in of),
            number(s.accuracy), interval(s), *(number(getattr(s, c)) for c in least),
            number(s.score), number(s.tool_call_rate),
            number(s.mean_iou), *(str(getattr(s, c)) for c in counts),
        )  # fmt: skip
    return table


def interval(summary: Summary) -> str:
    """The 95 % interval of an accuracy."""
    return "-" if summary.low is None else f"{summary.low:.2f}-{summary.high:.2f}"


def number(value: float | None) -> str:
    """A share or a mean; a dash where there is none."""
    return "-" if value is None else f"{value:.3f}"


def _show_turn(console: Console, number: int, turn: Turn, dialect: str) -> None:
    console.print(Text(f"turn {number}", style="cyan"))
    if turn.action.thought:
        console.print(Text(f"  thinks   {_line(turn.action.thought)}", style="italic"))
    written = unread_text(turn, dialect)
    if written is not None:
        console.print(Text(f"  wrote    {_ends(written) or '(nothing)'}", style="yellow"))
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
            console.print(Text(f"  sees     pixels [{where}] of its source, shown at {part.size}"))
            if _can_draw(console, part):
                console.print(picture(part))
        else:
            console.print(Text(f"  reads    {_line(part)}"))


def _show_end(console: Console, trajectory: Trajectory) -> None:
    end = STOPS[trajectory.stop] if trajectory.stop else "under way"
    if trajectory.error:
        end += f": {_line(trajectory.error)}"
    if trajectory.turns and trajectory.turns[-1].completion.model:
        end += f", by {_line(trajectory.turns[-1].completion.model)}"
    console.print(Text(f"{end}, {trajectory.seconds:.1f} s", style="dim"))
    if (advice := what_may_help(trajectory)) is not None:
        console.print(Text(f"what may help: {advice}", style="yellow"))
    if is_undecided(trajectory) and trajectory.verdict is not None:
        console.print(Text(f"undecided: {_line(trajectory.verdict.reason)}", style="yellow"))
    score = trajectory.score
    if score is not None:
        parts = "  ".join(f"{name} {value:+g}" for name, value in score.parts.items())
        console.print(Text(f"reward {score.value:g}  ({parts})"))


def _first_box(trajectory: Trajectory, image: Image) -> Box | None:
    """Where the first crop of an image was cut, in pixels of the image."""
    for result in trajectory.executed:
        for part in result.content:
            if isinstance(part, Image) and part.source.digest == image.source.digest:
                return image.from_source(part.region)
    return None


def _line(text: str, limit: int = 400) -> str:
    """One line without control characters: text in a trajectory is hostile to terminals too."""
    flat = one_line(text)
    return flat if len(flat) <= limit else flat[: limit - 3] + "..."


def _ends(text: str, limit: int = 800) -> str:
    """The same for a text whose beginning and end both tell what it was."""
    flat, half = one_line(text), limit // 2
    return flat if len(flat) <= limit else f"{flat[:half]} ... {flat[-half:]}"
