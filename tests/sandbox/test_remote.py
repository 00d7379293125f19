"""Sandboxes over HTTP: real server processes, the formats of others, and hosts that die."""

import asyncio
import base64
import io
import re
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from importlib import metadata

import httpx
import pytest
from PIL import Image as PILImage
from serving import Host, hosted
from unhurried import UNHURRIED
from waiting import LIMIT_S

from saccade.client import post
from saccade.client.failures import Response
from saccade.errors import ConfigError, ServiceError
from saccade.images.geometry import CoordSpace, PixelBudget
from saccade.images.image import Image
from saccade.sandbox.cells import Cell
from saccade.sandbox.hosts import HostLost, cell_of
from saccade.sandbox.libraries import installed
from saccade.sandbox.options import RemoteOptions, SandboxOptions
from saccade.sandbox.remote import RemoteSandbox
from saccade.serve.sandbox import SandboxServer, ServeOptions
from saccade.tools.python import Python, PythonOptions
from saccade.types import ToolContext

TOKEN = "a-token-of-the-tests"
UNUSED = "http://127.0.0.1:1"
"""Nobody listens there."""

PHOTO = PILImage.new("RGB", (40, 30), (10, 200, 30))
CONTEXT = ToolContext(
    task_id="t",
    images=[Image.from_pixels(PHOTO)],
    coords=CoordSpace.ABSOLUTE,
    observation=PixelBudget(),
    seed=0,
)


UNHURRIED_HOST = tuple(f"sandbox.limits.{name}={LIMIT_S}" for name in ("seconds", "grace_seconds"))


def served(*settings: str, token: str = "") -> AbstractContextManager[Host]:
    """A host whose cells are given time."""
    return hosted(*UNHURRIED_HOST, *settings, token=token)


@asynccontextmanager
async def client_in_process(options: ServeOptions) -> AsyncIterator[httpx.AsyncClient]:
    """A server without a process of its own: only its sandbox is one."""
    application = SandboxServer(options).application()
    transport = httpx.ASGITransport(application)
    async with (
        application.router.lifespan_context(application),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
    ):
        yield client


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with served() as process:
        yield process


def at(*hosts: Host, protocol: str = "saccade", **options: float) -> RemoteSandbox:
    urls = tuple(host.url for host in hosts)
    patient = {"cooldown_seconds": 10 * LIMIT_S, **options}
    return RemoteSandbox(RemoteOptions(urls=urls, protocol=protocol, **patient))  # type: ignore[arg-type]


def client_of(host: Host) -> httpx.Client:
    return httpx.Client(base_url=host.url, timeout=LIMIT_S)


async def test_a_notebook_there_is_one_here(host: Host) -> None:
    async with at(host).notebook(seed=3) as notebook:
        await notebook.give("image_1", PHOTO)
        cell = await notebook.run("x = 41\nprint('hi')\nimage_1.size, image_1.getpixel((0, 0))")
        assert (cell.status, cell.stdout, cell.value) == ("ok", "hi\n", "((40, 30), (10, 200, 30))")
        cell = await notebook.run("x + 1\nimage_1.crop((0, 0, 5, 5))")
        assert [image.size for image in cell.images] == [(5, 5)]
        assert cell.images[0].getpixel((1, 1)) == (10, 200, 30)
        failed = await notebook.run("1 / 0")
        assert (failed.status, "ZeroDivisionError" in (failed.error or "")) == ("error", True)
        late = await notebook.run("while True: pass", seconds=0.3)
        assert late.status == "timeout"
        killed = await notebook.run("import os; os._exit(1)")
        assert killed.status == "killed"
        assert (await notebook.run("x")).value == "41"


@pytest.mark.parametrize("after_kill", ["replay", "fresh"])
async def test_images_still_arrive_after_a_killed_cell(host: Host, after_kill: str) -> None:
    async with at(host).notebook(after_kill=after_kill) as notebook:  # type: ignore[arg-type]
        await notebook.give("image_1", PHOTO)
        await notebook.run("x = 1")
        assert (await notebook.run("import os; os._exit(1)")).status == "killed"
        await notebook.give("image_2", PHOTO)
        cell = await notebook.run("image_1.size == image_2.size, 'x' in globals()")
        assert cell.value == f"(True, {after_kill == 'replay'})", cell.error


async def test_a_repeated_request_runs_once(host: Host) -> None:
    async with httpx.AsyncClient(base_url=host.url, timeout=LIMIT_S) as client:
        name = (await client.post("/v1/sessions", json={})).json()["id"]
        body = {"number": 1, "code": "n = globals().get('n', 0) + 1\nn"}
        replies = [await client.post(f"/v1/sessions/{name}/cells", json=body) for _ in range(2)]
        assert [reply.json()["value"] for reply in replies] == ["1", "1"]
        body = {"number": 2, "code": "n"}
        assert (await client.post(f"/v1/sessions/{name}/cells", json=body)).json()["value"] == "1"
        stale = await client.post(f"/v1/sessions/{name}/cells", json={"number": 1, "code": "n"})
        assert stale.status_code == 409
        await client.delete(f"/v1/sessions/{name}")
        assert (await client.post(f"/v1/sessions/{name}/cells", json=body)).status_code == 404


def test_a_cell_draws_alike_at_each_host_whatever_ran_there_before(host: Host) -> None:
    drawn = []
    with client_of(host) as client:
        for cells in ({1: "1", 2: "x = 1", 5: "import os; os.urandom(8)"}, {5: "os.urandom(8)"}):
            name = client.post("/v1/sessions", json={"seed": 3}).json()["id"]
            for number, code in cells.items():
                body = {"number": number, "code": f"import os\n{code}"}
                cell = client.post(f"/v1/sessions/{name}/cells", json=body).json()
            drawn.append(cell["value"])
            client.delete(f"/v1/sessions/{name}")
    assert drawn[0] == drawn[1] is not None


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("POST", "/v1/sessions", b"{", 422),
        ("POST", "/v1/sessions", b'{"seeed": 1}', 422),
        ("POST", "/v1/sessions/nobody/cells", b"{}", 404),
        ("PUT", "/v1/sessions/nobody/images/image_1", b"", 404),
        ("POST", "/jupyter_sandbox", b'{"code": "1"}', 422),
        ("POST", "/run_code", b'{"code": "1"}', 422),
        ("GET", "/etc/passwd", b"", 404),
    ],
)
def test_what_is_no_request_is_answered(
    host: Host, method: str, path: str, content: bytes, status: int
) -> None:
    kind = {"Content-Type": "image/png" if method == "PUT" else "application/json"}
    with client_of(host) as client:
        reply = client.request(method, path, content=content, headers=kind)
        assert reply.status_code == status


def test_images_must_be_pngs_of_limited_size(host: Host) -> None:
    jpeg, huge = io.BytesIO(), io.BytesIO()
    PHOTO.save(jpeg, "JPEG")
    PILImage.new("1", (9_000, 9_000)).save(huge, "PNG")
    with client_of(host) as client:
        place = f"/v1/sessions/{client.post('/v1/sessions', json={}).json()['id']}/images"
        assert client.put(f"{place}/image_1", content=jpeg.getvalue()).status_code == 422
        assert client.put(f"{place}/..%2Fx", content=b"").status_code in (404, 422)
        assert client.put(f"{place}/image_1", content=huge.getvalue()).status_code == 413


async def test_a_body_of_limited_size_is_read() -> None:
    async with client_in_process(ServeOptions(body_mib=1)) as client:
        name = (await client.post("/v1/sessions", json={})).json()["id"]
        place = f"/v1/sessions/{name}/images/image_1"
        assert (await client.put(place, content=b"x" * (2 << 20))).status_code == 413


def test_off_the_loopback_a_token_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SACCADE_SANDBOX_TOKEN", raising=False)
    with pytest.raises(ConfigError, match=r"0\.0\.0\.0 can be reached from outside"):
        SandboxServer(ServeOptions(host="0.0.0.0"))


async def test_the_token_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(token=TOKEN) as process:
        with client_of(process) as client:
            for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": TOKEN}):
                assert client.get("/v1/health", headers=headers).status_code == 401
        with pytest.raises(ServiceError, match="token is missing or wrong"):
            async with at(process).notebook() as notebook:
                await notebook.run("1")
        monkeypatch.setenv("SACCADE_SANDBOX_TOKEN", TOKEN)
        async with at(process).notebook() as notebook:
            assert (await notebook.run("1 + 1")).value == "2"


async def test_sessions_are_limited_and_a_full_host_says_when_to_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = ("sandbox.max_sessions=3", "sessions_per_client=2")
    with served(*settings) as process, client_of(process) as client:
        replies = [client.post("/v1/sessions", json={}) for _ in range(3)]
        assert [reply.status_code for reply in replies] == [201, 201, 429]
        assert replies[2].headers["retry-after"] == "1"
        assert "2 sessions are yours" in replies[2].json()["error"]

        refused, answer = asyncio.Event(), post.unpacked

        async def watched(*request: object, **bounds: int) -> Response:
            answered = await answer(*request, **bounds)  # type: ignore[arg-type]
            if answered.status == 429:
                refused.set()
            return answered

        async def later() -> Cell:
            async with at(process).notebook() as notebook:
                return await notebook.run("1 + 1")

        monkeypatch.setattr(post, "unpacked", watched)
        cell = asyncio.create_task(later())
        await refused.wait()
        client.delete(f"/v1/sessions/{replies[0].json()['id']}")
        assert (await cell).value == "2"


async def test_a_session_that_nobody_uses_ends() -> None:
    async with client_in_process(ServeOptions(idle_seconds=0.1)) as client:
        name = (await client.post("/v1/sessions", json={})).json()["id"]
        async with asyncio.timeout(LIMIT_S):
            while (await client.get("/v1/health")).json()["sessions"]:
                await asyncio.sleep(0.01)
        assert (await client.delete(f"/v1/sessions/{name}")).status_code == 404


async def test_on_a_signal_running_cells_may_end() -> None:
    with served(f"drain_seconds={LIMIT_S}") as process:
        async with at(process).notebook() as notebook:
            await notebook.run("x = 1")
            slow = asyncio.create_task(notebook.run("import time; time.sleep(1.5); x"))
            async with (
                httpx.AsyncClient(base_url=process.url, timeout=LIMIT_S) as client,
                asyncio.timeout(LIMIT_S),
            ):
                while not (await client.get("/v1/health")).json()["waiting"]:
                    await asyncio.sleep(0.01)
            stopped = asyncio.create_task(asyncio.to_thread(process.end, signal.SIGTERM))
            assert (await slow).value == "1"
            await stopped


async def test_a_dead_host_takes_only_its_own_notebooks_with_it() -> None:
    """Two pools under load; one is killed. Its notebooks go on at the other, counted."""
    with ExitStack() as stack:
        first, second = (stack.enter_context(served()) for _ in range(2))
        remote = at(first, second)

        async def episode(
            number: int, ready: asyncio.Event, go: asyncio.Event
        ) -> tuple[str | None, int]:
            async with remote.notebook() as notebook:
                await notebook.give("image_1", PHOTO)
                await notebook.run(f"x = {number}")
                where = notebook.url
                ready.set()
                await go.wait()
                for _ in range(5):
                    await notebook.run("x = x + 1\nimport time; time.sleep(0.02)")
                    if where == first.url:
                        under_way.set()
                cell = await notebook.run("x, image_1.size")
                assert cell.value == f"({number + 5}, (40, 30))"
                return where, notebook.restarts

        started, go = [asyncio.Event() for _ in range(12)], asyncio.Event()
        under_way = asyncio.Event()
        tasks = [asyncio.create_task(episode(n, started[n], go)) for n in range(12)]
        await asyncio.gather(*(event.wait() for event in started))
        go.set()
        await under_way.wait()
        first.end(signal.SIGKILL)
        done = await asyncio.gather(*tasks)
        there = [restarts for where, restarts in done if where == first.url]
        beside = [restarts for where, restarts in done if where == second.url]
        assert len(there) == len(beside) == 6
        assert set(beside) == {0}
        assert set(there) == {1}
        assert remote.moved == 6
        async with remote.notebook() as notebook:  # new ones avoid the dead host
            await notebook.run("1")
            assert notebook.url == second.url
        second.end(signal.SIGKILL)
        with pytest.raises(ServiceError, match="none of 2 hosts answers"):
            async with remote.notebook() as notebook:
                await notebook.run("1")


async def test_without_replay_variables_are_lost_with_their_host() -> None:
    with ExitStack() as stack:
        first, second = (stack.enter_context(served()) for _ in range(2))
        remote = at(first, second)
        async with remote.notebook(after_kill="fresh") as notebook:
            await notebook.give("image_1", PHOTO)
            await notebook.run("x = 1")
            (first if notebook.url == first.url else second).end()
            cell = await notebook.run("'x' in globals(), image_1.size")
            assert cell.value == "(False, (40, 30))"


def test_requests_of_deepeyesv2_are_understood(host: Host) -> None:
    """Fields: DeepEyesV2, deepeyesv2.py, request and reply of its sandbox; its server v1."""

    def ask(code: str, session: str = "abc") -> dict:
        body = {"session_id": session, "code": code, "timeout": 200}
        reply = httpx.post(f"{host.url}/jupyter_sandbox", json=body, timeout=LIMIT_S)
        assert reply.status_code == 200
        return reply.json()

    first = ask("x = 5\nprint('hi')\nx")
    assert set(first) == {"output", "status", "execution_time"}
    assert set(first["output"]) == {"result", "stdout", "stderr", "images", "debug_info"}
    assert (first["status"], first["output"]["stdout"], first["output"]["result"]) == (
        "success",
        "hi\n",
        "5",
    )
    failed = ask("x / 0")  # an exception is a success there, with its text in stderr
    assert failed["status"] == "success"
    assert "ZeroDivisionError" in failed["output"]["stderr"]
    plot = ask("import matplotlib.pyplot as plt\nplt.plot([1])\nplt.show()")
    with PILImage.open(io.BytesIO(base64.b64decode(plot["output"]["images"][0]))) as figure:
        assert figure.format == "PNG"
    assert ask("import os; os._exit(1)")["status"] == "error"
    assert ask("x", session="other")["output"]["stderr"].startswith("Traceback")
    with client_of(host) as client:
        client.post("/clear_session", json={"session_id": "abc"})
    assert "NameError" in ask("x")["output"]["stderr"]


def test_requests_of_sandbox_fusion_are_understood(host: Host) -> None:
    """Fields: SandboxFusion, sandbox/server/sandbox_api.py, RunCodeRequest and RunCodeResponse."""

    def ask(**body: object) -> dict:
        reply = httpx.post(
            f"{host.url}/run_code", json={"language": "python", **body}, timeout=LIMIT_S
        )
        assert reply.status_code == 200
        return reply.json()

    fine = ask(code="print('hello')", compile_timeout=10, run_timeout=10, memory_limit_MB=-1,
               stdin=None, files={}, fetch_files=[])  # fmt: skip
    assert set(fine) == {
        "status",
        "message",
        "compile_result",
        "run_result",
        "executor_pod_name",
        "files",
    }
    assert fine["status"] == "Success"
    assert (fine["run_result"]["status"], fine["run_result"]["stdout"]) == ("Finished", "hello\n")
    assert fine["run_result"]["return_code"] == 0
    failed = ask(code="1 / 0")
    assert (failed["status"], failed["run_result"]["return_code"]) == ("Failed", 1)
    assert "ZeroDivisionError" in failed["run_result"]["stderr"]
    late = ask(code="while True: pass", run_timeout=0.3)
    assert (late["status"], late["run_result"]["status"]) == ("Failed", "TimeLimitExceeded")
    for other in ({"language": "cpp", "code": "int"}, {"code": "1", "files": {"a": "eA=="}}):
        assert ask(**other)["status"] == "SandboxError"


async def test_our_client_speaks_to_theirs(host: Host) -> None:
    async with at(host, protocol="deepeyes_v2").notebook() as notebook:
        await notebook.give("image_1", PHOTO)
        cell = await notebook.run("y = image_1.size\nprint(y)\nimage_1")
        assert (cell.stdout, len(cell.images)) == ("(40, 30)\n", 1)
        assert "ZeroDivisionError" in (await notebook.run("1 / 0")).stderr
    async with at(host, protocol="sandbox_fusion").notebook() as notebook:
        assert (await notebook.run("x = 2\nprint('first')")).stdout == "first\n"
        assert (await notebook.run("print(x * 21)")).stdout == "42\n"
        failed = await notebook.run("x / 0")
        assert (failed.status, "ZeroDivisionError" in (failed.error or "")) == ("error", True)
        with pytest.raises(ConfigError, match="cannot be given images"):
            await notebook.give("image_1", PHOTO)


def python_at(host: Host, **options: object) -> Python:
    remote = RemoteOptions.model_validate({"urls": [host.url], **options})
    return Python(PythonOptions(remote=remote, sandbox=SandboxOptions(limits=UNHURRIED)))


async def test_the_python_tool_runs_its_cells_there(host: Host) -> None:
    tool = python_at(host)
    await tool.start()
    said = tool.facts["hosts"]
    assert isinstance(said, dict)
    assert said[host.url]["mode"] in ("namespaces", "landlock")  # type: ignore[index, call-overload]
    async with tool.open(CONTEXT) as call:
        (text,) = (await call({"code": "image_1.size"})).content
        assert "(40, 30)" in str(text)
    await tool.close()


async def test_a_host_that_is_not_what_the_fingerprint_says_is_refused(host: Host) -> None:
    numpy = metadata.version("numpy")
    other = python_at(host, libraries={**installed(), "numpy": "1.0"})
    with pytest.raises(ConfigError, match=rf"libraries\.numpy is {re.escape(numpy)}, not 1\.0\."):
        await other.start()
    remote = RemoteOptions(urls=(host.url,))
    shorter = Python(PythonOptions(remote=remote))
    with pytest.raises(ConfigError, match=r"limits\.seconds is 120\.0, not 10\.0\."):
        async with shorter.open(CONTEXT) as call:  # not started: the first session asks
            await call({"code": "1"})
    assert python_at(host, libraries=installed()).spec == python_at(host).spec
    promised = RemoteOptions(urls=(host.url,))
    numpy_alone = Python(
        PythonOptions(
            remote=promised, sandbox=SandboxOptions(limits=UNHURRIED), libraries=("numpy",)
        )
    )
    await numpy_alone.start()  # what a host has beyond that does no harm
    await numpy_alone.close()


async def test_hosts_that_do_not_answer_are_left_out_at_the_start(host: Host) -> None:
    tool = python_at(host, urls=[UNUSED, host.url])
    await tool.start()
    assert set(tool.facts["hosts"]) == {host.url}  # type: ignore[arg-type]
    with pytest.raises(ServiceError, match="none of 1 hosts answers"):
        await python_at(host, urls=[UNUSED]).start()


@pytest.mark.parametrize(
    "answer",
    [
        {}, {"status": "superb"}, {"status": "ok", "stdout": 3}, {"status": "ok", "images": "x"},
        {"status": "ok", "images": ["!"]}, {"status": "ok", "images": ["eA=="]},
        {"status": "ok", "images": ["eA=="] * 50}, {"status": "ok", "notes": 1},
    ],
)  # fmt: skip
def test_a_host_is_not_believed(answer: dict) -> None:
    with pytest.raises(HostLost):
        cell_of(answer)


def test_text_of_a_host_is_cut_and_cleaned() -> None:
    cell = cell_of({"status": "ok", "stdout": "a\x1b[2J" + "x" * 200_000, "value": "\ud800"})
    assert cell.stdout.startswith("a[2Jx")
    assert len(cell.stdout) < 110_000
    assert cell.value == "?"
