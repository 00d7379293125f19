"""Questions about scenes: the right answer, one right answer, and the same one every time."""

import hashlib
import re
from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage
from pixel_oracle import (
    Seen,
    centre_distance,
    edge_distance,
    look,
    look_for_colours,
    read_plates,
)

from saccade.errors import ConfigError
from saccade.images.geometry import Box
from saccade.types import Task
from saccade.world import FAMILIES, TAKES, task_of, tasks
from saccade.world.facts import facts_of

DIGIT_ON = "What digit is on the "


def answers(question: str, seen: dict[str, Seen]) -> dict[str, Seen]:
    """Every defensible answer to a question, worked out from pixels."""
    words = question.rstrip("?").split()
    if question.startswith("What colour is the object with the digit "):
        holders = [s for s in seen.values() if s.digit == int(words[-1])]
        return {s.colour: s for s in holders}
    if question.startswith(DIGIT_ON + "object nearest to the "):
        anchor = seen[words[-2]]
        others = [s for s in seen.values() if s is not anchor]
        found = {}
        for distance in (centre_distance, edge_distance):
            best = min(distance(s, anchor) for s in others)
            # Who is asked may misjudge a distance by a tenth.
            close = [s for s in others if distance(s, anchor) <= 1.1 * best]
            found |= {f"{s.digit} on {s.colour}": s for s in close}
        return found if len(found) > 1 else {str(s.digit): s for s in found.values()}
    asked = seen[words[5]]
    assert question == f"{DIGIT_ON}{asked.colour} object?"
    return {str(asked.digit): asked}


def back(box: Box, quarters: int, side: int) -> tuple[float, ...]:
    """A box turned counter-clockwise, by its corners: (x, y) goes to (y, side - x)."""
    corners = [(box.x1, box.y1), (box.x2, box.y2)]
    for _ in range(quarters):
        corners = [(y, side - x) for x, y in corners]
    (x1, y1), (x2, y2) = corners
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


PLATES = {"sum": (1.5, 10.0), "compute": (1.5, 10.0), "compute_far": (0.4, 0.9)}
"""Family -> margin and digit of its plates, in view pixels."""
LOOKUPS = {
    "lookup": (1.5, 10.0), "lookup_far": (0.4, 0.9), "lookup_compute": (1.5, 10.0),
    "all": (0.4, 0.9),
}  # fmt: skip
"""The same, of the families that ask for facts."""


@pytest.mark.parametrize("family", PLATES)
def test_the_sum_or_product_of_the_plates_is_the_gold_answer(family: str) -> None:
    margin, digit = PLATES[family]
    native = 2016 if family == "compute_far" else 672
    word, of = ("plus", int.__add__) if family == "sum" else ("times", int.__mul__)
    for task in tasks(family, n=8 if native == 672 else 3, seed=3, native=native):
        words = task.question.rstrip("?").split()
        numbers = read_plates(task.images[0].pixels(), margin, digit)
        assert numbers.keys() == {words[6], words[-2]} == {box.label for box in task.boxes}
        assert words[8] == word
        assert int(task.answer or 0) == of(numbers[words[6]], numbers[words[-2]])
        assert all(10 <= number <= 99 for number in numbers.values())
        boxes = look_for_colours(np.asarray(task.images[0].pixels()).astype(np.float32))
        assert {b.label: tuple(b.box) for b in task.boxes} == boxes


def facts_in(documents: list[str]) -> dict[tuple[str, str], int]:
    """Name and attribute -> value, by the words of documents that tell what is true today."""
    found = {}
    for text in documents:
        for wording in (
            r"The (?P<a>\w+) of (?P<n>\w+ \d\d) is (?P<v>\d\d)\.",
            r"Listed today: (?P<n>\w+ \d\d), (?P<a>\w+) (?P<v>\d\d)\.",
            r"At present (?P<v>\d\d) is the (?P<a>\w+) of (?P<n>\w+ \d\d)\.",
        ):
            if told := re.fullmatch(wording, text):
                found[told["n"], told["a"]] = int(told["v"])
    return found


@pytest.mark.parametrize("family", LOOKUPS)
def test_what_a_plate_shows_and_the_documents_say_is_the_gold_answer(family: str) -> None:
    native = 672 if "far" not in family and family != "all" else 1344
    rows = list(facts_of("test", 3).documents)
    told = facts_in([document.text for document in rows])
    for task in tasks(family, n=2 if native == 672 else 1, seed=3, native=native):
        asked = re.fullmatch(
            r"What is the (\w+) of the thing on the (\w+) plate(?: times its (\w+))?\?",
            task.question,
        )
        assert asked
        first, colour, second = asked.groups()
        assert (second is not None) == (family in ("lookup_compute", "all"))
        name = f"{colour} {read_plates(task.images[0].pixels(), *LOOKUPS[family])[colour]}"
        values = [told[name, attribute] for attribute in (first, second) if attribute]
        assert int(task.answer or 0) == np.prod(values)
        (box,) = task.boxes
        assert box.label == colour
        assert task.meta["entities"] == [name]
        (gold, *more) = task.meta["facts"]
        assert {"entity": name, "attribute": first, "value": values[0]}.items() <= gold.items()
        assert len(more) == (second is not None)
        holds = next(d.text for d in rows if d.id == gold["document"])
        assert facts_in([holds]) == {(name, first): values[0]}


def test_each_family_says_what_its_questions_take() -> None:
    (task,) = tasks("lookup_far", n=1)
    taken = {ability: task.meta[ability] for ability in ("perception", "search", "reason")}
    assert taken == {"perception": True, "search": True, "reason": False}
    assert TAKES.keys() == FAMILIES.keys()


def test_in_reports_the_family_all_is_told_from_all_questions() -> None:
    (task,) = tasks("all", n=1)
    assert (task.family, task.id) == ("integration", "all-test-672-s0-00000")


def test_an_emblem_is_asked_about_in_the_words_of_lookup() -> None:
    """Or a model could choose its search from the words alone."""
    forms = {
        family: {
            re.sub(r"(price|weight|height|age)", "*", t.question).replace(t.boxes[0].label, "*")
            for t in tasks(family, n=2)
        }
        for family in ("lookup", "emblem")
    }
    assert forms["lookup"] == forms["emblem"] == {"What is the * of the thing on the * plate?"}


@pytest.mark.parametrize(
    ("family", "digest"),
    [
        ("compute", "3848af3ec0f492af"),
        ("compute_far", "a620c4509bcbc815"),
        ("lookup", "40a7073b6e21ea24"),
    ],
)
def test_plates_are_drawn_as_they_were(family: str, digest: str) -> None:
    """Another order of drawing would move every scene of a benchmark."""
    (task,) = tasks(family, n=1)
    pixels = task.images[0].pixels().tobytes()
    assert hashlib.sha256(pixels).hexdigest()[:16] == digest


DIGITS = [name for name in FAMILIES if name not in (*PLATES, *LOOKUPS, "emblem")]


@pytest.mark.parametrize("family", DIGITS)
@pytest.mark.parametrize("native", [672, 1008])
def test_the_pixels_allow_one_answer_and_it_is_the_gold_one(family: str, native: int) -> None:
    if family == "far":
        native *= 2  # its digits are nine pixels wide at 672: too few for this reader
    for task in tasks(family, n=16 if native == 672 else 4, seed=3, native=native):
        pixels, quarters = task.images[0].pixels(), task.meta.get("clockwise", 0) // 90
        assert (quarters in (1, 2, 3)) == (family == "turned")
        seen = look(PILImage.fromarray(np.rot90(np.asarray(pixels), quarters)))
        ((answer, target),) = answers(task.question, seen).items()
        assert task.answer == answer
        assert [back(b.box, quarters, native) for b in task.boxes] == [target.box]
        assert task.boxes[0].label == target.colour
        assert target.large == (family == "easy")
        assert task.meta["objects"] == len(seen)
        has_large = any(s.large for s in seen.values())
        fixed = {"easy": True, "far": False, "read0": False, "read1": True}
        assert has_large == fixed.get(family, has_large)
        expected = family if family in fixed else f"{family}{int(has_large)}"
        assert task.meta["subfamily"] == expected


def test_a_task_says_where_it_comes_from() -> None:
    (task,) = islice(tasks("read", n=13, seed=0), 12, None)
    assert task.id == "read-test-672-s0-00012"
    assert (task.judge, task.source) == ("exact", "world")
    image, question = task.prompt
    assert task.images == (image,)
    assert task.question == question
    expected = {
        "family": "read",
        "split": "test",
        "seed": 0,
        "index": 12,
        "native": 672,
    }
    assert task.meta.items() >= expected.items()


def test_read_and_easy_ask_in_the_same_words() -> None:
    """Or a model could choose its tool from the words alone."""
    forms = {
        family: {task.question.replace(task.boxes[0].label, "*") for task in tasks(family, n=8)}
        for family in ("read", "easy")
    }
    assert forms["read"] == forms["easy"] == {f"{DIGIT_ON}* object?"}


def test_half_of_the_scenes_of_read_hold_a_large_object() -> None:
    kinds = Counter(task.meta["subfamily"] for task in tasks("read", n=80, seed=1))
    # Three standard errors of a fair coin.
    assert abs(kinds["read1"] - 40) <= 14
    assert kinds["read0"] + kinds["read1"] == 80


@given(
    st.sampled_from(sorted(FAMILIES)),
    st.sampled_from(["train", "dev", "test"]),
    st.integers(0, 2**70),
    st.integers(0, 4),
    st.integers(0, 3),
)
@settings(max_examples=12)
def test_a_task_does_not_depend_on_how_many_are_drawn(
    family: str, split: str, seed: int, index: int, more: int
) -> None:
    def last(n: int) -> Task:
        drawn = tasks(family, n=n, seed=seed, split=split)
        return next(islice(drawn, index, None))

    task, again = last(index + 1), last(index + 1 + more)
    assert task == again
    assert task.images[0].source.digest == again.images[0].source.digest


def test_all_that_names_a_task_changes_its_scene() -> None:
    variants = [
        ("read", {}),
        ("relation", {}),
        ("colour", {}),
        ("read", {"seed": 1}),
        ("read", {"split": "train"}),
        ("read", {"native": 673}),
    ]
    drawn = [next(tasks(family, n=1, **options)) for family, options in variants]
    drawn += islice(tasks("read", n=2), 1, None)
    assert len({task.id for task in drawn}) == len(drawn)
    assert len({task.images[0].source.digest for task in drawn}) == len(drawn)
    # Nor do two scenes begin alike and differ in the rest.
    objects = [s for task in drawn for s in look(task.images[0].pixels()).values()]
    assert len({(s.colour, s.box) for s in objects}) == len(objects)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_task_is_found_again_by_its_id(family: str) -> None:
    (task,) = islice(tasks(family, n=2, seed=11, split="dev", native=700), 1, None)
    again = task_of(task.id)
    assert again == task
    assert again.images[0].source.digest == task.images[0].source.digest


@pytest.mark.parametrize(
    "name",
    [
        "raed-test-672-s0-00001",
        "read-test-672-s0",
        "read-val-672-s0-00001",
        "photo",
        "read-test-9-s0-1",
    ],
)
def test_the_id_of_another_task_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="no task of this world"):
        task_of(name)


def test_tasks_are_drawn_when_asked_for() -> None:
    endless = tasks("colour", n=10**12)
    assert next(endless).id.endswith("-00000")
    assert next(endless).id.endswith("-00001")
    assert list(tasks("read", n=0)) == []


@pytest.mark.parametrize(
    ("family", "options", "message"),
    [
        (
            "raed",
            {},
            "'raed'.*read, read0, read1, easy, far, turned, relation, colour, sum, compute, "
            "compute_far",
        ),
        ("read", {"split": "val"}, "'train', 'dev' or 'test', got 'val'"),
        ("read", {"native": 671}, "at least 672 pixels, got 671"),
        ("read", {"seed": -1}, "seed=-1"),
        ("read", {"n": -1}, "n=-1"),
    ],
)
def test_what_cannot_be_drawn_is_refused_at_once(
    family: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        tasks(family, **({"n": 1} | options))
