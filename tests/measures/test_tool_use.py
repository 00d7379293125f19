"""How often episodes call, of which kinds, and what became of their code: counted by hand."""

import pytest
from building import a_result, a_task, a_trajectory, a_turn, plain

from saccade.measures.code_calls import code_calls
from saccade.measures.summary import Pair
from saccade.measures.tool_kinds import KINDS
from saccade.measures.tool_use import NO_CALL, tool_use, tool_use_by
from saccade.types import StopReason, ToolCall, ToolResult, Verdict

CROP, SUM = "display(image_1.crop((0, 0, 9, 9)))", "print(47 * 83)"


def ran(code: str, stdout: str = "", *, stderr: str = "", error: str | None = None,
        picture: bool = False) -> ToolResult:  # fmt: skip
    """What `saccade.tools.python` leaves of a cell, in DeepEyesV2's layout."""
    text = f"stdout:\n```{stdout}```\n\nstderr:\n```{stderr}```"
    content = (text, plain(30, 30)) if picture else (text,)
    call = ToolCall(name="python", arguments={"code": code})
    return ToolResult(call=call, content=content, error=error)


def pair(task: str, *results: ToolResult, right: bool = True, said: str = "", sample: int = 0,
         **fields: object) -> Pair:  # fmt: skip
    turns = [a_turn(one) for one in results] + [a_turn(answer="3901", text=said)]
    made = a_trajectory(
        *turns, score=float(right), verdict=Verdict(correct=right), id=f"{task}:{sample}",
        task_id=task, sample=sample, **fields,
    )  # fmt: skip
    return a_task("What is 47 times 83?", id=task, answer="3901", meta={"family": task[0]}), made


def test_calls_and_their_kinds_are_counted() -> None:
    search = a_result("x").model_copy(update={"call": ToolCall(name="search")})
    use = tool_use("g", [
        pair("a1", ran(CROP, picture=True), ran(SUM, "3901")), pair("a2", search), pair("a3"),
        pair("a4", stop=StopReason.TIMEOUT),
    ])  # fmt: skip
    assert (use.episodes, use.calls) == (3, 3)
    assert use.called.value == pytest.approx(2 / 3)
    assert use.per_episode.value == pytest.approx(1)
    assert use.spread == pytest.approx((2 / 3) ** 0.5)
    assert {kind: use.share(kind).value for kind in KINDS if use.share(kind).value} == {
        kind: pytest.approx(1 / 3) for kind in ("crop", "numeric", "text_search")
    }
    assert [*use.combinations] == ["crop + numeric", NO_CALL, "text_search"]
    assert sum(share.value or 0 for share in use.combinations.values()) == pytest.approx(1)


def test_the_samples_of_a_question_are_no_independent_trials() -> None:
    """Ten samples of one question, five with a call, tell less than ten questions."""
    of_one = tool_use("g", [pair("a", *[ran(SUM, "3901")] * (n % 2), sample=n) for n in range(10)])
    of_ten = tool_use("g", [pair(f"a{n}", *[ran(SUM, "3901")] * (n % 2)) for n in range(10)])
    assert of_one.called.value == of_ten.called.value == 0.5
    width = [(use.called.high or 0) - (use.called.low or 0) for use in (of_one, of_ten)]
    assert width[0] > 1.2 * width[1]
    assert of_one.per_episode.low is None, "one question has no interval of its mean"


def test_families_stand_apart() -> None:
    found = tool_use_by(lambda task: task.family, [pair("b1"), pair("a1", ran(SUM, "3901"))])
    assert [*found] == ["a", "b"]
    assert (found["a"].called.value, found["b"].called.value) == (1, 0)


def test_without_an_episode_nothing_is_known() -> None:
    use = tool_use("g", [])
    assert (use.episodes, use.called.value, use.spread, use.code) == (0, None, None, None)


def rates(*pairs: Pair) -> dict[str, float | None]:
    found = code_calls("g", pairs)
    assert found is not None
    names = ("executed", "useful", "answers", "used", "vacuous", "crashing", "unique", "repaired",
             "right_after")  # fmt: skip
    return {name: getattr(found, name).value for name in names}


@pytest.mark.parametrize(
    ("cell", "executed", "useful", "vacuous", "answers"),
    [
        (ran(SUM, "3901"), 1, 1, 0, 1),
        (ran("print(3901)", "3901"), 1, 0, 0, 1),  # what it tells stands in it
        (ran("print(47 * 38)", "1786"), 1, 1, 0, 0),  # it need not be right
        (ran(CROP, picture=True), 1, 1, 0, 0),
        (ran("# 47 times 83 is 3901"), 1, 0, 1, 0),
        (ran("pass"), 1, 0, 1, 0),
        (ran("x = 47 * 83"), 1, 0, 1, 0),  # and no later cell takes it
        (ran("1 / 0", stderr="ZeroDivisionError", error="it raised"), 0, 0, 0, 0),
    ],
)
def test_what_became_of_a_cell(
    cell: ToolResult, executed: int, useful: int, vacuous: int, answers: int
) -> None:
    found = rates(pair("a", cell))
    assert [found[name] for name in ("executed", "useful", "vacuous", "answers", "crashing")] == [
        executed, useful, vacuous, answers, 1 - executed,
    ]  # fmt: skip


def test_what_a_later_cell_takes_is_not_vacuous() -> None:
    assert rates(pair("a", ran("x = 47 * 83"), ran("print(x)", "3901")))["vacuous"] == 0


def test_a_call_that_repeats_an_earlier_one_is_not_useful() -> None:
    assert rates(pair("a", ran(SUM, "3901"), ran(SUM, "3901")))["useful"] == 0.5


def test_what_was_printed_is_used_where_a_later_turn_says_it() -> None:
    assert rates(pair("a", ran(SUM, "3901"), said="It is 3901."))["used"] == 1
    assert rates(pair("a", ran(SUM, "3901"), said="I think 7."))["used"] == 0


def test_code_that_collapsed_is_not_unique() -> None:
    """Comments and layout aside; the samples of one question may share theirs."""
    same = [pair(f"a{n}", ran(f"print( 47*83 )  # try {n}", "3901")) for n in range(4)]
    assert rates(*same)["unique"] == 0
    own = [pair("a", ran(SUM, "3901"), sample=n) for n in range(4)]
    assert rates(*own)["unique"] == 1


def test_an_error_is_mended_by_the_next_cell_alone() -> None:
    broken = ran("print(x)", stderr="NameError", error="it raised")
    warned = ran("print(2)", "2", stderr="DeprecationWarning")
    good = ran(SUM, "3901")
    assert rates(pair("a", broken, good))["repaired"] == 1
    assert rates(pair("a", broken, broken, good))["repaired"] == 0.5
    assert rates(pair("a", warned))["repaired"] == 0, "one that ends the episode is not"
    found = rates(pair("a", broken, good), pair("b", broken, right=False), pair("c", good))
    assert found["right_after"] == 0.5


def test_refused_calls_count_as_calls_that_crash() -> None:
    found = code_calls("g", [pair("a", ran(SUM, error="no such tool"))])
    assert found is not None
    assert (found.calls, found.crashing.value, found.crashing.n) == (1, 1, 1)
