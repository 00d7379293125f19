"""What a decoder may cost: bytes, reads, passes over the pixels and seconds.

A decoder cannot be interrupted between two reads, so what a file asks for is told from its
structure before a pixel is decoded: the scans of a JPEG, the texts of a PNG, the strips of a TIFF.
What loops over the file itself is counted while it reads (`Metered`), which is the defence against
structures that nobody thought of.

Not bounded: the seconds of one call into a codec, other than by pixels and passes; a photograph of
180 megapixels takes several. What an AV1 or HEVC stream claims within its container is left to the
limits of libavif and libheif.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from saccade.errors import ImageError
from saccade.images.tiff import Directory, NoDirectory

MAX_FILE_BYTES = 512 * 2**20
"""Larger files are refused."""
MAX_BOXED_BYTES = 128 * 2**20
"""The same of AVIF and HEIC, whose containers are read as a whole before their size is known."""

MAX_READS = 4_000_000
"""How often a decoder may ask for bytes: loops over a file in Python, of 1 µs or so a read."""
MAX_SECONDS = 60.0
"""CPU seconds of its thread after which a decoder gets no more bytes."""

MAX_SCANS = 100
"""Scans of a JPEG; encoders make up to 10, and some that optimise about 20."""
MAX_PASSES = 2_500_000_000
"""Scans of a JPEG times its pixels: 25 s or so at the 10 ns that a pixel of a scan may cost. Usual
progressive files have 10 scans, so that the largest pictures pass."""
MAX_SEGMENTS = 2_000
"""Segments of a JPEG before its first scan, and of one kind beside it."""
MAX_NOTES_BYTES = 32 * 2**20
"""Bytes of texts, EXIF and profiles in a JPEG or PNG."""

MAX_CHUNKS = 200_000
"""Chunks of a PNG; writers cut its data into pieces of 8 KiB or more."""
MAX_PACKED = 64
"""Compressed texts and profiles of a PNG, of which each may unfold to 1 MiB."""

MAX_PLAIN_BYTES = 8 * 2**20
"""Bytes of a PPM that is written in decimal digits."""
MAX_COMMENTS = 100
"""Comments in it, for each of which Pillow copies a block of 1 MiB."""

MAX_TAGS = 4_096
"""Tags of a TIFF."""
MAX_STRIPS = 100_000
"""Strips or tiles of a TIFF."""
MAX_NUMBERS = 200_000
"""Numbers in a tag of a TIFF; the largest usual one is the palette of 16 bits."""
MIN_TILE = 2**20
"""Pixels that a tile may have, however small the picture."""
COMPRESSIONS = frozenset({1, 2, 3, 4, 5, 7, 8, 32773, 32946, 50000, 50001})
"""How a TIFF may be packed: not at all, CCITT, LZW, JPEG, Deflate, PackBits, Zstandard, WebP.

The JPEG of TIFF 6.0 (6) and LZMA (34925) are not: the first is broken by design, and a stream of
the other says how much memory its decoder takes.
"""


class Metered(io.BytesIO):
    """A file in memory from which only so much is read: a decoder that loops over it ends.

    Raises `ImageError` from `read` when the bytes, the reads or the seconds are spent.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._reads = 0
        self._bytes = 8 * len(data) + 2**20
        self._end = time.thread_time() + MAX_SECONDS

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self._reads += 1
        self._bytes -= len(data)
        if self._reads > MAX_READS or self._bytes < 0:
            raise ImageError(_too_much("a structure of very many or repeated pieces"))
        if (len(data) > 4096 or not self._reads % 1024) and time.thread_time() > self._end:
            raise ImageError(_too_much(f"more than {MAX_SECONDS:g} s of decoding"))
        return data


def check_work(data: bytes, name: str) -> None:
    """Refuse a file that asks more of its decoder than a picture of its size does.

    Raises:
        ImageError: too many bytes, scans, pieces or texts; says which, and the limit.
    """
    if len(data) > MAX_FILE_BYTES:
        raise ImageError(f"{name}: more than {MAX_FILE_BYTES // 2**20} MiB")
    for kind, check in _CHECKS:
        if kind.match(data[:16]) is not None:
            try:
                check(data)
            except ImageError as error:
                raise ImageError(f"{name}: {error}") from error


def _too_much(what: str) -> str:
    return (
        f"decoding takes too much work: {what}; if you trust the file, save it again with an image "
        "program"
    )


def _limited(number: int, most: int, what: str) -> None:
    if number > most:
        raise ImageError(_too_much(f"expected at most {most} {what}, got {number}"))


class _Segment(NamedTuple):
    marker: int
    data: memoryview


_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
"""What ends the data of a scan: all but stuffed zeros and restarts. Source: ITU-T T.81, B.1.1.2.

Of the bytes 0xff that may fill up before a marker the last one is found: a pattern that takes all
of them looks at a run of them again from each of its bytes.
"""
_SOI, _EOI, _SOS, _TEM = 0xD8, 0xD9, 0xDA, 0x01
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def _segments(data: bytes) -> Iterator[_Segment]:
    """The segments of the first picture of a JPEG."""
    place = 2
    while (found := _MARKER.search(data, place)) is not None:
        marker, place = found[1][0], found.end()
        if marker == _EOI:
            return
        if marker < 0xC0 or marker == _SOI:
            continue
        length = int.from_bytes(data[place : place + 2])
        yield _Segment(marker, memoryview(data)[place + 2 : place + length])
        place += max(length, 2)


def _check_jpeg(data: bytes) -> None:
    pixels = scans = segments = notes = 0
    for marker, content in _segments(data):
        segments += marker != _SOS
        if marker in _FRAMES and len(content) >= 5:
            height, width = int.from_bytes(content[1:3]), int.from_bytes(content[3:5])
            pixels = max(pixels, width * height)
        elif marker == _SOS:
            scans += 1
        elif marker >= 0xE0:
            notes += len(content)
        _limited(scans, MAX_SCANS, "scans")
        _limited(scans * pixels, MAX_PASSES, "pixels in all scans together")
        _limited(segments, MAX_SEGMENTS, "segments")
        _limited(notes, MAX_NOTES_BYTES, "bytes of notes")


def _check_png(data: bytes) -> None:
    place, chunks, packed, notes = 8, 0, 0, 0
    while place + 8 <= len(data):
        length, kind = int.from_bytes(data[place : place + 4]), data[place + 4 : place + 8]
        if kind == b"IEND":
            return
        chunks += 1
        if kind in (b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf"):
            notes += length
            packed += kind in (b"zTXt", b"iTXt", b"iCCP")
        _limited(chunks, MAX_CHUNKS, "chunks")
        _limited(packed, MAX_PACKED, "compressed texts")
        _limited(notes, MAX_NOTES_BYTES, "bytes of notes")
        place += 12 + length


def _check_plain(data: bytes) -> None:
    _limited(len(data), MAX_PLAIN_BYTES, "bytes of decimal digits")
    _limited(data.count(b"#"), MAX_COMMENTS, "comments")


def _check_tiff(data: bytes) -> None:
    try:
        tags = Directory(data)
    except NoDirectory:
        return  # nor will Pillow find one
    if data.startswith(b"MM\0+"):
        raise ImageError("a BigTIFF with its high bytes first, which is not read; save it as TIFF")
    _limited(tags.entries, MAX_TAGS, "tags")
    for tag, numbers in tags.counts.items():
        most = MAX_STRIPS if tag in (273, 324) else MAX_NUMBERS
        _limited(numbers, most, f"numbers in tag {tag}")
    packing = tags.first(259, 1)
    if packing not in COMPRESSIONS:
        raise ImageError(
            f"a TIFF with the compression {packing}, which is not read; save it with another one"
        )
    pixels = tags.first(256, 0) * tags.first(257, 0)
    tile = tags.first(322, 0) * tags.first(323, 0)
    _limited(tile, max(MIN_TILE, 4 * pixels), "pixels in a tile")
    held = max(tags.total(279), tags.total(325))
    _limited(held, 2 * len(data) + 2**20, "bytes in all strips together")
    if packing == 7:
        strip = tile or tags.first(256, 0) * min(tags.first(278, 2**32), tags.first(257, 0))
        _limited(data.count(b"\xff\xda") * strip, MAX_PASSES, "pixels in all scans together")


def _check_boxes(data: bytes) -> None:
    _limited(len(data), MAX_BOXED_BYTES, "bytes of AVIF or HEIC")


_CHECKS: tuple[tuple[re.Pattern[bytes], Callable[[bytes], None]], ...] = (
    (re.compile(rb"\xff\xd8\xff"), _check_jpeg),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), _check_png),
    (re.compile(rb"P[123]"), _check_plain),
    (re.compile(rb"II|MM"), _check_tiff),
    (re.compile(rb".{4}ftyp", re.DOTALL), _check_boxes),
)
"""How a file of each kind begins, and what is checked of it. The other kinds (WebP, GIF, BMP, PPM
in bytes) are bounded by their pixels and by `Metered`."""
