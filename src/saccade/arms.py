"""The arms of an experiment: one policy, several ways to attempt a question.

    direct       must answer at once
    agent        does as it likes
    own_box      must call; is shown where it pointed
    wrong_box    must call; is shown a place without the object, of the size that it asked for
    true_box     must call; is shown the object
    blank_crop   must call; is shown a grey image
    format_only  must call; is shown no image, and told neutrally so
    no_tool      knows of no tool, and has one turn
    result_only  the same, with the crops of its episode as an agent beside the question

What lies between `direct` and `true_box` is what looking again can give; between `own_box` and
`true_box`, what better boxes could. `wrong_box` and `blank_crop` must fall to chance, or the crop
is not used. `format_only` is what a call gives without its result, `result_only` what a result
gives without its call.

To force a move needs a local policy. With `forced=False` every policy makes its moves itself, as
one behind a chat server must: the arms that call differ in what a call shows, if one is made, and
`direct` is one turn in the dialect `direct`, as in `saccade bench --arm direct`.

Source: format only and result only: arXiv 2606.02357, of which we had the abstract alone; what an
arm does exactly is ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from saccade.config import suggestion
from saccade.dialects.base import Move
from saccade.dialects.one_turn import Direct
from saccade.env import Environment
from saccade.errors import ConfigError
from saccade.images.image import Image
from saccade.policies.forced import FirstMove
from saccade.tools.staged import Place, StagedZoom
from saccade.tools.zoom import ZOOM
from saccade.types import Policy, TargetBox, Task, Trajectory


class Arm(NamedTuple):
    """What is forced on a policy, and what it is shown."""

    move: Move | None = None
    """Its first move, after a thought of its own; None leaves it free."""
    shows: Place | None = None
    """What the zoom shows instead of what was asked for."""
    tools: bool = True
    beside: bool = False
    """Whether crops of an earlier episode are shown beside the question."""


ARMS = {
    "direct": Arm("answer"),
    "agent": Arm(),
    "own_box": Arm("call"),
    "wrong_box": Arm("call", "wrong"),
    "true_box": Arm("call", "true"),
    "blank_crop": Arm("call", "blank"),
    "format_only": Arm("call", "nothing"),
    "no_tool": Arm(tools=False),
    "result_only": Arm(tools=False, beside=True),
}

Crops = Mapping[tuple[str, int], Sequence[Image]]
"""Task id and sample -> what is shown beside the question."""


class Player(NamedTuple):
    """A policy in the environment of an arm."""

    policy: Policy
    environment: Environment


def apply_arm(
    name: str,
    policy: Policy,
    environment: Environment,
    targets: Mapping[str, Sequence[TargetBox]] | None = None,
    *,
    crops: Crops | None = None,
    forced: bool = True,
) -> Player:
    """What attempts a question in an arm.

    Args:
        name: A key of `ARMS`.
        policy: As it is without the arm; it stays open.
        environment: As it is without the arm.
        targets: Task id -> where the asked objects are, for the arms that stage what is shown. It
            may be filled while tasks are drawn.
        crops: What `result_only` shows beside each question; nothing where there is none.
        forced: Whether the arm forces its move. If not, an environment without tools keeps its
            limits too: a call for a tool that is not there is answered by an error.

    Raises:
        ConfigError: there is no such arm, the dialect cannot force its move, or `result_only` is
            given no crops.
    """
    if name not in ARMS:
        names = ", ".join(ARMS)
        raise ConfigError(f"arm: there is no {name!r}{suggestion(name, ARMS)}; there are {names}")
    arm = ARMS[name]
    if not arm.tools:
        limits = environment.record.limits
        turns = 1 if forced else limits.max_turns
        one = limits.model_copy(update={"max_turns": turns})
        environment = environment.replace(tools=(), limits=one)
    if arm.beside:
        if crops is None:
            raise ConfigError(
                f"arm {name!r}: shows crops that the agent has looked at; play `agent` first, as "
                "`saccade bench --audit` does"
            )
        environment = BesideQuestion(environment, crops)
    if arm.shows is not None:
        # An empty one may be filled later.
        known = {} if targets is None else targets
        environment = environment.replace(
            tools=[
                StagedZoom(tool, arm.shows, known) if tool.spec.name == ZOOM else tool
                for tool in environment.tools
            ]
        )
    if forced and arm.move is not None:
        dialect = environment.dialect
        policy = FirstMove(policy, dialect.seams.force(arm.move, dialect.prefix))
    elif arm.move == "answer":
        environment = _at_once(environment)
    return Player(policy, environment)


def targets_of(tasks: Iterable[Task]) -> dict[str, tuple[TargetBox, ...]]:
    """Task id -> its true boxes, of the tasks that have any."""
    return {task.id: task.boxes for task in tasks if task.boxes}


class BesideQuestion(Environment):
    """Shows more images behind those of a question, each at the size that it has."""

    def __init__(self, environment: Environment, crops: Crops) -> None:
        """Take the rest from another environment.

        Args:
            environment: What is the same.
            crops: What is shown.
        """
        record = environment.record
        super().__init__(
            environment.dialect,
            environment.tools,
            limits=record.limits,
            view=record.view,
            observation=record.observation,
            coords=record.coords,
            color=record.color,
        )
        self._crops = crops

    def begin(self, task: Task, *, sample: int = 0, seed: int = 0) -> Trajectory:
        """The trajectory before the first turn, with the crops of this sample.

        Raises:
            PluginError: the dialect cannot write the prompt of this task.
        """
        begun = super().begin(task, sample=sample, seed=seed)
        *before, question = begun.prompt
        parts = question.content
        images = [place for place, part in enumerate(parts) if isinstance(part, Image)]
        behind = images[-1] + 1 if images else 0
        crops = self._crops.get((task.id, sample), ())
        shown = question.model_copy(update={"content": (*parts[:behind], *crops, *parts[behind:])})
        return begun.model_copy(update={"prompt": (*before, shown)})


def _at_once(environment: Environment) -> Environment:
    """One turn, all of which is the answer."""
    record = environment.record
    return Environment(
        Direct(),
        limits=record.limits.model_copy(update={"max_turns": 1}),
        view=record.view,
        observation=record.observation,
        coords=record.coords,
        color=record.color,
    )
