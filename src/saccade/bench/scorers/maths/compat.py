"""Scorers of VLMEvalKit restated, their mistakes included: for `--compat vlmevalkit` alone.

Each returns what VLMEvalKit counts for a reply, and None where it asks a model or draws by lot. It
evaluates lists of the data, and for MathVision replies, as Python programs; nothing is executed
here, so that a reply which is a program has no fixed result.

Source: open-compass/VLMEvalKit at e8e78f05: vlmeval/utils/matching_util.py,
vlmeval/dataset/dynamath.py, and vlmeval/dataset/utils/{mathvista,mathv,vqa_eval}.py. Each, OCRBench
and the boxes of RefCOCO too, was played against those functions on 60,000 replies that were drawn
and altered at random, without a difference (MathVision's options on 12,000); that of its free
answers on 50,000: what is 1 here is so there, and in 6 of 1,000 replies theirs is 1 where here
it is None (`eval` takes 3^2 for 1, and its reader of LaTeX takes 50% for 1/2).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence

from saccade.bench.scorers.letters import inferred_letter, options_of
from saccade.bench.scorers.maths.numbers import value_of
from saccade.types import Task

_AS_PROGRAM = re.compile(
    r"(?<!sqrt)\[|\)\s*\\|\}\s*\^|\^\S*\de|\b0\s*\\|\\.*(?:\de|\*)|(?:\de|\*).*\\", re.DOTALL
)
"""Lists, and LaTeX mixed with what only Python writes: what `is_equal` makes of it is no number."""


def infers_right(task: Task, reply: str) -> float | None:
    """1 where `can_infer` finds the right letter, 0 for another one; None: a model decides."""
    found = inferred_letter(reply, options_of(task))
    return None if found is None else float(found == (task.answer or "")[:1])


def mathvista(task: Task, reply: str, kind: str) -> float | None:
    """`post_check` of a reply, then of what it found. Of lists it compares None: never right."""
    if task.choices:
        return infers_right(task, reply)
    if kind not in ("integer", "float"):
        return 0.0
    read = int if kind == "integer" else float
    try:
        found = read(reply)
        equal = found == read(task.answer or "")
    except (ValueError, OverflowError):
        return None
    return 1.0 if equal and found else None  # zero is false: then the model is asked


def mathvision(task: Task, reply: str) -> float | None:
    """`is_equal` of a reply or of the letter in it; numbers are one up to 1e-6."""
    if task.choices:
        return infers_right(task, reply)
    gold, found = (text.lower().strip() for text in (task.answer or "", reply))
    if gold == found:
        return 1.0
    if _AS_PROGRAM.search(f"{gold} {found}"):
        return None
    a, b = value_of(gold), value_of(found)
    return 1.0 if a is not None and b is not None and abs(a - b) < 1e-6 else None


def dynamath(task: Task, reply: str, kind: str) -> float | None:
    """The short answer of a reply in JSON, or the reply itself; "" is part of every text."""
    gold = task.answer or ""
    start, end = reply.find("{"), reply.rfind("}")
    text = (reply[start : end + 1] if 0 <= start < end else reply).replace("\\", "")
    try:
        content = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        content = None
    short = content.get("short answer") if isinstance(content, dict) else None
    if short is not None and not isinstance(short, str) and kind not in _READ:
        return None  # it ends with an error
    found = _parsed(short, kind)
    if found is None:
        found = _parsed(text, kind)
    if found is None:
        return None
    if kind == "float":
        target = _float(gold)
        return None if target is None else float(abs(float(found) - target) <= 0.001)
    if kind == "multiple choice":
        return float(found == gold)
    return float(str(found).lower() in gold.lower())


_READ = ("float", "multiple choice")
"""Types of answers that are read; others are texts."""


def _parsed(text: object, kind: str) -> str | float | None:
    if not isinstance(text, str):
        return None
    if kind == "float":
        number = text if text.isdigit() else text.split(" ")[0]
        before, pi, _ = number.partition("\u03c0")
        try:
            return float(before) * (math.pi if pi else 1.0)
        except ValueError:
            return None
    if kind == "multiple choice":
        if len(text) == 1:
            return text.upper()
        held = [letter for letter in "ABCDE" if letter in text.upper()]
        return held[0] if len(held) == 1 else None
    return text


def relaxed(gold: Sequence[str], reply: str) -> float:
    """`relaxed_correctness`: within 5 %, years too; "6.8%" is 0.068, and never near a gold 6.8."""
    return float(any(_relaxed(one, reply.strip()) for one in gold))


def _relaxed(gold: str, reply: str) -> bool:
    target, found = _float(gold), _float(reply)
    if found is not None and target:
        return abs(found - target) / abs(target) <= 0.05
    return reply.lower() == gold.lower()


def _float(text: str) -> float | None:
    try:
        return float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None


def holds(gold: Sequence[str], reply: str, *, formula: bool) -> float:
    """OCRBench: whether a gold text is part of the reply, also "3" of "13", and "" of anything."""
    if formula:
        reply = "".join(reply.strip().replace("\n", " ").split(" "))
        texts = [one.strip().replace("\n", " ").replace(" ", "") for one in gold]
    else:
        reply = reply.lower().strip().replace("\n", " ")
        texts = [one.lower().strip().replace("\n", " ") for one in gold]
    return float(any(text in reply for text in texts))
