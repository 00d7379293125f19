"""Answers that are a number, a list, an order of pieces, letters, or what an image says.

Each rule is conservative, as those of `saccade.rewards.judges`: what it cannot read for sure it
leaves undecided, for a judge that can. It never takes the nearest letter, never draws, and a reply
that did not come is not read as one. Where an answer is partly right, its share is the grade, and
`correct` says that all of it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from saccade.rewards.text import normalised, number, same_text
from saccade.types import Verdict

MAX_CHARS = 20_000
"""Longer answers are undecided."""

_NUMBER = re.compile(
    r"(?<![A-Za-z0-9_.])[-+]?(?:\d{1,3}(?:,\d{3})+|\d{1,40})(?:\.\d{1,40})?(?![\d.]*\d)"
)
_BETWEEN = r" ?(?:[,;\uff0c\u3001&]|\band\b)? ?(?:and )?"
_LISTED = re.compile(rf"[\[({{] ?(?:\d{{1,9}}(?:{_BETWEEN}\d{{1,9}})*)? ?[\])}}]")
_RUN = re.compile(rf"(?<![A-Za-z0-9_.])\d{{1,9}}(?:{_BETWEEN}(?<!\d)\d{{1,9}})+")
"""Of a text in which each run of white space is one space."""
_ONE_LETTER = re.compile(
    r"\W*(?i:(?:the\s+)?(?:correct\s+|final\s+|right\s+)*(?:answer|option|choice)\W*(?:is\W+)?)?"
    r"\(?([A-Z])(?:\W*|[).:]\s.*)",
    re.DOTALL,
)
_LETTERS = re.compile(r"\W*[A-Z](?:(?:\W|\band\b)*[A-Z])*\W*")
_DENIES = re.compile(
    r"\b(?:not|no|never|neither|nor|or|instead|rather|but|cannot|wrong|incorrect|maybe|unsure)\b"
    r"|n['\u2019]t\b|\u4e0d|\u6216|\u6ca1",
    re.IGNORECASE,
)
_BOUNDS = re.compile(
    r"\b(?:than|least|most|except|excluding|without|between|over|under|up to|only if)\b"
    r"|[<\u2264\u2265]|(?<![-=])>|[?\uff1f]\W*$"
    r"|\u8d85\u8fc7|\u81f3\u5c11|\u81f3\u591a|\u5927\u4e8e|\u5c0f\u4e8e|\u9664",
    re.IGNORECASE,
)
"""Words after which a number is a bound, or what is left out, rather than the answer."""
_SENTENCE = re.compile(r"[!;\n\u3002\uff01\uff1b]|\.(?=\s)|(?<=[?\uff1f])")
_RANGE = re.compile(r"\d\s*[-~\u2010-\u2014\u301c\uff5e]\s*\d")
_COLUMN_FIRST = re.compile(r"\bcol.{0,200}?\brow|\u5217.{0,200}?\u884c", re.IGNORECASE | re.DOTALL)


def same_number(gold: str, answer: str, judge: str) -> Verdict:
    """Right if the answer holds the number and no other, whatever words or unit stand beside it.

    Several numbers, or none in digits, are undecided; so is another number with a per cent sign or
    a fraction bar, which may be the same share, and one that is denied or a bound.
    """
    if _is_hedged(answer):
        return _undecided("what it says of the number is no answer for sure", judge)
    value = number(gold.strip())
    found = {_value(text) for text in _NUMBER.findall(answer[:MAX_CHARS])}
    if value is None or len(found) != 1 or len(answer) > MAX_CHARS:
        return _undecided(f"{len(found)} numbers", judge)
    right = found == {value}
    if not right and re.search(r"[%/\u2030^]|percent|per cent|\be\d", answer):
        return _undecided("another form of a number", judge)
    return Verdict(correct=right, judge=judge)


def same_pair(gold: Sequence[int], answer: str, judge: str) -> Verdict:
    """Right if the answer holds these numbers in this order: a row and a column."""
    found = _one_list(answer, exactly=len(gold))
    if found is None or _is_hedged(answer) or _COLUMN_FIRST.search(answer):
        return _undecided(f"it holds no single list of {len(gold)} numbers", judge)
    return Verdict(correct=[*gold] == found, judge=judge)


def same_set(gold: Sequence[int], answer: str, judge: str) -> Verdict:
    """The IoU of two sets of whole numbers; right where they are the same.

    Source: agents-x-project/TIR-Bench, tools.py (list_iou).
    """
    found = _one_list(answer)
    if found is None or _is_hedged(answer) or _RANGE.search(answer):
        return _undecided("it holds no single list of numbers", judge)
    true, named = set(gold), set(found)
    iou = len(true & named) / len(true | named) if true | named else 1.0
    return Verdict(correct=true == named, grade=iou, reason=f"IoU {iou:.3f}", judge=judge)


def same_order(gold: Sequence[int], answer: str, judge: str) -> Verdict:
    """The share of places that hold the right piece; right where all do.

    A single list of another length is an order of other pieces: wrong, with a grade of 0. One
    number alone, and numbers among words, are none.

    Source: agents-x-project/TIR-Bench, tools.py (compare).
    """
    found = _one_list(answer, exactly=len(gold)) or _one_list(answer, scattered=False)
    if found is None or len(found) < 2 or _is_hedged(answer):
        return _undecided("it holds no single order of pieces", judge)
    if len(found) != len(gold):
        reason = f"it orders {len(found)} pieces of {len(gold)}"
        return Verdict(correct=False, grade=0.0, reason=reason, judge=judge)
    share = sum(a == b for a, b in zip(gold, found, strict=True)) / len(gold)
    reason = f"{share:.3f} of the places"
    return Verdict(correct=share == 1, grade=share, reason=reason, judge=judge)


def same_letters(gold: str, answer: str, judge: str) -> Verdict:
    """Right if the answer is this letter, or these in any order, and says nothing else.

    A letter may have the text of its option behind it, as in "B. a cat".
    """
    text, wanted = answer.strip(), set(gold.upper())
    if len(_letters(text)) == 1:
        text = text.upper()
    if len(wanted) == 1 and (one := _ONE_LETTER.fullmatch(text[:MAX_CHARS])):
        rest = text[one.end(1) :]
        if _DENIES.search(rest) or "?" in rest or re.search(r"\b[B-H]\b", rest):
            return _undecided("it says more than a letter", judge)
        return Verdict(correct=one[1] in wanted, judge=judge)
    if len(wanted) > 1 and len(text) < 200 and _LETTERS.fullmatch(text):
        named = set(re.findall(r"[A-Z]", text))
        return Verdict(correct=named == wanted, judge=judge)
    return _undecided("it is no letter", judge)


def same_words(gold: str, answer: str, judge: str) -> Verdict:
    """Right if the answer is what the image says, or holds it as whole words and denies nothing.

    Wrong where its letters do not stand in the answer at all, spaces, marks and case aside.
    """
    if same_text(gold, answer):
        return Verdict(correct=True, judge=judge)
    if len(answer) > MAX_CHARS:
        return _undecided("a long answer", judge)
    wanted, text = normalised(gold), normalised(answer)
    if not _letters(wanted):
        return _undecided("the text has no letters", judge)
    if _letters(wanted) not in _letters(text):
        return Verdict(correct=False, reason="it does not hold the text", judge=judge)
    whole = re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", text)
    rest = text.replace(wanted, " ") if whole else ""
    if whole and not _DENIES.search(rest) and not _DENIES.fullmatch(wanted):
        return Verdict(correct=True, judge=judge)
    return _undecided("the text is part of what it says", judge)


def whole_numbers(text: str) -> list[int]:
    """The whole numbers of a gold answer, in order."""
    return [int(digits) for digits in re.findall(r"\d{1,9}", text)]


def _is_hedged(answer: str) -> bool:
    """Whether a sentence with a number in it denies it, bounds it, or asks."""
    found = (one for one in _SENTENCE.split(answer[:MAX_CHARS]) if re.search(r"\d", one))
    return any(_DENIES.search(one) or _BOUNDS.search(one) for one in found)


def _one_list(
    answer: str, exactly: int | None = None, *, scattered: bool = True
) -> list[int] | None:
    """The one list of an answer, in brackets or else bare; None if there is none, or several.

    Args:
        answer: What was answered.
        exactly: Number of members that it must have; None: any.
        scattered: Whether its members may stand among words.
    """
    if len(answer) > MAX_CHARS:
        return None
    text = " ".join(answer.split())
    bracketed = [whole_numbers(match[0]) for match in _LISTED.finditer(text)]
    bare = [whole_numbers(match[0]) for match in _RUN.finditer(text)]
    numbers = [
        int(digits)
        for digits in re.findall(r"(?<![A-Za-z0-9_.])\d{1,9}(?![A-Za-z0-9_.]*[A-Za-z0-9_])", text)
    ]
    for lists in (bracketed, bare, [numbers] if numbers and scattered else []):
        fitting = [one for one in lists if exactly is None or len(one) == exactly]
        if fitting:
            return fitting[0] if all(one == fitting[0] for one in fitting) else None
    return None


def _value(text: str) -> Decimal:
    return Decimal(text.replace(",", ""))


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text)


def _undecided(reason: str, judge: str) -> Verdict:
    return Verdict(correct=None, reason=reason, judge=judge, unread=True)
