"""What the search tools share: a provider, how it is asked, and what is shown of its results."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, JsonValue

from saccade.config import Part
from saccade.images.geometry import PixelBudget
from saccade.images.image import Image
from saccade.search.found import KEY, Fetches, Found, Hit, Kind, Query, Results
from saccade.search.patience import PatienceOptions, Patient
from saccade.search.provider import provider_of
from saccade.types import Outcome, Record, ToolOutput
from saccade.types import Part as ContentPart
from saccade.untrusted.printable import one_line

MAX_TITLE, MAX_URL, MAX_DATE = 300, 500, 60
"""Number of characters of each that are shown."""
CUT = " ..."


class SearchOptions(Record):
    """What both search tools can be told."""

    provider: Part | None = None
    """What is searched: a key of `saccade.search.provider.PROVIDERS`, or "pkg.mod:Class"."""
    patience: PatienceOptions = PatienceOptions()
    """How often, how fast and how long the provider is asked."""
    k: int = Field(default=5, ge=1, le=50)
    """Number of results that are shown."""
    max_snippet: int = Field(default=600, ge=1)
    """Number of characters of a snippet that are shown."""


class SearchTool:
    """A tool that asks a provider. One for all episodes; it may be closed and started again."""

    side_by_side = True

    def __init__(self, options: SearchOptions, kind: Kind, where: str) -> None:
        """Find the provider; nothing is started.

        Raises:
            ConfigError: no provider is named, or it cannot be searched so.
        """
        self._kind, self._options = kind, options
        self._provider = provider_of(options.provider, kind, f"{where}.provider")
        self._patient = Patient(self._provider, options.patience)

    @property
    def facts(self) -> dict[str, JsonValue]:
        """What results depend on; a part of the fingerprint."""
        options = self._options
        return {
            "provider": {"name": self._provider.name, **self._provider.facts},
            "k": options.k,
            "max_snippet": options.max_snippet,
        }

    async def start(self) -> None:
        """Start the provider.

        Raises:
            ConfigError: no search can succeed.
            ServiceError: the provider cannot be reached.
        """
        await self._patient.start()

    async def close(self) -> None:
        """Close the provider."""
        await self._patient.close()

    async def ask(self, query: Query) -> tuple[Found, tuple[Image, ...]]:
        """Search; what was found, bounded and on single lines, and the pictures of it.

        Raises:
            ServiceError: the provider fails after all retries.
        """
        return found_of(query, await self._patient.search(query), self._provider.name,
                        max_snippet=self._options.max_snippet)  # fmt: skip


def found_of(
    query: Query, results: Results, provider: str, *, max_snippet: int
) -> tuple[Found, tuple[Image, ...]]:
    """What a tool keeps of results, and their pictures."""
    hits: list[Hit] = []
    pictures: list[Image] = []
    for rank, (hit, thumbnail) in enumerate(results.results[: query.k], start=1):
        if thumbnail is not None:
            pictures.append(thumbnail)
        hits.append(
            hit.model_copy(
                update={
                    "rank": rank,
                    "title": shortened(hit.title, MAX_TITLE),
                    "url": shortened(hit.url, MAX_URL),
                    "snippet": shortened(hit.snippet, max_snippet),
                    "date": shortened(hit.date, MAX_DATE),
                    "thumbnail": thumbnail is not None,
                }
            )
        )
    found = Found(
        kind=query.kind,
        provider=provider,
        query=shortened(query.text, MAX_QUERY),
        hits=tuple(hits),
        fetches=results.fetches,
    )
    return found, tuple(pictures)


MAX_QUERY = 500
"""Number of characters of a query."""


def shortened(text: str, most: int) -> str:
    """A text of others on one line, cut where it is longer."""
    line = one_line(text[: 4 * most + 100])
    return line if len(line) <= most else line[: max(0, most - len(CUT))].rstrip() + CUT


def shown(
    found: Found, pictures: Sequence[Image], observation: PixelBudget, head: str
) -> ToolOutput:
    """What the model is shown of what was found, in our own words.

    A dialect with a published text for results writes it from `data` instead.
    """
    parts: list[ContentPart] = [head]
    left = list(pictures)
    for hit in found.hits:
        parts.append(f"\n{hit.rank}. ")
        if hit.thumbnail:
            parts.append(left.pop(0).fit(observation))
        lines = [hit.title or "(no title)"]
        if hit.date:
            lines[0] += f" ({hit.date})"
        lines += [f"   {text}" for text in (hit.url, hit.snippet) if text]
        parts.append("\n".join(lines))
    return ToolOutput(_joined(parts), {KEY: found.model_dump(mode="json")}, _outcome(found))


def nothing(found: Found, text: str) -> ToolOutput:
    """That nothing was found, or was searched."""
    return ToolOutput((text,), {KEY: found.model_dump(mode="json")}, "nothing")


def repeated(kind: Kind, provider: str, query: str = "") -> Found:
    """A search that the episode has made before: it is not made again."""
    return Found(kind=kind, provider=provider, query=query, fetches=Fetches(), repeated=True)


def _outcome(found: Found) -> Outcome:
    return "done" if found.hits else "nothing"


def _joined(parts: Sequence[ContentPart]) -> tuple[ContentPart, ...]:
    joined: list[ContentPart] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        else:
            joined.append(part)
    return tuple(joined)
