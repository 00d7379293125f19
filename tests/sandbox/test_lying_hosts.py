"""Hosts that answer what no host answers: none of it is believed, and none ends the caller."""

import asyncio
import base64
import io
import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from at_once import AtOnce
from PIL import Image as PILImage
from waiting import LIMIT_S, longest_hold

from saccade.errors import ServiceError, ToolError
from saccade.sandbox import hosts, threads
from saccade.sandbox.hosts import HostLost, cell_of
from saccade.sandbox.options import RemoteOptions
from saccade.sandbox.remote import RemoteSandbox

PHOTO = PILImage.new("RGB", (4, 4))
FINE = {"status": "ok", "stdout": "fine"}
Answer = Callable[[BaseHTTPRequestHandler], tuple[int, bytes]]


@contextmanager
def host(answers: dict[str, Answer]) -> Iterator[tuple[str, list[str]]]:
    """A server that answers by the end of the path; its address, and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            asked.append(self.path)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            known = [answers[end] for end in answers if self.path.endswith(end)]
            session = {"id": "a", "sandbox": {"limits": {}}}
            status, body = known[0](self) if known else (200, json.dumps(session).encode())
            with suppress(OSError):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            serving.join()


def always(status: int, answer: object) -> Answer:
    return lambda _: (status, json.dumps(answer).encode())


def at(*urls: str, timeout_seconds: float = LIMIT_S) -> RemoteSandbox:
    return RemoteSandbox(RemoteOptions(urls=urls, timeout_seconds=timeout_seconds))


def png(image: PILImage.Image) -> str:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return base64.b64encode(file.getvalue()).decode()


@pytest.mark.parametrize("session", ["../health", "a b", "a\n", "", "x" * 1000, 3, None])
async def test_a_session_is_named_by_letters_and_digits(session: object) -> None:
    with host({"/v1/sessions": always(201, {"id": session, "sandbox": {}})}) as (url, _):
        async with at(url).notebook() as notebook:
            with pytest.raises(ServiceError, match="none of 1 hosts answers"):
                await notebook.run("1")


@pytest.mark.parametrize(
    "answer",
    [
        {"seconds": float("nan")}, {"seconds": float("inf")}, {"seconds": -1}, {"seconds": 10**400},
        {"images": [png(PILImage.new("1", (3000, 3000)))] * 2},
    ],
)  # fmt: skip
def test_a_cell_has_sensible_seconds_and_few_pixels(answer: dict) -> None:
    with pytest.raises(HostLost):
        cell_of({"status": "ok", **answer})


def test_an_image_is_a_png() -> None:
    file = io.BytesIO()
    PHOTO.save(file, "BMP")
    with pytest.raises(HostLost, match="no PNG"):
        cell_of({"status": "ok", "images": [base64.b64encode(file.getvalue()).decode()]})


def test_an_answer_of_too_many_parts_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b'{"a": [' + b"{}," * 600_000 + b"0]}"
    with pytest.raises(HostLost, match="too many parts"):
        hosts._json("", body)
    monkeypatch.setattr(hosts, "MAX_NODES", 1 << 40)
    assert len(hosts._json("", body)["a"]) == 600_001  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "pause"),
    [("2", 2.0), ("1e9", 5.0), ("inf", 5.0), ("nan", 0.1), ("-3", 0.1), ("", 1.0),
     ("Wed, 21 Oct 2026 07:28:00 GMT", 1.0)],
)  # fmt: skip
def test_when_to_come_back_may_be_anything(said: str, pause: float) -> None:
    assert hosts._pause(said) == pause


async def test_what_is_too_much_for_a_host_is_the_models_mistake() -> None:
    with host({"image_1": always(413, {"error": "too large"}), "/cells": always(200, FINE)}) as (
        url,
        asked,
    ):
        async with at(url).notebook() as notebook:
            with pytest.raises(ToolError, match="too much for its host"):
                await notebook.give("image_1", PHOTO)
            assert (await notebook.run("1")).stdout == "fine"
            assert notebook.restarts == 0
        assert sum(path.endswith("image_1") for path in asked) == 1


async def test_one_cell_does_not_cost_all_hosts() -> None:
    lost: list[AbstractContextManager[tuple[str, list[str]]]]
    lost = [host({"/cells": always(500, {})}) for _ in range(4)]
    with ExitStack() as stack:
        places = [stack.enter_context(one) for one in lost]
        async with at(*(url for url, _ in places)).notebook() as notebook:
            with pytest.raises(ServiceError, match="2 hosts were lost with one cell"):
                await notebook.run("1")
        assert sum(any(path.endswith("/cells") for path in asked) for _, asked in places) == 2


async def test_an_answer_that_never_ends_is_given_up() -> None:
    over = threading.Event()

    def dribble(handler: BaseHTTPRequestHandler) -> tuple[int, bytes]:
        with suppress(OSError):
            handler.send_response(200)
            handler.end_headers()
            while not over.wait(0.01):
                handler.wfile.write(b" ")
        return 200, b""

    with host({"/cells": dribble}) as (url, _):
        try:
            async with (
                at(url, timeout_seconds=0.5).notebook() as notebook,
                asyncio.timeout(LIMIT_S),
            ):
                with pytest.raises(ServiceError, match="none of 1 hosts answers"):
                    await notebook.run("1")
        finally:
            over.set()


async def test_a_cell_that_was_given_up_leaves_its_host() -> None:
    """Nobody knows whether it has run there."""
    begun, over = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slow(handler: BaseHTTPRequestHandler) -> tuple[int, bytes]:
        loop.call_soon_threadsafe(begun.set)
        over.wait(LIMIT_S)
        return 200, json.dumps(FINE).encode()

    with host({"/cells": slow}) as (url, asked):
        async with at(url).notebook() as notebook:
            cell = asyncio.create_task(notebook.run("1"))
            await begun.wait()
            cell.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cell
            over.set()
            await notebook.run("2")
        assert asked.count("/v1/sessions") == 2
        assert asked[-2:] == ["/v1/sessions/a"] * 2  # both are ended


async def test_images_of_hosts_do_not_hold_up_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noise = PILImage.frombytes("RGB", (900, 900), random.randbytes(3 * 900 * 900))
    shown = {"status": "ok", "images": [png(noise)] * 2}

    async def look(url: str) -> float:
        async with at(url).notebook() as notebook:
            _, given = await longest_hold(notebook.give("image_1", noise))
            cell, returned = await longest_hold(notebook.run("1"))
        assert len(cell.images) == 2
        return given + returned

    with host({"image_1": always(200, {}), "/cells": always(200, shown)}) as (url, _):
        beside = await look(url)
        monkeypatch.setattr(threads, "POOL", AtOnce())
        assert beside < await look(url) / 2
