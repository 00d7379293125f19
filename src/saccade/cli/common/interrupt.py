"""Ctrl-C: a command says what is kept and how to go on, and ends within three seconds.

The signal arrives as `KeyboardInterrupt`, and what is open is closed on the way out. What does not
close in time (a thread in a long call, a request under way) is not waited for: what a run keeps is
on the disk already, and survives that. A second Ctrl-C ends at once.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import typer

from saccade.untrusted.printable import printable

CODE = 130
PREPARED = {"run.json", "lock", "images", "examples.json"}
"""What a run folder holds before anything was done."""
GRACE_S = 1.0
"""Seconds that a command has to close what is open; a busy machine needs some more to end it."""


class _Ending:
    """What is said of the command under way when it is interrupted, and whether it was."""

    def __init__(self) -> None:
        self.message = _nothing
        self.said = threading.Event()
        self.saying = threading.Lock()


def _nothing() -> str:
    return "interrupted: this command keeps nothing, and starts anew"


_ending = _Ending()


def keeps(out: Path, command: str = "the same command") -> None:
    """From here on an interrupt says what a run folder keeps, and that `command` resumes."""
    _ending.message = lambda: kept(out, command)


def says(text: str) -> None:
    """From here on an interrupt says this."""
    _ending.message = lambda: text


def kept(out: Path, command: str = "the same command") -> str:
    """What is said when a run is interrupted."""
    states = out.glob("checkpoint-*/trainer_state.json")  # written last
    names = (path.parent.name.partition("-")[2] for path in states)
    steps = [int(name) for name in names if name.isdecimal()]
    if steps:
        return f"interrupted: {out} keeps checkpoint-{max(steps)}; {command} resumes from it"
    if (out / "metrics.jsonl").exists():
        return f"interrupted: {out} has no checkpoint yet (save_steps); {command} starts anew"
    found = [path for path in out.glob("*") if path.name not in PREPARED]
    if not any(path.is_dir() or path.stat().st_size for path in found):
        return f"interrupted: nothing was finished yet, and {out} is free"
    return f"interrupted: {out} keeps what was finished; {command} resumes"


@contextmanager
def ends_in_time() -> Iterator[None]:
    """A command, which Ctrl-C ends.

    Raises:
        Exit: with code 130, when it was interrupted.
    """
    if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
        yield
        return
    _ending.message = _nothing
    _ending.said.clear()
    read, write = os.pipe()
    os.set_blocking(write, False)
    # The interpreter writes the number of a signal here as it arrives, whatever the main thread
    # is doing, and whoever has a handler for it.
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(read,), daemon=True).start()
    watched = False
    try:
        yield
    except KeyboardInterrupt:
        watched = True  # until the process has ended: what is left to close may take long, too
        _say()
        raise typer.Exit(CODE) from None
    finally:
        if not watched:
            signal.set_wakeup_fd(before)
            os.close(write)


def end_process() -> None:
    """End an interrupted process here, if this is one; what is registered for the exit is done.

    Not by the interpreter, which would wait for threads and take down libraries whose own threads
    are at work: some of them abort the process then.
    """
    if not _ending.said.is_set():
        return
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    _end_workers()
    atexit._run_exitfuncs()
    os._exit(CODE)


def _end_workers() -> None:
    """End processes of a pool: they would wait for work for ever, after an end of this kind."""
    if "multiprocessing" in sys.modules:
        for worker in sys.modules["multiprocessing"].active_children():
            worker.kill()


def _leave_the_signals_alone() -> None:
    """In a forked worker, whose own interrupt would count as one of this process."""
    with suppress(ValueError):
        signal.set_wakeup_fd(-1)


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_leave_the_signals_alone)


def _watch(read: int) -> None:
    """End the process some time after the first interrupt, or at the second."""
    if _next_interrupt(read, None) and _next_interrupt(read, GRACE_S) is not False:
        _say()
        _end_workers()
        os._exit(CODE)
    os.close(read)


def _next_interrupt(read: int, timeout_s: float | None) -> bool | None:
    """Wait for an interrupt; None if none came in time, False if the command has ended."""
    until = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        left = None if until is None else max(0.0, until - time.monotonic())
        if not select.select([read], [], [], left)[0]:
            return None
        arrived = os.read(read, 1)
        if not arrived or arrived[0] == signal.SIGINT:
            return bool(arrived)


def _say() -> None:
    """Say it once, whichever thread comes first; the other one waits until it is written."""
    with _ending.saying:
        if _ending.said.is_set():
            return
        show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""  # a bar hides it
        with suppress(OSError):
            typer.echo(f"{show_cursor}{printable(_ending.message())}", err=True)
        _ending.said.set()
