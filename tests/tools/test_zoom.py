"""What zoom_in and rotate accept, what they show, and what they tell a model that errs."""

import math
from typing import Any

import numpy as np
import pytest
from building import a_context
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage

from saccade.errors import ToolError
from saccade.images.geometry import Box, CoordSpace, PixelBudget
from saccade.images.image import Image
from saccade.tools.zoom import Rotate, ZoomIn
from saccade.types import Tool, ToolContext

BUDGET = PixelBudget(factor=14, min_pixels=196, max_pixels=100 * 196)


def coordinates(width: int, height: int) -> Image:
    """Red is x / 4, green is y / 4, in native pixels."""
    x, y = np.meshgrid(np.arange(width) // 4, np.arange(height) // 4)
    return Image.from_pixels(
        PILImage.fromarray(np.dstack([x, y, np.zeros_like(x)]).astype(np.uint8))
    )


PHOTO = coordinates(1000, 800)
VIEW = PHOTO.fit(PixelBudget(factor=14, max_pixels=40 * 40 * 25))


def context(*images: Image, coords: CoordSpace = CoordSpace.ABSOLUTE) -> ToolContext:
    return a_context(*(images or (VIEW,)), coords=coords, observation=BUDGET)


async def use(tool: Tool, arguments: dict[str, Any], where: ToolContext | None = None) -> Image:
    async with tool.open(where or context()) as call:
        return (await call(arguments)).content[0]


async def test_a_box_on_the_view_is_cut_from_the_photograph() -> None:
    scale = 1000 / VIEW.size.width
    crop = await use(ZoomIn(), {"bbox_2d": [50, 40, 90, 70], "label": "x"})
    assert crop.source is PHOTO.source
    expected = [50 * scale, 40 * 800 / VIEW.size.height, 90 * scale, 70 * 800 / VIEW.size.height]
    assert crop.region == pytest.approx(expected, abs=0.51)
    assert BUDGET.fit(crop.size) == crop.size


@pytest.mark.parametrize("coords", list(CoordSpace))
async def test_every_frame_selects_the_same_pixels(coords: CoordSpace) -> None:
    wanted = Box(VIEW.size.width * 0.25, VIEW.size.height * 0.5, VIEW.size.width * 0.5,
                 VIEW.size.height * 0.75)  # fmt: skip
    box = list(coords.from_pixels(wanted, VIEW.size))
    crop = await use(ZoomIn(), {"bbox_2d": box}, context(coords=coords))
    assert crop.region == pytest.approx((250, 400, 500, 600), abs=0.51)


async def test_a_crop_can_be_cropped_by_its_name() -> None:
    first = await use(ZoomIn(), {"bbox_2d": [0, 0, 100, 100]})
    half = [0, 0, first.size.width / 2, first.size.height]
    second = await use(ZoomIn(), {"bbox_2d": half, "image": "image_2"}, context(VIEW, first))
    assert second.source is PHOTO.source
    assert second.region.x2 == pytest.approx(first.region.x2 / 2, abs=1)
    assert second.region.y2 == first.region.y2


async def test_a_box_over_the_edge_is_clamped() -> None:
    crop = await use(ZoomIn(), {"bbox_2d": [-500, -500, 60, 10_000]})
    assert (crop.region.x1, crop.region.y1, crop.region.y2) == (0, 0, 800)


BAD_BOXES: list[Any] = [
    None, "0, 0, 10, 10", [1, 2, 3], [1, 2, 3, 4, 5], [0, 0, float("nan"), 9], {"x1": 0},
    [0, 0, float("inf"), 9], ["0", "0", "9", "9"], [True, False, True, True], [[0], 0, 9, 9],
    [0, 0, 10**400, 9], [], 7,
]  # fmt: skip


@pytest.mark.parametrize("box", BAD_BOXES, ids=repr)
async def test_what_is_no_box_is_explained(box: object) -> None:
    with pytest.raises(ToolError, match=r"four finite numbers \[x1, y1, x2, y2\], got"):
        await use(ZoomIn(), {"bbox_2d": box})


@pytest.mark.parametrize("box", [[9, 0, 9, 50], [50, 0, 9, 90], [5000, 0, 6000, 9], [0, 60, 50, 9]])
async def test_a_box_out_of_order_or_outside_tells_the_frame(box: list[float]) -> None:
    with pytest.raises(ToolError, match=r"x1 < x2 and y1 < y2 .* inside image_1 \(0 to \d+ by 0"):
        await use(ZoomIn(), {"bbox_2d": box})


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"bbox_2d": [0, 0, 50, 50], "image": "image_3"}, "the images are image_1"),
        ({"bbox_2d": [0, 0, 50, 50], "image": 1}, "the images are image_1"),
        ({"bbox_2d": [0, 0, 50, 50], "zoom": 2}, "unknown argument 'zoom'; it takes bbox_2d"),
        ({}, "got None"),
    ],
)
async def test_other_mistakes_are_explained(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ToolError, match=says):
        await use(ZoomIn(), arguments)


async def test_without_an_image_the_model_is_told_to_answer() -> None:
    with pytest.raises(ToolError, match="no image"):
        await use(ZoomIn(), {"bbox_2d": [0, 0, 9, 9]}, a_context())


async def test_the_minimum_side_counts_source_pixels() -> None:
    """10 pixels of the view are about 44 of the photograph: published code refused them."""
    crop = await use(ZoomIn(), {"bbox_2d": [50, 50, 60, 60]})
    assert crop.region.width > 30
    with pytest.raises(ToolError, match="each side must be more than 30"):
        await use(ZoomIn(), {"bbox_2d": [50, 50, 56, 60]})


async def test_the_boundary_of_the_minimum_side_is_as_published() -> None:
    native = context(PHOTO)
    with pytest.raises(ToolError, match="30x40 pixels"):
        await use(ZoomIn(), {"bbox_2d": [0, 0, 30, 40]}, native)
    assert (await use(ZoomIn(), {"bbox_2d": [0, 0, 31, 40]}, native)).region == (0, 0, 31, 40)


async def test_a_long_thin_box_is_refused() -> None:
    with pytest.raises(ToolError, match="closer to a square"):
        await use(ZoomIn(min_side=0), {"bbox_2d": [0, 0, 1000, 9]}, context(PHOTO))
    assert await use(ZoomIn(min_side=0), {"bbox_2d": [0, 0, 1000, 10]}, context(PHOTO))


corners = st.tuples(
    st.floats(-20, 150), st.floats(-20, 120), st.floats(22, 300), st.floats(22, 300)
)


@given(corners, st.booleans(), st.integers(0, 60))
@settings(max_examples=200)
async def test_grown_boxes_hold_the_asked_one_and_stay_inside(
    values: tuple[float, float, float, float], square: bool, min_side: int
) -> None:
    x, y, width, height = values
    box = Box(x, y, x + width, y + height)
    tool = ZoomIn(small="enlarge", square=square, min_side=min_side, max_ratio=1e9)
    region = (await use(tool, {"bbox_2d": list(box)})).region
    asked = VIEW.to_source(box.clamp(VIEW.size))
    assert region.intersect(Box(0, 0, 1000, 800)) == region
    assert min(region.width, region.height) >= min(min_side, 800)
    assert region.x1 <= asked.x1 + 1
    assert region.x2 >= asked.x2 - 1
    assert region.y1 <= asked.y1 + 1
    assert region.y2 >= asked.y2 - 1
    if square and max(asked.width, asked.height) <= 800:
        assert abs(region.width - region.height) <= 1


async def test_growing_keeps_the_centre_where_there_is_room() -> None:
    crop = await use(ZoomIn(square=True), {"bbox_2d": [300, 400, 500, 440]}, context(PHOTO))
    assert crop.region == (300, 320, 500, 520)


async def test_the_name_of_a_new_image_is_told_if_asked() -> None:
    async with ZoomIn(announce=True).open(context(PHOTO)) as call:
        _, text = (await call({"bbox_2d": [0, 0, 100, 100]})).content
    assert text == "image_2: [0, 0, 100, 100] of image_1."


@pytest.mark.parametrize("angle", [90, -270])
async def test_rotation_is_clockwise(angle: int) -> None:
    turned = await use(Rotate(), {"angle": angle}, context(PHOTO))
    red = np.asarray(turned.pixels())[..., 0].astype(int)
    assert red[0].mean() < red[-1].mean(), "the left edge comes to the top"


@pytest.mark.parametrize("angle", [None, "90", 1.5, math.nan, 10**9, True])
async def test_an_angle_is_a_whole_number(angle: object) -> None:
    with pytest.raises(ToolError, match="whole number of degrees"):
        await use(Rotate(), {"angle": angle})


async def test_an_image_too_large_to_turn_is_refused() -> None:
    with pytest.raises(ToolError, match="zoom in first"):
        await use(Rotate(max_source_pixels=1000), {"angle": 90})


def test_the_schema_requires_what_the_tool_needs() -> None:
    schema = ZoomIn().spec.parameters
    assert schema["required"] == ["bbox_2d"]
    assert "bbox_2d" in schema["properties"]  # type: ignore[operator]
    assert ZoomIn(min_side=4).spec != ZoomIn().spec, "options are part of the fingerprint"
