"""Replies that come as a stream of events."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from responses import URL, completion, response
from waiting import LIMIT_S

from saccade.client.chat import ChatClient
from saccade.client.failures import Retry
from saccade.client.options import ClientOptions
from saccade.client.reply import Reply, read
from saccade.client.servers import ServerKind
from saccade.errors import ContextOverflow, ServiceError
from saccade.testing import ScriptedReply, ScriptedServer
from saccade.testing.wire import streamed


def events(*values: object, done: bool = True, end: str = "\n\n") -> bytes:
    """Server-sent events with these values."""
    lines = [f"data: {json.dumps(value)}{end}" for value in values]
    return "".join([*lines, f"data: [DONE]{end}" if done else ""]).encode()


def delta(finish: str | None = None, **fields: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def read_stream(raw: bytes) -> Reply:
    return read(URL, response(raw, content_type="text/event-stream; charset=utf-8"))


CALL = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"a": [1, 2]}'}}


async def ask(like: ServerKind | None, reply: ScriptedReply, **more: object) -> tuple[Reply, dict]:
    """What is read of a reply that a server streams, and the request."""
    with ScriptedServer(lambda request: reply, like=like) as server:
        fields = {"base_url": server.url, "model": "m", "stream": True, "timeout_s": LIMIT_S}
        made = ChatClient(ClientOptions.model_validate(fields | more))
        try:
            read_as = await made.chat({"messages": [], "stop": ["</answer>"]})
        finally:
            await made.close()
    return read_as, server.requests[0].body


@pytest.mark.parametrize("like", [None, "vllm", "sglang", "ollama", "openrouter"])
async def test_a_streamed_reply_is_read_like_a_whole_one(like: ServerKind | None) -> None:
    text = "<answer>The flag is blue: \N{FLAG IN HOLE}</answer>"
    whole = ScriptedReply(text, thought="I look closer.", tool_calls=[CALL, {**CALL, "id": "d"}])
    reply, body = await ask(like, whole)
    assert body["stream"] is True
    once, _ = await ask(like, whole, stream=False)
    assert reply.model_copy(update={"usage": once.usage}) == once
    assert reply.usage.prompt_tokens is not None
    assert (reply.thought, len(reply.tool_calls)) == ("I look closer.", 2)
    assert reply.stop_reason == ("</answer>" if like in ("vllm", "sglang") else None)


async def test_a_stream_that_is_cut_is_asked_again() -> None:
    with pytest.raises(ServiceError):
        await ask(None, ScriptedReply("x" * 1000, fail="cut"), max_retries=0)


@pytest.mark.parametrize("size", [0.1, 0.5, 0.9])
def test_a_stream_that_ends_early_is_no_reply(size: float) -> None:
    raw = streamed(completion({"content": "x" * 300}) | {"usage": {}}, usage=True)
    with pytest.raises(Retry, match="not a chat completion"):
        read_stream(raw[: int(len(raw) * size)])


def test_a_stream_may_end_without_its_mark() -> None:
    raw = events(delta(content="B"), delta("stop"), done=False)
    assert read_stream(raw).text == "B"


def test_a_stream_may_end_without_a_reason() -> None:
    assert read_stream(events(delta(content="B"))).text == "B"
    assert (
        read_stream(events(delta("", content="B"), delta("length"), delta(""))).finish == "length"
    )
    with pytest.raises(Retry):
        read_stream(events(delta("", content="B"), done=False))


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n", "\n", "\r\r"])
def test_the_lines_of_a_stream_may_end_in_any_way(end: str) -> None:
    raw = b": OPENROUTER PROCESSING\n\n" + events(delta(content="B"), delta("stop"), end=end)
    assert read_stream(raw).text == "B"
    assert read_stream(b"\xef\xbb\xbf" + raw.replace(b"data: ", b"data:")).text == "B"
    assert read_stream(b"event: message\nid: 1\n" + raw).text == "B"


def test_a_text_may_hold_what_ends_lines_elsewhere() -> None:
    text = "a\u2028b\u2029c\x85d"
    raw = f'data: {{"choices": [{{"delta": {{"content": "{text}"}}}}]}}\n\ndata: [DONE]\n\n'
    assert read_stream(raw.encode()).text == text


def test_the_json_of_an_event_may_go_over_several_lines() -> None:
    value = json.dumps(delta("stop", content="B"), indent=1).splitlines()
    raw = "".join(f"data: {line}\n" for line in value) + "\ndata: [DONE]\n\n"
    assert read_stream(raw.encode()).text == "B"


def test_a_stream_is_known_without_its_media_type() -> None:
    assert read(URL, response(events(delta("stop", content="B")))).text == "B"


def test_a_server_may_answer_whole_though_a_stream_was_asked_for() -> None:
    assert read(URL, response(completion({"content": "B"}))).text == "B"


def test_calls_are_put_together_by_their_index() -> None:
    def call(index: object, arguments: object, **fields: object) -> dict[str, object]:
        function = {"arguments": arguments, **fields}
        return delta(tool_calls=[{"index": index, "id": fields.get("name"), "function": function}])

    raw = events(
        call(0, "", name="look"), call(1, '{"b"', name="read"), call(0, '{"a": 1}'),
        call(1, ": 2}"), delta("tool_calls"),
    )  # fmt: skip
    calls = [(c.id, c.name, c.arguments) for c in read_stream(raw).tool_calls]
    assert calls == [("look", "look", '{"a": 1}'), ("read", "read", '{"b": 2}')]


@pytest.mark.parametrize("index", [0, None])
def test_calls_that_share_an_index_are_told_apart_by_their_ids(index: object) -> None:
    """Gemini gives whole calls, all with index 0."""
    made = [
        {"index": index, "id": name, "function": {"name": name, "arguments": {"a": name}}}
        for name in ("look", "read")
    ]
    calls = read_stream(events(delta("tool_calls", tool_calls=made))).tool_calls
    assert [(c.id, json.loads(c.arguments)) for c in calls] == [
        ("look", {"a": "look"}),
        ("read", {"a": "read"}),
    ]


def piece(arguments: object, **fields: object) -> dict[str, object]:
    """A delta of one call."""
    name = {"name": fields.pop("name")} if "name" in fields else {}
    return delta(tool_calls=[{"index": 0, **fields, "function": {**name, "arguments": arguments}}])


@pytest.mark.parametrize(
    "deltas",
    {
        "the id and the name in each": [
            piece('{"a"', id="c", name="look"), piece(": 1}", id="c", name="look")],
        "another id in each": [piece('{"a"', id="c", name="look"), piece(": 1}", id="d")],
        "all of it once more": [
            piece('{"a"', id="c", name="look"), piece(": 1}"),
            piece('{"a": 1}', id="c", name="look")],
        "the name in pieces": [
            piece("", id="c", name="lo"), piece("", name="ok"), piece('{"a": 1}')],
        "the name grows": [piece("", id="c", name="lo"), piece('{"a": 1}', name="look")],
        "an empty object first": [piece("{}", id="c", name="look"), piece('{"a": 1}')],
        "an object first": [piece({}, id="c", name="look"), piece('{"a": 1}')],
        "an index as text": [piece('{"a"', id="c", name="look", index="0"), piece(": 1}")],
    }.items(),
    ids=lambda item: item[0],
)  # fmt: skip
def test_one_call_may_come_in_odd_pieces(deltas: tuple[str, list[dict[str, object]]]) -> None:
    (call,) = read_stream(events(*deltas[1], delta("tool_calls"))).tool_calls
    assert (call.id, call.name, call.arguments) == ("c", "look", '{"a": 1}')


@pytest.mark.parametrize("index", [0, None])
def test_calls_without_ids_are_told_apart_by_their_names(index: object) -> None:
    made = [piece('{"a": 1}', name=name, index=index) for name in ("look", "read", "read")]
    calls = read_stream(events(*made, delta("tool_calls"))).tool_calls
    assert [(c.name, c.arguments) for c in calls] == [
        (name, '{"a": 1}') for name in ("look", "read", "read")
    ]


def test_a_message_that_ends_a_stream_is_not_read_twice() -> None:
    last = {"choices": [{"index": 0, "message": {"content": "B"}, "finish_reason": "stop"}]}
    assert read_stream(events(delta(content="B"), last)).text == "B"
    assert read_stream(events(last)).text == "B"


def test_a_whole_reply_may_be_called_a_stream() -> None:
    body = completion({"content": "B"})
    assert read_stream(json.dumps(body, indent=1).encode()).text == "B"


def test_a_word_that_keeps_a_stream_alive_is_no_event() -> None:
    raw = b"data: ping\n\nevent: ping\ndata:\n\n" + events(delta(content="B"), delta("stop"))
    assert read_stream(raw).text == "B"


@pytest.mark.parametrize(
    "event",
    [
        b'event: error\ndata: {"message": "broke off"}\n\n',
        b"event: error\ndata: broke off\n\n",
        b'error: {"code": 500, "message": "broke off", "type": "server_error"}\n\n',
        b'data: {"type": "error", "message": "broke off"}\n\n',
        b'data: {"detail": "broke off"}\n\n',
    ],
)
def test_an_error_is_one_whatever_marks_it(event: bytes) -> None:
    with pytest.raises(Retry, match="broke off"):
        read_stream(events(delta(content="hal"), done=False) + event + b"data: [DONE]\n\n")


def test_the_last_counts_of_a_stream_are_its_usage() -> None:
    counts = [{"prompt_tokens": 5, "completion_tokens": n} for n in (1, 2)]
    last = {"choices": [], "usage": counts[1]}
    raw = events(delta(content="B") | {"usage": counts[0]}, delta("stop"), last)
    usage = read_stream(raw).usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (5, 2)


def test_other_choices_of_a_stream_are_left_out() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "C"}, "finish_reason": "length"}]}
    reply = read_stream(events(delta(content="B"), other, delta("stop")))
    assert (reply.text, reply.finish) == ("B", "stop")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"error": {"code": 502, "message": "Provider disconnected"}}, Retry),
        ({"error": "the runner has stopped"}, Retry),
        ({"error": {"code": 400, "message": "prompt is too long: 9 tokens > 8 maximum"}},
         ContextOverflow),
        ({"error": {"code": 400, "message": "no such thing"}}, ServiceError),
        ({"error": {"code": 502, "message": "x"},
          "choices": [{"delta": {"content": ""}, "finish_reason": "error"}]}, Retry),
    ],
)  # fmt: skip
def test_an_error_in_the_middle_of_a_stream_is_no_reply(
    error: object, expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        read_stream(events(delta(content="hal"), error))
    bare = f"\n{json.dumps(error)}\n".encode()
    with pytest.raises(expected):
        read_stream(events(delta(content="hal"), done=False) + bare)


def test_a_stream_of_many_small_events_is_read_in_linear_time() -> None:
    raw = events(*[delta(content="ab")] * 50_000, delta("stop"))
    assert len(read_stream(raw).text) == 100_000


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=30) | st.sampled_from([b'data: {"choices": [', b"]}\n", b"\n"])))
def test_no_bytes_raise_anything_but_what_is_promised(pieces: list[bytes]) -> None:
    try:
        read_stream(b"data: " + b"".join(pieces))
    except (Retry, ServiceError, ContextOverflow):
        return
