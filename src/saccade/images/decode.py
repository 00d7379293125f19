"""From the bytes of an image file to RGB pixels, without trusting the file.

The header is read first, and a file that claims too many pixels, or asks for more work than a
picture of its size does (`saccade.images.bounds`), is not decoded. Size and pixels come from one
reading: `orientation_of` is asked by both, and nothing else turns an image.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from typing import NamedTuple

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL import Image as PILImage

from saccade.errors import ImageError
from saccade.images.bounds import Metered, check_work
from saccade.images.color import Color, Profile, profile_of, to_rgb
from saccade.images.geometry import Size
from saccade.images.netpbm import scaled

MAX_SOURCE_PIXELS = 180_000_000
"""Larger files are refused before a pixel of them is decoded (180 megapixels)."""
MAX_SIDE = 2**20
"""So are files with a longer side: what a view of one is computed with grows with its sides."""

_EXTENSIONS = {
    JpegImagePlugin.JpegImageFile.format: "jpg",
    PngImagePlugin.PngImageFile.format: "png",
    WebPImagePlugin.WebPImageFile.format: "webp",
    GifImagePlugin.GifImageFile.format: "gif",
    BmpImagePlugin.BmpImageFile.format: "bmp",
    TiffImagePlugin.TiffImageFile.format: "tif",
    PpmImagePlugin.PpmImageFile.format: "ppm",
    AvifImagePlugin.AvifImageFile.format: "avif",
}
_MULTI_PICTURE = "MPO"
_OTHERS = {"HEIF": "heic"}
"""Formats that are read by other packages, where these are installed."""
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
_AVIF_BRANDS = (b"avif", b"avis")
"""What tells HEIC and AVIF apart, which share a container. Source: the brands that are registered
for ISO/IEC 23008-12 and for the AV1 Image File Format."""


class Header(NamedTuple):
    """What is known of an image file before its pixels are decoded."""

    extension: str
    size: Size
    """Native size after the EXIF orientation is applied."""
    verbatim: bool
    """Whether a plain decoder sees the same pixels: one RGB or grey picture, opaque, upright, with
    no colour profile to speak of."""


_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: PILImage.Transpose.FLIP_LEFT_RIGHT,
    3: PILImage.Transpose.ROTATE_180,
    4: PILImage.Transpose.FLIP_TOP_BOTTOM,
    5: PILImage.Transpose.TRANSPOSE,
    6: PILImage.Transpose.ROTATE_270,
    7: PILImage.Transpose.TRANSVERSE,
    8: PILImage.Transpose.ROTATE_90,
}
"""EXIF orientation -> what makes it upright. Source: EXIF 2.32, 4.6.4, tag 0x0112."""
_MAY_TURN_A_PNG = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")
"""What a PNG has somewhere if it has an orientation; Pillow decodes all of it to find out."""
MAX_EXIF_BYTES = 16 * 2**20
"""Larger EXIF is not looked at."""
BROKEN = (
    OSError, ValueError, SyntaxError, EOFError, RuntimeError, struct.error, zlib.error,
    TypeError, LookupError, ArithmeticError, AssertionError, AttributeError, MemoryError, Warning,
)  # fmt: skip
"""What a decoder raises for a broken file. The last two lines are of metadata that has another type
than its reader takes for granted; warnings are raised where the user made them errors."""


def read_header(data: bytes, name: str, max_pixels: int) -> Header:
    """Read format, size and orientation of an encoded image.

    Raises:
        ImageError: not a known image format, zero-sized, over `max_pixels`, or more work than
            `saccade.images.bounds` allows.

    Warns:
        UserWarning: more than the first picture of the file is left out, or its colour profile.
    """
    with _opened(data, name, max_pixels) as opened:
        width, height = opened.size
        kind, mode = opened.format or "", opened.mode
        orientation = _orientation(opened, data, name)
        if orientation >= 5 and kind != TiffImagePlugin.TiffImageFile.format:
            width, height = height, width  # Pillow tells the size of a TIFF as it turns it: upright
        several = kind != _MULTI_PICTURE and _is_animated(opened)
        profile = _profile(opened)
        try:
            opaque = not opened.has_transparency_data
        except BROKEN as error:  # a palette that is none
            raise ImageError(f"{name}: its colours are broken ({error})") from error
    if several:
        warnings.warn(f"{name}: only the first picture of the file is shown", stacklevel=2)
    if isinstance(profile, str):
        warnings.warn(f"{name}: colours are shown as stored: {profile}", stacklevel=2)
    simple = mode in ("RGB", "L") and opaque and kind != _MULTI_PICTURE and not several
    keeps_colours = profile is None or (isinstance(profile, Profile) and not profile.changes)
    plain = simple and orientation == 1 and keeps_colours
    return Header(_EXTENSIONS.get(kind, _OTHERS.get(kind, "jpg")), Size(width, height), plain)


def decode(
    data: bytes,
    name: str,
    color: Color = Color.SRGB,
    *,
    max_pixels: int = MAX_SOURCE_PIXELS,
) -> PILImage.Image:
    """Decode an image to RGB pixels, upright.

    Args:
        data: The file.
        name: What error messages call it.
        color: How its colours are shown.
        max_pixels: Larger images are refused before a pixel of them is decoded.

    Raises:
        ImageError: the data ends early or is broken, its levels have no known scale, or it is over
            `max_pixels` or more work than `saccade.images.bounds` allows.
    """
    with _opened(data, name, max_pixels) as opened:
        try:
            pixels = scaled(opened, data) or _loaded(opened, data)
        except ImageError as error:
            raise ImageError(f"{name}: {error}") from error
        except BROKEN as error:
            raise ImageError(f"{name}: the image is truncated or broken ({error})") from error
    del opened
    try:
        return to_rgb(pixels, color)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error
    except BROKEN as error:
        raise ImageError(f"{name}: its colours are broken ({error})") from error


def _loaded(opened: ImageFile.ImageFile, data: bytes) -> PILImage.Image:
    """The pixels of an opened file, upright."""
    opened.load()
    turned = upright(opened, orientation_of(opened, data))
    # A copy lets the file and what its decoder holds go before colours are converted; where they
    # are RGB, the conversion is a copy.
    return turned.copy() if turned is opened and opened.mode != "RGB" else turned


def upright(pixels: PILImage.Image, orientation: int) -> PILImage.Image:
    """The pixels turned as their EXIF orientation says, 1 to 8."""
    return pixels.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else pixels


def orientation_of(opened: PILImage.Image, data: bytes | None = None) -> int:
    """The EXIF orientation, from 1 to 8; 1 where there is none, or none that can be read.

    Args:
        opened: The image; a TIFF has none any more once it is loaded.
        data: The file; with it, a PNG without an orientation need not be decoded.

    Raises:
        ImageError: it takes more work to find out than `saccade.images.bounds` allows.
    """
    is_png = opened.format == PngImagePlugin.PngImageFile.format
    if is_png and data is not None and not any(mark in data for mark in _MAY_TURN_A_PNG):
        return 1
    held = opened.info.get("exif")
    if isinstance(held, bytes) and len(held) > MAX_EXIF_BYTES:
        return 1
    try:
        orientation = opened.getexif().get(_ORIENTATION_TAG, 1)
        return orientation if orientation in _UPRIGHT else 1
    except ImageError:
        raise
    except BROKEN:
        return 1


def _orientation(opened: PILImage.Image, data: bytes, name: str) -> int:
    try:
        return orientation_of(opened, data)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error


def _is_animated(opened: PILImage.Image) -> bool:
    try:
        return bool(getattr(opened, "is_animated", False))
    except BROKEN:
        return False


def _profile(opened: PILImage.Image) -> Profile | str | None:
    """The colour profile of a file, or why it is not used; None where there is none."""
    data = opened.info.get("icc_profile")
    if not isinstance(data, bytes) or not data or opened.mode == "LAB":  # LAB says it all
        return None
    profile = profile_of(data)
    if isinstance(profile, Profile) and not profile.fits(opened.mode):
        return f"a profile for {profile.mode} pixels in a file of {opened.mode} pixels"
    return profile


def check_pixels(size: tuple[int, int], name: str, max_pixels: int) -> None:
    """Refuse an image without pixels, or with too many.

    Raises:
        ImageError: names the limit.
    """
    width, height = size
    if width < 1 or height < 1:
        raise ImageError(f"{name}: an image needs at least one pixel, got {width}x{height}")
    if max(size) > MAX_SIDE:
        raise ImageError(f"{name}: {width}x{height} has a side of more than {MAX_SIDE} pixels")
    if width * height > max_pixels:
        raise ImageError(
            f"{name}: {width}x{height} is {width * height / 1e6:.0f} megapixels, the limit "
            f"is {max_pixels / 1e6:.0f}; raise max_image_pixels if you trust the file"
        )


def _opened(data: bytes, name: str, max_pixels: int) -> ImageFile.ImageFile:
    """Open an image like `PIL.Image.open`, with bounds of ours in place of its bomb check.

    That one is a setting of the process, and looks at pixels alone.
    """
    check_work(data, name)
    opened = _opened_heic(data, name) if _is_heic(data) else _opened_by_pillow(data, name)
    check_pixels(opened.size, name, max_pixels)
    return opened


def _opened_by_pillow(data: bytes, name: str) -> ImageFile.ImageFile:
    for kind in _EXTENSIONS:
        factory, accept = PILImage.OPEN.get(kind, (None, None))
        if factory is None or (accept is not None and accept(data[:16]) is not True):
            continue
        try:
            return factory(Metered(data), "")
        except (PILImage.DecompressionBombError, ImageError) as error:
            # The plug-ins of GIF and WebP look at the process-wide limit themselves.
            raise ImageError(f"{name}: {error}") from error
        except BROKEN as error:
            raise ImageError(f"{name}: a broken {kind} file ({error})") from error
    known = ", ".join(sorted(set(_EXTENSIONS.values())))
    raise ImageError(f"{name}: not an image that can be read (one of {known})")


def _is_heic(data: bytes) -> bool:
    """Whether this is a photograph as phones write it, by the brands in its first box."""
    if data[4:8] != b"ftyp":
        return False
    end = min(int.from_bytes(data[:4]), 256)
    brands = {data[place : place + 4] for place in (8, *range(16, end, 4))}
    return not brands.isdisjoint(_HEIF_BRANDS) and brands.isdisjoint(_AVIF_BRANDS)


def _opened_heic(data: bytes, name: str) -> ImageFile.ImageFile:
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        raise ImageError(
            f"{name}: a HEIC image, which needs pillow-heif: pip install pillow-heif (or save the "
            "image as JPEG)"
        ) from None
    try:
        opened: ImageFile.ImageFile = HeifImageFile(Metered(data), "")
    except BROKEN as error:
        raise ImageError(f"{name}: a broken HEIC file ({error})") from error
    return opened
