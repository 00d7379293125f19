"""How a server is reached, and what its clients may take."""

from __future__ import annotations

from pydantic import Field

from saccade.types import Record


class GateOptions(Record):
    """What every server of ours is asked; each adds options of its own."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """Address of the interface to serve on; 0.0.0.0 is all of them."""
    port: int = Field(ge=0, le=65535)
    """Port to serve on; 0 takes a free one, and the first line that is printed names it."""
    token_env: str
    """Name of the environment variable with the tokens that clients may show, parted by spaces; it
    may be empty on the loopback interface only. Where there are several, each is a client."""
    allowed_hosts: tuple[str, ...] = ()
    """Further names under which clients reach the server, as in the `Host` of their requests.
    Allowed anyway are `host`, the names of the loopback interface and, if it is served elsewhere,
    any address in numbers."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of proxies whose `X-Forwarded-For` names the client; from all others it
    is ignored."""
    connections: int = Field(default=512, ge=1)
    """Number of connections that may be open at the same time; further ones are closed at once."""
    connections_per_client: int = Field(default=256, ge=1)
    """Number of connections that one address may have open at the same time; a trusted proxy may
    have all of them."""
    request_seconds: float = Field(default=60.0, gt=0)
    """Time in which a whole request must have come, and for which an answer may wait for a client
    to take it; a head must come in a sixth of it. Afterwards the connection is closed."""
    body_mib: int = Field(default=64, ge=1)
    """Largest body of a request; a larger one is answered with 413. Most routes take far less."""
    bodies_mib: int = Field(default=256, ge=1)
    """Size of all bodies together that are being read; a client may have three quarters of it, and
    what is over is answered with 429."""
    drain_seconds: float = Field(default=30.0, ge=0)
    """Time that running requests have to end after the signal that stops the server."""
