"""The Python tool: a notebook for each episode, images as variables, results as observations."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from PIL import Image as PILImage
from pydantic import JsonValue
from unhurried import UNHURRIED
from waiting import LIMIT_S

from saccade.dialects.deepeyes import DeepEyes
from saccade.env import Environment
from saccade.errors import ConfigError, ToolError
from saccade.images.geometry import CoordSpace, PixelBudget
from saccade.images.image import Image
from saccade.sandbox.inside.plan import Limits
from saccade.sandbox.libraries import installed
from saccade.sandbox.options import RemoteOptions, SandboxOptions
from saccade.tools.python import Python, PythonOptions
from saccade.types import Part, ToolContext

BUDGET = PixelBudget(factor=14, min_pixels=400, max_pixels=56 * 56)
PHOTO = Image.from_pixels(PILImage.new("RGB", (1000, 500), (200, 100, 50)))


def context(*images: Image) -> ToolContext:
    return ToolContext(
        task_id="t", images=list(images), coords=CoordSpace.ABSOLUTE, observation=BUDGET, seed=3
    )


@pytest.fixture(scope="module")
def tool() -> Iterator[Python]:
    """One for all tests, each of which has an event loop of its own."""
    made = Python(PythonOptions(sandbox=SandboxOptions(limits=UNHURRIED)))
    yield made
    asyncio.run(made.close())


async def ran(
    tool: Python, *codes: str, images: tuple[Image, ...] = (PHOTO,)
) -> list[tuple[Part, ...]]:
    async with tool.open(context(*images)) as call:
        return [(await call({"code": code})).content for code in codes]


async def test_what_a_cell_did_is_shown_as_published(tool: Python) -> None:
    """Layout: DeepEyesV2, deepeyesv2.py, `Code execution result` (its header is the dialect's)."""
    ((shown,),) = await ran(tool, "print('hi')\n6 * 7")
    assert shown == "stdout:\n```hi\n42```\n\nstderr:\n``````"
    ((failed,),) = await ran(tool, "1 / 0")
    assert isinstance(failed, str)
    assert "ZeroDivisionError" in failed.partition("stderr:")[2]


async def test_images_are_there_at_their_native_size(tool: Python) -> None:
    view = PHOTO.fit(BUDGET)
    assert view.size.area <= 56 * 56
    crop = view.crop(view.region.__class__(0, 0, 20, 10)).fit(BUDGET)
    ((text,),) = await ran(
        tool, "image_1.size, image_2.size, image_1.getpixel((9, 9))", images=(view, crop)
    )
    assert "((1000, 500), " in text
    assert "(200, 100, 50))" in text


async def test_a_picture_that_was_saved_unseen_is_told(tool: Python) -> None:
    """What came from the conversation was seen there, and is not told."""
    ((known,), (crop,)) = await ran(
        tool, "image_1.save('a.png')", "image_1.crop((0, 0, 9, 9)).save('b.png')"
    )
    assert known == "stdout:\n``````\n\nstderr:\n``````"
    assert isinstance(crop, str)
    assert crop.removeprefix(str(known)) == (
        "\n\n[a picture was saved but not shown: 'b.png'; display(Image.open('b.png')) shows it]"
    )


async def test_images_come_back_fitted_and_count_from_then_on(tool: Python) -> None:
    seen = context(PHOTO)
    async with tool.open(seen) as call:
        text, figure = (await call({"code": "image_1.crop((0, 0, 700, 300))"})).content
        assert isinstance(figure, Image)
        assert figure.size.area <= 56 * 56
        assert str(text).endswith("Images:\n")
        seen.images.append(figure)  # type: ignore[attr-defined]
        (text,) = (await call({"code": "image_2.size"})).content
        assert "(700, 300)" in str(text)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [({}, "code must be text, got None"), ({"code": 3}, "got 3"), ({"code": "1", "x": 1}, "'x'"),
     ({"code": "#" * 200_000}, "200,000 characters")],
)  # fmt: skip
async def test_what_is_no_cell_is_the_models_mistake(
    tool: Python, arguments: dict[str, JsonValue], match: str
) -> None:
    async with tool.open(context()) as call:
        with pytest.raises(ToolError, match=match):
            await call(arguments)


async def test_a_killed_cell_is_an_observation(tool: Python) -> None:
    (killed,), (after,) = await ran(tool, "import os; os._exit(1)", "image_1.size")
    assert "the process of the session ended" in str(killed)
    assert "(1000, 500)" in str(after)


def processes() -> set[int]:
    """Processes that this one has started."""
    tasks = Path("/proc/self/task")
    return {
        int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()
    }


@pytest.mark.parametrize("remote", [None, RemoteOptions(urls=("http://127.0.0.1:1",))])
def test_to_read_a_spec_starts_nothing(
    monkeypatch: pytest.MonkeyPatch, remote: RemoteOptions | None
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a process was started, or a connection made")

    for where, name in ((os, "fork"), (subprocess, "Popen"), (socket, "socket")):
        monkeypatch.setattr(where, name, never)
    environment = Environment(DeepEyes(), [Python(PythonOptions(remote=remote))])
    libraries = environment.record.tools[0].options["libraries"]
    assert isinstance(libraries, dict)
    assert libraries["numpy"] == metadata.version("numpy")
    assert libraries["sympy"] == metadata.version("sympy")
    assert "numpy, PIL, matplotlib" in environment.record.tools[0].description


def test_to_read_a_spec_loads_no_library_of_cells() -> None:
    code = (
        "import sys; from saccade.tools.python import Python; Python().spec; "
        "assert not {'cv2', 'scipy', 'matplotlib', 'pandas', 'httpx'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def fingerprint(**options: object) -> str:
    tool = Python(PythonOptions.model_validate(options))
    return Environment(DeepEyes(), [tool]).fingerprint


def test_the_fingerprint_says_what_the_model_sees_and_not_where_cells_run() -> None:
    plain = fingerprint()
    remote = {"urls": ["http://a:1"], "token_env": "A_TOKEN"}
    sandbox = {"mode": "landlock", "max_sessions": 3, "scratch": "/var/tmp", "libraries": "long"}
    assert fingerprint(remote=remote) == fingerprint(sandbox=sandbox) == plain
    reordered = dict(reversed(installed().items()))
    assert fingerprint(remote={**remote, "libraries": reordered}) == plain
    others = [
        fingerprint(after_kill="fresh"),
        fingerprint(sandbox={"limits": {"seconds": 3}}),
        fingerprint(remote={**remote, "libraries": {"numpy": "1.0"}}),
        fingerprint(remote={**remote, "protocol": "deepeyes_v2"}),
    ]
    assert len({plain, *others}) == 5


def test_an_environment_can_be_the_same_whatever_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A training on one machine and a demo on another have one fingerprint."""
    bare, some = fingerprint(libraries=[]), fingerprint(libraries=["numpy"])
    monkeypatch.setattr("saccade.tools.python.installed", lambda: {"python": "3.99"})
    assert fingerprint(libraries=[]) == bare != some
    description = Python(PythonOptions(libraries=())).spec.description
    assert "numpy" not in description
    assert "There is no network" in description
    with pytest.raises(ConfigError, match=r"tools\.python\.libraries: numpy not installed"):
        fingerprint(libraries=["numpy"])
    with pytest.raises(ValueError, match="no library 'nunpy'; there are numpy"):
        PythonOptions(libraries=("nunpy",))


async def test_the_tool_owns_its_sandbox() -> None:
    tool, before = Python(PythonOptions(sandbox=SandboxOptions(limits=UNHURRIED))), processes()
    await tool.start()
    (server,) = processes() - before
    await tool.start()
    assert processes() - before == {server}
    assert tool.facts["mode"] in ("namespaces", "landlock")
    assert tool.facts["cgroup"] in ("v1", "v2", "none")
    assert tool.spec.options["libraries"] == tool.facts["libraries"]
    await tool.close()
    assert processes() <= before
    assert await ran(tool, "1 + 1", images=()) == [("stdout:\n```2```\n\nstderr:\n``````",)]
    await tool.close()
    assert processes() <= before


def test_a_tool_serves_several_loops_and_threads_in_turn(tool: Python) -> None:
    """As two calls of `asyncio.run` do, and an `Agent` that is handed on."""
    seen: list[str] = []

    def ask() -> None:
        async def twice() -> None:
            await tool.start()
            both = await asyncio.gather(*(ran(tool, f"{n} + 1", images=()) for n in range(2)))
            seen.extend(str(shown[0]) for (shown,) in both)

        asyncio.run(twice())

    ask()
    for thread in [threading.Thread(target=ask) for _ in range(2)]:
        thread.start()
        thread.join()
    assert [text[len("stdout:\n```")] for text in seen] == ["1", "2"] * 3


async def test_a_cell_has_the_seconds_that_the_spec_names() -> None:
    limits = Limits(seconds=0.2, grace_seconds=LIMIT_S)
    tool = Python(PythonOptions(sandbox=SandboxOptions(limits=limits)))
    assert "a cell may take 0.2 seconds" in tool.spec.description
    ((shown,),) = await ran(tool, "while True: pass", images=())
    await tool.close()
    assert "ran longer than 0.2 s" in str(shown)
