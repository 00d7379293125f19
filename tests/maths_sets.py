"""What tests of benchmarks share: pictures, files, their tasks, and attempts that are scored."""

import base64
import io
import json
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from building import a_trajectory
from PIL import Image as PILImage

from saccade.bench.benchmark import Benchmark, Scored
from saccade.bench.source import BenchTasks
from saccade.config import Part
from saccade.types import Task, Verdict

PIXELS = 10**8


def png(colour: str = "white") -> bytes:
    """A picture of 12 x 8 pixels."""
    buffer = io.BytesIO()
    PILImage.new("RGB", (12, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


def packed() -> str:
    """The same as VLMEvalKit writes it: base64, long enough not to be the index of another row."""
    buffer = io.BytesIO()
    PILImage.effect_noise((40, 40), 60).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def write_json(file: Path, content: object, *pictures: str) -> None:
    """A JSON file, and pictures by their paths relative to its folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    for picture in pictures:
        path = file.parent / picture
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png())


def write_parquet(file: Path, rows: list[dict[str, object]]) -> None:
    """A parquet file as `datasets` writes it: a picture is a table of bytes and path."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), file)


def write_tsv(file: Path, rows: list[Mapping[str, object]]) -> None:
    """A TSV file as pandas writes it."""
    head = list(rows[0])
    lines = ["\t".join(head)]
    for row in rows:
        cells = [str(row[name]).replace('"', '""') for name in head]
        lines.append("\t".join(f'"{cell}"' for cell in cells))
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def tasks(kind: str, data: Path, order: str = "file", **options: object) -> list[Task]:
    """All tasks of a benchmark."""
    source = BenchTasks(
        benchmark=Part(kind=kind, **options),  # type: ignore[arg-type]
        data=data,
        order=order,  # type: ignore[arg-type]
    )
    return [*source.tasks(seed=0, max_pixels=PIXELS)]


async def judged(benchmark: Benchmark, task: Task, *answers: str) -> list[bool | None]:
    """What the rule says of answers; whatever it has started is given back."""
    try:
        return [(await benchmark.judge(task, answer)).correct for answer in answers]
    finally:
        await benchmark.close()


def scored(task: Task, value: float | None, sample: int = 0) -> Scored:
    """An attempt with its value."""
    return Scored(task, a_trajectory(task_id=task.id, sample=sample), value)


def numbers(benchmark: Benchmark, attempts: list[Scored]) -> dict[tuple[str, str], float | None]:
    """(metric, group) -> value."""
    return {(m.name, m.group): m.value for m in benchmark.metrics(attempts)}


async def assert_differences(benchmark: Benchmark) -> None:
    """Each reply on which the two rules are said to differ is judged in both ways as it is said."""
    assert benchmark.differences
    for difference in benchmark.differences:
        (ours,) = await judged(benchmark, difference.task, difference.reply)
        theirs = benchmark.compat(difference.task, difference.reply)
        assert (ours, theirs) == (difference.ours, difference.theirs), difference.why
        assert ours is None or ours != (theirs == 1), "no difference"


class Told:
    """A judge that keeps what it is asked, and calls everything right."""

    name = "told"

    def __init__(self) -> None:
        self.seen: list[Task] = []

    async def judge(self, task: Task, answer: str) -> Verdict:
        self.seen.append(task)
        return Verdict(correct=True, judge=self.name)

    async def close(self) -> None:
        """Nothing to give back."""
