"""Pictures in the forms in which programs hold them."""

import base64
import io
from pathlib import Path, PurePath
from urllib.parse import quote_from_bytes

import numpy as np
import pytest
from pictures import encoded, scene, turned
from PIL import Image as PILImage

from saccade.errors import ImageError
from saccade.images.given import image_of
from saccade.images.image import Image

PNG = encoded(scene())
ARRAY = np.asarray(scene())


class Tensor:
    """What a tensor on a device that wants gradients is like."""

    def detach(self) -> "Tensor":
        return self

    def cpu(self) -> np.ndarray:
        return ARRAY


class Lazy:
    """What turns into an array."""

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return ARRAY


FORMS = {
    "bytes": PNG,
    "bytearray": bytearray(PNG),
    "memoryview": memoryview(PNG),
    "base64": f"data:image/png;base64,{base64.b64encode(PNG).decode()}",
    "base64 in capitals": f"DATA:image/png;BASE64,{base64.b64encode(PNG).decode()}",
    "base64 in lines": "data:image/png;base64,\n" + base64.encodebytes(PNG).decode(),
    "base64 without padding": f"data:;base64,{base64.b64encode(PNG).decode().rstrip('=')}",
    "percent": f"data:image/png,{quote_from_bytes(PNG)}",
    "Image": Image.from_bytes(PNG),
    "pixels": scene(),
    "premultiplied": scene().convert("RGBA").convert("RGBa"),
    "an opened file": PILImage.open(io.BytesIO(PNG)),
    "uint8": ARRAY,
    "float": ARRAY / 255,
    "float32": (ARRAY / 255).astype(np.float32),
    "not contiguous": np.ascontiguousarray(ARRAY[::-1])[::-1],
    "RGBA": np.dstack([ARRAY, np.full(ARRAY.shape[:2], 255, np.uint8)]),
    "lazy": Lazy(),
    "a hair outside": (ARRAY / 255 - 0.5) * 1.003 + 0.5,
}


@pytest.mark.parametrize("given", FORMS.values(), ids=FORMS)
def test_each_form_is_the_same_picture(given: object) -> None:
    assert image_of(given, 1).pixels().tobytes() == scene().tobytes()


def test_a_path_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    for given in (path, str(path), PurePath(path)):
        assert image_of(given, 1) == Image.from_bytes(PNG)


@pytest.mark.parametrize("shape", [(32, 48), (32, 48, 1)])
def test_a_grey_array_has_one_channel_or_none(shape: tuple[int, ...]) -> None:
    grey = ARRAY[:, :, 0].reshape(shape)
    shown = np.asarray(image_of(grey, 1).pixels())
    assert np.array_equal(shown, np.repeat(ARRAY[:, :, :1], 3, axis=2))


def test_a_premultiplied_grey_picture_is_taken_like_any() -> None:
    grey = scene().convert("LA")
    shown = image_of(grey.convert("La"), 1).pixels()
    assert shown.tobytes() == image_of(grey, 1).pixels().tobytes()


def test_a_tensor_is_taken_like_an_array() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(ARRAY / 255, requires_grad=True)
    assert image_of(tensor, 1).pixels().tobytes() == scene().tobytes()
    with pytest.raises(ImageError, match=r"image 2: .*channels stand first"):
        image_of(tensor.permute(2, 0, 1), 2)
    with pytest.raises(ImageError, match="image 1: Tensor is no NumPy array"):
        image_of(tensor.bfloat16(), 1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_an_opened_file_is_turned_like_the_file_and_made_pixels_are_not(kind: str) -> None:
    data = encoded(scene(), kind, exif=turned(6))
    opened = PILImage.open(io.BytesIO(data))
    assert image_of(opened, 1).pixels().tobytes() == Image.from_bytes(data).pixels().tobytes()
    made = PILImage.open(io.BytesIO(data)).convert("RGB")
    assert image_of(made, 1).size == made.size


def test_what_the_user_draws_later_does_not_show() -> None:
    for given in (scene(), ARRAY.copy()):
        image = image_of(given, 1)
        if isinstance(given, np.ndarray):
            given[:] = 0
        else:
            given.paste((0, 0, 0), (0, 0, *given.size))
        assert image.pixels().tobytes() == scene().tobytes()


WRONG = {
    "None": (None, r"image 3: expected a path, .*got NoneType; a question without images has \[\]"),
    "a number": (7, "image 3: expected a path, .*got int"),
    "a list": ([PNG], "image 3: expected a path, .*got list"),
    "a stream": (io.BytesIO(PNG), r"image 3: expected a path, .*got BytesIO; file.read\(\)"),
    "empty bytes": (b"", r"image 3 \(bytes\): not an image"),
    "integers": (ARRAY.astype(int), "image 3: expected an array of uint8 .* got int64"),
    "a mask": (ARRAY[:, :, 0] > 3, "image 3: .* got bool"),
    "floats over 1": (ARRAY * 1.0, r"expected floats from 0 to 1, got 0 to 255; .*astype\('uint8'"),
    "negative floats": (ARRAY / -255, "expected floats from 0 to 1, got -1 to -?0"),
    "no number": (np.full((2, 2), np.nan), "expected floats from 0 to 1, got nan"),
    "channels first": (ARRAY.transpose(2, 0, 1), r"channels stand first: array.transpose\(1, 2, 0"),
    "a batch": (ARRAY[None], r"got the shape \(1, 32, 48, 3\)"),
    "two channels": (ARRAY[:, :, :2], r"got the shape \(32, 48, 2\)"),
    "no pixel": (ARRAY[:0], r"image 3 \(an array\): an image needs at least one pixel"),
    "base64 that is none": ("data:image/png;base64,???", "image 3 .*: not base64"),
    "a cut URI": ("data:image/png;base64," + base64.b64encode(PNG[:40]).decode(), "image 3 .data:"),
    "another scheme": ("s3://bucket/a.png", "s3://bucket/a.png: expected a path, or an http"),
    "a file URL": ("file:///tmp/a.png", "file:///tmp/a.png: expected a path, or an http"),
    "no file": ("missing.png", "missing.png: cannot be read"),
    "an empty path": (" ", "image 3: an empty path"),
    "a URL as a path": (Path("https://a.org/b.png"), "https:/a.org/b.png: expected a path, or an"),
    "base64 alone": (base64.b64encode(PNG).decode(), "image 3: expected a path, got iVBOR.*base64"),
    "no path": ("a\0b", "a\0b: cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize(("given", "says"), WRONG.values(), ids=WRONG)
def test_anything_else_is_refused_with_what_was_expected(given: object, says: str) -> None:
    with pytest.raises(ImageError, match=says):
        image_of(given, 3).pixels()


def test_pixels_have_a_limit_too() -> None:
    for given in (scene(), ARRAY):
        with pytest.raises(ImageError, match=r"image 1 .*48x32 is 0 megapixels, the limit is 0"):
            image_of(given, 1, max_pixels=100)


def test_a_closed_or_cut_file_is_refused() -> None:
    closed, cut = PILImage.open(io.BytesIO(PNG)), PILImage.open(io.BytesIO(PNG[: len(PNG) // 2]))
    closed.close()
    for given in (closed, cut):
        with pytest.raises(ImageError, match=r"image 1 \(a PIL image\): "):
            image_of(given, 1)
