"""Several groupings of one benchmark, side by side: by subject, by level, by skill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from saccade.bench.benchmark import ALL, Scored, unit_of


def grouped_by(
    scored: Sequence[Scored], groupings: Mapping[str, str]
) -> dict[str, list[tuple[str, float]]]:
    """Group -> unit and value of each scored attempt in it; `all` first.

    Args:
        scored: The attempts.
        groupings: Name of a grouping -> key of `Task.meta`; where that holds a list, an attempt is
            in several of its groups. They are called "subject: algebra", in alphabetical order.
    """
    groups: dict[str, list[tuple[str, float]]] = {ALL: []}
    rest: dict[tuple[int, str], list[tuple[str, float]]] = {}
    for one in scored:
        if one.value is None:
            continue
        pair = (unit_of(one.task), one.value)
        groups[ALL].append(pair)
        for order, (label, key) in enumerate(groupings.items()):
            held = one.task.meta.get(key)
            for value in dict.fromkeys(held if isinstance(held, list) else [held]):
                if value not in (None, ""):
                    rest.setdefault((order, f"{label}: {value}"), []).append(pair)
    return groups | {name: rest[order, name] for order, name in sorted(rest)}
