"""The two protocols: `Policy`, which writes turns, and `Tool`, which a turn can call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from pydantic import Field, JsonValue

from saccade.images.geometry import CoordSpace, PixelBudget
from saccade.images.image import Image
from saccade.types.environment import ToolSpec
from saccade.types.task import Part, Record
from saccade.types.trajectory import Completion, Outcome, Trajectory


class Force(Record):
    """A text that a turn must go on with once its thought is closed.

    A dialect makes it from its seams: `dialect.seams.force("call")` makes a policy call.
    """

    text: str
    """It is written token by token, whatever the model would have sampled."""
    opening: str = ""
    """What opens a thought. A turn that starts with something else has none, and the text comes
    first. Empty where a turn is in its thought from the start."""
    closing: str = ""
    """What closes a thought. Empty: the turn starts with the text."""


class Sampling(Record):
    """How a turn is sampled. Noise depends on `seed` alone, never on the batch."""

    temperature: float = Field(default=0.0, ge=0)
    """What logits are divided by; 0 is greedy."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """The mass of the most likely tokens that are sampled from."""
    max_tokens: int = Field(default=1024, ge=1)
    """Number of tokens that the turn may have."""
    stop: tuple[str, ...] = ()
    """Strings that end the turn; they are kept in its text."""
    force: Force | None = None
    """Text that the turn must go on with. For local models, which give its log-probabilities."""
    seed: int = 0
    """The seed of the turn's own noise."""


@dataclass(frozen=True)
class ToolContext:
    """What a tool may see of an episode. The answer is not among it."""

    task_id: str
    """Which question the episode is about."""
    images: Sequence[Image]
    """image_1, image_2, ... as shown so far; grows while the episode runs."""
    coords: CoordSpace
    observation: PixelBudget
    seed: int


class ToolOutput(NamedTuple):
    """What a call gives."""

    content: tuple[Part, ...]
    """What the model is shown: text and images in order."""
    data: dict[str, JsonValue] | None = None
    """What it is not shown: `ToolResult.data`."""
    outcome: Outcome = "done"
    """What became of the call: only one that is `done` can be a success."""


ToolFunction = Callable[[dict[str, JsonValue]], Awaitable[ToolOutput]]
"""One call: arguments as the model wrote them -> what comes of it."""


class Tool(Protocol):
    """Something that a model can call.

    An environment starts its tools before the first episode and closes them after the last.
    `open` gives one episode its own state; leaving the context ends it, so nothing can leak
    into the next. The function that it yields raises `ToolError` for what the model did wrong;
    whatever else it raises aborts the episode.

    Calls of a turn run one after the other, unless a tool says otherwise: see `SideBySide`.
    """

    @property
    def spec(self) -> ToolSpec:
        """What the model is told of the tool. Reading it starts no process and loads no model."""
        ...

    async def start(self) -> None:
        """Start what all episodes share: a process, a model, an index. Once more does nothing."""
        ...

    def open(self, context: ToolContext) -> AbstractAsyncContextManager[ToolFunction]:
        """The tool for one episode."""
        ...

    async def close(self) -> None:
        """End what `start` started; the tool may be started again."""
        ...


@runtime_checkable
class SideBySide(Protocol):
    """What a tool has beside `Tool` whose calls wait for others, as those of a search engine do.

    Calls that follow each other in a turn run at the same time. None of them sees the images that
    another one returns; results and images keep the order of the calls.
    """

    side_by_side: bool
    """Whether its calls may run at the same time as each other, and as those of other such
    tools."""


class ModelInfo(Record):
    """What a policy knows of its model; an environment that says otherwise does not fit it."""

    name: str = ""
    """The name by which a server or a folder knows the model."""
    coords: CoordSpace | None = None
    """The frame in which the model was trained to write boxes; None if that is not known."""
    factor: int | None = None
    """The model takes images whose sides are multiples of this; None if that is not known."""
    fingerprints: tuple[str, ...] = ()
    """The environments that the checkpoint was trained in; empty if that is not known."""


class Policy(Protocol):
    """Something that writes the next turn of a trajectory."""

    @property
    def info(self) -> ModelInfo:
        """What is known of the model; a local one is loaded for it."""
        ...

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        """The next completion.

        Raises:
            ContextOverflow: the prompt does not fit.
            ServiceError: the server failed; the episode is aborted.
        """
        ...

    def count_tokens(self, trajectory: Trajectory) -> int | None:
        """Length of the next prompt in tokens; None if only the server knows."""
        ...

    async def close(self) -> None:
        """Give back connections and memory."""
        ...
