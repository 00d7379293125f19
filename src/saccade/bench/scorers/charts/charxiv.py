"""CharXiv: its descriptive questions in our words, and how its answers are compared.

A descriptive question is a number in the data set; what it asks is a fact of the data set, and the
wording here is ours. The rule accepts what is the same text or number, and rejects another number;
a language model judges the rest, and is told what counts for this kind of answer.
Source: princeton-nlp/CharXiv, src/constants.py (what each number asks; which kinds there are).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from saccade.bench.scorers.maths.numbers import decimals, measured, near
from saccade.rewards.maths.written import written
from saccade.rewards.text import normalised, same_text
from saccade.types import Task, Verdict

QID = "qid"
"""Key of `Task.meta`: the number of a descriptive question."""
RULE = "charxiv"
ABSENT = "Not Applicable"
NOTHING = f'If there is none, answer "{ABSENT}".'

TEXT_IN_CHART, TEXT, NUMBER_IN_CHART, NUMBER = (
    "text in chart", "text in general", "number in chart", "number in general",
)  # fmt: skip
REASONING = {"1": TEXT_IN_CHART, "2": TEXT, "3": NUMBER_IN_CHART, "4": NUMBER}
"""Kinds of answers to reasoning questions."""

EXTRACTION, ENUMERATION, COUNTING, PATTERN, COMPOSITION = (
    "information extraction", "enumeration", "counting", "pattern recognition", "compositionality",
)  # fmt: skip


class Template(NamedTuple):
    """A descriptive question."""

    kind: str
    compared: str
    """How its answers are compared: a key of `COMPARED`."""
    text: str
    """What it asks, after the subplot."""
    whole: bool = False
    """Whether it is about the whole figure rather than a subplot."""


_X = "If it has x-axes above and below, take the one below."
_Y = "If it has y-axes left and right, take the one on the left."
_TICK = "Give what is written at the tick, without units or factors that stand elsewhere."
_LEGEND = f"It counts wherever it stands, as far as it is about this plot. {NOTHING}"
_BAR = f"Leave out percent signs. {NOTHING}"
_LINES = (
    f'Grid lines, tick marks and auxiliary lines do not count. Without lines, answer "{ABSENT}".'
)
_STEP = (
    "Ticks must be numbers with one and the same difference, without units or factors that stand "
    f'elsewhere; else answer "{ABSENT}".'
)
_APART = "by how much do neighbouring ticks of the {}-axis differ?"
_TERM = "give the {} that is written, a shared one too."

DESCRIPTIVE = {
    1: Template(EXTRACTION, "term", f"give the title. A letter alone is none. {NOTHING}"),
    2: Template(EXTRACTION, "term", f"{_TERM.format('label of the x-axis')} {_X} {NOTHING}"),
    3: Template(EXTRACTION, "term", f"{_TERM.format('label of the y-axis')} {_Y} {NOTHING}"),
    4: Template(EXTRACTION, "tick", f"{_TERM.format('leftmost tick of the x-axis')} {_X} {_TICK}"),
    5: Template(EXTRACTION, "tick", f"{_TERM.format('rightmost tick of the x-axis')} {_X} {_TICK}"),
    6: Template(EXTRACTION, "tick", f"{_TERM.format('lowest tick of the y-axis')} {_Y} {_TICK}"),
    7: Template(EXTRACTION, "tick", f"{_TERM.format('highest tick of the y-axis')} {_Y} {_TICK}"),
    8: Template(ENUMERATION, "number", f"{_APART.format('x')} {_X} {_STEP}"),
    9: Template(ENUMERATION, "number", f"{_APART.format('y')} {_Y} {_STEP}"),
    10: Template(COUNTING, "number", f"how many lines are there? {_LINES}"),
    11: Template(PATTERN, "yes", f"do any lines cross? Answer Yes or No. {_LINES}"),
    12: Template(COUNTING, "number", f"how many labels does the legend have? {_LEGEND}"),
    13: Template(
        ENUMERATION, "list", "name the labels of the legend, from top to bottom and then from left "
        f"to right, with commas between them. {_LEGEND}"
    ),
    14: Template(
        ENUMERATION, "number", "by how much do the highest and the lowest tick of the colour bar "
        f"differ? {_BAR}"
    ),
    15: Template(ENUMERATION, "number", f"what is the highest tick of the colour bar? {_BAR}"),
    16: Template(
        PATTERN, "trend", "how do the data go from left to right? Answer in a few words, as in "
        '"rises, then levels off".'
    ),
    17: Template(
        COMPOSITION, "number", "how many labelled ticks do all axes have together, shared ones too?"
    ),
    18: Template(
        PATTERN, "layout", 'How are the subplots arranged? Answer as "n by m": n rows, m columns. '
        'A single plot is "1 by 1".', whole=True
    ),
    19: Template(
        COUNTING, "number", "How many subplots are there? A single plot is 1.", whole=True
    ),
}  # fmt: skip
"""What the numbers of the data set ask."""

COMPARED = {
    "term": "An answer is right only if it names the same term as the reference. Notation may "
    "differ (Greek letters spelled out, LaTeX, an (a) before a title); words may not.",
    "tick": "An answer is right only if it is the same tick label. Notation may differ (10^-2 and "
    "0.01); its value or words may not.",
    "number": "An answer is right only if its number equals the reference exactly. Notation may "
    "differ (0.01 and 10^-2); no rounding is allowed.",
    "yes": "An answer is right only if it comes to the same Yes or No.",
    "list": "An answer is right only if it has the same labels as the reference, all of them and "
    "no others. Their order and notation may differ.",
    "trend": "An answer is right if it describes the same course in the same order; words may "
    "differ.",
    "layout": "An answer is right only if it has the same numbers of rows and columns.",
    "meaning": "Where the question lists options, an answer is right only if it is the same "
    "option. Else it is right if it means the same as the reference.",
}
_ABSENT_TOO = (
    f'Where the reference is "{ABSENT}", an answer is right only if it says that there is none.'
)
ALL_INSTRUCTIONS = "\n".join([*COMPARED.values(), _ABSENT_TOO])

_OF_REASONING = {
    TEXT_IN_CHART: "term", TEXT: "meaning", NUMBER_IN_CHART: "number", NUMBER: "number",
}  # fmt: skip
_LAYOUT = re.compile(r"(\d{1,3}) ?(?:by|x|\u00d7|\*|\\times) ?(\d{1,3})", re.IGNORECASE)
_NONE = frozenset(("not applicable", "n/a", "na", "not available", "none"))


def question_of(qid: int, location: object) -> str:
    """A descriptive question; the subplot by row and column, or in the words of the data set."""
    template = DESCRIPTIVE[qid]
    if template.whole:
        return template.text
    where = "In this plot"
    if isinstance(location, str) and location.strip():
        where = f"In {location.strip()}"
    elif isinstance(location, list | tuple) and len(location) == 2 and location[0]:
        where = f"In the subplot at row {location[0]} and column {location[1]}"
    return f"{where}, {template.text}"


def form_of(kind: str, answer: str) -> str:
    """What a reasoning question asks of the form of its answer."""
    if kind == TEXT_IN_CHART:
        return (
            "Answer with text that is written in the chart; give full names, and commas between "
            "several."
        )
    if kind == NUMBER_IN_CHART:
        return "Answer with a number that is written in the chart, also where it is only close."
    if kind == NUMBER:
        digits = decimals(answer)
        return (
            f"Answer with a number with {digits} decimals." if digits else "Answer with an integer."
        )
    return "Answer with one of the options if the question has some, else with a short phrase."


def compared(task: Task) -> str:
    """How answers to a question are compared: a key of `COMPARED`."""
    qid = task.meta.get(QID)
    if isinstance(qid, int) and qid in DESCRIPTIVE:
        return DESCRIPTIVE[qid].compared
    return _OF_REASONING.get(task.family, "meaning")


def instructions(task: Task) -> str:
    """What a judge is told of a question."""
    more = f" {_ABSENT_TOO}" if QID in task.meta else ""
    return COMPARED[compared(task)] + more


def judge(task: Task, answer: str) -> Verdict:
    """What can be said without a model; what is in other words stays undecided."""
    gold, text = task.answer or "", written(answer)
    if not answer.strip():
        return Verdict(correct=False, reason="no answer", judge=RULE)
    if same_text(gold, answer) or same_text(written(gold), text):
        return Verdict(correct=True, judge=RULE)
    decided = _decided(compared(task), gold, text)
    if decided is None:
        return Verdict(correct=None, reason="other words", judge=RULE, unread=True)
    return Verdict(correct=decided, judge=RULE)


def _decided(kind: str, gold: str, text: str) -> bool | None:
    absent = normalised(gold) in _NONE, normalised(text) in _NONE
    if any(absent):
        other = text if absent[0] else gold
        return True if all(absent) else False if _is_short(kind, other) else None
    if kind == "yes":
        words = normalised(gold), normalised(text)
        return words[0] == words[1] if set(words) <= {"yes", "no"} else None
    if kind == "layout":
        one, two = (_LAYOUT.fullmatch(side.strip()) for side in (gold, text))
        return one.groups() == two.groups() if one and two else None
    if kind in ("number", "tick"):
        target, found = measured(gold), measured(text)
        if target is None or found is None or target.unit or found.unit:
            return None
        return near(target.value, found.value)
    if kind == "list":
        items = [sorted(normalised(item) for item in side.split(",")) for side in (gold, text)]
        return True if items[0] == items[1] else None
    return None


def _is_short(kind: str, text: str) -> bool:
    """Whether a text is surely an answer rather than a way to say that there is none."""
    if kind in ("number", "tick"):
        return measured(text) is not None
    return kind == "yes" and normalised(text) in ("yes", "no")
