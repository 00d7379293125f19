"""What decoding may cost: hostile files are refused before they cost it, photographs are not.

The files are put together here from the pages that are named; costs are CPU seconds and the peak of
a process.
"""

import contextlib
import io
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from building import a_task, plain
from pictures import chunk, encoded
from PIL import Image as PILImage

from saccade.errors import ImageError
from saccade.images import bounds, color, decode
from saccade.images.bounds import Metered, check_work
from saccade.images.given import image_of
from saccade.images.image import Image
from saccade.types import Task


def scans(count: int, side: int = 64) -> bytes:
    """A progressive JPEG whose last scan is repeated (ITU-T T.81, B.2.1 and G.1.1)."""
    data = encoded(PILImage.new("RGB", (side, side)), "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    return data[:-2] + data[start:-2] * (count - data.count(b"\xff\xda")) + data[-2:]


def segments(count: int, content: bytes) -> bytes:
    data = encoded(plain(8, 8).pixels(), "JPEG")
    return (
        data[:2] + (b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content) * count + data[2:]
    )


def png_with(kind: bytes, content: bytes, count: int) -> bytes:
    data = encoded(plain(8, 8).pixels(), "PNG")
    return data[:33] + chunk(kind, content) * count + data[33:]


def packed_text() -> bytes:
    """A megabyte that is no UTF-8, so that Pillow unfolds it and forgets that it did."""
    return b"k\0\1\0\0\0" + zlib.compress(b"\xff" * 1_000_000)


def gif_of_small_blocks(count: int) -> bytes:
    """A comment in blocks of one byte each (GIF89a, sections 15 and 24)."""
    data = encoded(plain(4, 4).pixels(), "GIF")
    place = data.index(b"," + struct.pack("<HHHH", 0, 0, 4, 4))
    return data[:place] + b"!\xfe" + b"\1x" * count + b"\0" + data[place:]


def tiff(entries: list[tuple[int, int, int, int]], behind: bytes = b"") -> bytes:
    """A TIFF of one directory: tag, type, count, value or place (TIFF 6.0, section 2)."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + packed + b"\0\0\0\0" + behind


def grey_tiff(width: int, height: int, packing: int = 1, **tags: tuple[int, int]) -> bytes:
    entries = {256: (1, width), 257: (1, height), 258: (1, 8), 259: (1, packing), 262: (1, 1),
               273: (1, 8), 277: (1, 1), 278: (1, height), 279: (1, 4)}  # fmt: skip
    entries |= {int(name[1:]): value for name, value in tags.items()}
    return tiff([(tag, 4, *value) for tag, value in sorted(entries.items())], b"\0" * 64)


def comments(count: int) -> bytes:
    return b"P3\n200 200\n255\n" + b"#\n" * count + b"0 " * 120_000


BOMBS: dict[str, Callable[[], bytes]] = {
    "scans": lambda: scans(1000),
    "scans of a large picture": lambda: scans(60, 1000),
    "exif in pieces": lambda: segments(20_000, b"Exif\0\0xx"),
    "texts of a png": lambda: png_with(b"iTXt", packed_text(), 300),
    "profiles of a png": lambda: png_with(b"iCCP", b"k\0\0" + packed_text()[6:], 300),
    "chunks of a png": lambda: png_with(b"prVt", b"", 3_000),
    "comments of a ppm": lambda: comments(20_000),
    "plain ppm": lambda: b"P2\n3000 2000\n255\n" + b"1 " * 6_000_000,
    "comment of a ppm": lambda: b"P6\n#" + b"x" * 500_000 + b"\n1 1\n255\n000",
    "blocks of a gif": lambda: gif_of_small_blocks(200_000),
    "strips of a tiff": lambda: grey_tiff(1, 2_000_000, t273=(2_000_000, 8)),
    "numbers in a tag": lambda: grey_tiff(2, 2, t258=(3_000_000, 8)),
    "bytes of strips": lambda: grey_tiff(2, 2, 8, t279=(1, 2**31)),
    "a tile of a tiff": lambda: grey_tiff(1, 1, 8, t322=(1, 40_000), t323=(1, 40_000)),
    "tiff packed by lzma": lambda: grey_tiff(2, 2, 34925),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_file_that_asks_for_too_much_work_is_refused_on_every_way_in(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for limit, most in (("MAX_READS", 50_000), ("MAX_CHUNKS", 2_000), ("MAX_PASSES", 50_000_000)):
        monkeypatch.setattr(bounds, limit, most)  # the loops are the same, the test is short
    data = BOMBS[name]()
    (tmp_path / "bomb").write_bytes(data)
    before = time.thread_time()
    for way_in in (
        lambda: Image.open(tmp_path / "bomb").pixels(),
        lambda: Image.from_bytes(data, name="bomb").pixels(),
        lambda: image_of(data, 1).pixels(),
        lambda: decode.decode(data, "bomb"),
    ):
        with pytest.raises(ImageError, match=r"bomb|image 1 .bytes.") as caught:
            way_in()
        assert "is not read" in str(caught.value) or "too much work" in str(caught.value)
    assert time.thread_time() - before < 4


def test_a_picture_that_a_program_opened_is_no_way_around() -> None:
    opened = PILImage.open(io.BytesIO(scans(1000)))
    with pytest.raises(ImageError, match="too much work: expected at most 100 scans, got 101"):
        image_of(opened, 1)


def test_without_the_bounds_scans_cost_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    data = scans(1000, 512)
    monkeypatch.setattr(decode, "check_work", lambda data, name: None)
    before = time.thread_time()
    decode.decode(data, "scans")
    assert time.thread_time() - before > 0.05, "a thousand times what one scan costs"


def test_without_the_meter_small_blocks_are_read_to_their_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = gif_of_small_blocks(200_000)
    monkeypatch.setattr(bounds, "MAX_READS", 100_000)
    with pytest.raises(ImageError, match="too much work"):
        decode.decode(data, "blocks")
    monkeypatch.setattr(decode, "Metered", io.BytesIO)
    assert decode.decode(data, "blocks").size == (4, 4)


def test_a_decoder_gets_no_bytes_after_its_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_SECONDS", 0.0)
    file = Metered(b"x" * 10_000)
    while time.thread_time() <= file._end:
        pass
    with pytest.raises(ImageError, match="more than 0 s of decoding"):
        file.read()


def test_a_file_is_not_read_over_and_over() -> None:
    file = Metered(b"x" * 2**20)
    for _ in range(9):
        file.seek(0)
        file.read()
    file.seek(0)
    with pytest.raises(ImageError, match="repeated"):
        file.read()


@pytest.mark.parametrize(
    ("kind", "options"),
    [("JPEG", {"progressive": True}), ("JPEG", {"quality": 100}), ("PNG", {}), ("GIF", {}),
     ("TIFF", {"compression": "tiff_lzw"}), ("TIFF", {"compression": "jpeg"}),
     ("TIFF", {"compression": "zstd"}), ("WEBP", {}), ("BMP", {}), ("PPM", {}), ("AVIF", {})],
)  # fmt: skip
def test_ordinary_files_are_let_through(kind: str, options: dict[str, object]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    check_work(encoded(PILImage.fromarray(noise), kind, **options), "photo")


def netpbm(magic: bytes, highest: int, levels: np.ndarray) -> bytes:
    """Netpbm in bytes: two of them, the high one first, above 255 (netpbm.sourceforge.net/doc)."""
    kind = ">u2" if highest > 255 else "u1"
    return (
        magic + b"\n%d %d\n%d\n" % (*levels.shape[1::-1], highest) + levels.astype(kind).tobytes()
    )


@pytest.mark.parametrize("magic", [b"P5", b"P6"])
def test_levels_of_any_depth_are_those_of_pillow(magic: bytes) -> None:
    rng = np.random.default_rng(0)
    for highest in (1, 100, 254, 256, 1023, 4095, 65534, 65535):
        shape = (7, 5, 3) if magic == b"P6" else (7, 5)
        data = netpbm(magic, highest, rng.integers(0, min(highest + 2, 65536), shape))
        expected = np.asarray(color.to_rgb(PILImage.open(io.BytesIO(data))))
        np.testing.assert_array_equal(np.asarray(decode.decode(data, "x")), expected)
        with pytest.raises(ImageError, match=r"ends before its pixels do|truncated|not enough"):
            decode.decode(data[:-1], "x")


def test_a_photograph_of_16_bits_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `dcraw -6` writes it. Without the table, each pixel is a read."""
    monkeypatch.setattr(bounds, "MAX_READS", 50_000)
    data = netpbm(b"P6", 65535, np.zeros((300, 300, 3), np.uint16))
    assert Image.from_bytes(data).pixels().size == (300, 300)
    monkeypatch.setattr(decode, "scaled", lambda *_: None)
    with pytest.raises(ImageError, match="too much work"):
        decode.decode(data, "x")


def test_a_palette_that_is_none_is_named() -> None:
    """Pillow takes a netpbm of its own, with the mode P and no palette."""
    with pytest.raises(ImageError, match="colours are broken"):
        Image.from_bytes(b"PyP 2 2 255\n" + bytes(12))


PEAK = """
import io, re, sys
from pathlib import Path
from saccade.images import color, decode
color.STRIP_PIXELS = int(sys.argv[2])
data = Path(sys.argv[1]).read_bytes()
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
decode.decode(Path(sys.argv[1]).with_suffix(".small").read_bytes(), "small")
before = peak()
shown = decode.decode(data, "large")
print((peak() - before) * 1024 / (shown.width * shown.height))
"""


def bytes_a_pixel(folder: Path, made: Callable[[int], bytes], strip: int = 2**18) -> float:
    """What decoding takes at its peak, the result included."""
    (folder / "a.large").write_bytes(made(1600))
    (folder / "a.small").write_bytes(made(8))
    command = [sys.executable, "-c", PEAK, str(folder / "a.large"), str(strip)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def deep(side: int) -> bytes:
    levels = np.linspace(0, 65535, side * side).reshape(side, side).astype(np.uint16)
    return encoded(PILImage.fromarray(levels), "PNG")


def clear(side: int) -> bytes:
    return encoded(PILImage.new("RGBA", (side, side), (9, 9, 9, 9)), "PNG")


@pytest.mark.parametrize(("made", "most"), [(deep, 8.5), (clear, 12.5)])
def test_a_pixel_takes_few_bytes(tmp_path: Path, made: Callable[[int], bytes], most: float) -> None:
    """Pillow keeps a pixel of the result in 4 bytes; beside it there are at most 8 more."""
    assert bytes_a_pixel(tmp_path, made) < most


def test_without_strips_a_deep_pixel_takes_more(tmp_path: Path) -> None:
    assert bytes_a_pixel(tmp_path, deep, strip=2**40) > 12


def claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says that it is large (PNG specification, 11.2.2)."""
    data = encoded(plain(8, 8).pixels(), "PNG")
    return (
        data[:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + data[33:]
    )


def recorded(data: bytes, **changes: object) -> dict[str, object]:
    """A task with an image record of a file, as a run folder has it."""
    record = a_task(Image.from_bytes(data, max_pixels=10**12)).model_dump(mode="json")
    record["prompt"][0].update(changes)
    return record


def test_an_image_that_a_record_names_passes_the_limit_of_pixels() -> None:
    data = claiming(14_000, 14_000)
    context: dict[str, object] = {"images": lambda name: data}
    task = Task.model_validate(recorded(data), context=context)
    with pytest.raises(ImageError, match="196 megapixels, the limit is 180"):
        task.images[0].pixels()
    dot = encoded(plain(8, 8, "lime").pixels())
    own = {"images": lambda name: dot, "max_pixels": 63}
    with pytest.raises(ImageError, match="the limit is 0"):
        Task.model_validate(recorded(dot), context=own).images[0].pixels()
    with pytest.raises(ImageError, match="the limit is 180"):
        decode.decode(data, "image")


def test_a_record_that_enlarges_a_picture_passes_it_too() -> None:
    data = encoded(plain(8, 8).pixels(), "PNG")
    record = recorded(data, size=[100_000, 100_000])
    task = Task.model_validate(record, context={"images": lambda name: data})
    with pytest.raises(ImageError, match="10000 megapixels, the limit is 180"):
        task.images[0].pixels()


@pytest.mark.parametrize(
    "change",
    [{"region": [float("nan")] * 4}, {"region": [0, 0, float("nan"), 4]}, {"size": [2**40, 1]},
     {"region": [0.2, 0.2, 0.7, 0.7]}, {"native": [10**400, 8]}, {"region": [0, 0, 1e308, 4]},
     {"region": [-1, 0, 4, 4]}],
)  # fmt: skip
def test_a_region_that_is_none_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="prompt"):
        Task.model_validate(recorded(encoded(plain(8, 8).pixels()), **change))


def test_a_side_beyond_every_picture_is_refused() -> None:
    with pytest.raises(ImageError, match="a side of more than 1048576 pixels"):
        Image.from_bytes(claiming(2**21, 1))


def test_bytes_with_another_digest_are_refused_and_never_kept() -> None:
    true, forged = (encoded(plain(9, 7, colour).pixels()) for colour in ("red", "blue"))
    record = recorded(true)
    task = Task.model_validate(record, context={"images": lambda name: forged})
    for use in (task.images[0].pixels, task.images[0].source.encoded):
        with pytest.raises(ImageError, match="holds something else, with the SHA-256"):
            use()
    again = Task.model_validate(record, context={"images": lambda name: true})
    assert again.images[0].pixels().getpixel((0, 0)) == (255, 0, 0)


def test_pixels_that_are_kept_do_not_hide_a_wrong_size() -> None:
    data = encoded(plain(9, 7).pixels())
    Image.from_bytes(data).pixels()
    record = recorded(data, native=[900, 700], region=[0, 0, 900, 700])
    task = Task.model_validate(record, context={"images": lambda name: data})
    with pytest.raises(ImageError, match="its record says 900x700"):
        task.images[0].pixels()


def with_exif(kind: str, tag: int, of_type: int, count: int, value: bytes) -> bytes:
    """A picture with one EXIF tag (EXIF 2.32, 4.6.2)."""
    entry = struct.pack("<HHI", tag, of_type, count) + value.ljust(4, b"\0")[:4]
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + b"\0\0\0\0" + value
    return encoded(plain(8, 8).pixels(), kind, exif=exif)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("tag", [0x0112, 0x011A, 0x0128, 0x8769, 0x8825, 0xA005])
def test_exif_of_another_type_is_none_or_an_image_error(kind: str, tag: int) -> None:
    for of_type in (1, 2, 3, 5, 7, 10, 12, 13, 99):
        for count in (0, 1, 2, 7, 2**31):
            try:
                data = with_exif(kind, tag, of_type, count, b"six\0\0\0\0\0\0\0\0\0")
            except (TypeError, ValueError, OSError, KeyError, UserWarning):
                continue  # the writer of this container looks at it itself
            with contextlib.suppress(ImageError):
                assert Image.from_bytes(data).pixels().size == (8, 8)


def test_an_array_is_looked_at_before_it_is_converted() -> None:
    large = np.broadcast_to(np.float32(0), (20_000, 20_000, 3))
    with pytest.raises(ImageError, match="400 megapixels, the limit is 180"):
        image_of(large, 1)


def test_bytes_that_fill_up_a_jpeg_are_passed_once() -> None:
    """ITU-T T.81, B.1.1.2: any number of 0xff may stand before a marker, or before nothing."""
    data = encoded(plain(8, 8).pixels(), "JPEG")
    started = time.process_time()
    for filled in (data[:-2] + b"\xff" * 50_000 + data[-2:], data[:-2] + b"\xff" * 50_000 + b"\0"):
        check_work(filled, "filled")
    # Looked at again from each of its bytes, the run takes 25 s.
    assert time.process_time() - started < 1
