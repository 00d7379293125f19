"""A provider that is down, slow or rate-limited: asked again, then the episode is aborted.

Nothing of it is ever a score, an empty result or an invented one.
"""

import asyncio

import pytest
from building import a_task, call_text, plain
from searching import Answer, Scripted, a_result_of, found
from waiting import LIMIT_S, Clock

from saccade.client.failures import Retry
from saccade.dialects.deepeyes import DeepEyes
from saccade.env import Environment
from saccade.errors import ServiceError, ServiceTimeout
from saccade.policies.replay import ReplayPolicy
from saccade.rewards import RewardOptions
from saccade.rollout import rollout
from saccade.search.found import Query, Results
from saccade.search.requester import RequestOptions
from saccade.tools.search.image import ImageSearch, ImageSearchOptions
from saccade.tools.search.text import TextSearch, TextSearchOptions
from saccade.types import StopReason, Tool, Trajectory

QUICK = RequestOptions(max_retries=2, backoff_s=1e-6)
DOWN, LIMITED = ServiceError("503"), Retry(ServiceError("429"), 1e-6)
FOUND = found(a_result_of("Bath"))


async def play(
    provider: Scripted, requests: RequestOptions = QUICK, *, kind: str = "text"
) -> Trajectory:
    tool: Tool = TextSearch(TextSearchOptions(requests=requests), provider=provider)
    turn = call_text("text_search", query="x")
    if kind == "image":
        tool = ImageSearch(ImageSearchOptions(requests=requests), provider=provider)
        turn = call_text("image_search")
    task = a_task(plain(60, 60), "Where?", answer="Bath")
    policy = ReplayPolicy({"t": (turn, "<answer>Bath</answer>")})
    reward = RewardOptions(preset="deepeyes").make()
    return await rollout(policy, Environment(DeepEyes(), [tool]), task, reward=reward)


@pytest.mark.parametrize("kind", ["text", "image"])
@pytest.mark.parametrize("failures", [[DOWN], [LIMITED], [DOWN, LIMITED]], ids=len)
async def test_a_provider_that_comes_back_costs_retries(failures: list[Answer], kind: str) -> None:
    provider = Scripted({"x": [*failures, FOUND], "": [*failures, FOUND]})
    done = await play(provider, kind=kind)
    assert len(provider.asked) == len(failures) + 1
    assert (done.stop, done.answer) == (StopReason.ANSWER, "Bath")
    assert done.score is not None
    assert "1. Bath" in done.turns[0].observation[0].text


@pytest.mark.parametrize("kind", ["text", "image"])
@pytest.mark.parametrize("failure", [DOWN, LIMITED], ids=["down", "limited"])
async def test_a_provider_that_stays_away_aborts_and_nothing_is_scored(
    failure: Answer, kind: str
) -> None:
    provider = Scripted({"x": [failure], "": [failure]})
    done = await play(provider, kind=kind)
    assert len(provider.asked) == 3
    assert done.stop is StopReason.ABORTED
    assert (done.score, done.verdict, done.answer, done.turns) == (None, None, None, ())
    assert (done.error or "").startswith("ServiceError: ")


async def test_a_provider_that_never_answers_aborts() -> None:
    clock = Clock()

    class Slow(Scripted):
        async def search(self, query: Query) -> Results:
            self.asked.append(query)
            clock.forward(31)
            await asyncio.sleep(LIMIT_S)
            return FOUND

    provider = Slow()
    done = await play(provider, QUICK.model_copy(update={"timeout_s": 30}))
    assert len(provider.asked) == 3
    assert (done.stop, done.score) == (StopReason.ABORTED, None)
    assert (done.error or "").startswith(ServiceTimeout.__name__)


async def test_money_that_is_spent_is_no_empty_result() -> None:
    provider = Scripted(lambda query: FOUND)
    requests = QUICK.model_copy(update={"price": 1.0, "budget": 0.5})
    done = await play(provider, requests)
    assert provider.asked == []
    assert (done.stop, done.score) == (StopReason.ABORTED, None)


async def test_a_provider_of_ones_own_that_is_wrong_aborts() -> None:
    wrong = Scripted(lambda query: None)  # type: ignore[arg-type, return-value]
    done = await play(wrong)
    assert (done.stop, done.score) == (StopReason.ABORTED, None)
    done = await play(Scripted({"x": [KeyError("bug")]}))
    assert done.stop is StopReason.ABORTED
    assert "KeyError: 'bug'" in (done.error or "")
