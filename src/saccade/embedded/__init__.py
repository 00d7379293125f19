"""The models that ship in the package, and their names.

They load by the ordinary path and run in seconds on a laptop, so that what an agent, a trainer or a
benchmark does can be tried from end to end. They know their own world and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from saccade.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import JsonValue

MODELS = {
    "nano-base0": "every skill of DeepEyes, and never a call of its own accord",
    "nano-base": "the same, and a call in one of a hundred questions",
    "nano-sft": "nano-base after a cold start: calls where it needs to",
    "nano-look": "nano-base after outcome-reward RL on `read`: looks before it answers",
    "nano-base-v2": "every skill of DeepEyesV2, and hardly ever a call of its own accord",
    "nano-sft-v2": "nano-base-v2 after a cold start: calls what it was shown to call",
    "nano-agent": "nano-sft-v2 after RL with a cost of calls: looks, searches, computes if it must",
}
"""Name -> what it is. Each is a folder of `weights/`."""

DEFAULT = "nano-agent"
"""The model with all tools, which the demo shows."""
LOOKS = "nano-look"
"""The model whose only tool is a look: what benchmarks of looking again measure."""


def folder_of(name: str) -> Path:
    """The folder of an embedded model.

    Raises:
        KeyError: there is none of this name.
    """
    if name not in MODELS:
        raise KeyError(name)
    return Path(str(files("saccade.embedded").joinpath("weights", name)))


def resolve(name: str) -> str:
    """The folder of an embedded model, or else the path or model id that a user gave, unchanged.

    Raises:
        ConfigError: the name can only be a folder, and there is none; or it is close to an embedded
            one. No hub is asked for it.
    """
    if name in MODELS:
        return str(folder_of(name))
    if Path(name).is_dir():
        return name
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ConfigError(f"{name}: no such folder; name a checkpoint, or a model id of the hub")
    if "/" not in name:
        for near in get_close_matches(name, MODELS, n=1):
            raise ConfigError(
                f"model {name!r}: there is no such folder and no embedded model of this name; did "
                f"you mean {near!r}? A model of the hub is OWNER/NAME"
            )
    return name


def with_folders(sections: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Sections of a run file in which paths of models are folders, not embedded names.

    They are `policy.path`, the `path` of each of `teachers`, and `model`.

    Raises:
        ConfigError: a folder that is not there, or a name that is close to an embedded one.
    """
    table = dict(sections)
    policy, model, teachers = (table.get(key) for key in ("policy", "model", "teachers"))
    if isinstance(policy, dict):
        table["policy"] = _with_folder(policy)
    if isinstance(teachers, list):
        table["teachers"] = [_with_folder(t) if isinstance(t, dict) else t for t in teachers]
    if isinstance(model, str):
        table["model"] = resolve(model)
    return table


def _with_folder(part: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    path = part.get("path")
    return {**part, "path": resolve(path)} if isinstance(path, str) else dict(part)


def is_embedded(path: object) -> bool:
    """Whether a model is one of the embedded ones, by name or by folder."""
    return any(str(path) in (name, str(folder_of(name))) for name in MODELS)
