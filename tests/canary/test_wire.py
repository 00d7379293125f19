"""What a server takes, refuses and ignores."""

from collections.abc import Sequence

import pytest
from asking import on_wire
from pydantic import JsonValue
from seeing import Seeing

from saccade.canary.examine import lines_of
from saccade.canary.findings import Finding
from saccade.canary.wire import (
    Wire,
    find_limit,
    find_prefix,
    find_refused,
    find_stop,
    find_tokens,
)
from saccade.testing import ScriptedReply, ScriptedRequest, ScriptedServer


@pytest.mark.parametrize(
    ("refuses", "lines"),
    [
        (("max_tokens",), {"policy.rename": {"max_tokens": "max_completion_tokens"}}),
        (("max_tokens", "max_completion_tokens"), {"policy.omit": ["max_tokens"]}),
        (("temperature",), {"policy.omit": ["temperature"]}),
        (("seed", "stop"), {"policy.omit": ["seed", "stop"]}),
        ((), {}),
    ],
)
def test_a_refused_parameter_is_named_with_the_line_that_mends_it(
    refuses: Sequence[str], lines: dict[str, JsonValue]
) -> None:
    with ScriptedServer(Seeing(refuses=tuple(refuses))) as server:
        findings = on_wire(server, find_refused)
    assert findings[0].state == "ok"
    assert lines_of(findings) == lines
    for name in refuses[:1]:
        assert any(f"{name} is refused" in one.text and one.replies for one in findings)


@pytest.mark.parametrize("kind", ["openai", "dashscope", "gemini"])
def test_strict_servers_are_mended_by_options(kind: str) -> None:
    model = "o3" if kind == "openai" else "m"
    with ScriptedServer(Seeing(), like=kind) as server:  # type: ignore[arg-type]
        findings = on_wire(server, find_refused, model=model)
    assert findings[0].state == "ok", findings
    assert lines_of(findings)


def test_a_wrong_kind_of_server_is_named() -> None:
    with ScriptedServer(Seeing(), like="vllm") as server:
        (one, *_) = on_wire(server, find_refused, server="sglang")
    assert one.state == "warning"
    assert one.lines == {"policy.server": "vllm"}


@pytest.mark.parametrize("status", [401, 404, 500])
def test_a_server_that_does_not_answer_is_an_error(status: int) -> None:
    with ScriptedServer(lambda _: ScriptedReply(status=status, raw=b"{}")) as server:
        (one,) = on_wire(server, find_refused)
    assert one.state == "error"
    assert str(status) in one.text


@pytest.mark.parametrize(
    ("seeing", "stop", "limit"),
    [
        (Seeing(), "cut off", "finish_reason says so"),
        (Seeing(stops=False), "are ignored", "finish_reason says so"),
        (Seeing(limits=False), "cut off", "ignored"),
    ],
)
def test_stop_strings_and_limits_are_honoured_or_ignored(
    seeing: Seeing, stop: str, limit: str
) -> None:
    async def ask(wire: Wire) -> list[Finding]:
        return [await find_stop(wire), await find_limit(wire), await find_tokens(wire)]

    with ScriptedServer(seeing) as server:
        stopped, limited, tokens = on_wire(server, ask)
    assert stop in stopped.text
    assert limit in limited.text
    assert (stopped.state == "warning") is not seeing.stops
    assert (limited.state == "warning") is not seeing.limits
    assert "not told" in tokens.text


def test_a_turn_that_is_begun_is_continued_or_not() -> None:
    def at(reply: str, status: int = 200) -> str:
        script = ScriptedReply(reply) if status == 200 else ScriptedReply(status=status, raw=b"{}")
        with ScriptedServer(lambda _: script) as server:
            (one,) = on_wire(server, find_prefix)
        return one.text

    assert "continues_prefix=true" in at(" echo foxtrot golf hotel")
    assert "continues_prefix=true" in at("Here they are: alpha bravo charlie delta echo foxtrot")
    assert "not continued" in at("alpha bravo charlie delta echo foxtrot golf hotel")
    assert "refused" in at("", 400)
    assert "does not tell" in at("")


def test_a_server_that_wants_a_limit_in_every_request_is_asked_with_one() -> None:
    def answer(request: ScriptedRequest) -> str | ScriptedReply:
        if "max_tokens" not in request.body or "seed" in request.body:
            return ScriptedReply(status=422, raw=b'{"detail": "max_tokens: Field required"}')
        return "yes"

    with ScriptedServer(answer) as server:
        findings = on_wire(server, find_refused)
    assert lines_of(findings) == {"policy.omit": ["seed"]}


def test_a_turn_that_ends_of_itself_is_not_taken_for_one_that_was_stopped() -> None:
    def answer(request: ScriptedRequest) -> str:
        return "alpha" if "stop" in request.body else "alpha bravo charlie delta echo"

    with ScriptedServer(answer) as server:
        (one,) = on_wire(server, find_stop)
    assert one.state == "undecided"
