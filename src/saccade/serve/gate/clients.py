"""Who asks: a token of its own, or an address."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import socket
from collections.abc import Sequence
from typing import NamedTuple

from starlette.types import Scope

from saccade.errors import ConfigError
from saccade.serve.gate.headers import Headers
from saccade.serve.gate.options import GateOptions
from saccade.serve.gate.refusal import Refusal

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Client(NamedTuple):
    """Who asks."""

    name: str
    """What a client opened, only one of this name may use: others are told that it is not there."""
    share: str
    """Whom what it takes is counted against. Of IPv6 a whole network of 64 bits, which one machine
    can have."""


class Clients:
    """Tells clients apart."""

    def __init__(self, options: GateOptions) -> None:
        """Read the tokens.

        Raises:
            ConfigError: no token on an interface that others can reach, or a proxy that is no
                address.
        """
        tokens = os.environ.get(options.token_env, "").split()
        if not tokens and reachable(options.host):
            raise ConfigError(
                f"serve: {options.host} can be reached from outside, so clients must show a token: "
                f"set {options.token_env}, or serve on 127.0.0.1"
            )
        self._tokens = [_digest(token.encode("utf-8", "surrogateescape")) for token in tokens]
        self._proxies = _networks(options.trusted_proxies)

    def client(self, scope: Scope, headers: Headers) -> Client:
        """Who sent a request.

        Raises:
            Refusal: the token is missing or wrong; a trusted proxy says what is no address.
        """
        number = self._token(headers.one(b"authorization") or b"")
        if len(self._tokens) > 1:
            return Client(f"token {number}", f"token {number}")
        peer = scope["client"]
        address = self._forwarded(address_of(peer[0] if peer else ""), headers)
        return Client(str(address), share_of(address))

    def is_proxy(self, address: Address | None) -> bool:
        """Whether an address is that of a trusted proxy."""
        return address is not None and any(address in network for network in self._proxies)

    def _token(self, shown: bytes) -> int:
        """The number of the token; compared with all of them, so that none takes longer."""
        if not self._tokens:
            return 0
        scheme, _, token = shown.partition(b" ")
        digest, found = _digest(token.strip()), 0
        for number, wanted in enumerate(self._tokens, start=1):
            found += number * hmac.compare_digest(digest, wanted)
        if scheme.lower() != b"bearer" or not found:
            raise Refusal(401, "the token is missing or wrong (Authorization: Bearer ...)")
        return found

    def _forwarded(self, peer: Address | None, headers: Headers) -> Address | None:
        """The last address on the way here that is no trusted proxy; those before are hearsay."""
        address = peer
        hops = b",".join(headers.all(b"x-forwarded-for")).decode("latin-1").split(",")
        while self.is_proxy(address) and hops and (hop := hops.pop().strip()):
            address = address_of(hop)
            if address is None:
                raise Refusal(400, "X-Forwarded-For of a trusted proxy holds what is no address")
        return address


def reachable(host: str) -> bool:
    """Whether an interface can be reached from another machine.

    Raises:
        ConfigError: no address has this name.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"serve: host {host!r} is no address of this machine: {error}") from None
    addresses = [address_of(str(each[4][0])) for each in found]
    return not all(address is not None and address.is_loopback for address in addresses)


def address_of(text: str) -> Address | None:
    """An address; one of IPv4 that is written as IPv6 is the same. None if it is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def share_of(address: Address | None) -> str:
    """Whom the connections and sessions of an address are counted against."""
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(address), 64), strict=False))
    return str(address)


def _networks(texts: Sequence[str]) -> list[Network]:
    try:
        return [ipaddress.ip_network(text) for text in texts]
    except ValueError as error:
        raise ConfigError(
            f"trusted_proxies: expected addresses or networks, such as 127.0.0.1 or 10.0.0.0/24: "
            f"{error}"
        ) from None


def _digest(token: bytes) -> bytes:
    """Of one length, whatever the token."""
    return hashlib.sha256(token).digest()
