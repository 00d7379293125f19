"""A tool that lies, stays silent or fails: controls, and something to train against.

It looks to the model like the tool that it wraps. What it does wrong is decided call by call, by
the seed of the episode: an agent that asks twice may be told two things.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal, cast

import numpy as np
from pydantic import Field, JsonValue

from saccade.config import Part, build
from saccade.errors import ConfigError
from saccade.tools import BUILT_IN
from saccade.types import Record, Tool, ToolContext, ToolFunction, ToolOutput, ToolSpec

Fault = Literal["lies", "silent", "fails"]

CELLS: dict[Fault, str] = {"silent": "pass", "fails": "raise OSError('out of memory')"}
"""What runs in place of the cell of a model: a silent or failing call looks like a real one."""
_NUMBER = re.compile(r"\d{2,}")
_STREAM = 77
"""Keeps this noise apart from what else is drawn from the seed of an episode."""


class FaultyOptions(Record):
    """The section of a run file."""

    tool: Part
    """The tool that it wraps, a name as in `tools` with its options: `{ kind = "python" }`."""
    fault: Fault
    """`lies`: each number of two digits or more that the tool tells is another one of as many
    digits, but for those that the model has said in the call. `silent`: the cell of a model is
    replaced by one that prints nothing. `fails`: by one that raises. The last two are for tools
    that take code."""
    share: float = Field(default=1.0, ge=0, le=1)
    """Probability that a call meets the fault."""
    first: int | None = Field(default=None, ge=1)
    """Number of calls of an episode, from the first, that may meet it; None: all."""


class Faulty:
    """Wraps a tool, and answers some of its calls wrongly."""

    Options = FaultyOptions

    def __init__(self, options: FaultyOptions, *, tool: Tool | None = None) -> None:
        """Make the tool.

        Args:
            options: What it does wrong.
            tool: What it wraps; None: what the options name.

        Raises:
            ConfigError: there is no such tool, or the fault is none that it can have.
        """
        self._options = options
        self._tool = tool or cast(Tool, build(options.tool, BUILT_IN, "tool"))
        takes = self._tool.spec.parameters.get("properties")
        if options.fault in CELLS and not (isinstance(takes, dict) and "code" in takes):
            raise ConfigError(
                f"fault: {options.fault!r} is for tools that take code; {self._tool.spec.name} "
                "takes none, and can have 'lies'"
            )

    @property
    def spec(self) -> ToolSpec:
        """That of the tool; the fault is among its options, so that fingerprints differ."""
        spec, chosen = self._tool.spec, self._options.model_dump(mode="json", exclude={"tool"})
        return spec.model_copy(update={"options": {**spec.options, "faulty": chosen}})

    async def start(self) -> None:
        await self._tool.start()

    @asynccontextmanager
    async def open(self, context: ToolContext) -> AsyncIterator[ToolFunction]:
        """The tool for one episode, with its own noise."""
        options = self._options
        rng = np.random.default_rng([_STREAM, context.seed])
        calls = 0
        async with self._tool.open(context) as tool:

            async def call(arguments: dict[str, JsonValue]) -> ToolOutput:
                nonlocal calls
                calls += 1
                met = rng.random() < options.share
                if not met or (options.first is not None and calls > options.first):
                    return await tool(arguments)
                if options.fault in CELLS:
                    return await tool({**arguments, "code": CELLS[options.fault]})
                honest = await tool(arguments)
                lie = _Lie(rng, said=json.dumps(arguments))
                # A dialect may show what stands in `data` and not the text.
                content = tuple(lie(p) if isinstance(p, str) else p for p in honest.content)
                data = cast(dict[str, JsonValue] | None, lie.throughout(honest.data))
                return honest._replace(content=content, data=data)

            yield call

    async def close(self) -> None:
        await self._tool.close()


class _Lie:
    """Writes other numbers into texts, one for each that is not said already."""

    def __init__(self, rng: np.random.Generator, *, said: str) -> None:
        self._rng = rng
        self._written: dict[str, str] = {number: number for number in _NUMBER.findall(said)}

    def __call__(self, text: str) -> str:
        return _NUMBER.sub(lambda found: self._other(found[0]), text)

    def throughout(self, value: JsonValue) -> JsonValue:
        """The same with every text in it rewritten."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, list):
            return [self.throughout(one) for one in value]
        if isinstance(value, dict):
            return {key: self.throughout(one) for key, one in value.items()}
        return value

    def _other(self, number: str) -> str:
        while number not in self._written:
            first, *rest = self._rng.integers(10, size=len(number)).tolist()
            drawn = "".join(map(str, (first or 1, *rest)))
            if drawn != number:
                self._written[number] = drawn
        return self._written[number]
