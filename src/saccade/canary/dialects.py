"""Whether a model keeps a dialect, and whether its server does: episodes, and turns to repeat.

A model that is asked to zoom in before it answers must call, be shown, and answer. What goes wrong
there can be the server's doing: a tool parser that nobody asked for empties the text of a turn, a
reasoning parser takes its thought. So a turn is also given to be repeated: what is missing then was
taken on the way.
"""

from __future__ import annotations

import asyncio
import random
from typing import NamedTuple

from saccade.canary.drawing import digit_image, size_of
from saccade.canary.findings import Finding, State, counted, finding
from saccade.canary.probe import Probe
from saccade.canary.reading import digit_in
from saccade.canary.vision import AREA
from saccade.config import resolve
from saccade.dialects import BUILT_IN
from saccade.dialects.base import Dialect
from saccade.env import Environment
from saccade.recipe import DialectPart, Recipe, make_environment
from saccade.rollout import rollout
from saccade.types import Action, ProblemKind, StopReason, Task, ToolCall, Trajectory

EPISODES = 3
"""Number of episodes in each dialect."""
KEPT = 2
"""Number of them that must come off for a dialect to be kept."""
TRIED = ("native", "deepeyes", "plain")
"""Dialects that are tried beside the one of the run, the first that works is taken."""
ASK = (
    "Which digit is drawn in the image? First zoom in on it once with the tool, then answer with "
    "the digit alone."
)
REPEATED = ("deepeyes", "plain")
"""Dialects whose turns are given to be repeated."""
THOUGHT = "one two three"
ECHO = Action(thought=THOUGHT, answer="seven")
ECHO_CALL = Action(calls=(ToolCall(name="image_zoom_in_tool", arguments={"label": "it"}),))
PARSER = (
    "start it with its tool parser (vLLM: --enable-auto-tool-choice --tool-call-parser hermes for "
    "Qwen2.5)"
)


class Tried(NamedTuple):
    """The episodes in a dialect."""

    kind: str
    episodes: tuple[Trajectory, ...]
    right: int

    @property
    def kept(self) -> int:
        """Number of episodes with a call that can be read, and an answer after it."""
        return sum(_is_kept(episode) for episode in self.episodes)

    @property
    def failed(self) -> list[str]:
        """Why episodes broke off: the server failed, or refused."""
        aborted = (one for one in self.episodes if one.stop is StopReason.ABORTED)
        return [one.error or "" for one in aborted]

    @property
    def works(self) -> bool:
        return self.kept >= KEPT

    @property
    def parsed(self) -> bool:
        """Whether the server sent calls in their own field."""
        return any(turn.completion.tool_calls for t in self.episodes for turn in t.turns)


async def try_dialects(probe: Probe, *, seed: int) -> list[Finding]:
    """A finding for each dialect, and the line that chooses one."""
    own = probe.recipe.dialect.kind
    kinds = list(dict.fromkeys((own, *TRIED)))
    tried = [await _play(probe, kind, seed) for kind in kinds]
    findings = [_of_episodes(one) for one in tried]
    works = [one.kind for one in tried if one.works]
    chosen = own if own in works else next(iter(works), None)
    if chosen is None:
        text = f"none of {', '.join(kinds)} is kept; look at the replies"
        sure = not any(one.failed for one in tried)
        findings.append(finding("dialect", "warning" if sure else "undecided", text))
    else:
        text = f"{own} is kept" if chosen == own else f"{own} is not kept, {chosen} is"
        state: State = "ok" if chosen == own else "warning"
        findings.append(finding("dialect", state, text, lines={"dialect.kind": chosen}))
    return findings


async def repeat_turns(probe: Probe) -> list[Finding]:
    """What a server takes out of turns that a model was asked to repeat."""
    return [found for kind in REPEATED if (found := await _repeat(probe, kind)) is not None]


async def _play(probe: Probe, kind: str, seed: int) -> Tried:
    environment = make_environment(_only_zooming(probe.recipe, kind))
    rng, tasks = random.Random(seed), []
    for number in range(EPISODES):
        digit = rng.choice("0123456789")
        image = digit_image(rng, digit, size_of(probe.view, AREA, 4 / 3))
        tasks.append(Task(id=f"canary-{kind}-{number}", prompt=(image, ASK), answer=digit))
    try:
        episodes = await asyncio.gather(*(_episode(probe, environment, task) for task in tasks))
    finally:
        await environment.close()
    right = sum(
        digit_in(episode.answer or "") == task.answer
        for task, episode in zip(tasks, episodes, strict=True)
    )
    return Tried(kind, tuple(episodes), right)


async def _episode(probe: Probe, environment: Environment, task: Task) -> Trajectory:
    played = await rollout(probe.policy, environment, task, sampling=probe.recipe.sampling)
    probe.count()
    return played


def _only_zooming(recipe: Recipe, kind: str) -> Recipe:
    """The environment of a run in another dialect, without the tools that start something."""
    part = recipe.dialect if recipe.dialect.kind == kind else DialectPart(kind=kind)
    tools = {"zoom_in": recipe.tools.get("zoom_in", {})}
    return recipe.model_copy(update={"dialect": part, "tools": tools})


def _of_episodes(tried: Tried) -> Finding:
    part, asked = f"dialect {tried.kind}", len(tried.episodes)
    text = f"{tried.kept} of {asked} episodes with a call and an answer after it"
    text += f", {tried.right} right"
    if (cause := _cause(tried)) is not None:
        text += f"; {cause}"
    replies = tuple(_shown(episode) for episode in tried.episodes if not _is_kept(episode))
    state: State = "ok" if tried.works and _taken_apart(tried) is None else "warning"
    if tried.failed and not tried.works:
        state = "undecided"
        text += f"; in {len(tried.failed)} the server failed, or refused the request"
    return counted(part, state, text, right=tried.kept, asked=asked, replies=replies)


def _cause(tried: Tried) -> str | None:
    """What a server does to turns, as far as episodes tell it."""
    first = [episode.turns[0] for episode in tried.episodes if episode.turns]
    if tried.kind == "native":
        if tried.parsed:
            return "the server parses calls into tool_calls"
        if any(turn.action.calls for turn in first):
            return f"calls stay in the text: the server has no tool parser; {PARSER}"
        return None
    if (problem := _taken_apart(tried)) is not None:
        return problem
    if any(not turn.completion.text.strip() for turn in first):
        return "turns came back empty: a parser of the server may have taken their text"
    return None


def _taken_apart(tried: Tried) -> str | None:
    """What a parser of the server took out of turns, if it did."""
    turns = (turn for episode in tried.episodes for turn in episode.turns)
    problems = (problem for turn in turns for problem in turn.action.problems)
    taken = (problem.detail for problem in problems if problem.kind is ProblemKind.TAKEN_APART)
    return next(taken, None)


def _is_kept(episode: Trajectory) -> bool:
    problems = {problem.kind for turn in episode.turns for problem in turn.action.problems}
    called = any(turn.action.calls for turn in episode.turns)
    return called and episode.stop is StopReason.ANSWER and ProblemKind.BAD_CALL not in problems


def _shown(episode: Trajectory) -> str:
    texts = [turn.completion.text or "(empty)" for turn in episode.turns]
    line = " ".join(" / ".join([*texts, episode.error or ""]).split())
    return line if len(line) <= 160 else f"{line[:157]}..."


async def _repeat(probe: Probe, kind: str) -> Finding | None:
    """None if everything came back, or if the model does not repeat what it is given."""
    dialect = _dialect(kind)
    turns = (ECHO, ECHO_CALL)
    replies = await probe.ask_all(
        ["Repeat the following text exactly as it is, and write nothing else:\n\n"
         + dialect.write(turn)] for turn in turns
    )  # fmt: skip
    read = [dialect.read(reply.completion, "") for reply in replies if reply.completion]
    if len(read) < len(turns):
        return None
    taken = [problem.detail for action in read for problem in action.problems
             if problem.kind is ProblemKind.TAKEN_APART]  # fmt: skip
    if read[0].answer == ECHO.answer and THOUGHT not in (read[0].thought or ""):
        taken.append("the thought was dropped: start the server without its reasoning parser")
    if replies[0].text.strip() and not read[1].calls and not replies[1].text.strip():
        taken.append("a call was dropped: start the server without its tool parser")
    if not taken:
        return None
    shown = tuple(reply.shown or "(empty)" for reply in replies)
    return finding(f"parser {kind}", "warning", "; ".join(taken), replies=shown)


def _dialect(kind: str) -> Dialect:
    made = resolve(kind, BUILT_IN, "dialect")
    assert isinstance(made, type)
    dialect: Dialect = made()
    return dialect
