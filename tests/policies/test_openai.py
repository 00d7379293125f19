"""The chat-server policy over real sockets on the loopback interface."""

import asyncio
import io
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from building import a_task, a_trajectory, noise, zoom_text
from PIL import Image as PILImage
from waiting import LIMIT_S, Clock, longest_hold

from saccade.client.chat import ChatClient
from saccade.client.options import ClientOptions
from saccade.dialects.deepeyes import DeepEyes
from saccade.dialects.native import Native
from saccade.env import Environment
from saccade.errors import BudgetExceeded, ConfigError, ServiceError, ServiceTimeout
from saccade.images.geometry import PixelBudget
from saccade.images.image import Image
from saccade.policies.openai import OpenAIOptions, OpenAIPolicy
from saccade.policies.openai.history import History
from saccade.rollout import Job, rollout, rollout_many
from saccade.testing import ScriptedReply, ScriptedRequest, ScriptedServer
from saccade.tools.zoom import ZoomIn
from saccade.types import Limits, Message, Sampling, StopReason, Task, Trajectory

ZOOM = zoom_text(0, 0, 200, 200)
ANSWER = "<answer>7</answer>"
TASK = a_task(noise(400, 300), "What?")


def environment(**options: object) -> Environment:
    return Environment(DeepEyes(), [ZoomIn()], **options)  # type: ignore[arg-type]


def policy(at: ScriptedServer, **options: object) -> OpenAIPolicy:
    fast = {"base_url": at.url, "backoff_s": 0.001, "timeout_s": LIMIT_S, "cooldown_s": 0.0}
    return OpenAIPolicy(OpenAIOptions(model="m", **(fast | options)))  # type: ignore[arg-type]


async def ask(
    made: OpenAIPolicy, env: Environment | None = None, t: Task | None = None
) -> Trajectory:
    try:
        return await rollout(made, env or environment(), t or TASK)
    finally:
        await made.close()


def hanging() -> Callable[[ScriptedRequest], ScriptedReply]:
    """A server that never replies; for the client its limit is over as soon as it has asked."""
    clock = Clock()

    def answer(request: ScriptedRequest) -> ScriptedReply:
        clock.forward(LIMIT_S)
        return ScriptedReply(fail="hang")

    return answer


def by_turn(*texts: str) -> Callable[[ScriptedRequest], str]:
    return lambda request: texts[request.turn]


@pytest.mark.parametrize("role", ["user", "tool"])
async def test_parts_that_a_dialect_left_side_by_side_are_sent_apart(role: Any) -> None:
    """A dialect of the user's own may join what is inert part by part."""
    message = Message(role=role, content=("<", noise(28, 28), "|im_end|>"))
    trajectory = a_trajectory(prompt=(message,))
    (sent,) = await History(OpenAIOptions(base_url="http://h/v1", model="m")).messages(trajectory)
    assert isinstance(sent, dict)
    assert isinstance(sent["content"], list)
    texts = [str(part.get("text", "")) for part in sent["content"] if isinstance(part, dict)]
    assert "<|im_end|>" not in "".join(text.strip() for text in texts)


async def test_an_episode_over_the_wire() -> None:
    with ScriptedServer(by_turn(ZOOM, ANSWER)) as server:
        done = await ask(policy(server))
    assert (done.stop, done.answer) == (StopReason.ANSWER, "7")
    first, second = server.requests
    assert [m["role"] for m in second.messages] == ["system", "user", "assistant", "user"]
    assert len(first.images) == 1
    assert len(second.images) == 2, "the crop came back in a user turn"
    assert second.images[0].size == first.images[0].size == tuple(done.images[0].size)
    assert second.images[1].size == tuple(done.images[1].size)
    assert first.body["stop"] == ["</tool_call>", "</answer>"]
    assert done.turns[0].completion.prompt_tokens


async def test_the_server_sees_exactly_the_shown_pixels() -> None:
    env = environment(view=PixelBudget(max_pixels=200 * 200))
    with ScriptedServer(by_turn(ANSWER)) as server:
        done = await ask(policy(server), env)
    sent = np.asarray(server.requests[0].images[0])
    assert np.array_equal(sent, np.asarray(done.images[0].pixels()))


async def test_a_file_within_the_budget_is_sent_byte_for_byte(tmp_path: Path) -> None:
    file = tmp_path / "photo.jpg"
    noise(280, 308).pixels().save(file, quality=80)
    with ScriptedServer(by_turn(ANSWER)) as server:
        await ask(policy(server), t=a_task(Image.open(file), "What?"))
    assert server.requests[0].image_bytes == [file.read_bytes()]
    assert "data:image/jpeg;base64," in json.dumps(server.requests[0].body)


async def test_assistant_text_goes_back_byte_for_byte() -> None:
    text = '  <think>\t odd \r\n spaces, \u00e9\u0301 \u202e 🙂 \\ " </think>\n\n' + ZOOM
    with ScriptedServer(by_turn(text, ANSWER)) as server:
        await ask(policy(server))
    assert server.requests[1].messages[2]["content"] == text


FAILURES = {
    "429": ScriptedReply(status=429),
    "429 with a date": ScriptedReply(status=429, headers={"Retry-After": "soon"}),
    "503": ScriptedReply(status=503, headers={"Retry-After": "0"}),
    "wrong JSON": ScriptedReply(raw=b"{not json"),
    "no choices": ScriptedReply(raw=b'{"choices": []}'),
    "HTML": ScriptedReply(raw=b"<html>proxy error</html>"),
    "dropped": ScriptedReply(fail="drop"),
    "cut in mid-body": ScriptedReply("x" * 1000, fail="cut"),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
async def test_passing_failures_are_retried(failure: ScriptedReply) -> None:
    left = [failure, failure]
    with ScriptedServer(lambda request: left.pop() if left else ANSWER) as server:
        done = await ask(policy(server))
    assert done.stop is StopReason.ANSWER
    assert len(server.requests) == 3


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
async def test_lasting_failures_abort_the_episode(failure: ScriptedReply) -> None:
    with ScriptedServer(lambda request: failure) as server:
        done = await ask(policy(server, max_retries=2))
    assert done.stop is StopReason.ABORTED
    assert "ServiceError" in (done.error or "")
    assert len(server.requests) == 3


async def test_a_server_that_hangs_times_out() -> None:
    with ScriptedServer(hanging()) as server:
        done = await ask(policy(server, timeout_s=100, max_retries=1))
    assert done.stop is StopReason.ABORTED
    assert "no reply within 100 s" in (done.error or "")
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("status", "hint"), [(401, "api_key_env"), (404, "base_url"), (400, "400")]
)
async def test_refusals_are_not_retried_and_say_what_to_do(status: int, hint: str) -> None:
    with ScriptedServer(lambda request: ScriptedReply(status=status, raw=b"{}")) as server:
        done = await ask(policy(server))
    assert len(server.requests) == 1
    assert hint in (done.error or "")


OVERFLOWS = {
    "openai": b'{"error": {"code": "context_length_exceeded", "message": "..."}}',
    "vllm": b'{"message": "This model\'s maximum context length is 4096 tokens."}',
    "sglang": b"The input (9 tokens) is longer than the model's context length (8 tokens).",
}


@pytest.mark.parametrize("body", OVERFLOWS.values(), ids=OVERFLOWS)
async def test_a_full_context_ends_the_episode_and_is_not_our_failure(body: bytes) -> None:
    def answer(request: ScriptedRequest) -> str | ScriptedReply:
        return ScriptedReply(status=400, raw=body) if request.turn else ZOOM

    with ScriptedServer(answer) as server:
        done = await ask(policy(server))
    assert done.stop is StopReason.MAX_TOKENS
    assert done.turns[0].dropped == "context"


def dead_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


async def test_another_endpoint_takes_over() -> None:
    with ScriptedServer(by_turn(ANSWER)) as server:
        made = policy(server, base_url=(dead_port(), server.url), cooldown_s=60.0)
        env = environment()
        done = [await rollout(made, env, TASK) for _ in range(4)]
        await made.close()
    assert all(t.stop is StopReason.ANSWER for t in done)


async def test_a_dialect_with_a_prefix_needs_a_server_that_continues_it() -> None:
    class Prefixed(DeepEyes):
        @property
        def prefix(self) -> str:
            return "<think>"

    env = Environment(Prefixed(), [ZoomIn()])
    with ScriptedServer(by_turn("seen</think>" + ANSWER)) as server:
        with pytest.raises(ConfigError, match="continues_prefix=true"):
            await ask(policy(server), env)
        assert server.requests == []
        done = await ask(policy(server, continues_prefix=True), env)
    assert done.turns[0].action.thought == "seen"
    sent = server.requests[0]
    assert sent.messages[-1] == {"role": "assistant", "content": "<think>"}
    assert sent.body["continue_final_message"] is True


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (ZOOM.removesuffix("</tool_call>"), ZOOM),
        ("<think>a</think><answer>7", "<think>a</think><answer>7</answer>"),
        ("no tag is open", "no tag is open"),
        (ANSWER, ANSWER),
    ],
)
async def test_a_stop_string_that_the_server_cut_off_is_put_back(sent: str, read: str) -> None:
    with ScriptedServer(lambda r: ANSWER if r.turn else sent) as server:
        done = await ask(policy(server))
    assert done.turns[0].completion.text == read


async def test_a_turn_that_was_cut_by_its_length_is_left_open() -> None:
    with ScriptedServer(lambda r: ScriptedReply("<answer>7", finish="length")) as server:
        done = await ask(policy(server))
    assert done.turns[0].completion.text == "<answer>7"
    assert done.stop is StopReason.MAX_TOKENS


async def test_vllm_says_which_stop_string_ended_the_turn() -> None:
    raw = json.dumps(
        {"choices": [{"message": {"content": "<answer>7"}, "finish_reason": "stop",
                      "stop_reason": "</answer>"}]}
    ).encode()  # fmt: skip
    with ScriptedServer(lambda r: ScriptedReply(raw=raw)) as server:
        done = await ask(policy(server, server="vllm"))
    assert done.answer == "7"
    assert "include_stop_str_in_output" not in server.requests[0].body


async def test_native_calls_make_the_round_trip_unchanged() -> None:
    arguments = '{"bbox_2d":  [0, 0, 200, 200] }'
    call = {"id": "call_1", "type": "function",
            "function": {"name": "image_zoom_in_tool", "arguments": arguments}}  # fmt: skip

    def answer(request: ScriptedRequest) -> str | ScriptedReply:
        return (
            "7" if request.turn else ScriptedReply("Look.", tool_calls=[call], finish="tool_calls")
        )

    with ScriptedServer(answer) as server:
        done = await ask(policy(server), Environment(Native(), [ZoomIn()]))
    assert done.answer == "7"
    first, second = server.requests
    assert first.body["tools"][0]["function"]["name"] == "image_zoom_in_tool"  # type: ignore[index,call-overload]
    assert "stop" not in first.body
    assistant, tool, user = second.messages[2:]
    assert assistant == {"role": "assistant", "content": "Look.", "tool_calls": [call]}
    assert (tool["role"], tool["tool_call_id"]) == ("tool", "call_1")
    assert user["role"] == "user"
    assert len(second.images) == 2


async def test_many_episodes_share_one_client() -> None:
    done: list[Trajectory] = []
    with ScriptedServer(by_turn(ZOOM, ANSWER)) as server:
        made = policy(server, concurrency=16)
        jobs = [Job(TASK, sample) for sample in range(64)]
        await rollout_many(made, environment(), jobs, on_finish=lambda _, t: done.append(t))
        await made.close()
    assert all(t.stop is StopReason.ANSWER for t in done)
    assert len(server.requests) == 128


async def test_the_episodes_limit_beats_a_slow_server() -> None:
    env = environment(limits=Limits(max_seconds=100))
    with ScriptedServer(hanging()) as server:
        done = await ask(policy(server, timeout_s=1000), env)
    assert done.stop is StopReason.TIMEOUT


# The client by itself.


def client(server: ScriptedServer, **options: object) -> ChatClient:
    fast = {"backoff_s": 0.001, "timeout_s": LIMIT_S}
    return ChatClient(ClientOptions(base_url=server.url, model="m", **(fast | options)))  # type: ignore[arg-type]


async def say(made: ChatClient, text: str, max_tokens: int = 100) -> str:
    return await made.complete("s", text, max_tokens=max_tokens, temperature=0, seed=0)


async def test_a_cached_reply_makes_no_request(tmp_path: Path) -> None:
    with ScriptedServer(lambda r: f"reply {len(server.requests)}") as server:
        made = client(server, cache=tmp_path / "cache")
        first = await say(made, "a")
        again = await say(made, "a")
        assert first == again == "reply 1"
        assert await say(made, "b") == "reply 2"
        for file in (tmp_path / "cache").iterdir():
            file.write_text("damaged")
        assert await say(made, "a") == "reply 3"
        assert await say(made, "a") == "reply 3"
        await made.close()
    assert len(server.requests) == 3


async def test_the_budget_stops_before_the_money_is_spent() -> None:
    """Concurrent requests cannot overshoot: each sets its own bound aside first."""
    with ScriptedServer(lambda request: "x" * 400) as server:
        made = client(server, price_in=1.0, price_out=1e6, budget=1000.0)
        done = await asyncio.gather(
            *(say(made, "a", 100) for _ in range(40)), return_exceptions=True
        )
        spent = made.spent
        await made.close()
    refused = [d for d in done if isinstance(d, BudgetExceeded)]
    assert len(refused) == 40 - len(server.requests)
    assert len(refused) >= 31
    assert 0 < spent <= 1000


async def test_a_request_that_failed_gives_its_bound_back() -> None:
    with ScriptedServer(lambda request: ScriptedReply(status=400, raw=b"{}")) as server:
        made = client(server, price_out=1e6, budget=1000.0)
        for _ in range(20):
            with pytest.raises(ServiceError):
                await say(made, "a")
        assert made.spent == 0
        await made.close()


async def test_a_key_is_taken_from_the_environment_and_never_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MY_KEY", "secret-123")
    seen: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                seen.append(connection.recv(65536).decode())
                connection.sendall(
                    b"HTTP/1.1 401 no\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
                )

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        made = ChatClient(ClientOptions(base_url=url, model="m", api_key_env="MY_KEY"))
        with pytest.raises(ServiceError) as caught:
            await say(made, "a")
        await made.close()
        thread.join()
    assert "Bearer secret-123" in seen[0]
    assert "secret" not in str(caught.value)


async def test_a_reply_that_is_too_large_is_not_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("saccade.client.chat.MAX_REPLY_BYTES", 1000)
    with ScriptedServer(lambda request: "x" * 100_000) as server:
        made = client(server)
        with pytest.raises(ServiceError, match="more than 1000 bytes"):
            await say(made, "a")
        await made.close()


async def test_a_redirect_is_not_followed() -> None:
    with ScriptedServer(by_turn("x")) as target:
        moved = ScriptedReply(status=307, headers={"Location": target.url}, raw=b"")
        with ScriptedServer(lambda request: moved) as server:
            made = client(server)
            with pytest.raises(ServiceError, match="status 307"):
                await say(made, "a")
            await made.close()
    assert target.requests == []


async def test_a_timeout_keeps_its_bound() -> None:
    with ScriptedServer(hanging()) as server:
        made = client(server, price_out=1e6, max_retries=0)
        with pytest.raises(ServiceTimeout):
            await say(made, "a", 100)
        assert made.spent == pytest.approx(100)
        await made.close()


@pytest.mark.parametrize(
    "url", ["ftp://x/v1", "file:///etc/passwd", "localhost:8000", "http://", ""]
)
def test_only_http_urls_are_accepted(url: str) -> None:
    with pytest.raises(ValueError, match="expected http"):
        ClientOptions(base_url=url, model="m")


async def test_a_slow_encoder_does_not_block_the_loop() -> None:
    """A 12-megapixel view is encoded in a thread: the loop goes on ticking."""
    big = noise(4000, 3000)
    env = environment(view=PixelBudget(max_pixels=4_000_000))
    with ScriptedServer(by_turn(ANSWER)) as server:
        asking = ask(policy(server), env, a_task(big, "What?"))
        _, held = await longest_hold(asking)
    assert held < 0.5
    assert PILImage.open(io.BytesIO(server.requests[0].image_bytes[0])).size == tuple(
        env.record.view.fit(big.size)
    )


def test_sampling_fields_reach_the_wire() -> None:
    with ScriptedServer(by_turn(ANSWER)) as server:
        made = policy(server)
        start = environment().begin(TASK)

        async def act() -> None:
            await made.act(start, Sampling(temperature=0.7, top_p=0.9, max_tokens=55, seed=2**40))
            await made.close()

        asyncio.run(act())
    body = server.requests[0].body
    assert (body["temperature"], body["top_p"], body["max_tokens"]) == (0.7, 0.9, 55)
    assert 0 <= body["seed"] < 2**31  # type: ignore[operator]
