"""A run as a prediction file of VLMEvalKit, for its own scorers or for a spreadsheet.

    write_predictions(Path("runs/mmstar"), Path("Saccade_MMStar.xlsx"))

The columns are those of the TSV that was asked, without the image, and `prediction`. Letters are
those of the file: where a run has shown the options in another order, the answer is read by the
rule that also scores it, and the letter of the option that it names is written; an answer that the
rule cannot read is written as it is, its letters replaced. `reply` is the answer as the model gave
it. An episode without an answer leaves its cell empty: nothing is made up for it.

Source: VLMEvalKit e8e78f05, vlmeval/inference.py and vlmeval/dataset/image_mcq.py, which read
`index`, `question`, `prediction`, and the columns that a data set groups by.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from saccade.bench.order import ORDER, place_in_file
from saccade.bench.tsv import COLUMNS, INDEX, LETTERS
from saccade.errors import FormatError
from saccade.formats.sheets import SHEET_SUFFIXES, Cut, write_sheet
from saccade.rewards.choices import BEYOND, read
from saccade.rewards.judges import gold_option
from saccade.runs.folder import RunReader
from saccade.types import Task, option_letter

ROTATION = 1_000_000
"""What VLMEvalKit adds to an index for each further cycle of a question."""

_CYCLE = re.compile(r"\+(\d{1,2})$")


class Written(NamedTuple):
    """What came of writing a prediction file."""

    rows: int
    empty: int
    """Episodes without an answer, whose prediction is empty."""
    unread: int
    """Answers that the rule could not read and whose letters were replaced one by one."""
    cut: tuple[Cut, ...]
    """Cells that are longer than a spreadsheet allows; a `.tsv` file cuts none."""

    @property
    def warning(self) -> str:
        """What a user has to know of the file; empty if nothing."""
        if not self.cut:
            return ""
        first = self.cut[0]
        return (
            f"{len(self.cut)} cells were cut to what a spreadsheet holds (the first: row "
            f"{first.row}, {first.column}, {first.characters} characters); a .tsv file cuts none"
        )


def write_predictions(run: Path, out: Path, *, sample: int = 0) -> Written:
    """Write the answers of a run for VLMEvalKit.

    Args:
        run: The run folder.
        out: A file that ends in `.tsv` or `.xlsx`.
        sample: Which of several samples of each task.

    Raises:
        FormatError: `out` ends in something else, or the run has no such sample.
        StoreError: there is no run, or the file cannot be written.
        MissingExtra: an `.xlsx` file, and openpyxl is not installed.
    """
    if out.suffix not in SHEET_SUFFIXES:
        raise FormatError(f"{out}: expected a file that ends in {' or '.join(SHEET_SUFFIXES)}")
    rows, unread = list[dict[str, str]](), 0
    for task, trajectory in RunReader(run).entries():
        if trajectory.sample != sample:
            continue
        answer = trajectory.answer or ""
        prediction, known = in_file_order(task, answer)
        unread += not known
        rows.append({**_row(task), "prediction": prediction, "reply": answer})
    if not rows:
        raise FormatError(f"{run}: no episode with the sample {sample}")
    rows.sort(key=lambda row: (not row["index"].isdigit(), row["index"].zfill(12)))
    columns = _columns(rows)
    cells = [[_cell(column, row.get(column, "")) for column in columns] for row in rows]
    cut = write_sheet(out, columns, cells)
    empty = sum(not row["prediction"] for row in rows)
    return Written(rows=len(rows), empty=empty, unread=unread, cut=cut)


class Prediction(NamedTuple):
    """An answer with the letters of the file."""

    text: str
    known: bool
    """Whether the rule could tell which option is meant, where letters had to be changed."""


def in_file_order(task: Task, answer: str) -> Prediction:
    """An answer to options that were shown in another order, in the letters of the file."""
    letters = str(task.meta.get(LETTERS) or string.ascii_uppercase)
    if not answer or not task.choices or not (ORDER in task.meta or LETTERS in task.meta):
        return Prediction(answer, True)

    def there(shown: int) -> str:
        return letters[place_in_file(task, shown)]

    reading = read(answer, task.choices, task.question)
    if not reading.unread and len(reading.named) == 1 and BEYOND not in reading.named:
        return Prediction(there(next(iter(reading.named))), True)
    shown = {option_letter(place): there(place) for place in range(len(task.choices))}
    # An article is no letter: "A" before a word in small letters stays.
    pattern = re.compile(rf"\b(?!A\s+[a-z])[{''.join(shown)}]\b")
    text = pattern.sub(lambda found: shown[found[0]], answer)
    return Prediction(text, text == answer)


def _row(task: Task) -> dict[str, str]:
    index = str(task.meta.get(INDEX) or task.id)
    turned = _CYCLE.search(task.id) if ORDER in task.meta else None
    if turned and index.isdigit():
        index = str(int(index) + int(turned[1]) * ROTATION)
    letters = str(task.meta.get(LETTERS) or string.ascii_uppercase)
    options = {letters[place_in_file(task, shown)]: text for shown, text in enumerate(task.choices)}
    gold = gold_option(task) if task.choices else None
    answer = (task.answer or "") if gold is None else letters[place_in_file(task, gold)]
    kept = task.meta.get(COLUMNS)
    others = kept if isinstance(kept, Mapping) else {}
    row = {"index": index, "question": task.question, **dict(sorted(options.items()))}
    row |= {"answer": answer, "category": task.family}
    return row | {name: str(value) for name, value in others.items()}


def _columns(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """The columns of all rows: options after the question, the prediction at the end."""
    named = dict.fromkeys(name for row in rows for name in row)
    options = [letter for letter in string.ascii_uppercase if letter in named]
    first, last = ["index", "question", *options, "answer", "category"], ["prediction", "reply"]
    return [*first, *(name for name in named if name not in {*first, *last}), *last]


def _cell(column: str, text: str) -> str | int:
    """A cell; VLMEvalKit compares whole numbers as indices, and no texts of them."""
    return int(text) if column == "index" and text.isdecimal() and len(text) < 16 else text
