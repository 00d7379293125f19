"""Things whose names can be seen and whose facts cannot: they stand in documents alone.

A thing is what a plate shows, a colour and a number of two digits: "red 47". Its facts are numbers
of two digits as well, drawn at random, so nothing that can be seen says anything of them. Each
split has names of its own, whatever the seed, and draws its facts anew for every seed: no fact of
one split is a fact of another.
"""

from __future__ import annotations

import re
import zlib
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
    told: list[tuple[tuple[Thing, str, int] | None, str, str]] = []
    for thing in things:
        for attribute in ATTRIBUTES:
            value = int(rng.integers(VALUES[0], VALUES[-1] + 1))
            # Another value, and each as likely: what is outdated says nothing else.
            before = VALUES[(value - VALUES[0] + int(rng.integers(1, len(VALUES)))) % len(VALUES)]
            text = _said(rng, CURRENT, thing, attribute, value)
            told.append(((thing, attribute, value), thing.name, text))
            if rng.random() < 0.5:
                told.append((None, thing.name, _said(rng, OUTDATED, thing, attribute, before)))
        apart = int(rng.integers(1, len(things)))
        other = things[(things.index(thing) + apart) % len(things)]
        told.append((None, thing.name, CONFUSED.format(name=thing.name, other=other.name)))
    facts, documents = {}, []
    for place, which in enumerate(rng.permutation(len(told))):
        fact, title, text = told[which]
        document = Document(f"{split}-s{seed}-{place:04d}", title, text)
        documents.append(document)
        if fact is not None:
            thing, attribute, value = fact
            facts[thing, attribute] = Fact(thing, attribute, value, document.id)
    return Facts(tuple(things), facts, tuple(documents))


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


def _said(
    rng: np.random.Generator, wordings: tuple[str, ...], thing: Thing, attribute: str, value: int
) -> str:
    wording = wordings[int(rng.integers(len(wordings)))]
    return wording.format(name=thing.name, attribute=attribute, value=value)
