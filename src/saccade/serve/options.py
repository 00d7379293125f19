"""How a sandbox is served."""

from __future__ import annotations

from pydantic import Field

from saccade.sandbox.options import SandboxOptions
from saccade.serve.gate import GateOptions


class ServeOptions(GateOptions):
    """How a sandbox is served."""

    sandbox: SandboxOptions = SandboxOptions()
    """How cells are confined, and how many sessions and cells there may be."""
    port: int = Field(default=8787, ge=0, le=65535)
    """Port to serve on; 0 takes a free one, and the first line that is printed names it."""
    token_env: str = "SACCADE_SANDBOX_TOKEN"
    """Name of the environment variable with the tokens that clients may show, parted by spaces; it
    may be empty on the loopback interface only. Where there are several, each is a client."""
    sessions_per_client: int = Field(default=128, ge=1)
    """Number of sessions that a client may have at the same time."""
    cells_waiting: int = Field(default=64, ge=1)
    """Number of cells that may run or wait at the same time, or whose answer a client has not taken
    yet; three quarters of them of one client. Further ones are answered with 429."""
    session_mib: int = Field(default=512, ge=1)
    """Size of what the server keeps of a session: the pixels that it was given, three bytes each,
    the code of its cells and its last answer. What is over is answered with 413."""
    sessions_mib: int = Field(default=4096, ge=1)
    """Size of that for all sessions together, three quarters of it for one client; what is over is
    answered with 429."""
    idle_seconds: float = Field(default=600.0, gt=0)
    """Time after which a session that nobody uses ends."""
