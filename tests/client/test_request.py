"""What goes out to a server: its own words, its address, its headers; and what is never written."""

import json
import logging
from pathlib import Path

import pytest
from responses import completion
from waiting import LIMIT_S

from saccade.client.chat import ChatClient
from saccade.client.options import ClientOptions
from saccade.client.request import body_of, cost_bound, headers_of, url_of
from saccade.client.servers import ServerKind
from saccade.config import validate
from saccade.errors import BudgetExceeded, ConfigError, ServiceError
from saccade.rewards.llm import LLM
from saccade.testing import ScriptedReply, ScriptedServer
from saccade.types import Task

BODY = {"messages": [], "max_tokens": 100, "temperature": 0.0, "seed": 1, "stop": ["</a>"]}


def options(**fields: object) -> ClientOptions:
    return validate(ClientOptions, {"base_url": "http://h/v1", "model": "m"} | fields)  # type: ignore[arg-type]


def client(at: ScriptedServer, **fields: object) -> ChatClient:
    fast = {"backoff_s": 0.001, "timeout_s": LIMIT_S, "max_retries": 1}
    return ChatClient(options(base_url=at.url, **(fast | fields)))


async def say(made: ChatClient) -> str:
    try:
        return await made.complete("s", "u", max_tokens=100, temperature=0, seed=1)
    finally:
        await made.close()


# The body.


def test_parameters_are_renamed_left_out_and_added() -> None:
    sent = body_of(
        options(
            rename={"max_tokens": "max_completion_tokens", "seed": "random_seed"},
            omit=["temperature", "stop"],
            extra_body={"reasoning_effort": "low", "stream_options": None},
        ),
        BODY,
    )
    assert sent == {
        "model": "m", "messages": [], "max_completion_tokens": 100, "random_seed": 1,
        "reasoning_effort": "low", "stream_options": None,
    }  # fmt: skip


def test_by_default_a_request_is_sent_as_it_is() -> None:
    assert body_of(options(), BODY) == {"model": "m", **BODY}


def test_what_a_run_file_adds_replaces_what_is_ours() -> None:
    assert body_of(options(extra_body={"temperature": 0.5}), BODY)["temperature"] == 0.5


def test_a_run_file_has_the_last_word_over_the_kind_of_server() -> None:
    assert "max_tokens" in body_of(
        options(server="openai", rename={"max_tokens": "max_tokens"}), BODY
    )
    assert body_of(options(server="gemini", rename={"seed": "seed"}), BODY)["seed"] == 1
    assert "stream" not in body_of(options(server="dashscope", stream=False), BODY)
    assert body_of(options(stream=True), BODY)["stream_options"] == {"include_usage": True}
    assert "stream_options" not in body_of(options(stream=True, omit=["stream_options"]), BODY)


@pytest.mark.parametrize(
    "fields",
    [
        {"rename": {"messages": "input"}},
        {"omit": ["messages"]},
        {"extra_body": {"messages": []}},
        {"extra_body": {"stream": True}},
        {"rename": {"seed": ""}},
        {"rename": {"seed": "x", "stop": "x"}},
    ],
)
def test_what_makes_no_request_is_refused_before_one_is_sent(fields: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        options(**fields)


# The kinds of servers.

THINKS = {"openai": "gpt-5", "azure": "o3"}
KINDS: list[ServerKind] = [
    "openai", "azure", "gemini", "openrouter", "dashscope",
    "vllm", "sglang", "llama_cpp", "ollama", "lm_studio",
]  # fmt: skip
DIFFER = ["openai", "azure", "gemini", "dashscope"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_takes_what_its_kind_is_sent(kind: ServerKind) -> None:
    with ScriptedServer(lambda request: "x", like=kind) as server:
        assert await say(client(server, server=kind, model=THINKS.get(kind, "m"))) == "x"
        assert await say(client(server, server=kind)) == "x"
        judge = LLM(options(base_url=server.url, server=kind, model=THINKS.get(kind, "m")))
        verdict = await judge.judge(Task(id="t", prompt=("?",), answer="x"), "x")
        await judge.close()
        assert "no verdict in 'x'" in verdict.reason


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("openai", 'policy.rename.max_tokens="max_completion_tokens"'),
        ("azure", 'policy.server="azure"'),
        ("gemini", 'policy.omit=["seed"]'),
        ("dashscope", "policy.stream=true"),
    ],
)
async def test_a_server_that_differs_refuses_what_others_take(kind: ServerKind, line: str) -> None:
    with (
        ScriptedServer(lambda request: "x", like=kind) as server,
        pytest.raises(ServiceError) as caught,
    ):
        await say(client(server, model=THINKS.get(kind, "m")))
    assert line in str(caught.value)
    assert len(server.requests) == 1, "a refusal is not tried again"


async def test_a_refusal_is_mended_line_by_line() -> None:
    with ScriptedServer(lambda request: "x", like="openai") as server:
        lines: dict[str, object] = {"rename": {"max_tokens": "max_completion_tokens"}}
        with pytest.raises(ServiceError, match=r'policy\.omit=\["temperature"\]'):
            await say(client(server, model="gpt-5", **lines))
        assert await say(client(server, model="gpt-5", omit=["temperature"], **lines)) == "x"


async def test_a_dropped_parameter_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with (
        ScriptedServer(lambda request: "x", like="openai") as server,
        caplog.at_level(logging.WARNING),
    ):
        made = client(server, server="openai", model="gpt-5")
        for temperature in (1.0, 0.0, 0.0):
            await made.complete("s", "u", max_tokens=9, temperature=temperature, seed=0)
        await made.close()
    (line,) = caplog.messages
    assert "gpt-5 takes no temperature" in line


# The address.


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ({"base_url": "http://h/v1"}, "http://h/v1/chat/completions"),
        ({"base_url": "http://h/v1/"}, "http://h/v1/chat/completions"),
        ({"base_url": "http://h/v1/chat/completions"}, "http://h/v1/chat/completions"),
        ({"base_url": "http://h/v1?api-version=1"}, "http://h/v1/chat/completions?api-version=1"),
        ({"base_url": "http://h/v1/?a=1&b="}, "http://h/v1/chat/completions?a=1&b="),
        ({"base_url": "http://h/v1?a=1", "query": {"b": "x y"}},
         "http://h/v1/chat/completions?a=1&b=x+y"),
        ({"base_url": "http://h/v1?a=1", "query": {"a": "2"}}, "http://h/v1/chat/completions?a=2"),
        ({"base_url": "http://h/v1?to=/x/"}, "http://h/v1/chat/completions?to=%2Fx%2F"),
        ({"base_url": "http://[::1]:8000/v1?a=1"}, "http://[::1]:8000/v1/chat/completions?a=1"),
        ({"base_url": "https://r.openai.azure.com/openai/deployments/d", "server": "azure"},
         "https://r.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21"),
        ({"base_url": "https://h/openai/deployments/d?api-version=2025-01-01-preview",
          "server": "azure"},
         "https://h/openai/deployments/d/chat/completions?api-version=2025-01-01-preview"),
        ({"base_url": "https://h/openai/v1", "server": "azure"},
         "https://h/openai/v1/chat/completions"),
    ],
)  # fmt: skip
def test_a_query_stays_behind_the_path(fields: dict[str, object], address: str) -> None:
    made = options(**fields)
    assert url_of(made, made.urls[0]) == address


async def test_headers_and_query_reach_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_KEY", "s3cret")
    with ScriptedServer(lambda request: "x") as server:
        settings = {"headers": {"X-Title": "Saccade", "X-Api-Key": "env:GATE_KEY"},
                    "query": {"v": "2", "key": "env:GATE_KEY"}}  # fmt: skip
        await say(client(server, **settings))
    (request,) = server.requests
    assert (request.headers["x-title"], request.headers["x-api-key"]) == ("Saccade", "s3cret")
    assert dict(request.query) == {"v": "2", "key": "s3cret"}


def test_azure_reads_the_key_from_a_header_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert headers_of(options(server="azure"))["api-key"] == "k"
    assert "Authorization" not in headers_of(options(server="azure"))


# Secrets.


@pytest.mark.parametrize(
    ("fields", "mend"),
    [
        ({"headers": {"Authorization": "Bearer sk-1"}}, "api_key_env"),
        ({"headers": {"authorization": "env:A_KEY"}}, "api_key_env"),
        ({"headers": {"api-key": "sk-1"}}, 'headers.api-key="env:VARIABLE"'),
        ({"headers": {"X-API-Key": "sk-1"}}, "env:VARIABLE"),
        ({"headers": {"Ocp-Apim-Subscription-Key": "sk-1"}}, "env:VARIABLE"),
        ({"headers": {"x-goog-api-key": "sk-1"}}, "env:VARIABLE"),
        ({"headers": {"Cookie": "sk-1"}}, "env:VARIABLE"),
        ({"headers": {"X-Access-Token": "sk-1"}}, "env:VARIABLE"),
        ({"query": {"key": "sk-1"}}, 'query.key="env:VARIABLE"'),
        ({"query": {"access_token": "sk-1"}}, "env:VARIABLE"),
        ({"base_url": "http://h/v1?key=sk-1"}, 'query.key="env:VARIABLE"'),
    ],
)
def test_a_secret_in_a_run_file_is_refused(fields: dict[str, object], mend: str) -> None:
    with pytest.raises(ConfigError) as caught:
        options(**fields)
    assert mend in str(caught.value)
    assert "sk-1" not in str(caught.value)


def test_what_is_no_secret_is_taken() -> None:
    harmless = {
        "HTTP-Referer": "https://x",
        "X-Title": "y",
        "OpenAI-Beta": "v1",
        "X-Max-Tokens": "3",
    }
    assert options(headers=harmless).headers == harmless
    assert options(query={"api-version": "1", "keyword": "x"}).query["keyword"] == "x"


@pytest.mark.parametrize(
    "headers",
    [{"Content-Length": "3"}, {"Host": "x"}, {"a b": "x"}, {"X": "a\r\nY: b"}, {"X": "é"},
     {"X-Key": "env:"}, {"X-Key": "env:a b"}],
)  # fmt: skip
def test_what_makes_no_header_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        options(headers=headers)


@pytest.mark.parametrize("value", [None, "", "a\nb", "\u00e9"])
async def test_a_variable_that_holds_nothing_to_send_is_named(
    value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GATE_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("GATE_KEY", value)
    with (
        ScriptedServer(lambda request: "x") as server,
        pytest.raises(ConfigError, match="GATE_KEY"),
    ):
        await say(client(server, headers={"X-Api-Key": "env:GATE_KEY"}))
    assert server.requests == []


def test_what_is_written_of_the_options_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_KEY", "s3cret")
    made = options(headers={"X-Api-Key": "env:GATE_KEY"}, query={"key": "env:GATE_KEY"})
    assert "s3cret" in headers_of(made).values()
    written = json.dumps(made.model_dump(mode="json"))
    assert "s3cret" not in written
    assert "env:GATE_KEY" in written


# Money and the cache.


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({}, 100),
        ({"rename": {"max_tokens": "max_completion_tokens"}}, 100),
        ({"server": "openai"}, 100),
        ({"rename": {"max_tokens": "num_predict"}}, 100),
        ({"extra_body": {"max_tokens": 400}}, 400),
        ({"server": "openai", "extra_body": {"max_completion_tokens": 400}}, 400),
        ({"extra_body": {"n": 3}}, 300),
        ({"extra_body": {"n": -3}}, 100),
        ({"omit": ["max_tokens"]}, 16384),
        ({"extra_body": {"max_tokens": None}}, 16384),
    ],
)
def test_the_longest_reply_is_bounded_under_whatever_name(
    fields: dict[str, object], tokens: int
) -> None:
    made = options(price_out=1e6, **fields)
    assert cost_bound(made, body_of(made, BODY)) == pytest.approx(tokens)


async def test_a_budget_holds_where_the_limit_has_another_name() -> None:
    with ScriptedServer(lambda request: "x", like="openai") as server:
        made = client(server, server="openai", model="gpt-5", price_out=1e6, budget=99.0)
        with pytest.raises(BudgetExceeded):
            await say(made)
    assert server.requests == []


async def test_a_cache_knows_what_else_changes_a_reply(tmp_path: Path) -> None:
    """Headers, query and added parameters do; where the server stands does not."""
    different: list[dict[str, object]] = [
        {}, {"headers": {"OpenAI-Beta": "v1"}}, {"query": {"api-version": "1"}},
        {"extra_body": {"reasoning_effort": "low"}}, {"omit": ["seed"]},
    ]  # fmt: skip
    with ScriptedServer(lambda request: "x") as server:
        for _ in range(2):
            for fields in different:
                await say(client(server, cache=tmp_path, **fields))
        assert len(server.requests) == len(different)
    with ScriptedServer(lambda request: "x") as elsewhere:
        await say(client(elsewhere, cache=tmp_path))
    assert elsewhere.requests == []


async def test_a_cached_reply_keeps_its_thought(tmp_path: Path) -> None:
    raw = json.dumps(completion({"content": "B", "reasoning": "Blue."}, stop_reason=None)).encode()
    with ScriptedServer(lambda request: ScriptedReply(raw=raw)) as server:
        made = client(server, cache=tmp_path)
        first, again = [await made.chat({"messages": []}) for _ in range(2)]
        await made.close()
    assert len(server.requests) == 1
    assert (first.thought, first.server) == (again.thought, again.server) == ("Blue.", "vllm")
