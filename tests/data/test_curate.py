"""DeepEyes' selection: every reason, resumption, and what it does on the embedded world."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from building import a_task

from saccade.config import Table, read_toml, validate, with_overrides
from saccade.data.curate import Bench, Curated, CurateRecipe, Decision, curate
from saccade.embedded import folder_of
from saccade.errors import ConfigError, FormatError, PluginError
from saccade.formats.tasks import read_tasks, write_tasks
from saccade.images.geometry import Box
from saccade.images.image import Image
from saccade.types import (
    Completion,
    ModelInfo,
    Record,
    Sampling,
    TargetBox,
    Task,
    Trajectory,
    Verdict,
)
from saccade.world import tasks as world_tasks

RECIPE = Path(__file__).parents[2] / "recipes" / "nano_curate.toml"
ASKED: list[tuple[str, int, int, bool]] = []
"""Of each turn of `Scripted`: question, sample, images, whether there are tools."""


class Scripted:
    """Answers by name: how many of its direct answers are right, and whether a crop helps."""

    info = ModelInfo(name="scripted")

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        name, sample = trajectory.task_id, trajectory.sample
        images, tools = len(trajectory.images), bool(trajectory.environment.tools)
        ASKED.append((name, sample, images, tools))
        if "down" in name:
            raise ConnectionError("the server is down")
        if "mute" in name:
            return Completion(text="I look at it.")
        right = "helps" in name if images == 2 else sample < int(name.split("-")[0])
        return Completion(text=f"<answer>{'red' if right else 'blue'}</answer>")

    def count_tokens(self, trajectory: Trajectory) -> None: ...

    async def close(self) -> None: ...


def question(name: str, **changes: object) -> Task:
    image = next(world_tasks("read", n=1, seed=5)).images[0]
    boxes = (TargetBox(box=Box(10, 10, 60, 60)),)
    usual = a_task(image, "What colour is it?", id=name, answer="red", boxes=boxes)
    return usual.model_copy(update=changes)


def run(
    folder: Path, questions: Sequence[Task], reward: Table | None = None, **options: object
) -> Curated:
    path = write_tasks(questions, folder / "source")
    recipe = CurateRecipe.model_validate(
        {
            "out": str(folder / "out"),
            "tasks": {"kind": "file", "path": str(path)},
            "policy": {"kind": f"{__name__}:Scripted"},
            "curate": {"samples": 4, **options},
            "reward": reward or {},
            "max_aborts": 1000,
        }
    )
    return asyncio.run(curate(recipe))


def test_that_most_attempts_end_without_an_answer_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(tmp_path, [question(f"1-mute-{n}") for n in range(3)])
    assert caplog.text.count("10 of 10 episodes ended without an answer") == 1


def test_every_reason_is_given_and_the_rest_is_kept(tmp_path: Path) -> None:
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
            question("1-helps-letters", choices=("red", "A"), answer="A"),
            question("1-bad-choices", choices=("red", "blue"), answer="green"),
            question("1-empty", answer=" "),
            question("1-signs", answer="???"),
            question("1-long", answer="x" * 301),
            question("1-down"),
        ],
    )
    found = {o.id: (o.kept, f"{o.term}: {o.reason}") for o in curated.outcomes}
    assert found == {
        "0-hard": (False, "difficulty: too hard"),
        "4-easy": (False, "difficulty: too easy"),
        "1-helps": (True, ": "),
        "1-not": (False, "utility: wrong even when the region is shown"),
        "3-glance-helps": (False, "utility: right at a glance"),
        "1-noboxes": (True, ": "),
        "1-helps-choices": (True, ": "),
        "1-helps-letters": (True, ": "),
        "1-bad-choices": (False, "structure: the answer is none of the options"),
        "1-empty": (False, "verifiability: no gold answer"),
        "1-signs": (False, "verifiability: the gold answer is not readable"),
        "1-long": (False, "verifiability: the gold answer is not readable"),
        "1-down": (False, "difficulty: not measured: no attempt has a score"),
    }
    kept = {task.id: task for task in read_tasks(curated.tasks)}
    assert set(kept) == {"1-helps", "1-noboxes", "1-helps-choices", "1-helps-letters"}
    for name in ("1-helps-choices", "1-helps-letters"):
        assert (kept[name].choices, kept[name].answer) == ((), "red")
    assert kept["1-helps"].boxes[0].box == Box(10, 10, 60, 60)
    report = (tmp_path / "out" / "report.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in report] == list(found)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["questions"], summary["kept"]) == (13, 4)
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
    with pytest.raises(ConfigError, match=r"temperature: 1\.0 -> 0\.5"):
        run(tmp_path, [question("1-helps")], temperature=0.5)


def test_more_attempts_and_questions_go_on_with_those_that_are_there(tmp_path: Path) -> None:
    run(tmp_path, [question("1-helps")])
    ASKED.clear()
    curated = run(tmp_path, [question("1-helps"), question("1-not")], samples=5)
    assert [sample for name, sample, *_ in ASKED if name == "1-helps"] == [4]
    assert curated.outcomes[0].measures["direct"] == 0.2
    fewer = run(tmp_path, [question("1-helps")])
    assert fewer.outcomes[0].measures["direct"] == 0.25, "those that are asked for, and no more"


def test_two_questions_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="two questions have the id '1-helps'"):
        run(tmp_path, [question("1-helps"), question("1-helps")])


@pytest.mark.parametrize(
    ("answer", "text"), [("A", "red"), ("b.", "blue"), ("blue", "blue"), ("C", None), (None, None)]
)
def test_multiple_choice_becomes_open(tmp_path: Path, answer: str | None, text: str | None) -> None:
    curated = run(
        tmp_path, [question("q", choices=("red", "blue"), answer=answer)], terms="structure"
    )
    assert curated.outcomes[0].kept is (text is not None)
    kept = [(task.choices, task.answer) for task in read_tasks(curated.tasks)]
    assert kept == ([((), text)] if text else [])


def test_without_the_structure_term_the_options_stay(tmp_path: Path) -> None:
    choices = ("red", "blue")
    curated = run(tmp_path, [question("q", choices=choices, answer="A")], terms=["verifiability"])
    assert [(t.answer, t.choices) for t in read_tasks(curated.tasks)] == [("A", choices)]


class Short(Record):
    """A term of the user's own: it looks at the question, at its image, and at an attempt."""

    most: int = 20

    async def decide(self, questions: Sequence[Task], bench: Bench) -> Mapping[str, Decision]:
        images = {task.id: len(task.images) for task in bench.drawn(questions)}
        right = await bench.play("short", questions, arm="no_tool")
        return {
            q.id: Decision(
                reason="too long" if len(q.question) > self.most else "",
                question=q.model_copy(update={"meta": {"short": True}}),
                measures={"images": images[q.id], "right": right[q.id]},
            )
            for q in questions
        }


def test_a_term_of_the_users_own_takes_options_and_plays_episodes(tmp_path: Path) -> None:
    own = {"kind": f"{__name__}:Short", "most": 18}
    short, long = question("1-short"), question("1-long")
    long = long.model_copy(update={"prompt": (long.prompt[0], "What colour is it, please?")})
    curated = run(tmp_path, [short, long], terms=[own, "verifiability"])
    assert [(o.term, o.reason, o.measures) for o in curated.outcomes] == [
        ("", "", {"images": 1, "right": 1.0}),
        (f"{__name__}:Short", "too long", {"images": 1, "right": 1.0}),
    ]
    (kept,) = read_tasks(curated.tasks)
    assert (kept.id, kept.meta, len(kept.images)) == ("1-short", {"short": True}, 1)
    ASKED.clear()
    assert run(tmp_path, [short, long], terms=[own, "verifiability"]) == curated
    assert ASKED == [], "the attempts are in out/short"


class Stray(Record):
    """A term that decides on what it was not asked about."""

    async def decide(self, questions: Sequence[Task], bench: Bench) -> Mapping[str, Decision]:
        return {"other": Decision()}


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        (["benefits"], "curate.terms: there is no 'benefits'; did you mean 'benefit'"),
        ([{"kind": "difficulty", "belows": 0.1}], "curate.terms.belows: unknown.*'below'"),
        ({"kind": "utility", "show": "box"}, "curate.terms.show: input should be 'crop' or 'tool'"),
        (f"{__name__}:Stray", "Stray decides on 'other', which is no open question"),
    ],
)
def test_wrong_terms_are_explained(tmp_path: Path, terms: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        run(tmp_path, [question("1-helps")], terms=terms)


def test_the_benefit_of_the_tool_is_measured_and_noted(tmp_path: Path) -> None:
    """Nothing is dropped for it; AT-GRPO's reward reads it."""
    settings = [
        f"policy.path={folder_of('nano-base')}", f"out={tmp_path / 'out'}", "tasks.n=8",
        "curate.samples=4", 'curate.terms=["structure", "verifiability", "benefit"]',
    ]  # fmt: skip
    recipe = validate(CurateRecipe, with_overrides(read_toml(RECIPE), settings))
    curated = asyncio.run(curate(recipe))
    assert all(outcome.kept for outcome in curated.outcomes)
    noted = {task.id: task.meta["tool_benefit"] for task in read_tasks(curated.tasks)}
    assert noted == {o.id: o.measures["benefit"] for o in curated.outcomes}
    mean = {
        family: sum(b for name, b in noted.items() if name.startswith(family)) / 4
        for family in ("read", "easy")
    }
    assert mean["read"] > 0.5 > mean["easy"]


def test_on_the_embedded_world_it_keeps_what_only_looking_can_answer(tmp_path: Path) -> None:
    settings = [f"policy.path={folder_of('nano-base')}", f"out={tmp_path / 'out'}", "tasks.n=40"]
    recipe = validate(CurateRecipe, with_overrides(read_toml(RECIPE), settings))
    curated = asyncio.run(curate(recipe))
    kept = [o.id.split("-")[0] for o in curated.outcomes if o.kept]
    assert kept.count("read") >= 5
    assert kept.count("easy") <= 3
    dropped = [o for o in curated.outcomes if not o.kept]
    assert all(o.term in ("difficulty", "utility") for o in dropped)
    shown = [o.measures["shown"] for o in curated.outcomes if "shown" in o.measures]
    assert sum(shown) / len(shown) > 0.8
    image = next(iter(read_tasks(curated.tasks))).images[0]
    assert isinstance(image, Image)
    assert image.source.size == (672, 672)


class Wavering(Record):
    """A judge that raises on some answers."""

    name: str = "wavering"

    async def judge(self, task: Task, answer: str) -> Verdict:
        return Verdict(correct={"red": True}[answer], judge=self.name)

    async def close(self) -> None: ...


class Faulty(Record):
    """A term that raises."""

    async def decide(self, questions: Sequence[Task], bench: Bench) -> Mapping[str, Decision]:
        return {q.id: Decision(reason=q.meta["reason"]) for q in questions}  # type: ignore[arg-type]


def test_a_question_is_never_dropped_because_a_users_part_raised(tmp_path: Path) -> None:
    judge = {"judge": [f"{__name__}:Wavering"]}
    odd = question("1-odd", answer="blue")
    with pytest.raises(
        PluginError, match=r"question 1-odd: reward.judge: KeyError: 'blue' \(test_"
    ):
        run(tmp_path, [question("1-helps"), odd], reward=judge, terms=["verifiability"])
    says = rf"^curate.terms: {__name__}:Faulty: KeyError: 'reason' \(test_curate.py:"
    with pytest.raises(PluginError, match=says):
        run(tmp_path / "term", [odd], terms=[f"{__name__}:Faulty"])
