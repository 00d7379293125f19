"""The embedded models: tiny ones of a real class, trained from nothing on the procedural world.

They load by the ordinary path and run in seconds on a laptop, so that what an agent, a trainer or a
benchmark does can be tried from end to end. They know their own world and nothing else.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

MODELS = {
    "nano-base0": "every skill, and never a call of its own accord",
    "nano-base": "the same, and a call in one of a hundred questions",
    "nano-sft": "nano-base after a cold start: calls where it needs to",
    "nano-agent": "nano-base after outcome-reward RL on `read` (DeepEyes): looks before it answers",
}
"""Name -> what it is. Each is a folder of `weights/`."""

DEFAULT = "nano-agent"


def folder_of(name: str) -> Path:
    """The folder of an embedded model.

    Raises:
        KeyError: there is none of this name.
    """
    if name not in MODELS:
        raise KeyError(name)
    return Path(str(files("saccade.nano").joinpath("weights", name)))


def resolve(name: str) -> str:
    """The folder of an embedded model, or else the path or model id that a user gave, unchanged."""
    return str(folder_of(name)) if name in MODELS else name
