"""What tests of benchmarks write and make: TSV files in VLMEvalKit's columns, tasks, attempts."""

import base64
import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from building import a_trajectory, a_turn
from PIL import Image as PILImage
from pyarrow import Table
from pyarrow.parquet import write_table

from saccade.bench.benchmark import Benchmark, Scored
from saccade.bench.source import BenchTasks
from saccade.config import Part
from saccade.errors import ServiceError
from saccade.types import Record, StopReason, Task, Verdict

PIXELS = 10**8


def png(width: int = 40, height: int = 30, colour: str = "white") -> bytes:
    """The bytes of an image of one colour."""
    out = io.BytesIO()
    PILImage.new("RGB", (width, height), colour).save(out, "PNG")
    return out.getvalue()


def packed(width: int = 40, height: int = 30, colour: str = "white") -> str:
    """The same as base64."""
    return base64.b64encode(png(width, height, colour)).decode()


def write_tsv(path: Path, *rows: Mapping[str, object], quoting: int = csv.QUOTE_MINIMAL) -> Path:
    """A file as pandas writes it: `DataFrame.to_csv(sep="\\t", index=False)`."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(
            file, columns, delimiter="\t", lineterminator="\n", quoting=quoting, restval=""
        )
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_parquet(path: Path, *rows: dict[str, object]) -> Path:
    """A file as `datasets` writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(Table.from_pylist(list(rows)), path)
    return path


def tasks(kind: str, place: Path, **options: object) -> list[Task]:
    """The tasks of a benchmark, options in the order of the file unless it is said."""
    usual = {"order": "file"}
    source = BenchTasks(benchmark=Part(kind=kind), data=place, **(usual | options))  # type: ignore[arg-type]
    return [*source.tasks(seed=0, max_pixels=PIXELS)]


def scored(
    task: Task,
    value: float | None,
    answer: str | None = "A",
    stop: StopReason = StopReason.ANSWER,
    sample: int = 0,
) -> Scored:
    """An attempt, with what a way of scoring makes of it."""
    turn = a_turn(answer=answer)
    return Scored(task, a_trajectory(turn, stop=stop, task_id=task.id, sample=sample), value)


def values(benchmark: Benchmark, attempts: Sequence[Scored]) -> dict[tuple[str, str], float | None]:
    """Name and group of each metric -> its value."""
    return {(m.name, m.group): m.value for m in benchmark.metrics(attempts)}


class Down:
    """A judge that fails, as one whose server is gone."""

    name = "down"

    class Options(Record):
        """None."""

    def __init__(self, options: Options) -> None:
        """Take its options."""

    async def judge(self, task: Task, answer: str) -> Verdict:
        """Fail."""
        raise ServiceError("the judge is down")

    async def close(self) -> None:
        """Nothing to give back."""
