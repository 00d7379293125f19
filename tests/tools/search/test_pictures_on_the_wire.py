"""Pictures of results in tokens and on the wire: as many, in the order, and by the pixel rules."""

import json
from pathlib import Path

import pytest
from building import a_task, noise, played
from searching import Scripted, a_result_of, found

from saccade.dialects import built_in
from saccade.dialects.base import Dialect
from saccade.env import Environment
from saccade.images.geometry import PixelBudget
from saccade.policies.openai import OpenAIOptions, OpenAIPolicy
from saccade.render.qwen_vl import load_renderer
from saccade.rollout import rollout
from saccade.search.found import Query, Results
from saccade.testing import ScriptedServer
from saccade.tools.search.image import ImageSearch
from saccade.tools.search.text import TextSearch
from saccade.types import Action, ToolCall

FACTOR = 28
VIEW = PixelBudget(factor=FACTOR, min_pixels=FACTOR**2, max_pixels=16 * FACTOR**2)
SMALL = PixelBudget(factor=FACTOR, min_pixels=FACTOR**2, max_pixels=4 * FACTOR**2)
SIZES = [(400, 300), (20, 90), (64, 64)]
NAMES = ("deepeyes", "deepeyes_v2", "plain", "native")
TASK = a_task(noise(300, 200), "Who?")


def looks_alike(query: Query) -> Results:
    """Three pictures, and between them a hit without one."""
    pictures = [noise(*size, seed=n) for n, size in enumerate(SIZES)]
    hits = [a_result_of(f"hit {n}", picture=picture) for n, picture in enumerate(pictures)]
    return found(hits[0], a_result_of("none"), *hits[1:])


def environment(dialect: Dialect) -> Environment:
    provider = Scripted(looks_alike)
    tools = [TextSearch(provider=provider), ImageSearch(provider=provider)]
    return Environment(dialect, tools, view=VIEW, observation=SMALL)


def turns(dialect: Dialect) -> list[str]:
    calls = (ToolCall(name="image_search"), ToolCall(name="text_search", arguments={"query": "x"}))
    acts = [*[Action(thought="Hm.", calls=(call,)) for call in calls], Action(answer="B")]
    return [dialect.write(act).removeprefix(dialect.prefix) for act in acts]


def of(name: str) -> Dialect:
    dialect = built_in(name)
    assert dialect is not None
    return dialect


@pytest.mark.parametrize("name", NAMES)
async def test_tokens_have_an_image_for_each_picture(name: str, tiny_qwen2_5_vl: Path) -> None:
    renderer = load_renderer(tiny_qwen2_5_vl)
    done = await played(*turns(of(name)), task=TASK, environment=environment(of(name)))
    assert len(done.images) == 1 + len(SIZES)
    assert all(image.size == SMALL.fit(image.size) for image in done.images[1:])
    assert [image.source.size for image in done.images[1:]] == SIZES
    rendered = renderer.render(done, generation=False)
    assert rendered.images == done.images
    tokens = [image.size.area // FACTOR**2 for image in done.images]
    assert rendered.ids.count(renderer.image_token) == sum(tokens)
    begun = done.model_copy(update={"turns": done.turns[:1]})
    shorter = renderer.render(begun, generation=False)
    assert rendered.ids[: len(shorter.ids)] == shorter.ids


@pytest.mark.parametrize("name", NAMES)
async def test_the_wire_carries_each_picture_once(name: str) -> None:
    script = turns(of(name))
    with ScriptedServer(lambda request: script[len(server.requests) - 1]) as server:
        fixed = {"base_url": server.url, "model": "m", "continues_prefix": True}
        options = OpenAIOptions.model_validate(fixed)
        policy = OpenAIPolicy(options)
        done = await rollout(policy, environment(of(name)), TASK)
        await policy.close()
    assert done.answer == "B", done.error
    sent = [json.dumps(request.body).count('"image_url": {') for request in server.requests]
    assert sent == [1, 1 + len(SIZES), 1 + len(SIZES)]
