"""The reader in the ordinary environment, on photographs that are drawn here."""

import numpy as np
import pytest
from building import a_task, plain
from PIL import Image as PILImage
from PIL import ImageDraw, ImageFont
from waiting import LIMIT_S

from saccade.config import validate, with_overrides
from saccade.errors import ConfigError
from saccade.images.image import Image
from saccade.policies.reader.evidence import similarity
from saccade.policies.reader.policy import ENVIRONMENT, ReaderOptions, ReaderPolicy
from saccade.recipe import Recipe, make_environment
from saccade.rollout import rollout
from saccade.tools import ocr
from saccade.types import Sampling, StopReason, Trajectory

pytest.importorskip("rapidocr", reason="install the extra 'ocr'")

CHOICES = ("MARKET", "HARBOR", "VELVET", "COMET")
OPTIONS = ReaderOptions(max_seconds=LIMIT_S)
READER = ReaderPolicy(OPTIONS)  # one for all: it reads what it has read before only once


@pytest.fixture(scope="module")
def photograph() -> Image:
    """Twelve megapixels; the word is 2.6 pixels high in a view of one."""
    rng = np.random.default_rng(0)
    coarse = PILImage.fromarray(rng.integers(90, 160, (40, 50, 3), dtype=np.uint8))
    image = coarse.resize((4000, 3000), PILImage.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    draw.rectangle((390, 290, 510, 325), fill=(240, 240, 230))
    draw.text((405, 295), "HARBOR", font=ImageFont.load_default(size=13), fill=(20, 20, 20))
    return Image.from_pixels(image)


async def ask(image: Image, *settings: str, choices: tuple[str, ...] = CHOICES) -> Trajectory:
    environment = make_environment(validate(Recipe, with_overrides({}, [*ENVIRONMENT, *settings])))
    task = a_task(image, "What word is on the sign?", choices=choices)
    return await rollout(READER, environment, task)


async def test_it_abstains_on_the_view_and_answers_after_looking_again(photograph: Image) -> None:
    view_only = await ask(photograph, "environment.limits.max_turns=1")
    assert view_only.stop is StopReason.NO_ACTION
    assert view_only.answer is None
    assert "environment.limits.max_turns=1" in (view_only.turns[0].action.thought or "")
    looking = await ask(photograph)
    assert looking.answer == "B. HARBOR"
    assert looking.turns[-1].completion.data["lines"][0]["text"] == "HARBOR"
    assert 1 <= len(looking.successes) <= 9
    assert "a rule that reads text, not a model" in (looking.turns[0].action.thought or "")
    assert all("not a model" in turn.completion.model for turn in looking.turns)
    assert all(turn.action.thought for turn in looking.turns)


@pytest.mark.parametrize(
    "settings",
    [("dialect.kind=native",), ("dialect.kind=plain",), ("environment.coords=relative_1000",)],
)
async def test_every_dialect_and_frame_will_do(
    photograph: Image, settings: tuple[str, ...]
) -> None:
    plain = await ask(photograph)
    other = await ask(photograph, *settings)
    assert other.answer == "B. HARBOR"
    last = [part.region for part in (plain.images[-1], other.images[-1])]
    assert last[0].iou(last[1]) > 0.95


async def test_without_options_the_first_line_is_the_text(photograph: Image) -> None:
    trajectory = await ask(photograph, choices=())
    assert trajectory.answer is not None
    assert trajectory.answer.splitlines()[0] == "HARBOR"
    line, *_ = trajectory.turns[-1].completion.data["lines"]
    assert (line["text"], line["image"]) == ("HARBOR", 1)
    x1, y1, x2, y2 = line["box"]
    assert 380 <= x1 < x2 <= 520
    assert 280 <= y1 < y2 <= 335


async def test_where_there_is_no_text_it_looks_on_and_abstains() -> None:
    trajectory = await ask(plain(3000, 2000, "#96785a"), "environment.limits.max_turns=3")
    assert trajectory.stop is StopReason.NO_ACTION
    assert len(trajectory.images) == 1 + 2
    assert "I would look on, but this is my last turn" in (
        trajectory.turns[-1].action.thought or ""
    )


@pytest.mark.parametrize(
    ("choices", "told"),
    [
        (("7", "12", "yes", "no"), False),
        (("7", "HARBOR"), True),
        (("STOP!", "Stop"), False),
        (("blue cars", "blue car"), False),
        (("LAKERS", "WARRIORS"), True),
    ],
)
async def test_where_no_option_can_be_told_by_text_nothing_is_read(
    choices: tuple[str, ...], told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []

    async def nothing(pixels: PILImage.Image, **options: object) -> ocr.Reading:
        read.append(pixels)
        return ocr.Reading(())

    monkeypatch.setattr(ocr, "read", nothing)
    photo = plain(300 + len("".join(choices)), 200)  # one that was not read before
    trajectory = await ask(photo, choices=choices)
    assert trajectory.stop is StopReason.NO_ACTION
    assert bool(read) == told
    thought = trajectory.turns[-1].action.thought or ""
    why = "There is nowhere left to look" if told else "No option can be told by text"
    assert why in thought


async def test_it_looks_everywhere_and_nowhere_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reading of twenty empty crops takes a minute: here its result is given."""

    async def nothing(pixels: PILImage.Image, **options: object) -> ocr.Reading:
        return ocr.Reading(())

    monkeypatch.setattr(ocr, "read", nothing)
    trajectory = await ask(plain(3000, 2000), "environment.limits.max_turns=21")
    assert trajectory.stop is StopReason.NO_ACTION
    regions = [image.region for image in trajectory.images[1:]]
    assert len(regions) == 4 + 16
    pairs = [(a, b) for n, a in enumerate(regions) for b in regions[:n]]
    assert max(a.iou(b) for a, b in pairs) < 0.5


async def test_the_next_turn_follows_from_the_trajectory_alone(photograph: Image) -> None:
    whole = await ask(photograph)
    policy = ReaderPolicy(OPTIONS)
    for n in reversed(range(len(whole.turns))):
        part = whole.model_copy(update={"turns": whole.turns[:n], "stop": None})
        again = await policy.act(part, Sampling())
        assert again.text == whole.turns[n].completion.text


async def test_without_the_zoom_tool_there_is_only_the_view(photograph: Image) -> None:
    recipe = validate(Recipe, {"tools": {}, **with_overrides({}, ENVIRONMENT)})
    task = a_task(photograph, choices=CHOICES)
    trajectory = await rollout(READER, make_environment(recipe), task)
    assert trajectory.stop is StopReason.NO_ACTION
    assert len(trajectory.turns) == 1
    assert "this run has no zoom tool" in (trajectory.turns[0].action.thought or "")


async def test_a_view_of_too_many_pixels_is_refused(photograph: Image) -> None:
    task = a_task(photograph)
    with pytest.raises(ConfigError, match=r"environment\.view\.max_pixels=1000000"):
        await rollout(READER, make_environment(Recipe()), task)


@pytest.mark.parametrize(
    ("option", "text", "fits"),
    [
        ("Coca-Cola", "CocaCola", True),
        ("SIGGRAPH", "SIGGRAPH23", True),
        ("KITCHEN", "NITCHEN", True),
        ("evian", "Evian", True),
        ("right", "PLEASE TURN UIGHT", False),
        ("23", "23", False),  # a number may be on any wall
        ("KITCHEN", "KIT", False),
        ("MARKET", "MARBLE", False),
        ("Fiji", "", False),
    ],
)
def test_an_option_is_found_in_a_line(option: str, text: str, fits: bool) -> None:
    assert (similarity(option, text) >= 85) is fits
