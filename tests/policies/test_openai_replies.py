"""What chat servers send, from the wire to the trajectory, and what is sent back to them."""

import json
import logging
import re

import pytest
from building import a_task, plain
from pydantic import JsonValue
from waiting import LIMIT_S

from saccade.client.servers import ServerKind
from saccade.dialects.base import Dialect
from saccade.dialects.deepeyes import DeepEyes
from saccade.dialects.deepeyes_v2 import DeepEyesV2
from saccade.dialects.native import MAX_CALLS, Native
from saccade.dialects.plain import Plain
from saccade.env import Environment
from saccade.errors import ConfigError
from saccade.policies.openai import OpenAIOptions, OpenAIPolicy
from saccade.rollout import rollout
from saccade.testing import ScriptedReply, ScriptedRequest, ScriptedServer
from saccade.tools.zoom import ZoomIn
from saccade.types import Action, ProblemKind, Sampling, StopReason, ToolCall, Trajectory
from saccade.view.pictures import Pictures
from saccade.view.record import episode_of

TASK = a_task(plain(400, 300), "What?")
ZOOM = ToolCall(name="image_zoom_in_tool", arguments={"bbox_2d": [0, 0, 200, 150]})
ARGUMENTS = '{"bbox_2d":[0,0,200,150]}'
TEXT_DIALECTS: list[Dialect] = [DeepEyes(), DeepEyesV2(), Plain()]
by_name = pytest.mark.parametrize("dialect", [Native(), *TEXT_DIALECTS], ids=lambda d: d.name)


def call(arguments: JsonValue = ARGUMENTS, **fields: JsonValue) -> dict[str, JsonValue]:
    function: JsonValue = {"name": ZOOM.name, "arguments": arguments}
    return {"id": "c1", "type": "function", "function": function} | fields


def message(content: JsonValue = "", *calls: JsonValue, **fields: JsonValue) -> ScriptedReply:
    """A reply with this message, and a choice with the fields that start with `choice_`."""
    sent: dict[str, JsonValue] = {"role": "assistant", "content": content}
    sent |= {k: v for k, v in fields.items() if not k.startswith("choice_")}
    if calls:
        sent["tool_calls"] = list(calls)
    choice = {k.removeprefix("choice_"): v for k, v in fields.items() if k.startswith("choice_")}
    body = {"choices": [{"message": sent, "finish_reason": "stop"} | choice]}
    return ScriptedReply(raw=json.dumps(body).encode())


def check_valid(request: ScriptedRequest) -> None:
    """What strict servers demand of a conversation.

    Source: OpenAI API reference, messages: arguments are JSON text, each call of an assistant
    message is answered by a tool message that follows it, names have these letters; DeepSeek:
    content is no null.
    """
    waiting: list[JsonValue] = []
    known: list[JsonValue] = []
    for sent in request.messages:
        assert sent["content"] is not None
        if sent["role"] == "tool":
            assert sent["tool_call_id"] == waiting.pop(0), "in the order of the calls"
            continue
        assert not waiting, "each call has a result"
        for made in sent.get("tool_calls", ()):  # type: ignore[union-attr]
            assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", made["function"]["name"])  # type: ignore[index,call-overload]
            assert isinstance(json.loads(made["function"]["arguments"]), dict)  # type: ignore[index,call-overload]
            waiting.append(made["id"])  # type: ignore[index,call-overload]
        known += waiting
    assert not waiting
    assert all(known)
    assert len(set(map(str, known))) == len(known), "no id twice in a conversation"


async def play(
    *replies: str | ScriptedReply,
    dialect: Dialect | None = None,
    like: ServerKind | None = None,
    sampling: Sampling | None = None,
    **options: object,
) -> tuple[Trajectory, list[ScriptedRequest]]:
    """An episode with a server that sends these replies in turn."""
    with ScriptedServer(lambda request: replies[request.turn], like=like) as server:
        fast = {"base_url": server.url, "model": "m", "backoff_s": 0.001, "timeout_s": LIMIT_S}
        policy = OpenAIPolicy(OpenAIOptions.model_validate(fast | options))
        env = Environment(dialect or Native(), [ZoomIn()])
        try:
            done = await rollout(policy, env, TASK, sampling=sampling)
        finally:
            await policy.close()
    for request in server.requests:
        check_valid(request)
    return done, server.requests


def sent_back(request: ScriptedRequest) -> dict[str, JsonValue]:
    return next(m for m in request.messages if m["role"] == "assistant")


# Calls in every form, and what goes back.

READ = {
    "an object": call({"bbox_2d": [0, 0, 200, 150]}),
    "no id": {k: v for k, v in call().items() if k != "id"},
    "a null id": call(id=None),
    "an empty id": call(id=""),
    "no type": {k: v for k, v in call().items() if k != "type"},
}


@pytest.mark.parametrize("sent", READ.values(), ids=READ)
async def test_a_call_in_any_form_is_made_and_goes_back_in_the_right_one(sent: JsonValue) -> None:
    done, (_, second) = await play(message("", sent), "B")
    assert done.answer == "B"
    assert [r.ok for r in done.results] == [True]
    (back,) = sent_back(second)["tool_calls"]  # type: ignore[misc]
    assert back["type"] == "function"
    assert json.loads(back["function"]["arguments"]) == ZOOM.arguments
    assert len(second.images) == 2


UNREADABLE = {
    "cut off": '{"bbox_2d": [0,0',
    "a list": "[1, 2]",
    "no number": '{"bbox_2d": [NaN, 0, 1, 1]}',
    "text": "zoom",
    "too deep": "[" * 5000 + "]" * 5000,
}


@pytest.mark.parametrize("arguments", UNREADABLE.values(), ids=UNREADABLE)
async def test_arguments_that_are_no_object_go_back_as_an_empty_one(arguments: str) -> None:
    done, (_, second) = await play(message(None, call(arguments)), "B")
    assert done.answer == "B"
    back = sent_back(second)
    assert back["content"] == ""
    assert back["tool_calls"][0]["function"]["arguments"] == "{}"  # type: ignore[index,call-overload]
    assert done.turns[0].completion.tool_calls[0].arguments == arguments, "kept as it came"
    told = next(m for m in second.messages if m["role"] == "tool")
    assert "invalid tool call" in str(told["content"])


MIXED = {
    "one id, the second malformed": [call(id="c"), call("{", id="c")],
    "the first malformed": [call("{", id="c"), call(id="c")],
    "three of one id": [call(id="c"), call(id="c"), call("[]", id="c")],
    "none has an id": [call("{", id=None), call(id=None)],
    "too many": [call(id=f"c{n}") for n in range(MAX_CALLS + 3)],
    "a name that no tool may have": [
        call(function={"name": "zoom in!", "arguments": "{}"}), call(id="d")
    ],
}  # fmt: skip


@pytest.mark.parametrize("calls", MIXED.values(), ids=MIXED)
async def test_each_call_has_one_tool_message_in_its_place(calls: list[JsonValue]) -> None:
    done, (_, second) = await play(message("", *calls), "B")
    assert done.answer == "B"
    tools = [m for m in second.messages if m["role"] == "tool"]
    assert len(tools) == len(calls)
    good = [sent["function"]["arguments"] == ARGUMENTS for sent in calls]  # type: ignore[index,call-overload]
    if len(calls) > MAX_CALLS:
        good[: len(calls) - MAX_CALLS] = [False] * (len(calls) - MAX_CALLS)
    assert [result.ok for result in done.results] == good
    assert [str(m["content"]).startswith("Error") for m in tools] == [not ok for ok in good]


async def test_ids_that_a_server_counts_anew_each_turn_are_told_apart() -> None:
    done, requests = await play(message("", call(id="0")), message("", call(id="0")), "B")
    assert done.answer == "B"
    assert len(requests) == 3


async def test_calls_in_the_text_are_answered_without_tool_messages() -> None:
    """A server without a tool parser: strict ones refuse a tool message that answers no call."""
    text = Native().write(Action(calls=(ZOOM, ZOOM.model_copy(update={"name": "no"}))))
    done, (_, second) = await play(text, "B", tool_images="tool")
    assert [r.ok for r in done.results] == [True, False]
    assert [m["role"] for m in second.messages] == ["system", "user", "assistant", "user"]
    assert second.messages[2] == {"role": "assistant", "content": text}
    assert second.text.count("<tool_response>") == 2
    assert len(second.images) == 2


async def test_content_in_parts_is_joined() -> None:
    done, _ = await play(message([{"type": "text", "text": "B"}]))
    assert done.answer == "B"


# Thoughts.


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
@by_name
async def test_a_thought_in_a_field_is_kept_and_shown(dialect: Dialect, field: str) -> None:
    reply = message("B", **{field: "The flag is blue."})
    done, _ = await play(reply, dialect=dialect, continues_prefix=True)
    assert done.answer == "B"
    assert done.turns[0].completion.thought == "The flag is blue."
    assert done.turns[0].action.thought == "The flag is blue."
    assert done.turns[0].action.problems == ()
    page = episode_of(TASK, done, Pictures(), lambda model, ids: None)
    assert page["turns"][0]["thought"] == "The flag is blue."
    assert "The flag is blue." in done._repr_html_()


async def test_a_thought_goes_back_to_servers_that_want_it_and_to_no_other() -> None:
    first = message("", call(), reasoning_content="Look.")
    for field in ("reasoning_content", "reasoning"):
        _, (_, second) = await play(first, "B", send_thought=field)
        assert sent_back(second)[field] == "Look."
    _, (_, second) = await play(first, "B")
    assert not {"reasoning_content", "reasoning"} & set(sent_back(second))
    _, (_, second) = await play(message("", call()), "B", send_thought="reasoning_content")
    assert sent_back(second)["reasoning_content"] == "", "DeepSeek misses it in a turn with a call"


NOT_OPENED = (
    'I could call <tool_call>{"name":"image_zoom_in_tool","arguments":{"bbox_2d":[0,0,9,9]}}'
    "</tool_call> but no.\n</think>\n\n"
)


@by_name
async def test_a_thought_that_is_closed_but_never_opened(dialect: Dialect) -> None:
    answers = [dialect.write(Action(answer="B"))]
    if not dialect.prefix:  # with which the turn has opened the thought
        answers.append("B")
    for answer in answers:
        text = NOT_OPENED + answer
        done, requests = await play(text, dialect=dialect, continues_prefix=True)
        assert (done.stop, done.answer, done.results) == (StopReason.ANSWER, "B", ())
        assert (done.turns[0].action.thought or "").startswith("I could call <tool_call>")
        assert len(requests) == 1


@by_name
async def test_a_reasoning_parser_of_vllm_changes_no_answer(dialect: Dialect) -> None:
    """`--reasoning-parser qwen3`: what comes before `</think>`, or else all of the output."""
    zoom, answer = dialect.write(Action(calls=(ZOOM,))), dialect.write(Action(answer="7"))
    stops = {stop for stop in dialect.stop if answer.endswith(stop)}
    swallowed = answer.removesuffix(*stops) if stops else answer
    replies = (
        message(zoom.strip(), reasoning="Look.", choice_stop_reason=None),
        message(None, reasoning=swallowed, choice_stop_reason=next(iter(stops), None)),
    )
    done, (_, second) = await play(*replies, dialect=dialect, continues_prefix=True)
    assert [result.ok for result in done.results] == [True]
    assert sent_back(second)["content"] == zoom.strip(), "no prefix whose thought went elsewhere"
    assert done.answer == "7"
    assert done.turns[1].completion.text == answer


@by_name
async def test_a_thought_in_marks_of_another_model_is_one(dialect: Dialect) -> None:
    sent = "◁think▷Blue.◁/think▷B<|im_end|>"
    done, _ = await play(sent, dialect=dialect, continues_prefix=True)
    assert (done.answer, done.turns[0].action.thought) == ("B", "Blue.")


# What a server takes out of the text, cuts off or adds.


@pytest.mark.parametrize("dialect", TEXT_DIALECTS, ids=lambda d: d.name)
async def test_calls_that_a_server_parsed_unasked_are_made(
    dialect: Dialect, caplog: pytest.LogCaptureFixture
) -> None:
    end = dialect.write(Action(answer="B"))
    with caplog.at_level(logging.WARNING, "saccade"):
        done, (first, second) = await play(
            message(None, call()), end, dialect=dialect, continues_prefix=True
        )
    assert (done.answer, [r.ok for r in done.results]) == ("B", [True])
    kinds = [problem.kind for problem in done.turns[0].action.problems]
    assert ProblemKind.TAKEN_APART in kinds
    assert "--enable-auto-tool-choice" in caplog.text
    assert "tools" not in first.body
    back = sent_back(second)
    assert "tool_calls" not in back
    assert ZOOM.name in str(back["content"])


STOPS = {
    "vllm": ({"stop_reason": "</answer>"}, "<answer>7", "<answer>7</answer>"),
    "vllm, by itself": ({"stop_reason": None}, "<answer>7", "<answer>7"),
    "vllm, a token": ({"stop_reason": 151645}, "It is 7.", "It is 7."),
    "sglang": ({"matched_stop": "</answer>"}, "<answer>7", "<answer>7</answer>"),
    "sglang, kept": ({"matched_stop": "</answer>"}, "<answer>7</answer>", "<answer>7</answer>"),
    "another": ({}, "<answer>7", "<answer>7</answer>"),
}


@pytest.mark.parametrize(("marks", "sent", "text"), STOPS.values(), ids=STOPS)
async def test_the_stop_string_is_put_back_by_what_the_reply_says(
    marks: dict[str, JsonValue], sent: str, text: str
) -> None:
    fields = {f"choice_{name}": value for name, value in marks.items()}
    done, _ = await play(message(sent, **fields), dialect=DeepEyes())
    assert done.turns[0].completion.text == text


@by_name
@pytest.mark.parametrize("finish", ["stop", "length"])
async def test_a_turn_ends_at_its_stop_string_on_servers_that_take_none(
    dialect: Dialect, finish: str
) -> None:
    if not dialect.stop:
        return
    zoom = dialect.write(Action(calls=(ZOOM,)))
    dreamt = f"{zoom}\nResult: it is A\n{dialect.write(Action(answer='A'))}"
    end = dialect.write(Action(answer="B"))
    replies = (message(dreamt, choice_finish_reason=finish), end)
    done, (first, _) = await play(*replies, dialect=dialect, continues_prefix=True, omit=["stop"])
    assert (done.answer, [r.ok for r in done.results]) == ("B", [True])
    assert "stop" not in first.body


@pytest.mark.parametrize("kind", ["vllm", "sglang"])
async def test_turns_that_end_by_themselves_hold_no_end_of_turn(kind: ServerKind) -> None:
    """vLLM and SGLang return its text if they are asked to keep stops and special tokens."""
    done, (first,) = await play("B", dialect=Native(), like=kind, server=kind)
    assert done.answer == "B"
    kept = {"include_stop_str_in_output", "no_stop_trim"} & set(first.body)
    assert not (kept and first.body.get("skip_special_tokens") is False)


async def test_a_prefix_that_the_server_repeats_is_taken_off() -> None:
    """llama.cpp does."""
    echo = "<think>Seen.</think><answer>7</answer>"
    done, _ = await play(echo, dialect=DeepEyesV2(), continues_prefix=True)
    assert done.turns[0].prefix + done.turns[0].completion.text == echo
    assert done.turns[0].action == Action(thought="Seen.", answer="7")


# The wrong kind of server.


@pytest.mark.parametrize(("said", "like"), [("openai", "vllm"), ("vllm", "llama_cpp")])
async def test_another_kind_of_server_is_named_at_the_first_reply(
    said: ServerKind, like: ServerKind
) -> None:
    with pytest.raises(ConfigError, match=rf"policy.server={said}.*policy.server={like}"):
        await play("B", like=like, server=said)


@pytest.mark.parametrize(
    ("said", "mark", "kind"),
    [
        ("openai", {"choice_content_filter_results": {}}, "azure"),  # its second API
        ("sglang", {"choice_stop_reason": None}, "vllm"),
        ("openrouter", {"choice_stop_reason": None}, "vllm"),  # in front of it
    ],
)
async def test_another_kind_whose_replies_read_alike_is_named_once(
    said: ServerKind, mark: dict[str, JsonValue], kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "saccade"):
        done, _ = await play(message("", call(), **mark), message("B", **mark), server=said)
    assert done.answer == "B"
    assert caplog.text.count(f"policy.server={said}: the reply of m is one of {kind}") == 1


async def test_a_server_without_its_marks_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "saccade"):
        done, _ = await play(message("", call()), "B", server="vllm")
    assert done.answer == "B"
    assert caplog.text.count("the replies have no mark of vllm") == 1


# Token ids.

TOKENS: dict[str, JsonValue] = {
    "choice_token_ids": [33, 151645],
    "choice_logprobs": {"content": [{"token": "B", "logprob": -0.25}, {"logprob": 0}]},
    "choice_stop_reason": None,
}


async def test_token_ids_and_log_probs_are_asked_for_and_kept() -> None:
    done, (first,) = await play(message("B", **TOKENS), token_ids=True)
    assert first.body["return_token_ids"] is True
    assert first.body["logprobs"] is True
    completion = done.turns[0].completion
    assert (completion.token_ids, completion.log_probs) == ((33, 151645), (-0.25, 0.0))
    warm, _ = await play(message("B", **TOKENS), token_ids=True, sampling=Sampling(temperature=0.7))
    assert warm.turns[0].completion.log_probs is None, "vLLM's are those of another temperature"
    short = TOKENS | {"choice_logprobs": {"content": [{"logprob": -0.25}]}}
    done, _ = await play(message("B", **short), token_ids=True)
    assert (done.turns[0].completion.token_ids, done.turns[0].completion.log_probs) == (
        (33, 151645), None,
    )  # fmt: skip


async def test_a_server_without_token_ids_is_named() -> None:
    with pytest.raises(ConfigError, match="tells no token ids"):
        await play("B", token_ids=True)
    with pytest.raises(ValueError, match="stream=false"):
        OpenAIOptions(base_url="http://x/v1", model="m", token_ids=True, server="dashscope")
