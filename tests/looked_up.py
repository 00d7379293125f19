"""Benchmarks of looked-up answers: files in their formats, and attempts on their tasks."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import pyarrow
import pyarrow.parquet
from building import a_result, a_trajectory, a_turn
from PIL import Image as PILImage

from saccade.bench.benchmark import Scored
from saccade.bench.source import BenchTasks
from saccade.config import Part
from saccade.measures.means import Metric
from saccade.types import StopReason, Task, ToolCall, ToolSpec, Trajectory

PIXELS = 10**8


def png(side: int = 8, colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    PILImage.new("RGB", (side, side), colour).save(buffer, "PNG")
    return buffer.getvalue()


def png_text(side: int = 8) -> str:
    return base64.b64encode(png(side)).decode()


def parquet(file: Path, rows: Sequence[dict[str, object]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), file)
    return file


def tasks(kind: str, place: Path, *, n: int | None = None, **options: object) -> list[Task]:
    """The tasks of a benchmark, with its options."""
    part = Part.model_validate({"kind": kind, **options})
    source = BenchTasks(benchmark=part, data=place, n=n, order="file")
    return [*source.tasks(seed=0, max_pixels=PIXELS)]


def attempt(task: Task, answer: str | None, *, calls: Sequence[str] = ()) -> Trajectory:
    """An episode that calls tools and answers; without an answer it ends without an action."""
    results = [a_result().model_copy(update={"call": ToolCall(name=name)}) for name in calls]
    played = a_trajectory(a_turn(*results, answer=answer))
    stop = StopReason.NO_ACTION if answer is None else StopReason.ANSWER
    return played.model_copy(update={"task_id": task.id, "stop": stop})


def offering(trajectory: Trajectory, *names: str) -> Trajectory:
    """The same in an environment with these tools."""
    specs = tuple(ToolSpec(name=name, description="", parameters={}) for name in names)
    record = trajectory.environment.model_copy(update={"tools": specs})
    return trajectory.model_copy(update={"environment": record})


def scored(task: Task, answer: str | None, value: float | None) -> Scored:
    return Scored(task, attempt(task, answer), value)


def figures(metrics: Sequence[Metric]) -> dict[tuple[str, str], float | None]:
    """Name and group of each metric -> its value, to three places."""
    return {
        (metric.name, metric.group): None if metric.value is None else round(metric.value, 3)
        for metric in metrics
    }
