"""Images: pixels from a file or made by us, and the part of them that is shown.

An `Image` is a *view*: a region of a source, shown at a size. Fitting an image into a budget
changes only the size; cropping selects a smaller region of the same source. So a crop of a crop
of a shrunken photograph is still cut from the photograph's own pixels, and no pixel is resampled
twice.

    photo = Image.open("street.jpg")            # region = all of it, size = 5616x3744
    shown = photo.fit(PixelBudget())            # the same region at 4144x2772
    crop = shown.crop(Box(100, 80, 180, 140))   # a box on what is shown -> native pixels
"""

from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from PIL import Image as PILImage
from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import core_schema

from saccade.errors import BoxError, ImageError
from saccade.files import open_file
from saccade.images.bounds import MAX_FILE_BYTES
from saccade.images.color import Color, to_rgb
from saccade.images.decode import MAX_SIDE, MAX_SOURCE_PIXELS, check_pixels, read_header
from saccade.images.encode import EncodedImage, WireFormat, encode
from saccade.images.geometry import Box, PixelBudget, Size
from saccade.images.source import Source, keep_decoded

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, ValidationInfo


class Image:
    """A region of a source, shown at a size. Immutable, hashable, cheap to copy.

    In JSON: `{"source": "<sha256>.jpg", "native": [w, h], "verbatim": true, "color": "srgb",
    "region": [x1, y1, x2, y2], "size": [w, h]}`; pixels travel apart (see docs/file_formats.md),
    and are found again through the validation context `{"images": source name -> bytes,
    "max_pixels": number}`. What is found must have the digest that the record names.
    """

    __slots__ = ("region", "size", "source")

    def __init__(self, source: Source, region: Box, size: Size) -> None:
        self.source = source
        self.region = region
        """In pixels of the source; whole numbers."""
        self.size = size
        """As shown: boxes on this image are pixels of this size."""

    @classmethod
    def open(
        cls, path: str | Path, *, name: str = "", max_pixels: int = MAX_SOURCE_PIXELS
    ) -> Image:
        """Read a file; its bytes are kept as they are.

        Args:
            path: The file.
            name: What error messages call it, now and when it is decoded; the path if left out.
            max_pixels: Larger images are refused.

        Raises:
            ImageError: not a readable image, zero-sized, or over `max_pixels`.
        """
        name = name or str(path)
        try:
            data = read_bounded(Path(path))
        except OSError as error:
            raise ImageError(f"{name}: cannot be read ({error.strerror})") from error
        image = cls.from_bytes(data, name=name, max_pixels=max_pixels)
        image.source.file = Path(path).absolute()
        return image

    @classmethod
    def from_bytes(
        cls, data: bytes, *, name: str = "image", max_pixels: int = MAX_SOURCE_PIXELS
    ) -> Image:
        """An encoded image in memory; `name` is used in error messages only.

        Raises:
            ImageError: not a readable image, zero-sized, or over `max_pixels`.
        """
        header = read_header(data, name, max_pixels)
        digest = hashlib.sha256(data).hexdigest()
        source = Source(
            digest,
            header.extension,
            header.size,
            lambda: data,
            verbatim=header.verbatim,
            label=name,
            max_pixels=max_pixels,
        )
        return cls(source, Box(0, 0, *header.size), header.size)

    @classmethod
    def from_pixels(cls, pixels: PILImage.Image) -> Image:
        """Pixels that we made (a scene, a figure, a rotated view); stored as PNG.

        Raises:
            ImageError: no pixel, or levels of which nobody knows what is white.
        """
        if pixels.width < 1 or pixels.height < 1:
            raise ImageError(f"an image needs at least one pixel, got {pixels.size}")
        rgb = to_rgb(pixels)
        buffer = io.BytesIO()
        rgb.save(buffer, "PNG", compress_level=1)
        data, size = buffer.getvalue(), Size(*rgb.size)
        source = Source(hashlib.sha256(data).hexdigest(), "png", size, lambda: data, verbatim=True)
        keep_decoded(source, rgb)
        return cls(source, Box(0, 0, *size), size)

    def fit(self, budget: PixelBudget) -> Image:
        """The same region at the size that the budget allows."""
        return Image(self.source, self.region, budget.fit(self.size))

    def shown_in(self, color: Color) -> Image:
        """The same view, with the colours of its source shown in another way."""
        return Image(self.source.shown_in(color), self.region, self.size)

    def native(self) -> Image:
        """The same region at the resolution of its source."""
        width, height = int(self.region.width), int(self.region.height)
        return Image(self.source, self.region, Size(width, height))

    def crop(self, box: Box) -> Image:
        """The part in a box (pixels of this image as shown), at the resolution of the source.

        Raises:
            BoxError: the box is not finite or selects no pixel.
        """
        if not all(map(math.isfinite, box)):
            raise BoxError(f"crop: four finite numbers expected, got {list(box)}")
        return self.cut(self.to_source(box))

    def cut(self, box: Box) -> Image:
        """Like `crop`, for a box in pixels of the source; what lies outside is left out.

        Raises:
            BoxError: the box selects no pixel of this image.
        """
        wanted = box.intersect(self.region)
        if not wanted.area > 0:
            raise BoxError(f"cut: {list(box)} selects nothing of {list(self.region)}")
        x1 = min(math.floor(wanted.x1 + 0.5), int(self.region.x2) - 1)
        y1 = min(math.floor(wanted.y1 + 0.5), int(self.region.y2) - 1)
        x2 = max(math.floor(wanted.x2 + 0.5), x1 + 1)
        y2 = max(math.floor(wanted.y2 + 0.5), y1 + 1)
        return Image(self.source, Box(x1, y1, x2, y2), Size(x2 - x1, y2 - y1))

    def rotate(self, angle: int) -> Image:
        """Turned clockwise by `angle` degrees at native resolution; corners are filled grey.

        The result is a source of its own: boxes on it no longer map to the photograph.
        """
        turned = (
            self.native()
            .pixels()
            .rotate(
                -angle, resample=PILImage.Resampling.BICUBIC, expand=True, fillcolor=(128, 128, 128)
            )
        )
        return Image.from_pixels(turned)

    def to_source(self, box: Box) -> Box:
        """From pixels of this image as shown to pixels of its source."""
        x, y = self.region.width / self.size.width, self.region.height / self.size.height
        return box.scale(x, y).shift(self.region.x1, self.region.y1)

    def from_source(self, box: Box) -> Box:
        """From pixels of the source to pixels of this image as shown (may lie outside it)."""
        x, y = self.size.width / self.region.width, self.size.height / self.region.height
        return box.shift(-self.region.x1, -self.region.y1).scale(x, y)

    def pixels(self) -> PILImage.Image:
        """The RGB pixels at `size`, resampled once (bicubic, antialiased). Do not write to them.

        Raises:
            ImageError: the source is truncated, over a limit or not at hand, or `size` is over it.
        """
        limit = max(self.source.max_pixels, MAX_SOURCE_PIXELS)
        check_pixels(self.size, f"{self.source.label}, as it is shown", limit)
        region = self.source.pixels()
        if self.region != Box(0, 0, *self.source.size):
            x1, y1, x2, y2 = map(int, self.region)
            region = region.crop((x1, y1, x2, y2))
        if region.size == self.size:
            return region
        return region.resize(self.size, PILImage.Resampling.BICUBIC)

    def encoded(self, wire: WireFormat = "auto") -> EncodedImage:
        """A file of what is shown: the original one where it is of this format, else a new one.

        Args:
            wire: "png", "jpeg", or "auto": either, by its size; only "png" is always exact.
        """
        if self.is_sent_as_file(wire):
            return EncodedImage(self.source.encoded(), self.source.media_type)
        return encode(self.pixels(), wire)

    def is_sent_as_file(self, wire: WireFormat) -> bool:
        """Whether a decoder of the original file sees what is shown, in this format."""
        source = self.source
        whole = self.region == Box(0, 0, *source.size) and self.size == source.size
        formats = {"auto": ("jpg", "png"), "jpeg": ("jpg",), "png": ("png",)}
        return whole and source.verbatim and source.extension in formats[wire]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Image) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[str, Color, Box, Size]:
        return self.source.digest, self.source.color, self.region, self.size

    def __repr__(self) -> str:
        region = [int(v) for v in self.region]
        return f"Image({self.source.digest[:8]}, region={region}, size={self.size})"

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.with_info_plain_validator_function(
            _validate_image,
            serialization=core_schema.plain_serializer_function_ser_schema(_image_record),
        )


class _ImageRecord(BaseModel):
    """The JSON form of an `Image`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    native: Size
    region: Box
    size: Size
    verbatim: bool = False
    color: Color = Color.SRGB

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if not _SOURCE_NAME.fullmatch(self.source):
            raise ValueError(f"source must be '<sha256>.<extension>', got {self.source[:80]!r}")
        for name, (width, height) in (("native", self.native), ("size", self.size)):
            if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
                raise ValueError(f"{name} must have sides of 1 to {MAX_SIDE}, got {width}x{height}")
        x1, y1, x2, y2 = self.region
        inside = 0 <= x1 < x2 <= self.native.width and 0 <= y1 < y2 <= self.native.height
        if not inside or any(not value.is_integer() for value in map(float, self.region)):
            raise ValueError(f"region {list(self.region)} is no whole pixels of {self.native}")
        return self


_SOURCE_NAME = re.compile(r"[0-9a-f]{64}\.[a-z]{3,4}")


def _image_record(image: Image) -> dict[str, object]:
    record = _ImageRecord(
        source=image.source.name,
        native=image.source.size,
        region=image.region,
        size=image.size,
        verbatim=image.source.verbatim,
        color=image.source.color,
    )
    return record.model_dump(mode="json")


def _validate_image(value: object, info: ValidationInfo) -> Image:
    if isinstance(value, Image):
        return value
    record = _ImageRecord.model_validate(value)
    context = info.context or {}
    find: Callable[[str], bytes] = context.get("images", _pixels_are_elsewhere)
    digest, extension = record.source.split(".")
    source = Source(
        digest,
        extension,
        record.native,
        partial(_found, find, record.source),
        verbatim=record.verbatim,
        color=record.color,
        max_pixels=context.get("max_pixels", MAX_SOURCE_PIXELS),
    )
    return Image(source, record.region, record.size)


def _found(find: Callable[[str], bytes], name: str) -> bytes:
    """The bytes that a record means, or none: decoded pixels are shared between runs by digest."""
    data = find(name)
    digest = hashlib.sha256(data).hexdigest()
    if digest != name.partition(".")[0]:
        raise ImageError(
            f"{name}: the file holds something else, with the SHA-256 {digest[:16]}...; put the "
            "right one there, or remove it"
        )
    return data


def read_bounded(path: Path) -> bytes:
    """The bytes of an image file.

    Raises:
        ImageError: it is larger than any image that is used here.
        OSError: it cannot be read, or is no file.
    """
    with open_file(path) as file:
        data = file.read(MAX_FILE_BYTES + 1) or b""
    if len(data) > MAX_FILE_BYTES:
        raise ImageError(f"{path}: more than {MAX_FILE_BYTES // 2**20} MiB")
    return data


def _pixels_are_elsewhere(name: str) -> bytes:
    raise ImageError(
        f"{name}: the pixels of this image are not at hand; read trajectories through the "
        "run folder that holds them (saccade.runs.folder.RunFolder)"
    )
