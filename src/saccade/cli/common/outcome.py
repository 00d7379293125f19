"""How a command that fills a run folder begins: with what came of it, if it is finished already."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from saccade.cli.common.interrupt import keeps
from saccade.cli.common.say import say

if TYPE_CHECKING:
    from pydantic import JsonValue


def finished_before(
    verb: str,
    config: Mapping[str, JsonValue],
    out: Path,
    *,
    total: int | None = None,
    is_result: Callable[[Mapping[str, JsonValue]], bool] = bool,
) -> dict[str, JsonValue] | None:
    """The result of a run that is finished and is asked for no more; None if there is work to do.

    That nothing was done is said on stderr. From here on Ctrl-C says what `out` keeps.

    Args:
        verb: The command.
        config: The resolved run file.
        out: The run folder.
        total: Number of tasks that there are, if it is known.
        is_result: Whether a result is one that this version can show; one that is not counts as
            work to do.

    Raises:
        ConfigError: the folder holds another run that is finished.
    """
    from saccade.runs.finished import finished

    keeps(out)
    done = finished(verb, config, out, total=total)
    if done is None or not is_result(done.result):
        return None
    beyond = ", ".join(done.beyond(config))
    more = f", and holds more than is asked for ({beyond})" if beyond else ""
    if os.environ.get("RANK", "0") == "0":  # of several processes the first one says it
        say(f"{out} is finished{more}: nothing was left to do; this is its result", err=True)
    return done.result
