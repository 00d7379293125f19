"""DeepEyes' selection: every reason, resumption, and what it does on the embedded world."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from building import a_task

from saccade.config import read_toml, validate, with_overrides
from saccade.data.curate import Curated, CurateRecipe, Curation, curate, structured
from saccade.embedded import folder_of
from saccade.errors import ConfigError
from saccade.formats.tasks import read_tasks, write_tasks
from saccade.geometry import Box
from saccade.image import Image
from saccade.types import Completion, Sampling, TargetBox, Task, Trajectory
from saccade.world import tasks as world_tasks

RECIPE = Path(__file__).parents[2] / "recipes" / "nano_curate.toml"
ASKED: list[tuple[str, int, int, bool]] = []
"""Of each turn of `Scripted`: question, sample, images, whether there are tools."""


class Scripted:
    """Answers by name: how many of its direct answers are right, and whether a crop helps."""

    model = "scripted"

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        name, sample = trajectory.task_id, trajectory.sample
        images, tools = len(trajectory.images), bool(trajectory.environment.tools)
        ASKED.append((name, sample, images, tools))
        if "down" in name:
            raise ConnectionError("the server is down")
        right = "helps" in name if images == 2 else sample < int(name.split("-")[0])
        return Completion(text=f"<answer>{'red' if right else 'blue'}</answer>")

    def count_tokens(self, trajectory: Trajectory) -> None: ...

    async def close(self) -> None: ...


def question(name: str, **changes: object) -> Task:
    image = next(world_tasks("read", n=1, seed=5)).images[0]
    boxes = (TargetBox(box=Box(10, 10, 60, 60)),)
    usual = a_task(image, "What colour is it?", id=name, answer="red", boxes=boxes)
    return usual.model_copy(update=changes)


def run(folder: Path, questions: Sequence[Task], **options: object) -> Curated:
    path = write_tasks(questions, folder / "source")
    recipe = CurateRecipe.model_validate(
        {
            "out": str(folder / "out"),
            "tasks": {"kind": "file", "path": str(path)},
            "policy": {"kind": f"{__name__}:Scripted"},
            "curate": {"samples": 4, **options},
            "max_aborts": 1000,
        }
    )
    return asyncio.run(curate(recipe))


def test_every_reason_is_told_and_the_rest_is_kept(tmp_path: Path) -> None:
    options = {"choices": ("red", "blue"), "answer": "A"}
    curated = run(
        tmp_path,
        [
            question("0-hard"),
            question("4-easy"),
            question("1-helps"),
            question("1-not"),
            question("3-glance-helps"),
            question("1-noboxes", boxes=()),
            question("1-helps-choices", **options),
            question("1-bad-choices", choices=("red", "blue"), answer="green"),
            question("1-empty", answer=" "),
            question("1-signs", answer="???"),
            question("1-long", answer="x" * 301),
            question("1-down"),
        ],
    )
    found = {d.id: (d.kept, f"{d.stage}: {d.reason}") for d in curated.decisions}
    assert found == {
        "0-hard": (False, "difficulty: too hard"),
        "4-easy": (False, "difficulty: too easy"),
        "1-helps": (True, ": "),
        "1-not": (False, "utility: wrong even when the region is shown"),
        "3-glance-helps": (False, "utility: right at a glance"),
        "1-noboxes": (True, ": "),
        "1-helps-choices": (True, ": "),
        "1-bad-choices": (False, "structure: the answer is none of the options"),
        "1-empty": (False, "verifiability: no gold answer"),
        "1-signs": (False, "verifiability: the gold answer is not readable"),
        "1-long": (False, "verifiability: the gold answer is not readable"),
        "1-down": (False, "difficulty: not measured: aborted"),
    }
    kept = {task.id: task for task in read_tasks(curated.tasks)}
    assert set(kept) == {"1-helps", "1-noboxes", "1-helps-choices"}
    assert (kept["1-helps-choices"].choices, kept["1-helps-choices"].answer) == ((), "red")
    assert kept["1-helps"].boxes[0].box == Box(10, 10, 60, 60)
    report = (tmp_path / "out" / "report.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in report] == list(found)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["questions"], summary["kept"]) == (12, 3)
    assert sum(summary["dropped"].values()) == 9


def test_direct_answers_are_given_without_tools_and_the_region_is_a_second_image(
    tmp_path: Path,
) -> None:
    ASKED.clear()
    run(tmp_path, [question("1-helps")])
    assert sorted(ASKED) == [
        ("1-helps", 0, 1, False), ("1-helps", 0, 2, False), ("1-helps", 1, 1, False),
        ("1-helps", 2, 1, False), ("1-helps", 3, 1, False),
    ]  # fmt: skip


def test_a_rerun_asks_only_what_was_aborted(tmp_path: Path) -> None:
    questions = [question("1-helps"), question("1-down")]
    first = run(tmp_path, questions)
    ASKED.clear()
    assert run(tmp_path, questions) == first
    assert {name for name, *_ in ASKED} == {"1-down"}


def test_another_curation_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    run(tmp_path, [question("1-helps")])
    with pytest.raises(ConfigError, match="samples: 4 -> 5"):
        run(tmp_path, [question("1-helps")], samples=5)


def test_two_questions_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two questions are called '1-helps'"):
        run(tmp_path, [question("1-helps"), question("1-helps")])


@pytest.mark.parametrize(
    ("answer", "text"), [("A", "red"), ("b.", "blue"), ("blue", "blue"), ("C", None), (None, None)]
)
def test_multiple_choice_becomes_open(answer: str | None, text: str | None) -> None:
    task, reason = structured(question("q", choices=("red", "blue"), answer=answer), Curation())
    assert (task.answer if text else None, bool(reason)) == (text, text is None)
    same, reason = structured(
        question("q", choices=("red", "blue"), answer="A"), Curation(structure="keep")
    )
    assert (same.answer, same.choices, reason) == ("A", ("red", "blue"), "")


def test_the_benefit_of_the_tool_is_measured_and_noted(tmp_path: Path) -> None:
    """Nothing is dropped for it; AT-GRPO's reward reads it."""
    settings = [
        f"policy.path={folder_of('nano-base')}", f"out={tmp_path / 'out'}", "tasks.n=8",
        "curate.samples=4", "curate.difficulty=false", "curate.benefit=true", "curate.utility=off",
    ]  # fmt: skip
    recipe = validate(CurateRecipe, with_overrides(read_toml(RECIPE), settings))
    curated = asyncio.run(curate(recipe))
    assert all(decision.kept for decision in curated.decisions)
    noted = {task.id: task.meta["tool_benefit"] for task in read_tasks(curated.tasks)}
    assert noted == {d.id: d.benefit for d in curated.decisions}
    mean = {
        family: sum(b for name, b in noted.items() if name.startswith(family)) / 4
        for family in ("read", "easy")
    }
    assert mean["read"] > 0.5 > mean["easy"]


def test_on_the_embedded_world_it_keeps_what_only_looking_can_answer(tmp_path: Path) -> None:
    settings = [f"policy.path={folder_of('nano-base')}", f"out={tmp_path / 'out'}", "tasks.n=40"]
    recipe = validate(CurateRecipe, with_overrides(read_toml(RECIPE), settings))
    curated = asyncio.run(curate(recipe))
    kept = [d.id.split("-")[0] for d in curated.decisions if d.kept]
    assert kept.count("read") >= 5
    assert kept.count("easy") <= 3
    dropped = [d for d in curated.decisions if not d.kept]
    assert all(d.stage in ("difficulty", "utility") for d in dropped)
    shown = [d.shown for d in curated.decisions if d.shown is not None]
    assert sum(shown) / len(shown) > 0.8
    image = next(iter(read_tasks(curated.tasks))).images[0]
    assert isinstance(image, Image)
    assert image.source.size == (672, 672)
