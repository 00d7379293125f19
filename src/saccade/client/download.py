"""Something of the web, fetched without trusting its address, its server or its size.

    data = download("https://example.org/a.jpg", Hosts.of(True))           # or an ImageError
    page = fetch("https://example.org/", Hosts.of(True), accept="text/*")  # or Unfetched

What this guarantees: only http and https, and only hosts that are allowed. Where these are any,
only addresses of the public internet, each redirect included; the address that was checked is the
one that is connected to, so a name cannot lead elsewhere when it is looked up again (server-side
request forgery). Bytes, seconds and redirects are bounded. What it does not: a host that is named
is trusted, wherever it stands; and looking up a name takes as long as the system lets it. Proxies
of the environment are not used: behind one, nobody sees the address.
"""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast
from urllib.parse import SplitResult, urljoin, urlsplit

from saccade.client.hosts import PORTS, Address, Hosts, Unfetched, address_for, checked
from saccade.client.wordings.pause import pause
from saccade.errors import ImageError
from saccade.untrusted.printable import printable
from saccade.untrusted.secrets import bare

if TYPE_CHECKING:
    import httpx

MAX_BYTES = 64 * 2**20
"""Larger content is refused, unless another limit is given."""
MAX_SECONDS = 30.0
"""Seconds that a download may take, redirects included, unless another limit is given."""
MAX_SILENCE_S = 10.0
"""Seconds that a server may keep silent."""
MAX_REDIRECTS = 5

_NO_ROUTE = (errno.ENETUNREACH, errno.ENETDOWN)
_NO_SOCKET = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS)


class Fetched(NamedTuple):
    """What is behind a URL."""

    data: bytes
    content_type: str
    """As the server says it; may be empty."""
    url: str
    """Where it was found in the end."""


def is_url(text: str) -> bool:
    """Whether a text is the address of something on the web, not a path."""
    return text[:8].lower().startswith(("http://", "https://"))


def download(url: str, hosts: Hosts, *, max_bytes: int = MAX_BYTES) -> bytes:
    """The picture behind a URL.

    Args:
        url: An http or https URL.
        hosts: Where it, and what it redirects to, may stand.
        max_bytes: Longer content is refused.

    Raises:
        ImageError: the URL is not allowed, cannot be fetched, or gives too much.
    """
    try:
        return fetch(
            url, hosts, accept="image/*", max_bytes=max_bytes, max_seconds=MAX_SECONDS
        ).data
    except Unfetched as error:
        named = printable(bare(url))[:200]  # a query may hold a signature
        raise ImageError(f"{named}: {error}") from error


def fetch(
    url: str,
    hosts: Hosts,
    *,
    accept: str,
    max_bytes: int = MAX_BYTES,
    max_seconds: float = MAX_SECONDS,
) -> Fetched:
    """The content behind a URL.

    Args:
        url: An http or https URL.
        hosts: Where it, and what it redirects to, may stand.
        accept: What is wanted, as in the header of this name; the server may send something else.
        max_bytes: Longer content is refused.
        max_seconds: Time that all of it may take, except for looking up names.

    Raises:
        Unfetched: the URL is not allowed, cannot be fetched, or gives too much.
    """
    import httpx

    from saccade.client.post import trusted_certificates

    end, place = _End(time.monotonic() + max_seconds, max_seconds), url
    try:
        with httpx.Client(
            trust_env=False,
            follow_redirects=False,
            verify=trusted_certificates(),
            limits=httpx.Limits(max_keepalive_connections=0),  # each is watched from its start
        ) as client:
            for _ in range(MAX_REDIRECTS + 1):
                found = _get(client, place, hosts, end, accept, max_bytes)
                if isinstance(found, Fetched):
                    return found
                place = urljoin(place, found.location)
    except (httpx.InvalidURL, OSError, ValueError) as error:
        raise Unfetched(f"cannot be fetched ({error})") from error
    raise Unfetched(f"more than {MAX_REDIRECTS} redirects")


def _failure(error: httpx.HTTPError, address: Address) -> Unfetched:
    """What went wrong between this machine and an address."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    number = cause.errno if cause is not None else None
    # Without IPv6, which many networks lack, only its hosts are out of reach.
    no_route = number in _NO_ROUTE and address.version == 4
    reason = str(error) or type(error).__name__
    return Unfetched(
        f"cannot be fetched ({reason})", again=True, ours=no_route or number in _NO_SOCKET
    )


class _End(NamedTuple):
    """When a download must have ended."""

    at: float
    seconds: float
    """How long it may take in all."""

    def left(self) -> float:
        """Seconds until then.

        Raises:
            Unfetched: there are none.
        """
        left = self.at - time.monotonic()
        if left <= 0:
            raise Unfetched(f"took longer than {self.seconds:g} s", again=True)
        return left


class _Stream(Protocol):
    """A connection of httpcore."""

    def get_extra_info(self, info: str) -> socket.socket: ...


class _Watch:
    """Ends a connection when its time is over, whatever it is busy with.

    The client knows seconds of silence only: a header that comes a letter at a time never ends.
    """

    def __init__(self, end: _End) -> None:
        self._end = end
        self._socket: socket.socket | None = None
        self._timer: threading.Timer | None = None

    def connected(self, event: str, info: Mapping[str, object]) -> None:
        """The `trace` extension of httpcore, which is told of each step of a request."""
        if event == "connection.connect_tcp.complete":
            stream = cast(_Stream, info["return_value"])
            self._socket = stream.get_extra_info("socket").dup()  # TLS takes over the other one
            self._timer = threading.Timer(max(0.0, self._end.at - time.monotonic()), self._cut)
            self._timer.daemon = True
            self._timer.start()

    def stop(self) -> None:
        """Let the connection be."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
        if self._socket is not None:
            self._socket.close()

    def _cut(self) -> None:
        assert self._socket is not None
        with suppress(OSError):  # it has ended of itself
            self._socket.shutdown(socket.SHUT_RDWR)


class _Redirect(NamedTuple):
    location: str


def _get(
    client: httpx.Client, url: str, hosts: Hosts, end: _End, accept: str, max_bytes: int
) -> Fetched | _Redirect:
    """The content of one address, or where it sends us."""
    import httpx

    parts = urlsplit(url)
    host, port = checked(parts)
    address = address_for(host, port, hosts)
    shown = f"[{host}]" if ":" in host else host
    watch = _Watch(end)
    request = client.build_request(
        "GET",
        _at(address, port, parts),
        headers={
            "Host": shown if port == PORTS[parts.scheme] else f"{shown}:{port}",
            "Accept": accept,
            "Accept-Encoding": "identity",  # what is packed could unpack to any size
            "User-Agent": "saccade",
        },
        timeout=min(end.left(), MAX_SILENCE_S),
        extensions={"sni_hostname": host, "trace": watch.connected},
    )
    try:
        response = client.send(request, stream=True)
        with closing(response):
            if response.has_redirect_location:
                return _Redirect(response.headers["location"])
            kind = printable(response.headers.get("content-type", ""))[:200]
            return Fetched(_content(response, end, max_bytes), kind, url)
    except httpx.HTTPError as error:
        end.left()
        raise _failure(error, address) from error
    finally:
        watch.stop()


def _at(address: Address, port: int, parts: SplitResult) -> httpx.URL:
    """A URL with an address in place of the host: nothing looks up a name again.

    It is made of the parts that were checked, so that no other reading of the URL counts.
    """
    import httpx

    host = f"[{address}]" if address.version == 6 else str(address)
    query = f"?{parts.query}" if parts.query else ""
    return httpx.URL(f"{parts.scheme}://{host}:{port}{parts.path or '/'}{query}")


def _content(response: httpx.Response, end: _End, max_bytes: int) -> bytes:
    status = response.status_code
    if status != 200:
        busy = status in (408, 425, 429) or status >= 500
        after = pause({k.lower(): v for k, v in response.headers.items()}, "") if busy else None
        raise Unfetched(f"the server answered {status}", again=busy, after=after)
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise Unfetched("the server packed the content, which was not asked for")
    data = bytearray()
    for piece in response.iter_raw():  # as it comes: pieces of a size would wait to be full
        data += piece
        if len(data) > max_bytes:
            raise Unfetched(f"more than {max_bytes / 2**20:g} MiB")
        end.left()
    end.left()  # without a length, one that was cut looks complete
    return bytes(data)
