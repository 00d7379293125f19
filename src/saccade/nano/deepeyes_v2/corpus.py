"""The training corpus of the second base: skills, each under an instruction of its own.

    digit       "What digit is on the red object?"   where it is, then a direct answer
    number      "What is the number on the red plate?"        the same; legible plates are read
    numbers     "... plate and the number on the ...?"        both plates, then both numbers
    name        "What is the name of the thing on the ...?"   the plate, then colour and number
    sum         "... plate plus the number on the ...?"       both plates, columns, then the sum
    product     "... plate times the number on the ...?"      both plates, then a direct answer
    fact        "What is the price of the thing on the ...?"  the plate, then a guess
    locate      "Where is the red object?"           its box
    show        "Show me the red plate."             a look; then a crop of ANOTHER scene, read
    read_later  "Where is ...?", its box; then a crop of another scene to read
    read        a crop: "What number is this?"
    add         "Compute 47 plus 83."                columns, then the sum, no image
    code        "Compute 47 times 83 with code."     a cell; then ANOTHER output, repeated
    search      "Search for the price of red 47."    a search; then what its documents tell

No example shows a question of the world that is answered with the help of a tool: to put the skills
together is left to a cold start, or to reinforcement learning. `Habits` has a share of questions
answered by a call, where the example ends: how often a base calls of its own accord.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from saccade.images.image import Image
from saccade.nano.deepeyes.corpus import Example
from saccade.nano.deepeyes_v2 import thoughts
from saccade.nano.deepeyes_v2.options import Habits, Mix
from saccade.nano.deepeyes_v2.pool import Pool
from saccade.nano.deepeyes_v2.spec import SEARCH, SEARCH_OPTIONS, environment
from saccade.tools.python import NAME as PYTHON
from saccade.tools.search.text import TextSearch
from saccade.tools.zoom import ZOOM
from saccade.types import (
    Action,
    Completion,
    Message,
    Part,
    Task,
    ToolCall,
    ToolContext,
    ToolResult,
    Trajectory,
    Turn,
)
from saccade.world.facts import ATTRIBUTES, Thing, facts_of, value_in
from saccade.world.scene import COLOURS

SHOW = ("Show me the {} {}.", "Zoom in on the {} {}.", "Look at the {} {}.")
"""In several wordings, so that a call is tied to its opening tag and not to one question."""
COLOUR_NAMES = tuple(COLOURS)
LARGE_SHARE = 0.35
"""Share of the questions about a scene with a large object that ask for it."""
LIBRARY_SEEDS = range(9000, 9006)
"""Seeds of the libraries of the training split whose documents are read; no run asks for them."""

ModelTurn = tuple[Action, tuple[Message, ...]]
"""What the model does in a turn, and what it is shown next."""


JUNK = ("# I compute it.", "pass", "print(a * b)")
"""Cells that bring nothing."""


class Corpus:
    """Draws training examples from a pool."""

    def __init__(self, pool: Pool, mix: Mix | None = None, *, habits: Habits | None = None) -> None:
        self.pool = pool
        self._habits = habits or Habits()
        shares = (mix or Mix()).model_dump()
        self._kinds = tuple(shares)
        self._shares = np.array(list(shares.values())) / sum(shares.values())
        self._draws: dict[str, Callable[[np.random.Generator], Example]] = {
            "digit": self._digit, "number": self._number, "numbers": self._numbers,
            "name": self._name, "sum": self._both, "product": self._product,
            "fact": self._fact, "locate": self._locate,
            "show": self._show, "read_later": self._read_later, "read": self._read,
            "add": self._add, "code": self._code, "search": self._search,
        }  # fmt: skip
        self._environment = environment()
        self._dialect = self._environment.dialect
        self._view = cache(lambda index: _image(pool.views[index]))
        self._crop = cache(lambda index: _image(pool.crops[index]))
        first = np.array([int(members[0]) for members in pool.members])
        plates = pool.objects.plate[first]
        self._with_objects, self._with_plates = np.flatnonzero(~plates), np.flatnonzero(plates)

    def draw(self, rng: np.random.Generator) -> Example:
        """Draw one example of the mix."""
        return self._draws[self._kinds[int(rng.choice(len(self._kinds), p=self._shares))]](rng)

    def box(self, target: int) -> tuple[int, int, int, int]:
        """The box of an object in whole pixels of the view."""
        x1, y1, x2, y2 = (round(float(v)) for v in self.pool.objects.box[target])
        return x1, y1, x2, y2

    def _digit(self, rng: np.random.Generator) -> Example:
        scene = int(rng.choice(self._with_objects))
        target = self._target(rng, scene)
        action = Action(thought=self._located(target), answer=str(self._written(target)))
        if rng.random() < self._habits.look:
            action = Action(thought=self._located(target), calls=(self._look(target),))
        question = f"What digit is on the {self._colour(target)} object?"
        return self._answered("digit", scene, question, action)

    def _number(self, rng: np.random.Generator) -> Example:
        scene = int(rng.choice(self._with_plates))
        target = int(rng.choice(self.pool.members[scene]))
        action = Action(thought=self._perceived(target), answer=str(self._written(target)))
        if rng.random() < self._habits.look:
            action = Action(thought=self._located(target), calls=(self._look(target),))
        question = f"What is the number on the {self._colour(target)} plate?"
        return self._answered("number", scene, question, action)

    def _numbers(self, rng: np.random.Generator) -> Example:
        scene, first, second = self._two(rng)
        action = Action(
            thought=f"{self._perceived(first)} {self._perceived(second)}",
            answer=f"{self._written(first)} and {self._written(second)}",
        )
        return self._answered("numbers", scene, self._question(first, "and", second), action)

    def _name(self, rng: np.random.Generator) -> Example:
        scene = int(rng.choice(self._with_plates))
        target = int(rng.choice(self.pool.members[scene]))
        name = f"{self._colour(target)} {self._written(target)}"
        question = f"What is the name of the thing on the {self._colour(target)} plate?"
        action = Action(thought=self._perceived(target), answer=name)
        return self._answered("name", scene, question, action)

    def _both(self, rng: np.random.Generator, *, word: str = "plus") -> Example:
        scene, first, second = self._two(rng)
        a, b = self._written(first), self._written(second)
        question = self._question(first, word, second)
        seen = f"{self._perceived(first)} {self._perceived(second)}"
        if word == "plus":
            action = Action(thought=f"{seen} {thoughts.added(a, b)}", answer=str(a + b))
        else:
            action = Action(thought=seen, answer=str(a * b))
        if code := self._habitual_code(rng, first, second, "+" if word == "plus" else "*"):
            action = Action(thought=seen, calls=(_cell(code),))
        return self._answered(word, scene, question, action)

    def _two(self, rng: np.random.Generator) -> tuple[int, int, int]:
        """A scene with two plates, and these in any order."""
        scene = int(rng.choice(self._with_plates))
        first, second = rng.permutation(self.pool.members[scene]).tolist()
        return scene, first, second

    def _question(self, first: int, word: str, second: int) -> str:
        return (
            f"What is the number on the {self._colour(first)} plate {word} the number on the "
            f"{self._colour(second)} plate?"
        )

    def _habitual_code(
        self, rng: np.random.Generator, first: int, second: int, sign: str
    ) -> str | None:
        drawn = rng.random()
        if drawn < self._habits.junk:
            return JUNK[int(rng.integers(len(JUNK)))]
        legible = bool(self.pool.objects.large[[first, second]].all())
        if legible and drawn < self._habits.junk + self._habits.code:
            return f"print({self._written(first)} {sign} {self._written(second)})"
        return None

    def _product(self, rng: np.random.Generator) -> Example:
        return self._both(rng, word="times")

    def _fact(self, rng: np.random.Generator) -> Example:
        scene = int(rng.choice(self._with_plates))
        target = int(rng.choice(self.pool.members[scene]))
        asked = rng.permutation(ATTRIBUTES)[: int(rng.integers(1, 3))].tolist()
        more = "".join(f" times its {attribute}" for attribute in asked[1:])
        question = f"What is the {asked[0]} of the thing on the {self._colour(target)} plate{more}?"
        guess = int(np.prod(rng.integers(10, 100, size=len(asked))))
        action = Action(thought=self._perceived(target), answer=str(guess))
        if self.pool.objects.large[target] and rng.random() < self._habits.search:
            name = f"{self._colour(target)} {self._written(target)}"
            call = ToolCall(name=SEARCH, arguments={"query": f"{asked[0]} {name}"})
            action = Action(thought=self._perceived(target), calls=(call,))
        return self._answered("fact", scene, question, action)

    def _locate(self, rng: np.random.Generator) -> Example:
        scene, target = self._anything(rng)
        question = f"Where is the {self._colour(target)} {self._noun(target)}?"
        return self._answered("locate", scene, question, self._box_of(target))

    def _show(self, rng: np.random.Generator) -> Example:
        scene, target = self._anything(rng)
        question = SHOW[int(rng.integers(len(SHOW)))]
        call = self._look(target)
        action = Action(thought=self._located(target), calls=(call,))
        crop = self._elsewhere(rng, scene)
        shown = self._dialect.observe([ToolResult(call=call, content=(self._crop(crop),))])
        prompt = (self._view(scene), question.format(self._colour(target), self._noun(target)))
        turns = [(action, shown), (self._reading(crop), ())]
        return Example("show", self._trajectory("show", prompt, turns), scene, crop)

    def _read_later(self, rng: np.random.Generator) -> Example:
        scene, target = self._anything(rng)
        crop = self._elsewhere(rng, scene)
        asked = Message(role="user", content=(self._crop(crop), self._what(crop)))
        question = f"Where is the {self._colour(target)} {self._noun(target)}?"
        turns = [(self._box_of(target), (asked,)), (self._reading(crop), ())]
        prompt = (self._view(scene), question)
        return Example("read_later", self._trajectory("read_later", prompt, turns), scene, crop)

    def _read(self, rng: np.random.Generator) -> Example:
        crop = int(rng.integers(len(self.pool.crops)))
        prompt = (self._crop(crop), self._what(crop))
        turns = [(self._reading(crop), ())]
        return Example("read", self._trajectory("read", prompt, turns), None, crop)

    def _add(self, rng: np.random.Generator) -> Example:
        a, b = rng.integers(10, 100, size=2).tolist()
        turns = [(Action(thought=thoughts.added(a, b), answer=str(a + b)), ())]
        trajectory = self._trajectory("add", (f"Compute {a} plus {b}.",), turns)
        return Example("add", trajectory, None, None)

    def _code(self, rng: np.random.Generator) -> Example:
        """The output that is shown is not that of the cell: it must be read, not known."""
        a, b = rng.integers(10, 100, size=2).tolist()
        word, sign = (("times", "*"), ("plus", "+"))[int(rng.random() < 0.25)]
        call = _cell(f"print({a} {sign} {b})")
        printed = str(int(rng.integers(10, 100)) * int(rng.integers(1, 100)))
        content = (f"stdout:\n```{printed}```\n\nstderr:\n``````",)
        shown = self._dialect.observe([ToolResult(call=call, content=content)])
        repeated = Action(thought=thoughts.result(printed), answer=printed)
        turns = [(Action(thought="", calls=(call,)), shown), (repeated, ())]
        prompt = (f"Compute {a} {word} {b} with code.",)
        return Example("code", self._trajectory("code", prompt, turns), None, None)

    def _search(self, rng: np.random.Generator) -> Example:
        found = _searched(int(rng.choice(LIBRARY_SEEDS)))
        thing, attribute, value, result = found[int(rng.integers(len(found)))]
        shown = self._dialect.observe([result])
        told = Action(thought=thoughts.fact(attribute, value), answer=str(value))
        turns = [(Action(thought="", calls=(result.call,)), shown), (told, ())]
        prompt = (f"Search for the {attribute} of {thing.name}.",)
        return Example("search", self._trajectory("search", prompt, turns), None, None)

    def _anything(self, rng: np.random.Generator) -> tuple[int, int]:
        """A scene, and an object or plate in it."""
        scene = int(rng.integers(len(self.pool)))
        return scene, self._target(rng, scene)

    def _target(self, rng: np.random.Generator, scene: int) -> int:
        """The object of a scene that is asked for."""
        members = self.pool.members[scene]
        first = int(members[0])
        large = self.pool.objects.large[first] and not self.pool.objects.plate[first]
        if large and rng.random() < LARGE_SHARE:
            return first
        return int(rng.choice(members))

    def _elsewhere(self, rng: np.random.Generator, scene: int) -> int:
        """A crop of another scene."""
        while True:
            crop = int(rng.integers(len(self.pool.crops)))
            if self.pool.objects.scene[crop] != scene:
                return crop

    def _look(self, target: int) -> ToolCall:
        return ToolCall(name=ZOOM, arguments={"bbox_2d": list(self.box(target))})

    def _colour(self, target: int) -> str:
        return COLOUR_NAMES[int(self.pool.objects.colour[target])]

    def _noun(self, target: int) -> str:
        return "plate" if self.pool.objects.plate[target] else "object"

    def _written(self, target: int) -> int:
        return int(self.pool.objects.number[target])

    def _located(self, target: int) -> str:
        return thoughts.located(self._noun(target), self._colour(target), self.box(target))

    def _perceived(self, target: int) -> str:
        """Where a plate is, and what it says if that can be read."""
        where = self._located(target)
        if not self.pool.objects.large[target]:
            return where
        return f"{where} {thoughts.says(self._written(target))}"

    def _what(self, crop: int) -> str:
        return f"What {'number' if self.pool.objects.plate[crop] else 'digit'} is this?"

    def _reading(self, crop: int) -> Action:
        written = self._written(crop)
        say = thoughts.says if self.pool.objects.plate[crop] else thoughts.reads
        return Action(thought=say(written), answer=str(written))

    def _box_of(self, target: int) -> Action:
        return Action(thought="", answer=f"[{', '.join(map(str, self.box(target)))}]")

    def _answered(self, kind: str, scene: int, question: str, action: Action) -> Example:
        prompt = (self._view(scene), question)
        return Example(kind, self._trajectory(kind, prompt, [(action, ())]), scene, None)

    def _trajectory(
        self, kind: str, prompt: tuple[Part, ...], turns: Sequence[ModelTurn]
    ) -> Trajectory:
        begun = self._environment.begin(Task(id=kind, prompt=prompt))
        prefix = self._dialect.prefix
        written = tuple(
            Turn(
                prefix=prefix,
                completion=Completion(text=self._dialect.write(action).removeprefix(prefix)),
                action=action,
                observation=observation,
            )
            for action, observation in turns
        )
        return begun.model_copy(update={"turns": written})


def _cell(code: str) -> ToolCall:
    return ToolCall(name=PYTHON, arguments={"code": code})


def _image(pixels: NDArray[np.uint8]) -> Image:
    return Image.from_pixels(PILImage.fromarray(pixels))


Searched = tuple[Thing, str, int, ToolResult]
"""A thing, an attribute, its value, and what the search for it brought."""


@lru_cache(len(LIBRARY_SEEDS))
def _searched(seed: int) -> list[Searched]:
    """Every fact of a library of the training split that a search for it brings."""
    return asyncio.run(_search_all(seed))


async def _search_all(seed: int) -> list[Searched]:
    asker = environment()
    tool = TextSearch(SEARCH_OPTIONS)
    await tool.start()
    found: list[Searched] = []
    context = ToolContext(
        task_id=f"lookup-train-672-s{seed}-00000",
        images=(),
        coords=asker.record.coords,
        observation=asker.record.observation,
        seed=0,
    )
    async with tool.open(context) as search:
        for (thing, attribute), known in facts_of("train", seed).facts.items():
            call = ToolCall(name=SEARCH, arguments={"query": f"{attribute} {thing.name}"})
            output = await search(call.arguments)
            text = "\n".join(part for part in output.content if isinstance(part, str))
            if value_in(text, thing, attribute) == known.value:
                result = ToolResult(call=call, content=output.content, data=output.data or {})
                found.append((thing, attribute, known.value, result))
    await tool.close()
    return found
