"""DeepEyesV2's selection: hard without tools, then sorted by whether tools solve it.

Source of the rules: DeepEyesV2 (arXiv 2511.05271), data curation.
"""

import asyncio
import json
from pathlib import Path

import pytest
from building import plain

from saccade.config import read_toml, validate, with_overrides
from saccade.data.curate import Bench, Curated, CurateRecipe, Decision, curate
from saccade.embedded import folder_of
from saccade.errors import ConfigError
from saccade.formats.tasks import read_tasks, write_tasks
from saccade.types import Completion, ModelInfo, Record, Sampling, Task, Trajectory

RECIPE = Path(__file__).parents[2] / "recipes" / "nano_curate_v2.toml"
PLAYED: list[tuple[str, bool]] = []
"""Of each turn of `Scripted`: question, whether there are tools."""


class Scripted:
    """Of question "2-5" two answers are right without tools, and five with them."""

    info = ModelInfo(name="scripted")

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        assert sampling.temperature == 1.0
        name, tools = trajectory.task_id, bool(trajectory.environment.tools)
        PLAYED.append((name, tools))
        if "down" in name and (tools or trajectory.sample >= 4):
            raise ConnectionError("the server is down")
        without, with_tools, *_ = map(int, name.split("-")[:2])
        right = trajectory.sample < (with_tools if tools else without)
        return Completion(text=f"<answer>{'red' if right else 'blue'}</answer>")

    def count_tokens(self, trajectory: Trajectory) -> None: ...

    async def close(self) -> None: ...


def run(folder: Path, names: list[str], *, tools: bool = True, **options: object) -> Curated:
    questions = [
        Task(id=name, prompt=(plain(60, 60), f"Question {name}?"), answer="red",
             source="street" if n % 2 else "chart")
        for n, name in enumerate(names)
    ]  # fmt: skip
    path = write_tasks(questions, folder / "source")
    recipe = CurateRecipe.model_validate(
        {
            "out": str(folder / "out"),
            "tasks": {"kind": "file", "path": str(path)},
            "policy": {"kind": f"{__name__}:Scripted"},
            "curate": {"samples": 8, "terms": ["without_tools", "with_tools"], **options},
            "max_aborts": 1000,
            **({} if tools else {"tools": {}}),
        }
    )
    return asyncio.run(curate(recipe))


def sets(curated: Curated) -> dict[str, list[str]]:
    """The ids in the task file of each set."""
    return {name: [task.id for task in read_tasks(path)] for name, path in curated.sets.items()}


def test_hard_questions_are_sorted_by_whether_tools_solve_them(tmp_path: Path) -> None:
    names = ["0-0", "0-1", "2-8", "3-8", "8-8", "2-0", "2-1", "0-0-down"]
    PLAYED.clear()
    curated = run(tmp_path, names)
    assert sets(curated) == {"rl": ["0-1", "2-8", "2-1"], "cold_start": ["0-0", "2-0"]}
    assert curated.tasks == tmp_path / "out" / "rl" / "tasks.jsonl"
    assert curated.sets["cold_start"] == tmp_path / "out" / "cold_start" / "tasks.jsonl"
    rows = [json.loads(line) for line in (tmp_path / "out/report.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == names
    dropped = {row["id"]: f"{row['term']}: {row['reason']}" for row in rows if not row["kept"]}
    assert dropped == {
        "3-8": "without_tools: right without tools",
        "8-8": "without_tools: right without tools",
        "0-0-down": "with_tools: not measured: no attempt has a score",
    }
    assert rows[2]["measures"] == {"direct": 0.25, "with_tools": 1.0}
    assert (rows[2]["into"], rows[0]["into"], rows[3]["into"]) == ("rl", "cold_start", "")
    assert {name for name, tools in PLAYED if tools} == set(names) - {"3-8", "8-8"}


def test_the_same_command_resumes_what_was_aborted_alone(tmp_path: Path) -> None:
    names = ["0-1", "0-0-down"]
    first = run(tmp_path, names)
    assert first.aborted == 12
    PLAYED.clear()
    assert run(tmp_path, names) == first
    assert {name for name, _ in PLAYED} == {"0-0-down"}


def test_of_attempts_without_a_score_the_share_counts(tmp_path: Path) -> None:
    """1 of the 4 that have one is as 2 of 8, and 2 of 4 are too many."""
    curated = run(tmp_path, ["1-0-down", "2-0-down"], terms=["without_tools"])
    assert [(o.kept, o.measures["direct"]) for o in curated.outcomes] == [
        (True, 0.25),
        (False, 0.5),
    ]
    assert sets(curated) == {"kept": ["1-0-down"]}


def test_both_limits_are_options_and_empty_sets_are_files_too(tmp_path: Path) -> None:
    terms = [{"kind": "without_tools", "most_right": 0}, {"kind": "with_tools", "least_right": 5}]
    names = ["0-4", "1-8", "0-3"]
    curated = run(tmp_path, names, terms=terms)
    assert sets(curated) == {"rl": [], "cold_start": ["0-4", "0-3"]}


@pytest.mark.parametrize(
    ("options", "tools", "says"),
    [
        ({"terms": [{"kind": "without_tools", "most_right": 8}]}, True,
         "most_right: expected less than curate.samples=8, got 8; nothing would be dropped"),
        ({"terms": [{"kind": "with_tools", "least_right": 9}]}, True,
         "least_right: expected at most curate.samples=8, got 9"),
        ({}, False, "with_tools plays with the tools of the run file: none"),
        ({"terms": [f"{__name__}:Stray"]}, True, "Stray has no set 'elsewhere'"),
        ({"terms": [f"{__name__}:Odd"]}, True, r"'\.\./up' is no name for a set"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_said_before_anything_is_played(
    tmp_path: Path, options: dict[str, object], tools: bool, says: str
) -> None:
    PLAYED.clear()
    with pytest.raises(ConfigError, match=says):
        run(tmp_path, ["0-1"], tools=tools, **options)
    assert PLAYED == []


class Stray(Record):
    """A term that names a set that it does not have."""

    async def decide(self, questions: list[Task], bench: Bench) -> dict[str, Decision]:
        return {q.id: Decision(into="elsewhere") for q in questions}


class Odd(Record):
    """A term with a set that leaves the folder."""

    sets: tuple[str, ...] = ("../up",)

    async def decide(self, questions: list[Task], bench: Bench) -> dict[str, Decision]:
        return {}


def test_the_report_says_what_the_selection_does_to_sources_and_types(tmp_path: Path) -> None:
    """Charts are right without tools, street signs are not: what is left is of one source."""
    curated = run(tmp_path, ["8-8", "0-1", "8-8-b", "0-0", "0-1-c", "0-1-d"])
    stages = json.loads((tmp_path / "out" / "summary.json").read_text())["diversity"]
    found = {stage["stage"]: stage["by"]["source"] for stage in stages}
    assert list(found) == ["source", "without_tools", "with_tools", "rl", "cold_start"]
    assert found["source"]["counts"] == {"chart": 3, "street": 3}
    assert (found["source"]["effective"], found["source"]["entropy_bits"]) == (2.0, 1.0)
    assert found["without_tools"]["counts"] == {"street": 3, "chart": 1}
    assert found["without_tools"]["effective"] == 1.75, "2 ** 0.811 bits of 3 : 1"
    assert found["cold_start"]["counts"] == {"street": 1}
    assert stages[0]["by"]["answer"]["counts"] == {"word": 6}
    assert stages[0]["by"]["images"]["counts"] == {"1": 6}
    again = {task.source for task in read_tasks(curated.tasks)}
    assert again == {"street", "chart"}, "a task file keeps where its questions come from"


def test_the_recipe_sorts_the_questions_of_the_embedded_world(tmp_path: Path) -> None:
    """What can be read at a glance stays in neither set, and what a look solves is for RL."""
    settings = [f"policy.path={folder_of('nano-look')}", f"out={tmp_path / 'out'}", "tasks.n=9",
                "curate.samples=4",
                'curate.terms=["structure", "verifiability", "duplicates", '
                '{ kind = "without_tools", most_right = 1 }, '
                '{ kind = "with_tools", least_right = 2 }]']  # fmt: skip
    recipe = validate(CurateRecipe, with_overrides(read_toml(RECIPE), settings))
    curated = asyncio.run(curate(recipe))
    glance = [o for o in curated.outcomes if o.id.startswith("easy")]
    assert all(o.reason == "right without tools" for o in glance if o.measures["direct"] > 0.25)
    assert sum(o.kept for o in glance) <= 1
    assert sum(name.startswith("read") for name in sets(curated)["rl"]) >= 2
