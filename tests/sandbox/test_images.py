"""Images of a notebook: how many there may be, and that none of them holds up the event loop."""

import asyncio
import io
import random
import threading
from typing import Any

import pytest
from at_once import AtOnce
from PIL import Image as PILImage
from unhurried import UNHURRIED
from waiting import LIMIT_S, Clock, longest_hold

from saccade.errors import ImageError, ServiceTimeout, ToolError
from saccade.images.geometry import CoordSpace, PixelBudget
from saccade.images.image import Image
from saccade.sandbox import Notebook, Sandbox, SandboxOptions, Session, replay, threads
from saccade.sandbox.cells import Cell
from saccade.sandbox.memory import kept_bytes, shared_image
from saccade.tools.python import Python, PythonOptions
from saccade.types import ToolContext

SHARED = 700, 600
"""Size of an image that is too large to be copied into a session."""


def context(*images: Image) -> ToolContext:
    return ToolContext(
        task_id="t", images=list(images), coords=CoordSpace.ABSOLUTE,
        observation=PixelBudget(), seed=0,
    )  # fmt: skip


def noise(width: int, height: int) -> PILImage.Image:
    return PILImage.frombytes("RGB", (width, height), random.randbytes(3 * width * height))


async def test_more_large_images_than_a_session_may_open_files(notebook: Notebook) -> None:
    images = [PILImage.new("RGB", SHARED, (number, 0, 0)) for number in range(2)]
    for number in range(1, 141):
        await notebook.give(f"image_{number}", images[number % 2])
    cell = await notebook.run(
        "image_140.getpixel((3, 3)), image_1.crop((0, 0, 9, 9)).getpixel((0, 0))"
    )
    assert cell.value == "((0, 0, 0), (1, 0, 0))", cell.error
    assert notebook.restarts == 0


async def test_images_beyond_the_memory_are_refused_and_the_limit_is_named(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "IMAGES_SHARE", 2 / UNHURRIED.memory_mib)
    image = PILImage.new("RGB", SHARED)
    await notebook.give("image_1", image)
    await notebook.run("1")
    for name in ("image_2", "image_1"):
        with pytest.raises(
            ToolError, match=rf"{name} \(700x600\) is not there: images may take 2 M"
        ):
            await notebook.give(name, image)
    assert (await notebook.run("image_1.size, 'image_2' in globals()")).value == (
        "((700, 600), False)"
    )


async def test_what_a_notebook_refuses_is_an_observation(
    tool: Python, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "IMAGES_SHARE", 1 / UNHURRIED.memory_mib)
    large = Image.from_pixels(PILImage.new("RGB", SHARED))
    small = Image.from_pixels(PILImage.new("RGB", (9, 9)))
    async with tool.open(context(*[large] * 5, small)) as call:
        (text,) = (await call({"code": "image_6.size, 'image_1' in globals()"})).content
        assert "((9, 9), False)" in str(text)
        assert "image_1 (700x600) is not there" in str(text)
        assert "2 more images are not there" in str(text)
        (text,) = (await call({"code": "1"})).content
        assert "not there" not in str(text)


HOG = "held = []\ntry:\n    while True: held.append({})\nexcept {}: pass"


@pytest.mark.parametrize(
    ("code", "what"),
    [
        (HOG.format("__import__('mmap').mmap(-1, 1 << 20, flags=34)", "OSError"), "memory"),
        (HOG.format("open('f', 'w')", "OSError"), "descriptor"),
    ],
)
async def test_an_image_for_which_a_cell_has_left_no_room_is_told(
    notebook: Notebook, code: str, what: str
) -> None:
    await notebook.run(code)
    await notebook.give("image_1", PILImage.new("RGB", SHARED))
    cell = await notebook.run("del held\n'image_1' in globals()")
    assert cell.value == "False"
    assert cell.notes == (f"image_1 is not there: cells had left no {what} for it",)
    await notebook.give("image_1", PILImage.new("RGB", SHARED))
    assert (await notebook.run("image_1.size")).value == str(SHARED)
    assert notebook.restarts == 0


async def test_images_arrive_whatever_a_cell_has_replaced(notebook: Notebook) -> None:
    await notebook.run("import PIL.Image; PIL.Image.open = PIL.Image.new = None")
    await notebook.give("image_1", PILImage.new("RGB", SHARED))
    assert (await notebook.run("image_1.getpixel((0, 0))")).value == "(0, 0, 0)"


CRUMBS = """
import json, os
head = {"number": 1, "status": "ok", "value": None, "error": None, "notes": [], "images": [[4, 4]]}
os.write(3, b"R" + json.dumps(head).encode())
for _ in range(48):
    os.write(3, b"D0")
"""


@pytest.mark.parametrize("off", [frozenset(), frozenset({"channel"})])
async def test_pixels_come_in_no_more_packets_than_they_need(
    sandbox: Sandbox, off: frozenset[str]
) -> None:
    session = await sandbox.session(off=off)
    cell = await session.run(CRUMBS)
    assert cell.status == ("ok" if off else "killed")
    assert off or "sent back what it must not (pixels)" in str(cell.error)
    session.close()


@pytest.mark.parametrize(
    ("name", "size"),
    [("image_1", (0, 5)), ("image_1", (5, 0)), ("a b", (1, 1)), ("x=1;y", (1, 1)), ("if", (1, 1)),
     ("../x", (1, 1)), ("", (1, 1))],
)  # fmt: skip
async def test_what_is_no_image_or_no_name_is_refused(
    notebook: Notebook, name: str, size: tuple[int, int]
) -> None:
    with pytest.raises(ImageError, match="notebook: "):
        await notebook.give(name, PILImage.new("RGB", size))
    assert (await notebook.run("1")).value == "1"


SLEEPY = """
import sys, time
for frame in (sys._getframe(n) for n in range(8)):
    if '_recv' in frame.f_globals:
        frame.f_globals['_recv'] = lambda *given: time.sleep(3600)
        break
"""
"""From now on the session takes nothing from its channel."""


async def test_a_session_that_takes_no_images_is_given_up(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, stop, run = Clock(), Session._stop, Session.run
    sleepy: list[Session] = []

    async def noted(session: Session, code: str, **given: Any) -> Cell:
        if code == SLEEPY:
            sleepy.append(session)
        return await run(session, code, **given)

    def late(session: Session, stopped: bool) -> None:
        stop(session, stopped)
        if session in sleepy and not stopped and session.ended is None and filling:
            clock.forward(10 * LIMIT_S)

    filling, number = False, 0
    monkeypatch.setattr(Session, "run", noted)
    monkeypatch.setattr(Session, "_stop", late)
    async with sandbox.notebook() as notebook:
        await notebook.run("x = 1")
        await notebook.run(SLEEPY)
        filling = True
        while notebook._session is not None and notebook._session.ended is None:
            number += 1
            await notebook.give(f"image_{number}", PILImage.new("RGB", (2, 2)))
        assert 10 < number < 2000
        cell = await notebook.run(f"x, image_1.size, image_{number}.size")
        assert cell.value == "(1, (2, 2), (2, 2))", cell
        assert "cell 2 ended the process when run again" in str(cell.notes)
        assert notebook.restarts == len(sleepy) == 2


@pytest.fixture
def tool(sandbox: Sandbox) -> Python:
    """With the sandbox of all tests, which nobody has to start for it."""
    made = Python(PythonOptions(sandbox=SandboxOptions(limits=UNHURRIED)))
    made._sandbox = sandbox
    return made


async def look(tool: Python) -> float:
    """How long the loop is held up by a cell that is given a photograph and shows it."""
    file = io.BytesIO()
    noise(1000, 800).save(file, "JPEG")
    async with tool.open(context(Image.from_bytes(file.getvalue()))) as call:
        output, held = await longest_hold(call({"code": "image_1"}))
    assert len(output.content) == 2
    return held


async def test_images_do_not_hold_up_the_event_loop(
    tool: Python, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = await look(tool)
    monkeypatch.setattr(threads, "POOL", AtOnce())
    assert beside < (await look(tool)) / 4


async def test_work_that_takes_too_long_is_given_up() -> None:
    clock, end = Clock(), threading.Event()
    waiting = asyncio.create_task(threads.in_thread(lambda: end.wait(LIMIT_S)))
    while not waiting.done():
        clock.forward(threads.WORK_SECONDS)
        await asyncio.sleep(0.001)
    end.set()
    with pytest.raises(ServiceTimeout, match="not converted in 120 seconds"):
        await waiting
    assert await threads.in_thread(lambda: 2) == 2


def test_memory_of_images_is_kept_no_longer_than_they_are() -> None:
    before = kept_bytes()
    image = PILImage.new("RGB", (1000, 1000))
    shared_image(image)
    assert kept_bytes() == before + 3_000_000
    del image
    assert kept_bytes() == before
