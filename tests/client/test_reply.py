"""What is read from the replies of servers that keep to the format more or less."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue
from responses import URL, completion, reply_to, response

from saccade.client.failures import Retry
from saccade.client.reply import Reply, read
from saccade.errors import ContextOverflow, ServiceError

ZOOM = "image_zoom_in_tool"


def call(arguments: object = "{}", **fields: object) -> dict[str, object]:
    return {"id": "c1", "type": "function", **fields} | {
        "function": {"name": ZOOM, "arguments": arguments}
    }


# Tool calls.


@pytest.mark.parametrize(
    ("arguments", "read_as"),
    [
        ('{"bbox_2d": [0, 0,  9, 9]}', '{"bbox_2d": [0, 0,  9, 9]}'),
        ({"bbox_2d": [0, 0, 200, 150]}, '{"bbox_2d": [0, 0, 200, 150]}'),
        ('{"bbox_2d": [0,0', '{"bbox_2d": [0,0'),
        (None, "{}"),
        ("", "{}"),
        ({}, "{}"),
        ({"label": "旗"}, '{"label": "旗"}'),
        # encoded once more than they should be
        (json.dumps('{"a": 1}'), '{"a": 1}'),
        (json.dumps(json.dumps('{"a": 1}')), '{"a": 1}'),
        ('"no JSON', '"no JSON'),
        # nothing, in other words
        ("null", "{}"),
        ("None", "{}"),
        (" \n", "{}"),
        ('""', "{}"),
        ([], "{}"),
        # what a gateway puts before the pieces of a stream
        ('{}{"a": 1}', '{"a": 1}'),
    ],
)
def test_arguments_are_text_whatever_they_came_as(arguments: object, read_as: str) -> None:
    reply = reply_to({"content": "", "tool_calls": [call(arguments)]})
    assert [(c.name, c.arguments) for c in reply.tool_calls] == [(ZOOM, read_as)]


def test_arguments_may_be_missing() -> None:
    reply = reply_to({"tool_calls": [{"id": "c", "function": {"name": ZOOM}}]})
    assert reply.tool_calls[0].arguments == "{}"


@pytest.mark.parametrize(
    "sent",
    [
        {"tool_calls": [{"id": "c", "function": {"name": ZOOM, "parameters": {"a": 1}}}]},
        {"tool_calls": [{"id": "c", "type": "tool_use", "name": ZOOM, "input": {"a": 1}}]},
        {"tool_calls": [{"id": "c", "custom": {"name": ZOOM, "input": {"a": 1}}}]},
        {"content": [{"type": "text", "text": "Look."},
                     {"type": "tool_use", "id": "c", "name": ZOOM, "input": {"a": 1}}]},
        {"content": [{"type": "tool-call", "id": "c", "name": ZOOM, "args": {"a": 1}}]},
    ],
)  # fmt: skip
def test_a_call_may_stand_in_other_places(sent: dict[str, object]) -> None:
    (made,) = reply_to(sent).tool_calls
    assert (made.id, made.name, made.arguments) == ("c", ZOOM, '{"a": 1}')


@pytest.mark.parametrize(
    "name",
    ["functions.look", "functions.look:0", "default_api.look", " look\n", "look<|channel|>json"],
)
def test_a_name_is_that_of_the_tool_alone(name: str) -> None:
    (made,) = reply_to({"tool_calls": [{"id": "c", "function": {"name": name}}]}).tool_calls
    assert made.name == "look"


@pytest.mark.parametrize("missing", [{}, {"id": None}, {"id": ""}, {"id": []}])
def test_a_call_without_an_id_is_given_one(missing: dict[str, object]) -> None:
    bare = {"type": "function", "function": {"name": ZOOM, "arguments": "{}"}} | missing
    first, second = reply_to({"tool_calls": [bare, bare]}).tool_calls
    assert first.id != second.id
    assert all(len(c.id) == 9 and c.id.isalnum() for c in (first, second))
    again = reply_to({"tool_calls": [bare, bare]}).tool_calls
    assert again == (first, second), "the same reply gives the same ids"


def test_ids_that_were_invented_in_two_replies_differ() -> None:
    bare = {"function": {"name": ZOOM, "arguments": "{}"}}
    bodies = [completion({"tool_calls": [bare]}) | {"id": name} for name in ("a", "b")]
    ids = {read(URL, response(body)).tool_calls[0].id for body in bodies}
    assert len(ids) == 2


def test_an_id_that_comes_twice_is_kept_once() -> None:
    calls = reply_to({"tool_calls": [call(id="c"), call("{", id="c")]}).tool_calls
    assert [c.id for c in calls][:1] == ["c"]
    assert calls[1].id != "c"
    assert [c.arguments for c in calls] == ["{}", "{"]


def test_an_id_may_be_a_number() -> None:
    calls = reply_to({"tool_calls": [call(id=7), call(id="7")]}).tool_calls
    assert calls[0].id == "7"
    assert calls[1].id != "7"


def test_the_function_call_of_old_servers_is_a_call() -> None:
    old = {"content": None, "function_call": {"name": ZOOM, "arguments": {"a": 1}}}
    (made,) = reply_to(old).tool_calls
    assert (made.name, made.arguments) == (ZOOM, '{"a": 1}')


def test_one_call_may_stand_where_a_list_is_due() -> None:
    assert len(reply_to({"tool_calls": call()}).tool_calls) == 1


@pytest.mark.parametrize("calls", [None, [], {}, "none", [None, 3]])
def test_calls_that_are_none_are_no_failure(calls: object) -> None:
    reply = reply_to({"content": "B", "tool_calls": calls})
    assert (reply.text, reply.tool_calls) == ("B", ())


# Text and thought.


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("B", "B"),
        (None, ""),
        ([], ""),
        ([{"type": "text", "text": "B"}], "B"),
        ([{"type": "text", "text": "The "}, {"type": "text", "text": "flag"}], "The flag"),
        (["The ", "flag"], "The flag"),
        ({"type": "text", "text": "B"}, "B"),
        ([{"text": "B"}], "B"),
        ([{"type": "output_text", "text": "B", "annotations": []}], "B"),
        (
            [{"type": "image_url", "image_url": {"url": "data:"}}, {"type": "text", "text": "B"}],
            "B",
        ),
        ([{"type": "text", "text": None}, {"type": "text", "text": "B"}], "B"),
        ([{"type": "text", "text": {"value": "B"}}, None, 3], "B"),
        (7, "7"),
        (0.5, "0.5"),
        ([None, 3], ""),
    ],
)
def test_content_is_a_text_or_parts_of_it(content: object, text: str) -> None:
    reply = reply_to({"role": "assistant", "content": content})
    assert (reply.text, reply.thought) == (text, None)


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning_content": "The flag is blue."},
        {"reasoning": "The flag is blue."},
        {"reasoning": {"content": "The flag is blue."}},
        {"thinking": "The flag is blue."},
        {"reasoning_content": None, "reasoning": "The flag is blue."},
        {"reasoning_content": "", "reasoning": "The flag is blue."},
        {"reasoning_content": "The flag is blue.", "reasoning": "The flag is blue."},
        {"reasoning_content": ["The flag ", {"type": "text", "text": "is blue."}]},
        {"reasoning_text": "The flag is blue."},
        {"thinking_blocks": [{"type": "thinking", "thinking": "The flag is blue."}]},
        {"reasoning_details": [
            {"type": "reasoning.summary", "summary": "The flag "},
            {"type": "reasoning.text", "text": "is blue.", "signature": "x"},
            {"type": "reasoning.encrypted", "data": "c2VjcmV0"},
        ]},
    ],
)  # fmt: skip
def test_a_thought_in_a_field_of_its_own_is_kept(fields: dict[str, object]) -> None:
    reply = reply_to({"content": "B", **fields})
    assert (reply.text, reply.thought) == ("B", "The flag is blue.")


@pytest.mark.parametrize(
    "part",
    [
        {"type": "thinking", "thinking": "The flag is blue."},
        {"type": "thinking", "thinking": [{"type": "text", "text": "The flag is blue."}]},
        {"type": "reasoning", "text": "The flag is blue."},
        {"type": "reasoning_content", "text": "The flag is blue."},
        {"type": "thought", "text": "The flag is blue."},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "The flag is blue."}]},
    ],
)
def test_a_thought_may_be_a_part_of_the_content(part: dict[str, object]) -> None:
    reply = reply_to({"content": [part, {"type": "text", "text": "B"}]})
    assert (reply.text, reply.thought) == ("B", "The flag is blue.")


def test_a_refusal_in_a_field_of_its_own_is_the_text() -> None:
    assert reply_to({"content": None, "refusal": "I cannot."}).text == "I cannot."
    part = {"type": "refusal", "refusal": "I cannot."}
    assert reply_to({"content": [part]}).text == "I cannot."


def test_what_a_model_speaks_is_its_text() -> None:
    assert reply_to({"content": None, "audio": {"id": "a", "transcript": "B"}}).text == "B"


def test_the_first_of_several_choices_is_read_wherever_it_stands() -> None:
    choices = [{"index": n, "message": {"content": str(n)}} for n in (1, 0)]
    assert read(URL, response({"choices": choices})).text == "0"


def test_a_completion_without_a_chat_is_read() -> None:
    body = {"choices": [{"text": "B", "finish_reason": "stop"}]}
    assert read(URL, response(body)).text == "B"


# The end, the usage, the rest.


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("stop", "stop"),
        (None, "stop"),
        ("", "stop"),
        (7, "7"),
        ("length", "length"),
        ("MAX_TOKENS", "length"),
        ("model_length", "length"),
        ("tool_calls", "tool_calls"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("IMAGE_SAFETY", "content_filter"),
        ("refusal", "content_filter"),
        ("guardrail_intervened", "content_filter"),
        ("FinishReason.MAX_TOKENS", "length"),
        ("max_output_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("end_turn", "end_turn"),
        ("eos", "eos"),
        (
            "function_call_filter: MALFORMED_FUNCTION_CALL",
            "function_call_filter: MALFORMED_FUNCTION_CALL",
        ),
        ("content_filter", "content_filter"),
    ],
)
def test_the_reasons_of_an_end_mean_the_same_everywhere(reason: object, finish: str) -> None:
    assert reply_to({"content": "B"}, finish_reason=reason).finish == finish


def test_the_reason_of_the_end_may_be_missing() -> None:
    assert read(URL, response({"choices": [{"message": {"content": "B"}}]})).finish == "stop"


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 7, "completion_tokens": 2}, (7, 2)),
        ({"prompt_tokens": 7.0, "completion_tokens": None}, (7, None)),
        ({"input_tokens": 7, "output_tokens": 2}, (7, 2)),
        ({"prompt_tokens": -1, "completion_tokens": True}, (None, None)),
        ({"prompt_tokens": "7", "completion_tokens": 10**400}, (None, None)),
        ({"prompt_tokens": {"text": 7}}, (None, None)),
        ([], (None, None)),
        (None, (None, None)),
    ],
)
def test_counts_that_are_none_are_unknown(usage: object, counts: tuple[int | None, ...]) -> None:
    read_as = read(URL, response(completion({"content": "B"}) | {"usage": usage})).usage
    assert (read_as.prompt_tokens, read_as.completion_tokens) == counts


def test_unknown_fields_never_matter() -> None:
    odd: dict[str, object] = {"logprobs": {"content": [None]}, "index": "0", "new": [[{}]]}
    message = {"content": "B", "annotations": [], "audio": None, "role": 3, "name": {}}
    body = completion(message, **odd) | {"object": 3, "created": "now", "metadata": {"weight": []}}
    assert read(URL, response(body)).text == "B"


def test_a_byte_order_mark_and_broken_utf8_are_no_failure() -> None:
    raw = b"\xef\xbb\xbf" + json.dumps(completion({"content": "B?"})).encode()
    assert read(URL, response(raw.replace(b"?", b"\xff"))).text == "B\ufffd"


def test_half_a_character_is_no_failure() -> None:
    """JavaScript cuts a text within an emoji."""
    raw = json.dumps(completion({"content": "B \ud83d", "reasoning": "\ude00 \U0001f600"})).encode()
    reply = read(URL, response(raw))
    assert (reply.text, reply.thought) == ("B \ufffd", "\ufffd \U0001f600")


@pytest.mark.parametrize(
    ("whole", "choice", "kind"),
    [
        ({}, {"stop_reason": None}, "vllm"),
        ({}, {"matched_stop": 151645}, "sglang"),
        ({"timings": {"predicted_n": 3}}, {}, "llama_cpp"),
        ({"system_fingerprint": "b6500-a1b2c3d4"}, {}, "llama_cpp"),
        ({"system_fingerprint": "fp_ollama"}, {}, "ollama"),
        ({"system_fingerprint": "fp_44709d6fcb"}, {}, None),
        ({"system_fingerprint": "qwen2.5-vl-7b", "model": "qwen2.5-vl-7b"}, {}, "lm_studio"),
        ({"stats": {}}, {}, "lm_studio"),
        ({"provider": "Groq", "system_fingerprint": "fp_44709d6fcb"}, {}, "openrouter"),
        ({"prompt_filter_results": []}, {"content_filter_results": {}}, "azure"),
        ({"system_fingerprint": None}, {}, None),
        ({}, {}, None),
    ],
)
def test_a_server_is_told_by_its_marks(
    whole: dict[str, object], choice: dict[str, object], kind: str | None
) -> None:
    body = completion({"content": "B"}, **choice) | whole
    assert read(URL, response(body)).server == kind


# Whatever comes.

NAMES = st.sampled_from(
    [
        *("choices", "message", "delta", "content", "text", "type", "tool_calls", "function"),
        *("function_call", "id", "name", "arguments", "finish_reason", "stop_reason", "usage"),
        *("prompt_tokens", "completion_tokens", "error", "code", "status", "detail", "loc", "msg"),
        *("metadata", "raw", "reasoning", "reasoning_content", "reasoning_details", "refusal"),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=10,
)
COMPLETIONS = st.fixed_dictionaries(
    {"choices": st.lists(st.fixed_dictionaries({"message": VALUES, "index": VALUES}) | VALUES)},
    optional={"error": VALUES, "usage": VALUES, "model": VALUES, "id": VALUES},
)


@settings(max_examples=60, deadline=None)
@given(VALUES | COMPLETIONS, st.sampled_from([200, 200, 200, 400, 422, 429, 500]), st.booleans())
@example({"error": {"code": 10**400}}, 200, False)
@example({"choices": [{"message": {"content": [[[]]]}}], "error": []}, 200, False)
def test_no_json_raises_anything_but_what_is_promised(
    body: JsonValue, status: int, streamed: bool
) -> None:
    raw = json.dumps(body).encode()
    if streamed:
        raw = b"data: " + raw + b"\n\ndata: " + raw + b"\n\ndata: [DONE]\n\n"
    try:
        reply = read(URL, response(raw, status))
    except (Retry, ServiceError, ContextOverflow):
        return
    assert status == 200
    assert Reply.model_validate_json(reply.model_dump_json()) == reply


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"<html>",
        b"{",
        b"[" * 100_000,
        b'{"choices": []}',
        b"data:",
        b"\xff\xfe",
    ],
)
def test_what_is_no_completion_is_asked_again(raw: bytes) -> None:
    with pytest.raises(Retry, match="not a chat completion"):
        read(URL, response(raw))
