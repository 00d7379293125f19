"""Episodes as conversations to learn from, and conversations of others as episodes.

    conversation = conversation_of(trajectory, task)        # what `formats.conversations` writes
    trajectory = trajectory_of(conversation, DeepEyesV2())  # what `saccade sft` learns from

Law: for an episode that ended with an answer, in a dialect whose calls are text, the second undoes
the first: the same texts, actions and observations, and the same pixels.

An episode that is read so is known by its text alone. Its environment has the prompts of the file
and no list of tools, and a fingerprint of its own; a result is what its observation shows
(`saccade.dialects.observed`), failed where that ends in an exception of Python. Nothing was played
and nothing judged: there is a verdict only where the file brings one of ours.

Control tokens in what the assistant did not write are made inert, tags are left as they are: they
are the form of the data. A turn of the assistant that holds one makes the conversation unfit, on
both ways: it is learned as it is, or not at all.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

from pydantic import JsonValue, ValidationError

from saccade.dialects import built_in
from saccade.dialects.as_text import as_text
from saccade.dialects.base import Dialect
from saccade.dialects.observed import result_of
from saccade.dialects.one_turn import Direct
from saccade.dialects.tags import forged_tokens
from saccade.formats.conversations import Conversation, UnfitConversation, check
from saccade.images.decode import MAX_SOURCE_PIXELS
from saccade.images.geometry import PixelBudget
from saccade.images.image import Image
from saccade.types import (
    Completion,
    EnvironmentRecord,
    Message,
    ProblemKind,
    StopReason,
    Task,
    ToolCall,
    ToolResult,
    Trajectory,
    Turn,
    Verdict,
)
from saccade.untrusted.inert import inert_tokens

AS_THEY_ARE = PixelBudget(factor=1, min_pixels=1, max_pixels=MAX_SOURCE_PIXELS)
"""The budget that leaves every image at its size."""
IMPORTED = "imported"
"""In place of the hash of prompts, and of the name of a judge."""
MADE_INERT = "made_inert"
"""The annotation of an episode in whose prompt or observations a control token was made inert."""

_RAISED = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit)\b")
"""How the last line of what an exception of Python prints begins."""
_STDERR = re.compile(r"stderr:\n```(.*?)```", re.DOTALL)
"""Source: DeepEyesV2, `deepeyesv2.py`; `saccade.tools.python` shows a cell in the same words."""


class Demonstration(NamedTuple):
    """A conversation as what a run folder keeps."""

    task: Task
    trajectory: Trajectory


def conversation_of(trajectory: Trajectory, task: Task | None = None) -> Conversation:
    """An episode as a conversation.

    Every turn is text, also where a server sent thoughts or calls in fields of their own. Images
    are as they were shown.

    Args:
        trajectory: A finished episode.
        task: Its question, for what is known beside the text: gold answer and family.

    Raises:
        UnfitConversation: it did not end with an answer, its calls stand apart from the text
            (dialect `native`), a turn cannot be written in its dialect, or a text holds a control
            token.
    """
    where = trajectory.id
    if trajectory.stop is not StopReason.ANSWER:
        raise UnfitConversation(where, "without an answer")
    if trajectory.environment.native_tools:
        raise UnfitConversation(where, "its tools are known to the server alone")
    dialect = built_in(trajectory.environment.dialect)
    messages = list(trajectory.prompt)
    for turn in trajectory.turns:
        written = as_text(turn, dialect)
        if written is None:
            raise UnfitConversation(where, "a turn that its dialect cannot write")
        text = written.prefix + written.completion.text
        messages.append(Message(role="assistant", content=(text,)))
        messages.extend(turn.observation)
    for message in messages:
        if forged_tokens(message.text):
            what = f"a control token stands in a message of the {message.role}"
            raise UnfitConversation(where, what)
    conversation = Conversation(tuple(messages), _meta(trajectory, task), where)
    check(conversation, where)
    return conversation


def _meta(trajectory: Trajectory, task: Task | None) -> dict[str, JsonValue]:
    correct = trajectory.verdict.correct if trajectory.verdict is not None else None
    family = task.family if task is not None and task.family != IMPORTED else ""
    known: dict[str, JsonValue] = {
        "id": trajectory.task_id,
        "sample": trajectory.sample,
        "dialect": trajectory.environment.dialect,
        "correct": correct,
        "answer": task.answer if task is not None else None,
        "family": family or None,
    }
    return {key: value for key, value in known.items() if value is not None}


def demonstration_of(
    conversation: Conversation, dialect: Dialect, *, name: str, view: PixelBudget = AS_THEY_ARE
) -> Demonstration:
    """A conversation as a question and the episode that answers it.

    Args:
        conversation: What was read.
        dialect: How its calls and answers are written.
        name: What the question is called.
        view: How its images are shown; the question keeps them as they are.

    Raises:
        UnfitConversation: it is no episode; see `trajectory_of`.
    """
    trajectory = trajectory_of(conversation, dialect, name=name, view=view)
    asked = next(message for message in conversation.messages if message.role != "system")
    meta = conversation.meta
    answer, family = meta.get("answer"), meta.get("family")
    try:
        task = Task(
            id=name,
            prompt=_harmless(asked).content,
            answer=answer if isinstance(answer, str) else None,
            source=IMPORTED,
            meta={"family": family} if isinstance(family, str) and family else {},
        )
    except ValidationError as error:
        where = conversation.place or name
        raise UnfitConversation(where, "an id of more than 500 characters, or none") from error
    return Demonstration(task, trajectory)


def trajectory_of(
    conversation: Conversation,
    dialect: Dialect,
    *,
    name: str = "",
    view: PixelBudget = AS_THEY_ARE,
) -> Trajectory:
    """A conversation as a finished episode.

    One of a single turn, in which the dialect finds neither a call nor an answer, is read as the
    dialect `direct` reads it: what follows the thought is the answer. So is long-chain text.

    Args:
        conversation: What was read.
        dialect: How its calls and answers are written.
        name: What the question is called; else what the conversation says.
        view: How its images are shown.

    Raises:
        UnfitConversation: a turn of the assistant cannot be read, an observation came from no call,
            or the last turn gives no answer; says which turn.
    """
    name = name or str(conversation.meta.get("id") or "conversation")
    where = conversation.place or name
    check(conversation, where)
    plain = tuple(m if m.role == "assistant" else _harmless(m) for m in conversation.messages)
    first = next(place for place, message in enumerate(plain) if message.role == "assistant")
    shown = tuple(_fitted(message, view) for message in plain)
    turns = _turns(shown[first:], dialect, where)
    if turns is None:
        dialect = Direct()
        turns = _turns(shown[first:], dialect, where)
    if turns is None:
        raise UnfitConversation(where, "the last turn gives no answer")
    sample, correct = conversation.meta.get("sample"), conversation.meta.get("correct")
    sample = sample if isinstance(sample, int) and sample >= 0 else 0
    known = isinstance(correct, bool)
    return Trajectory(
        id=f"{name}:{sample}",
        task_id=name,
        sample=sample,
        environment=environment_of(dialect, view),
        prompt=shown[:first],
        turns=turns,
        stop=StopReason.ANSWER,
        verdict=Verdict(correct=bool(correct), judge=IMPORTED) if known else None,
        annotations={} if plain == conversation.messages else {MADE_INERT: True},
    )


def environment_of(dialect: Dialect, view: PixelBudget) -> EnvironmentRecord:
    """What is known of the environment of a conversation that was read."""
    record = EnvironmentRecord(
        fingerprint="",
        dialect=dialect.name,
        prompts=IMPORTED,
        stop=dialect.stop,
        prefill=bool(dialect.prefix),
        view=view,
        observation=view,
    )
    digest = hashlib.sha256(record.model_dump_json().encode()).hexdigest()[:16]
    return record.model_copy(update={"fingerprint": digest})


def _turns(messages: Sequence[Message], dialect: Dialect, where: str) -> tuple[Turn, ...] | None:
    """The turns of the assistant with what followed each.

    Returns:
        None if there is a single one, which is neither a call nor an answer.
    """
    turns: list[Turn] = []
    for number, message in enumerate(messages[::2], start=1):
        observation = tuple(messages[2 * number - 1 : 2 * number])
        prefix = dialect.prefix if message.text.startswith(dialect.prefix) else ""
        completion = Completion(text=message.text.removeprefix(prefix))
        action = dialect.read(completion, prefix)
        kinds = {problem.kind for problem in action.problems}
        here = f"turn {number}"
        if ProblemKind.FORGED_TOKENS in kinds:
            raise UnfitConversation(
                where, "a control token stands in a message of the assistant", here
            )
        if action.answer is None and not action.calls and ProblemKind.UNBALANCED_CALL in kinds:
            raise UnfitConversation(where, "a call that the dialect cannot read", here)
        unread = ProblemKind.BAD_CALL in kinds and action.answer is None
        if observation and action.answer is not None:
            raise UnfitConversation(where, "the conversation goes on after an answer", here)
        if observation and not (action.calls or unread):
            raise UnfitConversation(where, "an observation came from no call", here)
        if not observation and (action.calls or unread):
            raise UnfitConversation(where, "the last turn makes a call", here)
        if not observation and action.answer is None:
            if turns:
                raise UnfitConversation(where, "the last turn gives no answer", here)
            return None
        calls = action.calls[-1:] or (ToolCall(name=""),)
        results = tuple(_result(call, observation, dialect) for call in calls if observation)
        if unread and any(result.ok for result in results):
            raise UnfitConversation(where, "a call that the dialect cannot read", here)
        turns.append(
            Turn(
                prefix=prefix,
                completion=completion,
                action=action,
                results=results,
                observation=observation,
            )
        )
    return tuple(turns)


def _result(call: ToolCall, observation: tuple[Message, ...], dialect: Dialect) -> ToolResult:
    result = result_of(call, observation, dialect)
    stderr = _STDERR.search("".join(part for part in result.content if isinstance(part, str)))
    lines = stderr[1].strip().splitlines() if stderr else []
    raised = bool(lines) and _RAISED.match(lines[-1]) is not None
    return result.model_copy(update={"outcome": "failed"}) if raised else result


def _harmless(message: Message) -> Message:
    content = tuple(
        inert_tokens(part) if isinstance(part, str) else part for part in message.content
    )
    return (
        message if content == message.content else message.model_copy(update={"content": content})
    )


def _fitted(message: Message, view: PixelBudget) -> Message:
    content = tuple(part.fit(view) if isinstance(part, Image) else part for part in message.content)
    return (
        message if content == message.content else message.model_copy(update={"content": content})
    )
