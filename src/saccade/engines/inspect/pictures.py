"""Images as Inspect AI holds them, data URIs, and back: the bytes of a file stay what they are."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Sequence

from inspect_ai.model import Content, ContentImage, ContentText

from saccade.cache import ByteCache
from saccade.errors import FormatError
from saccade.images.decode import MAX_SOURCE_PIXELS
from saccade.images.image import Image
from saccade.types import Part

CACHE_BYTES = 256 * 2**20
"""Each turn holds all images of the episode again: they are written and read once."""

_URIS: ByteCache[Image, str] = ByteCache(CACHE_BYTES, len)
_IMAGES: ByteCache[str, Image] = ByteCache(CACHE_BYTES, lambda image: len(image.source.encoded()))


async def contents(parts: Sequence[Part]) -> str | list[Content]:
    """The content of a message: a text, or a list of texts and images in order."""
    if all(isinstance(part, str) for part in parts):
        return "".join(part for part in parts if isinstance(part, str))
    return [
        ContentText(text=part) if isinstance(part, str) else ContentImage(image=await uri_of(part))
        for part in parts
    ]


async def uri_of(image: Image) -> str:
    """What is shown of an image, as a data URI; pixels are encoded outside the event loop."""
    uri = _URIS.get(image)
    if uri is None:
        uri = await asyncio.to_thread(_encoded, image)
        _URIS.put(image, uri)
    return uri


def parts_of(content: str | Sequence[Content]) -> tuple[Part, ...]:
    """The texts and images of a message's content; thoughts and other media are left out.

    Raises:
        FormatError: an image that is no data URI, or not readable.
    """
    if isinstance(content, str):
        return (content,) if content else ()
    found: list[Part] = []
    for item in content:
        if isinstance(item, ContentText):
            found.append(item.text)
        elif isinstance(item, ContentImage):
            found.append(image_of(item.image))
    return tuple(found)


def image_of(uri: str, *, max_pixels: int = MAX_SOURCE_PIXELS) -> Image:
    """The image in a data URI.

    Raises:
        FormatError: it is none.
        ImageError: its bytes are no image that can be used.
    """
    image = _IMAGES.get(uri)
    if image is None:
        image = Image.from_bytes(data_of(uri), max_pixels=max_pixels)
        _IMAGES.put(uri, image)
    return image


def data_of(uri: str) -> bytes:
    """The bytes in a data URI.

    Raises:
        FormatError: it is none.
    """
    head, comma, packed = uri.partition(",")
    if not comma or not head.startswith("data:image/") or not head.endswith(";base64"):
        raise FormatError(f"an image: expected data:image/...;base64, got {uri[:60]!r}")
    try:
        return base64.b64decode(packed, validate=True)
    except binascii.Error as error:
        raise FormatError(f"an image: no base64 ({error})") from error


def whole_uri(image: Image) -> str:
    """The file of an image, all of it and as it is, as a data URI."""
    packed = base64.b64encode(image.source.encoded()).decode()
    return f"data:{image.source.media_type};base64,{packed}"


def _encoded(image: Image) -> str:
    data, media_type = image.encoded()
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
