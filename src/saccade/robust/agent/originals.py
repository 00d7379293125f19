"""Tools that go on to see the clean photograph where what the model sees was attacked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import overload

from saccade.images.image import Image
from saccade.types import Tool, ToolContext, ToolFunction, ToolSpec


class OnTheOriginal:
    """A tool that works on the clean photograph where a view of it was attacked."""

    def __init__(self, tool: Tool, originals: Mapping[str, Image]) -> None:
        self._tool, self._originals = tool, originals

    @property
    def spec(self) -> ToolSpec:
        return self._tool.spec

    async def start(self) -> None:
        await self._tool.start()

    async def close(self) -> None:
        await self._tool.close()

    @asynccontextmanager
    async def open(self, context: ToolContext) -> AsyncIterator[ToolFunction]:
        images = _Originals(context.images, self._originals)
        async with self._tool.open(replace(context, images=images)) as call:
            yield call


class _Originals(Sequence[Image]):
    """The images of an episode, which grow while it runs, with originals for attacked ones."""

    def __init__(self, images: Sequence[Image], originals: Mapping[str, Image]) -> None:
        self._images, self._originals = images, originals

    def __len__(self) -> int:
        return len(self._images)

    @overload
    def __getitem__(self, place: int) -> Image: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Image]: ...
    def __getitem__(self, place: int | slice) -> Image | Sequence[Image]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        image = self._images[place]
        return self._originals.get(image.source.digest, image)
