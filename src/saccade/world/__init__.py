"""A procedural world with ground truth: scenes, questions about them, and the right answers.

    for task in tasks("read", n=3, seed=0):
        task.images[0], task.question, task.answer, task.boxes

A task depends on family, split, seed, index and native size alone, never on how many are drawn.
The same numpy and Pillow draw the same bytes; no two splits share a handwritten sample.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from math import hypot, prod
from operator import add, mul
from typing import Literal, NamedTuple, cast, get_args

import numpy as np
from PIL import Image as PILImage
from pydantic import JsonValue

from saccade.config import suggestion
from saccade.errors import ConfigError
from saccade.images.geometry import Box
from saccade.images.image import Image
from saccade.types import TargetBox, Task
from saccade.world.digits import Alpha, Split
from saccade.world.emblems import alpha_of, emblems_of
from saccade.world.facts import ATTRIBUTES, Thing, facts_of
from saccade.world.plates import LEGIBLE, Format, draw_plates
from saccade.world.plates import TINY as TINY_PLATES
from saccade.world.scene import MIN_NATIVE, SMALL, TINY, Grain, Scene, SceneObject, draw_scene


class Question(NamedTuple):
    """A question about a scene."""

    text: str
    answer: str
    target: SceneObject
    """The object that must be found to answer."""


Asker = Callable[[np.random.Generator, Scene], Question | None]
"""Picks a question that has exactly one right answer; None where the scene allows no such one."""


class Family(NamedTuple):
    """A kind of task: which scenes it draws, and what it asks."""

    ask: Asker
    large: bool | None
    """Whether the scene has a large object; None leaves it to chance."""
    least: int = 2
    """Lowest number of objects in the scene."""
    grain: Grain = SMALL
    """Sizes of the small objects and of their digits."""
    turned: bool = False
    """Whether the whole scene is turned by one, two or three quarters."""


def _read(rng: np.random.Generator, scene: Scene) -> Question | None:
    """The digit on a small object: not legible in the view."""
    small = [o for o in scene.objects if not o.large]
    target = small[int(rng.integers(len(small)))]
    return Question(f"What digit is on the {target.colour} object?", str(target.digit), target)


def _easy(rng: np.random.Generator, scene: Scene) -> Question | None:
    """The digit on the large object: legible in the view. Asked in the words of `read`."""
    target = scene.objects[0]
    return Question(f"What digit is on the {target.colour} object?", str(target.digit), target)


def _relation(rng: np.random.Generator, scene: Scene) -> Question | None:
    """The digit on the nearest neighbour of a named object."""
    anchor = scene.objects[int(rng.integers(len(scene.objects)))]
    nearest = _nearest(anchor, scene, _centre_distance)
    # Beside a large object, centres and edges may disagree on what is nearest.
    if nearest is None or nearest.large or nearest is not _nearest(anchor, scene, _gap):
        return None
    text = f"What digit is on the object nearest to the {anchor.colour} object?"
    return Question(text, str(nearest.digit), nearest)


def _colour(rng: np.random.Generator, scene: Scene) -> Question | None:
    """The colour of the object with a given digit: several objects must be looked at."""
    digits = [o.digit for o in scene.objects]
    single = [o for o in scene.objects if digits.count(o.digit) == 1 and not o.large]
    if not single:
        return None
    target = single[int(rng.integers(len(single)))]
    text = f"What colour is the object with the digit {target.digit}?"
    return Question(text, target.colour, target)


def _nearest(
    anchor: SceneObject, scene: Scene, distance: Callable[[Box, Box], float]
) -> SceneObject | None:
    """The object nearest to another, or None if a second one is less than a quarter farther."""
    others = [o for o in scene.objects if o is not anchor]
    first, second = sorted(others, key=lambda o: distance(o.box, anchor.box))[:2]
    clear = distance(second.box, anchor.box) >= 1.25 * distance(first.box, anchor.box)
    return first if clear else None


def _centre_distance(a: Box, b: Box) -> float:
    return hypot(a.x1 + a.x2 - b.x1 - b.x2, a.y1 + a.y2 - b.y1 - b.y2) / 2


def _gap(a: Box, b: Box) -> float:
    """Distance between the edges of two boxes."""
    dx, dy = max(a.x1, b.x1) - min(a.x2, b.x2), max(a.y1, b.y1) - min(a.y2, b.y2)
    return hypot(max(dx, 0), max(dy, 0))


class Numbers(NamedTuple):
    """A kind of task about the numbers on two plates."""

    form: Format
    product: bool
    """Whether their product is asked for; otherwise their sum."""


class Lookup(NamedTuple):
    """A kind of task about a thing on a plate, whose facts stand in documents alone."""

    form: Format
    factors: int
    """Number of its facts that are asked for: one, or the product of two."""
    emblem: bool = False
    """Whether its plate shows its emblem instead of its number."""


FAMILIES: dict[str, Family | Numbers | Lookup] = {
    "read": Family(_read, large=None),
    "read0": Family(_read, large=False),
    "read1": Family(_read, large=True),
    "easy": Family(_easy, large=True),
    "far": Family(_read, large=False, least=4, grain=TINY),
    "turned": Family(_read, large=None, turned=True),
    "relation": Family(_relation, large=None, least=3),
    "colour": Family(_colour, large=None, least=3),
    "sum": Numbers(LEGIBLE, product=False),
    "compute": Numbers(LEGIBLE, product=True),
    "compute_far": Numbers(TINY_PLATES, product=True),
    "lookup": Lookup(LEGIBLE, factors=1),
    "lookup_far": Lookup(TINY_PLATES, factors=1),
    "lookup_compute": Lookup(LEGIBLE, factors=2),
    "emblem": Lookup(LEGIBLE, factors=1, emblem=True),
    "all": Lookup(TINY_PLATES, factors=2),
}
"""Name -> how its tasks are drawn: a question about a scene, about the numbers on two plates, or
about facts of what is on a plate."""

Ability = Literal["perception", "search", "reason"]
"""What a question takes: something that is too small to be seen at once, a fact that is not in the
image, a number that is not known by heart. Source: the flags of RealX-Bench (arXiv 2511.05271)."""

TAKES: dict[str, tuple[Ability, ...]] = {
    "read": ("perception",),
    "read0": ("perception",),
    "read1": ("perception",),
    "easy": (),
    "far": ("perception",),
    "turned": ("perception",),
    "relation": ("perception",),
    "colour": ("perception",),
    "sum": (),
    "compute": ("reason",),
    "compute_far": ("perception", "reason"),
    "lookup": ("search",),
    "lookup_far": ("perception", "search"),
    "lookup_compute": ("search", "reason"),
    "emblem": ("search",),
    "all": ("perception", "search", "reason"),
}
"""Family -> the abilities that its questions take together."""

REPORTED = {"all": "integration"}
"""What a family is called in `Task.meta`, where not by its name: `all` stands in every report for
all questions of a run. Source: RealX-Bench, which calls questions that take all three so."""


def tasks(
    family: str, *, n: int, seed: int = 0, split: str = "test", native: int = 672
) -> Iterator[Task]:
    """Tasks of a family, drawn one by one.

    Args:
        family: A key of `FAMILIES`.
        n: Number of tasks.
        seed: Seed of the scenes; another seed gives other scenes.
        split: "train", "dev" or "test": which handwritten samples may appear.
        native: Side of a scene in pixels; the difficulty does not depend on it.

    Raises:
        ConfigError: an unknown family or split, a scene that would be too small, or a negative
            number or seed.
    """
    if family not in FAMILIES:
        hint = suggestion(family, FAMILIES)
        raise ConfigError(f"world: no family {family!r}{hint}; there are {', '.join(FAMILIES)}")
    if split not in get_args(Split):
        raise ConfigError(f"world: split must be 'train', 'dev' or 'test', got {split!r}")
    if native < MIN_NATIVE:
        raise ConfigError(f"world: native must be at least {MIN_NATIVE} pixels, got {native}")
    if n < 0 or seed < 0:
        raise ConfigError(f"world: n and seed must not be negative, got n={n}, seed={seed}")
    chosen = cast(Split, split)
    return (_task(family, index, seed, chosen, native) for index in range(n))


_ID = re.compile(r"(\w+)-(train|dev|test)-(\d{1,6})-s(\d{1,18})-(\d{1,9})")


def task_of(task_id: str) -> Task:
    """Draw again the task with an id that `tasks` gave it.

    Raises:
        ConfigError: no task of this world has such an id.
    """
    place = place_of(task_id)
    if place is None:
        raise ConfigError(f"world: {task_id[:80]!r} is no task of this world")
    return _task(place.family, place.number, place.seed, place.split, place.native)


class Place(NamedTuple):
    """What a task is drawn from."""

    family: str
    split: Split
    native: int
    seed: int
    number: int


def place_of(task_id: str) -> Place | None:
    """What the task with this id is drawn from; None if it is no task of this world."""
    named = _ID.fullmatch(task_id)
    if named is None or named[1] not in FAMILIES or int(named[3]) < MIN_NATIVE:
        return None
    family, split, native, seed, index = named.groups()
    return Place(family, cast(Split, split), int(native), int(seed), int(index))


class Drawn(NamedTuple):
    """What was drawn for a task."""

    pixels: PILImage.Image
    text: str
    answer: str
    targets: tuple[tuple[str, Box], ...]
    """Label and box of each object that must be found, in native pixels."""
    facts: dict[str, JsonValue]
    """What else is true of it, for `Task.meta`."""


def _task(family: str, index: int, seed: int, split: Split, native: int) -> Task:
    key = [seed, index, native, zlib.crc32(f"{family}/{split}".encode())]
    rng, rules = np.random.default_rng(key), FAMILIES[family]
    if isinstance(rules, Family):
        drawn = _scene(family, rules, rng, split, native)
    elif isinstance(rules, Numbers):
        drawn = _numbers(family, rules, rng, split, native)
    else:
        drawn = _lookup(family, rules, rng, split, native, seed)
    return Task(
        id=f"{family}-{split}-{native}-s{seed}-{index:05d}",
        prompt=(Image.from_pixels(drawn.pixels), drawn.text),
        answer=drawn.answer,
        boxes=tuple(TargetBox(box=box, label=label) for label, box in drawn.targets),
        judge="exact",
        source="world",
        meta={
            "family": REPORTED.get(family, family),
            "split": split,
            "seed": seed,
            "index": index,
            "native": native,
            **{ability: ability in TAKES[family] for ability in get_args(Ability)},
            **drawn.facts,
        },
    )


def _scene(
    family: str, rules: Family, rng: np.random.Generator, split: Split, native: int
) -> Drawn:
    while True:
        large = bool(rng.random() < 0.5) if rules.large is None else rules.large
        scene = draw_scene(
            rng, native=native, split=split, large=large, least=rules.least, grain=rules.grain
        )
        question = rules.ask(rng, scene)
        if question is not None:
            break
    turns = int(rng.integers(1, 4)) if rules.turned else 0
    return Drawn(
        _turned(scene.pixels, turns),
        question.text,
        question.answer,
        ((question.target.colour, _turned_box(question.target.box, turns, native)),),
        {
            "subfamily": f"{family}{int(large)}" if rules.large is None else family,
            "objects": len(scene.objects),
            **({"clockwise": 90 * turns} if turns else {}),
        },
    )


def _numbers(
    family: str, rules: Numbers, rng: np.random.Generator, split: Split, native: int
) -> Drawn:
    """Draw two plates and ask for the product or the sum of their numbers."""
    (first, second), pixels = draw_plates(rng, native=native, split=split, form=rules.form)
    word, of = ("times", mul) if rules.product else ("plus", add)
    return Drawn(
        pixels,
        f"What is the number on the {first.colour} plate {word} the number on the {second.colour} "
        "plate?",
        str(of(first.number, second.number)),
        ((first.colour, first.box), (second.colour, second.box)),
        {"subfamily": family, "objects": 2, "numbers": [first.number, second.number]},
    )


def _lookup(
    family: str, rules: Lookup, rng: np.random.Generator, split: Split, native: int, seed: int
) -> Drawn:
    """Draw two things of the library of this split and seed, and ask for facts of one of them."""
    known = facts_of(split, seed)
    numbers: dict[str, list[int]] = {}
    for thing in known.things:
        numbers.setdefault(thing.colour, []).append(thing.number)
    emblems = emblems_of(split, seed) if rules.emblem else {}

    def mark(colour: str, number: int, width: int, height: int) -> Alpha:
        return alpha_of(emblems[Thing(colour, number)], width, height)

    plates, pixels = draw_plates(
        rng, native=native, split=split, form=rules.form, numbers=numbers,
        mark=mark if rules.emblem else None,
    )  # fmt: skip
    plate = plates[int(rng.integers(len(plates)))]
    thing = Thing(plate.colour, plate.number)
    asked = [ATTRIBUTES[i] for i in rng.permutation(len(ATTRIBUTES))[: rules.factors]]
    facts = [known.facts[thing, attribute] for attribute in asked]
    more = "".join(f" times its {attribute}" for attribute in asked[1:])
    return Drawn(
        pixels,
        f"What is the {asked[0]} of the thing on the {thing.colour} plate{more}?",
        str(prod(fact.value for fact in facts)),
        ((plate.colour, plate.box),),
        {
            "subfamily": family,
            "objects": 2,
            "entities": [thing.name],
            "facts": [
                {
                    "entity": thing.name,
                    "attribute": fact.attribute,
                    "value": fact.value,
                    "document": fact.document,
                }
                for fact in facts
            ],
        },
    )


def _turned(pixels: PILImage.Image, turns: int) -> PILImage.Image:
    """The same pixels, turned clockwise by quarters."""
    for _ in range(turns):
        pixels = pixels.transpose(PILImage.Transpose.ROTATE_270)  # PIL counts the other way
    return pixels


def _turned_box(box: Box, turns: int, side: int) -> Box:
    for _ in range(turns):
        box = Box(side - box.y2, box.x1, side - box.y1, box.x2)
    return box
