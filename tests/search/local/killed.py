"""Run by test_killed.py: a build that is killed at one moment after the other.

    python killed.py FOLDER

Prints a line of JSON for each moment, with what a reader saw after the kill, and at the end what a
build gives that goes on after all of them.
Builds run in forks of this process, which itself starts no thread.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[2]))

from search.local.indexing import found, numbered, written

from saccade.search.local.build import build
from saccade.search.local.index import Index
from saccade.search.local.store import generations
from saccade.search.local.store.state import State
from saccade.search.local.store.writer import Writer

MOMENTS: dict[str, tuple[object, str, int]] = {
    "when half a state is linked": (generations.os, "link", 9),
    "before the rows are committed": (State, "model_dump_json", 2),
    "while the texts are written anew": (Writer, "_write_texts_anew", 1),
}
"""What is called for the how many-th time when the kernel ends the process."""
QUERIES = ("whale", "number 3 things")


def main(folder: Path) -> None:
    first = written(folder / "1.jsonl", numbered(6))
    second = written(folder / "2.jsonl", numbered(5, changed=[1]))
    once, out = folder / "once", folder / "index"
    print(json.dumps(["undisturbed", forked(lambda: seen(once, build(second, once).digest))]))
    builds = partial(whole, first, second, out)
    for moment, (owner, name, call) in MOMENTS.items():
        killed = forked(partial(kill_at, owner, name, call, builds))
        assert killed is None, f"{moment}: the build was not killed"
        print(json.dumps([moment, forked(partial(reader, out))]))
    print(json.dumps(["rerun", forked(lambda: seen(out, builds()))]))


def whole(first: Path, second: Path, out: Path) -> str:
    """Two builds, of which the second replaces one document and removes one."""
    if not (out / "index.db").exists() or reader(out)[0] < 6:
        build(first, out, commit_every=3)
    return build(second, out, commit_every=3, prune=True).digest


def seen(out: Path, digest: str) -> list[Any]:
    return [digest, [found(out, query) for query in QUERIES]]


def reader(out: Path) -> list[Any]:
    """How many documents the index says to hold, and which ones are found."""
    with Index.open(out) as index:
        names = [result.hit.document for result in index.text("number", 100)]
        assert all(index.document(name) for name in names)
        return [index.state.documents, sorted(names)]


def kill_at(owner: Any, name: str, call: int, work: Callable[[], str]) -> str:
    real, calls = getattr(owner, name), [0]

    def stand_in(*arguments: Any, **more: Any) -> Any:
        calls[0] += 1
        if calls[0] == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **more)

    with mock.patch.object(owner, name, stand_in):
        return work()


def forked(work: Callable[[], Any]) -> Any:
    """What it returns, in a process of its own; None if that was killed."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, json.dumps(work()).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        content = file.read()
    os.waitpid(child, 0)
    return json.loads(content) if content else None


if __name__ == "__main__":
    main(Path(sys.argv[1]))
