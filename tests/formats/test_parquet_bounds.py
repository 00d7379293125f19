"""Small files that unfold to large ones: refused by name, with the limit, before they do."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from saccade.errors import FormatError
from saccade.formats import columns
from saccade.formats.parquet import read_parquet

LARGE = b"x" * 2**16
ROW = {
    "prompt": [{"role": "user", "content": "Which?"}],
    "reward_model": {"ground_truth": "a"},
    "extra_info": {"question": "Which?"},
}


def one_value(folder: Path) -> Path:
    """A text that is all zeros."""
    return write(folder, ROW | {"data_source": "\0" * (3 * 2**20)})


def one_value_many_times(folder: Path, value: bytes = LARGE) -> Path:
    """A picture that stands once in the file, and 130 times in a row."""
    return write(folder, ROW | {"images": [{"bytes": value, "path": None}] * 130})


def one_value_in_many_rows(folder: Path) -> Path:
    images = [{"bytes": LARGE, "path": None}] * 5
    return write(folder, *[ROW | {"images": images}] * 20)


def nothing_many_times(folder: Path) -> Path:
    """A list of 20 million nulls."""
    nulls = pa.ListArray.from_arrays(pa.array([0, 20_000_000], pa.int32()), pa.nulls(20_000_000))
    pq.write_table(pa.table({"prompt": nulls}), folder / "rows.parquet")
    return folder / "rows.parquet"


def rows_of_nothing(folder: Path) -> Path:
    """Two million rows, each of which would be named; together they are a few bytes."""
    pq.write_table(pa.table({"data_source": pa.nulls(2_000_000)}), folder / "rows.parquet")
    return folder / "rows.parquet"


def beginnings_in_common(folder: Path) -> Path:
    images = [{"bytes": LARGE, "path": None}] * 300
    packed = {"images.list.element.bytes": "DELTA_BYTE_ARRAY"}
    return write(folder, ROW | {"images": images}, use_dictionary=False, column_encoding=packed)


def write(folder: Path, *rows: dict[str, object], **options: object) -> Path:
    path = folder / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(list(rows)), path, compression="zstd", **options)
    return path


BOMBS = [one_value, one_value_many_times, one_value_in_many_rows, nothing_many_times,
         rows_of_nothing, beginnings_in_common]  # fmt: skip

PEAK = """
import re, sys
from pathlib import Path
import pyarrow.parquet
from saccade.errors import FormatError
from saccade.formats import columns
from saccade.formats.parquet import read_parquet
for name in sys.argv[2:]:
    setattr(columns, name, lambda *a: 0)
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = peak()
try:
    list(read_parquet(Path(sys.argv[1])))
except FormatError:
    pass
print((peak() - before) // 1024)
"""


def peak_mib(path: Path, *off: str) -> int:
    command = [sys.executable, "-c", PEAK, str(path), *off]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_file_that_unfolds_is_refused_with_its_place_and_the_limit(
    tmp_path: Path, bomb: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "MAX_COLUMN_BYTES", 2**21)
    path = bomb(tmp_path)  # type: ignore[operator]
    assert path.stat().st_size < 100_000
    with pytest.raises(
        FormatError,
        match=r"rows\.parquet: (row group 0.*)?(expected at most \d+ .*, got \d+|DELTA_BYTE_ARRAY)"
        r".*write .* again",
    ):
        list(read_parquet(path))


def test_memory_is_bounded_and_without_the_checks_it_is_not(tmp_path: Path) -> None:
    path = one_value_many_times(tmp_path, b"x" * 2**20)
    assert peak_mib(path) < 70
    assert peak_mib(path, "_check_batch", "_check_group") > 110


def test_rows_of_pictures_are_read_whatever_their_size(tmp_path: Path) -> None:
    """What does not unfold is not limited by a row group: pictures of 300 rows stay apart."""
    noise = [
        bytes([n]) * 7 + b"".join(bytes([(n * k) % 251]) for k in range(999)) for n in range(9)
    ]
    images = [ROW | {"images": [{"bytes": data, "path": None}]} for data in noise]
    read = list(columns.rows_of(write(tmp_path, *images), wanted=lambda _: True, together=4))
    assert [row["images"][0]["bytes"] for row in read] == noise  # type: ignore[index]
    later = columns.rows_of(tmp_path / "rows.parquet", wanted=lambda n: n == "images", together=4,
                            first=6)  # fmt: skip
    assert [row["images"][0]["bytes"] for row in later] == noise[6:]  # type: ignore[index]


def test_a_text_that_is_none_is_named(tmp_path: Path) -> None:
    text = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]
    )
    pq.write_table(pa.table({"data_source": text}), tmp_path / "rows.parquet")
    with pytest.raises(FormatError, match=r"rows\.parquet: damaged"):
        list(read_parquet(tmp_path / "rows.parquet"))
