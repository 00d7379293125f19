"""A notebook whose process is lost goes on: what is restored, what is not, and that it is said."""

import asyncio
import os
import re
import signal
import threading
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from PIL import Image as PILImage
from unhurried import UNHURRIED
from waiting import LIMIT_S, until

from saccade.errors import ServiceError
from saccade.sandbox import Notebook, Sandbox, Session, pool, replay
from saccade.sandbox.cells import Cell
from saccade.sandbox.replay import Log
from saccade.sandbox.server import Server

END = "import os; os._exit(1)"
STOPPED = "kept = 1\nwhile True: __import__('time').sleep(3600)"
"""A cell that is interrupted, and what it had changed tells whether another is run again."""
AGAIN = "import os, time\nif 'kept' not in globals(): "


async def begin(notebook: Notebook, *codes: str) -> None:
    """Run an interrupted cell and others, and end the process."""
    assert (await notebook.run(STOPPED, seconds=0.1)).status == "timeout"
    for code in codes:
        cell = await notebook.run(code)
        assert cell.status == "ok", cell.error
    assert (await notebook.run(END)).status == "killed"


async def test_an_interrupted_cell_is_not_run_again_and_the_model_is_told(sandbox: Sandbox) -> None:
    async with sandbox.notebook() as notebook:
        await notebook.run("x = 1")
        assert (await notebook.run(STOPPED, seconds=0.1)).status == "timeout"
        await notebook.run("y = x + kept")
        killed = await notebook.run(END)
        assert "as they were before this cell, but for the interrupted cell 2" in str(killed.error)
        cell = await notebook.run("x, 'kept' in globals(), 'y' in globals()")
        assert cell.value == "(1, False, False)"
        assert cell.notes[0] == (
            "cell 2 had been interrupted and cannot be run again, and what it had changed is lost"
        )
        assert cell.notes[1].startswith("cell 3 did something else when run again")
        assert (await notebook.run("x")).notes == ()


async def test_without_that_rule_it_changes_variables_again(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "NOT_AGAIN", frozenset())
    async with sandbox.notebook() as notebook:
        await begin(notebook)
        assert (await notebook.run("'kept' in globals()")).value == "True"


DRAW = """
import os, random, secrets, tempfile, uuid
import numpy as np
drawn = [np.random.default_rng().random(), np.random.RandomState().random(), random.random(),
         random.Random().random(), random.SystemRandom().random(), secrets.token_hex(4),
         os.urandom(4), str(uuid.uuid4()), tempfile.mktemp()]
random.seed(); np.random.seed()
drawn += [random.random(), np.random.random()]
drawn
"""


async def test_unseeded_generators_draw_the_same_again(sandbox: Sandbox) -> None:
    async with sandbox.notebook() as notebook:
        before = await notebook.run(DRAW)
        assert before.status == "ok", before.error
        second = await notebook.run(DRAW)
        assert second.value != before.value
        await begin(notebook, "drawn")
        cell = await notebook.run("drawn")
        assert cell.value == second.value
        assert len(cell.notes) == 1  # of the interrupted one


async def test_without_that_they_draw_something_else(sandbox: Sandbox) -> None:
    off = frozenset({"entropy"})
    sessions = [await sandbox.session(off=off) for _ in range(2)]
    one, other = [(await session.run(DRAW)).value for session in sessions]
    assert one != other
    for session in sessions:
        session.close()


async def test_what_comes_from_the_kernel_or_the_clock_is_said(sandbox: Sandbox) -> None:
    async with sandbox.notebook() as notebook:
        await notebook.run("class A: pass\nA(), __import__('os').getrandom(8)")
        await notebook.run("class A: pass\nA()")  # its address is no difference
        await notebook.run("1 / 0")
        await notebook.run(END)
        (note,) = (await notebook.run("1")).notes
        assert note.startswith(
            "cell 1 did something else when run again: what comes from the clock"
        )


async def test_a_cell_that_ends_the_process_again_is_left_out(sandbox: Sandbox) -> None:
    async with sandbox.notebook(images=[PILImage.new("RGB", (4, 4), "red")]) as notebook:
        await begin(notebook, "x = 1", f"y = 2\n{AGAIN}os._exit(1)", "z = 3")
        cell = await notebook.run("x, 'y' in globals(), z, image_1.getpixel((0, 0))")
        assert cell.value == "(1, False, 3, (255, 0, 0))"
        assert "cell 3 ended the process when run again" in str(cell.notes)
        assert notebook.restarts == 2
        await notebook.run(END)
        assert (await notebook.run("x, z")).value == "(1, 3)"
        assert notebook.restarts == 3


async def test_a_notebook_in_which_cells_keep_dying_goes_on_without_them(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Log, "_leave_out", lambda self, lost: None)
    async with sandbox.notebook(images=[PILImage.new("RGB", (4, 4), "red")]) as notebook:
        await begin(notebook, "x = 1", f"{AGAIN}os._exit(1)")
        cell = await notebook.run("'x' in globals(), image_1.size")
        assert cell.value == "(False, (4, 4))"
        assert "all variables but the images are lost" in str(cell.notes)
        assert notebook.restarts == 1 + replay.ATTEMPTS


POISON = """
import os, sys
for frame in (sys._getframe(n) for n in range(8)):
    if '_recv' in frame.f_globals:
        frame.f_globals['_recv'] = lambda *given: os._exit(1)
        break
"""
"""It is fine itself, and each cell after it ends its process."""


@pytest.mark.parametrize("attempts", [replay.ATTEMPTS, 1000])
async def test_cells_that_end_their_processes_one_after_the_other_are_helped(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, attempts: int
) -> None:
    monkeypatch.setattr(replay, "ATTEMPTS", attempts)
    async with sandbox.notebook(images=[PILImage.new("RGB", (4, 4), "red")]) as notebook:
        await notebook.run(POISON)
        cells = [await notebook.run("image_1.size") for _ in range(4)]
        assert [cell.status for cell in cells[:3]] == ["killed"] * 3
        if attempts == 1000:
            assert cells[3].status == "killed"
        else:
            assert "3 of them in a row all variables but the images are lost" in str(cells[2].error)
            assert cells[3].value == "(4, 4)"


DEAF = f"""
{AGAIN}
    while True:
        try:
            time.sleep(3600)
        except BaseException:
            pass
"""


SLOW = f"{AGAIN}time.sleep(3600)"


@pytest.mark.parametrize(("slow", "bounded"), [(SLOW, True), (DEAF, True), (SLOW, False)])
async def test_a_replay_takes_no_longer_than_the_cell_that_waits_for_it(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, slow: str, bounded: bool
) -> None:
    ran: list[int] = []
    run, again = pool._Place.run, Log.replay

    grace = LIMIT_S

    async def counted(place: pool._Place, code: str, *, seconds: float, number: int) -> object:
        nonlocal grace
        ran.append(number)
        grace = 0.1
        try:
            return await run(place, code, seconds=min(0.1, seconds), number=number)
        finally:
            grace = LIMIT_S

    monkeypatch.setattr(pool._Place, "run", counted)
    monkeypatch.setattr(Session, "_patience", lambda session, seconds: seconds + grace)
    if not bounded:
        monkeypatch.setattr(Log, "replay", lambda log, place, _: again(log, place, LIMIT_S))
    async with sandbox.notebook() as notebook:
        await begin(notebook, "x = 1", slow, slow, slow)
        async with asyncio.timeout(LIMIT_S):
            cell = await notebook.run("1 + 1", seconds=0.1)
        assert cell.status in ("ok", "timeout")
        slow_ones = [number for number in ran if number > 2]
        assert len(slow_ones) <= 1 if bounded else len(slow_ones) == 3


class Sluggish:
    """A place in which each cell takes a second, and each image after it two."""

    outlives_cells = has_ended = False

    def __init__(self) -> None:
        self.waits: list[float | None] = []
        self.ran: list[int] = []

    async def give(self, name: str, image: PILImage.Image, *, seconds: float | None) -> float:
        self.waits.append(seconds)
        return 2.0

    async def run(self, code: str, *, seconds: float | None, number: int) -> Cell:
        self.ran.append(number)
        return Cell("ok", seconds=1.0)


async def test_images_in_a_replay_have_what_cells_have_left() -> None:
    log, place = Log(UNHURRIED, "replay"), Sluggish()
    for name in "abc":
        log.gave(name, PILImage.new("RGB", (2, 2)))
    log.ran(1, "", None, Cell("ok"))
    for name in "def":
        log.gave(name, PILImage.new("RGB", (2, 2)))
    log.ran(2, "", None, Cell("ok"))
    log.ran(3, "", None, Cell("ok"))
    assert await log.replay(place, 7.5) == -0.5
    assert place.waits == [None, None, None, 6.5, 4.5, 2.5]
    assert place.ran == [1, 2]
    assert "cell 3 could not be run again in time" in str(log.take_notes())


async def test_a_cell_that_took_longer_than_there_is_time_is_not_begun(sandbox: Sandbox) -> None:
    async with sandbox.notebook() as notebook:
        await begin(notebook, "x = 1", "import time; time.sleep(0.2); y = 2", "z = 3")
        cell = await notebook.run("1", seconds=0.1)
        assert re.search(r"cells (2, )?3 and 4 could not be run again in time", str(cell.notes))


async def test_a_replay_that_is_given_up_is_begun_again(sandbox: Sandbox) -> None:
    async with sandbox.notebook() as notebook:
        await begin(notebook, "x = 1", f"{AGAIN}print('begun'); time.sleep(3600)")
        waiting = asyncio.create_task(notebook.run("x"))
        await until(lambda: notebook._session is not None and _has_printed(notebook._session))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        cell = await notebook.run("x", seconds=1.5)
        assert cell.value == "1"
        assert cell.notes[-1] == (
            "cell 3 took too long when run again, and what it had changed is there in part"
        )


def _has_printed(session: Session) -> bool:
    return session.ended is None and session.printed_bytes() > 0


async def test_a_replay_given_up_while_it_waits_for_a_core_is_begun_again(
    sandbox: Sandbox,
) -> None:
    async with sandbox.notebook() as notebook:
        await notebook.run("x = 1")
        await notebook.run(END)
        async with AsyncExitStack() as cores:
            for _ in range(os.cpu_count() or 1):
                await cores.enter_async_context(sandbox.turn())
            waiting = asyncio.create_task(notebook.run("x"))
            await until(lambda: notebook._session is not None)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        assert (await notebook.run("x")).value == "1"


async def test_what_is_too_much_to_remember_is_said(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "CODE_CHARS", 10)
    async with sandbox.notebook() as notebook:
        for code in ("x = 1", "y = '12345678'", "z = 3"):
            await notebook.run(code)
        await notebook.run(END)
        cell = await notebook.run("x, 'y' in globals(), 'z' in globals()")
        assert cell.value == "(1, False, False)"
        assert cell.notes == (
            "cells 2 and 3 came after too many, and what they had changed is lost",
        )


async def test_a_process_that_is_lost_between_cells_takes_what_after_kill_says(
    sandbox: Sandbox,
) -> None:
    async with sandbox.notebook(after_kill="fresh") as fresh, sandbox.notebook() as again:
        for notebook in (fresh, again):
            await notebook.run("x = 1")
            assert notebook._session is not None
            pid = notebook._session.pid
            os.kill(pid, signal.SIGKILL)
            await until(lambda pid=pid: not Path(f"/proc/{pid}").exists())  # type: ignore[misc]
            await notebook.give("image_1", PILImage.new("RGB", (2, 2)))
        cell = await fresh.run("'x' in globals(), image_1.size")
        assert cell.value == "(False, (2, 2))"
        assert "all variables but the images are lost" in str(cell.notes)
        assert (await again.run("x, image_1.size")).value == "(1, (2, 2))"
        assert (fresh.restarts, again.restarts) == (1, 1)


async def test_cells_of_a_notebook_run_one_after_the_other(sandbox: Sandbox) -> None:
    async with sandbox.notebook() as notebook:
        cells = [f"import time; n = {n}; time.sleep(0.01); n" for n in range(4)]
        ran = await asyncio.gather(*(notebook.run(code) for code in cells))
        assert [cell.value for cell in ran] == ["0", "1", "2", "3"]


async def test_a_notebook_that_is_closed_ends_its_cell_and_begins_no_session(
    sandbox: Sandbox,
) -> None:
    async with sandbox.notebook() as notebook:
        await notebook.run("1")
        assert notebook._session is not None
        session = notebook._session
        cell = asyncio.create_task(notebook.run("import time; print('begun'); time.sleep(3600)"))
        await until(lambda: session.printed_bytes() > 0)
        await notebook.close()
        assert (await cell).status == "killed"
        with pytest.raises(ServiceError, match="the notebook is closed"):
            await notebook.run("1")


async def slow_start(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> tuple[Server, threading.Event, threading.Event]:
    """From now on a session is made, which the first event says, and there after the second."""
    await sandbox.start()
    server, made, go = sandbox._server, threading.Event(), threading.Event()
    assert server is not None
    spawn = server.spawn

    def slowly(*given: object) -> object:
        session = spawn(*given)  # type: ignore[arg-type]
        made.set()
        go.wait(LIMIT_S)
        return session

    monkeypatch.setattr(server, "spawn", slowly)
    return server, made, go


async def test_a_notebook_that_is_closed_before_it_has_a_session_runs_nothing(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, made, go = await slow_start(sandbox, monkeypatch)
    before = len(server._live)
    async with sandbox.notebook() as notebook:
        cell = asyncio.create_task(notebook.run("1"))
        await until(made.is_set)
        closing = asyncio.create_task(notebook.close())
        await until(lambda: notebook._closed)
        go.set()
        with pytest.raises(ServiceError, match="the notebook is closed"):
            await cell
        await closing
    assert len(server._live) == before


async def test_a_session_that_nobody_waits_for_any_more_is_ended(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, made, go = await slow_start(sandbox, monkeypatch)
    before = len(server._live)
    waiting = asyncio.create_task(sandbox.session())
    await until(made.is_set)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert len(server._live) == before + 1
    go.set()
    await until(lambda: len(server._live) == before)
