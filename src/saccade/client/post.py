"""One HTTP request to a server over httpx; imported when the first one is sent."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from functools import cache

import httpx

from saccade.client.failures import Response, Retry
from saccade.errors import ServiceError, ServiceTimeout
from saccade.untrusted.redactor import Redactor

_NO_PROXY = {f"all://{host}": None for host in ("127.0.0.1", "localhost", "[::1]")}
"""Requests to this machine bypass a proxy of the environment, which could not reach it."""


_PACKED = ("gzip", "deflate")
"""Ways to pack a reply, of which the unpacked size of a piece is bounded."""


CONNECT_S = 20.0
"""Seconds until a server must have taken a connection: one that is gone is not waited for."""
GATEWAY = (502, 503, 504)
"""What a gateway says whose server is gone, and a server that still loads its model."""
CHECK_S = 10.0
"""Seconds until a server that failed must have answered a question without content."""


class _Address(httpx.URL):
    """A URL that is logged without its query: httpx logs each request, and it may hold a secret."""

    def __str__(self) -> str:
        return str(self.copy_with(query=None))


def new_client() -> httpx.AsyncClient:
    """A client that follows no redirects, since these could take the key elsewhere."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
    return httpx.AsyncClient(
        timeout=httpx.Timeout(None, connect=CONNECT_S),
        limits=limits,
        follow_redirects=False,
        mounts=_NO_PROXY,
        verify=trusted_certificates(),
    )


async def post(
    client: httpx.AsyncClient,
    address: str,
    data: bytes,
    headers: Mapping[str, str],
    *,
    name: str,
    timeout_s: float,
    max_bytes: int,
    redact: Redactor,
) -> Response:
    """Send a body and read the response to its end, whatever its status is.

    Args:
        client: Of `new_client`.
        address: The whole URL.
        data: The body.
        headers: Of the request.
        name: What the server is called in messages.
        timeout_s: Seconds until the response must have come whole.
        max_bytes: Longer responses are refused.
        redact: Hides what the request holds of the environment, wherever the response repeats it.

    Raises:
        Retry: no whole response came.
        ServiceError: the response is too long, or packed in a way that was not asked for.
    """
    request = _request(client, "POST", address, data, headers)
    return await _answer(client, request, name, timeout_s, max_bytes, redact)


async def get(
    client: httpx.AsyncClient,
    address: str,
    headers: Mapping[str, str],
    *,
    name: str,
    timeout_s: float,
    max_bytes: int,
    redact: Redactor,
) -> Response:
    """Ask without a body; the same as `post` in all else."""
    request = _request(client, "GET", address, None, headers)
    return await _answer(client, request, name, timeout_s, max_bytes, redact)


def _request(
    client: httpx.AsyncClient,
    method: str,
    address: str,
    data: bytes | None,
    headers: Mapping[str, str],
) -> httpx.Request:
    told = {"Accept-Encoding": ", ".join(_PACKED), **headers}
    request = client.build_request(method, address, content=data, headers=told)
    request.url = _Address(address)
    return request


async def _answer(
    client: httpx.AsyncClient,
    request: httpx.Request,
    name: str,
    timeout_s: float,
    max_bytes: int,
    redact: Redactor,
) -> Response:
    """The whole response to a request, without its secrets."""
    content = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            response = await client.send(request, stream=True)
            try:
                packed = response.headers.get("content-encoding", "identity").strip().lower()
                if packed not in (*_PACKED, "identity", ""):  # twice is any size: it is not begun
                    raise ServiceError(f"{name}: a reply that is packed as {redact(packed)!r}")
                async for piece in response.aiter_bytes():
                    content += piece
                    if len(content) > max_bytes:
                        raise ServiceError(f"{name}: a reply of more than {max_bytes} bytes")
            finally:
                await response.aclose()
    except TimeoutError:
        raise Retry(ServiceTimeout(f"{name}: no reply within {timeout_s:g} s")) from None
    except httpx.HTTPError as error:
        reason = redact(str(error)) or type(error).__name__
        sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
        # What h11 says of a header line that is none holds the line: it is no cause to be printed.
        cause = error if reason == str(error) else None
        raise Retry(ServiceError(f"{name}: {reason}"), sent=sent) from cause
    fields = {key.lower(): redact(value) for key, value in response.headers.items()}
    return Response(response.status_code, fields, redact.content(bytes(content)))


async def unpacked(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    body: bytes | None,
    kind: str,
    *,
    max_bytes: int,
) -> Response:
    """The answer of a host of ours, of limited length and not packed: it could be anything.

    Args:
        client: With the headers and times of all requests.
        method: Of the request.
        url: The whole address.
        body: What is sent; None: nothing.
        kind: Media type of the body.
        max_bytes: Longer answers are refused.

    Raises:
        httpx.HTTPError: no whole answer came.
        ServiceError: it is too long or packed.
    """
    headers = {"Accept-Encoding": "identity"} | ({} if body is None else {"Content-Type": kind})
    async with client.stream(method, url, content=body, headers=headers) as reply:
        if reply.headers.get("content-encoding", "identity") != "identity":
            raise ServiceError(f"{url}: an answer that is packed, which was not asked for")
        data = bytearray()
        async for piece in reply.aiter_raw():
            data += piece
            if len(data) > max_bytes:
                raise ServiceError(f"{url}: an answer of more than {max_bytes:,} bytes")
        fields = {name.lower(): value for name, value in reply.headers.items()}
        return Response(reply.status_code, fields, bytes(data))


async def answers(client: httpx.AsyncClient, address: str, headers: Mapping[str, str]) -> bool:
    """Whether a server answers a GET, with whatever status; its content is not read."""
    request = client.build_request("GET", address, headers=dict(headers))
    request.url = _Address(address)
    try:
        async with asyncio.timeout(CHECK_S):
            response = await client.send(request, stream=True)
            await response.aclose()
    except (TimeoutError, httpx.HTTPError):
        return False
    return response.status_code not in GATEWAY


@cache
def trusted_certificates() -> ssl.SSLContext:
    """The certificates that this process trusts: reading them takes longer than a local reply."""
    return httpx.create_ssl_context()
