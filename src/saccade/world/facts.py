"""Things whose names can be seen and whose facts cannot: they stand in documents alone.

A thing is what a plate shows, a colour and a number of two digits: "red 47". Its facts are numbers
of two digits as well, drawn at random, so nothing that can be seen says anything of them. Each
split has names of its own, whatever the seed, and draws its facts anew for every seed: no fact of
one split is a fact of another.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from saccade.world.digits import Split
from saccade.world.scene import COLOURS

VERSION = 1
"""Changes when a library of the same split and seed would hold other documents."""

NUMBERS = range(10, 100)
"""What may stand on a plate."""
VALUES = range(10, 100)
"""What a fact may be; each is as likely as the others. Who has not read it is right in one of 90
cases."""
ATTRIBUTES = ("price", "weight", "height", "age")

NAMES = {"test": 24, "dev": 12, "train": 54}
"""Number of names that a split has of each colour, of the 90 that there are."""
NAMES_SEED = 0
DRAWN = 2 / 3
"""Share of the names of a split that are things in the library of one seed."""

CURRENT = (
    "The {attribute} of {name} is {value}.",
    "Listed today: {name}, {attribute} {value}.",
    "At present {value} is the {attribute} of {name}.",
)
"""How documents tell a fact."""
OUTDATED = (
    "Until last year the {attribute} of {name} was {value}.",
    "No longer true: {name}, {attribute} {value}.",
)
"""How documents tell what was true once; half of the facts have such a document."""
CONFUSED = "Many take {name} for {other}: look twice."
"""What a document without a fact says; each thing has one."""


class Thing(NamedTuple):
    """What a plate shows."""

    colour: str
    number: int

    @property
    def name(self) -> str:
        return f"{self.colour} {self.number}"


class Fact(NamedTuple):
    """Something true of a thing, and the one document that says so."""

    thing: Thing
    attribute: str
    value: int
    document: str


class Document(NamedTuple):
    """A row of an index; nothing of it has an address."""

    id: str
    title: str
    text: str


class Facts(NamedTuple):
    """All that is known in the world of one split and seed."""

    things: tuple[Thing, ...]
    facts: dict[tuple[Thing, str], Fact]
    """By thing and attribute."""
    documents: tuple[Document, ...]
    """In random order: those that tell a fact, and those that share words with them."""


@cache
def names(split: Split) -> dict[str, tuple[int, ...]]:
    """Colour -> the numbers that name a thing of this split; no two splits share a name."""
    # NumPy has frozen this generator's stream, not that of `default_rng`: see `digits.members`.
    random = np.random.RandomState(NAMES_SEED)
    end = sum(NAMES[s] for s in list(NAMES)[: list(NAMES).index(split) + 1])
    found = {}
    for colour in COLOURS:
        order = random.permutation(list(NUMBERS)).tolist()
        found[colour] = tuple(sorted(order[end - NAMES[split] : end]))
    return found


@lru_cache(maxsize=64)
def facts_of(split: Split, seed: int) -> Facts:
    """Draw the things of a split and seed, their facts, and the documents that tell them."""
    rng = np.random.default_rng([seed, zlib.crc32(f"facts/{VERSION}/{split}".encode())])
    things = []
    for colour, numbers in names(split).items():
        drawn = rng.permutation(numbers)[: round(DRAWN * len(numbers))]
        things += [Thing(colour, int(number)) for number in sorted(drawn)]
    told = [*_told(rng, tuple(things))]
    facts, documents = {}, []
    for place, which in enumerate(rng.permutation(len(told)).tolist()):
        said = told[which]
        document = Document(f"{split}-s{seed}-{place:04d}", said.thing.name, said.text)
        documents.append(document)
        if said.value is not None:
            key = said.thing, said.attribute
            facts[key] = Fact(*key, said.value, document.id)
    return Facts(tuple(things), facts, tuple(documents))


class _Told(NamedTuple):
    thing: Thing
    text: str
    attribute: str = ""
    value: int | None = None
    """None where it is no fact that can be asked for."""


def value_in(text: str, thing: Thing, attribute: str) -> int | None:
    """The fact as some text tells it, by the wordings of the documents; None if it does not."""
    for wording in CURRENT:
        before, after = (
            re.escape(part.format(name=thing.name, attribute=attribute))
            for part in wording.split("{value}")
        )
        found = re.search(rf"{before}(\d\d)\b{after}", text)
        if found:
            return int(found[1])
    return None


def _told(rng: np.random.Generator, things: tuple[Thing, ...]) -> Iterator[_Told]:
    """What the documents say, thing by thing. All is drawn at once: numbers one by one are slow."""
    shape, first, many = (len(things), len(ATTRIBUTES)), VALUES[0], len(VALUES)
    values = rng.integers(many, size=shape) + first
    # Another value, and each as likely: what is outdated says nothing of what is true.
    before = (values - first + rng.integers(1, many, size=shape)) % many + first
    wordings = [rng.integers(len(w), size=shape) for w in (CURRENT, OUTDATED)]
    has_outdated = rng.random(shape) < 0.5
    apart = rng.integers(1, len(things), size=len(things)).tolist()
    drawn = np.stack([values, before, *wordings, has_outdated], 2).tolist()
    for i, thing in enumerate(things):
        name = thing.name
        for attribute, of_it in zip(ATTRIBUTES, drawn[i], strict=True):
            value, past, wording, outdated, is_outdated = of_it
            text = CURRENT[wording].format(name=name, attribute=attribute, value=value)
            yield _Told(thing, text, attribute, value)
            if is_outdated:
                text = OUTDATED[outdated].format(name=name, attribute=attribute, value=past)
                yield _Told(thing, text)
        other = things[(i + apart[i]) % len(things)]
        yield _Told(thing, CONFUSED.format(name=name, other=other.name))
