"""The run file of `saccade curate`.

# saccade curate recipes/nano_curate.toml
tasks = { kind = "parquet", path = "rows.parquet" }
policy = { kind = "openai", base_url = "http://127.0.0.1:8000/v1", model = "..." }
out = "runs/curated"

[curate]
samples = 8
terms = ["structure", "verifiability", { kind = "difficulty", above = 0.1 }, "my.module:Term"]
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from saccade.config import Part, Parts
from saccade.recipe import Recipe
from saccade.types import Record, Sampling


class Curation(Record):
    """The `curate` section of a run file."""

    terms: Parts = (
        Part(kind="structure"),
        Part(kind="verifiability"),
        Part(kind="difficulty"),
        Part(kind="utility"),
    )
    """The terms, in the order in which they decide: each is a key of `saccade.data.curate.TERMS` or
    "pkg.mod:Name", alone or as the `kind` of a table with its options. A question that one has
    dropped is not shown to the next."""
    samples: int = Field(default=8, ge=1)
    """Number of attempts at a question where a share of right ones is measured."""
    temperature: float = Field(default=1.0, ge=0)
    """Sampling temperature of these attempts."""
    direct: Literal["plain", "forced"] = "plain"
    """How an answer is got without looking closer: `plain` leaves the tools out of the prompt;
    `forced`, for local models, leaves them in and forces the first move to be an answer."""


class CurateRecipe(Recipe):
    """A run file of `saccade curate`: tasks, policy and reward are those of `saccade rollout`."""

    out: str
    curate: Curation = Curation()

    @model_validator(mode="after")
    def _the_curation_sets_these(self) -> CurateRecipe:
        if self.samples != 1 or self.sampling != Sampling():
            raise ValueError("samples, sampling: use curate.samples and curate.temperature")
        return self
