"""Several servers of one model: who gets the next request, and what one that is gone costs."""

import asyncio
import socket

from waiting import LIMIT_S, until

from saccade.client.chat import ChatClient
from saccade.client.endpoints import Endpoints
from saccade.client.options import ClientOptions
from saccade.testing import ScriptedReply, ScriptedServer

URLS = ("http://a/v1", "http://b/v1", "http://c/v1")


class Health:
    """Says of each server whether it answers, and counts how often it is asked."""

    def __init__(self) -> None:
        self.up: set[str] = set()
        self.asked: list[str] = []

    async def __call__(self, url: str) -> bool:
        self.asked.append(url)
        await asyncio.sleep(0)
        return url in self.up


def dead_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


def test_the_least_busy_one_is_next_and_equals_take_turns() -> None:
    endpoints = Endpoints(URLS, Health(), cooldown_s=10.0)
    assert [endpoints.choose() for _ in range(4)] == [*URLS, URLS[0]]
    with endpoints.busy(URLS[0]), endpoints.busy(URLS[1]):
        assert {endpoints.choose() for _ in range(3)} == {URLS[2]}


async def test_one_that_failed_gets_no_request_before_it_answers_again() -> None:
    health = Health()
    endpoints = Endpoints(URLS[:2], health, cooldown_s=0.0)
    endpoints.failed(URLS[0])
    for _ in range(5):
        assert endpoints.choose() == URLS[1]
        await asyncio.sleep(0)
    assert set(health.asked) == {URLS[0]}
    health.up.add(URLS[0])
    await until(lambda: endpoints.choose() == URLS[0])
    await endpoints.close()


async def test_the_time_for_which_it_is_avoided_doubles() -> None:
    health = Health()
    endpoints = Endpoints(URLS[:2], health, cooldown_s=LIMIT_S)
    for _ in range(8):  # of requests that were under way together
        endpoints.failed(URLS[0])
    endpoint = endpoints._named(URLS[0])
    assert endpoint.failures == 1
    assert endpoints.choose() == URLS[1]
    assert health.asked == []


def test_where_none_is_healthy_the_first_to_recover_is_asked() -> None:
    endpoints = Endpoints(URLS, Health(), cooldown_s=10.0)
    for url in (URLS[1], URLS[0], URLS[2]):
        endpoints.failed(url)
    assert endpoints.choose() == URLS[1]
    assert not endpoints.others_than(URLS[1])
    endpoints.answered(URLS[2])
    assert endpoints.choose() == URLS[2]


async def test_a_server_that_is_gone_uses_up_no_retry() -> None:
    with ScriptedServer(lambda _: "yes") as server:
        options = ClientOptions(
            base_url=(dead_port(), server.url), model="m", max_retries=0, cooldown_s=LIMIT_S
        )
        client = ChatClient(options)
        replies = [await client.chat({"messages": []}) for _ in range(3)]
        await client.close()
    assert [reply.text for reply in replies] == ["yes"] * 3


async def test_a_server_that_is_back_is_used_again() -> None:
    """It fails once; what asks it whether it is up is no question to the model."""
    failing = [True]

    def answer(_: object) -> ScriptedReply:
        return ScriptedReply(status=503) if failing.pop() else ScriptedReply("back")

    with ScriptedServer(answer) as weak, ScriptedServer(lambda _: "other") as strong:
        options = ClientOptions(base_url=(weak.url, strong.url), model="m", cooldown_s=0.0)
        client = ChatClient(options)
        assert (await client.chat({"messages": []})).text == "other"
        assert len(weak.requests) == 1
        failing.append(False)
        texts: list[str] = []
        while "back" not in texts[-1:]:
            texts.append((await client.chat({"messages": []})).text)
            failing[:] = [False]
        await client.close()
    assert len(weak.requests) == 2
