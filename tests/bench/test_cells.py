"""Cells of published tables in all the ways in which they are written."""

from pathlib import Path

import pytest
from pydantic import BaseModel
from searching import PIXELS, png, png_text

from saccade.bench.cells import Flag, Text, Texts, located, picture
from saccade.errors import FormatError
from saccade.formats.records import Row


class Cells(BaseModel):
    text: Text = ""
    texts: Texts = ()
    flag: Flag = False


def test_numbers_and_nothing_are_texts() -> None:
    found = [Cells(text=value).text for value in ("a", 7, 7.0, 7.5, None, float("nan"))]  # type: ignore[arg-type]
    assert found == ["a", "7", "7", "7.5", "", ""]


@pytest.mark.parametrize("value", ['["a", "b"]', "['a', 'b']", ["a", "b"], ("a", "b", None, "")])
def test_a_list_is_one_in_any_writing(value: object) -> None:
    assert Cells(texts=value).texts == ("a", "b")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["[a", "(3, 4)", "[1] and [2]", "__import__('os')", "[" * 10_000])
def test_a_text_that_is_no_list_is_one_text(value: str) -> None:
    assert Cells(texts=value).texts == (value,)  # type: ignore[arg-type]


def test_flags_are_read_in_any_writing_and_others_refused() -> None:
    assert [Cells(flag=v).flag for v in (1, "1", 1.0, "1.0", True)] == [True] * 5  # type: ignore[arg-type]
    assert [Cells(flag=v).flag for v in (0, "0", 0.0, "false")] == [False] * 4  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="flag"):
        Cells(flag="perhaps")  # type: ignore[arg-type]


def test_leading_folders_that_are_not_there_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "1.png").write_bytes(png())
    file = tmp_path / "val.json"
    assert located(file, "VisualProbe_Hard/data/1.png") == "data/1.png"
    assert located(file, "/home/someone/set/data/1.png") == "data/1.png"
    assert located(file, "1.png", ["images", "data"]) == "data/1.png"


def test_another_folder_that_is_there_is_not_left_out(tmp_path: Path) -> None:
    (tmp_path / "easy").mkdir()
    (tmp_path / "1.png").write_bytes(png())
    assert located(tmp_path / "val.json", "easy/1.png") == "easy/1.png", "it is another image"


def test_a_picture_is_bytes_base64_or_a_path(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(png(9))
    row = Row(tmp_path / "rows.jsonl", "rows.jsonl:1", {})
    values = [png(9), {"bytes": png(9)}, png_text(9), "data:image/png;base64," + png_text(9),
              "1.png", {"bytes": None, "path": "1.png"}, ["1.png"]]  # fmt: skip
    assert {picture(row, value, max_pixels=PIXELS).size for value in values} == {(9, 9)}


@pytest.mark.parametrize("value", ["2.png", "../1.png", None, [], ["1.png", "1.png"], b"no image"])
def test_an_unreadable_picture_names_file_and_row(tmp_path: Path, value: object) -> None:
    (tmp_path / "1.png").write_bytes(png())
    folder = tmp_path / "in"
    folder.mkdir()
    row = Row(folder / "rows.jsonl", "rows.jsonl:4", {})
    with pytest.raises(FormatError, match=r"rows\.jsonl:4: image"):
        picture(row, value, max_pixels=PIXELS)
