"""Answers about charts: numbers that may be off by a share, texts that may not.

Source: Masry et al. 2022 (arXiv 2203.10244), end of section 5.1: a numeric answer is right within
5 % of the gold one, others only where they are the same. The code that everybody runs is restated
in `saccade.bench.scorers.maths.compat`, `relaxed`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from saccade.bench.scorers.maths.numbers import measured, near
from saccade.rewards.maths.written import written
from saccade.rewards.text import normalised, same_text
from saccade.types import Verdict

WITHIN_SHARE = 0.05
RULE = "relaxed"

_YEAR = re.compile(r"(?:1[5-9]|20|21)\d\d")
_ASKS_YEAR = re.compile(r"\b(?:years?|when|since what|by what date)\b", re.IGNORECASE)
_COUNTS_YEARS = re.compile(r"\bhow many\b|\bnumber of years\b", re.IGNORECASE)


def judge_relaxed(gold: Sequence[str], answer: str, question: str) -> Verdict:
    """Whether an answer is one of the gold ones; undecided where it says them in a sentence.

    Numbers are right within 5 %. A year is right only as it is, where the question asks for one.
    Percent signs are read either way: 6.8 % is 6.8, and 0.068.
    """
    if not answer.strip():
        return Verdict(correct=False, reason="no answer", judge=RULE)
    found = [_right(one, answer, question) for one in gold]
    if True in found:
        return Verdict(correct=True, judge=RULE)
    if None in found:
        return Verdict(correct=None, reason="other words", judge=RULE, unread=True)
    return Verdict(correct=False, judge=RULE)


def _right(gold: str, answer: str, question: str) -> bool | None:
    if same_text(gold, answer) or same_text(written(gold), written(answer)):
        return True
    target, found = measured(gold), measured(answer)
    if target is None or (target.unit is not None and target.unit.words):
        return _same_words(gold, answer)
    if found is None:
        return None if re.search(r"\d", answer) or len(answer.split()) > 1 else False
    if found.unit is not None and found.unit.words and not _is_asked(found.unit.words, question):
        return None
    exact = asks_year(question, gold)
    return any(_near(x, y, exact=exact) for x in target.values for y in found.values)


def asks_year(question: str, gold: str) -> bool:
    """Whether a question asks for a year: its answer is one, and it says so."""
    asks = _ASKS_YEAR.search(question) is not None and not _COUNTS_YEARS.search(question)
    return asks and _YEAR.fullmatch(gold.strip()) is not None


def _near(gold: float, value: float, *, exact: bool) -> bool:
    return near(gold, value, 0.0 if exact else WITHIN_SHARE * abs(gold))


def _is_asked(words: str, question: str) -> bool:
    asked = set(re.findall(r"[a-z]+", question.casefold()))
    return all(word in asked or word.rstrip("s") in asked for word in words.split())


def _same_words(gold: str, answer: str) -> bool | None:
    """Texts: undecided where they share a word, or the gold one is a number on a scale."""
    a, b = f" {_plain(gold)} ", f" {_plain(answer)} "
    if a == b:
        return True
    scaled = re.search(r"\d \D", a) and re.search(r"\d", b)  # "5 million" and 5000000
    shared = set(a.split()) & set(b.split()) or scaled
    return None if shared or a in b or b in a or not b.strip() else False


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w%.+-]", " ", normalised(text)).split()).strip(".")
