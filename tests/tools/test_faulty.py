"""Tools that lie, stay silent or fail, over the real ones."""

import asyncio
import re
from collections.abc import Iterator

import pytest
from unhurried import UNHURRIED

from saccade.config import Part, Table, validate
from saccade.errors import ConfigError
from saccade.images.geometry import CoordSpace, PixelBudget
from saccade.nano.deepeyes_v2.spec import environment
from saccade.nano.deepeyes_v2.teacher import Teacher
from saccade.recipe import Recipe, make_environment
from saccade.rollout import rollout
from saccade.sandbox.options import SandboxOptions
from saccade.tools.faulty import Faulty, FaultyOptions
from saccade.tools.python import Python, PythonOptions
from saccade.types import Tool, ToolContext
from saccade.world import tasks

BUDGET = PixelBudget(factor=14, min_pixels=400, max_pixels=56 * 56)
CODE = "print(47 * 83)"


@pytest.fixture(scope="module")
def python() -> Iterator[Python]:
    made = Python(PythonOptions(sandbox=SandboxOptions(limits=UNHURRIED)))
    yield made
    asyncio.run(made.close())


async def told(tool: Tool, *calls: dict[str, str], seed: int = 3, task: str = "t") -> list[str]:
    context = ToolContext(
        task_id=task, images=[], coords=CoordSpace.ABSOLUTE, observation=BUDGET, seed=seed
    )
    async with tool.open(context) as call:
        return [str((await call(dict(arguments))).content[0]) for arguments in calls]


def faulty(python: Python, **options: object) -> Faulty:
    chosen = FaultyOptions.model_validate({"tool": Part(kind="python"), **options})
    return Faulty(chosen, tool=python)


async def test_a_lie_has_the_form_of_the_truth(python: Python) -> None:
    """Another number of as many digits, in the layout of the honest tool."""
    (honest,) = await told(python, {"code": CODE})
    (lie,) = await told(faulty(python, fault="lies"), {"code": CODE})
    assert lie != honest
    assert re.sub(r"\d", "9", lie) == re.sub(r"\d", "9", honest)
    (again,) = await told(faulty(python, fault="lies"), {"code": CODE})
    assert lie == again
    (other,) = await told(faulty(python, fault="lies"), {"code": CODE}, seed=4)
    assert lie != other


async def test_what_the_call_said_stays(python: Python) -> None:
    code = "print(47, 3901, 'of', 12 * 12)"
    (lie,) = await told(faulty(python, fault="lies"), {"code": code})
    assert "47 3901 of" in lie
    assert "144" not in lie


@pytest.mark.parametrize("lies", [True, False])
def test_who_believes_a_lying_search_answers_wrongly(lies: bool) -> None:
    """In the dialect's own words of a result; the thing that was asked for keeps its name."""
    honest = environment()
    found = next(tool for tool in honest.tools if tool.spec.name == "search")
    options = FaultyOptions(tool=Part(kind="text_search"), fault="lies")
    tool = Faulty(options, tool=found) if lies else found
    (task,) = tasks("lookup", n=1, seed=5, split="train")
    made = asyncio.run(rollout(Teacher(), honest.replace(tools=[tool]), task))
    assert made.answer is not None
    assert (made.answer == task.answer) is not lies
    assert made.answer.isdigit()
    (query,) = made.turns[0].action.calls[0].arguments.values()
    assert str(query).rpartition(" ")[2] in made.turns[0].observation[0].text


async def test_silence_and_failure_look_like_those_of_real_cells(python: Python) -> None:
    (silent,) = await told(faulty(python, fault="silent"), {"code": CODE})
    assert silent == (await told(python, {"code": "pass"}))[0]
    (failed,) = await told(faulty(python, fault="fails"), {"code": CODE})
    assert "out of memory" in failed
    assert "3901" not in failed


async def test_a_share_of_the_calls_or_the_first_alone(python: Python) -> None:
    first = faulty(python, fault="silent", first=1)
    one, two = await told(first, {"code": CODE}, {"code": CODE})
    assert "3901" not in one
    assert "3901" in two
    half = faulty(python, fault="silent", share=0.5)
    met = ["3901" not in (await told(half, {"code": CODE}, seed=seed))[0] for seed in range(60)]
    assert 15 < sum(met) < 45


def test_a_run_file_names_it() -> None:
    section: Table = {
        "tool": {"kind": "python", "libraries": []}, "fault": "lies", "share": 0.5,
    }  # fmt: skip
    tools: Table = {"saccade.tools.faulty:Faulty": section}
    made = make_environment(validate(Recipe, {"tools": tools}))
    plain = make_environment(validate(Recipe, {"tools": {"python": {"libraries": []}}}))
    assert [tool.spec.name for tool in made.tools] == ["python"]
    assert made.tools[0].spec.description == plain.tools[0].spec.description
    assert made.fingerprint != plain.fingerprint


def test_silence_is_for_code() -> None:
    with pytest.raises(ConfigError, match="'silent' is for tools that take code"):
        Faulty(FaultyOptions(tool=Part(kind="zoom_in"), fault="silent"))
