"""What the search tools share: a provider, how it is asked, and what is shown of its results.

What a provider returns was written by strangers. Each text of it stands on one line and is cut to a
length, so that no line that begins with a number at the left edge is theirs; pictures are decoded
before they are shown, and one that cannot be is left out. Tags and control tokens are left to the
dialects, which make all that a tool returns inert.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

from pydantic import Field, JsonValue

from saccade.config import Part
from saccade.errors import ImageError
from saccade.images.geometry import PixelBudget
from saccade.images.image import Image
from saccade.search.found import KEY, Found, Hit, Kind, Query, Result, Results
from saccade.search.provider import Provider, provider_of
from saccade.search.requester import Requester, RequestOptions
from saccade.types import Outcome, Record, ToolOutput
from saccade.types import Part as ContentPart
from saccade.untrusted.printable import one_line

MAX_TITLE, MAX_URL, MAX_DATE = 300, 500, 60
"""Number of characters of each that are shown."""
MAX_NAME = 200
"""Number of characters that are kept of what a provider calls itself, and a document."""
MAX_QUERY = 500
"""Number of characters of a query."""
MAX_PICTURE_PIXELS = 32_000_000
"""Number of pixels that the picture of a result may have; a larger one is not decoded, and so not
shown."""
CUT = " ..."


class SearchOptions(Record):
    """What both search tools can be told."""

    provider: Part | None = None
    """What is searched: a key of `saccade.search.provider.PROVIDERS`, or "pkg.mod:Class"."""
    requests: RequestOptions = RequestOptions()
    """How often, how fast and how long the provider is asked."""
    k: int = Field(default=5, ge=1, le=50)
    """Number of results that are shown."""
    max_snippet: int = Field(default=600, ge=1, le=20_000)
    """Number of characters of a snippet that are shown."""


class SearchTool:
    """A tool that asks a provider. One for all episodes; it may be closed and started again."""

    side_by_side = True

    def __init__(
        self,
        options: SearchOptions,
        kind: Kind,
        where: str,
        *,
        provider: Provider | None = None,
    ) -> None:
        """Find the provider; nothing is started.

        Args:
            options: How it is searched, and what is shown.
            kind: What it is searched with.
            where: The tool in messages, such as "tools.text_search".
            provider: What is searched; None: what the options name.

        Raises:
            ConfigError: no provider is named, or it cannot be searched so.
        """
        self._kind, self._options = kind, options
        self._provider = provider or provider_of(options.provider, kind, f"{where}.provider")
        self._requester = Requester(self._provider, options.requests)

    @property
    def facts(self) -> dict[str, JsonValue]:
        """What results depend on; a part of the fingerprint."""
        options = self._options
        return {
            "provider": {**self._provider.facts, "name": self._provider.name},
            "k": options.k,
            "max_snippet": options.max_snippet,
        }

    async def start(self) -> None:
        """Start the provider.

        Raises:
            ConfigError: no search can succeed.
            ServiceError: the provider cannot be reached.
        """
        await self._requester.start()

    async def close(self) -> None:
        """Close the provider."""
        await self._requester.close()

    async def ask(self, query: Query) -> tuple[Found, tuple[Image, ...]]:
        """Search; what was found, bounded and on single lines, and the pictures of it.

        Raises:
            ServiceError: the provider fails after all retries.
        """
        results = await self._requester.search(query)
        shown = Results(results.results[: query.k], results.fetches)
        if any(result.thumbnail for result in shown.results):
            shown = await asyncio.to_thread(_with_pictures, shown)
        name, most = self._provider.name, self._options.max_snippet
        return found_of(query, shown, name, max_snippet=most)


def found_of(
    query: Query, results: Results, provider: str, *, max_snippet: int
) -> tuple[Found, tuple[Image, ...]]:
    """What a tool keeps of results, and their pictures. A text search shows none."""
    hits: list[Hit] = []
    pictures: list[Image] = []
    for rank, (hit, thumbnail) in enumerate(results.results[: query.k], start=1):
        pictured = thumbnail is not None and query.kind == "image"
        if thumbnail is not None and pictured:
            pictures.append(thumbnail)
        known = hit.score is not None and math.isfinite(hit.score)
        hits.append(
            Hit(
                rank=rank,
                title=shortened(hit.title, MAX_TITLE),
                url=shortened(hit.url, MAX_URL),
                snippet=shortened(hit.snippet, max_snippet),
                date=shortened(hit.date, MAX_DATE),
                score=hit.score if known else None,
                document=shortened(hit.document, MAX_NAME),
                thumbnail=pictured,
            )
        )
    found = Found(
        kind=query.kind,
        provider=shortened(provider, MAX_NAME),
        query=shortened(query.text, MAX_QUERY),
        hits=tuple(hits),
        fetches=results.fetches,
    )
    return found, tuple(pictures)


def shortened(text: str, most: int) -> str:
    """A text of others on one line, cut where it is longer."""
    line = one_line(text[: 4 * most + 100])
    return line if len(line) <= most else line[: max(0, most - len(CUT))].rstrip() + CUT


def shown(
    found: Found, pictures: Sequence[Image], observation: PixelBudget, head: str
) -> ToolOutput:
    """What the model is shown of what was found, in our own words.

    A picture follows what is said of it: nothing that others wrote follows a picture, where a
    template may begin a line. A dialect with a published text for results writes it from `data`
    instead.
    """
    parts: list[ContentPart] = [head]
    left = enumerate(pictures, start=1)
    for hit in found.hits:
        title = hit.title or "(no title)"
        lines = [f"\n{hit.rank}. {title}" + (f" ({hit.date})" if hit.date else "")]
        lines += [f"   {text}" for text in (hit.url or hit.document, hit.snippet) if text]
        parts.append("\n".join(lines))
        if hit.thumbnail:
            number, picture = next(left)
            parts += [f"\n   picture {number} of {len(pictures)}:", picture.fit(observation)]
    return ToolOutput(_joined(parts), {KEY: found.model_dump(mode="json")}, _outcome(found))


def nothing(found: Found, text: str) -> ToolOutput:
    """That nothing was found, or was searched."""
    return ToolOutput((text,), {KEY: found.model_dump(mode="json")}, "nothing")


def repeated(kind: Kind, provider: str, query: str = "") -> Found:
    """A search that the episode has made before: it is not made again."""
    return Found(kind=kind, provider=shortened(provider, MAX_NAME), query=query, repeated=True)


def counted(found: Found) -> str:
    """How many results there are, in words."""
    return f"{len(found.hits)} result{'s' * (len(found.hits) != 1)}"


def _outcome(found: Found) -> Outcome:
    return "done" if found.hits else "nothing"


def _with_pictures(results: Results) -> Results:
    """The results without pictures that cannot be decoded: those count as failed fetches."""
    kept, fetches = [], results.fetches
    for hit, thumbnail in results.results:
        broken = thumbnail is not None and not _is_whole(thumbnail)
        kept.append(Result(hit, None if broken else thumbnail))
        if broken:
            fetched = {"succeeded": max(0, fetches.succeeded - 1), "failed": fetches.failed + 1}
            fetches = fetches.model_copy(update=fetched)
    return Results(tuple(kept), fetches)


def _is_whole(picture: Image) -> bool:
    if picture.source.size.area > MAX_PICTURE_PIXELS:
        return False
    try:
        picture.source.pixels()
    except (ImageError, OSError):
        return False
    return True


def _joined(parts: Sequence[ContentPart]) -> tuple[ContentPart, ...]:
    joined: list[ContentPart] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        else:
            joined.append(part)
    return tuple(joined)
