"""The canary: questions that tell what a model sees and does, asked of servers that see or lie."""

import asyncio
import itertools
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage
from pydantic import JsonValue
from seeing import NAMES, Seeing, read
from waiting import LIMIT_S

from saccade.canary.boxes import find_frame
from saccade.canary.dialects import repeat_turns, try_dialects
from saccade.canary.drawing import (
    COLOURS,
    digit_image,
    fits,
    number_image,
    size_of,
)
from saccade.canary.examine import examine_policy, lines_of
from saccade.canary.findings import Finding
from saccade.canary.frames import FRAMES, Frame, Located, Scale, targets, tell_frame
from saccade.canary.images import count_images, find_returned
from saccade.canary.legibility import find_legible
from saccade.canary.probe import Probe
from saccade.canary.reading import answer_of, box_in, colour_in, digit_in, number_in
from saccade.canary.vision import (
    Asked,
    Drawn,
    Question,
    Vision,
    World,
    at_least,
    look,
    look_briefly,
)
from saccade.canary.warning import blindness, knows_the_world, said_of
from saccade.canary.wire import (
    Wire,
    find_limit,
    find_prefix,
    find_refused,
    find_stop,
    find_tokens,
)
from saccade.config import Part
from saccade.embedded import folder_of
from saccade.images.geometry import Box, CoordSpace, PixelBudget, Size
from saccade.images.image import Image
from saccade.models.generate import request_turn, write_turns
from saccade.models.load import Stamp, load
from saccade.nano.spec import environment as nano_environment
from saccade.nano.spec import sections
from saccade.recipe import Recipe, make_environment, make_policy
from saccade.testing import ScriptedReply, ScriptedRequest, ScriptedServer
from saccade.types import Message, Sampling, Trajectory

SMALL: dict[str, JsonValue] = {"view": {"max_pixels": 60_000}, "limits": {"max_images": 4}}
"""An environment whose images are soon drawn, sent and read."""


def recipe_of(url: str, **sections: JsonValue) -> Recipe:
    policy: JsonValue = {"kind": "openai", "base_url": url, "model": "m", "backoff_s": 0.001,
                         "timeout_s": LIMIT_S}  # fmt: skip
    return Recipe.model_validate({"policy": policy, "environment": SMALL, **sections})


def on_probe(
    server: ScriptedServer, ask: Callable[[Probe], object], **sections: JsonValue
) -> object:
    """What comes of questions to a server, through the ordinary policy."""

    async def run() -> object:
        recipe = recipe_of(server.url, **sections)
        policy = make_policy(recipe)
        try:
            return await ask(Probe(policy, recipe))  # type: ignore[misc]
        finally:
            await policy.close()

    return asyncio.run(run())


def found(seeing: Seeing, ask: Callable[[Probe], object], **sections: JsonValue) -> Finding:
    with ScriptedServer(seeing) as server:
        result = on_probe(server, ask, **sections)
    assert isinstance(result, Finding)
    return result


def on_wire(
    at: ScriptedServer, ask: Callable[[Wire], object], **options: JsonValue
) -> list[Finding]:
    async def run() -> list[Finding]:
        table = {"base_url": at.url, "model": "m", "backoff_s": 0.001, **options}
        async with Wire(table, Sampling()) as wire:
            result = await ask(wire)  # type: ignore[misc]
        return result if isinstance(result, list) else [result]

    return asyncio.run(run())


# What is drawn, and what is read


def test_what_is_drawn_can_be_read_by_another_eye() -> None:
    """The oracle of the tests shares no code with the drawing but the typeface."""
    rng = random.Random(0)
    for digit in "0123456789":
        assert read(digit_image(rng, digit, Size(448, 336)).pixels()) == digit
        assert read(digit_image(rng, digit, Size(56, 56)).pixels()) == digit
    assert read(number_image(rng, "90316", Size(476, 308), height=12).pixels()) == "90316"
    assert set(COLOURS) == set(NAMES)


def test_digits_have_the_height_that_is_asked_for() -> None:
    for height in (8, 12, 24, 64):
        grey = np.asarray(
            number_image(random.Random(1), "0", Size(560, 420), height=height).pixels()
        )
        rows = np.flatnonzero((grey[..., 0] < 128).any(1))
        assert abs(rows[-1] + 1 - rows[0] - height) <= 2


def test_what_does_not_fit_is_not_drawn() -> None:
    assert not fits("00000", Size(56, 56), height=24)
    with pytest.raises(ValueError, match="does not fit"):
        number_image(random.Random(0), "00000", Size(56, 56), height=24)


@pytest.mark.parametrize("budget", [PixelBudget(), PixelBudget(factor=14, max_pixels=3136)])
def test_images_are_drawn_at_sizes_that_the_view_leaves_alone(budget: PixelBudget) -> None:
    for area, ratio in product((10, 150_000, 10**9), (0.5, 1.0, 4 / 3)):
        size = size_of(budget, area, ratio)
        assert budget.fit(size) == size


@pytest.mark.parametrize(
    ("reply", "digit"),
    [
        ("7", "7"), ("**7**", "7"), ("The digit is 7.", "7"), ("Seven", "7"), ("7 (seven)", "7"),
        ("<think>3 or 8?</think>7", "7"), ("<answer>7</answer>", "7"), (r"\boxed{7}", "7"),
        ("image_1 shows a 7", "7"), ("0 1 2 3 4 5 6 7 8 9", None), ("7 or 1", None), ("17", "17"),
        ("7.5", None), ("I cannot see any image.", None), ("", None), ("someone", None),
        ("There is only one digit here, a 7", "7"), ("\uff17", "7"), ("\u0667", "7"),
        ("\u56fe\u4e2d\u7684\u6570\u5b57\u662f7\u3002", "7"), ("It is seven or one", None),
    ],
)  # fmt: skip
def test_a_reply_names_one_digit_or_none(reply: str, digit: str | None) -> None:
    assert digit_in(answer_of(reply)) == digit


def test_colours_and_numbers_are_read_alike() -> None:
    assert colour_in("The disc is Red.") == "red"
    assert colour_in("red, green, blue, yellow, purple, black") is None
    assert colour_in("coloured") is None
    assert number_in("4 0 1 2 3") == number_in("40,123") == number_in("It is 40123.") == "40123"
    assert number_in("40123 or 40128") is None


@pytest.mark.parametrize(
    "reply",
    [
        '```json\n{"bbox_2d": [1, 2.5, 30, 40], "label": "it"}\n```', "[1, 2.5, 30, 40]",
        "(1, 2.5, 30, 40)", "(1,2.5),(30,40)", "<|box_start|>(1,2.5),(30,40)<|box_end|>",
        "x1=1, y1=2.5, x2=30, y2=40", "<1, 2.5, 30, 40>", "1 2.5 30 40",
        "1,2.5,30,40", '{"bbox_2d": ["1", "2.5", "30", "40"]}', "(1px, 2.5px, 30 px, 40 px)",
        "[1e0, 2.5, 3.0e1, 4e+01]", "[[1, 2.5], [30, 2.5], [30, 40], [1, 40]]",
    ],
)  # fmt: skip
def test_boxes_are_read_in_the_ways_in_which_models_write_them(reply: str) -> None:
    assert box_in(reply) == (1, 2.5, 30, 40)


@pytest.mark.parametrize("reply", ["", "no box", "[1, 2, 3]", "1 2 3 4 5", "[a, b, c, d]"])
def test_what_is_no_box_is_none(reply: str) -> None:
    assert box_in(reply) is None


# Whether a model sees


def test_the_chance_of_guessing_is_exact() -> None:
    """Against every outcome, counted."""
    chances = [0.1, 1 / 6, 0.1, 1 / 6, 0.5]
    for right in range(len(chances) + 1):
        expected = sum(
            float(np.prod([p if hit else 1 - p for p, hit in zip(chances, hits, strict=True)]))
            for hits in product((0, 1), repeat=len(chances))
            if sum(hits) >= right
        )
        assert at_least(right, chances) == pytest.approx(expected)
    assert at_least(0, []) == 1


BLANK = Image.from_pixels(PILImage.new("RGB", (8, 8)))


class Guesser:
    """Answers the canary's questions without looking."""

    def __init__(self, guess: Callable[[random.Random, Question], str | None], seed: int) -> None:
        self._guess, self._rng = guess, random.Random(f"guesser {seed}")
        self.asked = 0

    def pairs(self, seed: int) -> Iterator[tuple[Question, Question]]:
        rng = random.Random(seed)
        while True:
            for kinds in ("0123456789", tuple(COLOURS)):
                first, second = (
                    Question(BLANK, "?", right, 1 / len(kinds), digit_in)
                    for right in rng.sample(kinds, 2)
                )
                yield first, second

    async def answer(self, question: Question) -> Asked:
        self.asked += 1
        return Asked(question, self._guess(self._rng, question), "")


def any_kind(rng: random.Random, question: Question) -> str:
    return rng.choice("0123456789" if question.chance == 0.1 else list(COLOURS))


def the_usual(_: random.Random, question: Question) -> str:
    return "7" if question.chance == 0.1 else "red"


@pytest.mark.parametrize("guess", [any_kind, the_usual, lambda *_: None])
def test_a_model_that_guesses_is_blind(guess: Callable[..., str | None]) -> None:
    """A guesser is taken to see in 3 % at most, since there are three looks of 1 % each.

    Here 150 times; of 4000 it was 1.1 %.
    """

    async def looks() -> list[Vision]:
        return [await look_briefly(Guesser(guess, n), seed=n) for n in range(150)]

    seen = asyncio.run(looks())
    assert sum(not vision.blind for vision in seen) <= 4


def test_a_model_that_is_right_eight_times_in_ten_sees() -> None:
    def mostly(rng: random.Random, question: Question) -> str:
        return question.right if rng.random() < 0.8 else any_kind(rng, question)

    sitters = [Guesser(mostly, n) for n in range(100)]

    async def looks() -> list[Vision]:
        return [await look_briefly(sitter, seed=n) for n, sitter in enumerate(sitters)]

    seen = asyncio.run(looks())
    assert sum(vision.blind for vision in seen) <= 1
    assert sum(sitter.asked == 4 for sitter in sitters) > 75, "four questions are enough"


def test_a_pair_differs_in_nothing_but_the_image() -> None:
    probe = Probe(
        make_policy(recipe_of("http://127.0.0.1:9/v1")), recipe_of("http://127.0.0.1:9/v1")
    )
    for (one, other), _ in zip(Drawn(probe).pairs(3), range(6), strict=False):
        assert (one.text, one.image.size, one.chance) == (
            other.text,
            other.image.size,
            other.chance,
        )
        assert one.right != other.right
        assert one.image != other.image
    for (one, other), _ in zip(
        World(probe.policy, nano_environment()).pairs(3), range(2), strict=False
    ):
        assert (one.text, one.chance) == (other.text, other.chance)
        assert one.right != other.right


@pytest.mark.parametrize(
    ("seeing", "blind"),
    [(Seeing(), False), (Seeing(blind=True), True), (Seeing(keeps=(0, 0)), True)],
)
def test_a_model_behind_a_server_sees_or_is_blind(seeing: Seeing, blind: bool) -> None:
    with ScriptedServer(seeing) as server:
        vision = on_probe(server, lambda probe: look(Drawn(probe), pairs=6, seed=0))
    assert vision.blind is blind  # type: ignore[attr-defined]
    assert len(server.requests) == 12


def test_a_server_that_refuses_images_has_failed() -> None:
    def refuse(request: ScriptedRequest) -> str | ScriptedReply:
        return ScriptedReply(status=400, raw=b'{"error": {"message": "no images"}}')

    with ScriptedServer(refuse) as server:
        vision = on_probe(server, lambda probe: look_briefly(Drawn(probe), seed=0))
    assert vision.failed  # type: ignore[attr-defined]
    assert len(server.requests) == 4, "it is not asked again"


def test_a_model_that_thinks_too_long_is_not_taken_for_a_blind_one() -> None:
    def think(request: ScriptedRequest) -> ScriptedReply:
        return ScriptedReply("<think>Let me see", finish="length")

    with ScriptedServer(think) as server:
        vision = on_probe(server, lambda probe: look_briefly(Drawn(probe), seed=0))
    said = said_of(vision)  # type: ignore[arg-type]
    assert vision.mute  # type: ignore[attr-defined]
    assert said is not None
    assert "max_turn_tokens" in said


def test_a_local_model_is_shown_sizes_that_it_takes(tiny_qwen3_vl: Path) -> None:
    """Its patches make cells of 32 pixels, those of the view are 28."""
    policy: JsonValue = {"kind": "hf", "path": str(tiny_qwen3_vl)}
    limits: JsonValue = {"max_turn_tokens": 2, "max_images": 2}
    recipe = Recipe.model_validate({"policy": policy, "environment": {"limits": limits}})
    findings = asyncio.run(examine_policy(recipe, n=4))
    assert findings[0].part == "model"
    assert findings[0].lines == {"environment.view.factor": 32}
    (vision,) = (one for one in findings if one.part == "vision")
    assert vision.state == "undecided", "two tokens are cut before an answer"


# In which frame it writes boxes


def located(
    frame: Frame, *, noise: float = 0.0, resize: Callable[[Size], float] = lambda _: 1.0
) -> list[Located]:
    """Boxes that a model with this frame writes about targets of the canary's sizes."""
    rng, made = random.Random(5), []
    for size in (Size(476, 308), Size(560, 1092), Size(1344, 1792)):
        for target, _ in zip(targets(rng, size), range(2), strict=False):
            factor = resize(size)
            seen = Size(round(size.width * factor), round(size.height * factor))
            off = [rng.uniform(-noise, noise) * side for side in (*size, *size)]
            box = Box(*(v + o for v, o in zip(target, off, strict=True))).scale(factor, factor)
            made.append(Located(target, size, frame.from_pixels(box, seen)))
    return made


@pytest.mark.parametrize("frame", FRAMES, ids=str)
@pytest.mark.parametrize("noise", [0.0, 0.04])
def test_each_frame_is_told(frame: Frame, noise: float) -> None:
    told = tell_frame(located(frame, noise=noise))
    assert (told.frame, told.fits, told.resized) == (frame, 6, ())


@pytest.mark.parametrize("frame", FRAMES, ids=str)
def test_a_target_is_meant_by_one_frame_only(frame: Frame) -> None:
    for one in located(frame):
        assert one.written is not None
        others = [other for other in FRAMES if other != frame]
        assert max(one.target.iou(o.to_pixels(one.written, one.size)) for o in others) < 0.5


def test_relative_frames_do_not_mind_a_server_that_resizes() -> None:
    told = tell_frame(located(Frame(CoordSpace.RELATIVE_1000), resize=lambda _: 0.4))
    assert (told.frame, told.resized) == (Frame(CoordSpace.RELATIVE_1000), ())


def test_pixels_of_an_image_that_was_resized_are_told() -> None:
    def at_most_768(size: Size) -> float:
        return min(1.0, 768 / max(size))

    told = tell_frame(located(Frame(CoordSpace.ABSOLUTE), resize=at_most_768, noise=0.02))
    assert told.frame == Frame(CoordSpace.ABSOLUTE)
    assert [scale.size for scale in told.resized] == [Size(560, 1092), Size(1344, 1792)]
    for scale in told.resized:
        assert scale.factor == pytest.approx(at_most_768(scale.size), rel=0.1)
    assert not told.everywhere
    everywhere = tell_frame(located(Frame(CoordSpace.ABSOLUTE), resize=lambda _: 0.5))
    assert everywhere.everywhere, "no budget of pixels mends it"
    assert all(isinstance(scale, Scale) for scale in everywhere.resized)


@pytest.mark.parametrize("square", [100, 448, 768])
def test_pixels_of_a_square_are_not_taken_for_those_of_a_resized_image(square: int) -> None:
    boxes = [
        one._replace(written=tuple(
            square * value / side
            for value, side in zip(one.target, (*one.size, *one.size), strict=True)
        ))
        for one in located(FRAMES[0])
    ]  # fmt: skip
    told = tell_frame(boxes)
    assert (told.frame, told.resized) == (None, ())


@pytest.mark.parametrize(
    "written", [None, (1, 2, 3, 4), (0, 0, 0, 0), (9, 9, 1, 1), (0, 0, 1000, 1000)]
)
def test_boxes_that_fit_no_frame_tell_nothing(written: tuple[float, ...] | None) -> None:
    boxes = [one._replace(written=written) for one in located(FRAMES[0])]
    assert tell_frame(boxes).frame is None
    assert tell_frame([]).frame is None


@pytest.mark.parametrize(
    ("frame", "state", "coords", "says"),
    [
        ("absolute", "ok", "absolute", "boxes are absolute"),
        ("relative_1000", "warning", "relative_1000", "environment.coords=absolute misreads them"),
        ("relative_1", "warning", "relative_1", "misreads"),
        ("yx_1000", "warning", "relative_1000", "boxes are relative_1000 (mean"),
        ("stubborn_1000", "warning", None, "as [y1, x1, y2, x2] (mean"),
        ("nowhere", "undecided", None, "no frame explains"),
    ],
)  # fmt: skip
def test_the_frame_of_a_server_becomes_a_line(
    frame: str, state: str, coords: str | None, says: str
) -> None:
    view: JsonValue = {"view": {"max_pixels": 120_000}}
    one = found(Seeing(frame=frame), lambda probe: find_frame(probe, seed=0), environment=view)
    assert one.state == state
    assert one.lines.get("environment.coords") == coords
    assert says in one.text
    assert one.asked == 6
    assert one.replies


def test_a_server_that_resizes_is_found_by_its_boxes() -> None:
    view: JsonValue = {"view": {"max_pixels": 240_000}}
    shrinking = found(
        Seeing(longest=320), lambda probe: find_frame(probe, seed=0), environment=view
    )
    assert "336x700 as about 154x321" in shrinking.text
    assert shrinking.lines["environment.view.max_pixels"] == pytest.approx(154 * 321, rel=0.02)
    growing = found(Seeing(least=400), lambda probe: find_frame(probe, seed=0))
    assert growing.state == "warning"
    assert "environment.view.min_pixels" in growing.lines


# How many images, how small, in which dialect


@pytest.mark.parametrize(
    ("seeing", "says", "line"),
    [
        (Seeing(), "4 in one request", None),
        (Seeing(at_most=1), "1 in one request works, 2 are refused", 1),
        (Seeing(at_most=3), "2 in one request works, 4 are refused", 2),
        (Seeing(keeps=(-1, None)), "of 2 in one request only the last is seen", 1),
        (Seeing(keeps=(0, 1)), "of 2 in one request only the first is seen", 1),
        (Seeing(keeps=(0, 3)), "of 4 in one request only the first is seen", 2),
        (Seeing(keeps=(0, 0)), "neither the first nor the last", 1),
    ],
)
def test_images_that_are_refused_or_dropped_are_counted(
    seeing: Seeing, says: str, line: int | None
) -> None:
    one = found(seeing, lambda probe: count_images(probe, seed=0))
    assert says in one.text
    assert one.lines.get("environment.limits.max_images") == line
    assert one.state == ("ok" if line is None else "warning")


def test_the_smallest_legible_digits_show_a_server_that_shrinks() -> None:
    view: JsonValue = {"view": {"max_pixels": 800_000}}
    honest = found(Seeing(), lambda probe: find_legible(probe, seed=0), environment=view)
    assert honest.state == "ok"
    assert honest.text.count("px in") == 2
    shrinking = found(
        Seeing(longest=400), lambda probe: find_legible(probe, seed=0), environment=view
    )
    assert shrinking.state == "warning"
    assert shrinking.lines == {"environment.view.max_pixels": 504 * 392}
    assert shrinking.replies, "what could not be read is the evidence"


@pytest.mark.parametrize(
    ("seeing", "chosen", "says"),
    [
        (Seeing(), "deepeyes", {"dialect native": "parses calls into tool_calls"}),
        (Seeing(tool_parser=False), "deepeyes", {"dialect native": "hermes"}),
        (
            Seeing(parses=True),
            "deepeyes",
            {"dialect deepeyes": "were put back", "parser deepeyes": "were put back"},
        ),
        (Seeing(drops_thought=True), "deepeyes", {"parser deepeyes": "the thought was dropped"}),
        (Seeing(refuses=("stop",)), "native", {"dialect": "deepeyes is not kept, native is"}),
    ],
    ids=["honest", "no tool parser", "parses unasked", "drops thoughts", "no text dialect"],
)
def test_a_dialect_is_kept_or_what_took_it_is_named(
    seeing: Seeing, chosen: str, says: dict[str, str]
) -> None:
    async def ask(probe: Probe) -> list[Finding]:
        return [*await try_dialects(probe, seed=0), *await repeat_turns(probe)]

    with ScriptedServer(seeing) as server:
        findings = on_probe(server, ask)
    assert isinstance(findings, list)
    assert lines_of(findings) == {"dialect.kind": chosen}
    for part, text in says.items():
        assert text in next(one.text for one in findings if one.part == part)


def test_images_of_tools_are_seen_after_the_tool_message() -> None:
    assert found(Seeing(), lambda probe: find_returned(probe, "user", seed=0)).state == "ok"
    lost = found(Seeing(blind=True), lambda probe: find_returned(probe, "user", seed=0))
    assert lost.state == "warning"
    assert "not seen" in lost.text


# What a server takes, refuses and ignores


@pytest.mark.parametrize(
    ("refuses", "lines"),
    [
        (("max_tokens",), {"policy.rename": {"max_tokens": "max_completion_tokens"}}),
        (("max_tokens", "max_completion_tokens"), {"policy.omit": ["max_tokens"]}),
        (("temperature",), {"policy.omit": ["temperature"]}),
        (("seed", "stop"), {"policy.omit": ["seed", "stop"]}),
        ((), {}),
    ],
)
def test_a_refused_parameter_is_named_with_the_line_that_mends_it(
    refuses: Sequence[str], lines: dict[str, JsonValue]
) -> None:
    with ScriptedServer(Seeing(refuses=tuple(refuses))) as server:
        findings = on_wire(server, find_refused)
    assert findings[0].state == "ok"
    assert lines_of(findings) == lines
    for name in refuses[:1]:
        assert any(f"{name} is refused" in one.text and one.replies for one in findings)


@pytest.mark.parametrize("kind", ["openai", "dashscope", "gemini"])
def test_strict_servers_are_mended_by_options(kind: str) -> None:
    model = "o3" if kind == "openai" else "m"
    with ScriptedServer(Seeing(), like=kind) as server:  # type: ignore[arg-type]
        findings = on_wire(server, find_refused, model=model)
    assert findings[0].state == "ok", findings
    assert lines_of(findings)


def test_a_wrong_kind_of_server_is_named() -> None:
    with ScriptedServer(Seeing(), like="vllm") as server:
        (one, *_) = on_wire(server, find_refused, server="sglang")
    assert one.state == "warning"
    assert one.lines == {"policy.server": "vllm"}


@pytest.mark.parametrize("status", [401, 404, 500])
def test_a_server_that_does_not_answer_is_an_error(status: int) -> None:
    with ScriptedServer(lambda _: ScriptedReply(status=status, raw=b"{}")) as server:
        (one,) = on_wire(server, find_refused)
    assert one.state == "error"
    assert str(status) in one.text


@pytest.mark.parametrize(
    ("seeing", "stop", "limit"),
    [
        (Seeing(), "cut off", "finish_reason says so"),
        (Seeing(stops=False), "are ignored", "finish_reason says so"),
        (Seeing(limits=False), "cut off", "ignored"),
    ],
)
def test_stop_strings_and_limits_are_honoured_or_ignored(
    seeing: Seeing, stop: str, limit: str
) -> None:
    async def ask(wire: Wire) -> list[Finding]:
        return [await find_stop(wire), await find_limit(wire), await find_tokens(wire)]

    with ScriptedServer(seeing) as server:
        stopped, limited, tokens = on_wire(server, ask)
    assert stop in stopped.text
    assert limit in limited.text
    assert (stopped.state == "warning") is not seeing.stops
    assert (limited.state == "warning") is not seeing.limits
    assert "not told" in tokens.text


def test_a_turn_that_is_begun_is_continued_or_not() -> None:
    def at(reply: str, status: int = 200) -> str:
        script = ScriptedReply(reply) if status == 200 else ScriptedReply(status=status, raw=b"{}")
        with ScriptedServer(lambda _: script) as server:
            (one,) = on_wire(server, find_prefix)
        return one.text

    assert "continues_prefix=true" in at(" echo foxtrot golf hotel")
    assert "continues_prefix=true" in at("Here they are: alpha bravo charlie delta echo foxtrot")
    assert "not continued" in at("alpha bravo charlie delta echo foxtrot golf hotel")
    assert "refused" in at("", 400)
    assert "does not tell" in at("")


def test_a_server_that_wants_a_limit_in_every_request_is_asked_with_one() -> None:
    def answer(request: ScriptedRequest) -> str | ScriptedReply:
        if "max_tokens" not in request.body or "seed" in request.body:
            return ScriptedReply(status=422, raw=b'{"detail": "max_tokens: Field required"}')
        return "yes"

    with ScriptedServer(answer) as server:
        findings = on_wire(server, find_refused)
    assert lines_of(findings) == {"policy.omit": ["seed"]}


def test_a_turn_that_ends_of_itself_is_not_taken_for_one_that_was_stopped() -> None:
    def answer(request: ScriptedRequest) -> str:
        return "alpha" if "stop" in request.body else "alpha bravo charlie delta echo"

    with ScriptedServer(answer) as server:
        (one,) = on_wire(server, find_stop)
    assert one.state == "undecided"


# A server that goes away, or fails now and then


def examined(seeing: Seeing, **failing: int) -> list[Finding]:
    """What is found at a server that fails from the `after`-th request on, or each `every`-th."""
    count, after, every = itertools.count(1), failing.get("after"), failing.get("every")

    def answer(request: ScriptedRequest) -> str | ScriptedReply:
        number = next(count)
        if (after and number > after) or (every and number % every == 0):
            return ScriptedReply(status=429, raw=b'{"error": {"message": "slow down"}}')
        return seeing(request)

    with ScriptedServer(answer) as server:
        recipe = recipe_of(server.url, concurrency=1)
        assert recipe.policy is not None
        policy = Part.model_validate({**recipe.policy.model_dump(), "max_retries": 0})
        return asyncio.run(examine_policy(recipe.model_copy(update={"policy": policy}), n=4))


@pytest.mark.parametrize(
    ("after", "measured"), [(0, []), (5, ["server"]), (13, ["server", "vision"])]
)
def test_nothing_is_claimed_of_a_server_that_went_away(after: int, measured: list[str]) -> None:
    findings = examined(Seeing(), after=after or -1, every=0 if after else 1)
    *before, gone = findings
    assert (gone.part, gone.state) == ("server", "error")
    assert "slow down" in gone.text
    assert set(measured) <= {one.part for one in before}
    assert all(one.state == "ok" and not one.lines for one in before)


def test_what_fails_now_and_then_gives_no_lines_that_narrow_a_run() -> None:
    findings = examined(Seeing(), every=7)
    assert not {"environment.limits.max_images", "environment.view.max_pixels"} & {
        *lines_of(findings)
    }
    assert next(one.state for one in findings if one.part == "images") in ("ok", "undecided")


# nano behind a real server


@cache
def nano() -> Stamp:
    return load(str(folder_of("nano-agent")))


class NanoServer:
    """The local model behind HTTP: its own renderer, sampler and weights."""

    def __init__(self, *, drops_images: bool = False) -> None:
        self._loaded = nano()
        self._record = nano_environment().record
        self._drops_images = drops_images
        self._lock = threading.Lock()

    def __call__(self, request: ScriptedRequest) -> ScriptedReply:
        images = iter(Image.from_bytes(data) for data in request.image_bytes)
        trajectory = Trajectory(
            id="t", task_id="t", environment=self._record,
            prompt=tuple(self._message(message, images) for message in request.messages),
        )  # fmt: skip
        stop, knows = request.body.get("stop"), request.messages[0]["role"] == "system"
        sampling = Sampling(
            max_tokens=min(int(str(request.body.get("max_tokens", 64))), 64 if knows else 2),
            stop=tuple(map(str, stop)) if isinstance(stop, list) else (),
        )
        with self._lock:
            (done,) = write_turns(self._loaded, [request_turn(self._loaded, trajectory, sampling)])
        text = done.text
        for end in sampling.stop:
            text = text.removesuffix(end)
        return ScriptedReply(text, finish=done.finish)

    def _message(self, message: dict[str, JsonValue], images: Iterator[Image]) -> Message:
        content = message["content"]
        parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
        shown: list[str | Image] = []
        for part in parts:
            assert isinstance(part, dict)
            if part["type"] == "text":
                shown.append(str(part["text"]))
            elif (image := next(images)) and not self._drops_images:
                shown.append(image)
        return Message(role=message["role"], content=tuple(shown))  # type: ignore[arg-type]


WORLD: JsonValue = {"kind": "world", "family": "read", "n": 2}


def nano_recipe(url: str, model: str = "nano-agent") -> Recipe:
    policy: JsonValue = {"kind": "openai", "base_url": url, "model": model, "backoff_s": 0.001}
    return Recipe.model_validate({"policy": policy, "tasks": WORLD, **sections()})


def test_nano_behind_a_server_sees_its_own_world_whatever_it_is_called_there() -> None:
    with ScriptedServer(NanoServer()) as server:
        findings = asyncio.run(examine_policy(nano_recipe(server.url, model="m"), n=4))
    assert not any(one.state == "error" for one in findings), "drawings are not held against it"
    by_part = {one.part: one for one in findings}
    assert by_part["vision"].state == "ok"
    assert by_part["frame"].lines == {"environment.coords": "absolute"}
    assert by_part["max_tokens"].text == "cuts the turn, and finish_reason says so"


def said_before_a_run(recipe: Recipe) -> str | None:
    async def ask() -> str | None:
        policy = make_policy(recipe)
        try:
            return await blindness(recipe, policy, make_environment(recipe))
        finally:
            await policy.close()

    return asyncio.run(ask())


def test_a_server_that_drops_the_images_of_nano_is_found_before_a_run() -> None:
    with ScriptedServer(NanoServer(drops_images=True)) as server:
        said = said_before_a_run(nano_recipe(server.url))
    assert said is not None
    assert "seems blind" in said


def test_before_tasks_of_the_world_a_model_may_know_nothing_else() -> None:
    """Here the server has another name for nano, which reads no drawings."""
    with ScriptedServer(NanoServer()) as server:
        assert said_before_a_run(nano_recipe(server.url, model="m")) is None
    assert len(server.requests) >= 8 + 4


def test_embedded_models_are_known_by_name_wherever_they_are_served() -> None:
    assert knows_the_world("nano-agent")
    assert knows_the_world("org/nano-sft")
    assert knows_the_world(str(folder_of("nano-base")))
    assert not knows_the_world("Qwen/Qwen2.5-VL-7B-Instruct")
