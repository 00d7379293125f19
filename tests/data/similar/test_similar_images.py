"""Copies of an image are found; other images, and scenes of the same layout, are not."""

import io

import numpy as np
import pytest
from building import noise, plain
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage
from PIL import ImageDraw

from saccade.data.similar.images import (
    MAX_COMPARED,
    Copy,
    ImageIndex,
    ImageSketch,
    difference,
    key_of,
    sketch_image,
    sketch_pixels,
)
from saccade.images.geometry import Box
from saccade.images.image import Image
from saccade.world import tasks


def scene(seed: int) -> PILImage.Image:
    return next(tasks("read", n=1, seed=seed, split="train")).images[0].pixels()


def again(pixels: PILImage.Image, scale: float, quality: int) -> PILImage.Image:
    """Resized and compressed again."""
    size = (round(pixels.width * scale), round(pixels.height * scale))
    buffer = io.BytesIO()
    pixels.resize(size).save(buffer, "JPEG", quality=quality)
    return PILImage.open(buffer).convert("RGB")


def page(word: str, at: int) -> PILImage.Image:
    """A white page with twelve lines of bars; pages differ in where bars end."""
    drawn = PILImage.new("RGB", (400, 400), "white")
    pen = ImageDraw.Draw(drawn)
    rng = np.random.default_rng(at)
    for line in range(12):
        pen.rectangle(
            (20, 20 + 30 * line, 40 + int(rng.integers(100, 340)), 34 + 30 * line), "black"
        )
    pen.text((300, 380), word, "black")
    return drawn


@pytest.fixture(scope="module")
def index() -> ImageIndex:
    made = ImageIndex()
    for seed in range(12):
        made.add(sketch_pixels(scene(seed), digest=f"s{seed}"))
    return made


@pytest.mark.parametrize(("scale", "quality"), [(0.5, 80), (0.25, 60), (1.5, 90)])
def test_a_resized_and_compressed_image_is_found(
    index: ImageIndex, scale: float, quality: int
) -> None:
    for seed in (0, 7):
        copies = index.nearest(sketch_pixels(again(scene(seed), scale, quality), digest="copy"))
        assert [copy.place for copy in copies] == [seed]


def test_without_either_test_the_copy_is_not_found_or_others_are(index: ImageIndex) -> None:
    """Both tests are needed: switched off, one hides copies and the other lets strangers in."""
    copy = sketch_pixels(again(scene(7), 0.5, 80), digest="copy")
    assert index.nearest(copy, max_bits=-1) == []
    strangers = index.nearest(copy, max_bits=64, max_difference=np.inf)
    assert len(strangers) == 12
    assert strangers[0].place == 7


def test_another_scene_is_no_copy(index: ImageIndex) -> None:
    for seed in range(12, 20):
        assert index.nearest(sketch_pixels(scene(seed), digest=f"s{seed}")) == []


def test_pages_of_one_layout_are_kept_apart_by_the_second_test() -> None:
    """Their hashes are near: the layout is the same. What is written there is not."""
    pages = [sketch_pixels(page("a", n), digest=str(n)) for n in range(20)]
    made = ImageIndex()
    for one in pages:
        made.add(one)
    by_hash = sum(len(made.nearest(one, max_difference=np.inf)) - 1 for one in pages)
    by_both = sum(len(made.nearest(one)) - 1 for one in pages)
    assert by_hash > 0
    assert by_both == 0


def test_a_mirrored_image_and_a_small_part_are_no_copies(index: ImageIndex) -> None:
    """What is not promised: these go undetected."""
    whole = scene(3)
    for other in (
        whole.transpose(PILImage.Transpose.FLIP_LEFT_RIGHT),
        whole.crop((0, 0, 300, 300)),
    ):
        assert 3 not in [copy.place for copy in index.nearest(sketch_pixels(other, digest="x"))]


def test_of_a_flat_image_only_the_same_file_is_a_copy() -> None:
    made = ImageIndex()
    made.add(sketch_image(plain(60, 60, "white")))
    assert made.nearest(sketch_image(plain(60, 60, "white"))) == [Copy(0, 0, 0.0)]
    assert made.nearest(sketch_image(plain(61, 60, "white"))) == []
    assert made.nearest(sketch_image(plain(60, 60, "black"))) == []


def test_a_part_of_a_file_is_another_image_than_the_whole() -> None:
    whole = noise(200, 200)
    part = whole.cut(Box(0, 0, 100, 100))
    assert key_of(whole) != key_of(part)
    assert key_of(whole) == key_of(Image.from_pixels(whole.pixels()))
    made = ImageIndex()
    made.add(sketch_image(whole))
    assert made.nearest(sketch_image(part)) == []


def test_no_more_than_so_many_are_compared_and_the_nearest_hashes_are() -> None:
    rng = np.random.default_rng(0)
    made = ImageIndex()
    levels = [rng.integers(0, 256, (64, 64), dtype=np.uint8) for _ in range(40)]
    for n, one in enumerate(levels):  # hashes that are 8, 7, ... 0 bits from 0
        made.add(ImageSketch(str(n), (1 << (8 - n // 5)) - 1, one))
    found = made.nearest(ImageSketch("x", 0, levels[39]), max_difference=np.inf)
    assert len(found) == MAX_COMPARED
    assert found[0] == Copy(39, 1, 0.0)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(0.5, 1.5), st.integers(-30, 30))
def test_the_difference_is_one_of_shape_and_not_of_brightness(
    seed: int, contrast: float, shift: int
) -> None:
    """0 of an image and itself, the same both ways, and little for a brighter or paler one."""
    rng = np.random.default_rng(seed)
    levels = rng.integers(60, 190, (64, 64)).astype(np.uint8)
    one = ImageSketch("a", 0, levels)
    pale = ImageSketch("b", 0, np.clip(levels * contrast + shift, 0, 255).astype(np.uint8))
    other = ImageSketch("c", 0, rng.integers(60, 190, (64, 64)).astype(np.uint8))
    assert difference(one, one) == 0
    assert difference(one, other) == pytest.approx(difference(other, one))
    if 60 * contrast + shift >= 0 and 190 * contrast + shift <= 255:
        assert difference(one, pale) < 0.1
