"""Whether a teacher is told the gold answer of a question, so that its way there is made up.

A leak is one of these, and nothing else is:

    request       The request changes when the gold answer of the question is replaced by another
                  one. It is what the teacher is shown, hint and tools included, written anew from
                  the question. This is exact: it has no coincidences.
    hint          A note of the question that the teacher's hint quotes ({meta.KEY}) has the gold
                  answer in it, and no other option; or the hint calls a text the answer, and that
                  text is the gold answer.
    question      The question calls a text its answer, and that text is the gold answer; or the
                  right option alone carries a mark such as "(correct)".
    order         The right option of a source is at one place in nine of ten questions, in more
                  than chance would have.
    image         The name of a file that is sent as a link, or a text in the file that is sent as
                  it is (EXIF, PNG text, XMP, comment), tells it.
    observation   What a tool returned calls a text the answer, in words that the teacher did not
                  write itself, and that text is the gold answer; or it quotes the question beside
                  the gold answer: the tool has read the data set.

So "3" in a rule about coordinates, "red" among the options and a fact that a search brought are no
leaks. `demos.filters.leaks` says which of these are looked for. Not found: a text that tells the
answer in other words, or in the pixels of an image; a tool that returns the bare answer, which
looks like a tool that works.
"""

from __future__ import annotations

import io
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple, get_args
from urllib.parse import unquote

from PIL import ExifTags
from PIL import Image as PILImage

from saccade.data.demos.recipe import LeakKind
from saccade.data.demos.teachers import Teacher
from saccade.env import Environment
from saccade.images.image import Image
from saccade.rewards.judges import gold_option, gold_text
from saccade.types import Task, ToolResult, Trajectory, option_letter

SHARE, CHANCE = 0.9, 1e-3
"""Of the questions of a source: the share whose right option is at one place, and how likely such a
share may be by chance, for it to be an order that tells the answer."""
QUOTED_WORDS = 5
"""Words that a question must have to be recognised in an observation."""

_LABEL = (
    r"(?:answers?|ans|gold|ground[ _-]?truth|gt|solution|"
    r"(?:correct|right)(?:[ _-](?:answer|option|choice))?)"
)
_BETWEEN = r"[\"'`\])*\s]*(?::|=|->|=>|\u2192|\bis\b)[\"'`\[(*\s]*"
_MARK = re.compile(
    r"[\u2713\u2714\u2611\u2705\u2605]|\[x\]|[(\[](?:correct|right|answer|true|gold)[)\]]|"
    r"(?:<-|<=|\u2190)\s*\w*\s*$|^\s*\*+|\*+\s*$",
    re.IGNORECASE,
)
_WORD = 3
"""Letters that an answer in words must have to be looked for without a label."""
_MAX_TEXT = 100_000
"""Characters of the texts in an image file that are looked at."""


class Leak(NamedTuple):
    """A place where the gold answer is told."""

    where: LeakKind
    detail: str


class Leaks:
    """Finds leaks in what teachers are asked, and in what tools have shown them.

    Args:
        environment: The student's.
        outlines: Questions of the run, by which orders of options are known.
        kinds: Where it looks.
    """

    def __init__(
        self,
        environment: Environment,
        outlines: Iterable[Task] = (),
        *,
        kinds: Collection[LeakKind] = get_args(LeakKind),
    ) -> None:
        self._environment, self._kinds = environment, frozenset(kinds)
        self._orders = _Orders()
        for task in outlines:
            self._orders.add(task)

    def before(self, task: Task, teacher: Teacher) -> Leak | None:
        """A leak in what the teacher is asked, found before it is asked.

        Raises:
            PluginError: the dialect cannot write the prompt of this question.
        """
        if not (task.answer or "").strip():
            return None
        looks: dict[LeakKind, Callable[[], Leak | None]] = {
            "request": lambda: self._in_request(task, teacher),
            "hint": lambda: _in_hint(task, teacher),
            "question": lambda: _in_question(task),
            "order": lambda: self._orders.leak(task),
            "image": lambda: self._in_images(task, teacher),
        }
        found = (look() for kind, look in looks.items() if kind in self._kinds)
        return next((leak for leak in found if leak is not None), None)

    def after(self, task: Task, trajectory: Trajectory) -> Leak | None:
        """A leak in what tools returned."""
        if "observation" not in self._kinds:
            return None
        written = ""
        for number, turn in enumerate(trajectory.turns, start=1):
            written += f"{turn.completion.text}\n{turn.completion.thought or ''}\n"
            for result in turn.results:
                if (detail := _in_result(task, result, written)) is not None:
                    return Leak("observation", f"turn {number}, {result.call.name}: {detail}")
        return None

    def _in_request(self, task: Task, teacher: Teacher) -> Leak | None:
        """Whether the request is another one for another gold answer."""
        asked = self._request(task, teacher)
        for other in _others(task):
            if self._request(task.model_copy(update={"answer": other}), teacher) != asked:
                return Leak("request", "it changes when the gold answer is replaced by another one")
        return None

    def _request(self, task: Task, teacher: Teacher) -> str:
        return teacher.shown(self._environment.begin(task), task).model_dump_json()

    def _in_images(self, task: Task, teacher: Teacher) -> Leak | None:
        if teacher.server is None:  # a policy of this process is given pixels
            return None
        golds = _golds(task)
        for number, image in enumerate(task.images, start=1):
            view = self._environment.record.shown(image)
            if not view.is_sent_as_file(teacher.server.image_format):
                continue
            links, file = teacher.server.image_urls, image.source.file
            link = links.link(file) if links is not None and file is not None else None
            if link is not None and _in_name(unquote(link).rpartition("/")[2], task, golds):
                return Leak("image", f"the name of image {number}")
            for label, text in texts_of(image):
                if _tells(f"{label}: {text}", task, golds) or text.strip() in golds:
                    return Leak("image", f"{label} of image {number}")
        return None


def texts_of(image: Image) -> Iterator[tuple[str, str]]:
    """The texts in the file of an image beside its pixels, with what they are called."""
    left = _MAX_TEXT
    try:
        with PILImage.open(io.BytesIO(image.source.encoded())) as opened:
            if opened.format == "PNG":
                opened.load()  # what stands behind the pixels is read with them
            found: list[tuple[object, object]] = [*opened.info.items(), *_exif(opened)]
    except (OSError, ValueError, SyntaxError):
        return  # whoever decodes it says what is wrong with it
    for label, value in found:
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        if label in ("exif", "icc_profile") or not isinstance(text, str) or left <= 0:
            continue
        yield str(label), text.replace("\0", "")[:left]
        left -= len(text)


def _exif(opened: PILImage.Image) -> Iterator[tuple[object, object]]:
    exif = opened.getexif()
    for tags in (exif, exif.get_ifd(ExifTags.IFD.Exif)):
        for tag, value in tags.items():
            wide = isinstance(value, bytes) and value[1:2] == b"\0"  # XPComment and its kin
            text = value.decode("utf-16-le", "replace") if wide else value
            yield ExifTags.TAGS.get(tag, tag), text


class _Orders:
    """At which place the right options of each source are."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, int], Counter[int]] = {}

    def add(self, task: Task) -> None:
        place = gold_option(task) if len(task.choices) > 1 else None
        if place is not None:
            self._places.setdefault(self._of(task), Counter())[place] += 1

    def leak(self, task: Task) -> Leak | None:
        places = self._places.get(self._of(task), Counter[int]())
        if not places or gold_option(task) is None:
            return None
        (place, count), n = places.most_common(1)[0], places.total()
        options = len(task.choices)
        chance = options * _at_least(count / n, n, 1 / options)
        if count < SHARE * n or chance > CHANCE:
            return None
        return Leak(
            "order",
            f"the right option is {option_letter(place)} in {count} of {n} questions of "
            f"{task.source or 'this source'}; shuffle their options",
        )

    @staticmethod
    def _of(task: Task) -> tuple[str, int]:
        return task.source, len(task.choices)


def _at_least(share: float, n: int, p: float) -> float:
    """A bound of the probability of such a share, or a larger one, in n draws with probability p.

    Source: Hoeffding (1963), theorem 1, in the form of Chernoff: exp(-n KL(share || p)).
    """
    if share <= p:
        return 1.0
    rest = (1 - share) * math.log((1 - share) / (1 - p)) if share < 1 else 0.0
    return math.exp(-n * (share * math.log(share / p) + rest))


def _others(task: Task) -> list[str]:
    """Gold answers that the question does not have: one of its form, and one of none."""
    place = gold_option(task) if task.choices else None
    gold = (task.answer or "").strip()
    if place is not None and len(task.choices) > 1:
        another = option_letter((place + 1) % len(task.choices))
    elif re.fullmatch(r"\d+", gold):
        another = str(int(gold[:18]) + 1)
    else:
        another = f"not {gold}"
    return [another, "\u00abanother answer\u00bb"]


def _in_hint(task: Task, teacher: Teacher) -> Leak | None:
    for value in teacher.slots(task):
        if any(_occurs(gold, value) for gold in _golds(task)) and not _other_options(task, value):
            return Leak("hint", "a note of the question that it quotes has the gold answer")
    hint = teacher.hint(task)
    if any(_labelled(gold, hint) for gold in [*_golds(task), *_letters(task)]):
        return Leak("hint", "it calls the gold answer the answer")
    return None


def _in_question(task: Task) -> Leak | None:
    if any(_labelled(gold, task.question) for gold in [*_golds(task), *_letters(task)]):
        return Leak("question", "it calls the gold answer its answer")
    marked = [place for place, option in enumerate(task.choices) if _MARK.search(option)]
    if len(task.choices) > 1 and marked == [gold_option(task)]:
        return Leak("question", "the right option alone carries a mark")
    return None


def _in_name(name: str, task: Task, golds: list[str]) -> bool:
    stem = " ".join(re.split(r"[\W_]+", name.rpartition(".")[0] or name)).strip()
    labelled = re.sub(rf"(?i)\b({_LABEL}) ", r"\1: ", stem)
    return stem.casefold() in map(str.casefold, golds) or _tells(labelled, task, golds)


def _tells(text: str, task: Task, golds: list[str]) -> bool:
    """Whether a text that nobody asked for tells the answer: by a label, or in words."""
    if any(_labelled(gold, text) for gold in [*golds, *_letters(task)]):
        return True
    words = [gold for gold in golds if sum(map(str.isalpha, gold)) >= _WORD]
    return any(_occurs(gold, text) for gold in words) and not _other_options(task, text)


def _in_result(task: Task, result: ToolResult, written: str) -> str | None:
    """How a result tells the answer."""
    text = " ".join(part for part in result.content if isinstance(part, str))
    golds = _golds(task)
    own = written + " ".join(v for v in result.call.arguments.values() if isinstance(v, str))
    for label in re.finditer(rf"(?i)\b{_LABEL}\b", text):
        if _occurs(label[0], own):
            continue  # its own words, printed by its own code or echoed by a search
        place = text[label.start() : label.start() + 400]
        if any(_labelled_at(gold, place) for gold in [*golds, *_letters(task)]):
            return f"it calls the gold answer {label[0]!r}"
    quoted = _plain(task.question)
    if len(quoted.split()) >= QUOTED_WORDS and quoted in _plain(text) and quoted not in _plain(own):
        rest = _plain(text).replace(quoted, " ")
        if any(_occurs(_plain(gold), rest) for gold in golds):
            return "it quotes the question beside the gold answer"
    return None


def _golds(task: Task) -> list[str]:
    """The gold answer as a text can tell it, without the letters of options."""
    if task.choices and gold_option(task) is not None:
        found = [gold_text(task)]
    else:
        found = [task.answer or ""]
    return [gold.strip() for gold in found if gold.strip()]


def _letters(task: Task) -> list[str]:
    place = gold_option(task) if task.choices else None
    return [] if place is None else [option_letter(place)]


def _other_options(task: Task, text: str) -> bool:
    """Whether a text names other options as well, and so tells none of them."""
    place = gold_option(task) if task.choices else None
    others = [o.strip() for n, o in enumerate(task.choices) if n != place and o.strip()]
    return place is not None and any(_occurs(other, text) for other in others)


def _occurs(gold: str, text: str) -> bool:
    """Whether an answer stands in a text by itself: no 3 in 13, in 3.5 or in image_3."""
    return re.search(_alone(gold), text, re.IGNORECASE) is not None


def _labelled(gold: str, text: str) -> bool:
    pattern = rf"\b{_LABEL}{_BETWEEN}{_alone(gold)}"
    return re.search(pattern, text, re.IGNORECASE) is not None


def _labelled_at(gold: str, text: str) -> bool:
    return re.match(rf"{_LABEL}{_BETWEEN}{_alone(gold)}", text, re.IGNORECASE) is not None


def _alone(gold: str) -> str:
    words = r"\s+".join(map(re.escape, gold.split()))
    return rf"(?<![\w.]){words}(?!\w|[.,]\d)"


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
