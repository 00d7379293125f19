"""`image_search`: an image or a part of it is searched with; pictures of results are shown."""

import io

import pytest
from building import a_context, noise, plain
from pydantic import JsonValue
from searching import Scripted, a_result_of, found

from saccade.errors import ToolError
from saccade.images.geometry import Box, CoordSpace, PixelBudget, Size
from saccade.images.image import Image
from saccade.images.source import Source
from saccade.search.found import Fetches, Results, found_in
from saccade.tools.search.base import MAX_PICTURE_PIXELS
from saccade.tools.search.image import ImageSearch, ImageSearchOptions
from saccade.types import ToolOutput

PHOTO = noise(600, 400)
SHOWN = PHOTO.fit(PixelBudget(max_pixels=300 * 200))


async def ask(
    provider: Scripted, *several: dict[str, JsonValue], regions: bool = True, **fields: object
) -> list[ToolOutput]:
    tool = ImageSearch(ImageSearchOptions(regions=regions), provider=provider)
    async with tool.open(a_context(SHOWN, plain(40, 40), **fields)) as call:
        return [await call(arguments) for arguments in several]


async def test_the_first_image_is_searched_with_at_the_resolution_of_its_source() -> None:
    provider = Scripted()
    await ask(provider, {})
    (query,) = provider.asked
    assert (query.kind, query.text, query.task_id, query.k) == ("image", "", "t", 5)
    assert query.image == PHOTO


async def test_a_region_is_cut_from_the_source() -> None:
    provider = Scripted()
    box = {"bbox_2d": [500, 0, 1000, 500]}
    await ask(provider, box, {"image": "image_2"}, coords=CoordSpace.RELATIVE_1000)
    first, second = (query.image for query in provider.asked)
    assert first == PHOTO.cut(Box(300, 0, 600, 200))
    assert second == plain(40, 40)


async def test_pictures_follow_their_hits_in_the_pixels_of_observations() -> None:
    large, small = noise(900, 700), noise(20, 30)
    results = found(
        a_result_of("One", picture=large, url="u"),
        a_result_of("None", snippet="s"),
        a_result_of("Two", picture=small),
    )
    budget = PixelBudget(min_pixels=56 * 56, max_pixels=112 * 112)
    (output,) = await ask(Scripted(lambda query: results), {}, observation=budget)
    assert output.content == (
        "3 results for image_1:\n1. One\n   u\n   picture 1 of 2:",
        large.fit(budget),
        "\n2. None\n   s\n3. Two\n   picture 2 of 2:",
        small.fit(budget),
    )
    kept = found_in(output.data or {})
    assert kept is not None
    assert [hit.thumbnail for hit in kept.hits] == [True, False, True]


def broken() -> Image:
    """A header that can be read, and pixels that cannot."""
    buffer = io.BytesIO()
    noise(64, 64).pixels().save(buffer, "JPEG")
    return Image.from_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])


async def test_a_picture_that_cannot_be_decoded_is_a_failed_fetch_and_aborts_nothing() -> None:
    results = Results(
        (a_result_of("Broken", picture=broken()), a_result_of("Whole", picture=noise(30, 30))),
        Fetches(succeeded=2, failed=1),
    )
    (output,) = await ask(Scripted(lambda query: results), {})
    assert output.content[0] == ("2 results for image_1:\n1. Broken\n2. Whole\n   picture 1 of 1:")
    kept = found_in(output.data or {})
    assert kept is not None
    assert kept.fetches == Fetches(succeeded=1, failed=2)


async def test_a_picture_of_a_hundred_megapixels_is_not_decoded() -> None:
    size = Size(10_000, 10_000)
    source = Source("0" * 64, "png", size, lambda: pytest.fail("it was read"), verbatim=True)
    huge = Image(source, Box(0, 0, *size), size)
    (output,) = await ask(Scripted(lambda query: found(a_result_of("Huge", picture=huge))), {})
    assert output.content == ("1 result for image_1:\n1. Huge",)
    assert size.area > MAX_PICTURE_PIXELS


async def test_that_nothing_was_found_is_told() -> None:
    (output,) = await ask(Scripted(), {})
    assert output.content == ("No results for the image. Try a text search, or answer without it.",)
    assert output.outcome == "nothing"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"image": "image_3"}, "there is no image 'image_3'; the images are image_1, image_2"),
        ({"image": 1}, "there is no image 1"),
        ({"bbox_2d": [1, 2, 3]}, "four finite numbers"),
        ({"bbox_2d": "all"}, "four finite numbers"),
        ({"bbox_2d": [50, 10, 40, 90]}, "x1 < x2"),
        ({"bbox_2d": [5000, 10, 6000, 90]}, "lie inside image_1"),
        ({"bbox_2d": [0, 0, 1, 100]}, "each side must have 8; choose a larger box"),
        ({"query": "Who?"}, "unknown argument 'query'; it takes bbox_2d, image"),
    ],
)
async def test_wrong_arguments_are_explained(
    arguments: dict[str, JsonValue], complaint: str
) -> None:
    provider = Scripted()
    with pytest.raises(ToolError, match=complaint):
        await ask(provider, arguments)
    assert provider.asked == []


async def test_without_an_image_there_is_nothing_to_search_with() -> None:
    async with ImageSearch(provider=Scripted()).open(a_context()) as call:
        with pytest.raises(ToolError, match="there is no image in this conversation"):
            await call({})


async def test_a_part_is_searched_with_once() -> None:
    provider = Scripted(lambda query: found(a_result_of("One")))
    whole: dict[str, JsonValue] = {"bbox_2d": [0, 0, SHOWN.size.width, SHOWN.size.height]}
    part: dict[str, JsonValue] = {"bbox_2d": [0, 0, 100, 100]}
    outputs = await ask(provider, {}, whole, part, part, {"image": "image_2"}, {"bbox_2d": None})
    assert [output.outcome for output in outputs] == [
        "done", "nothing", "done", "nothing", "done", "nothing",
    ]  # fmt: skip
    assert "You have searched with this part of image_1 before" in str(outputs[1].content[0])
    assert len(provider.asked) == 3
    await ask(provider, {})
    assert len(provider.asked) == 4, "another episode knows nothing of it"


async def test_published_the_tool_takes_no_arguments() -> None:
    tool = ImageSearch(ImageSearchOptions(regions=False), provider=Scripted())
    assert tool.spec.parameters == {"type": "object", "properties": {}, "required": []}
    assert tool.spec.options["regions"] is False
    for arguments in ({"image": "image_1"}, {"bbox_2d": None}, {"query": "x"}):
        with pytest.raises(ToolError, match="it takes no arguments; the whole first image"):
            await ask(Scripted(), arguments, regions=False)
    (output,) = await ask(Scripted(lambda query: found(a_result_of("One"))), {}, regions=False)
    assert output.outcome == "done"
