"""In which order the options of a question are shown, and where they stood in the file.

In V*Bench the first option is always right, and the published script never shuffles: a model that
prefers "A" is rewarded for it (PR 66 of DeepEyes measured 89.0 in file order, 84.3 shuffled). Here
the order follows from a hash of seed and id, is kept in the record, and is undone in what is
written for others.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Literal

from saccade.bench.benchmark import UNIT
from saccade.rewards.judges import gold_option
from saccade.types import Task, option_letter

Order = Literal["hashed", "file", "circular"]
"""`hashed`: by a hash of seed and id. `file`: as in the file, as published scorers do. `circular`:
every rotation is a task, and the rotations of a question are one unit."""

ORDER = "order"
"""Key of `Task.meta`: for each option as shown, its place in the file, counted from 0."""
KEPT = "order_kept"
"""Key of `Task.meta`: why the options of a task are not moved, whatever `order` says. HR-Bench asks
every question with its options in four cycles: what is balanced already stays so."""

_REFERS = re.compile(
    r"\b(?:all|none|both|neither|either|any|two|three)\b.{0,20}\b(?:above|below|these|options?|"
    r"choices?|answers?)\b|\b[A-H]\s*(?:,|and|or|&)\s*[A-H]\b",
    re.IGNORECASE,
)
"""An option that speaks of the others by their places: then none is moved."""


def arranged(task: Task, order: Order, seed: int) -> Iterator[Task]:
    """The task with its options in the order in which they are shown; of `circular` one for each.

    Left as it is: a task without options, one whose gold answer names none of them, one with an
    option that speaks of others by their places ("both A and C"), and one that says so (`KEPT`).
    """
    gold = gold_option(task) if task.choices else None
    n = len(task.choices)
    fixed = order == "file" or KEPT in task.meta or any(map(_REFERS.search, task.choices))
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


def rotated_from(task: Task) -> str | None:
    """The id of the question of which a task is a rotation; None of a task that is none."""
    name, _, shift = task.id.rpartition("+")
    order = task.meta.get(ORDER)
    turned = isinstance(order, list) and shift.isdecimal() and str(order[:1]) == f"[{int(shift)}]"
    return name if turned and name else None


def gold_answer(choices: Sequence[str], place: int) -> str:
    """The gold answer of a question with options: "B. dog", which no order makes wrong.

    The letter alone where that would name several options, since two of them have one text.
    """
    answer = f"{option_letter(place)}. {choices[place]}"
    shown = Task(id="-", prompt=("-",), choices=tuple(choices), answer=answer)
    return answer if gold_option(shown) == place else option_letter(place)


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
            "answer": gold_answer(shown, at),
            "meta": {**task.meta, ORDER: list(places)},
        }
    )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
