"""What the chat client promises about money, keys, proxies and servers that misbehave."""

import asyncio
import contextlib
import gzip
import json
import logging
import time
from pathlib import Path

import pytest
from building import CustomTool, a_task
from waiting import LIMIT_S, Clock

from saccade.client.chat import ChatClient
from saccade.client.options import ClientOptions
from saccade.dialects.deepeyes import DeepEyes
from saccade.dialects.native import Native
from saccade.env import Environment
from saccade.errors import (
    BudgetExceeded,
    ConfigError,
    ContextOverflow,
    ServiceError,
    ServiceTimeout,
)
from saccade.policies.openai import OpenAIOptions, OpenAIPolicy
from saccade.policies.replay import ReplayPolicy, script_of
from saccade.rollout import rollout
from saccade.testing import ScriptedReply, ScriptedRequest, ScriptedServer
from saccade.types import Policy, ProblemKind, StopReason, Trajectory

TASK = a_task()
FAST = {"backoff_s": 0.001, "timeout_s": LIMIT_S, "cooldown_s": 0.0, "model": "m"}


def options(at: ScriptedServer, **more: object) -> dict[str, object]:
    return {"base_url": at.url} | FAST | more


async def say(server: ScriptedServer, made: ChatClient | None = None, **more: object) -> str:
    made = made or ChatClient(ClientOptions.model_validate(options(server, **more)))
    try:
        return await made.complete("s", "a", max_tokens=100, temperature=0, seed=0)
    finally:
        await made.close()


async def play(policy: Policy, environment: Environment | None = None) -> Trajectory:
    try:
        return await rollout(policy, environment or Environment(DeepEyes()), TASK)
    finally:
        await policy.close()


def policy(at: ScriptedServer, **more: object) -> OpenAIPolicy:
    return OpenAIPolicy(OpenAIOptions.model_validate(options(at, **more)))


def choice(**fields: object) -> ScriptedReply:
    message = {"content": fields.pop("content")}
    body = {"choices": [{"message": message, "finish_reason": "stop", **fields}]}
    return ScriptedReply(raw=json.dumps(body).encode())


# Keys and the way to the server.


@pytest.mark.parametrize("key", ["sk-secret\n", " sk-secret", "sk-secret\r\n"])
async def test_white_space_around_a_key_is_no_part_of_it(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", key)
    with ScriptedServer(lambda request: "x") as server:
        assert await say(server, api_key_env="MY_KEY") == "x"


@pytest.mark.parametrize("key", ["sk-s\u00e9cret", "sk-\nsecret", "sk-\x1bsecret"])
async def test_a_key_that_no_header_can_hold_is_named_but_not_shown(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", key)
    with (
        ScriptedServer(lambda request: "x") as server,
        pytest.raises(ConfigError, match="MY_KEY") as caught,
    ):
        await say(server, api_key_env="MY_KEY")
    assert "cret" not in str(caught.value)
    assert server.requests == []


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
async def test_a_proxy_is_not_asked_for_a_server_on_this_machine(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with ScriptedServer(lambda request: "x") as server:
        assert await say(server, max_retries=0) == "x"


@pytest.mark.parametrize("url", ["http://me:pw@host/v1", "http://host:99999/v1"])
def test_urls_with_a_password_or_an_impossible_port_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"password|[Pp]ort"):
        ClientOptions(base_url=url, model="m")


# Money.


def test_a_budget_without_prices_is_refused() -> None:
    with pytest.raises(ValueError, match="budget needs price_in"):
        ClientOptions(base_url="http://h/v1", model="m", budget=1.0)


@pytest.mark.parametrize(
    "failure",
    [
        ScriptedReply("x" * 1000, fail="cut"),
        ScriptedReply(raw=b"{not json"),
        ScriptedReply(fail="drop"),
        ScriptedReply(fail="hang"),
    ],
    ids=["cut", "wrong JSON", "dropped", "late"],
)
async def test_each_attempt_that_may_be_billed_counts(failure: ScriptedReply) -> None:
    """100 tokens at 1 each and a budget of 250: a third attempt could exceed it."""
    clock = Clock()

    def answer(request: ScriptedRequest) -> ScriptedReply:
        if failure.fail == "hang":
            clock.forward(LIMIT_S)
        return failure

    with ScriptedServer(answer) as server:
        settings = options(server, price_out=1e6, budget=250.0, max_retries=4)
        made = ChatClient(ClientOptions.model_validate(settings))
        with pytest.raises(BudgetExceeded):
            await say(server, made)
    assert len(server.requests) == 2
    assert made.spent == pytest.approx(200)


async def test_refusals_are_free_and_the_retry_is_paid_once() -> None:
    left = [ScriptedReply(status=429), ScriptedReply(status=503)]
    with ScriptedServer(lambda request: left.pop() if left else "x" * 396) as server:
        made = ChatClient(
            ClientOptions.model_validate(options(server, price_out=1e6, budget=150.0))
        )
        await say(server, made)
    assert made.spent == pytest.approx(100)


async def test_what_tools_and_long_texts_cost_is_in_the_bound() -> None:
    """A token is at least a byte: 10 kB of anything are at most 10,000 tokens, and may be."""
    long = "data:image/" + "x" * 10_000
    with ScriptedServer(lambda request: "x") as server:
        settings = options(server, price_in=1e6, budget=10_000.0)
        made = ChatClient(ClientOptions.model_validate(settings))
        for body in (
            {"messages": [], "tools": [{"description": long}]},
            {"messages": [{"role": "user", "content": long}]},
            {"messages": [{"role": "user", "content": [{"type": "text", "text": long}]}]},
        ):
            with pytest.raises(BudgetExceeded):
                await made.chat(body)  # type: ignore[arg-type]
        await made.close()
    assert server.requests == []


# Servers that misbehave.


async def test_a_request_has_a_deadline_over_all_its_attempts() -> None:
    """Each attempt takes 20 s and is in time, the third ends after 60 s."""
    clock = Clock()

    def answer(request: ScriptedRequest) -> ScriptedReply:
        clock.forward(20)
        return ScriptedReply(status=503)

    with ScriptedServer(answer) as server, pytest.raises(ServiceTimeout, match="within 50 s"):
        await say(server, deadline_s=50, max_retries=9)
    assert len(server.requests) == 3


async def test_the_deadline_counts_the_pauses_as_well() -> None:
    busy = ScriptedReply(status=429, headers={"Retry-After": "50"})
    with (
        ScriptedServer(lambda request: busy) as server,
        pytest.raises(ServiceTimeout, match=r"within 0\.5 s"),
    ):
        await say(server, deadline_s=0.5)
    assert len(server.requests) <= 1, "the pause was not waited for"


@pytest.mark.parametrize("finish", ["abort", "error"])
async def test_a_reply_that_the_server_broke_off_is_not_the_models_turn(finish: str) -> None:
    left = [ScriptedReply("<think>hal", finish=finish)]
    with ScriptedServer(lambda r: left.pop() if left else "<answer>7</answer>") as server:
        done = await play(policy(server))
    assert done.answer == "7"
    with ScriptedServer(lambda r: ScriptedReply("<think>hal", finish=finish)) as server:
        done = await play(policy(server, max_retries=1))
    assert done.stop is StopReason.ABORTED


@pytest.mark.parametrize("status", [200, 400, 413, 422, 500])
async def test_a_full_context_ends_the_episode_and_costs_nothing(status: int) -> None:
    raw = json.dumps({"error": {"message": "Context size has been exceeded."}}).encode()
    with ScriptedServer(lambda request: ScriptedReply(status=status, raw=raw)) as server:
        assert (await play(policy(server))).stop is StopReason.MAX_TOKENS
        made = ChatClient(ClientOptions.model_validate(options(server, price_out=1.0)))
        with pytest.raises(ContextOverflow):
            await say(server, made)
    assert len(server.requests) == 2
    assert made.spent == 0


@pytest.mark.parametrize("packed", ["gzip", "gzip, gzip", "br", "x\x1b[2J"])
async def test_only_what_unpacks_to_a_bounded_size_is_unpacked(packed: str) -> None:
    """A piece of 64 KiB that is packed twice would be 64 GiB."""
    raw = json.dumps({"choices": [{"message": {"content": "hello"}}]}).encode()
    for _ in range(packed.count("gzip")):
        raw = gzip.compress(raw)
    with ScriptedServer(
        lambda _: ScriptedReply(raw=raw, headers={"Content-Encoding": packed})
    ) as server:
        if packed == "gzip":
            assert await say(server) == "hello"
        else:
            with pytest.raises(ServiceError, match="packed as"):
                await say(server)
        assert server.requests[0].headers["accept-encoding"] == "gzip, deflate"


async def test_a_reply_of_many_megabytes_is_read_in_linear_time() -> None:
    raw = b'{"choices": [{"message": {"content": "' + b"x" * (40 * 2**20) + b'"}}]}'
    with ScriptedServer(lambda request: ScriptedReply(raw=raw)) as server:
        before = time.process_time()
        assert len(await say(server)) == 40 * 2**20
        assert time.process_time() - before < 10


async def test_fields_that_servers_leave_null_are_no_failure() -> None:
    raw = json.dumps(
        {"model": None, "usage": None, "choices": [{"message": {"content": "x"}}]}
    ).encode()
    with ScriptedServer(lambda request: ScriptedReply(raw=raw)) as server:
        assert await say(server) == "x"
    assert len(server.requests) == 1


async def test_a_reply_that_cannot_be_cached_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with ScriptedServer(lambda request: "x") as server:
        assert await say(server, cache=tmp_path / "file" / "cache") == "x"


async def test_a_cache_holds_whole_entries_only(tmp_path: Path) -> None:
    with ScriptedServer(lambda request: "x") as server:
        await asyncio.gather(*(say(server, cache=tmp_path) for _ in range(8)))
    assert [file.suffix for file in tmp_path.iterdir()] == [".json"]


# What the servers say of the end of a turn.


@pytest.mark.parametrize(
    ("server_kind", "end", "text"),
    [
        ("vllm", {"stop_reason": None}, "<answer>7"),
        ("vllm", {"stop_reason": 151645}, "<answer>7"),
        ("vllm", {"stop_reason": "</answer>"}, "<answer>7</answer>"),
        ("sglang", {"matched_stop": 151645}, "<answer>7"),
        ("sglang", {"matched_stop": "</answer>"}, "<answer>7</answer>"),
        (None, {}, "<answer>7</answer>"),
        (None, {"stop_reason": "</answer>"}, "<answer>7</answer>"),
    ],
)
async def test_a_server_that_tells_how_a_turn_ended_is_believed(
    server_kind: str | None, end: dict[str, object], text: str
) -> None:
    """A model that never closed its answer must not get away with it where the server knows."""
    with ScriptedServer(lambda request: choice(content="<answer>7", **end)) as server:
        done = await play(policy(server, server=server_kind))
    assert done.turns[0].completion.text == text
    kinds = [problem.kind for problem in done.turns[0].action.problems]
    assert (ProblemKind.UNBALANCED_ANSWER in kinds) == (not text.endswith("</answer>"))


async def test_no_server_is_asked_to_keep_marks_that_the_model_did_not_write() -> None:
    """vLLM would return the end of each turn as well, which counts as a forged token."""
    with ScriptedServer(lambda request: "<answer>7</answer>") as server:
        for kind in (None, "vllm", "sglang"):
            await play(policy(server, server=kind))
    plain, vllm, sglang = (set(request.body) for request in server.requests)
    assert vllm == sglang == plain


# Scripts.


async def test_leaving_a_scripted_server_raises_what_its_script_raised() -> None:
    async def use() -> None:
        with ScriptedServer(lambda r: str(1 // 0)) as server, contextlib.suppress(ServiceError):
            await say(server, max_retries=0)

    with pytest.raises(ZeroDivisionError):
        await use()


async def test_a_finished_run_with_native_calls_plays_back_whole() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    environment = Environment(Native(), [CustomTool(name="look")])
    with ScriptedServer(
        lambda r: "7" if r.turn else ScriptedReply("Look.", tool_calls=[call], finish="tool_calls")
    ) as server:
        done = await play(policy(server), environment)
    again = await play(ReplayPolicy(script_of([done])), environment)
    assert (done.answer, len(done.turns)) == ("7", 2)
    assert [turn.action for turn in again.turns] == [turn.action for turn in done.turns]
    assert [turn.observation for turn in again.turns] == [turn.observation for turn in done.turns]


async def test_a_turn_that_was_cut_plays_back_as_cut() -> None:
    with ScriptedServer(lambda r: ScriptedReply("<answer>7</answer>", finish="length")) as server:
        done = await play(policy(server))
    again = await play(ReplayPolicy(script_of([done])))
    assert done.stop is again.stop is StopReason.MAX_TOKENS


async def test_a_secret_of_the_query_reaches_no_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """httpx logs each request with its whole URL."""
    monkeypatch.setenv("GATE_KEY", "sesame-1")
    with ScriptedServer(lambda request: "B") as server, caplog.at_level(logging.DEBUG):
        await say(server, query={"key": "env:GATE_KEY"})
    assert server.requests[0].query == {"key": "sesame-1"}
    assert "/v1/chat/completions" in caplog.text
    assert "sesame" not in caplog.text


async def test_certificates_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes longer than a reply of a server on this machine."""
    with ScriptedServer(lambda request: "B") as server:
        await say(server)
        monkeypatch.setattr("ssl.create_default_context", None)
        assert await say(server) == "B"


@pytest.mark.parametrize(("finish", "text"), [("stop", "CORRECT"), ("length", "")])
async def test_a_reply_that_came_as_a_thought_is_its_text(finish: str, text: str) -> None:
    """A thought that was cut off is none."""
    with ScriptedServer(lambda r: ScriptedReply(thought="CORRECT", finish=finish)) as server:
        assert await say(server) == text
