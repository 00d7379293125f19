"""A rule that looks for text: it reads the view, zooms where text may be, answers or abstains.

It is not a model. It drives the ordinary environment as a model does: it sees only the pixels that
it is shown, calls the ordinary zoom tool, and keeps to the limits. Its next turn is a function of
the trajectory alone. A question with options is answered when the text fits one of them and no
other; where no option can be told by text, nothing is read at all. A question without options is
answered when a line is clear, by the lines that were read, best first. The boxes of the lines stand
in the data of the turn (`Completion.data`), not in the answer. The rule does not understand the
question: it cannot tell the word on the flag from another word in the photograph.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import NamedTuple

from pydantic import Field, JsonValue

from saccade.cache import ByteCache
from saccade.errors import ConfigError
from saccade.images.image import Image
from saccade.policies.reader.evidence import (
    SHORTEST,
    Seen,
    best_lines,
    can_be_told,
    clear_option,
    is_clear,
)
from saccade.policies.reader.search_plan import ZOOM, Look, Search, out_of_looks
from saccade.policies.written import completion_of, dialect_of
from saccade.tools import ocr
from saccade.types import (
    OPTION_LETTERS,
    Action,
    Completion,
    ModelInfo,
    Record,
    Sampling,
    ToolCall,
    Trajectory,
    option_letter,
)
from saccade.untrusted.inert import inert

MODEL = "reader (a rule, not a model)"

ENVIRONMENT = (
    "environment.view.max_pixels=1000000",
    "environment.observation.min_pixels=400000",
    "environment.observation.max_pixels=1000000",
    "environment.limits.max_turns=30",
)
"""The environment in which the rule was measured, as settings of a run file: a view of one
megapixel, crops of .4 to 1 megapixel, and 29 looks."""

_WHO = "I am a rule that reads text, not a model."
_NOT_BY_TEXT = (
    f"No option can be told by text: each has fewer than {SHORTEST} letters or digits, or reads "
    "like another one. I do not look."
)
_OPTION = re.compile(r"([A-Z])\. (.*)")
_MAX_SHOWN = 10


class ReaderOptions(Record):
    """The `policy` section of a run file, kind "reader"."""

    max_pixels: int = Field(default=2_000_000, ge=1)
    """Number of pixels that an image may be shown with; a run that shows more is refused."""
    max_seconds: float = Field(default=20.0, gt=0)
    """Seconds to read one image; lines that are not begun by then stay unread."""
    threads: int = Field(default=2, ge=1)
    """Number of cores that one read may use."""


class ReaderPolicy:
    """A policy that writes its turns by a rule; it needs the extra `ocr`."""

    Options = ReaderOptions
    info = ModelInfo(name=MODEL)

    def __init__(self, options: ReaderOptions | None = None) -> None:
        self._options = options or ReaderOptions()
        self._read: ByteCache[Image, ocr.Reading] = ByteCache(8 * 2**20, _bytes_of)

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        """The next look, the answer, or a turn without either: an abstention.

        Raises:
            ConfigError: the environment shows too many pixels at a time.
            MissingExtra: the extra `ocr` is not installed.
        """
        started = time.monotonic()
        dialect, choices = dialect_of(trajectory, "reader"), choices_of(trajectory)
        if choices and not can_be_told(choices):
            move = _Move(Action(thought=f"{_WHO} {_NOT_BY_TEXT}"))
        else:
            seen = [await self._see(image) for image in trajectory.images]
            move = _move(trajectory, seen, choices)
        return completion_of(
            dialect, move.action, MODEL, seconds=time.monotonic() - started, data=move.data
        )

    def count_tokens(self, trajectory: Trajectory) -> None:
        """None: a rule has no tokenizer."""

    async def close(self) -> None:
        """Do nothing: the rule holds no resources."""

    async def _see(self, image: Image) -> Seen:
        if image.size.area > self._options.max_pixels:
            raise ConfigError(
                f"reader: an image is shown at {image.size}, at most {self._options.max_pixels} "
                "pixels are read at a time; set environment.view.max_pixels=1000000 (and "
                "environment.observation, if given)"
            )
        reading = self._read.get(image)
        if reading is None:
            limit, threads = self._options.max_seconds, self._options.threads
            reading = await ocr.read(image.pixels(), max_seconds=limit, threads=threads)
            self._read.put(image, reading)
        lines = [line._replace(box=image.to_source(line.box)) for line in reading.lines]
        return Seen(image, tuple(lines))


def choices_of(trajectory: Trajectory) -> tuple[str, ...]:
    """The options of the question, read from its text as any policy reads it."""
    found: list[str] = []
    for line in trajectory.prompt[-1].text.splitlines():
        match = _OPTION.fullmatch(line)
        if match and match[1] == "A":  # what looks like a list in the question itself is none
            found = []
        if match and match[1] == OPTION_LETTERS[len(found) : len(found) + 1]:
            found.append(match[2])
    return tuple(found)


class _Move(NamedTuple):
    """What the rule does next, and the lines that it answers by as data."""

    action: Action
    data: dict[str, JsonValue] | None = None


def _move(trajectory: Trajectory, seen: list[Seen], choices: tuple[str, ...]) -> _Move:
    search = Search(trajectory, seen)
    limit, look = out_of_looks(trajectory), search.next_look(choices)
    ended = f" I would look on, but {limit}." if limit and look else ""
    look = None if limit else look
    thought = _what_was_read(trajectory, seen)
    fit = clear_option(seen, choices)
    if fit is not None:
        letter = option_letter(fit.option)
        thought += f" {_quoted(fit.line)} fits {letter} and no other option."
        answer = f"{letter}. {inert(choices[fit.option])}"
        return _Move(
            Action(thought=thought, answer=answer), _evidence([fit.line], seen, trajectory)
        )
    lines = best_lines(seen)
    if not choices and lines and is_clear(lines[0]) and (look is None or look.begins_level):
        closer = search.closer_look(lines[0]) if look else None
        if closer is None:
            action = Action(thought=f"{thought}{ended} I give what I read.", answer=_listed(lines))
            return _Move(action, _evidence(lines[:_MAX_SHOWN], seen, trajectory))
        look = closer
    if look is None:
        why = ended or " There is nowhere left to look."
        return _Move(Action(thought=f"{thought} Nothing is clear.{why}"))
    if choices:
        thought += " No option is clear."
    return _Move(Action(thought=f"{thought} {look.why}", calls=(_call(trajectory, look),)))


def _what_was_read(trajectory: Trajectory, seen: list[Seen]) -> str:
    last = seen[-1].lines if seen else ()
    words = sorted((w for w in last if w.text), key=lambda w: -w.confidence)
    faint = len(last) - len(words)
    what = "In the view" if not trajectory.turns else "There"
    text = f"{what} I read {', '.join(map(_quoted, words[:3])) or 'nothing'}"
    if len(words) > 3:
        text += f" and {len(words) - 3} more"
    if faint:
        text += f"; {faint} not legible"
    who = "" if trajectory.turns else f"{_WHO} "
    return f"{who}{text}."


def _quoted(line: ocr.Line) -> str:
    return f'"{inert(line.text[:60])}" ({line.confidence:.2f})'


def _listed(lines: list[ocr.Line]) -> str:
    """The texts of the best lines."""
    return "\n".join(inert(line.text[:60]) for line in lines[:_MAX_SHOWN])


def _evidence(
    lines: Sequence[ocr.Line], seen: Sequence[Seen], trajectory: Trajectory
) -> dict[str, JsonValue]:
    """The lines as data: the box in pixels of the photograph, and which image that is."""
    digests = [image.source.digest for image in trajectory.images]
    rows: list[JsonValue] = []
    for line in lines:
        source = next(one.image.source for one in seen if line in one.lines)
        rows.append(
            {
                "text": line.text,
                "confidence": round(line.confidence, 4),
                "box": [round(v, 1) for v in line.box],
                "image": digests.index(source.digest) + 1,
            }
        )
    return {"lines": rows}


def _call(trajectory: Trajectory, look: Look) -> ToolCall:
    """A call that zooms into an image of the question, in the coordinate frame of the run."""
    image = trajectory.images[look.number]
    box = trajectory.environment.coords.from_pixels(image.from_source(look.region), image.size)
    arguments: dict[str, JsonValue] = {"bbox_2d": [round(v, 4) for v in box]}
    if look.number:
        arguments["image"] = f"image_{look.number + 1}"
    return ToolCall(name=ZOOM, arguments=arguments)


def _bytes_of(reading: ocr.Reading) -> int:
    return 200 * (len(reading.lines) + 1) + sum(len(line.text) for line in reading.lines)
