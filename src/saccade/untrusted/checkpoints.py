"""What a checkpoint of others may hold: weights and settings, and nothing that runs.

    refuse_code("path/to/checkpoint")       # before any library reads it

A checkpoint can name code of its own (`auto_map`), kernels that are fetched and run, another
checkpoint below it, and weights as a pickle, which is code as well. transformers asks on the
terminal whether to run some of it. What this does not guarantee: that the parsers of JSON,
tokenizers and safetensors have no faults, or that a model is what its name says. A model id of the
hub is not looked at here; there `trust_remote_code=False` holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import JsonValue

from saccade.errors import ConfigError
from saccade.files import open_file

SETTINGS = "*config*.json"
"""Files in which a checkpoint says how it is loaded; config.4.0.0.json may stand for config.json.
Source: transformers, configuration_utils.py, get_configuration_file."""
INDEX = "*.index*.json"
"""Files that say which part of the weights lies where."""
ADAPTER = "adapter_config.json"
MAX_BYTES = 64 * 2**20
_RUNS = {"auto_map", "auto_mapping", "custom_pipelines", "custom_generate"}
"""Settings that name code. Source: transformers, dynamic_module_utils.py (auto_map), pipelines
(custom_pipelines), generation/utils.py (custom_generate); peft, auto.py (auto_mapping)."""
_KERNELS = {"attn_implementation", "_attn_implementation", "experts_implementation", "use_kernels"}
"""Settings that may name a repository of kernels. Source: transformers, modeling_utils.py and
integrations/hub_kernels.py: a name with a slash is fetched and imported."""
MOST_BELOW = 3
"""Number of adapters that may stand on each other."""


def refuse_code(path: str | Path, *, below: int = MOST_BELOW) -> None:
    """Refuse a folder with a checkpoint that brings code, before anything reads it.

    Args:
        path: A folder; whatever is none is left to who loads it.
        below: Number of checkpoints that may stand below it.

    Raises:
        ConfigError: it brings or names code, or weights that are code or lie elsewhere.
    """
    folder = Path(path)
    if not folder.is_dir():
        return
    for file in sorted(folder.glob(SETTINGS)):
        for key in _named(_read(file)):
            raise ConfigError(
                f"{file}: {key} names code that would be run; only checkpoints of classes that "
                "transformers has are loaded: take it out, or load and save the model with "
                "a class of transformers"
            )
    _refuse_weights(folder)
    base = _read(folder / ADAPTER) if (folder / ADAPTER).exists() else None
    lower = base.get("base_model_name_or_path") if isinstance(base, dict) else None
    if isinstance(lower, str) and Path(lower).is_dir():
        if below == 0:
            raise ConfigError(f"{folder / ADAPTER}: adapters of adapters; merge them first")
        refuse_code(lower, below=below - 1)


def _refuse_weights(folder: Path) -> None:
    """Pickled weights, and parts of weights in other folders."""
    for kind in ("model", "adapter_model"):
        pickled = [*folder.glob(f"pytorch_{kind}*.bin"), *folder.glob(f"{kind}*.bin")]
        safe = (folder / f"{kind}.safetensors", folder / f"{kind}.safetensors.index.json")
        if pickled and not any(file.exists() for file in safe):
            raise ConfigError(
                f"{pickled[0]}: weights as a pickle are code; save them as safetensors "
                "(save_pretrained of transformers does)"
            )
    for file in sorted(folder.glob(INDEX)):
        index = _read(file)
        parts = index.get("weight_map") if isinstance(index, dict) else None
        for part in parts.values() if isinstance(parts, dict) else ():
            if not isinstance(part, str) or Path(part).name != part or part in ("", "..", "."):
                raise ConfigError(f"{file}: expected names of files beside it, got {part!r}")


def _named(value: JsonValue) -> Iterator[str]:
    """The settings, at any depth, that name code; None and false name none."""
    waiting = [value]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, list):
            waiting += inner
        elif isinstance(inner, dict):
            waiting += inner.values()
            yield from (key for key in sorted(_RUNS & set(inner)) if inner[key])
            yield from (key for key in sorted(_KERNELS & set(inner)) if _is_fetched(inner[key]))


def _is_fetched(value: JsonValue) -> bool:
    several = value.values() if isinstance(value, dict) else [value]
    return any(each is True or (isinstance(each, str) and "/" in each) for each in several)


def _read(file: Path) -> JsonValue:
    """The JSON of a file.

    Raises:
        ConfigError: it is none, too large, or no regular file.
    """
    try:
        with open_file(file) as opened:
            data = opened.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ConfigError(f"{file}: more than {MAX_BYTES} bytes")
        value: JsonValue = json.loads(data)
    except ConfigError:
        raise
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: no JSON ({str(error)[:200]})") from error
    return value
