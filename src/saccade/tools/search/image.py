"""`image_search`: what is known of an image, or of a part of one.

Source: DeepEyesV2 (arXiv 2511.05271), its tool of the same name. Where we deviate: any image of the
conversation can be searched with, and a part of one (`regions`); published it is always the whole
first image, and an argument is an error (an empty object of arguments, too, which is none here). A
second search with the same part is answered with a reminder.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import JsonValue

from saccade.errors import ToolError
from saccade.images.geometry import Box
from saccade.images.image import Image
from saccade.search.found import Query
from saccade.search.provider import Provider
from saccade.tools.arguments import (
    IMAGE_PARAMETER,
    addressed,
    box_parameter,
    refuse_unknown,
    shown_box,
)
from saccade.tools.search.base import SearchOptions, SearchTool, counted, nothing, repeated, shown
from saccade.types import ToolContext, ToolFunction, ToolOutput, ToolSpec

NAME = "image_search"
MIN_SIDE = 8
"""Number of source pixels that each side of a part must have: of less, nothing looks like it."""


class ImageSearchOptions(SearchOptions):
    """The section `tools.image_search` of a run file."""

    regions: bool = True
    """Whether an image and a box on it can be named; published, the first image is searched with as
    a whole, and any argument is an error."""


class ImageSearch(SearchTool):
    """Find what looks like an image, or a part of it."""

    Options = ImageSearchOptions

    def __init__(
        self, options: ImageSearchOptions | None = None, *, provider: Provider | None = None
    ) -> None:
        """Describe the tool; nothing is opened.

        Args:
            options: Those of the run file.
            provider: What is searched; None: what the options name.

        Raises:
            ConfigError: no provider is named, or it cannot be searched by an image.
        """
        self._given = options or ImageSearchOptions()
        super().__init__(self._given, "image", f"tools.{NAME}", provider=provider)
        what = "Search for pictures that look like an image"
        more = ", or like a part of it; their titles say what is shown."
        self.spec = ToolSpec(
            name=NAME,
            description=what + (more if self._given.regions else "; titles say what is shown."),
            parameters={
                "type": "object",
                "properties": {
                    "bbox_2d": box_parameter("The part to search with (default: all of it)"),
                    "image": IMAGE_PARAMETER,
                }
                if self._given.regions
                else {},
                "required": [],
            },
            options={**self.facts, "regions": self._given.regions},
        )

    @asynccontextmanager
    async def open(self, context: ToolContext) -> AsyncIterator[ToolFunction]:
        """A memory of what the episode has asked."""
        asked = set[tuple[str, Box]]()

        async def call(arguments: dict[str, JsonValue]) -> ToolOutput:
            name, image = self._searched(arguments, context)
            key = image.source.digest, image.region
            if key in asked:
                return nothing(
                    repeated("image", self._provider.name),
                    f"You have searched with this part of {name} before; its results are above.",
                )
            asked.add(key)
            # Caches of others know the picture of a question by its id: an id stands for no other.
            asks = context.task_id if key[0] == context.images[0].source.digest else ""
            query = Query("image", image=image, task_id=asks, k=self._options.k)
            try:
                found, pictures = await self.ask(query)
            except ToolError:  # nothing was searched, and no results are above
                asked.discard(key)
                raise
            if not found.hits:
                return nothing(
                    found, "No results for the image. Try a text search, or answer without it."
                )
            return shown(found, pictures, context.observation, f"{counted(found)} for {name}:")

        yield call

    def _searched(self, arguments: dict[str, JsonValue], context: ToolContext) -> tuple[str, Image]:
        """What is searched with, at the resolution of its source."""
        if not self._given.regions and arguments:
            raise ToolError(f"{NAME}: it takes no arguments; the whole first image is searched")
        refuse_unknown(arguments, ("bbox_2d", "image"), NAME)
        name, image = addressed(arguments, context)
        if arguments.get("bbox_2d") is None:
            return name, image.native()
        box = shown_box(arguments, context, name, image, NAME)
        part = image.crop(box)
        if min(part.size) < MIN_SIDE:
            raise ToolError(
                f"{NAME}: the box covers {part.size} pixels of {name} at full resolution, each "
                f"side must have {MIN_SIDE}; choose a larger box"
            )
        return name, part
