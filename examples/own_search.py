"""A search provider of your own, asked by a model through the tool `text_search`.

    python examples/own_search.py

A provider has a name, what it can be searched with, the facts that its results depend on (they are
a part of the fingerprint), and one coroutine. What fails raises `ServiceError`: it is tried again,
and aborts the episode in the end. In a run file of yours it is named
`tools.text_search = { provider = { kind = "own_search:Glossary" } }`. The policy here is a script.
"""

import asyncio
from typing import ClassVar

from saccade.dialects.deepeyes import DeepEyes
from saccade.env import Environment
from saccade.policies.replay import ReplayPolicy
from saccade.rollout import rollout
from saccade.search.found import Hit, Query, Result, Results
from saccade.tools.search.text import TextSearch
from saccade.types import Task

ENTRIES = {
    "fovea": "The part of the retina with the sharpest sight.",
    "saccade": "A rapid movement of both eyes between two points of fixation.",
}


class Glossary:
    """Finds the entries whose word is in the query."""

    name = "glossary"
    kinds = frozenset({"text"})
    facts: ClassVar = {"edition": 1}

    async def start(self) -> None:
        """Open what all episodes share."""

    async def search(self, query: Query) -> Results:
        words = query.text.lower().split()
        found = [word for word in ENTRIES if word in words]
        hits = [Hit(rank=n, title=word, snippet=ENTRIES[word]) for n, word in enumerate(found, 1)]
        return Results(tuple(Result(hit) for hit in hits[: query.k]))

    async def close(self) -> None:
        """Give it back."""


def main() -> None:
    task = Task(id="eye", prompt=("What is a saccade?",), answer="a movement of the eyes")
    call = '<tool_call>{"name": "text_search", "arguments": {"query": "saccade"}}</tool_call>'
    policy = ReplayPolicy({"eye": (call, "<answer>a movement of the eyes</answer>")})
    environment = Environment(DeepEyes(), [TextSearch(provider=Glossary())])
    trajectory = asyncio.run(rollout(policy, environment, task))
    print(trajectory.results[0].content[0], trajectory.answer, sep="\n")


if __name__ == "__main__":
    main()
