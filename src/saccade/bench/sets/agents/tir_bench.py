"""TIR-Bench: thinking with images, thirteen tasks (Li et al., arXiv 2511.01833).

`TIR-Bench.json`, a list of rows (or an object of them), beside the folder `data` of its archive:

    {"id": 17, "task": "jigsaw", "image_1": "data/jigsaw/17.jpg", "image_2": null,
     "prompt": "Please complete the jigsaw puzzle ...", "answer": "3, 1, 2, 4, ...",
     "meta_data": {"difficulty": 3}}

What an answer is depends on the task: a letter or several, a number, a row and a column
(word_search), a set of numbers (spot_difference), an order of pieces (jigsaw), or what a picture
says (ocr). The authors let GPT-4.1 extract an answer before their rules; here the rules read the
answer itself, and leave to the judge of the run what they cannot read.
Source: agents-x-project/TIR-Bench at f79c756, calculate_score.py, tools.py, extract_answer.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import ClassVar, NamedTuple

from pydantic import AliasChoices, BaseModel, Field, JsonValue

from saccade.bench.benchmark import About, Benchmark, Item
from saccade.bench.parts import task_of
from saccade.bench.scorers.pieces import (
    same_letters,
    same_number,
    same_order,
    same_pair,
    same_set,
    same_words,
    whole_numbers,
)
from saccade.formats.found import find_files
from saccade.formats.records import Row, read_records, unpacked
from saccade.rewards.judges import Choice, Exact, gold_option
from saccade.rewards.text import number
from saccade.types import Task, Verdict, option_letter

MENDED = {"60.jpg": "mobi", "62.jpg": "aires"}
"""Gold answers of `ocr` that the authors replace when they score, by the name of the picture; they
look for the name as a part of the path, and so replace that of 160.jpg as well.
Source: calculate_score.py."""

_OPTION = re.compile(r"(?:^|(?<=\s))\(?([A-K])[.):\uff0e\u3001]\s*")
_WHOLE_LETTERS = re.compile(r"[A-K]{2,11}")


class _Question(BaseModel):
    task: str = Field(validation_alias=AliasChoices("task", "category"), min_length=1)
    prompt: str = Field(min_length=1)
    answer: str | int | float | list[JsonValue]
    image_1: object
    image_2: object = None


class _Options(NamedTuple):
    question: str
    options: tuple[str, ...]


class TirBench(Benchmark):
    """TIR-Bench, by the rules of its tasks."""

    name: ClassVar[str] = "tir_bench"
    about: ClassVar[About] = About(
        title="TIR-Bench",
        items=1215,
        licence="Apache-2.0 (data)",
        source="https://huggingface.co/datasets/Agents-X/TIR-Bench",
        layout="the folder with TIR-Bench.json and data/, unpacked from data.zip",
        metric="mean of the grades of items, by task and overall: 1 or 0, the IoU of sets "
        "(spot_difference), the share of right places (jigsaw); calculate_score.py",
        differs="the authors take what GPT-4.1 could not extract, and a reply that never came, for "
        "the nearest letter, which is A; a word for its anagram; and '3 or 4' for 34. Options "
        "stand in the prompt there, in the order of the file (order=file)",
        paper="arXiv 2511.01833",
    )

    def items(self, place: Path) -> Iterator[Item]:
        """One for each row."""
        patterns = ["TIR-Bench*.json", "*.json", "*.jsonl", "**/*.parquet"]
        found = find_files(place, patterns, self.about.layout)
        for place_in_set, row in enumerate(row for file in found for row in read_records(file)):
            known = (row.values.get(key) for key in ("id", "question_id", "key"))
            own = next((str(one) for one in known if one not in (None, "")), str(place_in_set))
            name = f"tir-{own}"
            yield Item(name, row.place, partial(_task, row, name))

    async def judge(self, task: Task, answer: str) -> Verdict:
        """By the task: see `saccade.bench.scorers.pieces`. An empty answer is wrong."""
        gold, kind = task.answer or "", str(task.meta.get("kind"))
        judge = f"tir:{kind}"
        if not answer.strip():
            return Verdict(correct=False, reason="no answer", judge=judge)
        match kind:
            case "choice":
                return await Choice().judge(task, answer)
            case "letters":
                return same_letters(gold, answer, judge)
            case "number":
                return same_number(gold, answer, judge)
            case "pair":
                return same_pair(whole_numbers(gold), answer, judge)
            case "set":
                return same_set(whole_numbers(gold), answer, judge)
            case "order":
                return same_order(whole_numbers(gold), answer, judge)
            case "words":
                return same_words(gold, answer, judge)
        return await Exact(mismatch="undecided").judge(task, answer)


def _task(row: Row, name: str, max_pixels: int) -> Task:
    asked = row.read(_Question)
    images = [
        row.image(value, max_pixels=max_pixels, column=column)
        for column, value in (("image_1", asked.image_1), ("image_2", asked.image_2))
        if column == "image_1" or (value and isinstance(value, str | bytes | dict))
    ]
    gold = str(asked.answer).strip()
    if asked.task == "ocr":
        gold = MENDED.get(PurePosixPath(_path(asked.image_1)).name, gold)
    prompt = re.sub(r"\s*<image>\s*", "\n", asked.prompt).strip()
    kind, found = _kind(row, asked.task, gold), None
    if kind == "letters" and len(gold) == 1:
        found = _options(prompt, gold)
    question, options = found or _Options(prompt, ())
    return task_of(
        row, name, "tir_bench", question, images,
        answer=gold, choices=options, family=asked.task,
        meta={"kind": "choice" if options else kind},
    )  # fmt: skip


def _path(value: object) -> str:
    path = value.get("path") if isinstance(value, dict) else value
    return path if isinstance(path, str) else ""


def _kind(row: Row, task: str, gold: str) -> str:
    """How an answer is read, by the task and by what the gold answer is."""
    if task == "ocr":
        return "words"
    numbers = whole_numbers(gold)
    listed = unpacked(gold)
    several = isinstance(listed, list | tuple) or len(numbers) > 1
    if task == "jigsaw":
        if len(numbers) < 2:
            raise row.wrong(f"answer: expected the order of the pieces, got {gold[:80]!r}")
        return "order"
    if number(gold) is not None:
        return "number"
    if task == "spot_difference" and several:
        return "set"
    if several and not re.search(r"[^\W\d_]", gold) and len(numbers) == 2:
        return "pair"
    if re.fullmatch(r"[A-K]", gold) or _WHOLE_LETTERS.fullmatch(gold):
        return "letters"
    return "text"


def _options(prompt: str, gold: str) -> _Options | None:
    """The options at the end of a prompt, if they can be told apart for sure; else it stays whole.

    Letters must come in order from A, each with a text of its own.
    """
    marks = list(_OPTION.finditer(prompt))
    starts = [place for place, mark in enumerate(marks) if mark[1] == "A"]
    if not starts:
        return None
    marks = marks[starts[-1] :]
    if [mark[1] for mark in marks] != [option_letter(place) for place in range(len(marks))]:
        return None
    ends = [*(mark.start() for mark in marks[1:]), len(prompt)]
    pairs = zip(marks, ends, strict=True)
    texts = tuple(prompt[mark.end() : end].strip(" \n\r\t;,") for mark, end in pairs)
    question = prompt[: marks[0].start()].strip()
    if len(texts) < 2 or not all(texts) or len(set(texts)) < len(texts) or not question:
        return None
    if any("\n" in text for text in texts):
        return None
    trial = Task(id="trial", prompt=(question,), answer=gold, choices=texts)
    return _Options(question, texts) if gold_option(trial) is not None else None
