"""Pictures in a terminal: two pixels to a character, only where the colours are there."""

import asyncio
import io
import re

import numpy as np
import pytest
from building import played
from PIL import Image as PILImage
from rich.console import Console

from saccade.cli.common.show import picture, show_turns, summary_table
from saccade.images.geometry import Box
from saccade.images.image import Image
from saccade.measures.summary import summary
from saccade.nano.deepeyes.oracle import Oracle
from saccade.nano.spec import environment
from saccade.rollout import rollout
from saccade.types import Trajectory
from saccade.world import tasks


def drawn(image: Image, box: Box | None = None) -> np.ndarray:
    """The picture read back from its styles: (H, W, 3)."""
    text = picture(image, box)
    lines = text.plain.split("\n")
    assert {c for line in lines for c in line} == {"\u2580"}
    pixels = np.zeros((2 * len(lines), len(lines[0]), 3), int)
    for span in text.spans:
        row, column = divmod(span.start, len(lines[0]) + 1)
        above, below = str(span.style).split(" on ")
        for offset, colour in enumerate((above, below)):
            pixels[2 * row + offset, column] = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return pixels


def test_every_pixel_is_drawn_with_its_colour() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (28, 14, 3), dtype=np.uint8)
    image = Image.from_pixels(PILImage.fromarray(noise))
    assert (drawn(image) == noise).all()


def test_a_box_is_drawn_around_what_it_holds() -> None:
    black = Image.from_pixels(PILImage.new("RGB", (28, 28)))
    pixels = drawn(black, Box(5, 7, 12, 13))
    assert pixels[6, 4:13].min() == 255
    assert pixels[13, 4:13].min() == 255
    assert pixels[6:14, 4].min() == pixels[6:14, 12].min() == 255
    assert pixels[7:13, 5:12].max() == 0
    assert np.count_nonzero(pixels.sum(-1)) == 2 * 9 + 2 * 6


@pytest.fixture(scope="module")
def trajectory() -> Trajectory:
    task = next(tasks("read0", n=1, seed=3))
    return asyncio.run(rollout(Oracle(), environment(), task))


@pytest.mark.parametrize(
    ("colours", "width", "pictures"), [("truecolor", 100, 2), ("truecolor", 40, 1), (None, 100, 0)]
)
def test_pictures_are_drawn_where_the_terminal_can(
    trajectory: Trajectory, colours: str | None, width: int, pictures: int
) -> None:
    out = io.StringIO()
    console = Console(
        file=out, force_terminal=colours is not None, color_system=colours, width=width
    )  # type: ignore[arg-type]
    show_turns(console, trajectory)
    rows = sum("\u2580" in line for line in out.getvalue().splitlines())
    assert rows == {0: 0, 1: 14, 2: 14 + 28}[pictures]


def test_the_table_of_a_run_fits_80_columns_and_shows_counts_where_there_are_any() -> None:
    scored = summary([])
    aborted = scored.model_copy(update={"aborted": 3, "low": 0.71, "high": 0.83})
    for total, counts in ((scored, []), (aborted, ["aborted"])):
        out = io.StringIO()
        Console(file=out, width=80).print(summary_table({"read": total, "easy": total}, total))
        head, *rows = out.getvalue().splitlines()
        assert re.split(" {2,}| (?=95|acc|rew|tool|mean|ab)", head.strip()) == [
            "n", "accuracy", "95 % CI", "reward", "tool-call rate", "mean IoU", *counts,
        ]  # fmt: skip
        assert [row.split()[0] for row in rows] == ["read", "easy", "all"]
        assert "\u2026" not in out.getvalue()


def test_a_family_of_a_file_is_text_in_the_table_and_repeated_samples_are_said() -> None:
    out, total = io.StringIO(), summary([]).model_copy(update={"scored": 16, "tasks": 2})
    table = summary_table({"[bold]\x1b[2Jx": total, "easy": total}, total)
    Console(file=out, width=80).print(table)
    head, first, *_ = out.getvalue().splitlines()
    assert head.split()[:2] == ["n", "tasks"]
    assert first.split()[:4] == ["[bold]", "[2Jx", "16", "2"]


def test_what_was_written_without_an_answer_is_shown_and_what_may_help() -> None:
    written = "\x1b[2J<think>Hm.</think> The answer " + "is B. " * 400 + "Final: B"
    out = io.StringIO()
    show_turns(Console(file=out, width=1000), asyncio.run(played(written)))
    lines = out.getvalue().splitlines()
    (wrote,) = (line for line in lines if line.startswith("  wrote"))
    assert wrote.startswith("  wrote    [2J<think>Hm.</think> The answer is B.")
    assert wrote.endswith("Final: B")
    assert len(wrote) < 900
    assert "ended without an answer" in out.getvalue()
    assert lines[-1].startswith("what may help: the last reply is neither a call nor an answer")
    assert "\x1b" not in out.getvalue()
