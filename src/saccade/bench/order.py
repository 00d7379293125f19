"""In which order the options of a question are shown, and where they stood in the file.

In V*Bench the first option is always right, and the published script never shuffles: a model that
prefers "A" is rewarded for it (PR 66 of DeepEyes measured 89.0 in file order, 84.3 shuffled). Here
the order follows from a hash of seed and id, is kept in the record, and is undone in what is
written for others.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Literal

from saccade.bench.benchmark import UNIT
from saccade.rewards.judges import gold_option
from saccade.types import Task, option_letter

Order = Literal["hashed", "file", "circular"]
"""`hashed`: by a hash of seed and id. `file`: as in the file, as published scorers do. `circular`:
every rotation is a task, and the rotations of a question are one unit."""

ORDER = "order"
"""Key of `Task.meta`: for each option as shown, its place in the file, counted from 0."""

_REFERS = re.compile(
    r"\b(?:all|none|both|neither|either|any|two|three)\b.{0,20}\b(?:above|below|these|options?|"
    r"choices?|answers?)\b|\b[A-H]\s*(?:,|and|or|&)\s*[A-H]\b",
    re.IGNORECASE,
)
"""An option that speaks of the others by their places: then none is moved."""


def arranged(task: Task, order: Order, seed: int) -> Iterator[Task]:
    """The task with its options in the order in which they are shown; of `circular` one for each.

    Left as it is: a task without options, one whose gold answer names none of them, and one with an
    option that speaks of others by their places ("both A and C").
    """
    gold = gold_option(task) if task.choices else None
    n = len(task.choices)
    fixed = order == "file" or any(_REFERS.search(choice) for choice in task.choices)
    if gold is None or fixed or n < 2:
        yield task
    elif order == "hashed":
        yield _moved(task, sorted(range(n), key=lambda k: _hash(f"{seed}:{task.id}:{k}")), gold)
    else:
        for shift in range(n):
            turned = _moved(task, [(k + shift) % n for k in range(n)], gold)
            unit = str(task.meta.get(UNIT) or task.id)
            meta = {**turned.meta, UNIT: unit}
            yield turned.model_copy(update={"id": f"{task.id}+{shift}", "meta": meta})


def place_in_file(task: Task, shown: int) -> int:
    """Where an option that is shown at a place stands in the file; both are counted from 0."""
    order = task.meta.get(ORDER)
    return int(str(order[shown])) if isinstance(order, list) else shown


def _moved(task: Task, places: list[int], gold: int) -> Task:
    shown = tuple(task.choices[place] for place in places)
    at = places.index(gold)
    return task.model_copy(
        update={
            "choices": shown,
            "answer": f"{option_letter(at)}. {shown[at]}",
            "meta": {**task.meta, ORDER: list(places)},
        }
    )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
