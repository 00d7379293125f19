"""In which frame a model writes boxes, told from boxes on drawn targets."""

import random
from collections.abc import Callable

import pytest
from asking import found
from pydantic import JsonValue
from seeing import Seeing

from saccade.canary.boxes import find_frame
from saccade.canary.frames import FRAMES, Frame, Located, Scale, targets, tell_frame
from saccade.images.geometry import Box, CoordSpace, Size


def located(
    frame: Frame, *, noise: float = 0.0, resize: Callable[[Size], float] = lambda _: 1.0
) -> list[Located]:
    """Boxes that a model with this frame writes about targets of the canary's sizes."""
    rng, made = random.Random(5), []
    for size in (Size(476, 308), Size(560, 1092), Size(1344, 1792)):
        for target, _ in zip(targets(rng, size), range(2), strict=False):
            factor = resize(size)
            seen = Size(round(size.width * factor), round(size.height * factor))
            off = [rng.uniform(-noise, noise) * side for side in (*size, *size)]
            box = Box(*(v + o for v, o in zip(target, off, strict=True))).scale(factor, factor)
            made.append(Located(target, size, frame.from_pixels(box, seen)))
    return made


@pytest.mark.parametrize("frame", FRAMES, ids=str)
@pytest.mark.parametrize("noise", [0.0, 0.04])
def test_each_frame_is_told(frame: Frame, noise: float) -> None:
    told = tell_frame(located(frame, noise=noise))
    assert (told.frame, told.fits, told.resized) == (frame, 6, ())


@pytest.mark.parametrize("frame", FRAMES, ids=str)
def test_a_target_is_meant_by_one_frame_only(frame: Frame) -> None:
    for one in located(frame):
        assert one.written is not None
        others = [other for other in FRAMES if other != frame]
        assert max(one.target.iou(o.to_pixels(one.written, one.size)) for o in others) < 0.5


def test_relative_frames_do_not_mind_a_server_that_resizes() -> None:
    told = tell_frame(located(Frame(CoordSpace.RELATIVE_1000), resize=lambda _: 0.4))
    assert (told.frame, told.resized) == (Frame(CoordSpace.RELATIVE_1000), ())


def test_pixels_of_an_image_that_was_resized_are_told() -> None:
    def at_most_768(size: Size) -> float:
        return min(1.0, 768 / max(size))

    told = tell_frame(located(Frame(CoordSpace.ABSOLUTE), resize=at_most_768, noise=0.02))
    assert told.frame == Frame(CoordSpace.ABSOLUTE)
    assert [scale.size for scale in told.resized] == [Size(560, 1092), Size(1344, 1792)]
    for scale in told.resized:
        assert scale.factor == pytest.approx(at_most_768(scale.size), rel=0.1)
    assert not told.everywhere
    everywhere = tell_frame(located(Frame(CoordSpace.ABSOLUTE), resize=lambda _: 0.5))
    assert everywhere.everywhere, "no budget of pixels mends it"
    assert all(isinstance(scale, Scale) for scale in everywhere.resized)


@pytest.mark.parametrize("square", [100, 448, 768])
def test_pixels_of_a_square_are_not_taken_for_those_of_a_resized_image(square: int) -> None:
    boxes = [
        one._replace(written=tuple(
            square * value / side
            for value, side in zip(one.target, (*one.size, *one.size), strict=True)
        ))
        for one in located(FRAMES[0])
    ]  # fmt: skip
    told = tell_frame(boxes)
    assert (told.frame, told.resized) == (None, ())


@pytest.mark.parametrize(
    "written", [None, (1, 2, 3, 4), (0, 0, 0, 0), (9, 9, 1, 1), (0, 0, 1000, 1000)]
)
def test_boxes_that_fit_no_frame_tell_nothing(written: tuple[float, ...] | None) -> None:
    boxes = [one._replace(written=written) for one in located(FRAMES[0])]
    assert tell_frame(boxes).frame is None
    assert tell_frame([]).frame is None


@pytest.mark.parametrize(
    ("frame", "state", "coords", "says"),
    [
        ("absolute", "ok", "absolute", "boxes are absolute"),
        ("relative_1000", "warning", "relative_1000", "environment.coords=absolute misreads them"),
        ("relative_1", "warning", "relative_1", "misreads"),
        ("yx_1000", "warning", "relative_1000", "boxes are relative_1000 (mean"),
        ("stubborn_1000", "warning", None, "as [y1, x1, y2, x2] (mean"),
        ("nowhere", "undecided", None, "no frame explains"),
    ],
)  # fmt: skip
def test_the_frame_of_a_server_becomes_a_line(
    frame: str, state: str, coords: str | None, says: str
) -> None:
    view: JsonValue = {"view": {"max_pixels": 120_000}}
    one = found(Seeing(frame=frame), lambda probe: find_frame(probe, seed=0), environment=view)
    assert one.state == state
    assert one.lines.get("environment.coords") == coords
    assert says in one.text
    assert one.asked == 6
    assert one.replies


def test_a_server_that_resizes_is_found_by_its_boxes() -> None:
    view: JsonValue = {"view": {"max_pixels": 240_000}}
    shrinking = found(
        Seeing(longest=320), lambda probe: find_frame(probe, seed=0), environment=view
    )
    assert "336x700 as about 154x321" in shrinking.text
    assert shrinking.lines["environment.view.max_pixels"] == pytest.approx(154 * 321, rel=0.02)
    growing = found(Seeing(least=400), lambda probe: find_frame(probe, seed=0))
    assert growing.state == "warning"
    assert "environment.view.min_pixels" in growing.lines
