"""How a sandbox is set up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import ConfigDict, Field, JsonValue, field_validator

from saccade.sandbox.inside.plan import Limits
from saccade.sandbox.libraries import installed
from saccade.types import Record
from saccade.untrusted.secrets import check_address, check_variable

Mode = Literal["namespaces", "landlock", "bare"]


class SandboxOptions(Record):
    """Options of a sandbox; in a run file `tools.python.sandbox`."""

    mode: Literal["auto", "namespaces", "landlock"] = "auto"
    """How sessions are isolated. `namespaces` uses all mechanisms. `landlock` is for containers
    that do not allow namespaces: there are Landlock rules, a system call filter and limits, but
    host files can be named, and the scratch space is only as bounded as the file system that it is
    on. `auto` takes the first that works on this machine."""
    allow_degraded: bool = False
    """Start even where a mechanism is missing: with Landlock on an unbounded scratch space, or with
    nothing but the filter and limits ("bare": host files can be read). Never for models that you do
    not trust."""
    libraries: Literal["usual", "long"] = "usual"
    """Which libraries are loaded before the first session. `long` adds skimage, pandas and sympy,
    which a session of `usual` imports when it needs them."""
    limits: Limits = Limits()
    """What a session and its cells may use."""
    scratch: str = "/tmp"
    """Folder for scratch spaces in Landlock mode; its file system must be of limited size."""
    max_sessions: int = Field(default=256, ge=1)
    """Number of sessions that may live at the same time; further ones wait."""
    max_cells: int | None = Field(default=None, ge=1)
    """Number of cells that may run at the same time; further ones wait. The default is the number
    of cores."""
    first_user: int = Field(default=200_000, ge=1000)
    """Where the sandbox is started by root, each session is a user of its own; this is the number
    of the first."""


class RemoteOptions(Record):
    """A sandbox on other machines; in a run file `tools.python.remote`."""

    model_config = ConfigDict(hide_input_in_errors=True)  # somebody may have put a token there

    urls: tuple[str, ...] = Field(min_length=1)
    """Addresses of the hosts, such as "http://10.0.0.5:8787"."""
    protocol: Literal["saccade", "deepeyes_v2", "sandbox_fusion"] = "saccade"
    """What the hosts speak: our own format, that of DeepEyesV2's sandbox, or SandboxFusion's."""
    libraries: dict[str, str] | None = None
    """Versions of Python and of the libraries that the hosts have, as `GET /v1/health` names them.
    The default is what is installed here."""
    token_env: str = "SACCADE_SANDBOX_TOKEN"
    """Name of the environment variable with the token that the hosts want."""
    timeout_seconds: float = Field(default=240.0, gt=0)
    """Time in which a host must answer a request; afterwards it counts as lost."""
    cooldown_seconds: float = Field(default=30.0, gt=0)
    """Time for which no new notebook goes to a host that was lost."""

    @field_validator("urls")
    @classmethod
    def _are_http(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            check_address(url, "token_env")
        return urls

    @field_validator("token_env")
    @classmethod
    def _is_a_variable(cls, value: str) -> str:
        check_variable(value)
        return value


class Offer(Record):
    """What cells find wherever they run: what a tool promises, and what a host says of itself."""

    limits: Limits = Limits()
    """What a session and its cells may use."""
    libraries: dict[str, str] = Field(default_factory=installed)
    """Versions of Python and of the libraries."""

    def differences(self, other: Mapping[str, JsonValue]) -> Iterator[str]:
        """In what another offer differs, given as JSON that nobody has checked."""
        for part, mine in self.model_dump(mode="json").items():
            others = other.get(part)
            theirs = others if isinstance(others, dict) else {}
            if part == "libraries":  # what a host has beyond what is promised does no harm
                theirs = {name: theirs[name] for name in mine if name in theirs}
            for name in sorted({*mine, *theirs}):
                if mine.get(name) != theirs.get(name):
                    yield f"{part}.{name} is {theirs.get(name)}, not {mine.get(name)}"
