"""What the tests of demonstrations share: sums that a scripted teacher solves with a tool."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from building import a_task
from pydantic import JsonValue

from saccade.config import Table
from saccade.data.demos.recipe import DemosRecipe
from saccade.data.demos.synthesise import Synthesised, synthesise
from saccade.formats.tasks import write_tasks
from saccade.runs.folder import Entry, RunReader
from saccade.testing import ScriptedReply, ScriptedRequest
from saccade.types import Task, ToolContext, ToolFunction, ToolOutput, ToolSpec

CELL = "<think>I add.</think><code>\n```python\nprint({}+{})\n```\n</code>"
ANSWER = "<think>It is printed.</think><answer>{}</answer>"
_SUM = re.compile(r"What is (\d+) plus (\d+), please\?")


class Cells:
    """A tool named python whose cells are sums: it shows stdout and stderr as the sandbox does."""

    spec = ToolSpec(name="python", description="", parameters={"type": "object"})

    async def start(self) -> None: ...

    @asynccontextmanager
    async def open(self, context: ToolContext) -> AsyncIterator[ToolFunction]:
        yield _run

    async def close(self) -> None: ...


async def _run(arguments: dict[str, JsonValue]) -> ToolOutput:
    code = str(arguments["code"])
    numbers = [int(n) for n in re.findall(r"\d+", code)]
    stderr = "NameError: name 'a' is not defined" if "raise" in code else ""
    stderr = "DeprecationWarning" if "warn" in code else stderr
    text = f"stdout:\n```{sum(numbers)}```\n\nstderr:\n```{stderr}```"
    return ToolOutput((text,), outcome="failed" if "raise" in code else "done")


def a_sum(number: int, **fields: object) -> Task:
    """Question `sum-N`: What is N plus 2, please?"""
    usual = {"id": f"sum-{number}", "answer": str(number + 2)}
    return a_task(f"What is {number} plus 2, please?", **(usual | fields))  # type: ignore[arg-type]


def asked(request: ScriptedRequest) -> tuple[int, int]:
    """The numbers of the question that a request is about."""
    found = _SUM.search(request.text)
    assert found is not None
    return int(found[1]), int(found[2])


def solve(request: ScriptedRequest) -> str | ScriptedReply:
    """The turn of a teacher that computes and answers right."""
    a, b = asked(request)
    return CELL.format(a, b) if request.turn == 0 else ANSWER.format(a + b)


def a_recipe(
    folder: Path, tasks: Sequence[Task], teachers: Sequence[Table], **more: object
) -> DemosRecipe:
    """A run file of these questions and teachers; sections of it replace ours."""
    path = folder / "source" / "tasks.jsonl"
    if not path.exists():
        write_tasks(tasks, folder / "source")
    usual: dict[str, object] = {
        "out": str(folder / "out"),
        "tasks": {"kind": "file", "path": str(path)},
        "dialect": {"kind": "deepeyes_v2"},
        "tools": {"teaching:Cells": {}},
        "teachers": teachers,
        "concurrency": 4,
    }
    return DemosRecipe.model_validate(usual | more)


def behind(url: str, model: str = "gpt", **options: JsonValue) -> Table:
    """A teacher behind a scripted server, which is not waited for."""
    return {"kind": "openai", "base_url": url, "model": model, "backoff_s": 0.001, **options}


def run(*arguments: object, **more: object) -> Synthesised:
    """What a synthesis comes to."""
    return asyncio.run(synthesise(a_recipe(*arguments, **more)))  # type: ignore[arg-type]


def kept_in(folder: Path) -> dict[str, Entry]:
    """The demonstrations of a synthesis by the ids of their questions."""
    entries = RunReader(folder / "out" / "kept").entries()
    return {entry.task.id: entry for entry in entries}
