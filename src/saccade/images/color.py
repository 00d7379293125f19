"""What the numbers of a pixel mean: colour profiles, transparency, and levels of other depths.

Everything ends as 8-bit RGB. The rules are deterministic, and part of every fingerprint
(`saccade.env.PIXEL_RULES`).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage
from PIL import ImageCms

from saccade.errors import ImageError

MAX_PROFILE_BYTES = 4 * 2**20
"""Larger colour profiles are not used."""

SAME_COLOURS = 2
"""A profile that moves no colour by more levels (of 255) is sRGB under another name."""

STRIP_PIXELS = 2**18
"""Pixels whose levels are an array at the same time."""

Levels = npt.NDArray[np.generic]

HAIR = 0.5 / 255
"""Floats that lie so far outside of their range, as a part of it, are clipped: resampling and
rounding go so far."""
DIM = 16.0
"""Floats from 0 to 255 have a higher level than this; of those between, nobody knows the white."""


class Color(StrEnum):
    """How colours are shown."""

    SRGB = "srgb"
    """A colour profile that is embedded in a file is converted to sRGB, as browsers show it."""
    AS_STORED = "as_stored"
    """Profiles are ignored, as by a program that decodes a file and looks no further."""


_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Colour space of a profile -> the mode of its pixels. Source: ICC.1:2022, 7.2.8."""


class Profile:
    """A colour profile: what it does to the pixels of the modes that it is for."""

    def __init__(self, data: bytes) -> None:
        """Read a profile.

        Raises:
            ImageError: it is broken, too large, or for a space in which pixels are not stored.
        """
        if len(data) > MAX_PROFILE_BYTES:
            raise ImageError(f"a profile of more than {MAX_PROFILE_BYTES} bytes")
        try:
            opened = ImageCms.ImageCmsProfile(io.BytesIO(data))
            space = opened.profile.xcolor_space.strip()
            self.mode = _MODES[space]
            self._transform = ImageCms.buildTransform(
                opened,
                ImageCms.createProfile("sRGB"),
                self.mode,
                "RGB",
                flags=ImageCms.Flags.NOCACHE,  # threads share it
            )
        except KeyError:
            raise ImageError(f"a profile for the colour space {space!r}") from None
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
            raise ImageError(f"a broken profile ({error})") from error
        self.changes = self._changes()
        """Whether it moves any colour; most profiles are sRGB, and change nothing."""

    def fits(self, mode: str) -> bool:
        """Whether pixels of a mode are in the space of the profile, once they are 8-bit levels."""
        grey = mode in ("1", "L", "LA", "F") or mode.startswith("I")
        return self.mode == ("CMYK" if mode == "CMYK" else "L" if grey else "RGB")

    def to_srgb(self, pixels: PILImage.Image) -> PILImage.Image:
        """Pixels of `mode` as sRGB."""
        if pixels.mode != self.mode:
            pixels = pixels.convert(self.mode)
        shown = ImageCms.applyTransform(pixels, self._transform)
        assert shown is not None  # only a transform in place returns None
        return shown

    def _changes(self) -> bool:
        if self.mode == "CMYK":
            return True
        side = np.arange(0, 256, 15, dtype=np.uint8)
        levels = side if self.mode == "L" else np.stack(np.meshgrid(side, side, side), -1)
        grid = PILImage.fromarray(levels.reshape(1, -1, *levels.shape[3:]))
        shown = np.asarray(self.to_srgb(grid), np.int16)
        return bool(np.abs(shown - np.asarray(grid.convert("RGB"), np.int16)).max() > SAME_COLOURS)


@lru_cache(maxsize=16)
def profile_of(data: bytes) -> Profile | str:
    """A profile, or why it cannot be used."""
    try:
        return Profile(data)
    except ImageError as error:
        return str(error)


def to_rgb(pixels: PILImage.Image, color: Color = Color.SRGB) -> PILImage.Image:
    """The pixels as 8-bit RGB.

    A profile that fits is converted, one that does not is ignored. Transparent pixels are laid on
    white, or on black where what is visible is light: a text stays legible. The ground is that of
    the whole image, so views and crops show the same one.

    Raises:
        ImageError: levels of which nobody knows what is white.
    """
    if pixels.mode == "LAB":
        return _lab_to_srgb(pixels)
    if pixels.mode == "La":  # Pillow converts what is premultiplied to nothing else
        pixels = pixels.convert("LA")
    profile = _profile_in(pixels) if color is Color.SRGB else None
    deep = pixels.mode.startswith("I") or pixels.mode == "F"
    alpha = _alpha(pixels)
    opaque = _eight_bits(pixels) if deep else pixels
    if profile is not None:
        opaque = profile.to_srgb(_without_alpha(opaque))
    rgb = _without_alpha(opaque)
    if rgb is pixels or rgb.mode != "RGB":
        rgb = rgb.convert("RGB")
    return rgb if alpha is None else _on_ground(rgb, alpha)


def _profile_in(pixels: PILImage.Image) -> Profile | None:
    """The profile that changes what is seen."""
    data = pixels.info.get("icc_profile")
    profile = profile_of(data) if isinstance(data, bytes) and data else None
    if not isinstance(profile, Profile) or not profile.changes or not profile.fits(pixels.mode):
        return None
    return profile


def _alpha(pixels: PILImage.Image) -> PILImage.Image | None:
    """How opaque each pixel is (mode L), or None where all are."""
    if not pixels.has_transparency_data:
        return None
    if pixels.mode.startswith("I"):  # one level of a deep grey PNG is transparent
        clear = pixels.info["transparency"]
        return _by_strips(pixels, lambda levels: np.where(levels == clear, 0, 255))
    held = pixels if pixels.mode in ("LA", "RGBA") else pixels.convert("RGBA")
    alpha = held.getchannel("A")
    return None if alpha.getextrema() == (255, 255) else alpha


def _without_alpha(pixels: PILImage.Image) -> PILImage.Image:
    """The colours of the pixels alone, also of those that are not seen."""
    if pixels.mode in ("L", "RGB", "CMYK"):
        return pixels
    if pixels.mode == "LA":
        return pixels.getchannel("L")
    if pixels.mode == "1":
        return pixels.convert("L")
    if pixels.mode != "RGBA" and pixels.has_transparency_data:
        pixels = pixels.convert("RGBA")  # else a palette with alpha lays its colours on black
    return pixels.convert("RGB")


def _on_ground(rgb: PILImage.Image, alpha: PILImage.Image) -> PILImage.Image:
    """The pixels, in place, on white; on black where those that are seen are light on average."""
    counts = np.zeros(256, np.int64)
    for least in (128, 1):  # where nothing is opaque, what is faint decides
        if not counts.any():
            seen = alpha.point([255 if level >= least else 0 for level in range(256)])
            counts = np.array(rgb.convert("L").histogram(mask=seen))
    light = counts @ np.arange(256) > 127 * counts.sum()
    clear = alpha.point([255 - level for level in range(256)])
    rgb.paste((0, 0, 0) if light else (255, 255, 255), (0, 0, *rgb.size), mask=clear)
    return rgb


def _eight_bits(pixels: PILImage.Image) -> PILImage.Image:
    """Deep grey levels scaled to 8 bits.

    Raises:
        ImageError: levels of which nobody knows what is white.
    """
    low, high = _range(pixels)
    top, expected = 65535.0, "0 to 65535"
    if pixels.mode == "F":
        top, expected = 255.0 if high > DIM else 1.0, "0 to 1 or 0 to 255"
    elif pixels.mode == "I" and high <= 255:  # 32 bits for 8: as Pillow shows them
        top = 255.0
    hair = top * HAIR if pixels.mode == "F" else 0.0
    if not (low >= -hair and high <= top + hair):  # NaN is in no range
        raise ImageError(
            f"levels from {low:g} to {high:g}: expected {expected}; scale the image to 8 or 16 bits"
        )
    return _by_strips(
        pixels, lambda levels: levels.astype(np.float32).clip(0, top) / top * 255 + 0.5
    )


def _range(pixels: PILImage.Image) -> tuple[float, float]:
    """The lowest and the highest level; NaN if one is."""
    low, high = np.float32(0), np.float32(0)
    for _, levels in _strips(pixels):
        low = np.minimum(low, levels.astype(np.float32).min())
        high = np.maximum(high, levels.astype(np.float32).max())
    return float(low), float(high)


def _by_strips(pixels: PILImage.Image, levels_of: Callable[[Levels], Levels]) -> PILImage.Image:
    """Levels of 8 bits, made strip by strip: arrays of whole photographs do not fit in memory."""
    made = PILImage.new("L", pixels.size)
    for top, levels in _strips(pixels):
        made.paste(PILImage.fromarray(levels_of(levels).astype(np.uint8)), (0, top))
    return made


def _strips(pixels: PILImage.Image) -> Iterator[tuple[int, Levels]]:
    """The first row of each strip, and its levels."""
    rows = max(1, STRIP_PIXELS // max(1, pixels.width))
    for top in range(0, pixels.height, rows):
        bottom = min(top + rows, pixels.height)
        yield top, np.asarray(pixels.crop((0, top, pixels.width, bottom)))


def _lab_to_srgb(pixels: PILImage.Image) -> PILImage.Image:
    transform = ImageCms.buildTransform(
        ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
    )
    shown = ImageCms.applyTransform(pixels, transform)
    assert shown is not None  # only a transform in place returns None
    return shown
