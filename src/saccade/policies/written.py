"""How a rule writes its turns: as a model would, in the dialect of the run."""

from __future__ import annotations

import json

from pydantic import JsonValue

from saccade import dialects
from saccade.dialects.base import Dialect
from saccade.errors import ConfigError
from saccade.types import Action, Completion, Trajectory, WireCall


def dialect_of(trajectory: Trajectory, rule: str) -> Dialect:
    """The dialect that an episode is written in.

    Args:
        trajectory: The episode.
        rule: The name of the rule in messages.

    Raises:
        ConfigError: it is none of the built-in ones.
    """
    name = trajectory.environment.dialect
    dialect = dialects.built_in(name)
    if dialect is None:
        raise ConfigError(
            f"{rule}: writes in {', '.join(dialects.BUILT_IN)}, the dialect of this run is {name!r}"
        )
    return dialect


def completion_of(
    dialect: Dialect,
    action: Action,
    model: str,
    *,
    seconds: float = 0.0,
    data: dict[str, JsonValue] | None = None,
) -> Completion:
    """A turn that does this, as it comes from a model or from a chat server."""
    text = dialect.write(action)
    calls: tuple[WireCall, ...] = ()
    if dialect.native_tools and action.calls:
        text = dialect.write(action.model_copy(update={"calls": ()}))
        calls = tuple(
            WireCall(id=f"call_{n}", name=call.name, arguments=json.dumps(call.arguments))
            for n, call in enumerate(action.calls, start=1)
        )
    if dialect.prefix:
        text = text.removeprefix(dialect.prefix)
    return Completion(text=text, tool_calls=calls, model=model, data=data or {}, seconds=seconds)
