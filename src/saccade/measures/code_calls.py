"""What became of the calls that hand over code: whether they ran, told anything, and were mended.

Every code call is one of three: *crashing* (refused, raised or stopped), *vacuous* or *executed
otherwise*. What is promised of each share stands beside it in `CodeCalls`; all have n and a 95 %
interval in which the calls of one question are no independent trials.

Not promised: that what is useful here helped the answer. It says that a call told what was not in
it; whether that was needed, an arm without the tool says (`saccade bench --audit`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from saccade.images.image import Image
from saccade.measures.means import Metric, mean_of
from saccade.measures.summary import Pair, is_correct
from saccade.measures.tool_kinds import code_of, parsed
from saccade.types import Record, StopReason, Task, ToolResult, Trajectory

_STREAMS = re.compile(r"\Astdout:\n```(.*?)```\n\nstderr:\n```(.*?)```(?:\n\n|\Z)", re.DOTALL)
"""What `saccade.tools.python` shows of a cell, which is DeepEyesV2's layout."""
_WORD = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|\w+")
OURS = (StopReason.ABORTED, StopReason.TIMEOUT, None)


class CodeCalls(Record):
    """What became of the code calls of finished episodes."""

    group: str
    episodes: int
    """Number of finished episodes, those without code included."""
    calls: int
    executed: Metric
    """Of the code calls, the share that ran to its end without an error."""
    useful: Metric
    """The share that ran without an error and showed something: an image, or text with a word or
    number that stands in no literal of the code; and neither the question nor an earlier call had
    shown it. `print(3901)` is not useful, `print(47 * 83)` is, whether or not it is right."""
    answers: Metric
    """Of the code calls of questions with a gold answer, the share whose whole printed text is that
    answer: where the question asks for what code computes (products of the embedded world), this is
    useful code in the strict sense."""
    used: Metric
    """Of the useful calls that printed text, the share of which a later turn takes a word or number
    that was neither in the code nor in the question."""
    vacuous: Metric
    """The share that ran without an error and came to nothing: it showed nothing, and no later cell
    of the episode names what it assigned, defined, imported or changed. Comments and `pass`."""
    crashing: Metric
    """The share that was refused, raised, or was stopped."""
    unique: Metric
    """The share whose code, comments and layout aside, no other question of the run is given. Code
    that has collapsed to one text has 0; of several samples of a question nothing is asked. The
    interval takes questions as independent, which they are only nearly."""
    distinct: int
    """Number of different codes, comments and layout aside."""
    repaired: Metric
    """Of the calls with an error or text on stderr, the share after which the next code call of the
    episode ran without either. One that ends the episode is not repaired."""
    right_after: Metric
    """Of the scored episodes with such a call, the share that ends right."""


class Call(NamedTuple):
    """A code call, and what the report needs of it."""

    task: str
    code: str
    form: str
    """The code without comments and layout."""
    executed: bool
    useful: bool
    vacuous: bool
    answers: bool | None
    used: bool | None
    troubled: bool
    """Whether it raised, was refused, or wrote on stderr."""
    mended: bool
    """Of a troubled one: whether the next code call was not."""


class Streams(NamedTuple):
    """What a cell printed."""

    stdout: str
    stderr: str


def code_calls(group: str, pairs: Iterable[Pair]) -> CodeCalls | None:
    """What became of the code calls of episodes; None if there are none.

    Args:
        group: What they are of.
        pairs: Tasks with their episodes; those that did not finish are left out.
    """
    done = [(task, made) for task, made in pairs if made.stop not in OURS]
    held = [(task, made, calls_in(task, made)) for task, made in done]
    every = [call for _, _, calls in held for call in calls]
    if not every:
        return None
    askers: dict[str, set[str]] = {}
    for call in every:
        askers.setdefault(call.form, set()).add(call.task)

    def share(name: str, of: Iterable[tuple[Call, bool | None]]) -> Metric:
        return mean_of(name, group, [(c.task, float(v)) for c, v in of if v is not None])

    ended = [
        (task.id, float(right))
        for task, made, calls in held
        if any(call.troubled for call in calls) and (right := is_correct(made)) is not None
    ]
    return CodeCalls(
        group=group,
        episodes=len(done),
        calls=len(every),
        executed=share("executed", ((c, c.executed) for c in every)),
        useful=share("useful", ((c, c.useful) for c in every)),
        answers=share("prints the answer", ((c, c.answers) for c in every)),
        used=share("used later", ((c, c.used) for c in every)),
        vacuous=share("vacuous", ((c, c.vacuous) for c in every)),
        crashing=share("crashing", ((c, not c.executed) for c in every)),
        unique=share("unique code", ((c, len(askers[c.form]) == 1) for c in every)),
        distinct=len(askers),
        repaired=share("repaired", ((c, c.mended) for c in every if c.troubled)),
        right_after=mean_of("right after an error", group, ended),
    )


def calls_in(task: Task, trajectory: Trajectory) -> list[Call]:
    """The code calls of an episode, in their order."""
    cells = [
        (turn, result, code)
        for turn, made in enumerate(trajectory.turns)
        for result in made.results
        if (code := code_of(result.call)) is not None
    ]
    new = {id(result) for result in trajectory.successes}
    troubled = [result.failed or bool(_streams(result).stderr) for _, result, _ in cells]
    made = []
    for at, (turn, result, code) in enumerate(cells):
        tree, text = parsed(code), _streams(result).stdout
        literals = set(_literals(tree))
        told = [word for word in _WORD.findall(text) if word not in literals]
        pictures = any(isinstance(part, Image) for part in result.content)
        executed = not result.failed
        useful = executed and id(result) in new and (pictures or bool(told))
        later = [parsed(other) for _, _, other in cells[at + 1 :]]
        call = Call(
            task=task.id,
            code=code,
            form=_form(code, tree),
            executed=executed,
            useful=useful,
            vacuous=executed and not (text or pictures) and not _is_used(tree, later),
            answers=None if task.answer is None else executed and text == task.answer.strip(),
            used=_is_taken(told, task, trajectory, turn) if useful and told else None,
            troubled=troubled[at],
            mended=at + 1 < len(cells) and not troubled[at + 1],
        )
        made.append(call)
    return made


def _form(code: str, tree: ast.Module | None) -> str:
    """The code without comments and layout, where it can be read."""
    try:
        return code.strip() if tree is None else ast.unparse(tree)
    except RecursionError:
        return code.strip()


def _streams(result: ToolResult) -> Streams:
    """What was printed; of other tools that take code, all text is stdout."""
    text = "".join(part for part in result.content if isinstance(part, str))
    found = _STREAMS.match(text)
    return Streams(found[1].strip(), found[2].strip()) if found else Streams(text.strip(), "")


def _literals(tree: ast.Module | None) -> Iterator[str]:
    """The words and numbers that stand in the texts and numbers of the code."""
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Constant) and node.value is not None:
            yield from _WORD.findall(str(node.value))


def _is_used(tree: ast.Module | None, later: Sequence[ast.Module | None]) -> bool:
    """Whether a later cell names what this one bound or changed."""
    if tree is None:
        return True  # it ran, but nothing is known of what it did
    bound = set(_touched(tree))
    return any(
        isinstance(node, ast.Name) and node.id in bound and isinstance(node.ctx, ast.Load)
        for other in later
        if other is not None
        for node in ast.walk(other)
    )


def _touched(tree: ast.Module) -> Iterator[str]:
    """Names that a cell binds, or whose values it may have changed."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case (
                ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
            ):
                yield name
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                yield from (one.asname or one.name.split(".")[0] for one in names)
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=owner))):
                yield from _root(owner)
            case ast.Attribute(value=owner, ctx=ast.Store()):
                yield from _root(owner)
            case ast.Subscript(value=owner, ctx=ast.Store()):
                yield from _root(owner)
            case _:
                pass


def _root(node: ast.expr) -> Iterator[str]:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id


def _is_taken(told: Sequence[str], task: Task, trajectory: Trajectory, turn: int) -> bool:
    """Whether a later turn of the model takes a word that the question did not have."""
    new = set(told) - set(_WORD.findall(task.question))
    return any(
        not new.isdisjoint(_WORD.findall(made.completion.text))
        for made in trajectory.turns[turn + 1 :]
    )
