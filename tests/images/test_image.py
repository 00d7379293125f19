"""Files of every kind, hostile files, and where a crop's pixels come from."""

import contextlib
import io
import os
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from building import a_task
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage

from saccade.errors import BoxError, ImageError
from saccade.images.geometry import Box, PixelBudget, Size
from saccade.images.image import Image
from saccade.types import Task


def encoded(pixels: PILImage.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    pixels.save(buffer, kind, **options)
    return buffer.getvalue()


def coordinates(width: int, height: int) -> PILImage.Image:
    """Red is x, green is y: a pixel's colour says where it comes from."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return PILImage.fromarray(np.dstack([x, y, np.zeros_like(x)]).astype(np.uint8))


fractions = st.tuples(*[st.floats(0, 1)] * 4)


def box_in(size: Size, parts: tuple[float, float, float, float]) -> Box:
    x1, x2 = sorted((parts[0] * size.width, parts[2] * size.width))
    y1, y2 = sorted((parts[1] * size.height, parts[3] * size.height))
    x1, y1 = min(x1, size.width - 1e-3), min(y1, size.height - 1e-3)
    return Box(x1, y1, max(x2, x1 + 1e-3), max(y2, y1 + 1e-3))


@given(fractions, fractions)
@settings(max_examples=150)
def test_a_crop_of_a_crop_shows_the_source_pixels(
    first: tuple[float, float, float, float], second: tuple[float, float, float, float]
) -> None:
    budget = PixelBudget(factor=4, min_pixels=16, max_pixels=1600)
    image = Image.from_pixels(coordinates(200, 150)).fit(budget)
    crop = image.crop(box_in(image.size, first)).fit(budget)
    inner = crop.crop(box_in(crop.size, second))
    x1, y1, x2, y2 = map(int, inner.region)
    assert inner.size == (x2 - x1, y2 - y1)
    shown = np.asarray(inner.pixels())
    assert np.array_equal(shown[..., 0], np.tile(np.arange(x1, x2), (y2 - y1, 1)))
    assert np.array_equal(shown[..., 1], np.tile(np.arange(y1, y2)[:, None], (1, x2 - x1)))


@given(fractions, fractions)
@settings(max_examples=150)
def test_boxes_map_to_the_source_and_back(
    first: tuple[float, float, float, float], box: tuple[float, float, float, float]
) -> None:
    image = Image.from_pixels(coordinates(200, 150)).fit(PixelBudget(factor=4, max_pixels=2**14))
    crop = image.crop(box_in(image.size, first)).fit(PixelBudget(factor=4, max_pixels=2**14))
    wanted = box_in(crop.size, box)
    assert crop.from_source(crop.to_source(wanted)) == pytest.approx(wanted, abs=1e-6)
    assert crop.to_source(Box(0, 0, *crop.size)) == pytest.approx(crop.region)


def test_a_view_is_resampled_once_from_full_resolution() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    source = PILImage.fromarray(noise)
    shown = Image.from_pixels(source).fit(PixelBudget(factor=4, min_pixels=400, max_pixels=800))
    crop = shown.crop(Box(0, 0, shown.size.width / 2, shown.size.height)).fit(
        PixelBudget(factor=4, min_pixels=400, max_pixels=800)
    )
    expected = source.crop((0, 0, 60, 90)).resize(crop.size, PILImage.Resampling.BICUBIC)
    assert np.array_equal(np.asarray(crop.pixels()), np.asarray(expected))


@pytest.mark.parametrize(
    "box",
    [Box(5, 5, 5, 9), Box(9, 5, 5, 9), Box(200, 0, 300, 9), Box(float("nan"), 0, 5, 5),
     Box(0, 0, float("inf"), 5)],
)  # fmt: skip
def test_a_box_that_selects_nothing_is_refused(box: Box) -> None:
    with pytest.raises(BoxError):
        Image.from_pixels(coordinates(100, 100)).crop(box)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(orientation: int) -> None:
    upright = coordinates(40, 20)
    inverse = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = upright if orientation == 1 else upright.transpose(inverse[orientation])
    exif = PILImage.Exif()
    exif[0x0112] = orientation
    image = Image.from_bytes(encoded(stored, "PNG", exif=exif))
    assert image.size == (40, 20)
    assert np.array_equal(np.asarray(image.pixels()), np.asarray(upright))


def test_a_rotated_file_is_not_sent_as_it_is() -> None:
    exif = PILImage.Exif()
    exif[0x0112] = 6
    data = encoded(coordinates(40, 20), "JPEG", exif=exif)
    sent = Image.from_bytes(data).encoded()
    assert sent.data != data
    assert PILImage.open(io.BytesIO(sent.data)).size == (20, 40)


def test_a_plain_file_within_the_budget_keeps_its_bytes() -> None:
    data = encoded(coordinates(56, 56), "JPEG")
    image = Image.from_bytes(data).fit(PixelBudget())
    assert image.encoded() == (data, "image/jpeg")
    smaller = image.fit(PixelBudget(max_pixels=28 * 28, min_pixels=28 * 28))
    assert smaller.encoded().media_type == "image/png"
    decoded = PILImage.open(io.BytesIO(smaller.encoded().data))
    assert np.array_equal(np.asarray(decoded), np.asarray(smaller.pixels()))


def sixteen_bit(levels: np.ndarray) -> bytes:
    """A 16-bit grey PNG written by hand (PNG specification, sections 5 and 11)."""
    height, width = levels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("top", [255, 65535])
def test_sixteen_bits_are_scaled_to_eight(top: int) -> None:
    levels = np.linspace(0, top, 64).reshape(8, 8).astype(np.uint16)
    shown = np.asarray(Image.from_bytes(sixteen_bit(levels)).pixels())
    assert np.abs(shown[..., 0] - levels / 257).max() <= 0.5 + 1e-9


def test_alpha_lies_on_white() -> None:
    rgba = PILImage.new("RGBA", (4, 4), (255, 0, 0, 0))
    rgba.putpixel((0, 0), (255, 0, 0, 255))
    shown = Image.from_bytes(encoded(rgba)).pixels()
    assert shown.getpixel((0, 0)) == (255, 0, 0)
    assert shown.getpixel((3, 3)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("P", "PNG"), ("P", "GIF"), ("L", "PNG"), ("1", "PNG"), ("LA", "PNG"), ("CMYK", "JPEG"),
     ("CMYK", "TIFF"), ("RGB", "BMP"), ("RGB", "WEBP"), ("RGB", "PPM"), ("I;16", "TIFF"),
     ("F", "TIFF")],
)  # fmt: skip
def test_every_mode_becomes_rgb(mode: str, kind: str) -> None:
    if mode in ("I;16", "F"):
        values = np.full((8, 8), 32768 if mode == "I;16" else 0.5)
        picture = PILImage.fromarray(values.astype(np.uint16 if mode == "I;16" else np.float32))
    else:
        picture = PILImage.new("RGB", (8, 8), (128, 128, 128)).convert(
            mode, palette=PILImage.Palette.ADAPTIVE
        )
    shown = Image.from_bytes(encoded(picture, kind)).pixels()
    assert shown.mode == "RGB"
    assert all(abs(v - 128) <= 2 or mode == "1" for v in shown.getpixel((4, 4)))


def test_truncated_files_are_refused_when_their_pixels_are_needed() -> None:
    noise = PILImage.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"):
        data = encoded(noise, kind)
        with pytest.raises(ImageError):
            Image.from_bytes(data[: len(data) // 2], name=f"half.{kind}").pixels()


@pytest.mark.filterwarnings("ignore:::PIL", "ignore:.*(first picture|as stored)")
@given(st.binary(max_size=300), st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"]))
@settings(max_examples=300)
def test_broken_files_raise_image_errors_and_nothing_else(noise: bytes, kind: str) -> None:
    data = encoded(coordinates(16, 16), kind)
    place = len(noise) % len(data)
    for hostile in (noise, data[:place] + noise + data[place + len(noise) :]):
        with contextlib.suppress(ImageError):
            assert Image.from_bytes(hostile, max_pixels=10**6).pixels().mode == "RGB"


@pytest.mark.filterwarnings("ignore:::PIL", "ignore:.*(first picture|as stored)")
def test_files_with_accidents_raise_image_errors_and_nothing_else() -> None:
    """Flipped, cut and inserted bytes in each format, with EXIF where the format has it."""
    rng = random.Random(0)
    exif = PILImage.Exif()
    exif[0x0112] = 6
    kinds = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "PPM")
    whole = [encoded(coordinates(20, 24), kind, exif=exif) for kind in kinds]
    outcomes = set()
    for _ in range(6000):
        data = bytearray(rng.choice(whole))
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(data))
            kind = rng.random()
            if kind < 0.7:
                data[place] = rng.randrange(256)
            elif kind < 0.85:
                del data[place + 1 :]
            else:
                data[place:place] = rng.randbytes(rng.randint(1, 9))
        try:
            outcomes.add(Image.from_bytes(bytes(data), max_pixels=10**6).pixels().mode)
        except ImageError as error:
            outcomes.add(type(error))
    assert outcomes == {"RGB", ImageError}


DESCRIPTOR = b"\x2c" + struct.pack("<HHHH", 0, 0, 20, 24)
"""The image descriptor of a GIF: left, top, width, height (GIF89a specification, section 20)."""


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_bombs_of_formats_that_check_themselves_are_refused_alike(kind: str) -> None:
    data = bytearray(
        encoded(coordinates(20, 24), kind, **({"lossless": True} if kind == "WEBP" else {}))
    )
    if kind == "GIF":
        place = data.index(DESCRIPTOR) + 5
        data[place : place + 4] = b"\xff\xff\xff\xff"
    else:
        place = data.index(b"VP8L") + 9  # 14 bits each: WebP lossless specification, section 3
        data[place : place + 4] = b"\xff\xff\xff" + bytes([data[place + 3] | 0x0F])
    with pytest.raises(ImageError):
        Image.from_bytes(bytes(data))


def test_a_warning_of_pillow_about_a_gif_is_an_image_error_where_warnings_are_errors() -> None:
    data = bytearray(encoded(coordinates(20, 24), "GIF"))
    place = data.index(DESCRIPTOR) + 5
    data[place : place + 4] = struct.pack("<HH", 10_000, 10_000)
    with pytest.raises(ImageError):
        Image.from_bytes(bytes(data))


def claiming(width: int, height: int) -> bytes:
    data = bytearray(sixteen_bit(np.zeros((1, 1), np.uint16)))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return bytes(data)


def test_bombs_are_refused_before_they_are_decoded() -> None:
    with pytest.raises(ImageError, match="400 megapixels, the limit is 180"):
        Image.from_bytes(claiming(20_000, 20_000), name="bomb.png")


def test_the_pixel_limit_can_be_raised_and_lowered() -> None:
    assert Image.from_bytes(claiming(20_000, 20_000), max_pixels=10**9).size == (20_000, 20_000)
    with pytest.raises(ImageError, match="the limit is 0"):
        Image.from_bytes(encoded(coordinates(100, 100)), max_pixels=9_999)


def test_an_endless_file_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saccade.images.image.MAX_FILE_BYTES", 2**20)
    with (tmp_path / "large").open("wb") as file:
        file.truncate(2**20 + 1)
    with pytest.raises(ImageError, match="more than 1 MiB"):
        Image.open(tmp_path / "large")
    os.mkfifo(tmp_path / "pipe")  # nobody will ever write to it
    for endless in ("/dev/zero", tmp_path / "pipe"):
        with pytest.raises(ImageError, match=r"cannot be read .no regular file"):
            Image.open(endless)


def test_files_that_are_no_image_say_so(tmp_path: Path) -> None:
    empty, text = tmp_path / "empty.png", tmp_path / "text.jpg"
    empty.write_bytes(b"")
    text.write_text("hello")
    for path in (empty, text):
        with pytest.raises(ImageError, match="not an image that can be read"):
            Image.open(path)
    with pytest.raises(ImageError, match="cannot be read"):
        Image.open(tmp_path / "missing.png")
    with pytest.raises(ImageError, match="at least one pixel"):
        Image.from_pixels(PILImage.new("RGB", (0, 7)))


def test_an_image_survives_json_through_its_bytes() -> None:
    image = Image.from_pixels(coordinates(100, 80)).fit(PixelBudget()).crop(Box(10, 10, 60, 60))
    task = a_task(image, "what?")
    files = {image.source.name: image.source.encoded()}
    again = Task.model_validate_json(task.model_dump_json(), context={"images": files.__getitem__})
    assert again == task
    assert again.images[0].pixels().tobytes() == image.pixels().tobytes()


def test_an_image_read_without_its_folder_says_what_is_missing() -> None:
    task = a_task(Image.from_pixels(coordinates(10, 10)))
    again = Task.model_validate_json(task.model_dump_json())
    again_image = again.images[0]
    again_image.source.digest = "0" * 64
    with pytest.raises(ImageError, match="not at hand"):
        again_image.pixels()


@pytest.mark.parametrize(
    "change",
    [{"source": "../../etc/passwd"}, {"source": "a" * 64 + ".png/../x"}, {"region": [0, 0, 99, 9]},
     {"region": [5, 5, 5, 5]}, {"size": [0, 3]}, {"extra": 1}],
)  # fmt: skip
def test_hostile_image_records_are_refused(change: dict[str, object]) -> None:
    record = a_task(Image.from_pixels(coordinates(10, 10))).model_dump(mode="json")
    record["prompt"][0].update(change)
    with pytest.raises(ValueError, match="prompt"):
        Task.model_validate(record)


def test_turning_a_crop_keeps_its_full_resolution() -> None:
    image = Image.from_pixels(coordinates(200, 150)).fit(
        PixelBudget(factor=4, min_pixels=400, max_pixels=1600)
    )
    crop = image.crop(Box(0, 0, image.size.width / 2, image.size.height))
    turned = crop.rotate(90)
    assert turned.size == (150, 100)
    x = np.asarray(turned.pixels())[..., 0].astype(int)
    assert (np.diff(x, axis=0) == 1).all(), "left of the crop is on top when turned clockwise"
