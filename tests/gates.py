"""A small gate for tests, and requests as they travel."""

import json

from starlette.responses import JSONResponse, PlainTextResponse, Response

from saccade.errors import ServiceError
from saccade.serve.gate import Body, Call, Endpoint, Gate, GateOptions, Shape
from saccade.types import Record

VARIABLE = "SACCADE_TESTS_TOKEN"
LARGE = b"x" * (8 << 20)


class Word(Record):
    word: str = ""


async def who(call: Call) -> Response:
    return JSONResponse(list(call.client))


async def echo(call: Call) -> Response:
    return JSONResponse((await call.read(Word)).model_dump())


async def swallow(call: Call) -> Response:
    return JSONResponse(len(await call.body()))


async def large(call: Call) -> Response:
    return PlainTextResponse(LARGE)


async def broken(call: Call) -> Response:
    raise RuntimeError("a mistake of ours")


async def failing(call: Call) -> Response:
    raise ServiceError("/path/of/this/machine is full")


ENDPOINTS = [
    Endpoint("GET", "/who", who),
    Endpoint("POST", "/echo", echo, Body.json(8 << 20, Shape(8, 2, 9))),
    Endpoint("PUT", "/swallow", swallow, Body.png(1 << 20)), Endpoint("GET", "/large", large),
    Endpoint("GET", "/broken", broken), Endpoint("GET", "/failing", failing),
]  # fmt: skip


def gate(*off: str, **options: object) -> Gate:
    return Gate(
        GateOptions.model_validate({"port": 0, "token_env": VARIABLE, **options}), ENDPOINTS,
        off=frozenset(off),
    )  # fmt: skip


def served(endpoint: Endpoint, *off: str) -> Gate:
    """A gate with a route of its own."""
    return Gate(GateOptions(port=0, token_env=VARIABLE), [endpoint], off=frozenset(off))


def request(line: str, *headers: str, body: bytes = b"") -> bytes:
    """A request whose connection ends with its answer."""
    names = [header.partition(":")[0].lower() for header in headers]
    own = [] if "host" in names else ["Host: 127.0.0.1"]
    if body and "content-length" not in names:
        own.append(f"Content-Length: {len(body)}")
    head = "\r\n".join([f"{line} HTTP/1.1", *own, "Connection: close", *headers])
    return head.encode("latin-1") + b"\r\n\r\n" + body


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def content(answer: bytes) -> object:
    return json.loads(answer.partition(b"\r\n\r\n")[2])


AS_JSON, AS_PNG = "Content-Type: application/json", "Content-Type: image/png"
ECHO = b'{"word": "hi"}'
CHUNKED = b"e\r\n" + ECHO + b"\r\n0\r\n\r\n"
