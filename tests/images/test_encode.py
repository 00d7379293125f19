"""Which file an image is sent as, and what it costs to find out."""

import numpy as np
import pytest
from PIL import Image as PILImage

from saccade.images import encode as module
from saccade.images.encode import WORTH_IT, encode


def grain(width: int, height: int, noise: float) -> PILImage.Image:
    """Soft shapes with noise: a photograph to both encoders."""
    rng = np.random.default_rng(0)
    soft = PILImage.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    base = np.asarray(soft.resize((width, height), PILImage.Resampling.BICUBIC), np.float32)
    noisy = base + rng.normal(0, noise, base.shape)
    return PILImage.fromarray(noisy.clip(0, 255).astype(np.uint8))


def half_drawn(width: int, height: int) -> PILImage.Image:
    """A photograph above, nothing below."""
    picture = PILImage.new("RGB", (width, height), "white")
    picture.paste(grain(width, height // 3, 4), (0, 0))
    return picture


PICTURES = {
    "photograph": lambda: grain(900, 700, 2),
    "little noise": lambda: grain(900, 700, 0.5),
    "noise": lambda: grain(900, 700, 60),
    "drawing": lambda: PILImage.new("RGB", (900, 700), "white"),
    "half drawn": lambda: half_drawn(900, 700),
    "a few lines": lambda: grain(60_000, 6, 4),
    "fifteen lines": lambda: grain(20_000, 15, 4),
}


@pytest.mark.parametrize("name", PICTURES)
def test_it_is_the_jpeg_where_the_png_is_several_times_larger(name: str) -> None:
    pixels = PICTURES[name]()
    png, jpeg = encode(pixels, "png"), encode(pixels, "jpeg")
    expected = jpeg if WORTH_IT * len(jpeg.data) < len(png.data) else png
    assert encode(pixels, "auto") == expected


def test_no_png_of_a_photograph_is_made_to_find_out(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    real = module._png

    def counted(pixels: PILImage.Image) -> module.EncodedImage:
        made.append(pixels.width * pixels.height)
        return real(pixels)

    monkeypatch.setattr(module, "_png", counted)
    pixels = PICTURES["photograph"]()
    assert encode(pixels, "auto").media_type == "image/jpeg"
    assert sum(made) < pixels.width * pixels.height / 7
