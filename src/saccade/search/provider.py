"""What finds things: the one small protocol behind every search tool.

A provider of one's own:

    class Wiki:
        Options = WikiOptions                # a record; its fields are keys of the run file

        def __init__(self, options): ...

        name = "wiki"
        kinds = frozenset({"text"})
        facts = {"edition": "2026-11"}       # what results depend on: a part of the fingerprint

        async def start(self): ...
        async def search(self, query: Query) -> Results: ...
        async def close(self): ...

and in the run file `tools.text_search = { provider = { kind = "my_package.my_module:Wiki" } }`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, cast, runtime_checkable

from pydantic import JsonValue

from saccade.config import Part, build
from saccade.errors import ConfigError
from saccade.search.found import Kind, Query, Results

PROVIDERS = {
    "local": "saccade.search.local.provider:Local",
    "serper": "saccade.search.web.serper:Serper",
    "serpapi": "saccade.search.web.serpapi:SerpApi",
    "brave": "saccade.search.web.brave:Brave",
    "tavily": "saccade.search.web.tavily:Tavily",
    "searxng": "saccade.search.web.searxng:SearXNG",
    "service": "saccade.search.service:Service",
    "replay": "saccade.search.recorded.replay:Replay",
}
"""Names for run files; your own provider goes there as "package.module:Class"."""


class Provider(Protocol):
    """Something that can be searched."""

    @property
    def name(self) -> str:
        """What it is called in reports."""
        ...

    @property
    def kinds(self) -> frozenset[Kind]:
        """What it can be searched with."""
        ...

    @property
    def facts(self) -> Mapping[str, JsonValue]:
        """What its results depend on, such as the hash of an index: a part of the fingerprint.

        No paths, addresses or keys: they differ from machine to machine. Reading it starts nothing.
        """
        ...

    async def start(self) -> None:
        """Open what all episodes share; once more does nothing.

        Raises:
            ConfigError: it is set up so that no search can succeed: there is no key, no index.
            ServiceError: it cannot be reached.
        """
        ...

    async def search(self, query: Query) -> Results:
        """Search once. Several searches are under way at the same time.

        Raises:
            ServiceError: it failed; another attempt may succeed, and is made (see `Requester`).
            Retry: the same, with what the server says of how long to wait.
            ServiceRefused: this search would fail again, as where an account is used up.
            ConfigError: every search will fail alike, as with a wrong key.
            ToolError: nothing can be searched so, as with too long a query: the model is told.
                Nothing was sent.
        """
        ...

    async def close(self) -> None:
        """Give back what `start` opened; it may be started again."""
        ...


@runtime_checkable
class Recalling(Protocol):
    """A provider that knows some results already: of these no attempt is made, or paid for."""

    async def recall(self, query: Query) -> Results | None:
        """The results of a search, if they are known; nobody is asked."""
        ...


def provider_of(part: Part | None, kind: Kind, where: str) -> Provider:
    """The provider that a part of a run file names.

    Args:
        part: Of the run file.
        kind: What it must be searchable with.
        where: The part in messages, such as "tools.text_search.provider".

    Raises:
        ConfigError: none is named, there is no such one, or it cannot be searched so.
    """
    if part is None:
        raise ConfigError(
            f'{where}: missing; name what is searched, for example {{ kind = "local", index = '
            '"FOLDER" } (see `saccade index build`)'
        )
    made = cast(Provider, build(part, PROVIDERS, where))
    if kind not in made.kinds:
        able = ", ".join(sorted(made.kinds)) or "nothing"
        raise ConfigError(
            f"{where}: {part.kind} cannot be searched by {kind} as it is set up, only by {able} "
            "(an index by what it holds, texts or pictures; docs/search_providers.md says what an "
            "engine of the web needs)"
        )
    return made
