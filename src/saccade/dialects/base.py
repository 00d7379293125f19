"""What a dialect is: how thoughts, calls, answers and observations are written as text."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple, Protocol, Self, get_args

from saccade.config import check_choice
from saccade.dialects.whole import put_together
from saccade.errors import ConfigError
from saccade.images.geometry import CoordSpace
from saccade.images.image import Image
from saccade.types import (
    Action,
    Completion,
    Force,
    Message,
    Part,
    Record,
    Task,
    ToolResult,
    ToolSpec,
    option_letter,
)
from saccade.untrusted.inert import inert, kept_apart

IMAGE = "<image>"
"""Where a template wants the next image of the question."""

COORDS = {
    CoordSpace.ABSOLUTE: "Boxes are [x1, y1, x2, y2] in pixels of the image as you see it.",
    CoordSpace.RELATIVE_1000: "Boxes are [x1, y1, x2, y2], from 0 to 1000 on both axes.",
    CoordSpace.RELATIVE_1: "Boxes are [x1, y1, x2, y2], from 0 to 1 on both axes.",
}


class Prompts(Record):
    """The templates of a dialect. They are data: ours by default, or taken from a file."""

    system: str
    """`{tools}` becomes the tool list, `{coords}` the sentence about the box frame; may be ""."""
    user: str
    """`{question}` becomes the question. `<image>` marks the place of an image; images without a
    place stay where the question has them."""
    observation: str = ""
    """Text that follows what a tool returned, repeated in each observation."""
    without_tools: Prompts | None = None
    """The templates of an environment that has no tools, which speak of none; None: these are used
    there too. They have a digest of their own."""

    @property
    def digest(self) -> str:
        """16 hex digits that change when any template does that is used beside tools."""
        shown = self.model_dump_json(exclude={"without_tools"})
        return hashlib.sha256(shown.encode()).hexdigest()[:16]


Move = Literal["call", "code", "answer"]
"""What a turn can do once its thought is closed."""


class Seam(NamedTuple):
    """The texts between which something stands in a turn."""

    opening: str
    closing: str
    """Empty where it ends with the turn."""


class Seams(Record):
    """How the parts of a turn open and close. Nothing outside of a dialect writes these texts."""

    thought: Seam | None
    """None where a thought has no end of its own."""
    call: Seam
    answer: Seam | None
    """None where an answer is plain text, which nothing opens."""
    code: Seam | None = None
    """The seam of a cell of code, in dialects that write it apart from other calls."""

    def force(self, move: Move, prefix: str = "") -> Force:
        """What makes a local model make this move, after a thought of its own.

        Args:
            move: What it shall do.
            prefix: The given beginning of the turn (`Dialect.prefix`), which may open the thought.

        Raises:
            ConfigError: nothing opens this move in the dialect.
        """
        check_choice("move", move, get_args(Move))
        seam = {"call": self.call, "code": self.code, "answer": self.answer}[move]
        if seam is None:
            raise ConfigError(
                f"no text of this dialect opens the move {move!r}: it cannot be forced"
            )
        if self.thought is None:
            return Force(text=seam.opening)
        begun = prefix.startswith(self.thought.opening)
        opening = "" if begun else self.thought.opening
        return Force(text=seam.opening, opening=opening, closing=self.thought.closing)

    def after_thought(self, text: str, prefix: str = "") -> int | None:
        """Where in a turn a forced move may start: behind its thought, or at 0 if it has none.

        Args:
            text: What the model wrote of the turn.
            prefix: The given beginning before it.

        Returns:
            A place in `text`; None if its thought is never closed.
        """
        whole = prefix + text
        if self.thought is None or not whole.startswith(self.thought.opening):
            return 0
        end = whole.find(self.thought.closing, len(self.thought.opening))
        return None if end < 0 else max(0, end + len(self.thought.closing) - len(prefix))


class Dialect(Protocol):
    """A way of writing actions. Stateless; `parse` and `write` are inverse on valid actions."""

    @property
    def name(self) -> str: ...

    @property
    def prompts(self) -> Prompts: ...

    @property
    def default_prompts(self) -> Prompts:
        """Those that it has unless a run file names others."""
        ...

    @property
    def seams(self) -> Seams:
        """How a thought, a call and an answer open and close."""
        ...

    @property
    def stop(self) -> tuple[str, ...]:
        """Strings that end a turn; kept in its text."""
        ...

    @property
    def prefix(self) -> str:
        """Text that each assistant turn starts with; part of what `parse` reads."""
        ...

    @property
    def native_tools(self) -> bool:
        """Tools travel through the server's `tools` field or the model's tool template."""
        ...

    def without_tools(self) -> Dialect:
        """The same dialect where there are no tools: its prompts speak of none."""
        ...

    def system(self, tools: Sequence[ToolSpec], coords: CoordSpace) -> Message | None:
        """The system message, or None where the template is empty."""
        ...

    def question(self, task: Task) -> Message:
        """The user's first message: images in order, question, choices, instructions."""
        ...

    def parse(self, text: str) -> Action:
        """What a turn means. Never raises, whatever the text."""
        ...

    def read(self, completion: Completion, prefix: str) -> Action:
        """Like `parse`, on a completion: thought and native calls may have fields of their own."""
        ...

    def write(self, action: Action) -> str:
        """The text of an action: `parse(write(action)) == action` if it has no problems."""
        ...

    def observe(self, results: Sequence[ToolResult]) -> tuple[Message, ...]:
        """What the model is shown of the results; hostile text in them is made inert."""
        ...


class TextDialect(Record):
    """What the built-in dialects share."""

    name: ClassVar[str]
    default_prompts: ClassVar[Prompts]
    seams: ClassVar[Seams]
    stop: ClassVar[tuple[str, ...]] = ()
    prefix: ClassVar[str] = ""
    native_tools: ClassVar[bool] = False

    prompts: Prompts

    def without_tools(self) -> Self:
        """The same with the templates that its prompts have for this, if they have any."""
        alone = self.prompts.without_tools
        return self if alone is None else self.model_copy(update={"prompts": alone})

    def question(self, task: Task) -> Message:
        """The template, filled."""
        return fill_user(self.prompts.user, task)

    def read(self, completion: Completion, prefix: str) -> Action:
        """What the whole turn means, the given beginning included.

        What a server took out of it is put back: see `saccade.dialects.whole`.
        """
        whole = put_together(self, completion, prefix)
        text = whole.prefix + whole.completion.text
        return whole.noted(self.parse_behind(whole.completion.thought or None, text))

    def parse(self, text: str) -> Action:
        """What a turn means, all of which is text. Override this, or `parse_behind`."""
        return self.parse_behind(None, text)

    def write(self, action: Action) -> str:
        raise NotImplementedError

    def parse_behind(self, thought: str | None, text: str) -> Action:
        """What a turn means whose thought, or a part of it, a server sent apart from the text."""
        action = self.parse(text)
        thoughts = [part for part in (thought, action.thought) if part]
        return action.model_copy(update={"thought": "\n".join(thoughts) or None})


def fill_system(template: str, tools: str, coords: CoordSpace) -> Message | None:
    """The system message of a template; substitution is literal, in one pass."""
    before, marker, after = template.partition("{tools}")
    text = before.replace("{coords}", COORDS[coords])
    if marker:
        text += tools + after.replace("{coords}", COORDS[coords])
    return Message(role="system", content=(text,)) if text.strip() else None


def fill_user(template: str, task: Task) -> Message:
    """The user's first message of a template. Text of the task is made inert."""
    before, _, after = template.partition("{question}")
    places = before.count(IMAGE) + after.count(IMAGE)
    images = list(task.images)
    placed, unplaced = images[:places], images[places:]
    content: list[Part] = []
    content += _with_images(before, placed)
    kept = set(map(id, unplaced))
    for part in task.prompt:
        if isinstance(part, str):
            content.append(inert(part))
        elif id(part) in kept:
            content.append(part)
    content.append(_choices(task))
    content += _with_images(after, placed)
    return Message(role="user", content=merged(content))


def merged(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Neighbouring texts joined, empty ones left out.

    What is inert in each part may not be where two of them meet, an image between them or not: see
    `kept_apart`.
    """
    joined: list[Part] = []
    for part in kept_apart(parts):
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        elif part != "":
            joined.append(part)
    return tuple(joined)


def content_of(result: ToolResult) -> tuple[Part, ...]:
    """What a result shows, with its text made inert."""
    if result.error is not None:
        return (f"Error: {inert(result.error)}",)
    return kept_apart([part if isinstance(part, Image) else inert(part) for part in result.content])


def _with_images(text: str, images: list[Image]) -> list[Part]:
    """Text in which each `<image>` is replaced by the next of `images`, which is consumed."""
    first, *rest = text.split(IMAGE)
    parts: list[Part] = [first]
    for piece in rest:
        if images:
            parts.append(images.pop(0))
        parts.append(piece)
    return parts


def _choices(task: Task) -> str:
    if not task.choices:
        return ""
    lines = [f"{option_letter(i)}. {inert(text)}" for i, text in enumerate(task.choices)]
    return "\n".join(["", *lines, "Answer with the letter of the right option."])
