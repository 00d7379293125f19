"""Options of policies that load torch: a run file is checked against them without it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from saccade.types import Record


class HFOptions(Record):
    """The `policy` section of a run file, kind "hf"."""

    path: str
    """A folder with a checkpoint, or a model id of the hub."""
    device: str = "cpu"
    """The device that holds the weights: cpu, cuda, cuda:1, ..."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """The type of the weights in memory."""
    max_batch: int = Field(default=64, ge=1)
    """Number of turns that are generated at the same time; further turns wait."""
