"""Cells of published tables in all the ways in which they are written."""

from pathlib import Path

import pytest
from looked_up import PIXELS, png, png_text
from pydantic import BaseModel

from saccade.bench.cells import Flag, Golds, Text, Texts, picture
from saccade.errors import FormatError
from saccade.formats.records import Row


class Cells(BaseModel):
    text: Text = ""
    texts: Texts = ()
    golds: Golds = ()
    flag: Flag = False


def test_numbers_and_nothing_are_texts() -> None:
    found = [Cells(text=value).text for value in ("a", 7, 7.0, 7.5, None, float("nan"))]  # type: ignore[arg-type]
    assert found == ["a", "7", "7", "7.5", "", ""]


@pytest.mark.parametrize("value", ['["a", "b"]', "['a', 'b']", ["a", "b"], ("a", "b", None, "")])
def test_a_list_is_one_in_any_writing(value: object) -> None:
    assert Cells(golds=value).golds == ("a", "b")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["[a", "(3, 4)", "[1] and [2]", "__import__('os')", "[" * 10_000])
def test_a_text_that_is_no_list_is_one_text(value: str) -> None:
    assert Cells(golds=value).golds == (value,)  # type: ignore[arg-type]


def test_every_place_of_a_list_stays_and_options_come_in_the_order_of_their_letters() -> None:
    assert Cells(texts=["a", None, 2.0]).texts == ("a", "", "2")  # type: ignore[arg-type]
    assert Cells(texts='{"B": "cat", "A": "dog"}').texts == ("dog", "cat")  # type: ignore[arg-type]


def test_flags_are_read_in_any_writing_and_others_refused() -> None:
    assert [Cells(flag=v).flag for v in (1, "1", 1.0, "1.0", True)] == [True] * 5  # type: ignore[arg-type]
    assert [Cells(flag=v).flag for v in (0, "0", 0.0, "false")] == [False] * 4  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="flag"):
        Cells(flag="perhaps")  # type: ignore[arg-type]


def looked_for(file: Path, name: str, *folders: str, place: Path | None = None) -> tuple[int, int]:
    row = Row(file, "rows:1", {})
    return tuple(picture(row, name, max_pixels=PIXELS, folders=folders, place=place).size)


def test_leading_folders_that_are_not_there_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "1.png").write_bytes(png(9))
    file = tmp_path / "val.json"
    assert looked_for(file, "VisualProbe_Hard/data/1.png") == (9, 9)
    assert looked_for(file, "/home/someone/set/data/1.png") == (9, 9)
    assert looked_for(file, "1.png", "images", "data") == (9, 9)


def test_pictures_lie_beside_the_file_or_in_the_folder_that_was_named(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.png").write_bytes(png(9))
    assert looked_for(tmp_path / "data" / "val.json", "1.png", "images") == (9, 9)
    assert looked_for(tmp_path / "x" / "val.json", "1.png", "images", place=tmp_path) == (9, 9)
    with pytest.raises(FormatError, match="rows:1"):
        looked_for(tmp_path / "x" / "val.json", "1.png", "images")


def test_another_folder_that_is_there_is_not_left_out(tmp_path: Path) -> None:
    (tmp_path / "easy").mkdir()
    (tmp_path / "1.png").write_bytes(png())
    with pytest.raises(FormatError, match="rows:1"):  # it is another image
        looked_for(tmp_path / "val.json", "easy/1.png")


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
