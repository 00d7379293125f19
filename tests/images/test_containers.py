"""Every container as it is found in the wild: turned, animated, cut, and of another family.

The files are made here with Pillow; what it cannot write is put together from the page that the
test names.
"""

import io
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import chunk, encoded, scene, turned
from PIL import Image as PILImage
from PIL import ImageOps

from saccade.errors import ImageError
from saccade.images.image import Image

CONTAINERS = [
    ("JPEG", {"quality": 95}), ("PNG", {}), ("WEBP", {"lossless": True}), ("AVIF", {"speed": 10}),
    ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("TIFF", {"compression": "jpeg"}),
]  # fmt: skip


@given(st.sampled_from(CONTAINERS), st.integers(1, 8), st.integers(1, 24), st.integers(1, 24))
@settings(max_examples=60)
def test_size_and_pixels_are_those_of_a_full_decode(
    container: tuple[str, dict[str, object]], orientation: int, width: int, height: int
) -> None:
    kind, options = container
    data = encoded(scene(width, height), kind, exif=turned(orientation), **options)
    full = ImageOps.exif_transpose(PILImage.open(io.BytesIO(data))).convert("RGB")
    image = Image.from_bytes(data)
    assert image.size == image.pixels().size == full.size
    assert image.pixels().tobytes() == full.tobytes()


@pytest.mark.parametrize(("kind", "options"), CONTAINERS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_container_is_shown_upright(
    kind: str, options: dict[str, object], orientation: int
) -> None:
    stored = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    pixels = scene() if orientation == 1 else scene().transpose(stored[orientation])
    image = Image.from_bytes(encoded(pixels, kind, exif=turned(orientation), **options))
    assert image.size == (48, 32)
    shown = np.asarray(image.pixels(), int)
    assert np.abs(shown - np.asarray(scene(), int)).mean() < 12, "no turn is as near as that"


def test_an_orientation_behind_the_pixels_of_a_png_counts() -> None:
    """eXIf may follow the image data (PNG specification, third edition, 5.6)."""
    plain = encoded(scene())
    end = plain.index(b"IEND") - 4
    data = plain[:end] + chunk(b"eXIf", turned(6).tobytes()[6:]) + plain[end:]
    image = Image.from_bytes(data)
    assert image.size == image.pixels().size == (32, 48)


def test_the_header_of_a_png_is_read_without_its_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(scene())
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", lambda self: 1 / 0)
    assert Image.from_bytes(data).size == (48, 32)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_turns_nothing(orientation: int) -> None:
    image = Image.from_bytes(encoded(scene(), "JPEG", exif=turned(orientation)))
    assert image.size == image.pixels().size == (48, 32)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_broken_exif_block_leaves_the_picture_as_it_is_stored() -> None:
    data = encoded(scene(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    image = Image.from_bytes(data)
    assert image.size == image.pixels().size == (48, 32)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_of_several_pictures_the_first_is_shown_and_this_is_said(kind: str) -> None:
    frames = [PILImage.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    with pytest.warns(UserWarning, match=r"clip\.x: only the first picture of the file is shown"):
        image = Image.from_bytes(data, name="clip.x")
    red, green, blue = image.pixels().getpixel((8, 8))
    assert red > 240
    assert max(green, blue) < 16
    assert not image.source.verbatim, "a server may show another frame"


def test_a_photograph_with_a_preview_is_no_animation() -> None:
    data = encoded(scene(), "MPO", save_all=True, append_images=[scene(8, 8)])
    image = Image.from_bytes(data)
    assert (image.size, image.source.extension) == ((48, 32), "jpg")


def test_avif_is_read_and_kept() -> None:
    image = Image.from_bytes(encoded(scene(), "AVIF"))
    assert (image.source.extension, image.source.media_type) == ("avif", "image/avif")
    assert image.encoded().media_type != "image/avif", "few servers read it"


def heic(*brands: bytes) -> bytes:
    """The first box of a HEIF file (ISO/IEC 14496-12, 4.3): major brand, version, brands."""
    body = brands[0] + bytes(4) + b"".join(brands)
    return struct.pack(">I", 8 + len(body)) + b"ftyp" + body + bytes(64)


@pytest.mark.parametrize("brands", [(b"heic", b"mif1"), (b"mif1", b"heic"), (b"hevc", b"msf1")])
def test_heic_is_named_with_the_line_that_makes_it_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, brands: tuple[bytes, ...]
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as if it were not installed
    photo = tmp_path / "IMG_0001.HEIC"
    photo.write_bytes(heic(*brands))
    with pytest.raises(ImageError, match=r"IMG_0001\.HEIC: a HEIC .*pip install pillow-heif"):
        Image.open(photo)


def test_heic_is_read_where_pillow_heif_is_installed() -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="install the extra 'dev'")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(scene(64, 32)).save(buffer, quality=-1)
    image = Image.from_bytes(buffer.getvalue())
    assert (image.size, image.source.extension) == ((64, 32), "heic")
    difference = np.asarray(image.pixels(), int) - np.asarray(scene(64, 32), int)
    assert np.abs(difference).mean() < 8
    with pytest.raises(ImageError, match="image: "):
        Image.from_bytes(buffer.getvalue()[:200]).pixels()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_a_cut_file_is_called_what_the_user_called_it(tmp_path: Path, kind: str) -> None:
    noise = PILImage.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    photo = tmp_path / "half.picture"
    data = encoded(noise, kind)
    photo.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match=r"half\.picture: "):
        Image.open(photo).native().pixels()


def test_pixels_of_another_size_than_the_record_says_are_refused() -> None:
    image = Image.from_bytes(encoded(scene()))
    image.source.size = image.source.size._replace(width=47)
    with pytest.raises(ImageError, match="the pixels have the size 48x32, its record says 47x32"):
        image.source.shown_in("as_stored").pixels()
