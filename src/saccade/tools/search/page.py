"""`open_page`: a document of an index, or a page of the web, read whole and shown in parts.

A document is named by its id or its URL. What is no document of the index is fetched over HTTP
where `allow_urls` has its host; see `saccade.client.download` for what is refused.

Where the line lies between a page that the model chose and a failure of ours. The model is told,
and the call is `failed`, when this page cannot be read: there is no such document, the host is not
allowed, its address is one of this network, the server does not answer, refuses, or answers with
an error or with too much, there is no text. The episode is aborted when no page could be read: the
index is broken, its service does not answer after all retries, nothing looks up names, there is no
network or no socket left. Not guaranteed: that a firewall that swallows everything is told from a
server that does not answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from pydantic import Field, JsonValue

from saccade.client.download import is_url
from saccade.client.hosts import Hosts
from saccade.errors import ConfigError, ServiceError, ToolError
from saccade.search.found import KEY, Fetches, Found, Hit
from saccade.search.pages.content import parts_of, tidied
from saccade.search.pages.shelf import IndexShelf, Shelf
from saccade.search.pages.web import BACKOFF_S, Page, Unopened, Web, WebLimits
from saccade.search.service import Service, ServiceOptions
from saccade.tools.arguments import refuse_unknown, short
from saccade.tools.search.base import MAX_NAME, MAX_TITLE, MAX_URL, shortened
from saccade.types import Outcome, Record, ToolContext, ToolFunction, ToolOutput, ToolSpec

NAME = "open_page"
WEB = "web"
"""The provider of pages that were fetched."""
MAX_ASKED = 2000
"""Number of characters of the name of a page."""
MOST_KEPT = 8
"""Number of pages that an episode keeps, so that their other parts are not fetched again."""


class OpenPageOptions(Record):
    """The section `tools.open_page` of a run file."""

    index: Path | None = None
    """The folder of an index, whose documents can be opened; `saccade index build` makes it."""
    service: ServiceOptions | None = None
    """Servers of `saccade serve search`, whose documents can be opened; instead of `index`."""
    allow_urls: bool | tuple[str, ...] = False
    """Which pages of the web are fetched: none; with true, those of the public internet; or those
    of the named hosts ("example.org", "10.0.0.5:8080") alone, which may stand in a private
    network."""
    max_chars: int = Field(default=8000, ge=200, le=200_000)
    """Number of characters of a page that are shown at a time."""
    max_mib: float = Field(default=4.0, gt=0, le=64)
    """Size of a page of the web; a larger one cannot be opened."""
    timeout_s: float = Field(default=20.0, gt=0)
    """Seconds that an attempt to fetch a page may take, redirects included."""
    max_retries: int = Field(default=2, ge=0)
    """Number of attempts after the first one, where another may succeed."""
    concurrency: int = Field(default=8, ge=1)
    """Number of pages that are fetched at the same time; further ones wait."""


class _Asked(NamedTuple):
    """What a call asks for."""

    name: str
    part: int


class _Kept(NamedTuple):
    """A page that was opened, and from where."""

    page: Page
    provider: str


class OpenPage:
    """Read a page whole. One for all episodes; it may be closed and started again."""

    Options = OpenPageOptions
    side_by_side = True

    def __init__(
        self, options: OpenPageOptions | None = None, *, shelf: Shelf | None = None
    ) -> None:
        """Describe the tool; nothing is opened.

        Args:
            options: Of the tool.
            shelf: Where documents are; None: what the options name.

        Raises:
            ConfigError: nothing can be opened, or an option is none.
            FormatError: there is no index, or it is damaged.
        """
        self._options = options = options or OpenPageOptions()
        hosts = Hosts.of(options.allow_urls)
        self._shelf = shelf or _shelf_of(options)
        self._web: Web | None = None
        if hosts.public or hosts.named:
            mib = int(options.max_mib * 2**20)
            limits = WebLimits(mib, options.timeout_s, options.max_retries, options.concurrency)
            self._web = Web(hosts, limits)
        if self._shelf is None and self._web is None:
            raise ConfigError(
                f"tools.{NAME}: nothing can be opened; name an index, a service, or what "
                "allow_urls may fetch"
            )
        named = sorted({host for host, _ in hosts.named})
        self.spec = ToolSpec(
            name=NAME,
            description="Read a page whole, for example a result of a search. Long pages are shown "
            "in parts.",
            parameters={
                "type": "object",
                "properties": {
                    "page": {
                        "type": "string",
                        "description": "The URL or id of the page, as a search shows it.",
                    },
                    "part": {
                        "type": "integer",
                        "minimum": 1,
                        "description": "Which part of a long page (default: 1).",
                    },
                },
                "required": ["page"],
            },
            options={
                "documents": None if self._shelf is None else dict(self._shelf.facts),
                "allow_urls": list(named) or hosts.public,
                "max_chars": options.max_chars,
                "max_mib": options.max_mib,
            },
        )

    async def start(self) -> None:
        """Open the index, or ask its service.

        Raises:
            ConfigError: the index is another one than the run was set up with.
            ServiceError: no server answers.
        """
        if self._shelf is not None:
            await self._shelf.start()

    async def close(self) -> None:
        """Close the index; pages that are being fetched end within their time."""
        if self._shelf is not None:
            await self._shelf.close()
        if self._web is not None:
            await self._web.close()

    @asynccontextmanager
    async def open(self, context: ToolContext) -> AsyncIterator[ToolFunction]:
        """A memory of what the episode has opened."""
        reading = _Reading(self)
        yield reading.call

    async def page(self, name: str) -> _Kept:
        """Open a page.

        Raises:
            Unopened: this one cannot be read.
            ServiceError: none can.
        """
        if self._shelf is not None and (found := await self._looked_up(self._shelf, name)):
            return _Kept(found, self._shelf.name)
        if not is_url(name):
            raise Unopened("there is no document of this id or URL; copy it from a search result")
        if self._web is None:
            raise Unopened("there is no document of this URL, and pages of the web are not fetched")
        return _Kept(await self._web.page(name), WEB)

    def provider_of(self, name: str) -> str:
        """Where a page is looked for last."""
        if self._shelf is None or (self._web is not None and is_url(name)):
            return WEB
        return self._shelf.name

    @property
    def most(self) -> int:
        """Number of characters of a part."""
        return self._options.max_chars

    async def _looked_up(self, shelf: Shelf, name: str) -> Page | None:
        for attempt in range(self._options.max_retries + 1):
            try:
                found = await shelf.document(name)
                break
            except ServiceError:
                if attempt >= self._options.max_retries:
                    raise
            await asyncio.sleep(BACKOFF_S * 2**attempt)
        if found is None:
            return None
        text = await asyncio.to_thread(tidied, found.text)
        return Page(found.title, found.url, text, found.id)


class _Reading:
    """What an episode has opened."""

    def __init__(self, tool: OpenPage) -> None:
        self._tool = tool
        self._asked: set[_Asked] = set()
        self._kept: dict[str, _Kept] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._new: set[str] = set()
        """Pages that were fetched, and of which nothing was shown yet."""

    async def call(self, arguments: dict[str, JsonValue]) -> ToolOutput:
        """Open a page, or show another part of it."""
        asked = _read(arguments)
        provider = self._tool.provider_of(asked.name)
        if asked in self._asked:
            found = Found(kind="page", provider=provider, query=shortened(asked.name, MAX_URL))
            return _told(
                f"You have asked for part {asked.part} of this page before; what came of it is "
                "above.",
                found.model_copy(update={"repeated": True}),
                "nothing",
            )
        self._asked.add(asked)
        try:
            kept = await self._opened(asked.name)
        except Unopened as reason:
            failed = Found(
                kind="page", provider=provider,
                query=shortened(asked.name, MAX_URL), fetches=Fetches(failed=1),
            )  # fmt: skip
            return _told(f"The page cannot be opened: {reason}.", failed, "failed")
        return self._shown(asked, kept)

    async def _opened(self, name: str) -> _Kept:
        """A page, which is opened once however many of its parts are asked for at the same time."""
        async with self._locks.setdefault(name, asyncio.Lock()):
            if name not in self._kept:
                self._kept[name] = await self._tool.page(name)
                self._new.add(name)
                while len(self._kept) > MOST_KEPT:
                    del self._kept[next(iter(self._kept))]
            return self._kept[name]

    def _shown(self, asked: _Asked, kept: _Kept) -> ToolOutput:
        page = kept.page
        parts = parts_of(page.text, self._tool.most)
        if asked.part > len(parts):
            has = f"{len(parts)} parts" if len(parts) > 1 else "one part"
            raise ToolError(f"{NAME}: the page has {has}, got part {short(asked.part)}")
        several = len(parts) > 1
        fetches = Fetches()
        if asked.name in self._new:
            self._new.remove(asked.name)
            fetches = Fetches(succeeded=1, cut=int(several or page.cut))
        hit = Hit(
            rank=1,
            title=shortened(page.title, MAX_TITLE),
            url=shortened(page.url, MAX_URL),
            document=shortened(page.document, MAX_NAME),
        )
        found = Found(
            kind="page", provider=kept.provider, query=shortened(asked.name, MAX_URL), hits=(hit,),
            fetches=fetches,
        )  # fmt: skip
        text = parts[asked.part - 1].strip("\n")
        head = "\n".join(filter(None, (hit.title, hit.url or hit.document)))
        if several:
            head += f"\npart {asked.part} of {len(parts)}"
        if not text.strip():
            return _told(f"{head}\n\nThe page has no text.", found, "nothing")
        return _told(f"{head}\n\n{text}{_foot(asked.part, len(parts), page.cut)}", found, "done")


def _read(arguments: dict[str, JsonValue]) -> _Asked:
    refuse_unknown(arguments, ("page", "part"), NAME)
    name, part = arguments.get("page"), arguments.get("part")
    if not isinstance(name, str) or not name.strip():
        raise ToolError(f"{NAME}: page must be the URL or id of a page, got {short(name)}")
    if len(name) > MAX_ASKED:
        raise ToolError(f"{NAME}: a name of {len(name)} characters; at most {MAX_ASKED}")
    if part is None:
        part = 1
    if isinstance(part, float) and part.is_integer():
        part = int(part)
    if not isinstance(part, int) or isinstance(part, bool) or part < 1:
        raise ToolError(f"{NAME}: part must be a whole number from 1, got {short(part)}")
    name = name.strip()
    return _Asked(name.partition("#")[0] if is_url(name) else name, part)


def _foot(part: int, of: int, cut: bool) -> str:
    if part < of:
        return f"\n\n(part {part} of {of}; part {part + 1} goes on)"
    if cut:
        return "\n\n(the page goes on, beyond what can be read)"
    return ""


def _told(text: str, found: Found, outcome: Outcome) -> ToolOutput:
    return ToolOutput((text,), {KEY: found.model_dump(mode="json")}, outcome)


def _shelf_of(options: OpenPageOptions) -> Shelf | None:
    if options.index is not None and options.service is not None:
        raise ConfigError(f"tools.{NAME}: name an index or a service, not both")
    if options.index is not None:
        return IndexShelf(options.index)
    return None if options.service is None else Service(options.service)
