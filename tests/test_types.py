"""Records survive the disk, stay as they are, and refuse what they do not know."""

import math

import pytest
from building import RECORD, a_task, a_trajectory, a_turn
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from saccade.types import (
    Action,
    Completion,
    Message,
    Problem,
    ProblemKind,
    Score,
    StopReason,
    Task,
    ToolCall,
    ToolResult,
    Trajectory,
    Turn,
    Verdict,
    WireCall,
)

texts = st.text(max_size=20)
floats = st.floats(allow_nan=False)
finite = st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)  # fmt: skip
calls = st.builds(ToolCall, name=texts, arguments=st.dictionaries(texts, values, max_size=2))
messages = st.builds(
    Message, role=st.sampled_from(["system", "user", "tool"]), content=st.tuples(texts)
)
turns = st.builds(
    Turn,
    prefix=texts,
    completion=st.builds(
        Completion,
        text=texts,
        token_ids=st.none() | st.lists(st.integers(0, 10**6), max_size=3).map(tuple),
        log_probs=st.none() | st.lists(floats, max_size=3).map(tuple),
        tool_calls=st.lists(st.builds(WireCall, id=texts, name=texts, arguments=texts), max_size=1)
        .map(tuple),
    ),
    action=st.builds(
        Action,
        thought=st.none() | texts,
        calls=st.lists(calls, max_size=1).map(tuple),
        answer=st.none() | texts,
        problems=st.lists(
            st.builds(Problem, kind=st.sampled_from(list(ProblemKind)), detail=texts), max_size=2
        ).map(tuple),
    ),
    results=st.lists(st.builds(ToolResult, call=calls, content=st.tuples(texts)), max_size=1)
    .map(tuple),
    observation=st.lists(messages, max_size=2).map(tuple),
)  # fmt: skip
trajectories = st.builds(
    Trajectory,
    id=texts, task_id=texts, environment=st.just(RECORD),
    prompt=st.lists(messages, max_size=2).map(tuple),
    turns=st.lists(turns, max_size=2).map(tuple),
    stop=st.none() | st.sampled_from(list(StopReason)),
    verdict=st.none() | st.builds(Verdict, correct=st.sampled_from([True, False, None])),
    score=st.none()
    | st.builds(Score, value=floats, parts=st.dictionaries(texts, floats, max_size=2)),
)  # fmt: skip


@given(trajectories)
def test_a_trajectory_survives_json(trajectory: Trajectory) -> None:
    line = trajectory.model_dump_json()
    assert "\n" not in line
    assert Trajectory.model_validate_json(line) == trajectory


def test_infinite_and_missing_log_probs_survive_json() -> None:
    done = Completion(text="", log_probs=(-math.inf, math.nan, -1.5))
    again = Completion.model_validate_json(done.model_dump_json()).log_probs
    assert again is not None
    assert again[0] == -math.inf
    assert math.isnan(again[1])


def test_records_are_frozen_and_refuse_unknown_fields() -> None:
    task = a_task()
    with pytest.raises(ValidationError, match="frozen"):
        task.answer = "7"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        Task(id="t", prompt=("?",), unknown="7")  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        Task(id="", prompt=("?",))


def test_an_answer_counts_only_where_it_ended_the_episode() -> None:
    base = a_trajectory(a_turn(answer="7"), stop=None)
    assert base.answer is None
    for stop in StopReason:
        ended = base.model_copy(update={"stop": stop})
        assert ended.answer == ("7" if stop is StopReason.ANSWER else None)
