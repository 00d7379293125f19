"""Thoughts that are closed but never opened or come apart, and turns that a server took apart."""

import pytest

from saccade.dialects.base import Dialect
from saccade.dialects.deepeyes import DeepEyes
from saccade.dialects.deepeyes_v2 import DeepEyesV2
from saccade.dialects.native import MAX_CALLS, Native
from saccade.dialects.plain import Plain
from saccade.dialects.whole import put_together
from saccade.rewards.terms import FormatPenalty
from saccade.types import Action, Completion, ProblemKind, ToolCall, WireCall

DIALECTS: list[Dialect] = [DeepEyes(), DeepEyesV2(), Plain(), Native()]
every = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
TEXT = pytest.mark.parametrize("dialect", DIALECTS[:3], ids=lambda d: d.name)

ZOOM = ToolCall(name="image_zoom_in_tool", arguments={"bbox_2d": [0, 0, 9, 9]})
QUOTED = (
    'I could call <tool_call>{"name":"image_zoom_in_tool","arguments":{}}</tool_call> but no.\n'
)
QUOTES = {
    "a call": QUOTED,
    "an answer": "Is it <answer>A</answer>?",
    "an opening": "I shall write <tool_call> and its end.",
    "a cell": "<code>\n```python\n1\n```\n</code> would do.",
    "lines": 'Thought: hm\nCall: image_zoom_in_tool {"bbox_2d": [0, 0, 9, 9]}\nAnswer: A',
    "another end": "A thought ends with </think>, this one does not.",
}


def kinds(action: Action) -> list[ProblemKind]:
    return [problem.kind for problem in action.problems]


@every
@pytest.mark.parametrize("thought", QUOTES.values(), ids=QUOTES)
def test_all_before_an_end_that_nothing_opens_is_thought(dialect: Dialect, thought: str) -> None:
    for after in ("\n\nB", dialect.write(Action(answer="B"))):
        action = dialect.parse(f"{thought}</think>{after}")
        assert (action.calls, action.answer) == ((), "B")
        assert action.thought == (thought.strip() if dialect.name == "plain" else thought)
    called = dialect.parse(f"{thought}</think>\n{dialect.write(Action(calls=(ZOOM,)))}")
    assert called.calls == (ZOOM,)


@every
def test_a_thought_in_a_field_is_read_like_one_in_the_text(dialect: Dialect) -> None:
    for quoted in QUOTES.values():
        for after in ("B", dialect.write(Action(answer="B"))):
            completion = Completion(text=after, thought=quoted)
            action = dialect.read(completion, dialect.prefix)
            assert (action.calls, action.answer, action.problems) == ((), "B", ())
            assert (action.thought or "").strip() == quoted.strip()
    cut = Completion(text="", thought="Hm.", finish="length")
    assert dialect.read(cut, dialect.prefix).answer is None
    both = dialect.read(Completion(text="<think>b</think>B", thought="a"), "")
    assert both.thought == "a\nb"
    answer = dialect.write(Action(answer="B"))
    twice = Completion(text=f"<think>\na</think>{answer}".removeprefix(dialect.prefix), thought="a")
    assert (dialect.read(twice, dialect.prefix).thought or "").strip() == "a"


def test_an_end_in_the_data_of_a_call_or_a_cell_ends_no_thought() -> None:
    call = ToolCall(name="search", arguments={"query": "what does </think> mean"})
    for dialect in (DeepEyes(), DeepEyesV2(), Native()):
        assert dialect.parse(dialect.write(Action(calls=(call,)))).calls == (call,)
    cell = ToolCall(name="python", arguments={"code": "print('</think>')"})
    assert DeepEyesV2().parse(DeepEyesV2().write(Action(calls=(cell,)))).calls == (cell,)
    quoted = DeepEyes().parse('Say <tool_call>{"name": </think>\n</tool_call>B')
    assert quoted.calls == ()


def test_only_a_dialect_whose_reward_counts_tags_minds_a_missing_opening() -> None:
    text = "The flag is blue.</think>"
    assert ProblemKind.UNBALANCED_THINK in FormatPenalty().problems
    assert kinds(DeepEyes().parse(f"{text}<answer>B</answer>")) == [ProblemKind.UNBALANCED_THINK]
    assert kinds(DeepEyes().parse(f"<think>{text}<answer>B</answer>")) == []
    assert kinds(DeepEyesV2().read(Completion(text=f"{text}<answer>B</answer>"), "<think>")) == []
    assert kinds(Native().parse(f"{text}B")) == []
    assert kinds(Plain().parse(f"{text}\nAnswer: B")) == []


@TEXT
def test_calls_that_a_server_took_out_of_the_text_are_put_back(dialect: Dialect) -> None:
    wire = WireCall(id="1", name=ZOOM.name, arguments='{"bbox_2d":[0,0,9,9]}')
    sent = Completion(text="", thought="Look.", tool_calls=(wire,))
    action = dialect.read(sent, dialect.prefix)
    assert (action.thought, action.calls) == ("Look.", (ZOOM,))
    assert kinds(action) == [ProblemKind.TAKEN_APART]
    assert "--enable-auto-tool-choice" in action.problems[0].detail
    whole = put_together(dialect, sent, dialect.prefix).completion
    assert (whole.text, whole.tool_calls) == (dialect.write(Action(calls=(ZOOM,))), ())
    assert put_together(dialect, whole, "").completion == whole
    twice = sent.model_copy(update={"text": whole.text})
    assert dialect.read(twice, dialect.prefix).calls == (ZOOM,)
    assert put_together(dialect, twice, "").completion.text == whole.text
    broken = Completion(text="", tool_calls=(wire.model_copy(update={"arguments": "{"}),))
    assert ProblemKind.BAD_CALL in kinds(dialect.read(broken, ""))


@every
def test_a_turn_that_a_reasoning_parser_swallowed_is_read(dialect: Dialect) -> None:
    """vLLM with `--reasoning-parser qwen3` sends so what a model writes without `</think>`."""
    turn = dialect.write(Action(answer="7"))
    action = dialect.read(Completion(text="", thought=turn), "")
    assert (action.answer, kinds(action)) == ("7", [ProblemKind.TAKEN_APART])
    turn = dialect.write(Action(calls=(ZOOM,)))
    assert dialect.read(Completion(text="\n", thought=turn), "").calls == (ZOOM,)
    thinking = Completion(text="", thought=f"{turn} is what I could do")
    assert dialect.name == "plain" or dialect.read(thinking, "").calls == ()


def test_each_native_call_is_told_what_is_wrong_with_it() -> None:
    wires = [WireCall(id=f"c{n}", name="zoom", arguments="{}") for n in range(MAX_CALLS + 2)]
    wires[-1] = wires[-1].model_copy(update={"arguments": "[1]"})
    action = Native().read(Completion(text="", tool_calls=tuple(wires)), "")
    assert [call.id for call in action.calls] == [wire.id for wire in wires[2:-1]]
    assert kinds(action) == [ProblemKind.SEVERAL_CALLS, ProblemKind.BAD_CALL]
    assert action.problems[1].call_id == wires[-1].id


def test_calls_without_an_id_of_their_own_get_one() -> None:
    several = tuple(WireCall(id=i, name="z", arguments="") for i in ("c", "", "c", "call00001"))
    ids = [call.id for call in Completion(text="", tool_calls=several).tool_calls]
    assert ids[0] == "c"
    assert len(set(ids)) == 4
    invented = ids[1:3]
    assert all(len(i) == 9 and i.isalnum() for i in invented)
