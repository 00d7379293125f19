"""What most tools are: options, a description, and one function of the arguments."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from pydantic import JsonValue

from saccade.types import Record, ToolContext, ToolFunction, ToolOutput


class StatelessTool(Record):
    """A tool that keeps nothing from one call to the next: it has nothing to start or to close.

    Its fields are its options in a run file. A subclass says what it is (`spec`) and what a call
    does (`call`):

        class Size(StatelessTool):
            @property
            def spec(self) -> ToolSpec:
                return ToolSpec(name="size", description="...", parameters={"type": "object"})

            async def call(self, arguments, context) -> ToolOutput:
                return ToolOutput((str(context.images[0].size),))
    """

    async def start(self) -> None:
        """Nothing is shared by the episodes."""

    @asynccontextmanager
    async def open(self, context: ToolContext) -> AsyncIterator[ToolFunction]:
        """The images of the episode are all that a call needs."""
        yield partial(self.call, context=context)

    async def call(self, arguments: dict[str, JsonValue], context: ToolContext) -> ToolOutput:
        """Answer one call.

        Raises:
            ToolError: what the model did wrong; it reads the message.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing was started."""
