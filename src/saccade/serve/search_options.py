"""How an index is served."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from saccade.config import Part
from saccade.search.requester import RequestOptions
from saccade.serve.gate import GateOptions


class SearchServeOptions(GateOptions):
    """How an index is served."""

    index: Path | None = None
    """The folder of an index that is searched and whose documents are read; `saccade index build`
    makes it."""
    provider: Part | None = None
    """What is searched instead: a key of `saccade.search.provider.PROVIDERS`, or "pkg.mod:Class".
    """
    requests: RequestOptions = RequestOptions(max_retries=0, concurrency=8)
    """How often, how fast and how long the provider is asked."""
    port: int = Field(default=8788, ge=0, le=65535)
    """Port to serve on; 0 takes a free one, and the first line that is printed names it."""
    token_env: str = "SACCADE_SEARCH_TOKEN"
    """Name of the environment variable with the tokens that clients may show, parted by spaces; it
    may be empty on the loopback interface only. Where there are several, each is a client."""
    searches_waiting: int = Field(default=256, ge=1)
    """Number of searches that may run or wait at the same time, or whose answer a client has not
    taken yet; three quarters of them of one client. Further ones are answered with 429."""
