"""A request behind the gate, and how its body is read."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Mapping
from contextlib import ExitStack
from typing import NamedTuple, TypeVar

from pydantic import ValidationError
from starlette.types import Receive, Scope

from saccade.serve.gate.clients import Client
from saccade.serve.gate.headers import Headers
from saccade.serve.gate.quota import Quota
from saccade.serve.gate.refusal import Gone, Refusal
from saccade.types import Record

R = TypeVar("R", bound=Record)
T = TypeVar("T")

FREE_BYTES = 64 << 10
"""Bytes of each body that are not counted with those of others: the number of connections bounds
them, and a small request is read even while large ones take all there is."""


class Shape(NamedTuple):
    """What JSON may be, counted before it is parsed.

    A validator makes an error for each key that it does not know, and those of a few million keys
    take a hundred times the memory of the body, and seconds.
    """

    nodes: int = 64
    """Number of keys and values."""
    depth: int = 4
    """Number of lists and objects within each other."""
    number_chars: int = 32
    """Length of a number."""


class Body(NamedTuple):
    """What a route takes."""

    kind: bytes
    """Its content type. A page of another site can send none of them without being asked first."""
    most: int
    """Number of bytes."""
    shape: Shape | None

    @classmethod
    def json(cls, most: int, shape: Shape | None = None) -> Body:
        """JSON, in UTF-8."""
        return cls(b"application/json", most, shape or Shape())

    @classmethod
    def png(cls, most: int) -> Body:
        """A picture."""
        return cls(b"image/png", most, None)


class Call:
    """A request: who asks, for what, and a body that is read when it is asked for."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        client: Client,
        takes: Body | None,
        bodies: Quota,
        *,
        off: frozenset[str] = frozenset(),
    ) -> None:
        """Look at what the head says of the body.

        Raises:
            Refusal: 411, 413 or 415.
        """
        self.client = client
        self.params: Mapping[str, str] = scope["path_params"]
        self.sent = ExitStack()
        """What is given back when the answer was taken, or there is none."""
        self._receive, self._takes, self._bodies, self._off = receive, takes, bodies, off
        self._taken = 0
        self._check_head(Headers(scope), scope["method"])

    async def body(self) -> bytearray:
        """All of it; counted with the others until the call has ended.

        Raises:
            Refusal: it is too large, as itself or with those of others; JSON of another shape.
        """
        read, most = bytearray(), self._takes.most if self._takes else 0
        scan = None
        if self._takes and self._takes.shape and "shape" not in self._off:
            scan = JsonScan(self._takes.shape)
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            chunk: bytes = message.get("body", b"")
            if len(read) + len(chunk) > most:
                raise _too_large(most)
            if scan is not None:
                scan.feed(chunk)
            read += chunk
            self._count(len(read) - FREE_BYTES)
            if not message.get("more_body", False):
                return read

    async def read(self, kind: type[R]) -> R:
        """A record.

        Raises:
            Refusal: the body is none; names the first key that is wrong, if it is one of ours.
        """
        data = await self.body()
        try:
            return kind.model_validate_json(data or b"{}")
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        finally:
            self._count(0)
        known = [str(key) for key in first["loc"][:1] if key in kind.model_fields]
        what = first["msg"] if known or not first["loc"] else "a key that is not known here"
        if first["type"] == "json_invalid":  # its message counts lines of the body
            what = "no JSON"
        raise Refusal(422, f"{'.'.join(known) or 'body'}: {what}") from None

    async def unless_gone(self, work: Coroutine[None, None, T]) -> T:
        """What `work` returns; it is cancelled when the client leaves. The body was read before.

        Raises:
            Gone: the client has left.
        """
        working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(self._left())
        try:
            await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not working.done() and "gone" not in self._off:
                raise Gone
            await asyncio.wait((working,))
            return working.result()
        finally:
            for task in (working, leaving):
                task.cancel()
            await asyncio.wait((working, leaving))

    def end(self) -> None:
        """The body is needed no more."""
        self._count(0)

    async def _left(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def _check_head(self, headers: Headers, method: str) -> None:
        length = int(headers.one(b"content-length") or b"0")
        if length > (self._takes.most if self._takes else 0):
            raise _too_large(self._takes.most if self._takes else 0)
        shown = headers.one(b"content-type")
        if shown is None and method == "PUT":  # which no page sends without being asked first
            return
        if self._takes and "type" not in self._off:
            kind, _, rest = (shown or b"").partition(b";")
            charset = rest.strip().lower().replace(b'"', b"")
            if kind.strip().lower() != self._takes.kind or charset not in (b"", b"charset=utf-8"):
                raise Refusal(415, f"Content-Type must be {self._takes.kind.decode()}")

    def _count(self, size: int) -> None:
        """Have so much of what all bodies may take together."""
        more, owner = max(0, size) - self._taken, self.client.share
        if "bodies" in self._off or not more:
            return
        if more < 0:
            self._bodies.give_back(owner, -more)
        elif not self._bodies.take(owner, more):
            raise Refusal(429, "too much is being sent at the same time; try again", retry_after=1)
        self._taken += more


def _too_large(most: int) -> Refusal:
    return Refusal(413, f"a body of at most {most} bytes is taken here")


class JsonScan:
    """Counts JSON as it comes; whether it is JSON, the parser finds out.

    Nothing is kept of it, and the work for a part is in proportion to its bytes: strings and runs
    of separators are passed over as a whole, and there are only so many others.
    """

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._nodes = self._depth = self._atom = 0
        self._in_string = self._escaped = False

    def feed(self, part: bytes) -> None:
        """Go on.

        Raises:
            Refusal: 422, more than the shape allows.
        """
        place = 0
        while place < len(part):
            place = self._string(part, place) if self._in_string else self._outside(part, place)

    def _string(self, part: bytes, place: int) -> int:
        if self._escaped:  # the part before this one ended after a backslash
            self._escaped = False
            return place + 1
        match = _IN_STRING.match(part, place)
        assert match is not None
        if match.end() < len(part):
            self._in_string, self._escaped = False, part[match.end()] == _BACKSLASH
            self._in_string = self._escaped
        return match.end() + 1

    def _outside(self, part: bytes, place: int) -> int:
        match = _OUTSIDE.match(part, place)
        assert match is not None
        if match.start(1) > place:
            self._atom = 0
        if length := len(match[1]):
            self._nodes += not self._atom
            self._atom += length
        if match.end() < len(part):
            sign, self._atom = part[match.end()], 0
            self._in_string = sign == _QUOTE
            self._nodes += sign in b'"[{'
            self._depth += 1 if sign in b"[{" else -1 if sign in b"]}" else 0
        if self._nodes > self._shape.nodes:
            raise Refusal(422, f"body: more than {self._shape.nodes} keys and values")
        if not 0 <= self._depth <= self._shape.depth:
            raise Refusal(422, f"body: more than {self._shape.depth} levels, or no JSON")
        if self._atom > self._shape.number_chars:
            raise Refusal(422, f"body: a number of more than {self._shape.number_chars} characters")
        return match.end() + 1


_QUOTE, _BACKSLASH = b'"\\'
_IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
"""To the quote that ends it, or to a backslash that ends the part."""
_OUTSIDE = re.compile(rb'[\s,:]*+([^\s,:"\[\]{}]*+)')
"""Separators, then a number or a word."""
