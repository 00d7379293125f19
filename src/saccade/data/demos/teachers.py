"""Several teachers as one policy: each plays its own episodes, and sees more than is kept.

What a teacher is shown beyond the student's trajectory, its hint, is added to the request and to
nothing else: prompt, fingerprint and turns of an episode are those of the student's environment.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from saccade import policies
from saccade.client.request import IMAGE_TOKENS_BOUND
from saccade.config import Part, build, resolve
from saccade.data.demos.budget import Meter, Usage
from saccade.data.demos.recipe import DemosRecipe, TeacherPart
from saccade.errors import ConfigError, require
from saccade.images.image import Image
from saccade.policies.openai import OpenAIOptions
from saccade.types import Completion, Message, ModelInfo, Policy, Sampling, Task, Trajectory

TEACHER = "teacher"
"""The annotation of an episode that holds the name of its teacher."""
LOCAL = ("hf", "reader", "replay", "world")
"""Policies of this process, whose tokens cost nothing."""
_SLOT = re.compile(r"\{(answer|meta\.[\w.-]+)\}")
_MESSAGE_TOKENS = 16
"""Tokens that a message takes beside its text, at most."""


@dataclass(frozen=True)
class Teacher:
    """Who plays, and what it is told."""

    name: str
    part: TeacherPart
    policy: Policy
    server: OpenAIOptions | None = field(default=None)
    """The options of a teacher behind a chat server."""

    @property
    def is_free(self) -> bool:
        """Whether its tokens are not counted against a cap."""
        return self.part.kind in LOCAL

    def hint(self, task: Task) -> str:
        """What it is told of a question beyond what the student is.

        Raises:
            ConfigError: the hint names a note that the question does not have.
        """
        return _SLOT.sub(lambda slot: _filled(slot[1], task, self.name), self.part.hint)

    def slots(self, task: Task) -> list[str]:
        """What of its hint is the question's own."""
        return [_filled(slot, task, self.name) for slot in _SLOT.findall(self.part.hint)]

    def shown(self, trajectory: Trajectory, task: Task) -> Trajectory:
        """An episode so far as the teacher is shown it."""
        changes: dict[str, object] = {}
        if self.part.hint:
            changes["prompt"] = _with_hint(trajectory.prompt, self.hint(task))
        if trajectory.prefix and not self._continues:
            record = trajectory.environment.model_copy(update={"prefill": False})
            changes |= {"prefix": "", "environment": record}
        return trajectory.model_copy(update=changes)

    def bound(self, shown: Trajectory, sampling: Sampling) -> Usage:
        """The most that its next request can use; nothing where its tokens are not counted."""
        if self.is_free:
            return Usage()
        tokens_in = _prompt_bound(shown)
        return Usage(tokens_in, sampling.max_tokens, self._price(tokens_in, sampling.max_tokens))

    def used(self, completion: Completion, bound: Usage) -> Usage:
        """What a request came to; its bound where the server does not tell it."""
        tokens_in, tokens_out = completion.prompt_tokens, completion.completion_tokens
        if tokens_in is None or tokens_out is None:
            return bound
        return Usage(tokens_in, tokens_out, self._price(tokens_in, tokens_out))

    @property
    def _continues(self) -> bool:
        """Whether it goes on from a given beginning of its turn."""
        return self.server is None or self.server.continues_prefix

    def _price(self, tokens_in: int, tokens_out: int) -> float:
        options = self.part.options
        prices = [options.get(name) for name in ("price_in", "price_out")]
        price_in, price_out = (float(p) if isinstance(p, int | float) else 0.0 for p in prices)
        return (tokens_in * price_in + tokens_out * price_out) / 1e6


class Turn(NamedTuple):
    """Whose turn it is in a round of the teachers."""

    place: float
    number: int


class Teachers:
    """The policy of a synthesis. Use it in one event loop, and close it.

    Args:
        teachers: At least one.
        seed: Of the run; with the question it decides who begins.
    """

    def __init__(self, teachers: Sequence[Teacher], *, seed: int) -> None:
        self.all = tuple(teachers)
        self._round = _round([teacher.part.weight for teacher in teachers])
        self._seed = seed
        self._tasks: dict[str, Task] = {}
        self.meter: Meter | None = None

    @property
    def info(self) -> ModelInfo:
        """Nothing is known of all of them together."""
        return ModelInfo(name=", ".join(teacher.name for teacher in self.all))

    def of(self, task_id: str, sample: int) -> Teacher:
        """Whose attempt this is: the next teacher of the round at each sample of a question."""
        key = json.dumps([self._seed, task_id]).encode()
        begin = int.from_bytes(hashlib.sha256(key).digest()[:7], "big")
        return self.all[self._round[(begin + sample) % len(self._round)]]

    def expect(self, task: Task) -> None:
        """Make a question known, whose notes a hint may name."""
        self._tasks[task.id] = task

    def forget(self, task: Task) -> None:
        """Let go of it."""
        self._tasks.pop(task.id, None)

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        """The next turn, written by the teacher of this episode.

        Raises:
            BudgetExceeded: a cap of the run could be passed.
            ServiceError: the teacher failed.
        """
        teacher, key = self.of(*_key(trajectory)), _key(trajectory)
        shown = teacher.shown(trajectory, self._tasks[trajectory.task_id])
        bound = teacher.bound(shown, sampling)
        assert self.meter is not None
        async with self.meter.request(teacher.name, key, bound) as bill:
            completion = await teacher.policy.act(shown, sampling)
            bill.used = None if teacher.is_free else teacher.used(completion, bound)
        return _behind(trajectory.prefix, completion) if shown.prefix == "" else completion

    def count_tokens(self, trajectory: Trajectory) -> int | None:
        """Length of the next prompt, if its teacher can tell."""
        teacher = self.of(*_key(trajectory))
        return teacher.policy.count_tokens(
            teacher.shown(trajectory, self._tasks[trajectory.task_id])
        )

    async def close(self) -> None:
        """Close all teachers."""
        async with AsyncExitStack() as stack:
            for teacher in self.all:
                stack.push_async_callback(teacher.policy.close)


def check_teachers(recipe: DemosRecipe) -> None:
    """Find mistakes in the `teachers` of a run file, without making them and without torch.

    Raises:
        ConfigError: a teacher that cannot be used, or two of one name.
        MissingExtra: a teacher needs an optional dependency.
    """
    for number, part in enumerate(recipe.teachers):
        where, plain = f"teachers.{number}", Part(kind=part.kind, **part.options)
        if part.kind in policies.OPTIONS:
            build(plain, policies.OPTIONS, where)
        elif part.kind == "openai":
            build(Part(kind="options", **part.options), {"options": _OPENAI}, where)
        else:
            resolve(part.kind, policies.BUILT_IN, where)
        require(*policies.NEEDS.get(part.kind, ()))
        for slot in re.findall(r"\{[^{}\s]*\}", part.hint):
            if not _SLOT.fullmatch(slot):
                raise ConfigError(f"{where}.hint: {slot} is no slot; there are {{meta.KEY}}")
    names_of(recipe.teachers)


def make_teachers(recipe: DemosRecipe) -> Teachers:
    """The teachers of a run file.

    Raises:
        ConfigError: a teacher that cannot be used, or two of one name.
        MissingExtra: a teacher needs an optional dependency.
    """
    check_teachers(recipe)
    names, made = names_of(recipe.teachers), []
    for number, (name, part) in enumerate(zip(names, recipe.teachers, strict=True)):
        plain = Part(kind=part.kind, **part.options)
        policy = cast(Policy, build(plain, policies.BUILT_IN, f"teachers.{number}"))
        server = OpenAIOptions.model_validate(part.options) if part.kind == "openai" else None
        made.append(Teacher(name, part, policy, server))
    return Teachers(made, seed=recipe.seed)


_OPENAI = "saccade.policies.openai.options:OpenAIOptions"


def names_of(parts: Sequence[TeacherPart]) -> list[str]:
    """What the teachers are called; two that are named alike get a number.

    Raises:
        ConfigError: two are given one name.
    """
    given = [part.name for part in parts if part.name]
    if twice := sorted({name for name in given if given.count(name) > 1}):
        raise ConfigError(f"teachers: two are called {twice[0]!r}; each needs a name of its own")
    names: list[str] = []
    for part in parts:
        name = base = part.name or str(part.options.get("model") or part.kind)
        number = 1
        while name in names or (not part.name and name in given):
            number += 1
            name = f"{base} ({number})"
        names.append(name)
    return names


def _round(weights: Sequence[int]) -> list[int]:
    """The places of the teachers in a round: each as often as it weighs, spread out."""
    turns = [
        Turn((turn + 0.5) / weight, number)
        for number, weight in enumerate(weights)
        for turn in range(weight)
    ]
    return [turn.number for turn in sorted(turns)]


def _filled(slot: str, task: Task, teacher: str) -> str:
    """The value of a slot of a hint."""
    if slot == "answer":
        return task.answer or ""
    place: object = task.meta
    for name in slot.removeprefix("meta.").split("."):
        place = place.get(name) if isinstance(place, Mapping) else None
    if place is None:
        raise ConfigError(
            f"teacher {teacher}: its hint names {{{slot}}}, which question {task.id!r} has not"
        )
    return place if isinstance(place, str) else json.dumps(place, ensure_ascii=False)


def _with_hint(prompt: Sequence[Message], hint: str) -> tuple[Message, ...]:
    """A prompt with a text behind its system message, or with one of its own."""
    first, *rest = prompt
    if first.role != "system":
        return (Message(role="system", content=(hint,)), *prompt)
    return (first.model_copy(update={"content": (*first.content, f"\n\n{hint}")}), *rest)


def _behind(prefix: str, completion: Completion) -> Completion:
    """A turn that was written whole, without the beginning that the student is given."""
    text = completion.text.lstrip()
    if not prefix or not text.startswith(prefix):
        return completion
    apart: dict[str, object] = {"token_ids": None, "log_probs": None}
    return completion.model_copy(update={"text": text.removeprefix(prefix), **apart})


def _key(trajectory: Trajectory) -> tuple[str, int]:
    return trajectory.task_id, trajectory.sample


def _prompt_bound(shown: Trajectory) -> int:
    """The most tokens that the prompt of the next turn can have.

    A token has at least a byte. Of what the server has counted once, its own count holds.
    """
    last = shown.turns[-1] if shown.turns else None
    if last is not None:
        counts = last.completion.prompt_tokens, last.completion.completion_tokens
        if counts[0] is not None and counts[1] is not None:
            return counts[0] + counts[1] + _bytes(last.observation)
    tools = sum(len(tool.model_dump_json().encode()) for tool in shown.environment.tools)
    return tools + _bytes(shown.messages)


def _bytes(messages: Sequence[Message]) -> int:
    parts = [part for message in messages for part in message.content]
    return _MESSAGE_TOKENS * len(messages) + sum(
        IMAGE_TOKENS_BOUND if isinstance(part, Image) else len(part.encode()) for part in parts
    )
