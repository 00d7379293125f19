"""How a sandbox is set up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import Field, JsonValue

from saccade.sandbox.inside.plan import Limits
from saccade.sandbox.libraries import installed
from saccade.types import Record

Mode = Literal["namespaces", "landlock", "bare"]


class SandboxOptions(Record):
    """Options of a sandbox; in a run file `tools.python.sandbox`."""

    mode: Literal["auto", "namespaces", "landlock"] = "auto"
    """`namespaces`: all mechanisms. `landlock`: for containers that do not allow namespaces:
    Landlock rules, system call filter and limits, but host files can be named, and the scratch
    space is only as bounded as the file system that it is on. `auto`: the first that works here."""
    allow_degraded: bool = False
    """Start even where a mechanism is missing: with Landlock on an unbounded scratch space, or with
    nothing but the filter and limits ("bare": host files can be read). Never for models that you do
    not trust."""
    libraries: Literal["usual", "long"] = "usual"
    """What is loaded before the first session: `long` adds skimage, pandas and sympy, which a
    session of `usual` imports when it needs them."""
    limits: Limits = Limits()
    scratch: str = "/tmp"
    """Folder for scratch spaces in Landlock mode; its file system must be of limited size."""
    max_sessions: int = Field(default=256, ge=1)
    """That live at one time; more wait."""
    max_cells: int | None = Field(default=None, ge=1)
    """That run at one time; the default is the number of cores. More wait."""
    first_user: int = Field(default=200_000, ge=1000)
    """As root each session is a user of its own, from this number on."""


class RemoteOptions(Record):
    """A sandbox on other machines."""

    urls: tuple[str, ...] = Field(min_length=1)
    """Hosts, such as "http://10.0.0.5:8787"."""
    protocol: Literal["saccade", "deepeyes_v2", "sandbox_fusion"] = "saccade"
    libraries: dict[str, str] | None = None
    """Versions that the hosts have, where they are not those that are installed here."""
    token_env: str = "SACCADE_SANDBOX_TOKEN"
    """Name of the environment variable with the token that the hosts want."""
    timeout_seconds: float = Field(default=240.0, gt=0)
    cooldown_seconds: float = Field(default=30.0, gt=0)
    """That a host which failed is left alone."""


class Offer(Record):
    """What cells find wherever they run: what a tool promises, and what a host says of itself."""

    limits: Limits = Limits()
    libraries: dict[str, str] = Field(default_factory=installed)
    """Versions of Python and of the libraries."""

    def differences(self, other: Mapping[str, JsonValue]) -> Iterator[str]:
        """What another offer, as JSON that nobody has checked, says differently."""
        for part, mine in self.model_dump(mode="json").items():
            others = other.get(part)
            theirs = others if isinstance(others, dict) else {}
            for name in sorted({*mine, *theirs}):
                if mine.get(name) != theirs.get(name):
                    yield f"{part}.{name} is {theirs.get(name)}, not {mine.get(name)}"
