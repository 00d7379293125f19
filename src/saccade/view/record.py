"""An episode as plain data for a page: no markup, and hidden characters written out."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Literal, NotRequired, TypedDict

from saccade.errors import ImageError
from saccade.images.geometry import Box, CoordSpace, box_of
from saccade.images.image import Image
from saccade.measures.boxes import looks
from saccade.measures.summary import prompt_tokens, response_tokens
from saccade.runs.card import model_name
from saccade.runs.earlier import before_rescoring
from saccade.search.found import Hit, found_in
from saccade.types import Completion, Part, Task, ToolCall, ToolResult, Trajectory, Turn
from saccade.view.pictures import Pictures

MAX_TEXT = 20_000
"""Number of characters of a text that a page shows at most."""
ADVANTAGE = "advantage"
"""The annotation with which reinforcement learning keeps an episode's advantage."""
MAX_DRAWN = 1e6
"""Coordinates from this on lie on no image, and are not drawn."""

_HIDDEN = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)
"""Control, zero-width, bidirectional and tag characters, and halves of pairs."""

TokenText = Callable[[str, Sequence[int]], list[str] | None]
"""Maps a model and token ids to the text of each id, or to None without its tokenizer."""

Corners = list[float]


class Picture(TypedDict):
    """An image on the page."""

    name: str | None
    """Its name in `Pictures`; None if its pixels could not be read."""
    note: str
    size: list[int]
    region: Corners
    """The part of its source that it shows, in source pixels."""
    source: str


class Mark(TypedDict):
    """A box that is drawn over every picture of its source."""

    turn: int | None
    """The turn that it belongs to, counted from 1; None of the true box."""
    kind: Literal["true", "requested", "shown"]
    """The true box of the task, the box of a call, or the region that the tool showed."""
    box: Corners
    source: str
    label: str


class Piece(TypedDict, total=False):
    """Part of what a tool returned."""

    text: str
    picture: Picture


class Step(TypedDict):
    """A turn of a trajectory."""

    thought: str
    text: str
    calls: list[dict[str, str]]
    problems: list[str]
    answer: str | None
    results: list[dict[str, object]]
    dropped: str | None
    tokens: list[list[object]]
    """Text and log-probability of each token, where both are known."""


class Episode(TypedDict):
    """A trajectory with its task."""

    step: NotRequired[int]
    """The step of a training that it was sampled for."""
    advantage: NotRequired[float | None]
    """Its advantage in the group of its question, if a training noted one; None without reward."""

    before: NotRequired[str]
    """What was said of it before `saccade rescore`."""

    groups: NotRequired[list[str]]
    """The groups of its benchmark that it is in, which may be several."""

    id: str
    task: str
    sample: int
    family: str
    question: str
    choices: list[str]
    gold: str | None
    answer: str | None
    outcome: str
    stop: str
    error: str | None
    judge: str
    model: str
    reward: float | None
    terms: dict[str, float]
    """The terms of the reward, unweighted."""
    tools: list[str]
    numbers: dict[str, float | None]
    pictures: list[Picture]
    close_ups: list[Picture]
    marks: list[Mark]
    turns: list[Step]


def episode_of(
    task: Task,
    trajectory: Trajectory,
    pictures: Pictures,
    token_text: TokenText,
    *,
    step: int | None = None,
) -> Episode:
    """The data of one episode; its images are added to `pictures`.

    Args:
        task: Its question.
        trajectory: What became of it.
        pictures: The images of the page.
        token_text: Gives the text of token ids.
        step: The step of a training that it was sampled for.
    """
    shown = [_picture(image, pictures, question=True) for image in _question_images(trajectory)]
    best = max((look.iou for look in looks(task, trajectory)), default=None)
    score = trajectory.score
    episode: Episode = {
        "id": visible(trajectory.id),
        "task": visible(task.id),
        "sample": trajectory.sample,
        "family": visible(task.family),
        "question": visible(task.question),
        "choices": [visible(choice) for choice in task.choices],
        "gold": None if task.answer is None else visible(task.answer),
        "answer": None if trajectory.answer is None else visible(trajectory.answer),
        "outcome": _outcome(trajectory),
        "stop": trajectory.stop.value if trajectory.stop else "under way",
        "error": visible(trajectory.error) if trajectory.error else None,
        "judge": _judge(trajectory),
        "model": visible(_model_name(trajectory)),
        "reward": score.value if score else None,
        "terms": {visible(name): value for name, value in score.parts.items()} if score else {},
        "tools": sorted({visible(result.call.name) for result in trajectory.results}),
        "numbers": {
            "turns": len(trajectory.turns),
            "tool calls": len(trajectory.results),
            "response tokens": response_tokens(trajectory),
            "prompt tokens": prompt_tokens(trajectory),
            "IoU": best,
            "seconds": round(trajectory.seconds, 3),
        },
        "pictures": shown,
        "close_ups": _close_ups(task, pictures),
        "marks": [*_true_marks(task), *_model_marks(trajectory)],
        "turns": [_step(turn, pictures, token_text) for turn in trajectory.turns],
    }
    if step is not None:
        episode["step"] = step
    if ADVANTAGE in trajectory.annotations:
        noted = trajectory.annotations[ADVANTAGE]
        episode["advantage"] = float(noted) if isinstance(noted, int | float) else None
    earlier = before_rescoring(trajectory)
    if earlier is not None:
        reward = f", reward {earlier.score.value:g}" if earlier.score else ""
        episode["before"] = f"{_outcome(earlier)}{reward} ({_judge(earlier) or 'not judged'})"
    return episode


def visible(text: str) -> str:
    """The text with its hidden characters written out, cut at `MAX_TEXT`."""
    cut = text[:MAX_TEXT]
    written = _HIDDEN.sub(lambda found: f"\u27e8U+{ord(found[0]):04X}\u27e9", cut)
    left = len(text) - len(cut)
    return f"{written}\n[{left} more characters]" if left else written


def finite(content: object) -> object:
    """Data for JSON, with null for infinity and NaN, which JSON does not know."""
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, dict):
        return {key: finite(value) for key, value in content.items()}
    return [finite(value) for value in content] if isinstance(content, list | tuple) else content


def anchor(task: str, sample: int) -> str:
    """The fragment of a page's address that leads to an episode, not yet percent-encoded.

    It is made of what a run calls the episode, so that it holds for every page that shows it.
    """
    return f"{visible(task)}:{sample}"


def _outcome(trajectory: Trajectory) -> str:
    if trajectory.stop is None:
        return "under way"
    if trajectory.stop.value in ("aborted", "timeout"):
        return trajectory.stop.value
    correct = trajectory.verdict.correct if trajectory.verdict else None
    return {True: "correct", False: "incorrect", None: "unscored"}[correct]


def _model_name(trajectory: Trajectory) -> str:
    """The model of the last turn."""
    return model_name(trajectory.turns[-1].completion.model) if trajectory.turns else ""


def _judge(trajectory: Trajectory) -> str:
    verdict = trajectory.verdict
    return visible(f"{verdict.judge}: {verdict.reason}".strip(": ")) if verdict else ""


def _question_images(trajectory: Trajectory) -> list[Image]:
    parts = (part for message in trajectory.prompt for part in message.content)
    return [part for part in parts if isinstance(part, Image)]


def _picture(image: Image, pictures: Pictures, *, question: bool) -> Picture:
    name, note = None, ""
    try:
        name = pictures.add(image, question=question)
    except (ImageError, OSError) as error:
        note = visible(str(error))
    return {
        "name": name,
        "note": note,
        "size": list(image.size),
        "region": list(image.region),
        "source": image.source.digest,
    }


def _close_ups(task: Task, pictures: Pictures) -> list[Picture]:
    """The surroundings of each true box, which is a speck in a small view of a photograph."""
    found: list[Picture] = []
    for target in task.boxes:
        image = task.images[target.image - 1]
        try:
            name, region = pictures.close_up(image, target.box)
        except (ImageError, OSError):
            continue
        size = [round(region.width), round(region.height)]
        found.append(
            {
                "name": name,
                "note": "",
                "size": size,
                "region": list(region),
                "source": image.source.digest,
            }
        )
    return found


def _true_marks(task: Task) -> list[Mark]:
    return [
        {
            "turn": None,
            "kind": "true",
            "box": list(target.box),
            "source": task.images[target.image - 1].source.digest,
            "label": visible(target.label),
        }
        for target in task.boxes
    ]


def _model_marks(trajectory: Trajectory) -> list[Mark]:
    marks: list[Mark] = []
    images = _question_images(trajectory)
    for number, turn in enumerate(trajectory.turns, start=1):
        for result in turn.results:
            requested = _requested(result.call, images, trajectory.environment.coords)
            if requested is not None:
                image, box = requested
                marks.append(_mark("requested", image.to_source(box), image, number))
            for part in result.content:
                if isinstance(part, Image):
                    marks.append(_mark("shown", part.region, part, number))
                    images.append(part)
    return marks


def _mark(kind: Literal["requested", "shown"], box: Box, image: Image, turn: int) -> Mark:
    source = image.source.digest
    return {"turn": turn, "kind": kind, "box": list(box), "source": source, "label": ""}


def _requested(
    call: ToolCall, images: Sequence[Image], coords: CoordSpace
) -> tuple[Image, Box] | None:
    """The box that a call names, in pixels of the image that it names."""
    box, name = box_of(call.arguments.get("bbox_2d")), call.arguments.get("image", "image_1")
    place = re.fullmatch(r"image_(\d{1,4})", str(name))
    if box is None or max(map(abs, box)) >= MAX_DRAWN:
        return None
    if place is None or not 1 <= int(place[1]) <= len(images):
        return None
    image = images[int(place[1]) - 1]
    return image, coords.to_pixels(box, image.size)


def _step(turn: Turn, pictures: Pictures, token_text: TokenText) -> Step:
    return {
        "thought": visible(turn.action.thought or ""),
        "text": visible(turn.prefix + turn.completion.text),
        "calls": [_call(call) for call in turn.action.calls],
        "problems": [visible(f"{p.kind.value} {p.detail}".strip()) for p in turn.action.problems],
        "answer": None if turn.action.answer is None else visible(turn.action.answer),
        "results": [_returned(result, pictures) for result in turn.results],
        "dropped": turn.dropped,
        "tokens": _tokens(turn.completion, token_text),
    }


def _returned(result: ToolResult, pictures: Pictures) -> dict[str, object]:
    """What came of a call; of a search the hits as well, each with its picture."""
    pieces = [_piece(part, pictures) for part in result.content]
    returned: dict[str, object] = {
        "name": visible(result.call.name),
        "error": visible(result.error) if result.error is not None else None,
        "pieces": pieces,
    }
    found = found_in(result.data)
    if found is not None and found.hits and found.kind != "page":
        shown = [piece["picture"] for piece in pieces if "picture" in piece]
        pictured = len(shown) == sum(hit.thumbnail for hit in found.hits)
        left = iter(shown if pictured else ())
        returned["by"] = visible(found.provider)
        returned["hits"] = [
            _hit(hit, next(left, None) if hit.thumbnail else None) for hit in found.hits
        ]
        returned["others"] = [] if pictured else shown
    return returned


def _hit(hit: Hit, picture: Picture | None) -> dict[str, object]:
    score = "" if hit.score is None else f"score {hit.score:.4g}"
    facts = (hit.date, score, hit.document)
    return {
        "rank": hit.rank,
        "title": visible(hit.title),
        "url": visible(hit.url),
        "snippet": visible(hit.snippet),
        "facts": visible(", ".join(filter(None, facts))),
        "picture": picture,
    }


def _call(call: ToolCall) -> dict[str, str]:
    """A call whose code is shown as code, and whose other arguments are shown as JSON."""
    arguments = dict(call.arguments)
    code = arguments.pop("code", None)
    shown = {"name": visible(call.name)}
    if isinstance(code, str):
        shown["code"] = visible(code)
    if arguments or code is None:
        shown["arguments"] = visible(json.dumps(arguments, ensure_ascii=False))
    return shown


def _piece(part: Part, pictures: Pictures) -> Piece:
    if isinstance(part, Image):
        return {"picture": _picture(part, pictures, question=False)}
    return {"text": visible(part)}


def _tokens(completion: Completion, token_text: TokenText) -> list[list[object]]:
    ids, values = completion.token_ids, completion.log_probs
    if not ids or not values or len(ids) != len(values):
        return []
    texts = token_text(completion.model, ids)
    if texts is None:
        return []
    return [[visible(text), round(v, 4)] for text, v in zip(texts, values, strict=True)]
