"""Everything that `saccade check policy` asks, in order, each part with its finding.

    findings = await examine_policy(recipe, on_finding=print)
    lines = lines_of(findings)             # {"environment.coords": "relative_1000", ...}

A chat server is first asked with as little as possible; what it refuses is left out or renamed from
then on. A model that is blind is asked nothing more about images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import JsonValue

from saccade.canary.boxes import ZOOMED, find_frame, find_frame_of_zooms
from saccade.canary.dialects import repeat_turns, try_dialects
from saccade.canary.findings import Finding, State, counted, finding
from saccade.canary.images import count_images, find_returned
from saccade.canary.legibility import find_legible
from saccade.canary.probe import Probe
from saccade.canary.vision import Drawn, Vision, World, look
from saccade.canary.warning import CUT, knows_the_world
from saccade.canary.wire import (
    Wire,
    find_beside,
    find_limit,
    find_refused,
    find_stop,
    find_tokens,
)
from saccade.config import Part
from saccade.dialects.tags import forged_tokens
from saccade.env import Environment
from saccade.images.geometry import PixelBudget
from saccade.recipe import Recipe, make_environment, make_policy
from saccade.runs.assemble import mismatches
from saccade.types import Policy

QUESTIONS = 12
"""Number of questions about what is in an image; half of them differ from another by the image."""

PLANNED = 120
"""About how many questions there are in all."""

Progress = Callable[[str, int, int], None]
"""Called with what is asked, the number of questions answered, and about how many there are."""


class Examination:
    """An examination under way."""

    def __init__(
        self,
        recipe: Recipe,
        *,
        n: int,
        seed: int,
        on_finding: Callable[[Finding], None],
        on_progress: Progress,
    ) -> None:
        self.recipe, self.n, self.seed = recipe, n, seed
        self.findings: list[Finding] = []
        self._on_finding, self._on_progress = on_finding, on_progress
        self._what, self._answered, self._planned = "", 0, 1

    def add(self, *findings: Finding) -> None:
        for found in findings:
            self.findings.append(found)
            self._on_finding(found)

    def plan(self, questions: int) -> None:
        """Say about how many questions there will be."""
        self._planned = questions

    def begin(self, what: str) -> None:
        """Say what is asked from here on."""
        self._what = what
        self._on_progress(what, self._answered, self._planned)

    def answered(self) -> None:
        """Count a question."""
        self._answered += 1
        self._planned = max(self._planned, self._answered)
        self._on_progress(self._what, self._answered, self._planned)

    @property
    def failed(self) -> bool:
        return any(found.state == "error" for found in self.findings)


async def examine_policy(
    recipe: Recipe,
    *,
    n: int = QUESTIONS,
    seed: int = 0,
    on_finding: Callable[[Finding], None] = lambda found: None,
    on_progress: Progress = lambda what, done, total: None,
) -> list[Finding]:
    """Ask a policy what it can see and do.

    Args:
        recipe: A run file; of it count policy, sampling, environment and dialect.
        n: Number of questions about what is in an image, at least 4; an odd one is one less.
        seed: Seed of what is drawn.
        on_finding: Called with each finding as it is made.
        on_progress: Called after each question.

    Raises:
        ConfigError: a section of the run file cannot work.
    """
    examination = Examination(
        recipe, n=n, seed=seed, on_finding=on_finding, on_progress=on_progress
    )
    examination.plan(PLANNED)
    served = recipe.policy is not None and recipe.policy.kind == "openai"
    if served:
        await _ask_server(examination)
        if examination.failed:
            return examination.findings
    policy = make_policy(examination.recipe)
    try:
        await _ask_model(examination, policy, served=served)
    finally:
        await policy.close()
    return examination.findings


def lines_of(findings: Sequence[Finding]) -> dict[str, JsonValue]:
    """The lines of a run file that follow from findings; a later one counts."""
    return {key: value for found in findings for key, value in found.lines.items()}


async def _ask_server(examination: Examination) -> None:
    """What a server takes; the recipe goes on with the options that mend what it refuses."""
    recipe = examination.recipe
    assert recipe.policy is not None
    examination.begin("server")
    options = {key: value for key, value in recipe.policy.options.items() if key != "cache"}
    async with Wire(options, recipe.sampling, on_reply=examination.answered) as wire:
        examination.add(*await find_refused(wire))
        if examination.failed:
            return
        mended = Part.model_validate({"kind": "openai", **wire.options})
        examination.recipe = recipe.model_copy(update={"policy": mended})
        examination.add(*await find_beside(wire))
        examination.add(*[await ask(wire) for ask in (find_stop, find_limit, find_tokens)])


async def _ask_model(examination: Examination, policy: Policy, *, served: bool) -> None:
    _fit(examination, policy)
    recipe, seed = examination.recipe, examination.seed
    probe = Probe(policy, recipe, on_reply=examination.answered)
    if knows_the_world(policy.info.name):
        await _ask_embedded(examination, policy)
        return
    examination.begin("vision")
    found = await look(Drawn(probe), pairs=examination.n // 2, seed=seed)
    if found.blind and _has_tasks_of_the_world(recipe):
        await _ask_embedded(examination, policy)
        return
    examination.add(_of_vision(found), *_of_tokens(found))
    if found.blind:
        examination.add(finding("images", "not tried", "nothing more is asked about images"))
    else:
        examination.begin("images")
        examination.add(await count_images(probe, seed=seed))
    examination.begin("dialect")
    examination.add(*await try_dialects(probe, seed=seed))
    if served:
        examination.add(*await repeat_turns(probe))
    if found.blind:
        return
    if served:
        examination.begin("tool images")
        examination.add(*await _returned(examination))
    examination.begin("legibility")
    examination.add(await find_legible(probe, seed=seed))
    examination.begin("frame")  # last: of two lines for a budget, that of boxes is more exact
    examination.add(await find_frame(probe, seed=seed))


def _fit(examination: Examination, policy: Policy) -> None:
    """What a local model says of itself; images are drawn at sizes that it takes."""
    recipe, factor = examination.recipe, policy.info.factor
    lines: dict[str, JsonValue] = {}
    view = recipe.environment.view
    if factor is not None and view.factor % factor:
        lines = {"environment.view.factor": factor}
        fitted = PixelBudget(factor=factor, max_pixels=max(view.max_pixels, 4 * factor**2))
        section = recipe.environment.model_copy(update={"view": fitted, "observation": None})
        examination.recipe = recipe.model_copy(update={"environment": section})
    for text in mismatches(policy.info, make_environment(recipe)):
        examination.add(finding("model", "warning", text, lines=lines))


async def _ask_embedded(examination: Examination, policy: Policy) -> None:
    """A model that reads nothing but scenes of the procedural world."""
    environment = make_environment(examination.recipe)
    examination.plan(examination.n + ZOOMED)
    try:
        await _ask_about_scenes(examination, policy, environment)
    finally:
        await environment.close()


async def _ask_about_scenes(
    examination: Examination, policy: Policy, environment: Environment
) -> None:
    sampling, seed = examination.recipe.sampling, examination.seed
    on_reply = examination.answered
    examination.begin("vision")
    world = World(policy, environment, sampling=sampling, on_reply=on_reply)
    found = await look(world, pairs=examination.n // 2, seed=seed)
    examination.add(_of_vision(found))
    if found.blind:
        return
    examination.begin("frame")
    examination.add(
        await find_frame_of_zooms(
            policy, environment, sampling=sampling, seed=seed, on_reply=on_reply
        ),
        finding("legibility", "not tried", "`saccade nano probe` measures it in this world"),
    )


async def _returned(examination: Examination) -> list[Finding]:
    """Where images of tools are seen, and the line that puts them there."""
    found = {}
    for place in ("user", "tool"):
        policy = _with(examination.recipe, tool_images=place)
        other = make_policy(policy)
        try:
            placed = Probe(other, policy, on_reply=examination.answered)
            found[place] = await find_returned(placed, place, seed=examination.seed)
        finally:
            await other.close()
    works = [place for place, one in found.items() if one.state == "ok"]
    if works:
        line: dict[str, JsonValue] = {"policy.tool_images": works[0]}
        found[works[0]] = found[works[0]].model_copy(update={"lines": line})
    return list(found.values())


def _with(recipe: Recipe, **options: JsonValue) -> Recipe:
    assert recipe.policy is not None
    part = Part.model_validate({"kind": "openai", **recipe.policy.options, **options})
    return recipe.model_copy(update={"policy": part})


def _has_tasks_of_the_world(recipe: Recipe) -> bool:
    return recipe.tasks is not None and recipe.tasks.kind == "world"


def _of_vision(found: Vision) -> Finding:
    asked = len(found.asked)
    state: State = "error" if found.blind else "ok"
    text = (
        f"{found.right} of {asked} right, guessing does as well with probability "
        f"{found.chance:.2g}; the answer changed with the image in {found.changed} of "
        f"{found.pairs} pairs"
    )
    if found.failed:
        text = "no question with an image was answered"
    elif found.blind and found.cut:
        state, text = "undecided", CUT
    elif found.blind:
        text = f"the model is blind, or its answers cannot be read: {text}"
    return counted(
        "vision", state, text, right=found.right, asked=asked,
        replies=found.wrong,
    )  # fmt: skip


def _of_tokens(found: Vision) -> list[Finding]:
    """Control tokens in the text, which every turn would be blamed for."""
    forged = [asked.shown for asked in found.asked if forged_tokens(asked.shown)]
    if not forged:
        return []
    text = (
        "control tokens of the chat template come back in the text and are counted as forged: set "
        "policy.server to the kind that the server is of, or leave it out"
    )
    return [finding("control tokens", "warning", text, replies=tuple(forged))]
