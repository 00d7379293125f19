"""A policy that plays back what was written down: scripts, tests, finished runs.

A script file is JSON Lines, one task a line: {"task": "mug", "turns": ["<think>...", "..."]}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from saccade.errors import ConfigError, FormatError
from saccade.files import read_text_lines
from saccade.types import Completion, ModelInfo, Record, Sampling, Trajectory

MAX_LINE_BYTES = 16 * 2**20

Script = Mapping[str, Sequence[str | Completion]] | Callable[[Trajectory], str]
"""Task id -> its turns; or a function from the state to the next text."""


class ReplayOptions(Record):
    """The `policy` section of a run file, kind "replay"."""

    script: Path
    """A script file, or the `trajectories.jsonl` of a run."""


class _Row(Record):
    task: str
    turns: tuple[str, ...]


class ReplayPolicy:
    """Writes the turns that a script holds."""

    Options = ReplayOptions
    info = ModelInfo(name="replay")

    def __init__(self, script: ReplayOptions | Script) -> None:
        """Take a script, or read one.

        Raises:
            FormatError: the file holds something else; names file and line.
        """
        self._script = read_script(script.script) if isinstance(script, ReplayOptions) else script

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        """The next text of the script.

        Raises:
            ConfigError: the script has no text for this task and turn.
        """
        if callable(self._script):
            return Completion(text=self._script(trajectory), model="replay")
        texts = self._script.get(trajectory.task_id, ())
        turn = len(trajectory.turns)
        if turn >= len(texts):
            raise ConfigError(
                f"replay: the script has {len(texts)} turns for task {trajectory.task_id!r}, "
                f"turn {turn + 1} was asked for"
            )
        return _completion(texts[turn])

    def count_tokens(self, trajectory: Trajectory) -> None:
        return None

    async def close(self) -> None:
        """Nothing to give back."""


def script_of(trajectories: Iterable[Trajectory]) -> dict[str, tuple[Completion, ...]]:
    """The script that repeats finished trajectories (the last sample of each task).

    Whole completions: native calls and cuts by length are repeated too.
    """
    return {t.task_id: tuple(turn.completion for turn in t.turns) for t in trajectories}


def read_script(path: Path) -> dict[str, tuple[Completion, ...]]:
    """A script from a file.

    Raises:
        FormatError: names file and line of what is neither a script row nor a trajectory.
    """
    script: dict[str, tuple[Completion, ...]] = {}
    for number, line in read_text_lines(path, most=MAX_LINE_BYTES):
        if line.strip():
            script |= _read_row(line, f"{path}:{number}")
    return script


def _completion(turn: str | Completion) -> Completion:
    return Completion(text=turn, model="replay") if isinstance(turn, str) else turn


def _read_row(line: str, where: str) -> dict[str, tuple[Completion, ...]]:
    try:
        row = _Row.model_validate_json(line)
    except ValidationError as first:
        try:
            return script_of([Trajectory.model_validate_json(line)])
        except ValidationError:
            reason = first.errors()[0]
            place = ".".join(map(str, reason["loc"]))
            raise FormatError(f"{where}: {place}: {reason['msg']}") from None
    return {row.task: tuple(map(_completion, row.turns))}
