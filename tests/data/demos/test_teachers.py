"""What a teacher is shown, whose turn it is, and what is wrong in a run file."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from building import a_task
from pydantic import ValidationError
from teaching import a_recipe, a_sum, behind

from saccade.config import Table
from saccade.data.demos.recipe import DemosRecipe
from saccade.data.demos.teachers import Teachers, check_teachers, make_teachers
from saccade.dialects.deepeyes_v2 import DeepEyesV2
from saccade.env import Environment
from saccade.errors import ConfigError
from saccade.types import Sampling, Task

HERE = "http://localhost/v1"
TASK = a_task("What is 1 plus 2?", id="q", answer="3", meta={"tip": "Print it.", "a": {"b": 7}})


def teachers(folder: Path, *parts: Table, **more: object) -> Teachers:
    return make_teachers(a_recipe(folder, [a_sum(1)], parts, **more))


def test_each_has_its_share_of_every_question_and_begins_equally_often(tmp_path: Path) -> None:
    made = teachers(tmp_path, behind(HERE, "a", weight=3), behind(HERE, "b"), behind(HERE, "c"))
    for number in range(20):
        turns = Counter(made.of(f"q{number}", sample).name for sample in range(5))
        assert turns == {"a": 3, "b": 1, "c": 1}
    first = Counter(made.of(f"q{number}", 0).name for number in range(1000))
    # Three standard deviations of a binomial of 1000 with 0.6: 46.
    assert abs(first["a"] - 600) < 47
    other = teachers(tmp_path, behind(HERE, "a"), behind(HERE, "b"), seed=1)
    same = teachers(tmp_path, behind(HERE, "a"), behind(HERE, "b"))
    again = teachers(tmp_path, behind(HERE, "a"), behind(HERE, "b"))
    first_of = [[t.of(f"q{n}", 0).name for n in range(20)] for t in (other, same, again)]
    assert first_of[0] != first_of[1] == first_of[2]


def test_a_hint_stands_behind_the_system_prompt_with_its_notes_filled(tmp_path: Path) -> None:
    (teacher,) = teachers(tmp_path, behind(HERE, hint="{meta.tip} {meta.a.b}")).all
    begun = Environment(DeepEyesV2()).begin(TASK)
    shown = teacher.shown(begun, TASK)
    assert shown.prompt[0].text == begun.prompt[0].text + "\n\nPrint it. 7"
    assert shown.prompt[1:] == begun.prompt[1:]
    assert (begun.prefix, shown.prefix) == ("<think>", ""), "it cannot go on from a beginning"
    (able,) = teachers(tmp_path, behind(HERE, continues_prefix=True)).all
    assert able.shown(begun, TASK) == begun


def test_a_note_that_a_question_lacks_is_named(tmp_path: Path) -> None:
    (teacher,) = teachers(tmp_path, behind(HERE, hint="{meta.tips}")).all
    with pytest.raises(ConfigError, match=r"\{meta\.tips\}, which question 'q' has not"):
        teacher.hint(TASK)


def test_the_most_that_a_request_can_use_is_never_less_than_what_it_used(tmp_path: Path) -> None:
    (teacher,) = teachers(tmp_path, behind(HERE, price_in=1e6, price_out=2e6)).all
    begun = Environment(DeepEyesV2()).begin(TASK)
    bound = teacher.bound(begun, Sampling(max_tokens=10))
    letters = sum(len(message.text.encode()) for message in begun.prompt)
    assert bound.tokens_in >= letters
    assert bound.tokens_out == 10
    assert bound.money == bound.tokens_in + 20


def test_teachers_of_this_process_cost_nothing(tmp_path: Path) -> None:
    (teacher,) = teachers(tmp_path, {"kind": "world"}).all
    bound = teacher.bound(Environment(DeepEyesV2()).begin(TASK), Sampling())
    assert (bound.tokens, bound.money) == (0, 0.0)
    asyncio.run(teacher.policy.close())


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([{"kind": "openai", "base_url": HERE}], r"teachers\.0"),
        ([behind(HERE), behind(HERE, models="x")], r"teachers\.1.*models"),
        ([{"kind": "opneai"}], "opneai"),
        ([behind(HERE, hint="{task.answer}")], r"\{task\.answer\} is no slot"),
        ([behind(HERE, name="a"), behind(HERE, name="a")], "two are called 'a'"),
    ],
)
def test_mistakes_in_teachers_are_found_before_a_run(
    tmp_path: Path, parts: list[Table], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        check_teachers(a_recipe(tmp_path, [a_sum(1)], parts))


def test_names_are_told_apart(tmp_path: Path) -> None:
    made = teachers(tmp_path, behind(HERE, "m"), behind(HERE, "m"), behind(HERE, name="n"))
    assert [teacher.name for teacher in made.all] == ["m", "m (2)", "n"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"teachers": []}, "at least 1"),
        ({"policy": {"kind": "world"}}, "name who plays in teachers"),
        ({"demos": {"caps": {"money": 3.0}}}, "price_in and price_out"),
        ({"demos": {"filters": {"leaks": ["hints"]}}}, "'request', 'hint'"),
        ({"demos": {"written_as": ["parquet"]}}, "'sharegpt' or 'trl'"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused(changes: dict[str, object], said: str) -> None:
    usual: dict[str, object] = {"out": "out", "teachers": [{"kind": "world"}]}
    with pytest.raises(ValidationError, match=said):
        DemosRecipe.model_validate(usual | changes)


def test_a_question_is_forgotten_when_it_is_settled(tmp_path: Path) -> None:
    """Ten thousand questions with photographs are not held."""
    made = teachers(tmp_path, behind(HERE))
    task: Task = a_sum(1)
    made.expect(task)
    made.forget(task)
    made.forget(task)
    assert made._tasks == {}
