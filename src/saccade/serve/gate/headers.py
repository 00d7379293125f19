"""What the head of a request must be before anything else of it is looked at."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence

from starlette.types import Scope

from saccade.serve.gate.refusal import Refusal

MOST_HEADERS, MOST_HEADER_BYTES, MOST_PATH_BYTES = 100, 16 << 10, 1024
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")

_PATH = re.compile(rb"/[A-Za-z0-9._~/-]*")
"""Paths have one spelling: what is encoded, a separator or a NUL for instance, names nothing."""
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")


class Headers:
    """The headers of a request, of which those that decide something come once."""

    def __init__(self, scope: Scope) -> None:
        self._pairs: Sequence[tuple[bytes, bytes]] = scope["headers"]

    def all(self, name: bytes) -> list[bytes]:
        """Every value of a name in lower case, in order."""
        return [value for key, value in self._pairs if key == name]

    def one(self, name: bytes) -> bytes | None:
        """The value of a name.

        Raises:
            Refusal: there are several, and who reads the first may be someone else than who reads
                the last.
        """
        values = self.all(name)
        if len(values) > 1:
            raise Refusal(400, f"{name.decode()} comes more than once", close=True)
        return values[0] if values else None

    def check_size(self) -> None:
        """Refuse more than a request of ours needs."""
        size = sum(len(key) + len(value) for key, value in self._pairs)
        if len(self._pairs) > MOST_HEADERS or size > MOST_HEADER_BYTES:
            raise Refusal(431, "too many headers, or too long ones", close=True)


def check_path(scope: Scope) -> None:
    """Refuse paths that have another spelling, and queries: a token in one would be logged.

    Raises:
        Refusal: 404, 414 or 400.
    """
    raw: bytes = scope["raw_path"]
    if len(raw) + len(scope["query_string"]) > MOST_PATH_BYTES:
        raise Refusal(414, "the address is too long")
    if not _PATH.fullmatch(raw):
        raise Refusal(404, "there is nothing here")


def check_framing(headers: Headers) -> None:
    """Refuse bodies whose length is not declared, or that are something else when unpacked.

    Raises:
        Refusal: 411, 415 or 417.
    """
    if headers.all(b"transfer-encoding"):
        raise Refusal(411, "Content-Length is needed; Transfer-Encoding is not taken", close=True)
    if any(value.lower() != b"identity" for value in headers.all(b"content-encoding")):
        raise Refusal(415, "Content-Encoding is not taken", close=True)
    if any(value.lower() != b"100-continue" for value in headers.all(b"expect")):
        raise Refusal(417, "nothing but 100-continue can be expected", close=True)


class Names:
    """The names under which a server may be reached.

    A page whose own name was made to point here (DNS rebinding) is of the same origin as we are,
    and only the name tells. It cannot be one of the loopback interface, under which a port of a
    container is reached as well.
    """

    def __init__(self, host: str, more: Iterable[str], *, local: bool) -> None:
        names = (host, *more, *LOOPBACK_NAMES)
        self._names = {name.strip("[]").lower() for name in names}
        self._local = local

    def check(self, headers: Headers) -> None:
        """Refuse a request that was sent to another name.

        Raises:
            Refusal: 400 or 421.
        """
        match = _HOST.fullmatch(headers.one(b"host") or b"")
        if match is None:
            raise Refusal(400, "Host is missing, or is none", close=True)
        name = match[1].decode().strip("[]").lower()
        if name not in self._names and (self._local or not _is_address(name)):
            raise Refusal(
                421,
                "the name in Host is none of this server's; if it is, name it in its option "
                "allowed_hosts",
            )


def check_origin(headers: Headers) -> None:
    """Refuse what a page of another origin sends: whoever has it open did not ask for it.

    Raises:
        Refusal: 403.
    """
    origin, host = headers.one(b"origin"), headers.one(b"host") or b""
    own = (b"http://" + host, b"https://" + host)
    if origin is not None and origin.lower() not in [each.lower() for each in own]:
        raise Refusal(403, "requests of pages of another origin are not taken")
    if (headers.one(b"sec-fetch-site") or b"none").lower() not in (b"none", b"same-origin"):
        raise Refusal(403, "requests of pages of another site are not taken")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
