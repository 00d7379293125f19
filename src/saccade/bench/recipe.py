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
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from saccade.bench.order import Order
from saccade.bench.source import BenchTasks
from saccade.config import Part
from saccade.recipe import Recipe
from saccade.rewards import RewardOptions

Arm = Literal["direct", "cot", "agent"]
SOURCE = "saccade.bench.source:BenchTasks"


def _named(value: object) -> object:
    return {"kind": value} if isinstance(value, str) else value


class BenchRecipe(Recipe):
    """The run file of a benchmark: that of a rollout, whose tasks are the items."""

    bench: Annotated[Part, BeforeValidator(_named)]
    """The benchmark and its options: a key of `saccade.bench.BENCHMARKS`, or "pkg.mod:Class"."""
    data: Path | None = None
    """The file or folder of the data set; None: where `saccade bench list` finds it."""
    n: int | None = Field(default=None, ge=1)
    """Number of items, drawn by a hash of seed and id; None: all."""
    order: Order = "hashed"
    """The order in which options are shown; with `compat` that of the file."""
    shard: str = "1/1"
    """Which part of the items this run takes, as in "2/8"."""
    arm: Arm = "agent"
    """How a question is attempted: at once (`direct`), after a thought (`cot`), or with the tools
    of the run file (`agent`)."""
    compat: Literal["vlmevalkit"] | None = None
    """Whose published numbers stand beside ours: its scorers are applied as well, with their known
    mistakes, and options are shown in the order of the file."""
    tasks: Part | None = Field(default=None, exclude=True)
    """The items of the benchmark; it is left out."""
    reward: RewardOptions = RewardOptions(preset="benchmark")

    @model_validator(mode="before")
    @classmethod
    def _items_are_the_tasks(cls, table: object) -> object:
        if not isinstance(table, dict) or "bench" not in table:
            return table
        if table.get("tasks") is not None:
            raise ValueError("tasks: the items of the benchmark are the tasks; leave it out")
        if table.get("compat") is not None:
            table = {"order": "file", **table}
        reward = table.get("reward")
        if isinstance(reward, dict):
            table = {**table, "reward": {"preset": "benchmark", **reward}}
        keys = {key: table[key] for key in ("data", "n", "order", "shard") if key in table}
        return {**table, "tasks": {"kind": SOURCE, "benchmark": _named(table["bench"]), **keys}}

    @model_validator(mode="after")
    def _published_numbers_are_of_the_order_of_the_file(self) -> Self:
        if self.compat is not None and self.order != "file":
            raise ValueError(f"order: compat={self.compat} shows options in the order of the file")
        return self

    @property
    def source(self) -> BenchTasks:
        """Where the tasks come from."""
        return BenchTasks(
            benchmark=self.bench, data=self.data, n=self.n, order=self.order, shard=self.shard
        )
