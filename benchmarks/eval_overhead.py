"""What an evaluation costs beside its model: a run of Saccade, and one of Inspect AI.

    python benchmarks/eval_overhead.py [--n N] [--seed S] [--json FILE] [--write PAGE]

Both sides ask the same loopback server, in a process of its own, through the same HTTP client
(`policy.kind=openai`; in Inspect the provider `saccade`), which answers at once: a tool call, then
an answer. Both execute the same tool, score, and keep the conversation and the photograph.

1. Two-turn questions without an image, with a tool that returns a word.
2. Two-turn questions about a 12-megapixel JPEG, shown with one megapixel and zoomed into once.
   Inspect with its images in the log (the photograph, what was shown of it, and the crop), and
   without (`log_images=False`).

A cost is the slope between a run of few and a run of `--n` questions, so that what a run costs
once (imports, servers, the log's frame) is left out on both sides. This process has one CPU, and no
photograph is known to it from an earlier run. The floor is measured beside it:
the same requests sent by the HTTP client alone, and for photographs decoding and one resize. Wall
and CPU time of this process, medians over `--repeats` runs in which the sides take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import io
import json
import logging
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from places import fill

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from PIL import Image as PILImage
from pydantic import JsonValue

from saccade.cache import ByteCache
from saccade.client.chat import ChatClient
from saccade.dialects.native import Native
from saccade.env import Environment
from saccade.images import source
from saccade.images.geometry import PixelBudget
from saccade.images.image import Image
from saccade.policies.openai import OpenAIOptions, OpenAIPolicy
from saccade.policies.openai.history import History
from saccade.recipe import Recipe
from saccade.rewards import RewardOptions
from saccade.rollout import Job, in_parallel
from saccade.runs.assemble import Assembly
from saccade.runs.execute import play
from saccade.runs.folder import RunReader
from saccade.testing import ScriptedReply, ScriptedRequest, ScriptedServer
from saccade.tools.zoom import ZoomIn
from saccade.types import (
    Limits,
    Task,
    ToolContext,
    ToolFunction,
    ToolOutput,
    ToolSpec,
    Trajectory,
)

CONCURRENCY = 8
VIEW = PixelBudget(max_pixels=10**6)
BOX = [100, 100, 260, 220]
ANSWER = "OPEN"
TARGETS = {"text": 5.0, "photo": 60.0}
"""Milliseconds a sample beyond the floor."""
RATIO = 5.0
"""How many times as much Inspect has to cost on texts."""


def reply(request: ScriptedRequest) -> str | ScriptedReply:
    """The model: one call of the tool that it is offered, then the answer."""
    if request.turn:
        return ANSWER
    tools = request.body.get("tools")
    assert isinstance(tools, list)
    name = tools[0]["function"]["name"]  # type: ignore[index, call-overload]
    arguments = {"bbox_2d": BOX} if name == "image_zoom_in_tool" else {"word": "mug"}
    function = {"name": name, "arguments": json.dumps(arguments)}
    call = {"id": f"call{len(request.text)}", "type": "function", "function": function}
    return ScriptedReply("Let me look.", tool_calls=[call])


def serve() -> None:
    """The server; it ends with its standard input."""
    with ScriptedServer(reply) as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        sys.stdin.read()


class Cost(NamedTuple):
    """Milliseconds."""

    wall: float
    cpu: float

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.wall - other.wall, self.cpu - other.cpu)

    def each(self, n: int) -> Cost:
        return Cost(self.wall / n, self.cpu / n)


def forget() -> None:
    """Empty what a process keeps of images: each run meets its photographs for the first time."""
    source._DECODED = ByteCache(source.CACHE_BYTES, source._bytes_of)
    if has_inspect():
        from saccade.engines.inspect import pictures

        pictures._URIS = ByteCache(pictures.CACHE_BYTES, len)
        pictures._IMAGES = ByteCache(pictures.CACHE_BYTES, lambda i: len(i.source.encoded()))


def cost_of(work: Callable[[], object]) -> Cost:
    forget()
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Cost((time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000)


class Word:
    """A tool that returns a word."""

    spec = ToolSpec(
        name="look_up",
        description="Looks a word up.",
        parameters={"type": "object", "properties": {"word": {"type": "string"}},
                    "required": ["word"]},
    )  # fmt: skip

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    @asynccontextmanager
    async def open(self, context: ToolContext) -> AsyncIterator[ToolFunction]:
        async def call(arguments: dict[str, JsonValue]) -> ToolOutput:
            return ToolOutput((f"{arguments['word']}: a vessel",))

        yield call


class Question(NamedTuple):
    """A question, with its photograph if it has one."""

    name: str
    text: str
    photo: Path | None


def questions(n: int, photos: Sequence[Path]) -> list[Question]:
    """`n` questions; with photographs, each about one of its own."""
    text = "Which word is written there?"
    photo = (lambda k: photos[k]) if photos else (lambda k: None)
    return [Question(f"q{k}", f"{text} ({k})", photo(k)) for k in range(n)]


def photographs(place: Path, n: int, seed: int) -> list[Path]:
    """12-megapixel JPEG files with the detail of a photograph: noise at several scales."""
    files = []
    for number in range(n):
        rng = np.random.default_rng([seed, number])
        whole = np.zeros((3000, 4000, 3), np.float32)
        for side, weight in ((8, 50), (60, 25), (250, 12), (4000, 8)):
            coarse = rng.normal(0, weight, (side * 3 // 4, side, 3)).astype(np.float32)
            planes = [
                np.asarray(PILImage.fromarray(coarse[..., c]).resize((4000, 3000), 3))
                for c in range(3)
            ]
            whole += np.stack(planes, -1)
        pixels = PILImage.fromarray((128 + whole).clip(0, 255).astype(np.uint8))
        buffer = io.BytesIO()
        pixels.save(buffer, "JPEG", quality=90)
        files.append(place / f"{number}.jpg")
        files[-1].write_bytes(buffer.getvalue())
    return files


# Ours -----------------------------------------------------------------------------------------


def task_of(question: Question) -> Task:
    photo = [] if question.photo is None else [Image.open(question.photo)]
    return Task(id=question.name, prompt=(*photo, question.text), answer=ANSWER)


def saccade(url: str, asked: Sequence[Question], out: Path) -> None:
    """As `saccade bench` plays them: jobs drawn lazily, scored, and kept in a run folder."""
    recipe = Recipe(concurrency=CONCURRENCY)
    has_photo = asked[0].photo is not None

    async def run() -> None:
        assembly = Assembly(
            OpenAIPolicy(OpenAIOptions(base_url=url, model="m")),
            Environment(
                Native(), [ZoomIn()] if has_photo else [Word()], view=VIEW,
                limits=Limits(max_turns=4),
            ),
            RewardOptions().make(),
        )  # fmt: skip
        try:
            jobs = (Job(task_of(question)) for question in asked)
            await play("rollout", recipe, assembly, jobs, out, on_finish=right)
        finally:
            await assembly.close()

    asyncio.run(run())


def right(task: Task, trajectory: Trajectory) -> None:
    assert trajectory.verdict is not None, trajectory.error
    assert trajectory.verdict.correct
    assert len(trajectory.turns) == 2
    assert len(trajectory.successes) == 1


# Inspect AI -----------------------------------------------------------------------------------


def inspect(url: str, asked: Sequence[Question], out: Path, *, images: bool) -> None:
    """The same with Inspect's own loop, tools, scorer and log."""
    from eval_overhead_inspect import look_up, show, zoom
    from inspect_ai import Task as InspectTask
    from inspect_ai import eval as evaluate
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ChatMessageUser, ContentImage, ContentText, get_model
    from inspect_ai.scorer import match
    from inspect_ai.solver import generate, use_tools

    samples = []
    for name, text, photo in asked:
        content = [ContentText(text=text)]
        if photo is not None:
            content.insert(0, ContentImage(image=str(photo)))
        samples.append(Sample(id=name, input=[ChatMessageUser(content=content)], target=ANSWER))
    looks = asked[0].photo is not None
    task = InspectTask(
        dataset=samples,
        solver=[*([show()] if looks else []), use_tools(zoom() if looks else look_up()),
                generate()],
        scorer=match(),
    )  # fmt: skip
    model = get_model("saccade/m", base_url=url, memoize=False)
    (log,) = evaluate(
        task, model=model, log_dir=str(out), display="none", log_images=images,
        max_samples=CONCURRENCY, max_connections=CONCURRENCY, acp_server=False, ctl_server=False,
    )  # fmt: skip
    assert log.status == "success", log.error
    assert log.results is not None
    assert log.results.scores[0].metrics["accuracy"].value == 1
    assert log.samples is not None
    assert all(len(sample.messages) >= 4 for sample in log.samples)


# The floor ------------------------------------------------------------------------------------


def requests_of(folder: Path) -> list[list[dict[str, JsonValue]]]:
    """The bodies of the requests of each finished episode, images encoded."""
    options = OpenAIOptions(base_url="http://127.0.0.1:1", model="m")

    async def bodies(t: Trajectory, history: History) -> list[dict[str, JsonValue]]:
        tools: list[JsonValue] = [tool.function() for tool in t.environment.tools]
        cut = [t.model_copy(update={"turns": t.turns[:k]}) for k in range(len(t.turns))]
        return [{"messages": await history.messages(c), "tools": tools} for c in cut]

    async def every() -> list[list[dict[str, JsonValue]]]:
        history = History(options)
        return [await bodies(t, history) for t in RunReader(folder).trajectories()]

    return asyncio.run(every())


def round_trips(url: str, asked: Sequence[list[dict[str, JsonValue]]]) -> None:
    async def run() -> None:
        client = ChatClient(OpenAIOptions(base_url=url, model="m"))

        async def send(bodies: list[dict[str, JsonValue]]) -> None:
            for body in bodies:
                await client.chat(body)

        await in_parallel(send, asked, concurrency=CONCURRENCY)
        await client.close()

    asyncio.run(run())


def decode(photos: Sequence[Path]) -> None:
    for photo in photos:
        with PILImage.open(photo) as file:
            pixels = file.convert("RGB")
        pixels.resize(VIEW.fit(Image.open(photo).size), PILImage.Resampling.BICUBIC)


# The measurement ------------------------------------------------------------------------------


Side = Callable[[Sequence[Question], Path], object]


def slope(side: Side, few: Sequence[Question], many: Sequence[Question]) -> Cost:
    """The cost of a question more."""
    with tempfile.TemporaryDirectory() as place:
        start = cost_of(lambda: side(few, Path(place) / "few"))
        whole = cost_of(lambda: side(many, Path(place) / "many"))
    return (whole - start).each(len(many) - len(few))


def measured(url: str, n: int, few: int, photos: Sequence[Path], repeats: int) -> Costs:
    """Every side, in turns."""
    asked = questions(n, photos)
    sides: dict[str, Side] = {"saccade": lambda q, out: saccade(url, q, out)}
    if has_inspect():
        sides["inspect"] = lambda q, out: inspect(url, q, out, images=True)
        if photos:
            sides["inspect, no images"] = lambda q, out: inspect(url, q, out, images=False)
    with tempfile.TemporaryDirectory() as place:
        saccade(url, asked, Path(place) / "warm")
        bodies = requests_of(Path(place) / "warm")
    for side in sides.values():
        with tempfile.TemporaryDirectory() as place:
            side(asked[:few], Path(place) / "warm")
    found: Costs = {name: [] for name in ("round trips", *(["decode"] if photos else []), *sides)}
    for _ in range(repeats):
        start = cost_of(lambda: round_trips(url, bodies[:few]))
        whole = cost_of(lambda: round_trips(url, bodies))
        found["round trips"].append((whole - start).each(n - few))
        if photos:
            found["decode"].append(cost_of(lambda: decode(photos[:n])).each(n))
        for name, side in sides.items():
            found[name].append(slope(side, asked[:few], asked))
    return found


Costs = dict[str, list[Cost]]


def has_inspect() -> bool:
    from importlib.util import find_spec

    return find_spec("inspect_ai") is not None


class Figure(NamedTuple):
    """The median of the runs, and its 95 % interval where there are enough of them."""

    median: float
    low: float
    high: float
    n: int


def figure(values: Sequence[float]) -> Figure:
    """Median and the interval of order statistics: of few runs, the least and the greatest.

    With 6 runs the least and the greatest are a 96.9 % interval of the median: 1 - 2 / 2^n.
    """
    held = sorted(values)
    return Figure(statistics.median(held), held[0], held[-1], len(held))


def summary(kind: str, costs: Costs) -> dict[str, dict[str, float]]:
    """What is reported of a kind of question: the whole, what is beyond the floor, the ratios."""
    found: dict[str, Figure] = {}
    parts = [costs[name] for name in FLOOR if name in costs]
    for clock in ("CPU", "wall"):
        floor = [sum(_read(c, clock) for c in run) for run in zip(*parts, strict=True)]
        ours = [_read(c, clock) for c in costs["saccade"]]
        our_own = [whole - least for whole, least in zip(ours, floor, strict=True)]
        for name, each in costs.items():
            whole = [_read(cost, clock) for cost in each]
            found[f"{kind}: {name}, {clock} ms"] = figure(whole)
            if name in FLOOR:
                continue
            own = [a - b for a, b in zip(whole, floor, strict=True)]
            found[f"{kind}: {name}, {clock} ms beyond the floor"] = figure(own)
            if name != "saccade":
                if kind == "text":  # of photographs the floor is most of it, and its noise too
                    ratio = [a / b for a, b in zip(own, our_own, strict=True)]
                    found[f"{kind}: {name} over saccade, {clock} beyond the floor"] = figure(ratio)
                ratio = [a / b for a, b in zip(whole, ours, strict=True)]
                found[f"{kind}: {name} over saccade, {clock} of the whole"] = figure(ratio)
    return {name: value._asdict() for name, value in found.items()}


def _read(cost: Cost, clock: str) -> float:
    return cost.cpu if clock == "CPU" else cost.wall


FLOOR = ("round trips", "decode")


def table(found: dict[str, object]) -> str:
    """The table and how it was measured."""
    figures = found["figures"]
    assert isinstance(figures, dict)
    lines = ["| what | median | 95 % interval | target |", "|---|---|---|---|"]
    for name, f in figures.items():
        kind, _, what = name.partition(": ")
        target = ""
        if what.startswith("saccade") and what.endswith("beyond the floor"):
            target = f"at most {TARGETS[kind]:g}"
        elif kind == "text" and "over" in what and what.endswith("beyond the floor"):
            target = f"at least {RATIO:g}"
        interval = f"{f['low']:.1f} to {f['high']:.1f}"
        lines.append(f"| {name} | {f['median']:.1f} | {interval} | {target} |")
    load = found["load"]
    assert isinstance(load, list)
    lines.append(
        f"\nA question, milliseconds. {found['repeats']} runs of {found['n']} texts and "
        f"{found['photos']} photographs, seed {found['seed']}; {found['machine']}, load {load[0]} "
        f"before and {load[1]} after; Inspect AI {found['inspect']}; {found['date']}."
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=120, help="questions without an image")
    parser.add_argument("--photos", type=int, default=16, help="questions about a photograph")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    load = os.getloadavg()[0]
    command = [sys.executable, __file__, "--serve"]
    with (
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as server,
        tempfile.TemporaryDirectory() as place,
    ):
        assert server.stdout is not None
        assert server.stdin is not None
        url = server.stdout.readline().strip()
        # One thread at a time: what one side did beside another would not be seen in wall time.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        photos = photographs(Path(place), options.photos, options.seed)
        text = measured(url, options.n, max(1, options.n // 10), [], options.repeats)
        seen = measured(url, len(photos), 2, photos, options.repeats)
        server.stdin.close()
    found = {
        "figures": summary("text", text) | summary("photo", seen),
        "n": options.n, "photos": options.photos, "repeats": options.repeats,
        "seed": options.seed, "load": [round(load, 1), round(os.getloadavg()[0], 1)],
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, "
        f"Python {platform.python_version()}",
        "inspect": version("inspect-ai") if has_inspect() else "",
        "date": time.strftime("%Y-%m-%d"),
    }  # fmt: skip
    sys.stdout.write(table(found) + "\n")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    if options.write:
        fill(options.write, {"eval_overhead": table(found)})
    return None


if __name__ == "__main__":
    main()
