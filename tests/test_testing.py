"""The loopback server that answers like a chat server, or fails like one."""

import json
import socket
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import pytest
from waiting import LIMIT_S

from saccade.client.servers import ServerKind
from saccade.errors import ConfigError
from saccade.testing import ScriptedReply, ScriptedRequest, ScriptedServer

OPEN = build_opener(ProxyHandler({})).open
"""Past a proxy of the environment, which could not reach this machine."""


def send(url: str, body: bytes, *, promised: int) -> bytes:
    """Post `body` under a header that promises so many bytes, then stop writing."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=LIMIT_S) as connection:
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {promised}\r\n\r\n"
        )
        connection.sendall(head.encode() + body)
        connection.shutdown(socket.SHUT_WR)
        return connection.recv(65536)


@pytest.mark.parametrize("written", [0, 5])
def test_a_client_that_goes_away_in_mid_request_is_no_mistake(written: int) -> None:
    with ScriptedServer(lambda _: "hello") as server:
        assert send(server.url, b'{"messages": []}'[:written], promised=16) == b""
    assert server.requests == []


def test_a_mistake_in_the_script_is_raised_at_the_end() -> None:
    def answer(_: ScriptedRequest) -> str:
        raise KeyError("a script that is wrong")

    with pytest.raises(KeyError, match="a script that is wrong"), ScriptedServer(answer) as server:
        send(server.url, b'{"messages": []}', promised=16)


# Likenesses.


def post(server: ScriptedServer, **body: object) -> tuple[int, dict]:
    """The status and the JSON of the answer to a chat request with this body."""
    url = f"{server.url}/chat/completions?api-version=1"
    headers = {"Content-Type": "application/json", "api-key": "k"}
    data = json.dumps({"model": "m", "messages": [], **body}).encode()
    try:
        with OPEN(Request(url, data, headers), timeout=LIMIT_S) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


def image(url: str) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": url}}]}]}  # fmt: skip


@pytest.mark.parametrize(
    ("like", "body", "words"),
    [
        ("openai", {"top_k": 3}, "Unrecognized request argument supplied: top_k"),
        ("openai", {"model": "gpt-5", "max_tokens": 3}, "Use 'max_completion_tokens' instead"),
        ("openai", {"model": "o3", "temperature": 0}, "Only the default (1) value is supported"),
        ("openai", {"model": "o3", "stop": ["x"]}, "'stop' is not supported"),
        ("azure", {"model": "gpt-5", "max_tokens": 3}, "max_completion_tokens"),
        ("gemini", {"seed": 1}, 'Unknown name \\"seed\\"'),
        ("dashscope", {}, "non-streaming calls"),
        (
            "vllm",
            {"continue_final_message": True, "add_generation_prompt": True},
            "Cannot set both",
        ),
        ("llama_cpp", image("data:image/webp;base64,AA=="), "Failed to load image"),
        ("ollama", image("https://x/y.png"), "image URLs are not currently supported"),
        ("ollama", image("data:image/gif;base64,AA=="), "invalid image input"),
        ("ollama", {"messages": [{"role": "assistant", "content": None}]}, "content type: <nil>"),
        ("lm_studio", image("data:image/webp;base64,AA=="), "must be a base64 encoded image"),
        ("lm_studio", image("https://x/y.png"), "must be a base64 encoded image"),
    ],
)
def test_a_likeness_refuses_in_the_words_of_its_kind(
    like: ServerKind, body: dict[str, object], words: str
) -> None:
    with ScriptedServer(lambda _: "hello", like=like) as server:
        status, told = post(server, **body)
        assert status == 400
        assert words in json.dumps(told)
    with ScriptedServer(lambda _: "hello") as server:
        assert post(server, **body)[0] == 200, "a server without a likeness takes everything"


def test_the_likeness_of_azure_wants_a_version_and_its_own_header() -> None:
    with ScriptedServer(lambda _: "hello", like="azure") as server:
        url = f"{server.url}/chat/completions"
        for address, status in ((url, 404), (f"{url}?api-version=1", 401)):
            with pytest.raises(HTTPError) as caught:
                OPEN(Request(address, b'{"messages": []}'), timeout=LIMIT_S)
            with caught.value as error:
                assert error.code == status


@pytest.mark.parametrize(
    ("like", "asked", "text", "choice"),
    [
        (None, {}, "<answer>7</answer> more", {}),
        ("openai", {}, "<answer>7", {}),
        ("vllm", {}, "<answer>7", {"stop_reason": "</answer>"}),
        ("vllm", {"include_stop_str_in_output": True}, "<answer>7</answer>", {}),
        ("sglang", {}, "<answer>7", {"matched_stop": "</answer>"}),
    ],
)
def test_a_likeness_cuts_at_a_stop_string(
    like: ServerKind | None, asked: dict[str, object], text: str, choice: dict[str, object]
) -> None:
    with ScriptedServer(lambda _: "<answer>7</answer> more", like=like) as server:
        (sent,) = post(server, stop=["</tool_call>", "</answer>"], **asked)[1]["choices"]
    assert sent["message"]["content"] == text
    assert sent.items() >= choice.items()


def test_the_likeness_of_vllm_shows_the_end_of_a_turn_where_it_is_asked_to() -> None:
    asked = {"include_stop_str_in_output": True, "skip_special_tokens": False}
    with ScriptedServer(lambda _: "7", like="vllm") as server:
        (kept,) = post(server, stop=["</answer>"], **asked)[1]["choices"]
        (bare,) = post(server, stop=["</answer>"])[1]["choices"]
    assert kept["message"]["content"] == "7<|im_end|>"
    assert (bare["message"]["content"], bare["stop_reason"]) == ("7", None)


@pytest.mark.parametrize(("like", "name"), [(None, "reasoning_content"), ("ollama", "reasoning")])
def test_a_thought_is_sent_in_the_field_of_its_kind(like: ServerKind | None, name: str) -> None:
    with ScriptedServer(lambda _: ScriptedReply("7", thought="Hm."), like=like) as server:
        (sent,) = post(server)[1]["choices"]
    assert sent["message"][name] == "Hm."


def test_only_chat_completions_are_answered() -> None:
    with ScriptedServer(lambda _: "hello") as server, pytest.raises(HTTPError) as caught:
        OPEN(Request(f"{server.url}?a=1/chat/completions", b"{}"), timeout=LIMIT_S)
    with caught.value as error:
        assert error.code == 404


def test_a_failure_that_no_server_has_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'hang'"):
        ScriptedReply(fail="hangs")  # type: ignore[arg-type]
