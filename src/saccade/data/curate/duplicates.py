"""Questions that are asked twice, and questions that a benchmark asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, cast

from pydantic import Field, JsonValue

from saccade import tasks
from saccade.config import Part, Parts, build
from saccade.data.curate.bench import Bench, Decision
from saccade.data.curate.recipe import CurateRecipe
from saccade.data.similar.images import (
    Copy,
    ImageIndex,
    ImageSketch,
    check_available,
    key_of,
    sketch_image,
)
from saccade.data.similar.texts import TextIndex, TextSketch, jaccard, sketch_text
from saccade.errors import ConfigError, FormatError, ImageError
from saccade.images.image import Image
from saccade.plugins import guarded
from saccade.tasks import TaskSource
from saccade.types import Record, Task

MAX_ITEMS = 256
"""Number of items about one image, each in other words, with which a question about it is
compared; of more, it is about an image of the benchmark all the same."""
UNREADABLE = "an image cannot be decoded"


class Duplicates(Record):
    """Of questions that are the same in text, options and images, the first stays.

    Two questions about one image are none, nor is one question about two images. That copies of an
    image have another size or were compressed again does not hide them. Needs the extra `search`.
    """

    text: float = Field(default=0.9, gt=0, le=1)
    """Jaccard index from which two texts are the same; see `saccade.data.similar.texts`. Two texts
    with other numbers never are."""

    def check(self, recipe: CurateRecipe) -> None:
        """Images can be compared here.

        Raises:
            MissingExtra: imagehash is not installed.
        """
        check_available()

    async def decide(self, questions: Sequence[Task], bench: Bench) -> Mapping[str, Decision]:
        """Drops all but the first; with the id of that one, and whether their answers agree."""
        texts, images = _Texts(self.text), _Images()
        firsts: dict[tuple[object, ...], tuple[str, str | None]] = {}
        decisions: dict[str, Decision] = {}
        for done, task in enumerate(bench.drawn(questions), start=1):
            try:
                shown = tuple(map(images.kind_of, task.images))
            except ImageError:
                decisions[task.id] = Decision(UNREADABLE)
                continue
            options = tuple(sorted(sketch_text(choice).digest for choice in task.choices))
            key = (texts.kind_of(task.question), options, shown)
            first, answer = firsts.setdefault(key, (task.id, task.answer))
            if first != task.id:
                found: dict[str, JsonValue] = {
                    "duplicate_of": first, "same_answer": answer == task.answer
                }  # fmt: skip
                decisions[task.id] = Decision("asked before", measures=found)
            bench.report("duplicates", done, len(questions))
        return decisions


class Decontaminate(Record):
    """A question that a benchmark asks is dropped, or one about an image of a benchmark.

    An image of a benchmark with another question is dropped by default. To tell a paraphrase from
    another question would take a model; what training shows of an image is learned whatever is
    asked; and few questions are lost by it. Without images the text alone decides.

    The report names the benchmark, the item, and the distances. Needs the extra `search`.
    """

    against: Parts
    """The benchmarks: their names (`saccade bench list`), alone or as the `kind` of a table with
    `data` and other keys of `saccade bench`; or any source of tasks, as in
    `{ kind = "file", path = "held_out/tasks.jsonl" }`. Other keys are those of the source, but for
    `name`: what the report calls it."""
    same_image: Literal["drop", "note"] = "drop"
    """What happens to a question about an image of a benchmark in other words: it is dropped, or
    stays and is named in the report."""
    text: float = Field(default=0.8, gt=0, le=1)
    """Jaccard index from which two texts are the same; see `saccade.data.similar.texts`."""

    def check(self, recipe: CurateRecipe) -> None:
        """Each benchmark is there, and images can be compared here.

        Raises:
            ConfigError: no benchmark is named, or one cannot be found.
            MissingExtra: imagehash is not installed.
        """
        check_available()
        if not self.against:
            raise ConfigError('curate.terms.against: name a benchmark, as in against = ["vstar"]')
        for part in self.against:
            if next(_items(part, recipe), None) is None:
                raise ConfigError(f"curate.terms.against: {_name(part)!r} has no item")

    async def decide(self, questions: Sequence[Task], bench: Bench) -> Mapping[str, Decision]:
        """Drops what is in a benchmark; with the item in which it was found."""
        asked = _References(self.text)
        for part in self.against:
            name = _name(part)
            for done, task in enumerate(_items(part, bench.recipe), start=1):
                asked.add(name, task)
                if not done % 100:
                    bench.report(f"items of {name}", done, done)
        decisions = {}
        for done, task in enumerate(bench.drawn(questions), start=1):
            decisions[task.id] = self._decision(task, asked)
            bench.report("decontaminate", done, len(questions))
        return decisions

    def _decision(self, task: Task, asked: _References) -> Decision:
        try:
            found = asked.find(task)
        except ImageError:
            return Decision(UNREADABLE)
        if found is None:
            return Decision()
        measures: dict[str, JsonValue] = {"match": found.as_json()}
        if found.copy is None or found.jaccard >= self.text:
            return Decision(f"asked in {found.benchmark}", measures=measures)
        reason = f"an image of {found.benchmark}" if self.same_image == "drop" else ""
        return Decision(reason, measures=measures)


class _Texts:
    """Texts in kinds: each is the same as the first of its kind."""

    def __init__(self, least: float) -> None:
        self._least, self._firsts = least, TextIndex()

    def kind_of(self, text: str) -> int:
        sketch = sketch_text(text)
        found = self._firsts.nearest(sketch, least=self._least)
        if found is not None and self._firsts[found.place].numbers == sketch.numbers:
            return found.place
        return self._firsts.add(sketch)


class _Images:
    """Images in kinds: each is a copy of the first of its kind."""

    def __init__(self) -> None:
        self._firsts, self._known = ImageIndex(), dict[str, int]()

    def kind_of(self, image: Image) -> int:
        """Raises ImageError if it cannot be decoded."""
        key = key_of(image)
        if (known := self._known.get(key)) is not None:
            return known
        sketch = sketch_image(image)
        copies = self._firsts.nearest(sketch)
        self._known[key] = copies[0].place if copies else self._firsts.add(sketch)
        return self._known[key]


class _Match(NamedTuple):
    benchmark: str
    item: str
    jaccard: float
    copy: Copy | None
    """None of a question without images."""

    def as_json(self) -> dict[str, JsonValue]:
        found: dict[str, JsonValue] = {
            "benchmark": self.benchmark,
            "item": self.item,
            "text": round(self.jaccard, 3),
        }
        if self.copy is not None:
            found |= {"bits": self.copy.bits, "difference": round(self.copy.difference, 3)}
        return found


class _Item(NamedTuple):
    benchmark: str
    id: str
    text: TextSketch


class _References:
    """What benchmarks ask: the texts of those without images, the images of the others."""

    def __init__(self, least: float) -> None:
        self._least = least
        self._texts, self._asked = TextIndex(), list[_Item]()
        self._images, self._known = ImageIndex(), dict[str, int]()
        self._about: list[list[_Item]] = []

    def add(self, benchmark: str, task: Task) -> None:
        """Take an item in.

        Raises:
            FormatError: an image of it cannot be decoded; nothing could be compared with it.
        """
        item = _Item(benchmark, task.id, sketch_text(task.question))
        if not task.images and not item.text.is_empty:
            self._texts.add(item.text)
            self._asked.append(item)
        for image in task.images:
            key = key_of(image)
            if key not in self._known:
                try:
                    self._known[key] = self._images.add(sketch_image(image))
                except ImageError as error:
                    raise FormatError(
                        f"curate.terms.against: {benchmark}, item {task.id}: {error}"
                    ) from error
                self._about.append([])
            about = self._about[self._known[key]]
            if len(about) < MAX_ITEMS and all(item.text.digest != o.text.digest for o in about):
                about.append(item)

    def find(self, task: Task) -> _Match | None:
        """The item that a question is most like.

        Raises:
            ImageError: an image of it cannot be decoded.
        """
        text = sketch_text(task.question)
        if not task.images:
            near = None if text.is_empty else self._texts.nearest(text, least=self._least)
            if near is None:
                return None
            item = self._asked[near.place]
            return _Match(item.benchmark, item.id, near.jaccard, None)
        matches = (
            _Match(item.benchmark, item.id, jaccard(text, item.text), copy)
            for copy in self._copies(task.images)
            for item in self._about[copy.place]
        )
        return max(matches, key=lambda match: match.jaccard, default=None)

    def _copies(self, images: Sequence[Image]) -> Iterator[Copy]:
        for image in images:
            sketch: ImageSketch = sketch_image(image)
            yield from self._images.nearest(sketch)


def _items(part: Part, recipe: CurateRecipe) -> Iterator[Task]:
    """The items of a benchmark."""
    options = {key: value for key, value in part.options.items() if key != "name"}
    chosen = Part.model_validate({**options, "kind": part.kind})
    source = cast(TaskSource, build(chosen, tasks.BUILT_IN, "curate.terms.against"))
    with guarded("curate.terms.against"):
        yield from source.tasks(seed=recipe.seed, max_pixels=recipe.max_image_pixels)


def _name(part: Part) -> str:
    named = part.options.get("name") or part.options.get("path") or part.kind
    return str(named)
