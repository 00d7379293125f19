"""The Python tool: a notebook for each episode, images as variables, results as observations."""

import pytest
from PIL import Image as PILImage
from pydantic import JsonValue

from saccade.env import Environment
from saccade.errors import ToolError
from saccade.geometry import CoordSpace, PixelBudget
from saccade.image import Image
from saccade.tools.python import Python
from saccade.types import Part, ToolContext

BUDGET = PixelBudget(factor=14, min_pixels=400, max_pixels=56 * 56)
PHOTO = Image.from_pixels(PILImage.new("RGB", (1000, 500), (200, 100, 50)))


def context(*images: Image) -> ToolContext:
    return ToolContext(images=list(images), coords=CoordSpace.ABSOLUTE, observation=BUDGET, seed=3)


async def ran(*codes: str, images: tuple[Image, ...] = (PHOTO,)) -> list[tuple[Part, ...]]:
    async with Python().open(context(*images)) as call:
        return [await call({"code": code}) for code in codes]


async def test_what_a_cell_did_is_told_as_published() -> None:
    """Layout: DeepEyesV2, deepeyesv2.py, `Code execution result` (its header is the dialect's)."""
    ((shown,),) = await ran("print('hi')\n6 * 7")
    assert shown == "stdout:\n```hi\n42```\n\nstderr:\n``````"
    ((failed,),) = await ran("1 / 0")
    assert isinstance(failed, str)
    assert "ZeroDivisionError" in failed.partition("stderr:")[2]


async def test_images_are_there_at_their_native_size() -> None:
    view = PHOTO.fit(BUDGET)
    assert view.size.area <= 56 * 56
    crop = view.crop(view.region.__class__(0, 0, 20, 10)).fit(BUDGET)
    ((text,),) = await ran(
        "image_1.size, image_2.size, image_1.getpixel((9, 9))", images=(view, crop)
    )
    assert "((1000, 500), " in text
    assert "(200, 100, 50))" in text


async def test_images_come_back_fitted_and_count_from_then_on() -> None:
    seen = context(PHOTO)
    async with Python().open(seen) as call:
        text, figure = await call({"code": "image_1.crop((0, 0, 700, 300))"})
        assert isinstance(figure, Image)
        assert figure.size.area <= 56 * 56
        assert str(text).endswith("Images:\n")
        seen.images.append(figure)  # type: ignore[attr-defined]
        (text,) = await call({"code": "image_2.size"})
        assert "(700, 300)" in str(text)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [({}, "code must be text, got None"), ({"code": 3}, "got 3"), ({"code": "1", "x": 1}, "'x'"),
     ({"code": "#" * 200_000}, "200,000 characters")],
)  # fmt: skip
async def test_what_is_no_cell_is_the_models_mistake(
    arguments: dict[str, JsonValue], match: str
) -> None:
    async with Python().open(context()) as call:
        with pytest.raises(ToolError, match=match):
            await call(arguments)


async def test_a_killed_cell_is_an_observation() -> None:
    (killed,), (after,) = await ran("import os; os._exit(1)", "image_1.size")
    assert "the process of the session ended" in str(killed)
    assert "(1000, 500)" in str(after)


def test_mode_and_versions_are_in_the_fingerprint() -> None:
    from saccade.dialects.deepeyes import DeepEyes

    record = Environment(DeepEyes(), [Python()]).record
    isolation = record.tools[0].options["isolation"]
    assert isolation["mode"] in ("namespaces", "landlock")  # type: ignore[index, call-overload]
    assert isolation["libraries"]["numpy"]  # type: ignore[index, call-overload]
