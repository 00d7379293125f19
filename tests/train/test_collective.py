"""Rounds: as many generation calls everywhere, tools side by side, nothing waits for ever."""

import asyncio
import logging
import multiprocessing
import socket
import threading
from collections.abc import Callable, Sequence

import pytest
import torch
import torch.distributed as dist
from building import CustomTool, a_task, call_text
from processes import FORKS
from scripted import Alone
from waiting import LIMIT_S, Clock

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
    Trajectory,
)

CALL = call_text("wait")


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


def environment(work: Callable[[], object] = lambda: None, **limits: float) -> Environment:
    tool = CustomTool(work, name="wait")
    return Environment(DeepEyes(), [tool], limits=Limits(max_turns=8, **limits))


def policy_of(script: Script) -> RoundPolicy:
    return RoundPolicy(script, Alone(), timeout_s=60.0)


async def played(
    policy: RoundPolicy, env: Environment, n: int, *, seed: int = 0
) -> tuple[Trajectory, ...]:
    task = a_task(answer="1")
    return await policy.run(
        [rollout(policy, env, task, sample=sample, seed=seed) for sample in range(n)]
    )


async def test_a_round_is_one_call_for_all_that_wait() -> None:
    script = Script(turns=3)
    done = await played(policy_of(script), environment(), 8)
    assert script.calls == [8, 8, 8]
    assert {t.stop for t in done} == {StopReason.ANSWER}


async def test_tools_of_all_episodes_run_at_the_same_time() -> None:
    all_are_inside = asyncio.Barrier(16)
    async with asyncio.timeout(LIMIT_S):  # one after the other they would never pass
        await played(policy_of(Script(turns=2)), environment(all_are_inside.wait), 16)


async def test_an_episode_that_times_out_leaves_the_round() -> None:
    script, clock = Script(turns=2), Clock()

    async def late() -> None:
        clock.forward(600)
        await asyncio.sleep(LIMIT_S)

    done = await played(policy_of(script), environment(late, max_seconds=600), 2)
    assert [t.stop for t in done] == [StopReason.TIMEOUT] * 2
    assert script.calls == [2]


async def test_a_policy_can_run_again() -> None:
    script = Script(turns=1)
    policy = policy_of(script)
    for n in (2, 3):
        assert len(await played(policy, environment(), n)) == n
    assert script.calls == [2, 3]


async def test_a_stuck_generation_is_named() -> None:
    stuck, clock = threading.Event(), Clock()

    class Stuck(Script):
        def generate(self, requests: Sequence[TurnRequest]) -> list[Completion]:
            clock.forward(60)
            stuck.wait(LIMIT_S)
            return []

    with pytest.raises(ServiceError, match=r"a generation of 2 turns did not come back"):
        await played(policy_of(Stuck(turns=1)), environment(), 2)
    stuck.set()


def until_named(caplog: pytest.LogCaptureFixture) -> Callable[[], object]:
    """A tool that comes back only when it has been named as late."""
    clock = Clock()

    async def work() -> None:
        while "have not come back" not in caplog.text:
            clock.forward(60)
            await asyncio.sleep(0.001)

    return work


async def test_a_stuck_tool_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        await played(policy_of(Script(turns=2)), environment(until_named(caplog)), 1)
    assert "tools have not come back for 60 s: t:0 after turn 1" in caplog.text


async def test_only_what_is_still_under_way_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """One episode is over, the other's tool has not come back."""

    class OneCalls(Script):
        def generate(self, requests: Sequence[TurnRequest]) -> list[Completion]:
            texts = ["<answer>1</answer>", CALL] if len(requests) == 2 else ["<answer>1</answer>"]
            return [Completion(text=text) for text in texts]

    with caplog.at_level(logging.WARNING):
        done = await played(policy_of(OneCalls(turns=2)), environment(until_named(caplog)), 2)
    assert {t.stop for t in done} == {StopReason.ANSWER}
    assert "t:1 after turn 1" in caplog.text
    assert "t:0" not in caplog.text


async def test_an_error_of_a_generation_ends_the_run() -> None:
    class Broken(Script):
        def generate(self, requests: Sequence[TurnRequest]) -> list[Completion]:
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        await played(policy_of(Broken(turns=1)), environment(), 2)


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
    policy = RoundPolicy(script, Group(), timeout_s=LIMIT_S)
    done = asyncio.run(played(policy, environment(lambda: asyncio.sleep(0.3 * rank)), 4))
    results.put((rank, len(done), script.calls))
    dist.barrier()
    dist.destroy_process_group()


def test_every_rank_makes_the_same_number_of_calls() -> None:
    """One rank with one turn, one with four turns and slow tools; a barrier in the call."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    results = FORKS.Queue()
    ranks = [
        FORKS.Process(target=_rank, args=(rank, port, turns, results), daemon=True)
        for rank, turns in ((0, 1), (1, 4))
    ]
    for process in ranks:
        process.start()
    counts = sorted(results.get(timeout=LIMIT_S) for _ in ranks)
    for process in ranks:
        process.join(timeout=LIMIT_S)
        assert process.exitcode == 0
    assert counts == [(0, 4, [4, 0, 0, 0]), (1, 4, [4, 4, 4, 4])]
