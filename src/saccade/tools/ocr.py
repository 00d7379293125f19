"""Optical character recognition with a pretrained detector and recogniser, offline.

The weights are PP-OCRv6 (small), as the package `rapidocr` carries them, and run on onnxruntime.
The cost of an image is bounded by its pixels. Recognition stops at a deadline and reports how many
lines it left unread. It is no defence against text that was made to be misread.
"""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image as PILImage

from saccade.errors import MissingExtra
from saccade.images.geometry import Box, Size

if TYPE_CHECKING:
    from rapidocr import RapidOCR

MAX_RATIO = 16
"""Ratio of sides to which a longer image is squeezed, so that its pixels bound its cost."""

PADDED_RATIO = 8
"""Ratio of sides to which a longer image is padded: the detector enlarges the short side to 736
pixels."""

_MIN_SIDE = 64
_BATCH = 6
_THREAD = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ocr")
"""The one thread that may call the engine, which may itself use several cores."""


class Line(NamedTuple):
    """A line of text, or what looks like one."""

    text: str
    """The text; empty if the line was found but not read."""
    box: Box
    """The upright box, in pixels of the image that was read."""
    confidence: float
    """Mean probability of the characters, in [0, 1]; 0 if the line was not read."""


class Reading(NamedTuple):
    """The text that was found in an image."""

    lines: tuple[Line, ...]
    """The lines from top to bottom."""
    left: int = 0
    """Number of lines that were found but not read before the deadline."""


async def read(pixels: PILImage.Image, *, max_seconds: float, threads: int = 2) -> Reading:
    """Read an image outside the event loop; a process reads one image at a time.

    Args:
        pixels: An RGB image; reading takes about a second per megapixel.
        max_seconds: The deadline after which no further line is begun.
        threads: Number of cores that one read may use.

    Raises:
        MissingExtra: the extra `ocr` is not installed.
    """
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_THREAD, read_now, pixels, max_seconds, threads)


def read_now(pixels: PILImage.Image, max_seconds: float, threads: int = 2) -> Reading:
    """Read an image in the calling thread; not to be used by several threads at a time.

    Raises:
        MissingExtra: the extra `ocr` is not installed.
    """
    engine = _engine(threads)
    deadline = time.monotonic() + max_seconds
    squeezed = _squeezed(pixels)
    x, y = pixels.width / squeezed.width, pixels.height / squeezed.height
    found = _detect(engine, _padded(squeezed))
    lines, left = [], 0
    for start in range(0, len(found), _BATCH):
        batch = found[start : start + _BATCH]
        late = time.monotonic() > deadline
        texts = [("", 0.0)] * len(batch) if late else _recognise(engine, [b.cut for b in batch])
        left += len(batch) if late else 0
        for (text, confidence), piece in zip(texts, batch, strict=True):
            box = piece.box.scale(x, y).clamp(Size(*pixels.size))
            if box.width > 0 and box.height > 0:
                lines.append(Line(text, box, confidence if text else 0.0))
    return Reading(tuple(sorted(lines, key=lambda line: (line.box.y1, line.box.x1))), left)


class _Piece(NamedTuple):
    box: Box
    cut: np.ndarray
    """(h, w, 3) uint8, turned upright."""


@cache
def _engine(threads: int) -> RapidOCR:
    try:
        from rapidocr import RapidOCR
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "rapidocr", "ocr") from error
    return RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.max_side_len": 1 << 15,  # whoever asks decides what is read
            "Det.box_thresh": 0.4,  # what is hardly text is where to look closer
            "EngineConfig.onnxruntime.intra_op_num_threads": min(threads, os.cpu_count() or 1),
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )


def _squeezed(pixels: PILImage.Image) -> PILImage.Image:
    width, height = pixels.size
    size = min(width, MAX_RATIO * height), min(height, MAX_RATIO * width)
    return pixels if size == pixels.size else pixels.resize(size)


def _padded(pixels: PILImage.Image) -> np.ndarray:
    """The padded image as (H, W, 3) uint8 in the channel order of the engine (BGR).

    The padding is at the right and at the bottom, so that boxes keep their place.
    """
    array = np.asarray(pixels.convert("RGB"))[:, :, ::-1]
    height, width = array.shape[:2]
    below = max(_MIN_SIDE, -(-width // PADDED_RATIO)) - height
    right = max(_MIN_SIDE, -(-height // PADDED_RATIO)) - width
    return np.pad(array, ((0, max(0, below)), (0, max(0, right)), (0, 0)), mode="edge")


def _detect(engine: RapidOCR, array: np.ndarray) -> list[_Piece]:
    found = engine._load_det_model()(array)  # type: ignore[no-untyped-call]
    if found.boxes is None:
        return []
    cuts = engine.crop_text_regions(array, found.boxes)
    boxes = [Box(*map(float, (*quad.min(axis=0), *quad.max(axis=0)))) for quad in found.boxes]
    return [_Piece(*pair) for pair in zip(boxes, cuts, strict=True) if min(pair[1].shape[:2]) > 0]


def _recognise(engine: RapidOCR, cuts: list[np.ndarray]) -> list[tuple[str, float]]:
    upright, _ = engine.cls_and_rotate(cuts)
    read = engine.recognize_txt(upright)
    texts, scores = read.txts or (), read.scores or ()
    return [(text.strip(), float(score)) for text, score in zip(texts, scores, strict=True)]
