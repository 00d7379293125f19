"""Why episodes end without an answer, and what may help: read off their trajectories.

    what_may_help(trajectory)
    # "the last reply is neither a call nor an answer in the dialect 'deepeyes', and the dialect
    #  'native' reads an answer in it: try dialect.kind=native"

What is said is a guess: the limits and the dialect are known, the model is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from saccade import dialects
from saccade.embedded import is_embedded
from saccade.policies.reader.policy import MODEL as READER
from saccade.types import StopReason, Task, Trajectory, Turn

FEW = 10
"""Number of finished episodes from which a run is judged while it goes on."""
SHARE = 0.05
"""Share of the episodes of a run from which a cause is worth a line at its end."""
MAX_CAUSES = 3
"""Number of causes that are named at the end of a run."""
OUTSIDE_ITS_WORLD = (
    "an embedded model is asked about images that are no scenes of its own world (see `saccade "
    "demo`): it knows nothing else, and its answers mean nothing"
)

_OTHERS = ("plain", "deepeyes", "deepeyes_v2", "native")
"""The dialects in which a reply is read again; the last one reads any text as an answer."""
_REPEATED, _TIMES = 24, 6
"""Length of the end of a text, and how often it occurs in one that repeats itself."""


def what_may_help(trajectory: Trajectory) -> str | None:
    """What ended an episode without an answer, and which key of the run file may help.

    Returns:
        One sentence, the same one for all episodes of a run that ended alike; None for an episode
        that answered, is under way, or says itself why it ended.
    """
    if not trajectory.turns:
        return _out_of_time(trajectory)
    match trajectory.stop:
        case StopReason.NO_ACTION:
            return _neither_call_nor_answer(trajectory)
        case StopReason.MAX_TOKENS:
            return _out_of_tokens(trajectory)
        case StopReason.MAX_TURNS:
            return _out_of_turns(trajectory)
        case StopReason.MAX_IMAGES:
            return (
                "the context holds no more images: raise environment.limits.max_images (now "
                f"{trajectory.environment.limits.max_images}) if the model can hold more"
            )
        case _:
            return _out_of_time(trajectory)


def unread_text(turn: Turn, dialect: str) -> str | None:
    """What the model wrote in a turn without a call and an answer, if it is more than a thought.

    Args:
        turn: Any turn of a trajectory.
        dialect: The name of the dialect that it was read in.
    """
    if turn.action.calls or turn.action.answer is not None:
        return None
    known = dialects.built_in(dialect)
    wires = [f"{wire.name} {wire.arguments}" for wire in turn.completion.tool_calls]
    whole = turn.prefix + turn.completion.text
    if turn.completion.thought and not whole.strip():
        return None
    if known is not None and not wires and whole == known.write(turn.action):
        return None
    return " ".join([turn.completion.text, *wires])


class RunWatch:
    """Says once, while a run goes on, what most of its episodes have come to."""

    def __init__(self) -> None:
        self._causes: Counter[str | None] = Counter()
        self._said: set[str] = set()

    def add(self, task: Task, trajectory: Trajectory) -> str | None:
        """Take note of a finished episode; return what the user should know now, once each."""
        models = {turn.completion.model for turn in trajectory.turns}
        if task.source != "world" and any(map(is_embedded, models)):
            return self._once("world", OUTSIDE_ITS_WORLD)
        return self.count(trajectory)

    def count(self, trajectory: Trajectory) -> str | None:
        """The same of a model that is trained, which may come to know any images."""
        self._causes[what_may_help(trajectory)] += 1
        count = self._causes.total()
        cause, number = self._causes.most_common(1)[0]
        if cause is None or count < FEW or 2 * number <= count:
            return None
        return self._once("cause", f"{number} of {count} episodes ended without an answer: {cause}")

    def _once(self, kind: str, text: str) -> str | None:
        if kind in self._said:
            return None
        self._said.add(kind)
        return text


def common_causes(trajectories: Iterable[Trajectory]) -> list[str]:
    """A line for each way in which many episodes of a run ended without an answer."""
    causes = Counter(map(what_may_help, trajectories))
    count = causes.total()
    del causes[None]
    return [
        f"{number} of {count} episodes ended without an answer: {cause}"
        for cause, number in causes.most_common(MAX_CAUSES)
        if number >= SHARE * count
    ]


def _neither_call_nor_answer(trajectory: Trajectory) -> str | None:
    turn, own = trajectory.turns[-1], trajectory.environment.dialect
    text = turn.prefix + turn.completion.text
    if turn.completion.model == READER:
        return None  # its thought says why
    if not turn.completion.text.strip():
        what = "a thought and nothing else" if turn.completion.thought else "empty"
        return (
            f"the last reply is {what}: if the server has a parser for thoughts or for calls that "
            "the model does not fit (vLLM: --reasoning-parser, --tool-call-parser), start it "
            "without"
        )
    what = f"the last reply is neither a call nor an answer in the dialect {own!r}"
    for name in _OTHERS:
        other = dialects.built_in(name)
        if other is None or name == own:
            continue
        action = other.parse(text)
        if action.calls or action.answer is not None:
            found = "a call" if action.calls else "an answer"
            return f"{what}, and the dialect {name!r} reads {found} in it: try dialect.kind={name}"
    return (
        f"{what}: it ended in the middle of a turn; try the prompt that the model was trained with "
        "(dialect.prompts=FILE), or another model"
    )


def _out_of_tokens(trajectory: Trajectory) -> str:
    limits, completion = trajectory.environment.limits, trajectory.turns[-1].completion
    if completion.finish != "length":
        return (
            "the context is full: show fewer pixels (environment.view.max_pixels), or raise "
            f"environment.limits.max_context (now {limits.max_context}) if the model can hold more"
        )
    end = completion.text[-_REPEATED:]
    if len(end) == _REPEATED and completion.text.count(end) >= _TIMES:
        return (
            "the last turn repeats itself until it is cut, which a higher limit does not mend: try "
            "sampling.temperature=0.7, or another model"
        )
    return (
        "the last turn was cut by a token limit: raise environment.limits.max_turn_tokens (now "
        f"{limits.max_turn_tokens}) and sampling.max_tokens"
    )


def _out_of_turns(trajectory: Trajectory) -> str:
    results, record = trajectory.results, trajectory.environment
    if results and not any(result.ok for result in results):
        return (
            "no call succeeded, and more turns do not mend that: see the errors; boxes are read in "
            f"the frame {record.coords.value!r} (environment.coords)"
        )
    return (
        "the model still called tools in its last turn: raise environment.limits.max_turns (now "
        f"{record.limits.max_turns})"
    )


def _out_of_time(trajectory: Trajectory) -> str | None:
    if trajectory.stop is not StopReason.TIMEOUT:
        return None
    return (
        "the episode took too long: raise environment.limits.max_seconds (now "
        f"{trajectory.environment.limits.max_seconds:g}), or lower concurrency"
    )
