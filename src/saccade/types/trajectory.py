"""An episode as data: what the model wrote, what it meant, what it was shown, what it scored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Literal

from pydantic import Field, JsonValue, field_validator

from saccade.images.image import Image
from saccade.plugins import failure_of
from saccade.types.environment import EnvironmentRecord
from saccade.types.novelty import Shown
from saccade.types.task import Many, Part, Record


class ToolCall(Record):
    """What the model asked for; the arguments are its own and not yet validated."""

    name: str
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    id: str | None = None
    """The id that a server gave to a native tool call."""


Outcome = Literal["done", "nothing", "failed"]
"""What became of a call that has content. `nothing`: it ran and showed nothing, like a cell that
only defines variables. `failed`: what was asked for did not work, and the content says so, like
that of a cell that raised or was stopped."""


class ToolResult(Record):
    """What came of a call: content for the model, or an error that it can act on."""

    call: ToolCall
    content: Many[Part] = ()
    error: str | None = None
    data: dict[str, JsonValue] = Field(default_factory=dict)
    """What the tool knows beside what it shows: search hits, boxes, scores. For reports and
    rewards; the model never sees it."""
    outcome: Outcome = "done"
    """What became of it; records that were written before this was kept say `done`."""
    seconds: float = 0.0
    """Wall time of the call."""

    @property
    def ok(self) -> bool:
        """Whether the call was executed: there is content, and no error instead of it."""
        return self.error is None

    @property
    def failed(self) -> bool:
        """Whether it did not do what was asked for: refused, or executed in vain."""
        return not self.ok or self.outcome == "failed"


class Message(Record):
    """One message of a conversation, as templates and chat servers know it."""

    role: Literal["system", "user", "assistant", "tool"]
    content: Many[Part]
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
    TAKEN_APART = "taken_apart"
    """A parser of the server took calls, or all of the turn, out of the text unasked; they were put
    back. The model did nothing wrong, and no reward counts it unless it is named there."""


class Problem(Record):
    """A format problem, recorded when the turn was parsed."""

    kind: ProblemKind
    detail: str = ""
    call_id: str | None = None
    """The id of the native call that it is about, if it is about one."""


class Action(Record):
    """What a turn meant: at most one of `calls` and `answer` is acted on."""

    thought: str | None = None
    calls: Many[ToolCall] = ()
    answer: str | None = None
    problems: Many[Problem] = ()


class WireCall(Record):
    """A native tool call as the server sent it."""

    id: str
    """Its own in the turn: see `Completion`."""
    name: str
    arguments: str
    """Text as it came, unparsed: JSON, unless the model failed to write it."""


def distinct_ids(calls: Sequence[WireCall], taken: Iterable[str] = ()) -> tuple[WireCall, ...]:
    """The calls, each with an id that is not empty and that neither `taken` nor an earlier one has.

    An id that is made up has nine letters and digits.

    Source: mistral-common, `_validate_tool_call_id`: "must be a-z, A-Z, 0-9, with a length of 9".
    """
    used = set(taken)
    several: list[WireCall] = []
    number = 0
    for call in calls:
        number = max(number, len(used))
        while not call.id or call.id in used:
            call = call.model_copy(update={"id": f"call{number:05d}"})
            number += 1
        used.add(call.id)
        several.append(call)
    return tuple(several)


class Completion(Record):
    """What a policy produced for one turn.

    Native calls are told apart by their ids, in the results and on the wire: one that comes without
    an id, or with that of an earlier call, gets another.
    """

    text: str
    thought: str | None = None
    """What a server sent as the thought in a field of its own, which is then not in the text."""
    finish: Literal["stop", "length"] = "stop"
    tool_calls: Many[WireCall] = ()
    """Native calls of a chat server; empty for text dialects and token policies."""
    token_ids: Many[int] | None = None
    """Sampled ids, verbatim, the end-of-turn token included if it was sampled."""
    log_probs: Many[float] | None = None
    """Natural log-probability of each sampled id, at the sampling temperature (at 1 if greedy),
    before any top-p or top-k cut."""
    model: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    data: dict[str, JsonValue] = Field(default_factory=dict)
    """What the policy knows beside its text: the lines that a rule read, with their boxes. For
    reports; no model sees it."""
    seconds: float = 0.0

    @field_validator("tool_calls")
    @classmethod
    def _ids_differ(cls, calls: tuple[WireCall, ...]) -> tuple[WireCall, ...]:
        return distinct_ids(calls)


class Turn(Record):
    """One step: the model's completion, what it meant, and what the world answered."""

    prefix: str = ""
    """Text that the environment put at the start of the assistant's turn."""
    completion: Completion
    action: Action
    results: Many[ToolResult] = ()
    observation: Many[Message] = ()
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


MAX_RAW = 2000


class Verdict(Record):
    """A judge's opinion on an answer."""

    correct: bool | None
    """None: undecided, the trajectory stays unscored."""
    reason: str = ""
    judge: str = ""
    unread: bool = False
    """Whether no judge could read the answer: undecided for what the model wrote, not because a
    judge failed. Where the reward says that such an answer is wrong, it stays marked."""
    grade: float | None = Field(default=None, ge=0, le=1)
    """How right the answer is where that is no yes or no: an IoU, a share of a rubric. None: 1
    where it is correct, else 0."""
    raw: str = ""
    """What a judge that is a model replied, cut to `MAX_RAW` characters."""

    @property
    def value(self) -> float | None:
        """What enters an average; None where it is undecided."""
        if self.grade is not None or self.correct is None:
            return None if self.correct is None else self.grade
        return float(self.correct)


class Score(Record):
    """The value of a trajectory and what it is made of."""

    value: float
    parts: dict[str, float] = Field(default_factory=dict)
    """Term name -> unweighted value."""


class Trajectory(Record):
    """An episode, finished or under way."""

    id: str
    task_id: str
    sample: int = Field(default=0, ge=0)
    """Which of several rollouts of the task, counted from 0."""
    seed: int = 0
    environment: EnvironmentRecord
    prompt: Many[Message]
    turns: Many[Turn] = ()
    prefix: str = ""
    """Text that the next assistant turn starts with; empty in most dialects."""
    stop: StopReason | None = None
    """None while the episode is under way."""
    error: str | None = None
    """Why it was aborted; of a finished one, why the reward could not score it."""
    traceback: str | None = None
    """Where `error` was raised, if it is no error of Saccade's own. It names files of the machine
    that played; pages do not show it."""
    verdict: Verdict | None = None
    """What the judge said of the answer; undecided leaves the score at None."""
    score: Score | None = None
    annotations: dict[str, JsonValue] = Field(default_factory=dict)
    """What others noted of the episode, by name: the score of a guard, a reader's label. Neither
    tokens nor the fingerprint depend on them."""
    seconds: float = 0.0
    """Wall time from the first request to the end."""

    def unscored(self, error: Exception) -> Trajectory:
        """The same, finished as it is, without a score: the reward raised this."""
        reason, traceback = failure_of(error)
        return self.model_copy(
            update={"verdict": None, "score": None, "error": reason, "traceback": traceback}
        )

    @property
    def reward_failed(self) -> bool:
        """Whether it is finished but the reward raised, so that it can be scored once more."""
        return self.error is not None and self.stop is not StopReason.ABORTED

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
    def executed(self) -> tuple[ToolResult, ...]:
        """Results of calls that were executed and shown to the model, whatever they gave it."""
        shown = (turn.results for turn in self.turns if turn.dropped is None)
        return tuple(result for results in shown for result in results if result.ok)

    @property
    def successes(self) -> tuple[ToolResult, ...]:
        """Results of calls that gave the model something new.

        Of the executed ones those that worked, and showed what neither the question nor an earlier
        result had shown: see `saccade.types.novelty.Shown`, which says what is not promised. A cell
        that only defines variables is no success; the later cell that shows what came of them is.
        """
        shown = Shown(self._images_of(self.prompt))
        found = []
        for result in self.executed:
            is_new = shown.add(result.call.name, result.content)
            if is_new and result.outcome == "done":
                found.append(result)
        return tuple(found)

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
        return self._images_of(self.messages)

    @staticmethod
    def _images_of(messages: Iterable[Message]) -> tuple[Image, ...]:
        parts = (part for message in messages for part in message.content)
        return tuple(part for part in parts if isinstance(part, Image))

    def _repr_html_(self) -> str:
        """The trajectory as notebooks show it."""
        from saccade.types.notebook import html_of

        return html_of(self)
