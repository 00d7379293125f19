"""What colours are shown: profiles, transparency, and levels that are not eight bits deep."""

import io

import numpy as np
import pytest
from building import a_task, played, zoom_text
from pictures import chunk, encoded, scene, turned
from PIL import Image as PILImage
from PIL import ImageCms, ImageDraw

from saccade.dialects.deepeyes import DeepEyes
from saccade.env import Environment
from saccade.errors import ImageError
from saccade.images.color import Color
from saccade.images.geometry import Box, PixelBudget
from saccade.images.image import Image
from saccade.tools.zoom import ZoomIn
from saccade.types import Task

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def swapped() -> bytes:
    """A profile with red and green exchanged: names in the table of tags (ICC.1:2022, 7.3)."""
    data = SRGB
    for old, new in ((b"rXYZ", b"----"), (b"gXYZ", b"rXYZ"), (b"----", b"gXYZ")):
        data = data.replace(old, new)
    return data


def grey_profile() -> bytes:
    """A grey profile of gamma 1: its middle is lighter (ICC.1:2022, 7.2, 10.6 and 10.31)."""
    tags = {
        b"wtpt": b"XYZ \0\0\0\0" + bytes.fromhex("0000f6d6000100000000d32d"),
        b"kTRC": b"curv\0\0\0\0\0\0\0\0",
    }
    table, body, place = b"", b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += name + (place + len(body)).to_bytes(4, "big") + len(value).to_bytes(4, "big")
        body += value
    header = bytearray(128)
    header[0:4] = (place + len(body)).to_bytes(4, "big")
    header[8:24] = b"\x04\x30\0\0mntrGRAYXYZ "
    header[36:40] = b"acsp"
    header[68:80] = bytes.fromhex("0000f6d6000100000000d32d")
    return bytes(header) + len(tags).to_bytes(4, "big") + table + body


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("JPEG", {"quality": 100, "subsampling": 0}), ("TIFF", {}),
     ("WEBP", {"lossless": True}), ("AVIF", {"quality": 100, "subsampling": "4:4:4"})],
)  # fmt: skip
def test_a_profile_is_converted_in_every_container(kind: str, options: dict[str, object]) -> None:
    red = PILImage.new("RGB", (16, 16), (250, 10, 10))
    image = Image.from_bytes(encoded(red, kind, icc_profile=swapped(), **options))
    assert image.pixels().getpixel((8, 8)) == pytest.approx((10, 250, 10), abs=12)
    stored = image.shown_in(Color.AS_STORED)
    assert stored.pixels().getpixel((8, 8)) == pytest.approx((250, 10, 10), abs=12)
    assert image != stored
    assert not image.source.verbatim, "decoders disagree on it"


def test_views_crops_and_records_keep_how_colours_are_shown() -> None:
    image = Image.from_bytes(encoded(scene(), icc_profile=swapped())).shown_in(Color.AS_STORED)
    crop = image.fit(PixelBudget()).crop(Box(0, 0, 28, 28)).native()
    assert crop.pixels().tobytes() == scene().crop(tuple(map(int, crop.region))).tobytes()
    record = Task(id="t", prompt=(crop,)).model_dump_json()
    files = {image.source.name: image.source.encoded()}
    (again,) = Task.model_validate_json(record, context={"images": files.__getitem__}).images
    assert again == crop
    assert again.pixels().tobytes() == crop.pixels().tobytes()


async def test_an_environment_shows_views_and_crops_in_its_colours() -> None:
    photo = Image.from_bytes(encoded(PILImage.new("RGB", (200, 200), "red"), icc_profile=swapped()))
    task, shown = a_task(photo, "?"), {}
    for color in Color:
        environment = Environment(DeepEyes(), [ZoomIn()], color=color)
        turns = (zoom_text(10, 10, 90, 90), "<answer>x</answer>")
        done = await played(*turns, task=task, environment=environment)
        assert done.environment.color is color
        crop = done.turns[0].observation[0].content[1]
        view, inside = done.images[0].pixels(), crop.pixels()
        assert view.getpixel((5, 5)) == inside.getpixel((5, 5))
        shown[color] = (view.getpixel((5, 5)), environment.fingerprint)
    assert shown[Color.AS_STORED][0] == (255, 0, 0)
    assert shown[Color.SRGB][0] == pytest.approx((0, 255, 0), abs=3)
    assert shown[Color.SRGB][1] != shown[Color.AS_STORED][1]


def test_srgb_under_any_name_leaves_the_file_alone() -> None:
    data = encoded(scene(), icc_profile=SRGB)
    image = Image.from_bytes(data)
    assert image.pixels().tobytes() == scene().tobytes()
    assert image.source.verbatim
    assert image.source.encoded() == data


def test_a_grey_profile_is_converted() -> None:
    grey = PILImage.new("L", (8, 8), 128)
    for pixels in (grey, grey.convert("LA")):
        image = Image.from_bytes(encoded(pixels, icc_profile=grey_profile()))
        assert image.pixels().getpixel((4, 4)) == pytest.approx((188, 188, 188), abs=2)


@pytest.mark.parametrize("profile", [b"no profile", SRGB[:300], bytes(4 * 2**20 + 1)])
def test_a_broken_profile_is_left_out_with_a_note(profile: bytes) -> None:
    data = encoded(scene(), "TIFF", icc_profile=profile)
    with pytest.warns(UserWarning, match=r"photo: colours are shown as stored: a .*profile"):
        image = Image.from_bytes(data, name="photo")
    assert image.pixels().tobytes() == scene().tobytes()


def test_a_profile_for_another_kind_of_pixels_is_left_out_with_a_note() -> None:
    data = encoded(scene().convert("L"), icc_profile=swapped())
    with pytest.warns(UserWarning, match="a profile for RGB pixels in a file of L pixels"):
        image = Image.from_bytes(data)
    assert image.pixels().tobytes() == scene().convert("L").convert("RGB").tobytes()


def written(ink: object, mode: str = "RGBA") -> PILImage.Image:
    """A text on nothing."""
    page = PILImage.new(mode, (120, 60), (0,) * len(mode))
    ImageDraw.Draw(page).text((10, 20), "SACCADE", fill=ink)
    return page


@pytest.mark.parametrize(
    ("ink", "ground"),
    [((0, 0, 0, 255), 255), ((255, 255, 255, 255), 0), ((255, 255, 0, 255), 0),
     ((0, 0, 200, 255), 255), ((200, 200, 200, 255), 0), ((250, 250, 250, 90), 0)],
)  # fmt: skip
@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_a_text_on_nothing_is_legible(
    ink: tuple[int, ...], ground: int, kind: str, options: dict[str, object]
) -> None:
    image = Image.from_bytes(encoded(written(ink), kind, **options))
    grey = np.asarray(image.pixels().convert("L"), int)
    assert grey[0, 0] == ground
    assert np.abs(grey - ground).max() > 60


def test_the_ground_is_the_same_in_the_view_and_in_every_crop() -> None:
    page = written((255, 255, 255, 255))
    page.paste((0, 0, 0, 255), (100, 40, 110, 50))
    image = Image.from_bytes(encoded(page))
    dark = image.crop(Box(96, 36, 116, 56))
    assert dark.pixels().getpixel((0, 0)) == image.pixels().getpixel((0, 0)) == (0, 0, 0)


@pytest.mark.parametrize("mode", ["LA", "P", "RGB", "L"])
def test_transparency_of_every_kind_is_seen(mode: str) -> None:
    """Alpha, a palette with a clear entry, one clear colour (PNG specification, 11.3.1.1)."""
    if mode == "LA":
        data = encoded(written((255, 255), "LA"))
    else:
        clear = {"P": 0, "L": 0, "RGB": (0, 0, 0)}[mode]
        page = PILImage.new(mode, (120, 60), clear)
        if mode == "P":
            page.putpalette([10, 200, 10, 255, 255, 255])
        ImageDraw.Draw(page).text((10, 20), "SACCADE", fill=1 if mode == "P" else "white")
        page.putpixel((119, 59), 1 if mode == "P" else 255 if mode == "L" else (255, 255, 255))
        data = encoded(page, transparency=clear)
    image = Image.from_bytes(data)
    assert image.pixels().getpixel((0, 0)) == (0, 0, 0)
    assert np.asarray(image.pixels()).max() > 240
    assert not image.source.verbatim


def test_one_clear_level_of_sixteen_bits_is_seen() -> None:
    levels = np.full((8, 8), 1000, np.uint16)
    levels[0, 0] = 65535
    plain = encoded(PILImage.fromarray(levels))
    at = plain.index(b"IDAT") - 4
    data = plain[:at] + chunk(b"tRNS", (65535).to_bytes(2, "big")) + plain[at:]
    shown = Image.from_bytes(data).pixels()
    assert shown.getpixel((0, 0)) == (255, 255, 255)
    assert shown.getpixel((1, 1)) == (4, 4, 4)


def test_an_opaque_picture_with_an_alpha_channel_is_as_without() -> None:
    image = Image.from_bytes(encoded(scene().convert("RGBA")))
    assert image.pixels().tobytes() == scene().tobytes()


@pytest.mark.parametrize(
    ("levels", "shown"),
    [
        (np.array([[0, 257, 65535]], np.uint16), [0, 1, 255]),
        (np.array([[0, 65535, 32768]], np.int32), [0, 255, 128]),
        (np.array([[0, 0.5, 1]], np.float32), [0, 128, 255]),
        (np.array([[0, 127, 255]], np.float32), [0, 127, 255]),
        (np.array([[-0.001, 0.5, 1.001]], np.float32), [0, 128, 255]),
        (np.array([[0, 127, 255]], np.int32), [0, 127, 255]),
    ],
)
def test_deep_levels_are_scaled(levels: np.ndarray, shown: list[int]) -> None:
    image = Image.from_bytes(encoded(PILImage.fromarray(levels), "TIFF"))
    assert np.asarray(image.pixels())[0, :, 0].tolist() == shown


@pytest.mark.parametrize(
    "levels",
    [np.array([[0, 70000]], np.int32), np.array([[-1, 5]], np.int32),
     np.array([[0, 300]], np.float32), np.array([[0, 3.7]], np.float32),
     np.array([[-0.5, 0.5]], np.float32),
     np.array([[np.nan, 0.5]], np.float32), np.array([[np.inf, 0.5]], np.float32)],
)  # fmt: skip
def test_levels_without_a_known_white_are_refused(levels: np.ndarray) -> None:
    image = Image.from_bytes(encoded(PILImage.fromarray(levels), "TIFF"), name="depth.tif")
    with pytest.raises(ImageError, match=r"depth\.tif: levels from .* expected 0 to"):
        image.pixels()


def test_lab_and_cmyk_are_shown_as_colours() -> None:
    red = PILImage.new("RGB", (8, 8), (220, 30, 30))
    lab = ImageCms.applyTransform(
        red,
        ImageCms.buildTransform(
            ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
        ),
    )
    for data in (encoded(lab, "TIFF"), encoded(red.convert("CMYK"), "JPEG", quality=100)):
        shown = Image.from_bytes(data).pixels().getpixel((4, 4))
        assert shown == pytest.approx((220, 30, 30), abs=6)


def test_a_profile_a_turn_and_transparency_together() -> None:
    page = scene().convert("RGBA")
    page.putpixel((0, 0), (0, 0, 0, 0))
    data = encoded(page, exif=turned(6), icc_profile=swapped())
    image = Image.from_bytes(data)
    assert image.size == image.pixels().size == (32, 48)
    stored = PILImage.open(io.BytesIO(data)).convert("RGB").transpose(PILImage.Transpose.ROTATE_270)
    exchanged = np.asarray(stored, int)[20:30, 5:15, [1, 0, 2]]
    shown = np.asarray(image.pixels(), int)[20:30, 5:15]
    assert np.abs(shown - exchanged).max() < 16
