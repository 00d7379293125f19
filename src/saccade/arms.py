"""The arms of an experiment: one policy, several ways to attempt a question.

    direct       must answer at once
    agent        does as it likes
    own_box      must call; is shown where it pointed
    wrong_box    must call; is shown a place without the object, of the size that it asked for
    true_box     must call; is shown the object
    blank_crop   must call; is shown nothing
    no_tool      knows of no tool, and has one turn

What lies between `direct` and `true_box` is what looking again can give; between `own_box` and
`true_box`, what better boxes could. `wrong_box` and `blank_crop` must fall to chance, or the crop
is not used. An arm that forces a move needs a local policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from saccade.config import suggestion
from saccade.dialects.base import Move
from saccade.env import Environment
from saccade.errors import ConfigError
from saccade.policies.forced import FirstMove
from saccade.tools.staged import Place, StagedZoom
from saccade.tools.zoom import ZOOM
from saccade.types import Policy, TargetBox, Task


class Arm(NamedTuple):
    """What is forced on a policy, and what it is shown."""

    move: Move | None = None
    """Its first move, after a thought of its own; None leaves it free."""
    shows: Place | None = None
    """What the zoom shows instead of what was asked for."""
    tools: bool = True


ARMS = {
    "direct": Arm("answer"),
    "agent": Arm(),
    "own_box": Arm("call"),
    "wrong_box": Arm("call", "wrong"),
    "true_box": Arm("call", "true"),
    "blank_crop": Arm("call", "blank"),
    "no_tool": Arm(tools=False),
}


class Player(NamedTuple):
    """A policy in the environment of an arm."""

    policy: Policy
    environment: Environment


def apply_arm(
    name: str,
    policy: Policy,
    environment: Environment,
    targets: Mapping[str, TargetBox] | None = None,
) -> Player:
    """What attempts a question in an arm.

    Args:
        name: A key of `ARMS`.
        policy: As it is without the arm; it stays open.
        environment: As it is without the arm.
        targets: Task id -> where the asked object is, for the arms that stage what is shown. It
            may be filled while tasks are drawn.

    Raises:
        ConfigError: there is no such arm, or the dialect cannot force its move.
    """
    if name not in ARMS:
        known = ", ".join(ARMS)
        raise ConfigError(f"arm: there is no {name!r}{suggestion(name, ARMS)}; there are {known}")
    arm = ARMS[name]
    if not arm.tools:
        one_turn = environment.record.limits.model_copy(update={"max_turns": 1})
        environment = environment.replace(tools=(), limits=one_turn)
    if arm.shows is not None:
        environment = environment.replace(
            tools=[
                StagedZoom(tool, arm.shows, targets or {}) if tool.spec.name == ZOOM else tool
                for tool in environment.tools
            ]
        )
    if arm.move is not None:
        dialect = environment.dialect
        policy = FirstMove(policy, dialect.seams.force(arm.move, dialect.prefix))
    return Player(policy, environment)


def targets_of(tasks: Iterable[Task]) -> dict[str, TargetBox]:
    """Task id -> its first true box, of the tasks that have one."""
    return {task.id: task.boxes[0] for task in tasks if task.boxes}
