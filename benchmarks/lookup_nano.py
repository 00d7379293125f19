"""What each tool is good for on questions of the world that take looking, searching, computing.

    python benchmarks/lookup_nano.py [--seed 20260] [--n 100]

1. A rule (`policy.kind = "world"`, not a model) attempts n questions of each family with the real
   tools, in the view of the embedded models, with all tools and without one or several of them.
2. What can be said of a fact without a document, by rules that know the training split whole.
3. At which rank a search finds the document that tells a fact, by three ways of asking.

It writes results/lookup_nano.json and the tables of docs/search_world.md; `--tables` writes only
the tables, from that file. A rule acts the same whether or not a tool is there that it never calls
in a family, so such episodes are played once; that it does not call it is checked.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from places import fill

from saccade.bench.sets.own.nano_realx import FAMILIES
from saccade.bench.sets.search.realx import ABILITIES, INTEGRATION
from saccade.config import Part
from saccade.dialects.deepeyes_v2 import DeepEyesV2
from saccade.env import Environment
from saccade.images.geometry import PixelBudget
from saccade.measures.intervals import wilson
from saccade.policies.world.policy import MODEL, WorldPolicy
from saccade.rollout import rollout
from saccade.tools.python import Python
from saccade.tools.search.image import ImageSearch, ImageSearchOptions
from saccade.tools.search.text import TextSearch, TextSearchOptions
from saccade.tools.zoom import ZoomIn
from saccade.types import Limits, Task, Tool, Trajectory
from saccade.world import TAKES, tasks
from saccade.world.facts import ATTRIBUTES, VALUES, Fact, Thing, facts_of
from saccade.world.library import Library, LibraryOptions

ROOT = Path(__file__).resolve().parent.parent
RESULTS, PAGE = ROOT / "results" / "lookup_nano.json", ROOT / "docs" / "search_world.md"
LOOK, TEXT, IMAGE, CODE = "image_zoom_in_tool", "text_search", "image_search", "python"
EVERY = (LOOK, TEXT, IMAGE, CODE)
ARMS = {
    "all tools": EVERY,
    "no image search": (LOOK, TEXT, CODE),
    "no text search": (LOOK, IMAGE, CODE),
    "no search": (LOOK, CODE),
    "no look": (TEXT, IMAGE, CODE),
    "no code": (LOOK, TEXT, IMAGE),
    "no tools": (),
}
CONDITIONS = {"none": "no search", "image": "no text search", "text": "no image search",
              "all": "all tools"}  # fmt: skip
"""The conditions of RealX-Bench; other tools are there in all of them."""
CALLS = {
    "easy": (), "read": (LOOK,), "lookup": (TEXT,), "compute": (CODE,),
    "lookup_far": (LOOK, TEXT), "compute_far": (LOOK, CODE), "lookup_compute": (TEXT, CODE),
    "emblem": (TEXT, IMAGE), "all": (LOOK, TEXT, CODE),
}  # fmt: skip
"""The tools that the rule calls in each family."""
SIDE_BY_SIDE = 8
QUERIES = {
    "price red 47": "{attribute} {name}",
    "red 47": "{name}",
    "What is the price of the thing on the red plate 47?": (
        "What is the {attribute} of the thing on the {colour} plate {number}?"
    ),
}
KNOWN, ASKED = 10, 500
"""Number of libraries: of the training split that are known, of the test split that are asked."""
Row = dict[str, float | int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=20260)
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--tables", action="store_true")
    options = parser.parse_args()
    if not options.tables:
        found = {
            "command": f"python benchmarks/lookup_nano.py --seed {options.seed} --n {options.n}",
            "policy": MODEL,
            "seed": options.seed,
            "n": options.n,
            **asyncio.run(played(options.seed, options.n)),
            "closed_book": closed_book(),
            "search": asyncio.run(ranks()),
        }
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    fill(PAGE, tables(json.loads(RESULTS.read_text())))


async def played(seed: int, n: int) -> dict[str, object]:
    """Accuracy by arm and family, and by condition and ability."""
    right: dict[str, dict[str, list[bool]]] = {arm: {} for arm in ARMS}
    arms: dict[str, dict[str, Row]] = {arm: {} for arm in ARMS}
    for family in FAMILIES:
        asked, done = list(tasks(family, n=n, seed=seed)), {}
        for arm, tools in ARMS.items():
            used = tuple(tool for tool in tools if tool in CALLS[family])
            if used not in done:
                # With all tools every tool is there, so that it would be seen if it were called.
                done[used] = await attempts(asked, tools if arm == "all tools" else used)
            right[arm][family] = [
                t.answer == task.answer for task, t in zip(asked, done[used], strict=True)
            ]
            arms[arm][family] = row(right[arm][family]) | {
                "calls": round(sum(len(t.results) for t in done[used]) / n, 2)
            }
            print(family, arm, arms[arm][family], flush=True)
        called = {result.call.name for t in done[CALLS[family]] for result in t.results}
        assert called == set(CALLS[family]), (family, called)
    groups = {
        "all": FAMILIES,
        **{a: [f for f in FAMILIES if a in TAKES[f]] for a in ABILITIES},
        INTEGRATION: [f for f in FAMILIES if len(TAKES[f]) == len(ABILITIES)],
    }
    conditions = {
        condition: {
            group: row([r for family in families for r in right[arm][family]])
            for group, families in groups.items()
        }
        for condition, arm in CONDITIONS.items()
    }
    return {"arms": arms, "conditions": conditions}


async def attempts(asked: Sequence[Task], names: Iterable[str]) -> list[Trajectory]:
    """One episode of each question, with these tools."""
    library = Part(kind="saccade.world.library:Library")
    makers: dict[str, Callable[[], Tool]] = {
        LOOK: lambda: ZoomIn(square=True, small="enlarge", min_side=24),
        TEXT: lambda: TextSearch(TextSearchOptions(provider=library)),
        IMAGE: lambda: ImageSearch(ImageSearchOptions(provider=library)),
        CODE: Python,
    }
    environment = Environment(
        DeepEyesV2(),
        [makers[name]() for name in names],
        limits=Limits(max_turns=9),
        view=PixelBudget(factor=14, max_pixels=56 * 56),
        observation=PixelBudget(factor=14, min_pixels=400, max_pixels=800),
    )
    policy, slots = WorldPolicy(), asyncio.Semaphore(SIDE_BY_SIDE)

    async def attempt(task: Task) -> Trajectory:
        async with slots:
            return await rollout(policy, environment, task)

    done = await asyncio.gather(*map(attempt, asked))
    await environment.close()
    for trajectory in done:
        assert trajectory.error is None, trajectory.error
    return done


def row(right: Sequence[bool]) -> Row:
    n, successes = len(right), sum(right)
    low, high = wilson(successes, n)
    return {
        "accuracy": round(successes / n, 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "n": n,
    }


def closed_book() -> dict[str, object]:
    """Rules without documents, on every fact, and every product of two, of several libraries."""
    known = [f for seed in range(KNOWN) for f in facts_of("train", seed).facts.values()]
    often = Counter(f.value for f in known).most_common(1)[0][0]
    of = {a: Counter(f.value for f in known if f.attribute == a) for a in ATTRIBUTES}
    products = Counter(a * b for a in VALUES for b in VALUES)
    best, ways = products.most_common(1)[0]
    asked = [facts_of("test", seed).facts for seed in range(ASKED)]
    guesses: dict[str, Callable[[Thing, str], int]] = {
        "most frequent value of training": lambda thing, attribute: often,
        "the same, by attribute": lambda thing, attribute: of[attribute].most_common(1)[0][0],
        "the number on the plate": lambda thing, attribute: thing.number,
    }
    facts = {
        name: row([guess(f.thing, f.attribute) == f.value for k in asked for f in k.values()])
        for name, guess in guesses.items()
    }
    pairs = [(k[t, a], k[t, b]) for k in asked for t, a in k for b in ATTRIBUTES if a != b]
    return {
        "chance": {"one fact": 1 / len(VALUES), "product": ways / len(VALUES) ** 2},
        "one fact": facts,
        "product": {"most frequent product": row([best == a.value * b.value for a, b in pairs])},
    }


async def ranks() -> dict[str, dict[str, Row]]:
    """Share of the facts whose document is found, by way of asking."""
    found: dict[str, dict[str, Row]] = {}
    for shown, wording in QUERIES.items():
        places: list[int] = []
        for seed in range(3):
            library = Library(LibraryOptions(split="test", seed=seed))
            await library.start()
            for fact in facts_of("test", seed).facts.values():
                places.append(await rank(library, wording, fact))
            await library.close()
        found[shown] = {f"rank <= {k}": row([p <= k for p in places]) for k in (1, 5)}
    return found


async def rank(library: Library, wording: str, fact: Fact) -> int:
    from saccade.search.found import Query

    text = wording.format(
        attribute=fact.attribute,
        name=fact.thing.name,
        colour=fact.thing.colour,
        number=fact.thing.number,
    )
    results = (await library.search(Query("text", text=text, k=10))).results
    documents = [result.hit.document for result in results]
    return documents.index(fact.document) + 1 if fact.document in documents else 99


def tables(found: dict[str, dict[str, dict[str, Row]]]) -> dict[str, str]:
    """The marked parts of the page."""
    groups = ["all", *ABILITIES, INTEGRATION]
    closed = found["closed_book"]
    return {
        "families": table(
            ["tools", *(f"`{family}`" for family in FAMILIES)],
            [[arm, *(cell(found["arms"][arm][f]) for f in FAMILIES)] for arm in ARMS],
        ),
        "calls": table(
            ["", *(f"`{family}`" for family in FAMILIES)],
            [["calls", *(f"{found['arms']['all tools'][f]['calls']:.2f}" for f in FAMILIES)]],
        ),
        "abilities": table(
            ["condition", *groups],
            [[c, *(cell(found["conditions"][c][g]) for g in groups)] for c in CONDITIONS],
        ),
        "closed_book": table(
            ["asked", "guess", "right", "chance", "n"],
            [
                [asked, name, cell(r, 4), f"{closed['chance'][asked]:.4f}", f"{r['n']:,}"]
                for asked in ("one fact", "product")
                for name, r in closed[asked].items()
            ],
        ),
        "ranks": table(
            ["query", "first", "among five", "n"],
            [
                [f"`{query}`", *(cell(r, 3) for r in rows.values()),
                 f"{rows['rank <= 5']['n']:,}"]
                for query, rows in found["search"].items()
            ],
        ),
    }  # fmt: skip


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(r: Row, places: int = 2) -> str:
    value, low, high = (f"{r[key]:.{places}f}" for key in ("accuracy", "low", "high"))
    return f"{value} [{low}, {high}]"


if __name__ == "__main__":
    main()
