"""A rule that looks, searches and computes: what an agent can reach on questions of the world.

It is not a model. It is told the form of the questions and where the asked thing is, and that is
all: the digits it reads from the pixels that it was shown, facts from the text of documents that a
search brought, products from what Python printed. What it lacks it asks the tools of the run for,
one call a turn, each only once; where there is no such tool, or it brought nothing, it guesses. It
never multiplies by itself, so what a run without a tool loses is what the tool was good for. Its
next turn is a function of the trajectory alone.

    policy.kind = "world"
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from math import prod
from typing import NamedTuple

from pydantic import JsonValue

from saccade.errors import ConfigError
from saccade.images.geometry import Box
from saccade.images.image import Image
from saccade.policies.world.reading import LEGIBLE_PX, digit_px, read_number, shown_best
from saccade.policies.written import completion_of, dialect_of
from saccade.tools.zoom import ZOOM
from saccade.types import Action, Completion, ModelInfo, Sampling, ToolCall, ToolResult, Trajectory
from saccade.world import place_of, task_of
from saccade.world.facts import VALUES, Thing, value_in

MODEL = "world (a rule, not a model)"
SOLVES = (
    "read", "read0", "read1", "easy", "far", "compute", "compute_far",
    "lookup", "lookup_far", "lookup_compute", "emblem", "all",
)  # fmt: skip
"""The families whose questions it answers."""
SEARCH, LIKE, PYTHON = ("text_search", "search"), "image_search", "python"
"""What it calls the tools by; text search has two names, see `TextSearchOptions.name`."""

_DIGIT = re.compile(r"What digit is on the (\w+) object\?")
_PRODUCT = re.compile(r"What is the number on the (\w+) plate times the number on the (\w+) plate")
_FACTS = re.compile(r"What is the (\w+) of the thing on the (\w+) plate(?: times its (\w+))?\?")
_PRINTED = re.compile(r"stdout:\n```(\d+)```")


class _Asked(NamedTuple):
    colours: tuple[str, ...]
    """Of the objects or plates whose numbers must be read."""
    attributes: tuple[str, ...] = ()
    """What must be known of the thing on the plate; nothing where its number is asked for."""


class WorldPolicy:
    """A policy that writes its turns by a rule, for the families that `SOLVES` names."""

    info = ModelInfo(name=MODEL)

    def __init__(self) -> None:
        self._boxes = lru_cache(maxsize=4096)(_boxes_of)
        self._read = lru_cache(maxsize=32)(read_number)

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        """The next call, or the answer.

        Raises:
            ConfigError: it does not know such questions, or the dialect.
        """
        dialect = dialect_of(trajectory, "world")
        place = place_of(trajectory.task_id)
        if place is None or place.family not in SOLVES:
            raise ConfigError(
                f"world: {trajectory.task_id[:80]!r} is no question that this rule can answer; it "
                f"knows the families {', '.join(SOLVES)} of tasks.kind=world"
            )
        where = self._boxes(trajectory.task_id)
        episode = _Episode(trajectory, where, has_emblem=place.family == "emblem", read=self._read)
        return completion_of(dialect, episode.move(), MODEL)

    def count_tokens(self, trajectory: Trajectory) -> None:
        """None: a rule has no tokenizer."""

    async def close(self) -> None:
        """Do nothing: the rule holds no resources."""


class _Episode:
    """An episode so far, and what is to be done next."""

    def __init__(
        self,
        trajectory: Trajectory,
        where: dict[str, Box],
        *,
        has_emblem: bool,
        read: Callable[[Image, Box], int],
    ) -> None:
        self._trajectory, self._has_emblem, self._read = trajectory, has_emblem, read
        self._asked = _asked(trajectory.prompt[-1].text)
        self._boxes = [where[colour] for colour in self._asked.colours]
        limits = trajectory.environment.limits
        last = len(trajectory.turns) + 1 >= limits.max_turns
        self._tools = [] if last else [tool.name for tool in trajectory.environment.tools]
        self._seen = "".join(m.text for turn in trajectory.turns for m in turn.observation)

    def move(self) -> Action:
        return self._of_emblem() if self._has_emblem else self._of_numbers()

    def _of_numbers(self) -> Action:
        look = self._look()
        if look is not None:
            return look
        images = self._trajectory.images
        numbers = [self._read(shown_best(images, box), box) for box in self._boxes]
        said = f"I read {' and '.join(map(str, numbers))}."
        if not self._asked.attributes:
            return self._combined(numbers, said)
        return self._of_thing(Thing(self._asked.colours[0], numbers[0]), said)

    def _of_emblem(self) -> Action:
        """First the name of the thing, by a search with what its plate shows."""
        found = self._results(LIKE)
        if not found and LIKE in self._tools:
            arguments: dict[str, JsonValue] = {"bbox_2d": self._corners(self._boxes[0])}
            call = ToolCall(name=LIKE, arguments=arguments)
            return Action(thought="An emblem: I search for what looks like it.", calls=(call,))
        colour = self._asked.colours[0]
        text = "".join(_text_of(result) for result in found)
        named = re.search(rf"\b{colour} (\d\d)\b", text)
        if named is None:
            return self._guess("I do not know what it is.")
        return self._of_thing(Thing(colour, int(named[1])), "It looks like what was found.")

    def _of_thing(self, thing: Thing, said: str) -> Action:
        """A search for each fact that no document has told so far; then the answer."""
        attributes = self._asked.attributes
        said += f" It is {thing.name}."
        values = [value_in(self._seen, thing, attribute) for attribute in attributes]
        search = next((name for name in SEARCH if name in self._tools), None)
        searched = [result.call.arguments.get("query") for result in self._results(*SEARCH)]
        for attribute, value in zip(attributes, values, strict=True):
            query = f"{attribute} {thing.name}"
            if value is None and search is not None and query not in searched:
                call = ToolCall(name=search, arguments={"query": query})
                return Action(thought=f"{said} I need its {attribute}.", calls=(call,))
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            return self._guess(f"{said} I do not know all facts of it.")
        told = zip(attributes, known, strict=True)
        said += "".join(f" Its {attribute} is {value}." for attribute, value in told)
        return self._combined(known, said)

    def _look(self) -> Action | None:
        """A closer look at the first thing that could not be read and was not looked at."""
        view = self._trajectory.images[0]
        small = [box for box in self._boxes if digit_px(view, box) < LEGIBLE_PX]
        looked = len(self._results(ZOOM))
        if ZOOM not in self._tools or looked >= len(small):
            return None
        call = ToolCall(name=ZOOM, arguments={"bbox_2d": self._corners(small[looked])})
        return Action(thought="It is too small to be read here.", calls=(call,))

    def _corners(self, box: Box) -> list[JsonValue]:
        """A box of the question's image as a call names it."""
        view = self._trajectory.images[0]
        frame = self._trajectory.environment.coords
        return [round(v, 4) for v in frame.from_pixels(view.from_source(box), view.size)]

    def _combined(self, numbers: Sequence[int], said: str) -> Action:
        """The answer from one number, or from the product of two, which Python computes."""
        if len(numbers) == 1:
            return Action(thought=said, answer=str(numbers[0]))
        computed = self._results(PYTHON)
        if computed:
            printed = _PRINTED.search(_text_of(computed[-1]))
            if printed:
                return Action(thought="It is computed.", answer=printed[1])
        elif PYTHON in self._tools:
            call = ToolCall(
                name=PYTHON, arguments={"code": f"print({' * '.join(map(str, numbers))})"}
            )
            return Action(thought=f"{said} I compute the product.", calls=(call,))
        return self._guess(f"{said} I do not multiply by heart.")

    def _guess(self, said: str) -> Action:
        """Numbers that are as likely as any, the same for the same question."""
        chance = random.Random(zlib.crc32(self._trajectory.task_id.encode()))
        factors = max(len(self._asked.colours), len(self._asked.attributes))
        drawn = [chance.choice(VALUES) for _ in range(factors)]
        return Action(thought=f"{said} I guess.", answer=str(prod(drawn)))

    def _results(self, *names: str) -> list[ToolResult]:
        return [r for r in self._trajectory.results if r.call.name in names]


def _boxes_of(task_id: str) -> dict[str, Box]:
    return {box.label: box.box for box in task_of(task_id).boxes}


def _text_of(result: ToolResult) -> str:
    """What was shown of it, its pictures left out."""
    return "".join(part for part in result.content if isinstance(part, str))


def _asked(question: str) -> _Asked:
    """What a question asks for, by its words."""
    if found := _DIGIT.search(question):
        return _Asked((found[1],))
    if found := _PRODUCT.search(question):
        return _Asked((found[1], found[2]))
    found = _FACTS.search(question)
    if found is None:
        raise ConfigError(f"world: no question of this world: {question[:80]!r}")
    return _Asked((found[2],), tuple(a for a in (found[1], found[3]) if a))
