"""A local model and its renderer: loading, saving, and what a checkpoint says of itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from transformers import AutoModelForImageTextToText, PreTrainedModel
from transformers.utils.logging import (
    disable_progress_bar,
    enable_progress_bar,
    is_progress_bar_enabled,
)

from saccade import __version__
from saccade.errors import FormatError
from saccade.files import MAX_KEPT_BYTES, read_whole
from saccade.render.qwen_vl import QwenVLRenderer, load_renderer
from saccade.types import Record
from saccade.untrusted.checkpoints import refuse_code

STAMP = "saccade.json"


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode and what renders trajectories for it."""

    model: PreTrainedModel
    renderer: QwenVLRenderer
    path: str

    @property
    def device(self) -> torch.device:
        return torch.device(self.model.device)


class Stamp(Record):
    """What a checkpoint says of how it came about; the content of `saccade.json` in its folder."""

    fingerprints: tuple[str, ...] = ()
    """The environments that the checkpoint was trained in."""
    saccade: str = ""
    """The version that wrote it."""


@contextmanager
def without_bars() -> Iterator[None]:
    """Silence the progress bars of transformers: a library says nothing, a command has its own."""
    shown = is_progress_bar_enabled()
    disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            enable_progress_bar()


def load(
    path: str | Path, *, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> LoadedModel:
    """Load a checkpoint by the ordinary path; its code is never run, only safetensors are read.

    Args:
        path: A folder, or a model id of the hub.
        device: "cpu", "cuda", "cuda:1", ...
        dtype: Of the weights.

    Raises:
        ConfigError: the checkpoint is of a family that has no renderer, or brings code.
    """
    refuse_code(path)
    renderer = load_renderer(path)
    with without_bars():
        model = AutoModelForImageTextToText.from_pretrained(
            path, dtype=dtype, use_safetensors=True, trust_remote_code=False
        )
    return LoadedModel(model.to(device).eval(), renderer, str(path))


def save_weights(model: PreTrainedModel, folder: str | Path, *, dtype: torch.dtype) -> None:
    """Write weights and configuration; the model itself keeps the type that it has."""
    tied = model.config.tie_word_embeddings
    state = {
        name: value.to(dtype)
        for name, value in model.state_dict().items()
        if not (tied and name == "lm_head.weight")
    }
    with without_bars():
        model.save_pretrained(folder, state_dict=state)
    path = Path(folder) / "config.json"
    config = json.loads(read_whole(path, most=MAX_KEPT_BYTES))
    name = str(dtype).removeprefix("torch.")
    for section in (config, *(v for v in config.values() if isinstance(v, dict))):
        if "dtype" in section:
            section["dtype"] = name
    path.write_text(json.dumps(config, indent=2) + "\n")


def write_stamp(folder: str | Path, fingerprints: Sequence[str]) -> None:
    """Note in a checkpoint which environments it was trained in."""
    stamp = Stamp(fingerprints=tuple(fingerprints), saccade=__version__)
    (Path(folder) / STAMP).write_text(stamp.model_dump_json(indent=2) + "\n")


def read_stamp(folder: str | Path) -> Stamp:
    """The stamp of a checkpoint; an empty one for a model that others made.

    Raises:
        FormatError: the file is no stamp.
    """
    path = Path(folder) / STAMP
    try:
        return Stamp.model_validate_json(read_whole(path, most=MAX_KEPT_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        return Stamp()
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror})") from error
    except ValidationError as error:
        raise FormatError(f"{path}: {error.errors()[0]['msg']}") from error
