"""The run file of `saccade bench`.

# saccade bench vstar data=vstar_bench policy.kind=openai policy.base_url=URL policy.model=NAME
seed = 0
out = "runs/vstar"
bench = { kind = "vstar" }
data = "vstar_bench"
arm = "agent"
policy = { kind = "openai", base_url = "http://127.0.0.1:8000/v1", model = "..." }
reward.judge = ["exact", { kind = "llm", base_url = "http://127.0.0.1:8001/v1", model = "..." }]
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from saccade.bench.order import Order
from saccade.config import Part
from saccade.recipe import Recipe
from saccade.rewards import RewardOptions

Arm = Literal["direct", "cot", "agent"]
SOURCE = "saccade.bench.source:BenchTasks"


class BenchRecipe(Recipe):
    """The run file of a benchmark: that of a rollout, whose tasks are the items."""

    bench: Part
    """The benchmark and its options: a key of `saccade.bench.BENCHMARKS`, or "pkg.mod:Class"."""
    data: Path | None = None
    """The file or folder of the data set; None: where `saccade bench list` finds it."""
    n: int | None = Field(default=None, ge=1)
    """Number of items, drawn by a hash of seed and id; None: all."""
    order: Order = "hashed"
    """The order in which options are shown."""
    shard: str = "1/1"
    """Which part of the items this run takes, as in "2/8"."""
    arm: Arm = "agent"
    """How a question is attempted: at once (`direct`), after a thought (`cot`), or with the tools
    of the run file (`agent`)."""
    reward: RewardOptions = RewardOptions(preset="benchmark")

    @model_validator(mode="before")
    @classmethod
    def _items_are_the_tasks(cls, table: object) -> object:
        if not isinstance(table, dict) or "bench" not in table:
            return table
        keys = {key: table[key] for key in ("data", "n", "order", "shard") if key in table}
        return {**table, "tasks": {"kind": SOURCE, "benchmark": table["bench"], **keys}}
