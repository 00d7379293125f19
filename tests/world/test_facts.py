"""Facts that nothing seen tells: of no other split, uniform, and each in one document.

The wordings of the documents are restated here, so that a document is read by its words alone.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from math import sqrt
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest

from saccade.world import facts
from saccade.world.digits import Split
from saccade.world.emblems import emblems_of
from saccade.world.facts import Facts, Thing, facts_of

SPLITS = get_args(Split)
SEEDS = range(2)
TELLS = (
    r"The (?P<attribute>\w+) of (?P<name>\w+ \d\d) is (?P<value>\d\d)\.",
    r"Listed today: (?P<name>\w+ \d\d), (?P<attribute>\w+) (?P<value>\d\d)\.",
    r"At present (?P<value>\d\d) is the (?P<attribute>\w+) of (?P<name>\w+ \d\d)\.",
)
TOLD = (
    r"Until last year the (?P<attribute>\w+) of (?P<name>\w+ \d\d) was (?P<value>\d\d)\.",
    r"No longer true: (?P<name>\w+ \d\d), (?P<attribute>\w+) (?P<value>\d\d)\.",
)
Triple = tuple[str, str, int]


def triples(known: Facts) -> set[Triple]:
    return {(f.thing.name, f.attribute, f.value) for f in known.facts.values()}


def read(known: Facts, wordings: tuple[str, ...]) -> Iterator[tuple[str, Triple]]:
    """Id and fact of each document of these wordings."""
    for document in known.documents:
        for wording in wordings:
            if found := re.fullmatch(wording, document.text):
                yield document.id, (found["name"], found["attribute"], int(found["value"]))


def shared(draw: Callable[[Split, int], Facts]) -> int:
    """Number of facts of the libraries of one split that are facts of another split's."""
    of = {split: set().union(*(triples(draw(split, seed)) for seed in SEEDS)) for split in SPLITS}
    return sum(len(of[a] & of[b]) for a in SPLITS for b in SPLITS if a < b)


def test_no_fact_of_a_split_is_a_fact_of_another() -> None:
    assert shared(facts_of) == 0
    of = {
        split: {thing for seed in SEEDS for thing in facts_of(split, seed).things}
        for split in SPLITS
    }
    assert not any(of[a] & of[b] for a in SPLITS for b in SPLITS if a < b)


@pytest.mark.parametrize(("names_differ", "seeds_differ"), [(0, 0), (0, 1), (1, 0)])
def test_it_is_the_split_that_keeps_facts_apart(
    names_differ: int, seeds_differ: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it in the names facts meet by chance, and without it in the seed as well they are
    the same ones. That names differ would be enough."""
    names = facts.names
    if not names_differ:
        monkeypatch.setattr(facts, "names", lambda split: names("train"))
    if not seeds_differ:
        monkeypatch.setattr(facts, "zlib", SimpleNamespace(crc32=lambda text: 0))
    found = shared(facts_of.__wrapped__)
    several = 3 * len(SEEDS) * len(facts_of("train", 0).facts)
    if names_differ:
        assert found == 0
    else:
        assert 0 < found <= several
        assert (found > 0.9 * several) == (not seeds_differ)


@pytest.mark.parametrize("split", SPLITS)
def test_another_seed_has_other_things_and_facts(split: Split) -> None:
    first, second = facts_of(split, 0), facts_of(split, 1)
    assert set(first.things) != set(second.things)
    both = set(first.facts) & set(second.facts)
    same = sum(first.facts[key].value == second.facts[key].value for key in both)
    assert same <= len(both) / 90 + 5 * sqrt(len(both) / 90)  # five standard errors of chance
    assert facts_of.__wrapped__(split, 0) == first


@pytest.mark.parametrize("split", SPLITS)
def test_each_fact_stands_in_one_document_and_what_is_outdated_differs(split: Split) -> None:
    known = facts_of(split, 7)
    told = dict(read(known, TELLS))
    assert len(set(told.values())) == len(told) == len(known.facts)
    for (thing, attribute), fact in known.facts.items():
        assert told[fact.document] == (thing.name, attribute, fact.value)
        assert fact[:2] == (thing, attribute)
    outdated = [triple for _, triple in read(known, TOLD)]
    assert len(outdated) > len(told) / 3
    assert not set(outdated) & triples(known)
    rest = len(known.documents) - len(told) - len(outdated)
    assert rest == len(known.things)
    assert len({d.id for d in known.documents}) == len(known.documents)
    assert {d.title for d in known.documents} == {thing.name for thing in known.things}


def every_fact() -> list[facts.Fact]:
    return [f for seed in range(10) for f in facts_of("test", seed).facts.values()]


def test_values_are_uniform_whatever_is_seen() -> None:
    found = every_fact()
    values = np.array([f.value for f in found])
    assert (values.min(), values.max()) == (10, 99)
    counts = np.bincount(values - 10, minlength=90)
    expected = len(found) / 90
    # Chi squared with 89 degrees of freedom: mean 89, standard deviation 13.
    assert float(((counts - expected) ** 2 / expected).sum()) < 89 + 5 * 13.4
    for seen in ([f.thing.number for f in found], [f.thing.number % 10 for f in found],
                 [len(f.thing.colour) for f in found]):  # fmt: skip
        assert abs(np.corrcoef(seen, values)[0, 1]) < 4 / sqrt(len(found))


Guesser = Callable[[Thing, str], int]


def guessers() -> dict[str, Guesser]:
    """What can be said of a fact without a document: by what is seen, and by the training split."""
    known = [f for seed in range(5) for f in facts_of("train", seed).facts.values()]
    often = Counter(f.value for f in known).most_common(1)[0][0]
    by_attribute = {
        a: Counter(f.value for f in known if f.attribute == a).most_common(1)[0][0]
        for a in facts.ATTRIBUTES
    }
    near = {
        (colour, n, a): min(
            (f for f in known if f.thing.colour == colour and f.attribute == a),
            key=lambda f: abs(f.thing.number - n),
        ).value
        for colour, numbers in facts.names("test").items()
        for n in numbers
        for a in facts.ATTRIBUTES[:1]
    }
    return {
        "most frequent": lambda thing, attribute: often,
        "most frequent of the attribute": lambda thing, attribute: by_attribute[attribute],
        "its number": lambda thing, attribute: thing.number,
        "its number reversed": lambda thing, attribute: int(str(thing.number)[::-1]),
        "of the nearest known thing": lambda thing, attribute: near[
            thing.colour, thing.number, facts.ATTRIBUTES[0]
        ],
    }


def rate(guess: Guesser, known: list[facts.Fact]) -> float:
    return sum(guess(f.thing, f.attribute) == f.value for f in known) / len(known)


def test_who_has_read_nothing_is_at_chance() -> None:
    found = every_fact()
    chance = 1 / 90
    error = sqrt(chance * (1 - chance) / len(found))  # .0017
    for name, guess in guessers().items():
        assert abs(rate(guess, found) - chance) < 4 * error, name


def test_a_library_whose_names_tell_would_be_found_out() -> None:
    leaking = [f._replace(value=f.thing.number) for f in every_fact()]
    assert rate(guessers()["its number"], leaking) == 1


@pytest.mark.parametrize("split", SPLITS)
def test_emblems_differ_and_say_nothing_of_the_name(split: Split) -> None:
    emblems = emblems_of(split, 0)
    assert list(emblems) == list(facts_of(split, 0).things)
    rows = np.stack([emblem.ravel() for emblem in emblems.values()]).astype(int)
    apart = (rows[:, None] != rows[None]).sum(2) + 16 * np.eye(len(rows), dtype=int)
    assert apart.min() >= 3
    numbers = [thing.number for thing in emblems]
    for field in rows.T:
        assert abs(np.corrcoef(field, numbers)[0, 1]) < 5 / sqrt(len(rows))
