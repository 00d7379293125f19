"""Everything that `saccade check policy` asks, in order, each part with its finding.

    findings = await examine_policy(recipe, on_finding=print)
    lines = lines_of(findings)             # {"environment.coords": "relative_1000", ...}

A chat server is first asked with as little as possible; what it refuses is left out or renamed from
then on. A model that is blind is asked nothing more about images.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from pydantic import JsonValue

from saccade.canary.boxes import ZOOMED, find_frame, find_frame_of_zooms
from saccade.canary.dialects import repeat_turns, try_dialects
from saccade.canary.findings import Finding, State, counted, finding
from saccade.canary.images import count_images, find_returned
from saccade.canary.legibility import find_legible
from saccade.canary.probe import Probe, Watched
from saccade.canary.vision import ALPHA, Drawn, Vision, World, look
from saccade.canary.warning import MUTE, knows_the_world
from saccade.canary.wire import (
    HELLO,
    Wire,
    find_beside,
    find_limit,
    find_prefix,
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


class Gone(Exception):
    """The server answers nothing any more, not even a question without an image."""


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
        """Say about how many more questions there will be."""
        self._planned = self._answered + questions

    def begin(self, what: str) -> None:
        """Say what is asked from here on."""
        self._what = what
        self._on_progress(what, self._answered, self._planned)

    def answered(self) -> None:
        """Count a question."""
        self._answered += 1
        self._planned = max(self._planned, self._answered + 1)
        self._on_progress(self._what, self._answered, self._planned)

    def end(self) -> None:
        """Say that nothing more is asked."""
        self._on_progress("questions", self._answered, self._answered)

    @property
    def failed(self) -> bool:
        return any(found.state == "error" for found in self.findings)

    async def part(
        self, what: str, policy: Watched, asking: Awaitable[Finding | Sequence[Finding]]
    ) -> None:
        """Add what is found by asking, unless the policy has gone: then nothing was measured.

        Raises:
            Gone: a question failed, and so does one that any server answers.
        """
        self.begin(what)
        policy.failure = None
        found = await asking
        if policy.failure is not None:
            hello = await Probe(policy, self.recipe, on_reply=self.answered).ask(HELLO)
            if hello.error is not None:
                raise Gone(f"when asked about {what}: {hello.error}")
        self.add(*([found] if isinstance(found, Finding) else found))


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
    try:
        await _examine(examination)
    except Gone as gone:
        examination.add(finding("server", "error", f"no longer answers, {gone}"))
    examination.end()
    return examination.findings


def lines_of(findings: Sequence[Finding]) -> dict[str, JsonValue]:
    """The lines of a run file that follow from findings; a later one counts."""
    return {key: value for found in findings for key, value in found.lines.items()}


async def _examine(examination: Examination) -> None:
    recipe = examination.recipe
    served = recipe.policy is not None and recipe.policy.kind == "openai"
    if served:
        await _ask_server(examination)
        if examination.failed:
            return
    policy = Watched(make_policy(examination.recipe))
    try:
        await _ask_model(examination, policy, served=served)
    finally:
        await policy.close()


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
        wire.failure = None
        found = await find_beside(wire)
        found += [await ask(wire) for ask in (find_stop, find_limit, find_prefix, find_tokens)]
        if wire.failure and (again := await wire.send(wire.usual)).error:
            raise Gone(f"when asked about parameters: {again.error}")
        examination.add(*found)


async def _ask_model(examination: Examination, policy: Watched, *, served: bool) -> None:
    _fit(examination, policy)
    recipe, seed = examination.recipe, examination.seed
    probe = Probe(policy, recipe, on_reply=examination.answered)
    if knows_the_world(policy.info.name):
        await _ask_embedded(examination, policy)
        return
    vision: list[Vision] = []

    async def see() -> list[Finding]:
        vision.append(await look(Drawn(probe), pairs=examination.n // 2, seed=seed))
        if vision[0].blind and _has_tasks_of_the_world(recipe):
            return []
        return [_of_vision(vision[0]), *_of_tokens(vision[0])]

    await examination.part("vision", policy, see())
    blind = vision[0].blind
    if blind and _has_tasks_of_the_world(recipe):
        await _ask_embedded(examination, policy)
        return
    if blind:
        examination.add(finding("images", "not tried", "nothing more is asked about images"))
    else:
        await examination.part("images", policy, count_images(probe, seed=seed))
    await examination.part("dialect", policy, try_dialects(probe, seed=seed))
    if served:
        await examination.part("parsers", policy, repeat_turns(probe))
    if blind:
        return
    if served:
        await examination.part("tool images", policy, _returned(examination, policy))
    await examination.part("legibility", policy, find_legible(probe, seed=seed))
    # Last: of two lines for a budget, that of boxes is more exact.
    await examination.part("frame", policy, find_frame(probe, seed=seed))


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


async def _ask_embedded(examination: Examination, policy: Watched) -> None:
    """A model that reads nothing but scenes of the procedural world."""
    environment = make_environment(examination.recipe)
    examination.plan(examination.n + ZOOMED)
    try:
        await _ask_about_scenes(examination, policy, environment)
    finally:
        await environment.close()


async def _ask_about_scenes(
    examination: Examination, policy: Watched, environment: Environment
) -> None:
    sampling, seed = examination.recipe.sampling, examination.seed
    on_reply = examination.answered
    world = World(policy, environment, sampling=sampling, on_reply=on_reply)

    async def see() -> Finding:
        return _of_vision(await look(world, pairs=examination.n // 2, seed=seed))

    await examination.part("vision", policy, see())
    if examination.findings[-1].state != "ok":
        return
    zooms = find_frame_of_zooms(
        policy, environment, sampling=sampling, seed=seed, on_reply=on_reply
    )
    await examination.part("frame", policy, zooms)
    text = "`saccade nano probe` measures it in this world"
    examination.add(finding("legibility", "not tried", text))


async def _returned(examination: Examination, policy: Watched) -> list[Finding]:
    """Where images of tools are seen, and the line that puts them there."""
    found = {}
    for place in ("user", "tool"):
        recipe = _with(examination.recipe, tool_images=place)
        other = Watched(make_policy(recipe))
        try:
            placed = Probe(other, recipe, on_reply=examination.answered)
            found[place] = await find_returned(placed, place, seed=examination.seed)
        finally:
            await other.close()
        policy.failure = policy.failure or other.failure
    works = [place for place, one in found.items() if one.state == "ok"]
    if not works:
        return list(found.values())
    line: dict[str, JsonValue] = {"policy.tool_images": works[0]}
    found[works[0]] = found[works[0]].model_copy(update={"lines": line})
    return [one.model_copy(update={"state": "ok"}) for one in found.values()]  # one is enough


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
        f"guessing does as well with probability {found.chance:.2g} (at most {ALPHA:g} counts "
        f"as seeing); the answer changed with the image in {found.changed} of {found.pairs} pairs"
    )
    if found.failed:
        state = "error" if found.lost == asked else "undecided"
        text = f"{found.lost} of {asked} questions with an image got no reply"
    elif found.blind and found.mute:
        state, text = "undecided", MUTE
    elif found.blind:
        unread = sum(one.answer is None for one in found.asked)
        text = f"the model is blind, or cannot be read ({unread} replies name nothing): {text}"
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
