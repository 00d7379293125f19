"""Tables for others. What a spreadsheet carries out: OWASP, "CSV Injection"."""

import csv
from pathlib import Path

import pytest
from openpyxl import load_workbook

from saccade.errors import FormatError
from saccade.formats.sheets import MAX_CELL, Cut, write_sheet

FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3+cmd", "@SUM(1)", "\t=1", "\uff1d1"]


def test_no_text_of_a_model_is_a_formula_in_a_spreadsheet(tmp_path: Path) -> None:
    file = tmp_path / "a.xlsx"
    write_sheet(file, ["index", "prediction"], [["0", text] for text in FORMULAS])
    sheet = load_workbook(file)["Sheet1"]
    for text, row in zip(FORMULAS, sheet.iter_rows(min_row=2), strict=True):
        assert row[1].data_type == "s"
        assert row[1].value == text
        assert row[1].quotePrefix


def test_no_text_of_a_model_is_a_formula_in_a_tsv_file(tmp_path: Path) -> None:
    file = tmp_path / "a.tsv"
    numbers = ["-5", "+3.5", "-1,000", "-12%", "-1e-5"]
    write_sheet(file, ["p"], [[text] for text in [*FORMULAS, *numbers]])
    with file.open(newline="") as lines:
        found = [row[0] for row in csv.reader(lines, delimiter="\t")][1:]
    assert found == [*(f"'{text}" for text in FORMULAS), *numbers]


def test_a_long_cell_is_cut_and_it_is_said(tmp_path: Path) -> None:
    rows = [["short", "x"], ["x" * (MAX_CELL + 5), "y"]]
    cuts = write_sheet(tmp_path / "a.xlsx", ["prediction", "b"], rows)
    assert cuts == (Cut(row=1, column="prediction", characters=MAX_CELL + 5),)
    assert len(load_workbook(tmp_path / "a.xlsx")["Sheet1"]["A3"].value) == MAX_CELL
    assert write_sheet(tmp_path / "a.tsv", ["prediction", "b"], rows) == ()


def test_characters_that_no_sheet_may_hold_are_replaced(tmp_path: Path) -> None:
    for file in (tmp_path / "a.xlsx", tmp_path / "a.tsv"):
        write_sheet(file, ["p"], [["a\x00b\ud800c"]])
    assert load_workbook(tmp_path / "a.xlsx")["Sheet1"]["A2"].value == "a\ufffdb\ufffdc"
    assert "a\ufffdb\ufffdc" in (tmp_path / "a.tsv").read_text(encoding="utf-8")


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"a\.csv: expected .*\.tsv or \.xlsx"):
        write_sheet(tmp_path / "a.csv", ["p"], [])
