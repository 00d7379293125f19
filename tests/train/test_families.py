"""Families of questions in a training: what is logged of them, and which leave the draw."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from building import a_task, a_trajectory
from scripted import HOUSES, Alone, Script, recipe_of, renderer_of

from saccade.config import Table
from saccade.errors import ConfigError
from saccade.formats.tasks import write_tasks
from saccade.recipe import Recipe, make_environment
from saccade.tasks import UNNAMED
from saccade.train.advantages import Group
from saccade.train.families import Attempted, Families, attempted
from saccade.train.prompts import PromptStream
from saccade.train.recipe import RLRecipe, Training
from saccade.train.step import RLStep
from saccade.types import Score, StopReason, Task, Trajectory, Verdict

RULE: Table = {"questions": 4, "batches": 2}
WRONG, RIGHT = (Attempted("far", 0), Attempted("far", 0)), (Attempted("far", 1),)
OTHERS = (Attempted("near", 1),)


def options_of(rule: Table | None = RULE, **train: object) -> Training:
    return Training.model_validate({"drop_hopeless": rule, "prompts": 8, **train})


def recorded(
    families: Families, *batches: Iterable[Attempted], first: int = 0
) -> list[dict[str, float]]:
    return [families.record(number, batch) for number, batch in enumerate(batches, start=first)]


def test_a_family_is_dropped_when_all_of_the_last_questions_and_batches_were_wrong() -> None:
    families = Families(options_of(updates=2))
    rows = recorded(families, WRONG + OTHERS, OTHERS, WRONG + OTHERS)
    assert families.dropped == {"far": 3 * 8}, "from the first prompt of the next batch on"
    assert families.steps_of_drops() == {"far": 6}
    assert rows[2] == {
        "families/far/questions": 2, "families/far/right": 0, "families/far/dropped": 1,
        "families/near/questions": 1, "families/near/right": 1,
    }  # fmt: skip
    assert "families/far/dropped" not in rows[0]


@pytest.mark.parametrize(
    "batches",
    [
        (WRONG + WRONG + OTHERS,),  # one batch
        (WRONG[:1] + OTHERS,) * 3,  # three questions
        (WRONG + OTHERS, RIGHT + OTHERS, WRONG + OTHERS),  # a right one between them
        (WRONG, WRONG, WRONG),  # there is no other family
    ],
)
def test_a_family_stays_before(batches: tuple[tuple[Attempted, ...], ...]) -> None:
    families = Families(options_of())
    recorded(families, *batches)
    assert families.dropped == {}


def test_the_last_of_several_hopeless_families_stays() -> None:
    families = Families(options_of())
    recorded(families, *[(*WRONG, Attempted("near", 0), Attempted("near", 0))] * 4)
    assert list(families.dropped) == ["far"]


def test_what_was_dropped_is_read_from_the_metrics_of_the_steps_before() -> None:
    """Those of a run whose batches are trained on twice: every second step has them."""
    batches = [WRONG + OTHERS, RIGHT, WRONG + OTHERS, OTHERS, WRONG]
    options, whole = options_of(updates=2), list[dict[str, float]]()
    families = Families(options)
    for number, row in enumerate(recorded(families, *batches)):
        whole += [{"step": 2 * number + 1, "loss": 0.5, **row}, {"step": 2 * number + 2}]
    assert families.dropped == {"far": 5 * 8}
    for until in range(len(batches) + 1):
        resumed = Families(options, whole[: 2 * until])
        recorded(resumed, *batches[until:], first=until)
        assert resumed.dropped == families.dropped
    forgetful = Families(options)
    recorded(forgetful, *batches[3:], first=3)
    assert forgetful.dropped == {}


def test_without_the_rule_a_warning_names_the_family_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    families = Families(Training.model_validate({"drop_hopeless": None}))
    many = [Attempted("fa\x1b[2Jr", 0)] * 16
    with caplog.at_level(logging.WARNING, logger="saccade"):
        recorded(families, *[(*many, *OTHERS)] * 4)
    (said,) = (record.getMessage() for record in caplog.records)
    assert "fa [2Jr: no right attempt at its last 48 questions, in 3 batches" in said
    assert "train.drop_hopeless = {}" in said
    assert families.dropped == {}


def a_group(family: str, *verdicts: bool | None) -> Group:
    """Attempts that are right, wrong, or not decided."""

    def ended(correct: bool | None) -> Trajectory:
        if correct is None:
            return a_trajectory(stop=StopReason.ABORTED)
        verdict = Verdict(correct=correct, judge="rule")
        return a_trajectory(stop=StopReason.ANSWER).model_copy(
            update={"verdict": verdict, "score": Score(value=float(correct))}
        )

    task = a_task().model_copy(update={"meta": {"family": family}, "source": ""})
    return Group(task, tuple(map(ended, verdicts)))


def test_what_is_not_scored_is_neither_right_nor_wrong() -> None:
    groups = [a_group("a", None, None), a_group("a", None, False), a_group("", True, True)]
    assert attempted(groups) == [Attempted("a", 0), Attempted(UNNAMED, 2)]


def a_mix(folder: Path, n: int = 20) -> Path:
    """Questions in turn: `near` has the answer that the script gives, `far` another one."""
    kinds = [("near", "7"), ("far", "8")]
    tasks = [
        Task(id=f"{name}-{k}", prompt=("?",), answer=answer, meta={"family": name})
        for k in range(n)
        for name, answer in kinds
    ]
    return write_tasks(tasks, folder)


def families_of(stream: PromptStream, start: int, count: int) -> list[str]:
    return [prompt.task.family for prompt in stream.take(start, count)]


def test_a_dropped_family_is_passed_over_from_its_prompt_on(tmp_path: Path) -> None:
    tasks: Table = {"kind": "file", "path": str(a_mix(tmp_path))}
    recipe = Recipe.model_validate({"tasks": tasks})
    for window in (0, 7):
        dropped: dict[str, int] = {}
        stream = PromptStream(recipe, window, dropped=dropped)
        before = families_of(stream, 0, 10)
        assert set(before) == {"near", "far"}
        dropped["far"] = 12
        whole = before + families_of(stream, 10, 40)
        assert whole[10:12] == families_of(PromptStream(recipe, window), 10, 2)
        assert set(whole[12:]) == {"near"}
        for start in (30, 5, 12, 11):
            assert families_of(stream, start, 6) == whole[start : start + 6]
            again = PromptStream(recipe, window, dropped=dropped)
            assert families_of(again, start, 6) == whole[start : start + 6]


def test_processes_that_share_a_batch_draw_what_one_would(tmp_path: Path) -> None:
    """Each passes over the shares of the others, in which a family was dropped as well."""
    tasks: Table = {"kind": "file", "path": str(a_mix(tmp_path))}
    recipe = Recipe.model_validate({"tasks": tasks})
    drawn: dict[int, list[str]] = {}
    for size in (1, 2, 4):
        batches: list[list[str]] = [[], [], []]
        for rank in range(size):
            dropped: dict[str, int] = {}
            stream, own = PromptStream(recipe, 5, dropped=dropped), 8 // size
            for number, batch in enumerate(batches):
                batch += [p.task.id for p in stream.take(8 * number + rank * own, own)]
                if number == 1:
                    dropped["far"] = 16
        drawn[size] = [name for batch in batches for name in batch]
    assert drawn[1] == drawn[2] == drawn[4]
    assert not any(name.startswith("far") for name in drawn[1][16:])


def test_no_family_that_is_left_is_an_error_and_no_endless_search(tmp_path: Path) -> None:
    tasks: Table = {"kind": "file", "path": str(a_mix(tmp_path))}
    recipe = Recipe.model_validate({"tasks": tasks})
    stream = PromptStream(recipe, dropped={"near": 0, "far": 3})
    assert families_of(stream, 0, 3) == ["far"] * 3
    with pytest.raises(ConfigError, match=r"every question .* was dropped \(near, far\)"):
        stream.take(3, 1)


def steps(recipe: RLRecipe, request: pytest.FixtureRequest, numbers: Iterable[int],
          history: Iterable[Mapping[str, float]] = ()) -> list[dict[str, float]]:  # fmt: skip
    """The metrics of batches, by a script that is right on `near` alone."""
    renderer = renderer_of(HOUSES[3], request)
    script = Script(HOUSES[3], make_environment(recipe).dialect, renderer, "7")
    with RLStep(recipe, renderer, script, Alone(), history=history) as step:
        return [{"step": n + 1, **step.training_batch(n).metrics} for n in numbers]


def test_a_step_logs_each_family_and_draws_no_more_of_a_dropped_one(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Also when it goes on from any step; not if it does not know what was logged."""
    train: Table = {
        "prompts": 4, "group": 2, "canary_every": 0, "drop_hopeless": {"questions": 4, "batches": 2}
    }  # fmt: skip
    recipe = recipe_of(HOUSES[3], renderer_of(HOUSES[3], request), tmp_path / "run", train)
    tasks = Recipe.model_validate({"tasks": {"kind": "file", "path": str(a_mix(tmp_path))}}).tasks
    recipe = recipe.model_copy(update={"tasks": tasks, "canary": False})
    rows = steps(recipe, request, range(4))
    first, second = rows[:2]
    assert first["families/near/accuracy"] == 1
    assert first["families/far/accuracy"] == 0
    assert first["families/far/tool_calls"] == first["families/far/tool_call_rate"] == 1
    assert first["families/far/questions"] == first["families/near/questions"] == 2
    assert first["families/near/right"] == 4
    assert second["families/far/dropped"] == 1
    asked = [Counter({key.split("/")[1]: row[key] for key in row if key.endswith("/questions")})
             for row in rows]  # fmt: skip
    assert asked == [{"near": 2, "far": 2}] * 2 + [{"near": 4}] * 2
    for start in (1, 2, 3):
        resumed = steps(recipe, request, range(start, 4), rows[:start])
        assert resumed == rows[start:]
    assert steps(recipe, request, [3]) != rows[3:], "without the history it would draw it again"
