"""`text_search`: documents that fit some words.

Source: DeepEyesV2 (arXiv 2511.05271), its tool `search`. Where we deviate: the published release
has a placeholder that returns five made-up results; a search that fails aborts the episode
(published: the episode ends and is scored); the same search twice is answered with a reminder, and
the words are searched for on one line, with single spaces.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import Field, JsonValue

from saccade.errors import ToolError
from saccade.search.found import Query
from saccade.search.provider import Provider
from saccade.tools.arguments import refuse_unknown, short
from saccade.tools.search.base import (
    MAX_QUERY,
    SearchOptions,
    SearchTool,
    counted,
    nothing,
    repeated,
    shown,
)
from saccade.types import ToolContext, ToolFunction, ToolOutput, ToolSpec
from saccade.untrusted.printable import one_line


class TextSearchOptions(SearchOptions):
    """The section `tools.text_search` of a run file."""

    name: str = Field(
        default="text_search",
        max_length=64,
        pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?search[A-Za-z0-9_]*$",
    )
    """What the model calls it by; models of DeepEyesV2 know it as `search`. Reports know a search
    tool by that word in its name."""


class TextSearch(SearchTool):
    """Find documents by words."""

    Options = TextSearchOptions

    def __init__(
        self, options: TextSearchOptions | None = None, *, provider: Provider | None = None
    ) -> None:
        """Describe the tool; nothing is opened.

        Args:
            options: Those of the run file.
            provider: What is searched; None: what the options name.

        Raises:
            ConfigError: no provider is named, or it cannot be searched by words.
        """
        self._named = options or TextSearchOptions()
        super().__init__(self._named, "text", "tools.text_search", provider=provider)
        self.spec = ToolSpec(
            name=self._named.name,
            description="Search for documents by words; the best results are shown.",
            parameters={
                "type": "object",
                "properties": {
                    "query": {
                        "type": "string",
                        "description": "What to search for, in a few words.",
                    }
                },
                "required": ["query"],
            },
            options=self.facts,
        )

    @asynccontextmanager
    async def open(self, context: ToolContext) -> AsyncIterator[ToolFunction]:
        """A memory of what the episode has asked."""
        name, asked = self._named.name, set[str]()

        async def call(arguments: dict[str, JsonValue]) -> ToolOutput:
            refuse_unknown(arguments, ("query",), name)
            value = arguments.get("query")
            text = one_line(value) if isinstance(value, str) else ""
            if not text:
                raise ToolError(f"{name}: query must be text with words, got {short(value)}")
            if len(text) > MAX_QUERY:
                raise ToolError(
                    f"{name}: a query of {len(text)} characters; at most {MAX_QUERY}: search for a "
                    "few words"
                )
            key = text.casefold()
            if key in asked:
                return nothing(
                    repeated("text", self._provider.name, text),
                    f'You have searched for "{text}" before; its results are above. Search for '
                    "something else, or answer.",
                )
            asked.add(key)
            query = Query("text", text=text, task_id=context.task_id, k=self._options.k)
            try:
                found, pictures = await self.ask(query)
            except ToolError:  # nothing was searched, and no results are above
                asked.discard(key)
                raise
            if not found.hits:
                return nothing(
                    found, f'No results for "{text}". Try other words, or a more general query.'
                )
            return shown(found, pictures, context.observation, f'{counted(found)} for "{text}":')

        yield call
