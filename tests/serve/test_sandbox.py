"""A sandbox server under attack: real processes, asked over real sockets."""

import io
import itertools
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext

import httpx
import pytest
from PIL import Image as PILImage
from serving import Host, hosted
from waiting import LIMIT_S

from saccade.errors import ConfigError
from saccade.sandbox.pool import Sandbox
from saccade.serve.gate import Client, Refusal
from saccade.serve.guests import Guests
from saccade.serve.options import ServeOptions
from saccade.serve.sandbox import SandboxServer, serve

UNHURRIED = tuple(f"sandbox.limits.{name}={9 * LIMIT_S}" for name in ("seconds", "grace_seconds"))
KEYS = b"{" + b",".join(b'"k%d":0' % number for number in range(330_000)) + b"}"
JSON_ROUTES = (
    "/v1/sessions",
    "/v1/sessions/ID/cells",
    "/jupyter_sandbox",
    "/clear_session",
    "/run_code",
)
JSON, PNG = {"Content-Type": "application/json"}, {"Content-Type": "image/png"}
HEAD = (
    b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n"
)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    bounds = ("session_mib=16", "sessions_per_client=4", "cells_waiting=4")
    with hosted(*UNHURRIED, *bounds, "sandbox.max_cells=8") as started:
        yield started


ADDRESSES = (f"127.0.1.{number}" for number in itertools.count(1))


@pytest.fixture
def client(host: Host) -> Iterator[httpx.Client]:
    """A client of its own for each test, and its sessions are ended."""
    with host.client(next(ADDRESSES), **JSON) as made:
        yield made
        for session in OPENED:
            made.delete(session)
        OPENED.clear()


OPENED: list[str] = []


def opened(client: httpx.Client) -> str:
    """The path of a new session."""
    reply = client.post("/v1/sessions", json={})
    assert reply.status_code == 201, reply.text
    OPENED.append(f"/v1/sessions/{reply.json()['id']}")
    return OPENED[-1]


def waiting(client: httpx.Client, number: int) -> None:
    """Until so many requests run a cell or wait for that."""
    deadline = time.monotonic() + LIMIT_S
    while client.get("/v1/health").json()["waiting"] != number:
        assert time.monotonic() < deadline


def png(size: tuple[int, int]) -> bytes:
    file = io.BytesIO()
    PILImage.new("RGB", size).save(file, "PNG")
    return file.getvalue()


def routes(client: httpx.Client) -> list[str]:
    session = opened(client)
    return [route.replace("/v1/sessions/ID", session) for route in JSON_ROUTES]


def test_keys_that_nobody_knows_cost_little(host: Host, client: httpx.Client) -> None:
    """They were worth 340 MiB and 6 seconds: validation built an error for each."""
    for route in routes(client):
        before, cpu = host.peak_mib(), host.cpu_s()
        reply = client.post(route, content=KEYS)
        assert reply.status_code in (413, 422), route
        assert host.peak_mib() - before < 24, route
        assert host.cpu_s() - cpu < 0.5, route
        assert b"k1" not in reply.content


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"[]", b"null", b"\xff", b'"', b"1" * 3000, b"[" * 3000, b'{"code": "\\ud800"}',
        b'{"session_id": "a", "code": "1", "timeout": NaN}',
        b'{"session_id": "a", "code": "1", "timeout": 1e999}',
        b'{"session_id": "a\\u0000\\n", "code": "1"}', b'{"session_id": 3}',
        b'{"number": 1e400, "code": "1"}', b'{"number": 99999999999999999999, "code": "1"}',
        b'{"number": 1, "code": "1", "seconds": Infinity}',
        b'{"code": "1", "language": "python", "run_timeout": -Infinity}',
    ],
)  # fmt: skip
def test_what_is_no_request_is_a_4xx_in_json_on_every_route(
    host: Host, client: httpx.Client, body: bytes
) -> None:
    for route in routes(client):
        reply = client.post(route, content=body)
        assert reply.status_code in (413, 422), (route, reply.text)
        assert isinstance(reply.json(), dict)
        client.delete(route.removesuffix("/cells"))
    assert "Traceback" not in host.logged


FOREIGN: list[dict[str, str]] = [
    {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://localhost:1"},
    {"Host": "evil.example"}, {"Host": "evil.example:8787"}, {"Host": "127.0.0.1.evil.example"},
    {"Host": "10.1.2.3"}, {"Host": "user@127.0.0.1"}, {"Host": "localhost."},
    {"Host": "evil.example", "Origin": "http://evil.example"},
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
    {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"},
    {"Content-Type": "multipart/form-data; boundary=x"}, {"Content-Type": ""},
    {"Content-Type": "text/plain; application/json"},
    {"Content-Type": "application/json; charset=utf-7"},
]  # fmt: skip


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_page_in_the_users_browser_can_run_nothing(
    client: httpx.Client, headers: dict[str, str]
) -> None:
    body = json.dumps({"code": "1", "language": "python"})
    reply = client.post("/run_code", content=body, headers=headers)
    assert reply.status_code in (400, 403, 415, 421), reply.text
    assert not [name for name in reply.headers if name.startswith("access-control")]
    assert client.options("/run_code").status_code == 405


def test_a_session_is_only_there_for_who_opened_it(host: Host, client: httpx.Client) -> None:
    session = opened(client)
    cell = {"number": 1, "code": "1"}
    forged = {
        "X-Forwarded-For": "127.0.0.1",
        "Forwarded": "for=127.0.0.1",
        "X-Real-IP": "127.0.0.1",
    }
    with host.client("127.0.0.2", **forged) as other:
        unknown = other.delete("/v1/sessions/nobody")
        for reply in (
            other.post(f"{session}/cells", json=cell),
            other.put(
                f"{session}/images/image_1", content=b"", headers={"Content-Type": "image/png"}
            ),
            other.delete(session),
        ):
            assert (reply.status_code, reply.text) == (404, unknown.text)
    assert client.post(f"{session}/cells", json=cell).json()["value"] == "1"

    def jupyter(asking: httpx.Client, code: str) -> str:
        reply = asking.post("/jupyter_sandbox", json={"session_id": "same", "code": code})
        return str(reply.json()["output"]["result"])

    with host.client("127.0.0.2") as other:
        jupyter(client, "x = 1")
        assert jupyter(other, "'x' in globals()") == "False"
        other.post("/clear_session", json={"session_id": "same"})
        assert jupyter(client, "x") == "1"


def test_an_address_is_not_chosen_by_who_has_it(client: httpx.Client) -> None:
    for _ in range(4):
        opened(client)
    forged = {"X-Forwarded-For": "10.0.0.1"}
    assert client.post("/v1/sessions", json={}, headers=forged).status_code == 429


def test_pictures_of_one_name_take_the_memory_of_one(host: Host, client: httpx.Client) -> None:
    """A hundred KiB of PNG kept 137 MiB for each time, also when the session had ended."""
    picture = png((1000, 1000))
    before, most = host.kept_mib(), 0.0
    for _ in range(2):
        session = opened(client)
        for _ in range(20):  # many small ones: what threads keep for themselves is one each
            reply = client.put(f"{session}/images/image_1", content=picture, headers=PNG)
            assert reply.status_code == 200
        client.post(f"{session}/cells", json={"number": 1, "code": "1"})
        most = max(most, host.kept_mib())
        client.delete(session)
    assert most - before < 80
    assert host.kept_mib() - before < 80


SLOW = "import time\nwhile True: time.sleep(0.01)"


def test_every_way_to_run_code_counts_as_a_session_and_as_a_cell(
    host: Host, client: httpx.Client
) -> None:
    """A program of SandboxFusion had a session of its own that nobody counted."""
    sessions = [opened(client) for _ in range(4)]
    program = {"code": SLOW, "language": "python"}
    ways = (("/run_code", program), ("/jupyter_sandbox", {"code": "1", "session_id": "a"}))
    for path, body in ways:
        reply = client.post(path, json=body)
        assert (reply.status_code, reply.headers["retry-after"]) == (429, "1")
        assert reply.json()["status"] in ("SandboxError", "error")
    with ThreadPoolExecutor() as pool:
        running = [
            pool.submit(client.post, f"{session}/cells", json={"number": 1, "code": SLOW})
            for session in sessions[:3]
        ]
        waiting(client, 3)
        cell = {"number": 1, "code": "1"}
        assert client.post(f"{sessions[3]}/cells", json=cell).status_code == 429
        for session in sessions:
            assert client.delete(session).status_code == 200
        assert [each.result(LIMIT_S).status_code for each in running] == [404] * 3


@contextmanager
def asked(host: Host, path: str, body: dict[str, object]) -> Iterator[socket.socket]:
    """A connection on which a request was sent, whose answer does not fit into its buffers."""
    content = json.dumps(body).encode()
    with socket.socket() as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        asking.settimeout(LIMIT_S)
        asking.connect(("127.0.0.1", httpx.URL(host.url).port))
        asking.sendall(HEAD % (path.encode(), len(content)) + content)
        yield asking


def test_a_program_ends_when_its_client_leaves(host: Host, client: httpx.Client) -> None:
    """Nobody can ask for it again, and it ran on to its limit."""
    program = {"code": SLOW, "language": "python", "run_timeout": 1e9}
    with asked(host, "/run_code", program):
        waiting(client, 1)
    waiting(client, 0)


def test_an_answer_counts_until_it_was_taken(host: Host, client: httpx.Client) -> None:
    """Answers of up to 32 MiB that nobody read were kept, as many as there are connections."""
    noise = "from PIL import Image\nimport random\nsize = (1300, 1300)\n"
    noise += "Image.frombytes('RGB', size, random.randbytes(3 * 1300 * 1300))"
    large, small = ({"session_id": "large", "code": code} for code in (noise, "1"))
    with host.client() as other:
        with ExitStack() as stack:
            for _ in range(3):
                asking = stack.enter_context(asked(host, "/jupyter_sandbox", large))
                assert asking.recv(12) == b"HTTP/1.1 200"
            assert client.get("/v1/health").json()["waiting"] == 3
            assert other.post("/jupyter_sandbox", json=small).status_code == 429
        waiting(client, 0)
        assert other.post("/jupyter_sandbox", json=small).status_code == 200
        other.post("/clear_session", json={"session_id": "large"})


def test_a_session_that_was_deleted_is_not_begun_again(host: Host, client: httpx.Client) -> None:
    """A cell that waited for another one made a process that nobody knew of."""
    session = opened(client)
    with ThreadPoolExecutor() as pool:

        def cell(number: int, code: str) -> Future[httpx.Response]:
            body = {"number": number, "code": code}
            return pool.submit(client.post, f"{session}/cells", json=body)

        running = cell(1, SLOW)
        waiting(client, 1)
        queued = cell(2, "'again'")
        waiting(client, 2)
        client.delete(session)
        assert running.result(LIMIT_S).status_code == 404
        assert queued.result(LIMIT_S).status_code == 404


def test_code_that_waits_is_held_by_its_session(client: httpx.Client) -> None:
    """Four bytes a character: bodies were counted only until they had been parsed."""
    session = opened(client)
    with ThreadPoolExecutor() as pool:
        running = pool.submit(client.post, f"{session}/cells", json={"number": 1, "code": SLOW})
        waiting(client, 1)
        large = {"number": 2, "code": "1 #\N{GRINNING FACE}" + "x" * 3_000_000}
        queued = pool.submit(client.post, f"{session}/cells", json=large)
        waiting(client, 2)
        refused = pool.submit(client.post, f"{session}/cells", json=large)
        while not refused.done() and client.get("/v1/health").json()["waiting"] < 3:
            pass
        client.delete(session)
        assert refused.result(LIMIT_S).status_code == 413
        assert queued.result(LIMIT_S).status_code == running.result(LIMIT_S).status_code == 404


def test_a_client_that_leaves_does_not_lock_its_session(host: Host, client: httpx.Client) -> None:
    session = opened(client)
    body = {"number": 1, "code": "import time; time.sleep(0.3); 'done'"}
    with pytest.raises(httpx.ReadTimeout):
        client.post(f"{session}/cells", json=body, timeout=httpx.Timeout(LIMIT_S, read=0.1))
    assert client.post(f"{session}/cells", json=body).json()["value"] == "'done'"


def test_what_a_session_holds_is_bounded_and_free_at_its_end(client: httpx.Client) -> None:
    """A session of this host may hold 16 MiB: images by their pixels, code, the last answer."""
    picture = png((2200, 2200))
    for _ in range(2):
        session = opened(client)
        place = f"{session}/images"
        assert client.put(f"{place}/image_1", content=picture, headers=PNG).status_code == 200
        assert client.put(f"{place}/image_1", content=picture, headers=PNG).status_code == 200
        assert client.put(f"{place}/image_2", content=picture, headers=PNG).status_code == 413
        code = {"number": 1, "code": "1 #" + "x" * 3_000_000}
        assert client.post(f"{session}/cells", json=code).status_code == 413
        small = {"number": 1, "code": "image_1.size"}
        assert client.post(f"{session}/cells", json=small).json()["value"] == "(2200, 2200)"
        client.delete(session)


def test_without_owners_and_without_a_bound_it_is_otherwise() -> None:
    one, other = Client("10.0.0.1", "10.0.0.1"), Client("10.0.0.2", "10.0.0.2")
    options = ServeOptions(session_mib=1)
    for off in (frozenset[str](), frozenset({"owner", "held"})):
        guests = Guests(options, Sandbox(options.sandbox), off=off)
        guest = guests.admit("name", one)
        with nullcontext() if off else pytest.raises(Refusal, match="no such session"):
            assert guests.find("name", other) is guest
        with nullcontext() if off else pytest.raises(Refusal, match="may hold 1 MiB"):
            guests.hold(guest, "image_1", 2 << 20)


def test_a_machine_that_cannot_isolate_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def choose(*_: object) -> None:
        raise ConfigError("sandbox: this machine cannot isolate")

    monkeypatch.setattr("saccade.sandbox.pool.choose", choose)
    with pytest.raises(ConfigError, match="cannot isolate"):
        serve(ServeOptions(port=0))


async def test_a_name_that_a_client_chose_is_never_that_of_another() -> None:
    """Addresses of IPv6 hold colons, and so may names: the two were put together with one."""
    server = SandboxServer(ServeOptions(session_mib=1, sessions_per_client=1)).application()

    def client(address: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(server, client=(address, 1))
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")

    too_much = {"code": "1 #" + "x" * (2 << 20)}
    async with client("2001:db8::1:2") as one, client("2001:db8::1") as other:
        reply = await one.post("/jupyter_sandbox", json={"session_id": "x", **too_much})
        assert reply.status_code == 413, "the session is there, and the code was too much for it"
        await other.post("/clear_session", json={"session_id": "2:x"})
        reply = await one.post("/jupyter_sandbox", json={"session_id": "y", **too_much})
        assert reply.status_code == 429, "the session is still there"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", "/v1/health", 405), ("OPTIONS", "/v1/health", 405), ("TRACE", "/v1/health", 405),
        ("PATCH", "/v1/sessions", 405), ("GET", "/run_code", 405), ("POST", "/v1/health/", 404),
        ("GET", "/v1//health", 404), ("GET", "/%76%31/health", 404), ("GET", "/v1/health%00", 404),
        ("GET", "/<script>x", 404), ("GET", "/secret%1b[2J%0d%0aX:%20y", 404),
        ("GET", "/" + "a" * 9000, 414),
        ("DELETE", "/v1/sessions/..%2f..%2fhealth", 404), ("DELETE", "/v1/sessions/a:b", 404),
        ("GET", "/v1/health?x=1", 400),
    ],
)  # fmt: skip
def test_addresses_are_answered_without_being_repeated(
    host: Host, client: httpx.Client, method: str, path: str, status: int
) -> None:
    reply = client.request(method, path)
    assert reply.status_code == status
    assert "location" not in reply.headers
    for word in ("script", "secret", "aaaa"):
        assert word not in reply.text + str(reply.headers) + host.logged
