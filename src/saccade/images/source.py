"""Where the pixels of an image come from: an encoded file, decoded when it is first looked at."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from PIL import Image as PILImage

from saccade.cache import ByteCache
from saccade.errors import ImageError
from saccade.images.color import Color
from saccade.images.decode import MAX_SOURCE_PIXELS, decode
from saccade.images.geometry import Size

CACHE_BYTES = 512 * 2**20
"""Decoded sources are kept for reuse up to this many bytes in the whole process."""


class Source:
    """The pixels that views are cut from: an encoded file, decoded when first needed.

    Not created directly: `Image.open`, `Image.from_bytes` and `Image.from_pixels` do it.
    """

    def __init__(
        self,
        digest: str,
        extension: str,
        size: Size,
        load: Callable[[], bytes],
        *,
        verbatim: bool,
        color: Color = Color.SRGB,
        label: str = "",
        max_pixels: int = MAX_SOURCE_PIXELS,
    ) -> None:
        self.digest = digest
        """SHA-256 of the encoded bytes, in hex."""
        self.extension = extension
        self.size = size
        """Native size, after the EXIF orientation was applied."""
        self.verbatim = verbatim
        """Whether a plain decoder sees the same pixels; see `saccade.images.decode.Header`."""
        self.color = color
        """How its colours are shown."""
        self.label = label or self.name
        """What messages call it: the path or URL as the user named it."""
        self.max_pixels = max_pixels
        """Number of pixels from which it is refused, whatever a record says of its size."""
        self.file: Path | None = None
        """Where it was read from, if `Image.open` read it here."""
        self._load = load
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The file name of the image in a run folder."""
        return f"{self.digest}.{self.extension}"

    @property
    def media_type(self) -> str:
        subtype = {"jpg": "jpeg", "tif": "tiff"}.get(self.extension, self.extension)
        return f"image/{subtype}"

    def encoded(self) -> bytes:
        """The original bytes of a file, or the PNG of pixels that we made."""
        return self._load()

    def pixels(self) -> PILImage.Image:
        """The RGB pixels at native size. Do not write to them: they are shared.

        Raises:
            ImageError: the file is truncated or broken, over a limit, or has another size than was
                read before.
        """
        with self._lock:
            found = _DECODED.get((self.digest, self.color))
            if found is None:
                found = decode(self._load(), self.label, self.color, max_pixels=self.max_pixels)
                _DECODED.put((self.digest, self.color), found)
        if found.size != self.size:
            raise ImageError(
                f"{self.label}: the pixels have the size {Size(*found.size)}, its record says "
                f"{self.size}"
            )
        return found

    def shown_in(self, color: Color) -> Source:
        """The same file, with its colours shown in another way."""
        if color is self.color:
            return self
        source = Source(
            self.digest,
            self.extension,
            self.size,
            self._load,
            verbatim=self.verbatim,
            color=color,
            label=self.label,
            max_pixels=self.max_pixels,
        )
        source.file = self.file
        return source


def _bytes_of(pixels: PILImage.Image) -> int:
    return 4 * pixels.width * pixels.height  # Pillow keeps four bytes for three channels


_DECODED: ByteCache[tuple[str, Color], PILImage.Image] = ByteCache(CACHE_BYTES, _bytes_of)
"""Decoded sources by their digest, and by how their colours are shown."""


def keep_decoded(source: Source, pixels: PILImage.Image) -> None:
    """Keep the pixels of a source that was made from them: it need not be decoded."""
    _DECODED.put((source.digest, source.color), pixels)
