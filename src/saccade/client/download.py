"""A picture of the web, fetched without trusting its address, its server or its size.

    data = download("https://example.org/street.jpg", Hosts.of(True))

What this guarantees: only http and https, and only hosts that are allowed. Where these are any,
only addresses of the public internet, each redirect included; the address that was checked is the
one that is connected to, so a name cannot lead elsewhere when it is looked up again (server-side
request forgery). Bytes, seconds and redirects are bounded. What it does not: a host that is named
is trusted, wherever it stands; and looking up a name takes as long as the system lets it. Proxies
of the environment are not used: behind one, nobody sees the address.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self, cast
from urllib.parse import SplitResult, urljoin, urlsplit

from saccade.errors import ConfigError, ImageError
from saccade.untrusted.printable import printable
from saccade.untrusted.secrets import bare

if TYPE_CHECKING:
    import httpx

MAX_BYTES = 64 * 2**20
"""Larger pictures are refused."""
MAX_SECONDS = 30.0
"""Seconds that a download may take, redirects included."""
MAX_SILENCE_S = 10.0
"""Seconds that a server may keep silent."""
MAX_REDIRECTS = 5

_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 addresses that stand for IPv4 ones. Source: RFC 6052, section 2.1."""
_UNICAST = ipaddress.ip_network("2000::/3")
"""All that is public of the others. Source: RFC 4291, section 2.4, and the IANA registry of IPv6
global unicast addresses."""
_SPECIAL = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20")))
"""Not for hosts, though older versions of Python call some of them global. Source: the IANA
registries of special-purpose addresses."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Hosts(NamedTuple):
    """Where pictures may come from."""

    public: bool
    """Whether any host of the public internet is allowed."""
    named: frozenset[tuple[str, int | None]] = frozenset()
    """Hosts that are allowed wherever they stand, each with its port or with any."""

    @classmethod
    def of(cls, allowed: bool | Sequence[str]) -> Self:
        """From an option: False (none), True (any public one), or the names of hosts.

        Raises:
            ConfigError: something else, or a name that is no `host` or `host:port`.
        """
        if isinstance(allowed, bool):
            return cls(allowed)
        listed = isinstance(allowed, list | tuple | set | frozenset)
        if not listed or not all(isinstance(name, str) for name in allowed):
            raise ConfigError(
                "allow_urls: expected true, false or a list of hosts such as ['example.org', "
                f"'10.0.0.5:8080'], got {allowed!r}"
            )
        return cls(False, frozenset(map(_named, allowed)))

    def trusts(self, host: str, port: int) -> bool:
        """Whether a host was named."""
        return bool({(host, port), (host, None)} & self.named)


def is_url(text: str) -> bool:
    """Whether a text is the address of something on the web, not a path."""
    return text[:8].lower().startswith(("http://", "https://"))


def download(url: str, hosts: Hosts, *, max_bytes: int = MAX_BYTES) -> bytes:
    """The content behind a URL.

    Args:
        url: An http or https URL.
        hosts: Where it, and what it redirects to, may stand.
        max_bytes: Longer content is refused.

    Raises:
        ImageError: the URL is not allowed, cannot be fetched, or gives too much.
    """
    import httpx

    from saccade.client.post import trusted_certificates

    ends, place = time.monotonic() + MAX_SECONDS, url
    named = printable(bare(url))[:200]  # a query may hold a signature
    try:
        with httpx.Client(
            trust_env=False,
            follow_redirects=False,
            verify=trusted_certificates(),
            limits=httpx.Limits(max_keepalive_connections=0),  # each is watched from its start
        ) as client:
            for _ in range(MAX_REDIRECTS + 1):
                found = _get(client, place, hosts, ends, max_bytes)
                if isinstance(found, bytes):
                    return found
                place = urljoin(place, found.location)
    except ImageError as error:
        raise ImageError(f"{named}: {error}") from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise ImageError(f"{named}: cannot be fetched ({reason})") from error
    raise ImageError(f"{named}: more than {MAX_REDIRECTS} redirects")


class _Stream(Protocol):
    """A connection of httpcore."""

    def get_extra_info(self, info: str) -> socket.socket: ...


class _Watch:
    """Ends a connection when its time is over, whatever it is busy with.

    The client knows seconds of silence only: a header that comes a letter at a time never ends.
    """

    def __init__(self, ends: float) -> None:
        self._ends = ends
        self._socket: socket.socket | None = None
        self._timer: threading.Timer | None = None

    def connected(self, event: str, info: Mapping[str, object]) -> None:
        """The `trace` extension of httpcore, which is told of each step of a request."""
        if event == "connection.connect_tcp.complete":
            stream = cast(_Stream, info["return_value"])
            self._socket = stream.get_extra_info("socket").dup()  # TLS takes over the other one
            self._timer = threading.Timer(max(0.0, self._ends - time.monotonic()), self._cut)
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
    client: httpx.Client, url: str, hosts: Hosts, ends: float, max_bytes: int
) -> bytes | _Redirect:
    """The content of one address, or where it sends us."""
    import httpx

    parts = urlsplit(url)
    host, port = _checked(parts)
    address = _address(host, port, hosts)
    watch = _Watch(ends)
    request = client.build_request(
        "GET",
        httpx.URL(url).copy_with(host=str(address), fragment=None),
        headers={
            "Host": parts.netloc,
            "Accept": "image/*",
            "Accept-Encoding": "identity",  # what is packed could unpack to any size
            "User-Agent": "saccade",
        },
        timeout=min(_left(ends), MAX_SILENCE_S),
        extensions={"sni_hostname": host, "trace": watch.connected},
    )
    try:
        response = client.send(request, stream=True)
        with closing(response):
            return _read(response, ends, max_bytes)
    except httpx.HTTPError:
        _left(ends)
        raise
    finally:
        watch.stop()


def _read(response: httpx.Response, ends: float, max_bytes: int) -> bytes | _Redirect:
    if response.has_redirect_location:
        return _Redirect(response.headers["location"])
    if response.status_code != 200:
        raise ImageError(f"the server answered {response.status_code}")
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise ImageError("the server packed the content, which was not asked for")
    return _content(response, ends, max_bytes)


def _content(response: httpx.Response, ends: float, max_bytes: int) -> bytes:
    data = bytearray()
    for piece in response.iter_raw():  # as it comes: pieces of a size would wait to be full
        data += piece
        if len(data) > max_bytes:
            raise ImageError(f"more than {max_bytes / 2**20:g} MiB")
        _left(ends)
    _left(ends)  # without a length, one that was cut looks complete
    return bytes(data)


def _left(ends: float) -> float:
    """Seconds until the end."""
    left = ends - time.monotonic()
    if left <= 0:
        raise ImageError(f"took longer than {MAX_SECONDS:g} s")
    return left


def _checked(parts: SplitResult) -> tuple[str, int]:
    """Host and port of a URL."""
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ImageError(f"expected an http or https URL, got {bare(parts.geturl())[:200]!r}")
    if parts.username is not None:
        raise ImageError("a URL with a user name or password is not fetched")
    return parts.hostname.lower().rstrip("."), parts.port or _PORTS[parts.scheme]


def _address(host: str, port: int, hosts: Hosts) -> Address:
    """An address of a host, all of whose addresses may be connected to."""
    trusted = hosts.trusts(host, port)
    if not trusted and not hosts.public:
        raise ImageError(f"the host {host!r} is not allowed; name it in allow_urls")
    found = [
        ipaddress.ip_address(str(entry[4][0]).partition("%")[0])
        for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    ]
    private = [address for address in found if not _is_public(address)]
    if private and not trusted:
        raise ImageError(
            f"{host!r} is the address {private[0]} of this machine or network, not of the public "
            "internet; if you trust it, name the host in allow_urls"
        )
    return found[0]


def _is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet, also one that stands for another."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _is_public(inner)
        if address not in _UNICAST:
            return False
    special = any(address in network for network in _SPECIAL)
    return address.is_global and not address.is_multicast and not special


def _named(text: str) -> tuple[str, int | None]:
    """`host` or `host:port`."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.netloc != text or parts.username is not None:
        raise ConfigError(f"allow_urls: expected 'host' or 'host:port', got {text!r}")
    return host.lower().rstrip("."), port
