"""Hosts that answer what no host answers: none of it is believed, and none ends the caller."""

import asyncio
import base64
import gzip
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
from pydantic import ValidationError
from waiting import LIMIT_S, longest_hold

from saccade.errors import ConfigError, ServiceError, ToolError
from saccade.sandbox import hosts, remote, threads
from saccade.sandbox.hosts import HostLost, cell_of
from saccade.sandbox.options import Offer, RemoteOptions
from saccade.sandbox.remote import RemoteSandbox
from saccade.untrusted.redactor import Redactor

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


async def test_a_session_is_named_by_letters_and_digits() -> None:
    names = ["../health", "a b", "a\n", "", "x" * 1000, 3, None]
    opened = iter(names)

    def begin(_: BaseHTTPRequestHandler) -> tuple[int, bytes]:
        return 201, json.dumps({"id": next(opened), "sandbox": {}}).encode()

    with host({"/v1/sessions": begin}) as (url, _):
        for _ in names:
            async with at(url).notebook() as notebook:
                with pytest.raises(ServiceError, match="the last: no session id"):
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
                at(url, timeout_seconds=0.2).notebook() as notebook,
                asyncio.timeout(LIMIT_S),
            ):
                with pytest.raises(ServiceError, match="none of 1 hosts answers"):
                    await notebook.run("1")
        finally:
            over.set()


def at_length(status: int, body: bytes, **headers: str) -> Answer:
    """An answer with headers of its own."""

    def answer(handler: BaseHTTPRequestHandler) -> tuple[int, bytes]:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True
        return status, b""

    return answer


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        # Twice packed, a few kilobytes are gigabytes.
        ({"/cells": at_length(200, gzip.compress(gzip.compress(json.dumps(FINE).encode())),
                              Content_Encoding="gzip, gzip")}, "an answer that is packed"),
        ({"/cells": at_length(302, json.dumps(FINE).encode(), Location="/v1/else")},
         "HTTP 302; redirects are not followed"),
        ({"/v1/sessions": always(201, {"id": "a", "sandbox": {"a": "x" * 70_000}})},
         "more than 65,536 bytes"),
        ({"/cells": always(200, {**FINE, "notes": [json.loads("[" * 400 + "]" * 400)]})},
         "no JSON"),
    ],
)  # fmt: skip
async def test_what_is_no_answer_of_a_host_is_not_taken(
    answers: dict[str, Answer], reason: str
) -> None:
    with host(answers) as (url, asked):
        async with at(url).notebook() as notebook:
            with pytest.raises(
                ServiceError, match=f"none of 1 hosts answers; the last: .*{reason}"
            ):
                await notebook.run("1")
        assert not any(path.endswith("else") for path in asked)


TOKEN = "the-token-of-these-tests"
BROKEN = TOKEN[:9] + "\x07" + TOKEN[9:]
"""It is whole again once control characters are taken out."""


@pytest.mark.parametrize(
    "answers",
    [
        {"/cells": always(200, {**FINE, "stdout": BROKEN, "notes": [TOKEN], "value": TOKEN})},
        {"/cells": always(200, {"status": TOKEN})},
        {"/cells": always(400, {"error": f"Bearer {TOKEN}"})},
        {"/cells": at_length(422, BROKEN.encode())},
        {"/v1/sessions": always(201, {"id": "a", "sandbox": {"limits": {"seconds": BROKEN}}})},
    ],
)
@pytest.mark.parametrize("hidden", [True, False])
async def test_no_host_has_its_token_repeated(
    monkeypatch: pytest.MonkeyPatch, answers: dict[str, Answer], hidden: bool
) -> None:
    monkeypatch.setenv("SACCADE_SANDBOX_TOKEN", TOKEN)
    if not hidden:
        monkeypatch.setattr(remote, "Redactor", lambda secrets: Redactor({}))
    with host(answers) as (url, _):
        sandbox = RemoteSandbox(RemoteOptions(urls=(url,)), offer=Offer())
        if "/v1/sessions" not in answers:
            monkeypatch.setattr(sandbox, "_offer", None)
        async with sandbox.notebook() as notebook:
            try:
                said = repr(await notebook.run("1"))
            except (ServiceError, ConfigError) as error:
                said = str(error)
    assert (TOKEN in said) is not hidden
    assert ("[the key of SACCADE_SANDBOX_TOKEN]" in said) is hidden


async def test_a_cell_took_no_longer_than_its_answer() -> None:
    with host({"/cells": always(200, {**FINE, "seconds": 1e9})}) as (url, _):
        async with at(url).notebook() as notebook:
            assert (await notebook.run("1")).seconds < LIMIT_S


async def test_a_notebook_that_is_closed_leaves_no_session_behind() -> None:
    begun, over = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slow(handler: BaseHTTPRequestHandler) -> tuple[int, bytes]:
        loop.call_soon_threadsafe(begun.set)
        over.wait(LIMIT_S)
        return 201, json.dumps({"id": "late", "sandbox": {}}).encode()

    with host({"/v1/sessions": slow}) as (url, asked):
        async with at(url).notebook() as notebook:
            cell = asyncio.create_task(notebook.run("1"))
            await begun.wait()
            closing = asyncio.create_task(notebook.close())
            await asyncio.sleep(0)
            over.set()
            with pytest.raises(ServiceError, match="the notebook is closed"):
                await cell
            await closing
        assert asked == ["/v1/sessions", "/v1/sessions/late"]


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ({"urls": ["http://user:pass@a:1"]}, "a URL with a password; name its variable in token_e"),
        ({"urls": ["http://a:1?token=abcdefgh"]}, "expected nothing behind 'http://a:1'; a token"),
        ({"urls": ["http://a:1", "a:1"]}, "expected http://HOST:PORT or https://HOST, got 'a:1'"),
        ({"urls": ["http://a:99999"]}, "Port out of range"),
        ({"token_env": "HOME"}, "may only send variables whose names end in _KEY or _TOKEN"),
    ],
)
def test_where_a_token_goes_and_which_is_said(option: dict, reason: str) -> None:
    with pytest.raises((ConfigError, ValidationError), match=reason) as refused:
        RemoteOptions.model_validate({"urls": ["http://a:1"], **option})
    assert "abcdefgh" not in str(refused.value)
    assert "user:pass" not in str(refused.value)


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
    noise = PILImage.frombytes("RGB", (600, 600), random.randbytes(3 * 600 * 600))
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
