"""Laws of boxes, coordinate frames and pixel budgets."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from saccade.errors import ImageError
from saccade.images.geometry import Box, CoordSpace, PixelBudget, Size

sides = st.integers(1, 20_000)
sizes = st.builds(Size, sides, sides)
small = st.floats(-50, 50, allow_nan=False)
boxes = st.builds(Box, small, small, small, small)


@st.composite
def budgets(draw: st.DrawFn) -> PixelBudget:
    factor = draw(st.sampled_from([14, 28, 32]))
    cells = draw(st.integers(1, 64))
    least = draw(st.integers(1, cells * cells * factor * factor))
    most = draw(st.integers(cells * cells * factor * factor, 2 * (cells + 1) ** 2 * factor**2))
    return PixelBudget(factor=factor, min_pixels=least, max_pixels=most)


@given(budgets(), sizes)
def test_fit_is_idempotent_and_returns_a_legal_size(budget: PixelBudget, size: Size) -> None:
    fitted = budget.fit(size)
    assert budget.fit(fitted) == fitted
    assert fitted.width % budget.factor == 0 == fitted.height % budget.factor
    assert budget.min_pixels <= fitted.width * fitted.height <= budget.max_pixels
    assert max(fitted) <= 200 * min(fitted)


@given(budgets(), sizes)
def test_fit_treats_both_sides_alike(budget: PixelBudget, size: Size) -> None:
    turned = budget.fit(Size(size.height, size.width))
    assert (turned.height, turned.width) == budget.fit(size)


def qwen_smart_resize(height: int, width: int, f: int, low: int, high: int) -> tuple[int, int]:
    """The rule as the public Qwen2-VL processor documents it, in floating point."""
    h, w = round(height / f) * f, round(width / f) * f
    if h * w > high:
        beta = math.sqrt(height * width / high)
        h = max(f, math.floor(height / beta / f) * f)
        w = max(f, math.floor(width / beta / f) * f)
    elif h * w < low:
        beta = math.sqrt(low / (height * width))
        h, w = math.ceil(height * beta / f) * f, math.ceil(width * beta / f) * f
    return h, w


@given(st.integers(28, 9000), st.integers(28, 9000))
def test_fit_is_the_qwen_rule_up_to_its_rounding_errors(height: int, width: int) -> None:
    budget = PixelBudget(factor=28, min_pixels=4 * 28 * 28, max_pixels=1280 * 28 * 28)
    theirs = qwen_smart_resize(height, width, 28, budget.min_pixels, budget.max_pixels)
    ours = budget.fit(Size(width, height))
    limits = (budget.min_pixels, budget.max_pixels)
    exact = [math.sqrt(p * r) / 28 for p in limits for r in (height / width, width / height)]
    at_boundary = any(abs(cells - round(cells)) < 1e-9 for cells in exact)
    legal = max(theirs) <= 200 * min(theirs) and limits[0] <= theirs[0] * theirs[1] <= limits[1]
    if legal and not at_boundary:
        assert (ours.height, ours.width) == theirs


def test_a_square_cut_keeps_its_shape_at_an_exact_budget() -> None:
    budget = PixelBudget(factor=14, min_pixels=196, max_pixels=784)
    assert budget.fit(Size(48, 48)) == (28, 28)


def test_a_thin_image_over_the_budget_stays_thin() -> None:
    """One cell high, and as long as the budget allows: the public rule would go over it."""
    budget = PixelBudget(factor=28, min_pixels=784, max_pixels=16 * 784)
    assert budget.fit(Size(5000, 30)) == (448, 28)
    assert budget.fit(Size(30, 5000)) == (28, 448)


def test_slack_lets_every_small_cut_become_a_square() -> None:
    budget = PixelBudget(factor=14, min_pixels=400, max_pixels=800)
    assert {budget.fit(Size(n, n)) for n in range(1, 400)} == {(28, 28)}


@pytest.mark.parametrize(
    ("low", "high"), [(1, 195), (300, 700), (0, 800)], ids=["no cell", "no square", "zero"]
)
def test_a_budget_without_a_legal_size_is_refused(low: int, high: int) -> None:
    with pytest.raises(ValidationError):
        PixelBudget(factor=14, min_pixels=low, max_pixels=high)


@pytest.mark.parametrize("size", [Size(0, 5), Size(5, 0), Size(-3, 4)])
def test_a_size_without_pixels_is_refused(size: Size) -> None:
    with pytest.raises(ImageError, match="at least 1 pixel"):
        PixelBudget().fit(size)


@given(boxes, sizes, st.sampled_from(list(CoordSpace)))
def test_frames_are_inverse(box: Box, size: Size, frame: CoordSpace) -> None:
    back = frame.to_pixels(frame.from_pixels(box, size), size)
    assert all(
        math.isclose(a, b, abs_tol=1e-9, rel_tol=1e-9) for a, b in zip(back, box, strict=True)
    )


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_the_whole_image_in_every_frame(width: int, height: int) -> None:
    whole, size = Box(0, 0, width, height), Size(width, height)
    assert CoordSpace.ABSOLUTE.from_pixels(whole, size) == whole
    assert CoordSpace.RELATIVE_1000.from_pixels(whole, size) == pytest.approx((0, 0, 1000, 1000))
    assert CoordSpace.RELATIVE_1.from_pixels(whole, size) == pytest.approx((0, 0, 1, 1))


whole_boxes = st.tuples(*[st.integers(0, 12)] * 4).map(lambda v: Box(*map(float, v)))


def cells(box: Box) -> set[tuple[int, int]]:
    """The unit cells that a box with whole corners covers: an oracle by counting."""
    x1, y1, x2, y2 = map(int, box)
    return {(x, y) for x in range(x1, x2) for y in range(y1, y2)}


@given(whole_boxes, whole_boxes)
def test_overlap_is_what_counting_cells_gives(a: Box, b: Box) -> None:
    shared, union = cells(a) & cells(b), cells(a) | cells(b)
    assert a.area == len(cells(a))
    assert a.iou(b) == pytest.approx(len(shared) / len(union) if union else 0)
    assert a.coverage(b) == pytest.approx(len(shared) / len(cells(b)) if cells(b) else 0)


@given(boxes, st.floats(0.5, 80), st.floats(0.5, 80), st.builds(Size, *[st.integers(1, 60)] * 2))
def test_a_resized_box_lies_in_the_image(box: Box, width: float, height: float, size: Size) -> None:
    grown = box.resize_about_centre(width, height, size)
    assert grown.width == pytest.approx(min(width, size.width))
    assert grown.height == pytest.approx(min(height, size.height))
    assert grown.x1 >= 0
    assert grown.y1 >= 0
    assert grown.x2 <= size.width + 1e-9
    assert grown.y2 <= size.height + 1e-9
