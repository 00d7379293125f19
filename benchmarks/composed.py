"""Photographs with one small word, composed: textured ground, clutter, a sign seen askew.

Nothing of it knows the reader. The word is 1.5 to 3.2 pixels high in a view of one megapixel and
at least 6 in the photograph (height of its capitals before the sign is turned). Everything
follows from (seed, number), and from the sizes if others are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

VIEW_PIXELS = 1_000_000
SIZES = ((3456, 2304), (4000, 3000), (4896, 3264), (5600, 3730), (6000, 4000), (2448, 3264))
"""Sizes of the photographs: 8 to 24 megapixels."""

FONTS = ("fonts-dejavu-core", "fonts-liberation")
"""Debian packages whose upright and bold faces are used, all of them."""

WORDS = """
ANCHOR APRICOT BAKERY BALCONY BANNER BARREL BASKET BEACON BICYCLE BLANKET BLOSSOM BOTTLE BRIDGE
BUTTON CABINET CAMERA CANDLE CANYON CARAVAN CARPET CASTLE CEDAR CHERRY CIRCUS CLOVER COFFEE COMET
COPPER COTTON CRICKET CRYSTAL CURTAIN DANCER DESERT DIAMOND DOLPHIN EAGLE EMBER ENGINE FALCON
FEATHER FERRY FIDDLE FLOWER FOREST FOUNTAIN GALLERY GARDEN GARLIC GINGER GLACIER GRANITE HAMMER
HARBOR HARVEST HAZEL HELMET HONEY HORIZON ISLAND IVORY JACKET JASMINE JUNGLE KETTLE KITCHEN LADDER
LAGOON LANTERN LEATHER LEMON LIBRARY LILAC LOBSTER MAGNET MARBLE MARKET MEADOW MELON METEOR MIRROR
MUSEUM MUSTARD NEEDLE OCEAN OLIVE ORANGE ORCHARD ORCHID OYSTER PADDLE PALACE PANTHER PAPAYA PEBBLE
PENCIL PEPPER PIANO PICNIC PILLOW PLANET POCKET POTTERY PUMPKIN PUZZLE RABBIT RADIO RAVEN RIBBON
RIVER ROCKET SADDLE SAFFRON SAILOR SALMON SANDAL SATURN SHADOW SILVER SPARROW SPIRAL SPRING STATION
SUMMER SUNRISE TEMPLE THUNDER TICKET TIMBER TOMATO TROPHY TULIP TUNNEL TURTLE VALLEY VANILLA VELVET
VILLAGE VIOLIN WALNUT WILLOW WINDOW WINTER ZEPHYR
""".split()  # noqa: SIM905


class Photograph(NamedTuple):
    """A composed photograph, and the truth about it."""

    pixels: Image.Image
    word: str
    choices: tuple[str, ...]
    """Four words, the right one among them."""
    box: tuple[int, int, int, int]
    """Left, top, right and bottom of the sign, in pixels of the photograph."""
    height: int
    """Height of the word's capitals in pixels of the photograph."""


def fonts() -> list[Path]:
    """List the faces of the packages.

    Raises:
        SystemExit: a package is not installed.
    """
    found = []
    for folder, package in zip(("dejavu", "liberation"), FONTS, strict=True):
        faces = sorted(Path("/usr/share/fonts/truetype", folder).glob("*.ttf"))
        if not faces:
            raise SystemExit(f"no fonts: apt-get install {package}")
        found += [f for f in faces if "Oblique" not in f.name and "Italic" not in f.name]
    return found


def compose(seed: int, number: int, sizes: Sequence[tuple[int, int]] = SIZES) -> Photograph:
    """Compose one photograph; the same for the same seed and number."""
    rng = np.random.default_rng([seed, number])
    size = sizes[rng.integers(len(sizes))]
    scale = (size[0] * size[1] / VIEW_PIXELS) ** 0.5
    in_view = rng.uniform(max(1.5, 6 / scale), 3.2)
    height = max(6, round(in_view * scale))
    names = rng.permutation(WORDS)[:4].tolist()
    word = names[0]
    photograph = _ground(rng, size)
    _clutter(rng, photograph)
    sign = _sign(rng, word, height)
    x = int(rng.integers(0, size[0] - sign.width))
    y = int(rng.integers(0, size[1] - sign.height))
    photograph.paste(sign, (x, y), sign)
    choices = tuple(names[i] for i in rng.permutation(4))
    box = (x, y, x + sign.width, y + sign.height)
    return Photograph(_noisy(rng, photograph), word, choices, box, height)


def _ground(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Draw a texture of three scales about a colour."""
    sum_ = np.zeros((size[1], size[0], 3), np.float32)
    for cells, strength in ((8, 55), (48, 35), (260, 18)):
        coarse = 128 + strength * rng.normal(0, 1, (cells, cells, 3))
        texture = Image.fromarray(np.clip(coarse, 0, 255).astype(np.uint8))
        sum_ += np.asarray(texture.resize(size, Image.Resampling.BICUBIC), np.float32) - 128
    return Image.fromarray(np.clip(sum_ + rng.uniform(80, 170, 3), 0, 255).astype(np.uint8))


def _clutter(rng: np.random.Generator, photograph: Image.Image) -> None:
    """Draw shapes and lines that are no text."""
    draw = ImageDraw.Draw(photograph)
    for _ in range(60):
        x, y = (int(rng.integers(0, side)) for side in photograph.size)
        w, h = (int(v) for v in rng.integers(20, 500, 2))
        colour = tuple(int(v) for v in rng.integers(0, 256, 3))
        shape = rng.integers(3)
        if shape == 0:
            draw.rectangle((x, y, x + w, y + h), fill=colour)
        elif shape == 1:
            draw.ellipse((x, y, x + w, y + h), fill=colour)
        else:
            draw.line((x, y, x + w, y + h), fill=colour, width=int(rng.integers(2, 12)))


def _sign(rng: np.random.Generator, word: str, height: int) -> Image.Image:
    """Draw a plate with the word, in perspective, turned and out of focus (RGBA)."""
    faces = fonts()
    written = word if rng.random() < 0.7 else word.title()
    font = _font(faces[rng.integers(len(faces))], height)
    left, top, right, bottom = font.getbbox(written)
    ink = int(right - left), int(bottom - top)
    plate = int(ink[0] * 1.4 + height), int(ink[1] * 2 + 4)
    dark = bool(rng.random() < 0.5)
    ground = rng.integers(0, 70, 3) if dark else rng.integers(190, 256, 3)
    letters = rng.integers(200, 256, 3) if dark else rng.integers(0, 60, 3)
    sign = Image.new("RGBA", plate, (*map(int, ground), 255))
    place = ((plate[0] - ink[0]) / 2 - left, (plate[1] - ink[1]) / 2 - top)
    ImageDraw.Draw(sign).text(place, written, font=font, fill=(*map(int, letters), 255))
    w, h = plate
    k = rng.normal(0, 0.06, 8)
    corners = (
        k[0] * w, k[1] * h, k[2] * w, h + k[3] * h,
        w + k[4] * w, h + k[5] * h, w + k[6] * w, k[7] * h,
    )  # fmt: skip
    bicubic = Image.Resampling.BICUBIC
    sign = sign.transform(plate, Image.Transform.QUAD, corners, bicubic)
    sign = sign.rotate(rng.uniform(-8, 8), expand=True, resample=bicubic)
    return sign.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9)))


def _font(face: Path, height: int) -> ImageFont.FreeTypeFont:
    """Load a face at the size at which its capitals have this height."""
    for points in range(height, 4 * height):
        font = ImageFont.truetype(str(face), points)
        _, top, _, bottom = font.getbbox("H")
        if bottom - top >= height:
            return font
    raise ValueError(f"{face}: no size is {height} pixels high")


def _noisy(rng: np.random.Generator, photograph: Image.Image) -> Image.Image:
    """Add the noise of a sensor."""
    pixels = np.asarray(photograph, np.float32)
    noise = rng.normal(0, 5, (*pixels.shape[:2], 1)).astype(np.float32)
    return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))
