"""What a dialect is: how thoughts, calls, answers and observations are written as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from saccade.geometry import CoordSpace
from saccade.types import Action, Completion, Message, Record, Task, ToolResult, ToolSpec


class Prompts(Record):
    """The templates of a dialect. They are data: ours by default, or taken from a file."""

    system: str
    """`{tools}` becomes the tool list, `{coords}` the sentence about the box frame. Empty: none."""
    user: str
    """`{question}` becomes the question; text before its first image stays before it."""
    observation: str = ""
    """Text that follows what a tool returned, repeated in each observation."""

    @property
    def digest(self) -> str:
        """16 hex digits that change when any template does."""
        raise NotImplementedError


class Dialect(Protocol):
    """A way of writing actions. Stateless; `parse` and `write` are inverse on valid actions."""

    name: str
    prompts: Prompts
    stop: tuple[str, ...]
    """Strings that end a turn; kept in its text."""
    prefix: str
    """Text that each assistant turn starts with; part of what `parse` reads."""
    native_tools: bool
    """Tools travel through the server's `tools` field or the model's tool template."""

    def system(self, tools: Sequence[ToolSpec], coords: CoordSpace) -> Message | None: ...

    def question(self, task: Task) -> Message:
        """The user's first message: images in order, question, choices, instructions."""
        ...

    def parse(self, text: str) -> Action:
        """What a turn means. Never raises, whatever the text."""
        ...

    def read(self, completion: Completion, prefix: str) -> Action:
        """Like `parse`, on a completion: native calls are taken from their own field."""
        ...

    def write(self, action: Action) -> str:
        """The text of an action: `parse(write(action)) == action` if it has no problems."""
        ...

    def observe(self, results: Sequence[ToolResult]) -> tuple[Message, ...]:
        """What the model is shown of the results; hostile text in them is made inert."""
        ...
