"""`replay`: recorded once, replayed for ever, and nothing else."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

import pytest
from building import a_task, call_text, noise, plain
from pydantic import JsonValue

from saccade.config import Part
from saccade.dialects.base import Dialect
from saccade.dialects.deepeyes_v2 import DeepEyesV2
from saccade.dialects.native import Native
from saccade.env import Environment
from saccade.errors import ConfigError, FormatError, ServiceError, ServiceRefused
from saccade.images.geometry import Box
from saccade.policies.replay import ReplayPolicy
from saccade.rollout import rollout
from saccade.search.found import Fetches, Hit, Kind, Query, Result, Results
from saccade.search.provider import provider_of
from saccade.search.recorded.replay import Replay, ReplayOptions
from saccade.search.requester import Requester, RequestOptions
from saccade.tools.search.image import ImageSearch, ImageSearchOptions
from saccade.tools.search.text import TextSearch, TextSearchOptions
from saccade.types import Record, StopReason, Trajectory


class WebOptions(Record):
    edition: int = 1


class Web:
    """An engine that finds something else each time that it is asked, and counts."""

    Options = WebOptions
    name = "web"
    kinds: frozenset[Kind] = frozenset({"text", "image"})
    asked: ClassVar[list[Query]] = []
    failing: ClassVar[list[Exception]] = []
    started: ClassVar[int] = 0

    def __init__(self, options: WebOptions) -> None:
        self.facts: Mapping[str, JsonValue] = {"edition": options.edition}

    async def start(self) -> None:
        Web.started += 1

    async def close(self) -> None: ...

    async def search(self, query: Query) -> Results:
        Web.asked.append(query)
        await asyncio.sleep(0)
        if Web.failing:
            raise Web.failing.pop()
        if query.text.startswith("nothing"):
            return Results()
        n = len(Web.asked)
        hits = [
            Hit(
                rank=r, title=f"{query.text} {n}", url=f"http://x/{n}/{r}", snippet="s", score=1 / r
            )
            for r in range(1, query.k + 3)
        ]
        pictures = [noise(60, 40, n).crop(Box(0, 0, 30, 30)), None]
        found = tuple(Result(hit, pictures[hit.rank % 2]) for hit in hits)
        return Results(found, Fetches(succeeded=3, failed=1))


@pytest.fixture(autouse=True)
def fresh() -> None:
    Web.asked, Web.failing, Web.started = [], [], 0


WEB = Part(kind=f"{__name__}:Web")


def replay(tmp_path: Path, mode: str = "replay", provider: Part | None = WEB) -> Replay:
    return Replay(ReplayOptions(file=tmp_path / "web.sqlite", mode=mode, provider=provider))


@asynccontextmanager
async def running(provider: Replay) -> AsyncIterator[Replay]:
    await provider.start()
    try:
        yield provider
    finally:
        await provider.close()


async def test_what_was_recorded_is_replayed_and_nobody_is_asked(tmp_path: Path) -> None:
    queries = [Query("text", "a", k=3), Query("text", "nothing"), Query("image", image=plain(9, 9))]
    async with running(replay(tmp_path, "record")) as recording:
        seen = [await recording.search(query) for query in queries]
        assert [await recording.search(query) for query in queries] == seen
    assert len(Web.asked) == 3
    assert len(seen[0].results) == 3
    for provider in (WEB, None):
        async with running(replay(tmp_path, provider=provider)) as again:
            assert [await again.search(query) for query in queries] == seen
            assert again.kinds == {"text", "image"}
    assert (len(Web.asked), Web.started) == (3, 1)


async def test_a_miss_names_the_search_and_is_not_tried_again(tmp_path: Path) -> None:
    async with running(replay(tmp_path, "record")) as recording:
        await recording.search(Query("text", "tall towers", k=3))
    requester = Requester(replay(tmp_path), RequestOptions(max_retries=9, backoff_s=1000))
    await requester.start()
    wanted = 'no text search of web for "Tall towers" with k = 5 .*web with k = 3.*mode = "record"'
    with pytest.raises(ServiceRefused, match=wanted):
        await asyncio.wait_for(requester.search(Query("text", "Tall towers", k=5)), 10)
    image = plain(9, 9)
    with pytest.raises(ServiceRefused, match=rf"{image.source.digest}.*\(question q-7\)"):
        await requester.search(Query("image", image=image, task_id="q-7"))
    await requester.close()
    assert not Web.asked[1:]


async def test_a_failure_is_not_recorded(tmp_path: Path) -> None:
    async with running(replay(tmp_path, "record")) as recording:
        Web.failing = [ServiceError("down")]
        with pytest.raises(ServiceError, match="down"):
            await recording.search(Query("text", "a"))
        assert (await recording.search(Query("text", "a"))).results[0].hit.title == "a 2"


async def test_a_search_that_is_made_at_once_is_made_once(tmp_path: Path) -> None:
    async with running(replay(tmp_path, "record")) as recording:
        same = [recording.search(Query("text", text)) for text in ("a", "A", " a ", "a")]
        found = await asyncio.gather(*same, recording.search(Query("text", "b")))
    assert len(Web.asked) == 2
    assert found[0] == found[1] == found[2] == found[3] != found[4]


async def test_what_is_recalled_is_neither_paid_for_nor_held_up(tmp_path: Path) -> None:
    options = RequestOptions(price=1, budget=1, per_second=0.001)
    requester = Requester(replay(tmp_path, "record"), options)
    await requester.start()
    first = await requester.search(Query("text", "a"))
    assert [await requester.search(Query("text", "a")) for _ in range(3)] == [first] * 3
    with pytest.raises(ServiceError, match="raise budget"):
        await requester.search(Query("text", "b"))
    await requester.close()
    assert requester.spent == 1


async def test_results_of_two_states_of_an_engine_never_mix(tmp_path: Path) -> None:
    later = Part(kind=WEB.kind, edition=2)
    async with running(replay(tmp_path, "record")) as one:
        first = await one.search(Query("text", "a"))
    with pytest.raises(ConfigError, match=r'nothing of web \{"edition":2\}, but of web'):
        replay(tmp_path, provider=later)
    async with running(replay(tmp_path, "record", later)) as two:
        second = await two.search(Query("text", "a"))
    assert first != second
    for provider, found in ((WEB, first), (later, second)):
        async with running(replay(tmp_path, provider=provider)) as again:
            assert await again.search(Query("text", "a")) == found
    with pytest.raises(ConfigError, match="name the one that is replayed"):
        replay(tmp_path, provider=None)


async def test_the_facts_of_a_replay_are_those_of_what_was_found(tmp_path: Path) -> None:
    async with running(replay(tmp_path, "record")) as recording:
        assert recording.facts == {"edition": 1}
        await recording.search(Query("text", "a"))
        before = replay(tmp_path).facts
        await recording.search(Query("text", "b"))
    after = replay(tmp_path).facts
    assert before["edition"] == after["edition"] == 1
    assert before["recorded"] != after["recorded"]
    assert replay(tmp_path, provider=None).facts == after


async def test_a_recording_that_has_changed_since_the_run_was_set_up_is_refused(
    tmp_path: Path,
) -> None:
    async with running(replay(tmp_path, "record")) as recording:
        await recording.search(Query("text", text="one"))
        before = replay(tmp_path)
        await recording.search(Query("text", text="two"))
    with pytest.raises(ConfigError, match="has changed since"):
        await before.start()


def test_what_cannot_work_is_said_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such recording"):
        replay(tmp_path)
    with pytest.raises(ConfigError, match=r"replay\.provider: missing"):
        replay(tmp_path, "record", None)
    (tmp_path / "web.sqlite").write_text("[]")
    with pytest.raises(FormatError, match="no SQLite"):
        replay(tmp_path)


async def test_a_recording_of_words_is_not_searched_by_pictures(tmp_path: Path) -> None:
    async with running(replay(tmp_path, "record")) as recording:
        await recording.search(Query("text", "a"))
    part = Part(kind="replay", file=str(tmp_path / "web.sqlite"))
    assert provider_of(part, "text", "p").name == "web"
    with pytest.raises(ConfigError, match=r"cannot be searched by image .*only by text"):
        provider_of(part, "image", "p")


DIALECTS = {"deepeyes_v2": DeepEyesV2, "native": Native}


def environment(dialect: Dialect, part: Part) -> Environment:
    return Environment(
        dialect,
        [
            TextSearch(TextSearchOptions(provider=part, k=2)),
            ImageSearch(ImageSearchOptions(provider=part, k=3)),
        ],
    )


async def episode(dialect: str, tmp_path: Path, mode: str, *texts: str) -> Trajectory:
    part = Part(kind="replay", file=str(tmp_path / "r.sqlite"), mode=mode, provider=dict(WEB))
    made = environment(DIALECTS[dialect](), part)
    task = a_task(noise(200, 100), "What is it?", answer="7")
    try:
        return await rollout(ReplayPolicy({"t": texts}), made, task)
    finally:
        await made.close()


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_recorded_run_is_replayed_to_the_byte(dialect: str, tmp_path: Path) -> None:
    calls = [
        call_text("image_search"),
        call_text("text_search", query="Tall  towers"),
        call_text("text_search", query="nothing at all"),
        call_text("image_search", bbox_2d=[10, 10, 90, 90]),
    ]
    texts = [*calls, "<answer>7</answer>"]
    seen = await episode(dialect, tmp_path, "record", *texts)
    assert len(Web.asked) == 4
    again = await episode(dialect, tmp_path, "replay", *texts)
    assert len(Web.asked) == 4
    assert seen.stop is again.stop is StopReason.ANSWER
    for before, after in zip(seen.turns, again.turns, strict=True):
        assert [m.model_dump_json() for m in before.observation] == [
            m.model_dump_json() for m in after.observation
        ]
        assert [r.data for r in before.results] == [r.data for r in after.results]
    assert again.images == seen.images
    for before, after in zip(seen.images, again.images, strict=True):
        assert before.encoded() == after.encoded()
    assert len(seen.images) > 2


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_miss_aborts_the_episode(dialect: str, tmp_path: Path) -> None:
    first = call_text("text_search", query="a")
    await episode(dialect, tmp_path, "record", first, "<answer>7</answer>")
    missing = call_text("text_search", query="never asked")
    lost = await episode(dialect, tmp_path, "replay", first, missing, "<answer>7</answer>")
    assert lost.stop is StopReason.ABORTED
    assert 'no text search of web for "never asked" with k = 2' in lost.error
    assert lost.answer is None
    assert lost.score is None


async def test_an_id_stands_for_the_picture_of_its_question_only(tmp_path: Path) -> None:
    """A cache that goes by ids would take any other picture for that of the question."""
    texts = [call_text("image_search"), call_text("image_search", image="image_2")]
    await episode("native", tmp_path, "record", *texts, "<answer>7</answer>")
    assert [query.task_id for query in Web.asked] == ["t", ""]
