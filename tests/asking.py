"""Asking scripted servers what the canary asks, through the ordinary policy and without it."""

import asyncio
from collections.abc import Callable

from pydantic import JsonValue
from seeing import Seeing
from waiting import LIMIT_S

from saccade.canary.findings import Finding
from saccade.canary.probe import Probe
from saccade.canary.wire import (
    Wire,
)
from saccade.recipe import Recipe, make_policy
from saccade.testing import ScriptedServer
from saccade.types import Sampling

SMALL: dict[str, JsonValue] = {"view": {"max_pixels": 60_000}, "limits": {"max_images": 4}}
"""An environment whose images are soon drawn, sent and read."""


def recipe_of(url: str, **sections: JsonValue) -> Recipe:
    policy: JsonValue = {"kind": "openai", "base_url": url, "model": "m", "backoff_s": 0.001,
                         "timeout_s": LIMIT_S}  # fmt: skip
    return Recipe.model_validate({"policy": policy, "environment": SMALL, **sections})


def on_probe(
    server: ScriptedServer, ask: Callable[[Probe], object], **sections: JsonValue
) -> object:
    """What comes of questions to a server, through the ordinary policy."""

    async def run() -> object:
        recipe = recipe_of(server.url, **sections)
        policy = make_policy(recipe)
        try:
            return await ask(Probe(policy, recipe))  # type: ignore[misc]
        finally:
            await policy.close()

    return asyncio.run(run())


def found(seeing: Seeing, ask: Callable[[Probe], object], **sections: JsonValue) -> Finding:
    with ScriptedServer(seeing) as server:
        result = on_probe(server, ask, **sections)
    assert isinstance(result, Finding)
    return result


def on_wire(
    at: ScriptedServer, ask: Callable[[Wire], object], **options: JsonValue
) -> list[Finding]:
    async def run() -> list[Finding]:
        table = {"base_url": at.url, "model": "m", "backoff_s": 0.001, **options}
        async with Wire(table, Sampling()) as wire:
            result = await ask(wire)  # type: ignore[misc]
        return result if isinstance(result, list) else [result]

    return asyncio.run(run())
