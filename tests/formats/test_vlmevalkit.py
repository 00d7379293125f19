"""VLMEvalKit's TSV files. Format: vlmeval/dataset/image_base.py and smp/misc.py (e8e78f05)."""

import base64
import csv
import random
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import packed, png, write_parquet, write_tsv

from saccade.errors import FormatError
from saccade.formats.vlmevalkit import Span, TsvRow, listed_text, read_options, read_tsv

PIXELS = 10**8


def cells(rng: random.Random) -> tuple[str, str, str]:
    """Short and long cells, of base64 and of text with tabs, quotes and line ends."""

    def cell() -> str:
        if rng.random() < 0.1:
            return "\n".join("A" * rng.choice([5, 600]) for _ in range(4))
        letters = rng.choice(['ab "\n\t=+/', "AB+/=", 'A" \n', "A\n"])
        return "".join(rng.choices(letters, k=rng.choice([0, 3, 40, 520, 700])))

    return cell(), cell(), cell()


def row(index: object = 0, **fields: object) -> dict[str, object]:
    usual: dict[str, object] = {"image": packed(), "question": "What?", "A": "x", "B": "y"}
    return {"index": index, **usual, "answer": "A", **fields}


def only(path: Path) -> TsvRow:
    (found,) = read_tsv(path)
    return found


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), every=st.booleans())
def test_cells_are_those_that_the_reader_of_python_finds(
    seed: int, every: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = random.Random(seed)
    rows = [cells(rng) for _ in range(4)]
    file = tmp_path_factory.getbasetemp() / "law.tsv"
    named = [{"index": n, "image": a, "b": b, "c": c} for n, (a, b, c) in enumerate(rows)]
    write_tsv(file, *named, quoting=csv.QUOTE_ALL if every else csv.QUOTE_MINIMAL)
    found = []
    for one in read_tsv(file):
        held = one.row.values
        read = {k: one.table.read(v) if isinstance(v, Span) else v for k, v in held.items()}
        found.append((read["image"], read["b"], read["c"]))
    assert found == rows


def test_an_image_of_another_row_is_found_before_and_after_it(tmp_path: Path) -> None:
    red = packed(colour="red")
    file = write_tsv(tmp_path / "a.tsv", row(7, image="9"), row(8, image="9"), row(9, image=red))
    (found,) = next(iter(read_tsv(file))).images(max_pixels=PIXELS)  # before its row is read
    held = [one.images(max_pixels=PIXELS) for one in read_tsv(file)]
    assert held == [[found]] * 3


def test_an_image_of_a_row_that_is_not_there_names_file_and_row(tmp_path: Path) -> None:
    file = write_tsv(tmp_path / "a.tsv", row(7), row(8, image="99"))
    with pytest.raises(FormatError, match=r"a\.tsv: row 1: image: refers to the row '99'"):
        [one.images(max_pixels=PIXELS) for one in read_tsv(file)]


def test_several_images_stand_in_a_list(tmp_path: Path) -> None:
    listed = str([packed(), packed(colour="red")])
    file = write_tsv(tmp_path / "a.tsv", row(image=listed))
    assert len(only(file).images(max_pixels=PIXELS)) == 2


@pytest.mark.parametrize("place", ["x.png", "images/a/x.png", "images/x.png"])
def test_images_are_found_by_their_paths_too(tmp_path: Path, place: str) -> None:
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_bytes(png())
    named = {"index": 1, "image_path": "x.png", "question": "?"}
    file = write_tsv(tmp_path / "a_local.tsv", named)
    assert only(file).images(max_pixels=PIXELS)[0].size == (40, 30)


def test_a_path_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(png())
    (tmp_path / "set").mkdir()
    file = write_tsv(tmp_path / "set" / "a.tsv", {"index": 1, "image_path": "../x.png"})
    with pytest.raises(FormatError, match=r"row 0.*outside"):
        only(file).images(max_pixels=PIXELS)


def test_a_large_file_costs_no_more_memory_than_a_row(tmp_path: Path) -> None:
    noise = base64.b64encode(bytes(range(256)) * 2048).decode()  # 0.7 MB
    file = write_tsv(tmp_path / "a.tsv", *(row(n, image=noise) for n in range(6)))
    tracemalloc.start()
    held = [*read_tsv(file)]
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(held) == 6
    assert kept < 200_000
    assert peak < 2.2 * 0.7e6 + 1e6  # a line, and its copy


def test_an_index_is_compared_as_text_whole_numbers_without_a_point(tmp_path: Path) -> None:
    file = write_tsv(tmp_path / "a.tsv", row("3.0"), row("ab.0x", image="3"))
    assert [one.id for one in read_tsv(file)] == ["3", "ab.0x"]
    assert all(one.images(max_pixels=PIXELS) for one in read_tsv(file))


def test_empty_options_are_none_and_an_option_may_be_none(tmp_path: Path) -> None:
    file = write_tsv(tmp_path / "a.tsv", row(A="None", B="nan", C="", D="NO"))
    assert only(file).options == {"A": "None", "D": "NO"}


def test_parquet_rows_have_the_same_face(tmp_path: Path) -> None:
    struct = {"bytes": png(), "path": None}
    file = write_parquet(
        tmp_path / "a.parquet",
        {"index": 5, "image": struct, "A": 2.0, "B": None, "C": 3.5, "question": "?"},
    )
    found = only(file)
    assert found.id == "5"
    assert found.options == {"A": "2", "C": "3.5"}
    assert found.images(max_pixels=PIXELS)[0].size == (40, 30)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("['(A) red', '(B) it\\'s', '(C) 3']", ["red", "it's", "3"]),
        ('["(A) red", "(B) blue"]', ["red", "blue"]),
        ("The choices are listed below:\n(A) red\n(B) blue", ["red", "blue"]),
        ("A. red\nB. blue", ["red", "blue"]),
        ("['red', 'A. Smith']", ["red", "A. Smith"]),
        ("['(A) left', '(B) right', '(E) no car']", ["left", "right", "no car"]),
        ("[1, 2.5]", ["1", "2.5"]),
    ],
)
def test_options_are_a_list_in_any_notation(text: str, options: list[str], tmp_path: Path) -> None:
    found = only(write_tsv(tmp_path / "a.tsv", row()))
    assert [option for _, option in read_options(text, found.row)] == options


def test_a_list_is_read_and_never_run() -> None:
    assert listed_text("[__import__('os').getpid()]") is None
    assert listed_text("[" * 100_000 + "]" * 100_000) is None
    assert listed_text("[1, 'a']") == [1, "a"]


def test_a_file_that_is_cut_off_names_the_row(tmp_path: Path) -> None:
    file = write_tsv(tmp_path / "a.tsv", row(0), row(1))
    text = file.read_text()
    file.write_text(text[: text.rindex("What?")].rstrip("\t"))
    with pytest.raises(FormatError, match=r"a\.tsv: row 1: expected 6 columns .* got 2"):
        [*read_tsv(file)]


def test_a_cell_that_is_no_image_names_file_and_row(tmp_path: Path) -> None:
    file = write_tsv(tmp_path / "a.tsv", row(image="no base64 at all! " * 9))
    with pytest.raises(FormatError, match=r"a\.tsv: row 0: image: no base64"):
        only(file).images(max_pixels=PIXELS)
    file = write_tsv(tmp_path / "b.tsv", row(image=base64.b64encode(b"x" * 90).decode()))
    with pytest.raises(FormatError, match=r"b\.tsv: row 0: image"):
        only(file).images(max_pixels=PIXELS)


def test_a_file_without_the_column_index_says_what_it_has(tmp_path: Path) -> None:
    file = write_tsv(tmp_path / "a.tsv", {"id": 1, "question": "?"})
    with pytest.raises(FormatError, match=r"a\.tsv: expected .*'index'.*'question'"):
        [*read_tsv(file)]


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    file = write_tsv(tmp_path / "a.tsv", row(question="Où?"))
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    found = only(file)
    assert found.text("question") == "Où?"
    assert found.text("answer") == "A"
    assert found.images(max_pixels=PIXELS)
