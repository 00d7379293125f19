"""An index on other machines: real servers that die, and hosts that lie."""

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest
from fleet import Server, fleet
from waiting import LIMIT_S, until

from saccade.errors import ConfigError, ServiceError, ServiceRefused
from saccade.search.found import Query
from saccade.search.local.build import build
from saccade.search.requester import Requester, RequestOptions
from saccade.search.service import Service, ServiceOptions

DIGEST = "d" * 64
THINGS = 40


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    rows = [
        {"id": f"d{n}", "title": f"Thing {n}", "text": f"The secret of thing{n} is word{n}."}
        for n in range(THINGS)
    ]
    file = folder / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    build(file, folder / "index")
    return folder / "index"


@pytest.fixture(scope="module")
def servers(index: Path) -> Iterator[list[Server]]:
    """Two that offer the index, and one that answers when a file is there."""
    slow = f"provider.kind=fleet:Slow provider.file={index.with_name('go')}"
    with fleet(f"index={index}", f"index={index}", slow) as started:
        yield started


def service(*urls: str, digest: str = DIGEST, **options: object) -> Service:
    return Service(ServiceOptions.model_validate({"urls": urls, "digest": digest, **options}))


async def test_a_host_that_is_killed_under_load_costs_no_search_its_result(
    servers: list[Server],
) -> None:
    first, second, _ = servers
    asked = service(first.url, second.url, digest=first.digest)
    requester = Requester(asked, RequestOptions(concurrency=24, max_retries=0))
    await requester.start()
    answered: list[str] = []

    async def one(number: int) -> None:
        found = await requester.search(Query("text", f"secret of thing{number % THINGS}", k=3))
        best = found.results[0].hit
        assert best.document == f"d{number % THINGS}"
        assert f"word{number % THINGS}." in best.snippet
        answered.append(best.document)
        if len(answered) == 60:
            first.end(signal.SIGKILL)

    await asyncio.gather(*map(one, range(200)))
    assert len(answered) == 200
    assert (await asked.document("d7")).text == "The secret of thing7 is word7."  # type: ignore[union-attr]
    assert await asked.document("nobody") is None
    with pytest.raises(ServiceRefused, match="searched by text"):
        await asked.search(Query("image"))
    await requester.close()
    await requester.start()  # the other one is enough
    await requester.close()


async def test_without_another_host_a_dead_one_is_an_error_and_no_empty_result() -> None:
    asked = service("http://127.0.0.1:1")
    with pytest.raises(ServiceError, match="none of 1 hosts answers"):
        await asked.start()
    requester = Requester(asked, RequestOptions(max_retries=1, backoff_s=0.001))
    with pytest.raises(ServiceError, match="no host answers; the last: http://127"):
        await requester.search(Query("text", "x"))
    await requester.close()


async def test_another_index_is_found_out_before_and_while_it_is_searched(
    servers: list[Server],
) -> None:
    url, digest = servers[1].url, servers[1].digest
    asked = service(url)
    for ask in (asked.start, lambda: asked.search(Query("text", "secret"))):
        with pytest.raises(ConfigError, match=f"offers the index {digest}, and this run says ddd"):
            await ask()
    await asked.close()


class Liar:
    """A host that answers as a test says, and counts the requests."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes, str]] = []
        """Status, body and further headers; the last one stays."""
        self.asked: list[bytes] = []
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head)
        length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n")
                       if line.lower().startswith(b"content-length")), 0)  # fmt: skip
        await reader.readexactly(length)
        status, body, more = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        writer.write(f"HTTP/1.1 {status} x\r\nContent-Length: {len(body)}\r\n{more}"
                     "Connection: close\r\n\r\n".encode() + body)  # fmt: skip
        with suppress(ConnectionError):
            await writer.drain()
            writer.close()
            await writer.wait_closed()


@asynccontextmanager
async def liar() -> AsyncIterator[Liar]:
    made = Liar()
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield made


def said(**fields: object) -> bytes:
    return json.dumps({"digest": DIGEST, **fields}).encode()


GOOD = said(results=[{"title": "good"}])
LIES = [
    b"", b"{", b"[]", b"<html>busy</html>", said(), said(results=None), said(results={}),
    said(results=[1]), said(results=[{}] * 51), said(results=[{"thumbnail": "!"}]),
    said(results=[{"thumbnail": "R0lGODlhAQABAAAAACw="}]), b"[" * 100_000,
]  # fmt: skip


async def test_a_host_that_lies_is_left_for_another_one() -> None:
    async with liar() as bad, liar() as good:
        good.answers = [(200, GOOD, "")]
        lies = [(200, lie, "") for lie in LIES]
        lies += [(500, b"{}", ""), (503, b"", ""), (200, GOOD, "Content-Encoding: gzip\r\n")]
        for lie in lies:
            bad.answers, before = [lie], len(bad.asked)
            asked = service(bad.url, good.url)
            found = await asked.search(Query("text", "x"))
            assert [result.hit.title for result in found.results] == ["good"]
            assert len(bad.asked) == before + 1
            await asked.search(Query("text", "x"))
            assert len(bad.asked) == before + 1, "it is avoided"
            await asked.close()


async def test_values_of_other_types_are_none_and_texts_are_bounded() -> None:
    hit = {"title": "t" * 9999, "url": ["x"], "snippet": 3, "date": None, "score": 1e999,
           "document": {"a": 1}, "rank": -1, "extra": "x"}  # fmt: skip
    async with liar() as host:
        fetches = {"failed": -3, "cut": 1e30, "succeeded": 2}
        host.answers = [(200, said(results=[hit, {"score": True}, {}], fetches=fetches), "")]
        asked = service(host.url)
        found = await asked.search(Query("text", "x", k=2))
        await asked.close()
    assert len(found.results) == 2
    first = found.results[0].hit
    assert (first.rank, len(first.title), first.url, first.snippet) == (1, 2000, "", "3")
    assert (first.score, found.results[1].hit.score) == (None, None)
    assert (found.fetches.succeeded, found.fetches.failed, found.fetches.cut) == (2, 0, 0)


@pytest.mark.parametrize(
    ("status", "error", "says"),
    [(401, ConfigError, "is read from SACCADE_SEARCH_TOKEN"), (403, ConfigError, "HTTP 403"),
     (404, ConfigError, "HTTP 404"), (302, ConfigError, "HTTP 302"),
     (421, ConfigError, "HTTP 421"), (413, ServiceRefused, "too"), (422, ServiceRefused, "too")],
)  # fmt: skip
async def test_what_no_retry_mends_is_said_at_once(
    status: int, error: type[Exception], says: str
) -> None:
    async with liar() as host:
        host.answers = [(status, b'{"error": "too"}', "Location: http://127.0.0.1:1/\r\n")]
        requester = Requester(service(host.url), RequestOptions(backoff_s=0.001))
        with pytest.raises(error, match=says):
            await requester.search(Query("text", "x"))
        assert len(host.asked) == 1
        await requester.close()


async def test_a_full_host_is_waited_for_and_uses_up_no_retry() -> None:
    async with liar() as host:
        full = (429, b'{"error": "full"}', "Retry-After: 0\r\nRetry-After-Ms: 1\r\n")
        host.answers = [*[full] * 6, (200, GOOD, "")]
        requester = Requester(service(host.url), RequestOptions(max_retries=0))
        assert (await requester.search(Query("text", "x"))).results
        assert len(host.asked) == 7
        await requester.close()


async def test_a_host_that_is_silent_is_left_for_another_one() -> None:
    async with liar() as good:
        good.answers = [(200, GOOD, "")]
        with socket.create_server(("127.0.0.1", 0)) as silent:  # it never answers
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            asked = service(url, good.url, timeout_s=0.05)
            assert (await asked.search(Query("text", "x"))).results
            await asked.close()


async def test_a_token_goes_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    token = "tok-3f9a8b7c6d5e4f3a2b1c"
    monkeypatch.setenv("SACCADE_SEARCH_TOKEN", token)
    async with liar() as host:
        host.answers = [(200, said(results=[{"title": f"your {token}"}]), ""),
                        (422, f'{{"error": "no {token}"}}'.encode(), "")]  # fmt: skip
        asked = service(host.url)
        found = await asked.search(Query("text", "x"))
        assert token not in str(found)
        assert f"Authorization: Bearer {token}".encode() in host.asked[0]
        with pytest.raises(ServiceRefused) as refused:
            await asked.search(Query("text", "x"))
        assert token not in str(refused.value)
        assert token not in str(dict(asked.facts)) + caplog.text
        await asked.close()


@pytest.mark.parametrize(
    "options",
    [{"urls": []}, {"urls": ["ftp://a"]}, {"urls": ["http://u:p@a"]}, {"urls": ["http://a?k=v"]},
     {"urls": ["http://a:x"]}, {"digest": ""}, {"digest": "no digest"}, {"token_env": "HOME"}],
)  # fmt: skip
def test_options_that_cannot_work_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"urls|digest|token_env"):
        ServiceOptions.model_validate({"urls": ["http://a"], "digest": DIGEST, **options})


def is_closed(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


async def test_a_search_under_way_ends_before_its_server_does(
    servers: list[Server], index: Path
) -> None:
    server = servers[2]
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, verify=False) as client:
        body = {"kind": "text", "text": "late"}
        running = asyncio.create_task(client.post("/v1/search", json=body, timeout=LIMIT_S))
        while not (await client.get("/v1/health")).json()["waiting"]:
            pass
        server.end(signal.SIGTERM)
        await until(lambda: is_closed(int(server.url.rpartition(":")[2])))
        assert not running.done()
        index.with_name("go").touch()
        assert (await running).json()["results"][0]["title"] == "late"
