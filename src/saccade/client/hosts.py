"""Where something of the web may come from: hosts, and the addresses behind their names."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from typing import NamedTuple, Self
from urllib.parse import SplitResult, urlsplit

from saccade.errors import ConfigError
from saccade.untrusted.secrets import bare

PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]*:[0-9a-f:.]*")
"""A name or an address, in lower case; of IPv6 without its brackets."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 addresses that stand for IPv4 ones. Source: RFC 6052, section 2.1."""
_UNICAST = ipaddress.ip_network("2000::/3")
"""All that is public of the others. Source: RFC 4291, section 2.4, and the IANA registry of IPv6
global unicast addresses."""
_SPECIAL = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20")))
"""Not for hosts, though older versions of Python call some of them global. Source: the IANA
registries of special-purpose addresses."""
_KNOWN = "example.com"
"""A name that whatever looks up names can look up. Source: RFC 2606, section 3."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Unfetched(Exception):
    """Why something was not fetched, in words for whoever named the URL."""

    def __init__(
        self,
        reason: str,
        *,
        advice: str = "",
        again: bool = False,
        after: float | None = None,
        ours: bool = False,
    ) -> None:
        """Say why.

        Args:
            reason: Holds nothing secret of a URL.
            advice: What whoever wrote the options can do.
            again: Whether another attempt may succeed.
            after: Seconds for which the server wants to be left alone.
            ours: Whether no URL could have been fetched: there is no network, or nothing that
                looks up names.
        """
        super().__init__(f"{reason}; {advice}" if advice else reason)
        self.reason = reason
        self.again, self.after, self.ours = again, after, ours


class Hosts(NamedTuple):
    """Where something may come from."""

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


def checked(parts: SplitResult) -> tuple[str, int]:
    """Host and port of a URL, each in its one spelling.

    Raises:
        Unfetched: another scheme, a user name, or a host that is none.
    """
    if parts.scheme not in PORTS or not parts.hostname:
        raise Unfetched(f"expected an http or https URL, got {bare(parts.geturl())[:200]!r}")
    if parts.username is not None:
        raise Unfetched("a URL with a user name or password is not fetched")
    port = PORTS[parts.scheme] if parts.port is None else parts.port
    host = _plain(parts.hostname)
    if not _HOST.fullmatch(host) or not port:
        raise Unfetched("a URL whose host is no name and no address, or whose port is none")
    return host, port


def _plain(host: str) -> str:
    """The one spelling of a host by which it is compared, looked up and sent."""
    ascii_name = host if host.isascii() else host.encode("idna").decode("ascii")
    return ascii_name.lower().removesuffix(".")


def address_for(host: str, port: int, hosts: Hosts) -> Address:
    """An address of a host, all of whose addresses may be connected to; it is looked up once.

    Raises:
        Unfetched: it is not allowed, or leads to this machine or network.
    """
    trusted = hosts.trusts(host, port)
    if not trusted and not hosts.public:
        raise Unfetched(f"the host {host!r} is not allowed", advice="name it in allow_urls")
    try:
        found = _looked_up(host, port)
    except socket.gaierror as error:
        ours = error.errno != socket.EAI_NONAME and not _names_are_looked_up()
        reason = f"cannot be fetched ({error.strerror})"
        raise Unfetched(reason, again=error.errno == socket.EAI_AGAIN, ours=ours) from error
    private = [address for address in found if not _is_public(address)]
    if private and not trusted:
        raise Unfetched(
            f"{host!r} is the address {private[0]} of this machine or network, not of the public "
            "internet",
            advice="if you trust it, name the host in allow_urls",
        )
    return found[0]


def _looked_up(host: str, port: int) -> list[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


def _names_are_looked_up() -> bool:
    """Whether any name can be: the servers of a name that is asked for may be broken as well."""
    try:
        _looked_up(_KNOWN, 80)
    except socket.gaierror as error:
        return error.errno == socket.EAI_NONAME
    return True


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
    return _plain(host), port
