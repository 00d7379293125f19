"""The records that travel between rooms, and the two protocols: `Tool` and `Policy`.

Records are frozen and refuse unknown fields. A `Trajectory` is the whole state of an episode:
policies read it, the environment extends it, renderers, rewards and pages are functions of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from saccade.geometry import Box, CoordSpace, PixelBudget
from saccade.image import Image

Part = str | Image
"""A piece of a message: text, or an image."""


class Record(BaseModel):
    """A frozen value that touches disk or wire."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class TargetBox(Record):
    """Where the asked object is: ground truth for measures and rewards, never shown."""

    box: Box
    """In pixels of the source of the image, not of a view of it."""
    image: int = Field(default=1, ge=1)
    """Which image of the question, counted from 1."""
    label: str = ""


class Task(Record):
    """A question with its images, and what is known about the right answer."""

    id: str = Field(min_length=1, max_length=500)
    prompt: tuple[Part, ...]
    """The question as the asker wrote it: text and images in order, no instructions."""
    answer: str | None = None
    """The gold answer, or None: then nothing scores the trajectory."""
    choices: tuple[str, ...] = Field(default=(), max_length=26)
    """Options of a multiple-choice question, without letters."""
    boxes: tuple[TargetBox, ...] = ()
    judge: str | None = None
    """Name of the judge that this task wants; None leaves it to the reward."""
    source: str = ""
    """Benchmark, file or generator that the task comes from."""
    meta: dict[str, JsonValue] = {}

    @model_validator(mode="after")
    def _boxes_lie_on_images(self) -> Self:
        for target in self.boxes:
            if target.image > len(self.images):
                raise ValueError(f"a box on image {target.image} of {len(self.images)}")
        return self

    @property
    def question(self) -> str:
        """The text of the prompt, images left out."""
        return "\n".join(part for part in self.prompt if isinstance(part, str)).strip()

    @property
    def images(self) -> tuple[Image, ...]:
        return tuple(part for part in self.prompt if isinstance(part, Image))


class ToolCall(Record):
    """What the model asked for; the arguments are its own and not yet validated."""

    name: str
    arguments: dict[str, JsonValue] = {}
    id: str | None = None
    """The id that a server gave to a native tool call."""


class ToolResult(Record):
    """What came of a call: content for the model, or an error that it can act on."""

    call: ToolCall
    content: tuple[Part, ...] = ()
    error: str | None = None
    seconds: float = 0.0
    """Wall time of the call."""

    @property
    def ok(self) -> bool:
        return self.error is None


class Message(Record):
    """One message of a conversation, as templates and chat servers know it."""

    role: Literal["system", "user", "assistant", "tool"]
    content: tuple[Part, ...]
    call_id: str | None = None
    """On a `tool` message: the id of the call that it answers."""

    @property
    def text(self) -> str:
        return "".join(part for part in self.content if isinstance(part, str))


class ProblemKind(StrEnum):
    """What is wrong with the form of a turn; what a format reward counts."""

    UNBALANCED_THINK = "unbalanced_think"
    UNBALANCED_ANSWER = "unbalanced_answer"
    UNBALANCED_CALL = "unbalanced_call"
    ANSWER_AND_CALL = "answer_and_call"
    """Both in one turn: the answer counts, the call is not executed."""
    SEVERAL_ANSWERS = "several_answers"
    EMPTY_ANSWER = "empty_answer"
    LONG_ANSWER = "long_answer"
    SEVERAL_CALLS = "several_calls"
    """More calls than the dialect allows in a turn: the last one counts."""
    BAD_CALL = "bad_call"
    """A call that is no JSON object with a name and arguments."""
    TEXT_AFTER_CALL = "text_after_call"
    TOO_LONG = "too_long"
    """Longer than a turn may be: only the beginning was read."""
    FORGED_TOKENS = "forged_tokens"
    """The text holds control tokens of a chat template."""


class Problem(Record):
    """A format problem, recorded when the turn was parsed."""

    kind: ProblemKind
    detail: str = ""


class Action(Record):
    """What a turn meant: at most one of `calls` and `answer` is acted on."""

    thought: str | None = None
    calls: tuple[ToolCall, ...] = ()
    answer: str | None = None
    problems: tuple[Problem, ...] = ()


class WireCall(Record):
    """A native tool call exactly as the server sent it, to be sent back byte for byte."""

    id: str
    name: str
    arguments: str
    """JSON text, unparsed."""


class Completion(Record):
    """What a policy produced for one turn."""

    text: str
    finish: Literal["stop", "length"] = "stop"
    tool_calls: tuple[WireCall, ...] = ()
    """Native calls of a chat server; empty for text dialects and token policies."""
    token_ids: tuple[int, ...] | None = None
    """Sampled ids, verbatim, the end-of-turn token included if it was sampled."""
    log_probs: tuple[float, ...] | None = None
    """Natural log-probability of each sampled id, at the sampling temperature (at 1 if greedy),
    before any top-p or top-k cut."""
    model: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    seconds: float = 0.0


class Turn(Record):
    """One step: the model's completion, what it meant, and what the world answered."""

    prefix: str = ""
    """Text that the environment put at the start of the assistant's turn."""
    completion: Completion
    action: Action
    results: tuple[ToolResult, ...] = ()
    observation: tuple[Message, ...] = ()
    dropped: Literal["context", "images"] | None = None
    """Why the observation of these results did not fit and was left out as a whole."""


class StopReason(StrEnum):
    """Why an episode ended."""

    ANSWER = "answer"
    NO_ACTION = "no_action"
    """Neither an answer nor a call."""
    MAX_TURNS = "max_turns"
    MAX_TOKENS = "max_tokens"
    """A turn was cut by its token limit, or the context is full."""
    MAX_IMAGES = "max_images"
    TIMEOUT = "timeout"
    """Past the seconds limit: unscored, in a column of its own."""
    ABORTED = "aborted"
    """We failed, not the model: no score, no gradient, counted in every report."""


class Verdict(Record):
    """A judge's opinion on an answer."""

    correct: bool | None
    """None: undecided, the trajectory stays unscored."""
    reason: str = ""
    judge: str = ""


class Score(Record):
    """The value of a trajectory and what it is made of."""

    value: float
    parts: dict[str, float] = {}
    """Term name -> unweighted value."""


class ToolSpec(Record):
    """A tool as models and servers are told of it."""

    name: str
    description: str
    parameters: dict[str, JsonValue]
    """JSON schema of the arguments."""
    options: dict[str, JsonValue] = {}
    """What the tool's behaviour depends on; part of the fingerprint."""


class Limits(Record):
    """What an episode may use."""

    max_turns: int = Field(default=6, ge=1)
    max_turn_tokens: int = Field(default=1024, ge=1)
    """Tokens that the model may write in one turn."""
    max_context: int = Field(default=32768, ge=1)
    """Tokens of the whole trajectory, image tokens included."""
    max_images: int = Field(default=32, ge=1)
    """Images in the context, those of the question included."""
    max_seconds: float = Field(default=600.0, gt=0)
    """Wall time of the episode."""


class EnvironmentRecord(Record):
    """What the model saw the world through; two runs with one fingerprint are comparable."""

    fingerprint: str
    """16 hex digits: hash of everything below."""
    dialect: str
    prompts: str
    """Hash of the prompt templates."""
    tools: tuple[ToolSpec, ...] = ()
    native_tools: bool = False
    """Tools go through the server's `tools` field or the model's own tool template."""
    stop: tuple[str, ...] = ()
    prefill: bool = False
    """Assistant turns start with a given prefix, which a policy must be able to continue."""
    coords: CoordSpace = CoordSpace.ABSOLUTE
    view: PixelBudget = PixelBudget()
    observation: PixelBudget = PixelBudget()
    limits: Limits = Limits()


class Trajectory(Record):
    """An episode, finished or under way."""

    id: str
    task_id: str
    sample: int = Field(default=0, ge=0)
    """Which of several rollouts of the task, counted from 0."""
    seed: int = 0
    environment: EnvironmentRecord
    prompt: tuple[Message, ...]
    turns: tuple[Turn, ...] = ()
    prefix: str = ""
    """Text that the next assistant turn starts with; empty in most dialects."""
    stop: StopReason | None = None
    """None while the episode is under way."""
    error: str | None = None
    """Why it was aborted."""
    verdict: Verdict | None = None
    """What the judge said of the answer; undecided leaves the score at None."""
    score: Score | None = None
    seconds: float = 0.0
    """Wall time from the first request to the end."""

    @property
    def answer(self) -> str | None:
        """The final answer, if the episode ended with one."""
        answered = self.stop is StopReason.ANSWER and self.turns
        return self.turns[-1].action.answer if answered else None

    @property
    def results(self) -> tuple[ToolResult, ...]:
        """Every tool result in order, failed calls included."""
        return tuple(result for turn in self.turns for result in turn.results)

    @property
    def successes(self) -> tuple[ToolResult, ...]:
        """Results of calls that succeeded and that the model was shown."""
        shown = (turn.results for turn in self.turns if turn.dropped is None)
        return tuple(result for results in shown for result in results if result.ok)

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation so far, assistant turns with their prefix."""
        flat = list(self.prompt)
        for turn in self.turns:
            text = turn.prefix + turn.completion.text
            flat.append(Message(role="assistant", content=(text,)))
            flat.extend(turn.observation)
        return tuple(flat)

    @property
    def images(self) -> tuple[Image, ...]:
        """Every image in the context, in order: image_1, image_2, ..."""
        parts = (part for message in self.messages for part in message.content)
        return tuple(part for part in parts if isinstance(part, Image))


class Sampling(Record):
    """How a turn is sampled. Noise depends on `seed` alone, never on the batch."""

    temperature: float = Field(default=0.0, ge=0)
    """0 is greedy."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: int = Field(default=1024, ge=1)
    stop: tuple[str, ...] = ()
    """Strings that end the turn; kept in the text."""
    force: str = ""
    """Text that the turn goes on with once its thought is closed, or starts with if it opens none:
    `<tool_call>` makes a policy call. A text with a thought of its own is the start of the turn.
    For local models, which tell its log-probabilities too."""
    seed: int = 0


@dataclass(frozen=True)
class ToolContext:
    """What a tool may see of an episode. The answer is not among it."""

    images: Sequence[Image]
    """image_1, image_2, ... as shown so far; grows while the episode runs."""
    coords: CoordSpace
    observation: PixelBudget
    seed: int


ToolFunction = Callable[[dict[str, JsonValue]], Awaitable[tuple[Part, ...]]]
"""One call: arguments as the model wrote them -> content of the observation."""


class Tool(Protocol):
    """Something that a model can call.

    `open` gives one episode its own state; leaving the context ends it, so nothing can leak
    into the next. The function that it yields raises `ToolError` for what the model did wrong;
    whatever else it raises aborts the episode.
    """

    @property
    def spec(self) -> ToolSpec: ...

    def open(self, context: ToolContext) -> AbstractAsyncContextManager[ToolFunction]: ...


class Policy(Protocol):
    """Something that writes the next turn of a trajectory."""

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
