"""The calls of a turn, executed: the tools of one episode, and what comes of each call.

A call is executed for what the model wrote; its mistakes become the error of a result. Whatever
else a tool raises passes through: `Environment.episode` is the boundary.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from itertools import takewhile
from typing import TypeVar

from saccade.errors import ToolError
from saccade.images.image import Image
from saccade.types import (
    Completion,
    ProblemKind,
    SideBySide,
    Tool,
    ToolCall,
    ToolContext,
    ToolFunction,
    ToolOutput,
    ToolResult,
    Turn,
)

Item = TypeVar("Item")


class OpenTools:
    """The tools of one episode, each opened for it alone.

    Args:
        images: image_1, image_2, ... of the conversation; what calls return is added to it.
    """

    def __init__(self, images: list[Image]) -> None:
        self._images = images
        self._functions: dict[str, ToolFunction] = {}
        self._side_by_side: set[str] = set()

    async def open(
        self, tools: Sequence[Tool], context: ToolContext, stack: AsyncExitStack
    ) -> None:
        """Open the tools; they are closed with the stack."""
        for tool in tools:
            name = tool.spec.name
            self._functions[name] = await stack.enter_async_context(tool.open(context))
            if isinstance(tool, SideBySide) and tool.side_by_side:
                self._side_by_side.add(name)

    def forget(self) -> None:
        """Let go of the tools, which are closed."""
        self._functions.clear()

    async def results(self, turn: Turn) -> list[ToolResult]:
        """Execute the calls of a turn; results in the order in which the calls came."""
        executed = await self._execute_all(turn.action.calls)
        return _in_wire_order([*executed, *_unread(turn)], turn.completion)

    async def _execute_all(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        """Execute the calls in order: one may address an image that an earlier one returned.

        Calls of tools that may run side by side do, where they follow each other: each of them sees
        the images that were there before the first.
        """
        results: list[ToolResult] = []
        waiting = list(calls)
        while waiting:
            several = takewhile(lambda call: call.name in self._side_by_side, waiting)
            batch = list(several) or waiting[:1]
            del waiting[: len(batch)]
            executed = await all_of([self._execute(call) for call in batch])
            for result in executed:
                self._images.extend(p for p in result.content if isinstance(p, Image))
            results += executed
        return results

    async def _execute(self, call: ToolCall) -> ToolResult:
        started = time.monotonic()
        output, error = ToolOutput(()), None
        try:
            function = self._functions.get(call.name)
            if function is None:
                known = ", ".join(self._functions) or "none"
                raise ToolError(f"unknown tool {call.name[:80]!r}; the tools are: {known}")
            output = await function(call.arguments)
        except ToolError as mistake:
            error = str(mistake)
        return ToolResult(
            call=call,
            content=output.content,
            error=error,
            data=output.data or {},
            outcome=output.outcome,
            seconds=time.monotonic() - started,
        )


async def all_of(calls: Sequence[Coroutine[None, None, Item]]) -> list[Item]:
    """What all of the calls return, in their order; the first that raises ends the others."""
    running = [asyncio.create_task(call) for call in calls]
    try:
        return await asyncio.gather(*running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _unread(turn: Turn) -> list[ToolResult]:
    """Errors for the calls of a turn that were not executed.

    A server wants a result for each native call by its id; of calls in the text the error is one.
    """
    bad = [p for p in turn.action.problems if p.kind is ProblemKind.BAD_CALL]
    if not turn.completion.tool_calls:
        error = f"invalid tool call: {bad[-1].detail if bad else ''}"
        return [] if turn.action.calls else [ToolResult(call=ToolCall(name=""), error=error)]
    wrong = {problem.call_id: f"invalid tool call: {problem.detail}" for problem in bad}
    read = {call.id for call in turn.action.calls}
    return [
        ToolResult(
            call=ToolCall(name=wire.name, id=wire.id),
            error=wrong.get(wire.id, "not executed: too many calls in one turn"),
        )
        for wire in turn.completion.tool_calls
        if wire.id not in read
    ]


def _in_wire_order(results: list[ToolResult], completion: Completion) -> list[ToolResult]:
    place = {wire.id: position for position, wire in enumerate(completion.tool_calls)}
    return sorted(results, key=lambda result: place.get(result.call.id or "", 0))
