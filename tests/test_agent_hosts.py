"""The agent where its users have it: in threads, a notebook, a server, a forked process."""

import asyncio
import gc
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from building import plain
from waiting import LIMIT_S, until

from saccade import Agent
from saccade.images.image import Image
from saccade.testing import ScriptedReply, ScriptedRequest, ScriptedServer
from saccade.types import StopReason

PHOTO = plain(60, 40)


def agent_of(server: ScriptedServer, **sections: Any) -> Agent:
    return Agent(policy={"kind": "openai", "base_url": server.url, "model": "m"}, **sections)


def meeting(number: int) -> Callable[[ScriptedRequest], str]:
    """A script that answers once so many requests are there: they must be under way together."""
    together = threading.Barrier(number)

    def answer(request: ScriptedRequest) -> str:
        together.wait(LIMIT_S)
        (number,) = re.findall(r"no\. (\d)", request.text)
        return f"<answer>{number}</answer>"

    return answer


def hangs_once() -> Callable[[ScriptedRequest], ScriptedReply]:
    first = iter([ScriptedReply(fail="hang")])
    return lambda request: next(first, ScriptedReply("<answer>B</answer>"))


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "saccade-agent"]


async def test_questions_of_threads_and_coroutines_are_under_way_together() -> None:
    """In a running loop, as everything here."""
    with ScriptedServer(meeting(4)) as server, agent_of(server) as agent:
        with ThreadPoolExecutor(1) as pool:
            done = await asyncio.gather(
                agent.ask_async(PHOTO, "no. 1"),
                agent.ask_async([PHOTO, PHOTO], "no. 2"),
                asyncio.to_thread(agent.ask, PHOTO, "no. 3"),
                asyncio.wrap_future(pool.submit(agent.ask, PHOTO, "no. 4", answer="4")),
            )
        assert [trajectory.answer for trajectory in done] == ["1", "2", "3", "4"]
        assert done[3].score is not None
        assert len(threads()) == 1
    assert not threads()


async def test_no_more_than_concurrency_are_under_way_and_cancelling_ends_an_episode() -> None:
    with ScriptedServer(hangs_once()) as server:
        async with agent_of(server, concurrency=1) as agent:
            asking = asyncio.create_task(agent.ask_async(PHOTO, "?"))
            await until(lambda: len(server.requests) == 1)
            waiting = asyncio.create_task(agent.ask_async(PHOTO, "second"))
            async with agent_of(server) as another:
                assert (await another.ask_async(PHOTO, "another")).answer == "B"
            assert len(server.requests) == 2, "the second question waits for the first"
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert (await waiting).answer == "B"
            assert agent.ask(PHOTO, "?").answer == "B", "a plain call in a running loop"


async def test_closing_ends_what_is_under_way_with_an_error() -> None:
    with ScriptedServer(lambda request: ScriptedReply(fail="hang")) as server:
        agent = agent_of(server)
        asking = asyncio.create_task(agent.ask_async(PHOTO, "?"))
        in_thread = asyncio.create_task(asyncio.to_thread(agent.ask, PHOTO, "?"))
        await until(lambda: len(server.requests) == 2)
        await agent.aclose()
        for question in (asking, in_thread):
            with pytest.raises(RuntimeError, match="closed"):
                await question
    agent.close()
    with pytest.raises(RuntimeError, match="closed"):
        agent.ask(PHOTO, "?")
    with agent_of(server):
        pass  # one that was never asked


OWN = """
import asyncio
from saccade.types import Completion, ModelInfo

class Policy:
    info = ModelInfo()
    agent = None

    async def act(self, trajectory, sampling):
        process = await asyncio.create_subprocess_exec("echo", "x", stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
        inner = ""
        if trajectory.prompt[-1].text.startswith("nested"):
            inner = (await self.agent.ask_async([], "q")).answer
            try:
                self.agent.ask([], "q")
            except RuntimeError as error:
                inner += f" {error}"
        return Completion(text=f"<answer>{out.decode().strip()} {inner}</answer>")

    def count_tokens(self, trajectory):
        return None

    async def close(self):
        pass
"""


def test_its_parts_may_start_processes_and_ask_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "policy_of_ones_own.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    with Agent(policy={"kind": "policy_of_ones_own:Policy"}) as agent:
        sys.modules["policy_of_ones_own"].Policy.agent = agent
        done = agent.ask([], "nested")
    assert re.fullmatch(r"x x agent: .*would wait for itself.*ask_async.*", done.answer or "")


def test_one_that_is_dropped_ends_its_thread() -> None:
    with ScriptedServer(lambda request: "<answer>B</answer>") as server:
        agent = agent_of(server)
        agent.ask(PHOTO, "?")
        (thread,) = threads()
        del agent
        gc.collect()
        thread.join(LIMIT_S)
        assert not thread.is_alive()


FORGOTTEN = """
import os, sys
from saccade import Agent

agent = Agent(policy={"kind": "openai", "base_url": sys.argv[1], "model": "m"})
print(agent.ask([], "q").answer, flush=True)
child = os.fork()
if child == 0:
    try:
        agent.ask([], "q")
    except RuntimeError as error:
        print(error, flush=True)
    agent.close()
    sys.exit()
os.waitpid(child, 0)
print(agent.ask([], "q").answer)
"""


def test_a_process_ends_with_an_open_agent_and_a_forked_one_is_told() -> None:
    with ScriptedServer(lambda request: "<answer>B</answer>") as server:
        command = [sys.executable, "-W", "always", "-c", FORGOTTEN, server.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    first, told, last = done.stdout.splitlines()
    assert (first, last) == ("B", "B")
    assert "make an agent in each process" in told
    assert done.stderr == ""


@contextmanager
def served(app: object) -> Iterator[str]:
    """The address of an ASGI application behind a real server."""
    uvicorn = pytest.importorskip("uvicorn", reason="install the extra 'serve'")
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield "http://{}:{}".format(*listener.getsockname())
    server.should_exit = True
    thread.join()
    listener.close()


async def test_a_server_answers_requests_side_by_side() -> None:
    applications = pytest.importorskip("starlette.applications", reason="install 'serve'")
    responses, routing = (
        pytest.importorskip(f"starlette.{name}") for name in ("responses", "routing")
    )
    with ScriptedServer(meeting(3)) as chat:
        agents: list[Agent] = []

        @asynccontextmanager
        async def lifespan(app: object) -> AsyncIterator[None]:
            async with agent_of(chat) as agent:
                agents.append(agent)
                yield

        async def ask(request: Any) -> Any:
            photo = Image.from_bytes(await request.body())
            done = await agents[0].ask_async(photo, request.query_params["q"])
            return responses.JSONResponse({"answer": done.answer})

        app = applications.Starlette(
            routes=[routing.Route("/ask", ask, methods=["POST"])], lifespan=lifespan
        )
        with served(app) as url:
            async with httpx.AsyncClient(timeout=LIMIT_S, trust_env=False) as client:
                body = PHOTO.source.encoded()
                requests = (
                    client.post(f"{url}/ask", params={"q": f"no. {n}"}, content=body) for n in "123"
                )
                replies = await asyncio.gather(*requests)
    assert [reply.json()["answer"] for reply in replies] == ["1", "2", "3"]
    assert not threads(), "the end of the server closed the agent"


CELLS = (
    """
import os, signal
from saccade import Agent
agent = Agent(policy={"kind": "openai", "base_url": URL, "model": "m"}, concurrency=1)
agent.ask([], "the first one hangs")
""",
    """
one = agent.ask([], "q")
two = await agent.ask_async([], "q")
print(one.answer, two.answer, two.stop)
one
""",
)


async def test_a_notebook_asks_shows_and_is_interrupted() -> None:
    manager_of = pytest.importorskip(
        "jupyter_client.manager", reason="install the extra 'peers'"
    ).AsyncKernelManager
    pytest.importorskip("ipykernel", reason="install the extra 'peers'")
    with ScriptedServer(hangs_once()) as server:
        manager = manager_of(kernel_name="python3")
        await manager.start_kernel(env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
        client = manager.client()
        client.start_channels()
        try:
            await client.wait_for_ready(timeout=LIMIT_S)
            # Otherwise the kernel aborts what reaches it in the moment after the interrupted cell.
            asked = client.execute(f"URL = {server.url!r}" + CELLS[0], stop_on_error=False)
            await until(lambda: len(server.requests) == 1)
            await manager.interrupt_kernel()
            reply = await client.get_shell_msg(timeout=LIMIT_S)
            while reply["parent_header"]["msg_id"] != asked:
                reply = await client.get_shell_msg(timeout=LIMIT_S)
            assert reply["content"]["ename"] == "KeyboardInterrupt"
            shown: list[Any] = []
            reply = await client.execute_interactive(
                CELLS[1], timeout=LIMIT_S, output_hook=shown.append
            )
            assert reply["content"]["status"] == "ok"
        finally:
            client.stop_channels()
            await manager.shutdown_kernel(now=True)
    content = {message["msg_type"]: message["content"] for message in shown}
    assert content["stream"]["text"] == f"B B {StopReason.ANSWER}\n"
    assert content["execute_result"]["data"]["text/html"].startswith("<div")
