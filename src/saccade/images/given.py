"""Pictures in the forms in which programs hold them: each becomes an `Image`.

image_of("street.jpg", 1)    image_of(PIL_image, 1)    image_of(array, 1)    image_of(data, 1)
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from urllib.parse import unquote_to_bytes

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage
from PIL import ImageFile

from saccade.errors import ImageError
from saccade.images.bounds import MAX_FILE_BYTES, check_work
from saccade.images.color import HAIR, STRIP_PIXELS, Color, to_rgb
from saccade.images.decode import (
    BROKEN,
    MAX_SOURCE_PIXELS,
    check_pixels,
    orientation_of,
    upright,
)
from saccade.images.image import Image

Picture = (
    str
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | PILImage.Image
    | npt.NDArray[np.generic]
    | Image
)
"""A path, a `data:` URI, an encoded file, pixels, or an `Image`."""

_URI = re.compile(r"\s*data:(?P<head>[^,]{0,200}),", re.IGNORECASE)
_SCHEME = re.compile(r"(?:https?|file|ftp):/|[a-z][a-z0-9+.-]+://", re.IGNORECASE)
"""Also with one slash, which is what `Path` leaves of two."""
_BASE64 = re.compile(r"\s*(?:iVBOR|/9j/|R0lGOD|UklGR)[A-Za-z0-9+/\s]{20,}+=*+\s*")
"""How PNG, JPEG, GIF and WebP begin in base64."""
MAX_NAME = 200
"""Characters of a path that a message shows; names of files are no longer than 255 bytes."""


def image_of(
    given: object,
    number: int,
    *,
    max_pixels: int = MAX_SOURCE_PIXELS,
    color: Color = Color.SRGB,
) -> Image:
    """The image that was given.

    A file keeps its bytes. Pixels are copied: an opened PIL image is turned upright like a file,
    any other is taken as it stands. An array has the axes height, width and, unless it is grey,
    channels; its levels are 0 to 255 (uint8) or 0 to 1 (floating). What turns into an array, such
    as a tensor, is taken like one.

    Args:
        given: A `Picture`.
        number: Which of the images of a question it is, counted from 1; for messages.
        max_pixels: Larger images are refused.
        color: How the colours of a PIL image with a profile are shown.

    Raises:
        ImageError: no usable image, or nothing of the kind.
    """
    if isinstance(given, Image):
        return given
    name = f"image {number}"
    if isinstance(given, bytes | bytearray | memoryview):
        return Image.from_bytes(bytes(given), name=f"{name} (bytes)", max_pixels=max_pixels)
    if isinstance(given, str | os.PathLike):
        return _opened(os.fsdecode(given), name, max_pixels)
    if isinstance(given, PILImage.Image):
        return _copied(given, f"{name} (a PIL image)", max_pixels, color)
    if hasattr(given, "__array__"):
        pixels = PILImage.fromarray(_levels(_array(given, name), name, max_pixels))
        return _copied(pixels, f"{name} (an array)", max_pixels, color)
    remedy = "; a question without images has []" if given is None else ""
    if hasattr(given, "read"):
        remedy = "; file.read() gives its bytes"
    raise ImageError(
        f"{name}: expected a path, a URL, a data: URI, the bytes of a file, a PIL image, a NumPy "
        f"array or an Image, got {type(given).__name__}{remedy}"
    )


def _opened(text: str, name: str, max_pixels: int) -> Image:
    if not text.strip():
        raise ImageError(f"{name}: an empty path")
    if uri := _URI.match(text):
        name = f"{name} ({text[:40]}...)"
        return Image.from_bytes(_of_uri(uri, text, name), name=name, max_pixels=max_pixels)
    if scheme := _SCHEME.match(text):
        raise ImageError(
            f"{text[:200]}: expected a path, or an http or https URL as text, got "
            f"{scheme.group()}..."
        )
    if _BASE64.fullmatch(text):
        raise ImageError(
            f"{name}: expected a path, got {text[:40]}..., as base64 is; give the bytes, or write "
            "data:image/png;base64, before it"
        )
    return Image.open(text, name=text[:MAX_NAME], max_pixels=max_pixels)


def _of_uri(uri: re.Match[str], text: str, name: str) -> bytes:
    """The content of a `data:` URI, white space and missing padding as browsers take them.

    Source: RFC 2397; forgiving-base64 in the Infra standard of WHATWG.
    """
    body = text[uri.end() :]
    if not uri["head"].lower().endswith(";base64"):
        return unquote_to_bytes(body)
    packed = b"".join(unquote_to_bytes(body).split())
    try:
        return base64.b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
    except binascii.Error as error:
        raise ImageError(f"{name}: not base64 ({error})") from error


def _copied(pixels: PILImage.Image, name: str, max_pixels: int, color: Color) -> Image:
    check_pixels(pixels.size, name, max_pixels)
    try:
        orientation = 1
        if isinstance(pixels, ImageFile.ImageFile):
            _check_file(pixels, name)
            pixels.load()
            orientation = orientation_of(pixels)
        pixels.load()
        return Image.from_pixels(to_rgb(upright(pixels, orientation), color))
    except ImageError:
        raise
    except BROKEN as error:
        raise ImageError(f"{name}: {error}") from error


def _check_file(opened: ImageFile.ImageFile, name: str) -> None:
    """Refuse a file that was opened, and not decoded yet, as one that is opened here."""
    file = opened.fp
    if file is None or not opened.tile:
        return
    place = file.tell()
    file.seek(0)
    data = file.read(MAX_FILE_BYTES + 1)
    file.seek(place)
    check_work(data, name)


def _array(given: object, name: str) -> npt.NDArray[np.generic]:
    try:
        if hasattr(given, "detach"):  # a tensor, which may stand on a device
            given = given.detach().cpu()
        return np.asarray(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ImageError(f"{name}: {type(given).__name__} is no NumPy array: {error}") from error


def _levels(array: npt.NDArray[np.generic], name: str, max_pixels: int) -> npt.NDArray[np.uint8]:
    """The levels of an array, 0 to 255, in the shape that Pillow takes."""
    shape = array.shape
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (1, 3, 4)):
        turned = array.ndim == 3 and shape[0] in (1, 3, 4)
        remedy = "; its channels stand first: array.transpose(1, 2, 0)" if turned else ""
        raise ImageError(
            f"{name}: expected an array of height x width, with 1, 3 or 4 channels behind or none, "
            f"got the shape {shape}{remedy}"
        )
    check_pixels((shape[1], shape[0]), f"{name} (an array)", max_pixels)
    flat = array[:, :, 0] if array.ndim == 3 and shape[2] == 1 else array
    if flat.dtype == np.uint8:
        return np.ascontiguousarray(flat, np.uint8)
    if not np.issubdtype(flat.dtype, np.floating):
        raise ImageError(
            f"{name}: expected an array of uint8 (0 to 255) or of floats (0 to 1), got {flat.dtype}"
        )
    low, high = float(flat.min(initial=0.0)), float(flat.max(initial=0.0))
    if not (low >= -HAIR and high <= 1 + HAIR):  # NaN is in no range
        raise ImageError(
            f"{name}: expected floats from 0 to 1, got {low:g} to {high:g}; levels of 0 to 255 are "
            "uint8: array.round().astype('uint8')"
        )
    levels = np.empty(flat.shape, np.uint8)
    rows = max(1, STRIP_PIXELS // max(1, shape[1]))
    for top in range(0, shape[0], rows):
        strip = flat[top : top + rows].astype(np.float64)
        levels[top : top + rows] = strip.clip(0, 1) * 255 + 0.5
    return levels
