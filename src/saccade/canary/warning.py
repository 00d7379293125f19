"""The few questions before a run: a model that is blind is named, and the run goes on.

    said = await blindness(recipe, assembly.policy, assembly.environment)
    if said is not None:
        warnings.warn(said)

A model is asked where the tasks have images and a model answers: behind a chat server (`openai`) or
in this process (`hf`). The embedded models read nothing but their own world, so they are asked
about scenes of it; so is a model that fails on drawings before tasks of that world.
"""

from __future__ import annotations

import asyncio

from saccade.canary.probe import Probe
from saccade.canary.vision import Drawn, Sitter, Vision, World, look_briefly
from saccade.embedded import MODELS, is_embedded
from saccade.env import Environment
from saccade.recipe import Recipe, make_tasks
from saccade.types import Policy

PATIENCE_S = 120.0
"""Seconds that the questions may take together: a run is not held up by them."""
MUTE = (
    "most replies end before an answer: raise environment.limits.max_turn_tokens where they are "
    "cut, start the server without its reasoning parser where they are empty"
)
ASKED = ("openai", "hf")
"""Kinds of policies that are asked: the others are rules or scripts, or a user's own."""


async def blindness(recipe: Recipe, policy: Policy, environment: Environment) -> str | None:
    """Why a model seems blind, after four questions or more; None if it sees or is not asked.

    Args:
        recipe: The run file; `canary = false` in it asks nothing.
        policy: What will act.
        environment: What it will meet.

    Raises:
        ConfigError: the recipe has no tasks, or the policy cannot work.
    """
    if recipe.policy is None or recipe.policy.kind not in ASKED or not is_wanted(recipe):
        return None
    try:
        async with asyncio.timeout(PATIENCE_S):
            return said_of(await see(recipe, policy, environment))
    except TimeoutError:
        return f"the model could not be asked whether it sees: no reply within {PATIENCE_S:g} s"


def is_wanted(recipe: Recipe) -> bool:
    """Whether the model of a run is asked: the switch is on, and the tasks have images."""
    if not recipe.canary or recipe.tasks is None:
        return False
    first = next(make_tasks(recipe), None)
    return first is not None and bool(first.images)


async def see(recipe: Recipe, policy: Policy, environment: Environment) -> Vision:
    """The answers of a model to a few questions of its kind."""
    found: list[Vision] = []
    for sitter in sitters(recipe, policy, environment):
        found.append(await look_briefly(sitter, seed=recipe.seed))
        if not found[-1].blind:
            return found[-1]
        if found[-1].failed:
            break
    return found[0]  # the likeliest kind says best what is wrong


def sitters(recipe: Recipe, policy: Policy, environment: Environment) -> list[Sitter]:
    """The kinds of questions that a model can be expected to answer, the likeliest first."""
    world = World(policy, environment, sampling=recipe.sampling)
    if knows_the_world(policy.info.name):
        return [world]
    drawn = Drawn(Probe(policy, recipe))
    of_the_world = recipe.tasks is not None and recipe.tasks.kind == "world"
    return [drawn, world] if of_the_world else [drawn]


def knows_the_world(model: str) -> bool:
    """Whether a name or a folder is that of an embedded model, wherever it is served."""
    return is_embedded(model) or model.rstrip("/").rpartition("/")[2] in MODELS


def said_of(found: Vision) -> str | None:
    """What there is to say of a model that may be blind; None if it sees."""
    if not found.blind:
        return None
    if found.failed:
        lost = next(asked.shown for asked in found.asked if asked.error)
        return f"the model could not be asked whether it sees: {lost}"
    if found.mute:
        return f"the model could not be asked whether it sees: {MUTE}"
    return (
        f"the model seems blind: {found.right} of {len(found.asked)} questions about large digits "
        f"and colours right (guessing does as well with probability {found.chance:.2g}), answers "
        f"that changed with the image: {found.changed} of {found.pairs}; for example "
        f"{'; '.join(found.wrong[:2])}. Every number of this run would be that of a model that "
        "guesses: `saccade check policy` says more, canary=false does not ask"
    )
