"""Rounds: as many generation calls everywhere, tools side by side, nothing waits for ever."""

import asyncio
import logging
import multiprocessing
import socket
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import torch
import torch.distributed as dist
from pydantic import JsonValue
from scripted import Alone

from saccade.dialects.deepeyes import DeepEyes
from saccade.env import Environment
from saccade.errors import ServiceError
from saccade.models.generate import TurnRequest
from saccade.render.qwen_vl import Rendered
from saccade.rollout import rollout
from saccade.train.collective import RoundPolicy
from saccade.types import (
    Completion,
    Limits,
    ModelInfo,
    Sampling,
    StopReason,
    Task,
    ToolContext,
    ToolFunction,
    ToolOutput,
    ToolSpec,
    Trajectory,
)

CALL = '<tool_call>{"name": "wait", "arguments": {}}</tool_call>'


class Wait:
    """A tool that takes its time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(name="wait", description="waits", parameters={})

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    @asynccontextmanager
    async def open(self, context: ToolContext) -> AsyncIterator[ToolFunction]:
        async def call(arguments: dict[str, JsonValue]) -> ToolOutput:
            await asyncio.sleep(self._seconds)
            return ToolOutput(("waited",))

        yield call


class Script:
    """Writes `turns` turns an episode, the last one an answer; one call for all that wait."""

    info = ModelInfo()

    def __init__(self, turns: int) -> None:
        self.turns = turns
        self.calls: list[int] = []

    def request(self, trajectory: Trajectory, sampling: Sampling) -> TurnRequest:
        ids = [len(trajectory.turns)]
        return TurnRequest(Rendered(ids, [False], [0.0], (), 1), sampling, 8)

    def count_tokens(self, trajectory: Trajectory) -> int:
        return 1

    def generate(self, requests: Sequence[TurnRequest]) -> list[Completion]:
        self.calls.append(len(requests))
        done = (request.rendered.ids[0] + 1 >= self.turns for request in requests)
        return [Completion(text="<answer>1</answer>" if d else CALL) for d in done]


def environment(seconds: float, **limits: float) -> Environment:
    return Environment(DeepEyes(), [Wait(seconds)], limits=Limits(max_turns=8, **limits))


def policy_of(script: Script, *, timeout_s: float = 60.0) -> RoundPolicy:
    return RoundPolicy(script, Alone(), timeout_s=timeout_s)


async def played(
    policy: RoundPolicy, env: Environment, n: int, *, seed: int = 0
) -> tuple[Trajectory, ...]:
    task = Task(id="t", prompt=("?",), answer="1")
    return await policy.run(
        [rollout(policy, env, task, sample=sample, seed=seed) for sample in range(n)]
    )


async def test_a_round_is_one_call_for_all_that_wait() -> None:
    script = Script(turns=3)
    done = await played(policy_of(script), environment(0.01), 8)
    assert script.calls == [8, 8, 8]
    assert {t.stop for t in done} == {StopReason.ANSWER}


async def test_tools_of_all_episodes_run_at_the_same_time() -> None:
    started = time.monotonic()
    await played(policy_of(Script(turns=2)), environment(0.4), 16)
    assert time.monotonic() - started < 1.6  # one after the other: 6.4


async def test_an_episode_that_times_out_leaves_the_round() -> None:
    script = Script(turns=2)
    done = await played(policy_of(script), environment(30, max_seconds=0.3), 2)
    assert [t.stop for t in done] == [StopReason.TIMEOUT] * 2
    assert script.calls == [2]


async def test_a_policy_can_run_again() -> None:
    script = Script(turns=1)
    policy = policy_of(script)
    for n in (2, 3):
        assert len(await played(policy, environment(0), n)) == n
    assert script.calls == [2, 3]


async def test_a_stuck_generation_is_named() -> None:
    stuck = threading.Event()

    class Stuck(Script):
        def generate(self, requests: Sequence[TurnRequest]) -> list[Completion]:
            stuck.wait(30)
            return []

    policy = policy_of(Stuck(turns=1), timeout_s=0.2)
    started = time.monotonic()
    with pytest.raises(ServiceError, match=r"a generation of 2 turns did not come back"):
        await played(policy, environment(0), 2)
    assert time.monotonic() - started < 5
    stuck.set()


async def test_a_stuck_tool_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        await played(policy_of(Script(turns=2), timeout_s=0.1), environment(0.5), 1)
    assert "tools have not come back for 0.1 s: t:0 after turn 1" in caplog.text


async def test_only_what_is_still_under_way_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """One episode is over, the other's tool has not come back."""

    class OneCalls(Script):
        def generate(self, requests: Sequence[TurnRequest]) -> list[Completion]:
            texts = ["<answer>1</answer>", CALL] if len(requests) == 2 else ["<answer>1</answer>"]
            return [Completion(text=text) for text in texts]

    policy = policy_of(OneCalls(turns=2), timeout_s=0.1)
    with caplog.at_level(logging.WARNING):
        done = await played(policy, environment(0.3), 2)
    assert {t.stop for t in done} == {StopReason.ANSWER}
    assert "t:1 after turn 1" in caplog.text
    assert "t:0" not in caplog.text


async def test_an_error_of_a_generation_ends_the_run() -> None:
    class Broken(Script):
        def generate(self, requests: Sequence[TurnRequest]) -> list[Completion]:
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        await played(policy_of(Broken(turns=1), timeout_s=9), environment(0), 2)


class Behind(Script):
    """Its generation call is a collective: all must make it, or none comes back."""

    def generate(self, requests: Sequence[TurnRequest]) -> list[Completion]:
        dist.barrier()
        return super().generate(requests)


class Group(Alone):
    """Two processes."""

    def any(self, flag: bool) -> bool:
        votes = torch.tensor([int(flag)])
        dist.all_reduce(votes)
        return bool(votes.item())


def _rank(rank: int, port: int, turns: int, results: "multiprocessing.Queue[object]") -> None:
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    script = Behind(turns)
    policy = RoundPolicy(script, Group(), timeout_s=30)
    done = asyncio.run(played(policy, environment(0.3 * rank), 4))
    results.put((rank, len(done), script.calls))
    dist.barrier()
    dist.destroy_process_group()


def test_every_rank_makes_the_same_number_of_calls() -> None:
    """One rank with one turn, one with four turns and slow tools; a barrier in the call."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    ranks = [
        context.Process(target=_rank, args=(rank, port, turns, results), daemon=True)
        for rank, turns in ((0, 1), (1, 4))
    ]
    for process in ranks:
        process.start()
    counts = sorted(results.get(timeout=300) for _ in ranks)
    for process in ranks:
        process.join(timeout=300)
        assert process.exitcode == 0
    assert counts == [(0, 4, [4, 0, 0, 0]), (1, 4, [4, 4, 4, 4])]
