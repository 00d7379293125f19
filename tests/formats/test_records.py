"""Rows of published files: each with its place, bounded, and nothing read outside of the folder."""

import base64
import io
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image as PILImage
from pydantic import BaseModel

from saccade.errors import FormatError
from saccade.formats.found import find_files
from saccade.formats.records import read_records

PIXELS = 10**6


class Sign(BaseModel):
    id: int
    text: str


def png(side: int = 8) -> bytes:
    buffer = io.BytesIO()
    PILImage.new("RGB", (side, side), "red").save(buffer, "PNG")
    return buffer.getvalue()


ROWS: list[dict[str, object]] = [{"id": 1, "text": "stop"}, {"id": 2, "text": "a, b\tc"}]


def written(folder: Path, suffix: str) -> Path:
    file = folder / f"rows{suffix}"
    match suffix:
        case ".jsonl":
            file.write_text("\n".join(map(json.dumps, ROWS)) + "\n\n")
        case ".json":
            file.write_text(json.dumps(ROWS))
        case ".parquet":
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), file)
        case ".tsv":
            file.write_text('id\ttext\n1\tstop\n2\t"a, b\tc"\n')
        case ".csv":
            file.write_text('id,text\n1,stop\n2,"a, b\tc"\n')
    return file


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet", ".tsv", ".csv"])
def test_a_row_reads_the_same_from_every_kind_of_file(tmp_path: Path, suffix: str) -> None:
    rows = [row.read(Sign) for row in read_records(written(tmp_path, suffix))]
    assert rows == [Sign(id=1, text="stop"), Sign(id=2, text="a, b\tc")]


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet", ".tsv"])
def test_a_missing_column_names_file_and_row(tmp_path: Path, suffix: str) -> None:
    class Other(BaseModel):
        colour: str

    _, second = read_records(written(tmp_path, suffix))
    with pytest.raises(FormatError, match=rf"rows\{suffix}.*[12].*colour: missing"):
        second.read(Other)


def test_an_object_of_objects_is_rows_with_their_keys(tmp_path: Path) -> None:
    file = tmp_path / "testmini.json"
    file.write_text('{"7": {"text": "x"}, "8": {"text": "y"}}')
    assert [row.values for row in read_records(file)] == [
        {"key": "7", "text": "x"},
        {"key": "8", "text": "y"},
    ]


def test_an_object_with_one_list_is_that_list(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text('{"version": "1", "data": [{"a": 1}, {"a": 2}]}')
    assert [row.values for row in read_records(file)] == [{"a": 1}, {"a": 2}]


def test_a_ragged_table_names_the_row(tmp_path: Path) -> None:
    file = tmp_path / "rows.tsv"
    file.write_text("a\tb\n1\t2\n3\n")
    with pytest.raises(FormatError, match=r"rows\.tsv: row 1: expected 2 columns.*got 1"):
        [*read_records(file)]


def test_a_field_of_many_megabytes_is_read(tmp_path: Path) -> None:
    """The csv module of Python refuses fields over 131,072 characters unless it is told."""
    file = tmp_path / "rows.tsv"
    file.write_text("a\n" + "x" * 300_000 + "\n")
    (row,) = read_records(file)
    assert len(str(row.values["a"])) == 300_000


@pytest.mark.parametrize("content", ["[1, 2]", '"text"', "{", "[[]]"])
def test_what_is_no_list_of_objects_names_the_file(tmp_path: Path, content: str) -> None:
    file = tmp_path / "rows.json"
    file.write_text(content)
    with pytest.raises(FormatError, match=r"rows\.json"):
        [*read_records(file)]


def test_images_come_as_bytes_as_objects_as_base64_and_as_files(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(png())
    file = tmp_path / "rows.jsonl"
    file.write_text("{}\n")
    (row,) = read_records(file)
    packed = base64.b64encode(png()).decode()
    found = [
        row.image(png(), max_pixels=PIXELS),
        row.image({"bytes": png(), "path": "elsewhere.png"}, max_pixels=PIXELS),
        row.image({"bytes": None, "path": "images/a.png"}, max_pixels=PIXELS),
        row.image("a.png", folder="images", max_pixels=PIXELS),
        row.packed_image(packed, max_pixels=PIXELS),
        row.packed_image(f"data:image/png;base64,{packed}", max_pixels=PIXELS),
    ]
    assert len({image.source.digest for image in found}) == 1


@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd", "http://host/a.png", ""])
def test_no_image_is_read_outside_of_the_folder(tmp_path: Path, path: str) -> None:
    (tmp_path / "secret.png").write_bytes(png())
    file = tmp_path / "set" / "rows.jsonl"
    file.parent.mkdir()
    file.write_text("{}\n")
    (row,) = read_records(file)
    with pytest.raises(FormatError, match=r"rows\.jsonl:1: image"):
        row.image(path, max_pixels=PIXELS)


@pytest.mark.parametrize("value", [b"no image", {"bytes": b"GIF89a"}, None, 3])
def test_an_unreadable_image_names_file_and_row(tmp_path: Path, value: object) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("{}\n")
    (row,) = read_records(file)
    with pytest.raises(FormatError, match=r"rows\.jsonl:1: image"):
        row.image(value, max_pixels=PIXELS)


def test_a_large_image_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("{}\n")
    (row,) = read_records(file)
    with pytest.raises(FormatError, match=r"rows\.jsonl:1.*64x64"):
        row.image(png(64), max_pixels=100)


def test_files_are_found_by_the_likeliest_pattern(tmp_path: Path) -> None:
    for name in ("a/test.jsonl", "b/other.jsonl"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("{}\n")
    assert find_files(tmp_path, ["test.jsonl", "*/test.jsonl"], "x") == [tmp_path / "a/test.jsonl"]
    with pytest.raises(FormatError, match=r"expected a folder with x; no y\.json in it"):
        find_files(tmp_path, ["y.json"], "a folder with x")
    with pytest.raises(FormatError, match="no such file or folder"):
        find_files(tmp_path / "none", ["y.json"], "a folder with x")
