"""A search server behind the gate: what it answers, what it refuses, and how much at a time."""

import asyncio
import json
import threading
from pathlib import Path

import pytest
from command import here
from gates import AS_JSON, content, request, status
from pictures import encoded, scene
from searching import Scripted
from serving import gated, sent
from waiting import until

from saccade.errors import ConfigError, ServiceError
from saccade.images.image import Image
from saccade.search.found import Hit, Kind, Query, Result, Results
from saccade.search.wire import AskedQuery, query_of, query_to_json
from saccade.serve.search import SearchServer, digest_of
from saccade.serve.search_options import SearchServeOptions

FOUND = Results((Result(Hit(rank=1, title="a lamp", document="d1")),))
LAMP = json.dumps({"kind": "text", "text": "lamp"}).encode()


def server(provider: Scripted, *off: str, **options: object) -> SearchServer:
    made = SearchServeOptions.model_validate({"port": 0, **options})
    return SearchServer(made, provider=provider, off=frozenset(off))


def post(path: str, body: bytes, *headers: str) -> bytes:
    return request(f"POST {path}", AS_JSON, *headers, body=body)


async def test_searches_and_facts_are_answered() -> None:
    provider = Scripted({"lamp": [FOUND]})
    made = server(provider)
    async with gated(made.gate) as port:
        found = content(await sent(port, post("/v1/search", LAMP)))
        health = content(await sent(port, request("GET /v1/health")))
        none = content(await sent(port, post("/v1/search", LAMP.replace(b"lamp", b"ship"))))
    assert isinstance(found, dict)
    assert isinstance(health, dict)
    assert isinstance(none, dict)
    assert found["results"][0]["title"] == "a lamp"
    assert none["results"] == []
    assert found["digest"] == health["digest"] == digest_of(provider) == made.digest
    assert (health["kinds"], health["waiting"], health["answered"]) == (["image", "text"], 0, 1)
    assert health["facts"] == {"edition": 1}


async def test_what_is_no_request_reaches_no_provider() -> None:
    provider = Scripted({"lamp": [FOUND]})
    provider.kinds = frozenset[Kind]({"text"})
    refused = [
        (421, post("/v1/search", LAMP, "Host: evil.example")),
        (403, post("/v1/search", LAMP, "Origin: http://evil.example")),
        (415, request("POST /v1/search", body=LAMP)),
        (411, post("/v1/search", LAMP, "Content-Length: 32", "Transfer-Encoding: chunked")),
        (400, post("/v1/search?token=x", LAMP)),
        (405, request("GET /v1/search")), (404, post("/v1/nowhere", LAMP)),
        (413, post("/v1/search", b"", f"Content-Length: {60 << 20}")),
        (413, post("/v1/document", b"x" * (65 << 10))),
        (422, post("/v1/search", b"{" + b'"k": 1,' * 20 + b'"kind": "text"}')),
        (422, post("/v1/search", b"[" * 100)), (422, post("/v1/search", b"{")),
        (422, post("/v1/search", b'{"kind": "sound"}')),
        (422, post("/v1/search", b'{"kind": "text", "text": " "}')),
        (422, post("/v1/search", b'{"kind": "text", "text": "a", "k": 51}')),
        (422, post("/v1/search", b'{"kind": "text", "text": "a", "k": 0}')),
        (422, post("/v1/search", b'{"kind": "text", "text": "%s"}' % (b"x" * 2001))),
        (422, post("/v1/search", b'{"kind": "image", "image": "aGVsbG8="}')),
        (422, post("/v1/document", b'{"name": "d1"}')),
    ]  # fmt: skip
    async with gated(server(provider).gate) as port:
        for wanted, data in refused:
            answer = await sent(port, data)
            assert status(answer) == wanted, (data[:300], answer)
            assert b"evil" not in answer
    assert not provider.asked


async def test_an_image_is_decoded_before_it_is_searched_with() -> None:
    provider = Scripted()
    async with gated(server(provider).gate) as port:
        for body in (b'{"kind": "image"}', b'{"kind": "image", "image": "aGVsbG8="}'):
            assert status(await sent(port, post("/v1/search", body))) == 422
    assert not provider.asked


async def test_what_is_too_much_is_told_to_come_again() -> None:
    async def flood(*off: str) -> list[int]:
        provider, going = Scripted({"lamp": [FOUND]}), asyncio.Event()
        search = provider.search

        async def held(query: object) -> Results:
            await going.wait()
            return await search(query)  # type: ignore[arg-type]

        provider.search = held  # type: ignore[method-assign, assignment]
        made = server(provider, *off, searches_waiting=4)
        async with gated(made.gate) as port:
            asking = [asyncio.create_task(sent(port, post("/v1/search", LAMP))) for _ in range(6)]
            if not off:
                await until(lambda: sum(task.done() for task in asking) == 3)
                late = next(task.result() for task in asking if task.done())
                assert b"retry-after: 1" in late.lower()
                health = content(await sent(port, request("GET /v1/health")))
                assert isinstance(health, dict)
                assert health["waiting"] == 3
            going.set()
            answers = [status(await task) for task in asking]
            after = status(await sent(port, post("/v1/search", LAMP)))
        return [*sorted(answers), after]

    # Three quarters of four are those of one client.
    assert await flood() == [200, 200, 200, 429, 429, 429, 200]
    assert await flood("waiting") == [200] * 7


async def test_who_leaves_is_not_searched_for() -> None:
    provider = Scripted({"lamp": [FOUND]}, seconds=3600)
    async with gated(server(provider).gate) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post("/v1/search", LAMP))
        await until(lambda: provider.under_way == 1)
        writer.close()
        await writer.wait_closed()
        await until(lambda: provider.under_way == 0)


async def test_a_provider_that_fails_is_a_503_and_no_empty_result(
    capfd: pytest.CaptureFixture[str],
) -> None:
    provider = Scripted({"lamp": [ServiceError("the index at /path is gone"), FOUND]})
    async with gated(server(provider).gate) as port:
        answer = await sent(port, post("/v1/search", LAMP))
        assert status(answer) == 503
        assert b"/path" not in answer
        assert status(await sent(port, post("/v1/search", LAMP))) == 200
    assert capfd.readouterr().err.count("/path") == 1


def test_what_others_can_reach_wants_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SACCADE_SEARCH_TOKEN", raising=False)
    with pytest.raises(ConfigError, match="set SACCADE_SEARCH_TOKEN"):
        server(Scripted(), host="0.0.0.0")
    monkeypatch.setenv("SACCADE_SEARCH_TOKEN", "t")
    assert server(Scripted(), host="0.0.0.0")


def test_a_command_that_serves_nothing_says_what_to_name(tmp_path: Path) -> None:
    for settings, says in (
        ((), "name an index, as in index=FOLDER"),
        ((f"index={tmp_path}",), str(tmp_path)),
        ((f"index={tmp_path}", "provider.kind=local"), "not both"),
        (("indx=x",), "did you mean 'index'"),
    ):
        result = here("serve", "search", *settings)
        assert result.returncode in (1, 2)
        assert says in result.stderr
        assert "Traceback" not in result.stderr


async def test_few_images_are_decoded_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    under_way, most, lock = 0, 0, threading.Lock()

    def watched(asked: AskedQuery) -> Query:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        try:
            return query_of(asked)
        finally:
            with lock:
                under_way -= 1

    monkeypatch.setattr("saccade.serve.search.query_of", watched)
    monkeypatch.setattr("saccade.serve.search.DECODED", 1)
    body = json.dumps(
        query_to_json(Query("image", image=Image.from_bytes(encoded(scene()))))
    ).encode()
    async with gated(server(Scripted()).gate) as port:
        said = await asyncio.gather(*(sent(port, post("/v1/search", body)) for _ in range(8)))
    assert [status(each) for each in said] == [200] * 8
    assert most == 1
