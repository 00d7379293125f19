"""Progress where there is no terminal: a line at the start, now and then, and at the end."""

import io

import pytest
from rich.console import Console

from saccade.cli.common.progress import Lines, bars


class Watch:
    """A clock that a test puts forward."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def lines(watch: Watch, log: io.StringIO) -> Lines:
    return Lines(Console(file=log, width=40, highlight=False), every_s=30, get_time=watch)


def test_a_line_at_the_start_every_thirty_seconds_and_at_the_end(
    lines: Lines, watch: Watch, log: io.StringIO
) -> None:
    with lines:
        bar = lines.add_task("episodes", total=400)
        for number in range(1, 401):
            watch.now += 1
            lines.update(bar, advance=1, note=f"accuracy 0.5 (n {number})")
    printed = log.getvalue().splitlines()
    assert printed[0] == "episodes 0/400"
    assert printed[1] == "episodes 30/400, accuracy 0.5 (n 30), ETA 0:06:10"
    assert printed[-1] == "episodes 400/400, accuracy 0.5 (n 400), after 0:06:40"
    assert len(printed) == 2 + 400 // 30


def test_what_was_there_already_does_not_count_as_fast(
    lines: Lines, watch: Watch, log: io.StringIO
) -> None:
    with lines:
        bar = lines.add_task("steps", total=150)
        lines.console.print("resumed from checkpoint-50")
        lines.reset(bar, completed=50)
        watch.now += 60
        lines.update(bar, completed=60)
    assert log.getvalue().splitlines() == [
        "steps 0/150", "resumed from checkpoint-50", "steps 50/150",
        "steps 60/150, ETA 0:09:00",
    ]  # fmt: skip


def test_a_total_that_is_told_later_and_stages_side_by_side(
    lines: Lines, watch: Watch, log: io.StringIO
) -> None:
    with lines:
        one, two = lines.add_task("", total=None), lines.add_task("direct", total=2)
        lines.update(one, description="net 0: [fgm]", completed=0, total=3)
        lines.advance(two)
        watch.now += 31
        lines.update(one, description="net 0: [pgd]", completed=1)
    assert log.getvalue().splitlines() == [
        "direct 0/2", "net 0: [fgm] 0/3", "net 0: [pgd] 1/3, ETA 0:01:02",
        "direct 1/2, ETA 0:00:31",
    ]  # fmt: skip


def test_lines_go_to_stderr_even_when_bars_would_be_hidden(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log of a job wants them; the result on stdout is untouched."""
    with bars(quiet=True) as progress:
        progress.add_task("steps", total=3)
    assert capsys.readouterr() == ("", "steps 0/3\n")
    monkeypatch.setenv("RANK", "1")  # the second process of a launch
    with bars() as progress:
        progress.add_task("steps", total=3)
    assert capsys.readouterr() == ("", "")
