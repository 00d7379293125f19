"""The sandbox beside an ipykernel a session and a fresh process a cell, in one run.

    pip install 'saccade-vlm[sandbox,peers]'
    python benchmarks/sandbox.py [--starts 30 --kernels 6 --live 64 256
                                  --out results/sandbox.json --write docs/sandbox.md]

The same work with the same libraries on all sides. An episode: a session, an image of 1024 x 768,
`x = 1`, `1 + 1`, a crop that is plotted, `1 + 1`. Unique memory is what only this process has
(private pages). Processor time is that of the sessions, the fork server and this process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image as PILImage
from places import fill

from saccade.sandbox import Sandbox, SandboxOptions, Session
from saccade.sandbox.inside.plan import Limits

PLOT = (
    "import matplotlib.pyplot as plt\nplt.figure()\n"
    "plt.imshow(image_1.crop((100, 100, 500, 400)))\nplt.show()"
)
IMPORTS = (
    "import numpy, PIL.Image, matplotlib.pyplot, matplotlib.patches, scipy.ndimage, scipy.signal, "
    "scipy.optimize, scipy.spatial, cv2"
)
TICKS = os.sysconf("SC_CLK_TCK")
LIMITS = Limits(seconds=60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--starts", type=int, default=30)
    parser.add_argument("--cells", type=int, default=60)
    parser.add_argument("--kernels", type=int, default=6)
    parser.add_argument("--live", type=int, nargs="*", default=[64, 256])
    parser.add_argument("--rounds", type=int, default=3, help="of each throughput")
    parser.add_argument("--out", type=Path, default=Path("results/sandbox.json"))
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    command = "python benchmarks/sandbox.py " + " ".join(sys.argv[1:])
    found: dict[str, Any] = {
        "command": command.strip(), "cores": os.cpu_count(), "kernel": platform.release(),
        "date": time.strftime("%Y-%m-%d"),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "photo.jpg"
        picture().save(photo, quality=90)
        for libraries in ("usual", "long"):
            found[f"ours, {libraries}"] = asyncio.run(ours(options, libraries))
        found["ipykernel"] = asyncio.run(kernels(options, photo))
        found["process a cell"] = processes(options, photo)
    options.out.write_text(json.dumps(found, indent=1) + "\n")
    table = tables(found)
    sys.stdout.write(table + "\n")
    if options.write:
        fill(options.write, {"sandbox": table})


def picture() -> PILImage.Image:
    """1024 x 768, not flat."""
    return PILImage.effect_noise((1024, 768), 60).convert("RGB")


async def ours(options: argparse.Namespace, libraries: str) -> dict[str, Any]:
    made = SandboxOptions(
        libraries=libraries, limits=LIMITS, max_sessions=1024,
    )  # fmt: skip
    found: dict[str, Any] = {}
    image = picture()
    others = set(children(os.getpid()))
    started = time.monotonic()
    async with Sandbox(made) as sandbox:
        found["server_start_s"] = time.monotonic() - started
        found["mode"] = sandbox.mode
        (server,) = set(children(os.getpid())) - others
        found["starts_ms"] = await timed(options.starts, lambda: start_one(sandbox))
        with busy():
            found["starts_under_load_ms"] = await timed(options.starts, lambda: start_one(sandbox))
        session = await sandbox.session()
        await session.give("image_1", image)
        await session.run("x = 1")
        found["trivial_ms"] = await timed(options.cells, lambda: session.run("1 + 1"))
        first = time.perf_counter()
        cell = await session.run(PLOT)
        assert len(cell.images) == 1, cell
        found["first_plot_ms"] = (time.perf_counter() - first) * 1e3
        found["plot_ms"] = await timed(options.cells // 2, lambda: session.run(PLOT))
        session.close()
        found["recovery_ms"] = await recovery(sandbox, 8)
        for live in options.live:
            found[f"live_{live}"] = await crowd(sandbox, server, image, live, options.rounds)
    return found


async def start_one(sandbox: Sandbox) -> None:
    """A session, by a real fork; there are no warm spares."""
    (await sandbox.session()).close()


async def recovery(sandbox: Sandbox, n: int) -> list[float]:
    """From a cell that kills its session to the next result, earlier cells run again."""
    taken = []
    for _ in range(n):
        async with sandbox.notebook() as notebook:
            for value in range(3):
                await notebook.run(f"x = {value}")
            await notebook.run("import os; os._exit(1)")
            started = time.perf_counter()
            cell = await notebook.run("x")
            taken.append((time.perf_counter() - started) * 1e3)
            assert cell.value == "2"
    return taken


async def crowd(
    sandbox: Sandbox, server: int, image: PILImage.Image, live: int, rounds: int
) -> dict[str, Any]:
    """Sessions that live at one time: their memory, and how many episodes go through."""
    sessions = [await sandbox.session() for _ in range(live)]
    for session in sessions:
        await session.run("1 + 1")
    idle = [unique_mib(session.pid) for session in sessions]
    await asyncio.gather(*(session.give("image_1", image) for session in sessions))
    for session in sessions:
        await session.run(PLOT)
    plotted = [unique_mib(session.pid) for session in sessions]
    for session in sessions:
        session.close()
    rates, costs = [], []
    for _ in range(rounds):
        before = time.process_time() + processor_seconds(server)
        started = time.monotonic()
        ended = await asyncio.gather(*(episode(sandbox, image) for _ in range(live)))
        seconds = time.monotonic() - started
        own = sum(processor_seconds(session.pid) for session in ended)
        for session in ended:
            session.close()
        spent = time.process_time() + processor_seconds(server) - before + own
        rates.append(live / seconds)
        costs.append(spent / live)
    return {
        "unique_idle_mib": statistics.fmean(idle),
        "unique_idle_max_mib": max(idle),
        "unique_plotted_mib": statistics.fmean(plotted),
        "all_idle_mib": sum(idle) + resident_mib(server),
        "all_plotted_mib": sum(plotted) + resident_mib(server),
        "episodes_per_s": rates,
        "cpu_s_per_episode": costs,
    }


async def episode(sandbox: Sandbox, image: PILImage.Image) -> Session:
    """One of many at a time; its session stays."""
    session = await sandbox.session()
    await session.give("image_1", image)
    for code in ("x = 1", "1 + 1", PLOT, "1 + 1"):
        async with sandbox.turn():
            await session.run(code)
    return session


async def kernels(options: argparse.Namespace, photo: Path) -> dict[str, Any]:
    """A Jupyter kernel for each session."""
    from jupyter_client.manager import AsyncKernelManager

    async def begin() -> tuple[Any, Any]:
        manager = AsyncKernelManager(kernel_name="python3")
        await manager.start_kernel(
            extra_arguments=["--matplotlib=inline"],
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        client = manager.client()
        client.start_channels()
        await client.wait_for_ready(timeout=60)
        return manager, client

    async def run(client: Any, code: str) -> int:
        """Images that came back."""
        message = client.execute(code)
        images = 0
        while True:
            answer = await client.get_iopub_msg(timeout=120)
            if answer["parent_header"].get("msg_id") != message:
                continue
            assert answer["msg_type"] != "error", answer["content"]
            images += "image/png" in answer["content"].get("data", {})
            if answer["msg_type"] == "status" and answer["content"]["execution_state"] == "idle":
                break
        await client.get_shell_msg(timeout=120)
        return images

    async def end(manager: Any, client: Any) -> None:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)

    async def start_one() -> None:
        await end(*await begin())

    load = f"from PIL import Image\nimage_1 = Image.open({str(photo)!r})\nimage_1.load()"
    found: dict[str, Any] = {"starts_ms": []}
    for key in ("starts_ms", "starts_under_load_ms"):
        found[key] = []
        for _ in range(options.kernels):
            with busy() if "load" in key else idle():
                started = time.perf_counter()
                pair = await begin()
                found[key].append((time.perf_counter() - started) * 1e3)
            await end(*pair)
    found["imports_ms"] = []
    episodes, idle_mib, plotted_mib = [], [], []
    for _ in range(options.kernels):
        started = time.monotonic()
        before = time.process_time()
        manager, client = await begin()
        pid = manager.provisioner.process.pid
        imported = time.perf_counter()
        await run(client, IMPORTS)
        found["imports_ms"].append((time.perf_counter() - imported) * 1e3)
        await run(client, "1 + 1")
        idle_mib.append(unique_mib(pid))
        for code in (load, "x = 1", "1 + 1"):
            await run(client, code)
        assert await run(client, PLOT) == 1
        await run(client, "1 + 1")
        plotted_mib.append(unique_mib(pid))
        cpu = processor_seconds(pid) + time.process_time() - before
        episodes.append({"seconds": time.monotonic() - started, "cpu_s": cpu})
        await end(manager, client)
    manager, client = await begin()
    await run(client, f"{IMPORTS}\n{load}")
    found["trivial_ms"] = await timed(options.cells, lambda: run(client, "1 + 1"))
    await run(client, PLOT)
    found["plot_ms"] = await timed(options.cells // 2, lambda: run(client, PLOT))
    await end(manager, client)
    found |= {
        "unique_idle_mib": statistics.fmean(idle_mib),
        "unique_plotted_mib": statistics.fmean(plotted_mib),
        "cpu_s_per_episode": [episode["cpu_s"] for episode in episodes],
        "episode_s": [episode["seconds"] for episode in episodes],
    }
    return found


def processes(options: argparse.Namespace, photo: Path) -> dict[str, Any]:
    """A fresh interpreter for each cell: no state, the image read again by each that needs it."""
    load = f"from PIL import Image\nimage_1 = Image.open({str(photo)!r})\n"
    agg = "import matplotlib\nmatplotlib.use('agg')\n"

    def run(code: str) -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
        return (time.perf_counter() - started) * 1e3

    plot = agg + load + PLOT.replace("plt.show()", "plt.savefig('/dev/null', format='png')")
    return {
        "trivial_ms": [run("print(1 + 1)") for _ in range(options.cells // 2)],
        "plot_ms": [run(plot) for _ in range(options.kernels)],
    }


async def timed(n: int, action: Callable[[], Awaitable[Any]]) -> list[float]:
    taken = []
    for _ in range(n):
        started = time.perf_counter()
        await action()
        taken.append((time.perf_counter() - started) * 1e3)
    return taken


class idle:
    """Nothing beside."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


class busy(idle):
    """A process that computes on every core."""

    def __enter__(self) -> None:
        self.processes = [
            multiprocessing.get_context("spawn").Process(target=spin, daemon=True)
            for _ in range(os.cpu_count() or 1)
        ]
        for process in self.processes:
            process.start()
        time.sleep(0.5)

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()
            process.join()


def spin() -> None:
    while True:
        sum(range(1000))


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task")
    texts = [(tasks / task / "children").read_text() for task in os.listdir(tasks)]
    return [int(child) for text in texts for child in text.split()]


def unique_mib(pid: int) -> float:
    """Private pages of a process."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    private = [line.split() for line in text.splitlines() if line.startswith("Private_")]
    return sum(int(fields[1]) for fields in private) / 1024


def resident_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 2**20


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def tables(found: dict[str, Any]) -> str:
    """What the page shows."""
    us, long, them, fresh = (
        found[name] for name in ("ours, usual", "ours, long", "ipykernel", "process a cell")
    )
    live = [key for key in us if key.startswith("live_")]

    def row(name: str, key: str, *, unit: str = "ms") -> str:
        cells = [
            spread(side[key]) if isinstance(side.get(key), list) else number(side.get(key))
            for side in (us, long, them, fresh)
        ]
        ratio = (
            f"{statistics.median(them[key]) / statistics.median(us[key]):.0f}"
            if key in us and key in them
            else ""
        )
        return f"| {name} ({unit}) | {' | '.join(cells)} | {ratio} |"

    lines = [
        "| p50 / p95 | ours, usual libraries | ours, long list | ipykernel a session | process a "
        "cell | ipykernel / ours |",
        "|---|---|---|---|---|---|",
        row(
            "start of a session, by a real fork; libraries of the kernel not yet loaded",
            "starts_ms",
        ),
        row("the same, all cores busy", "starts_under_load_ms"),
        row("loading the libraries", "imports_ms"),
        row("`1 + 1`", "trivial_ms"),
        row("crop and plot", "plot_ms"),
        row("next result after a killed session", "recovery_ms"),
    ]
    first = us[live[0]]
    costs = [
        statistics.median(side)
        for side in (
            first["cpu_s_per_episode"],
            long[live[0]]["cpu_s_per_episode"],
            them["cpu_s_per_episode"],
        )
    ]
    lines.append(
        f"| processor time an episode (s) | {costs[0]:.3f} | {costs[1]:.3f} | {costs[2]:.3f} | | "
        f"{costs[2] / costs[0]:.0f} |"
    )
    for key, name in (("unique_idle_mib", "after `1 + 1`"), ("unique_plotted_mib", "after a plot")):
        cells = [first[key], long[live[0]][key], them[key]]
        numbers = " | ".join(f"{value:.1f}" for value in cells)
        lines.append(
            f"| unique memory of a session {name} (MiB) | {numbers} | | {cells[2] / cells[0]:.0f} |"
        )
    for key in live:
        count = key.removeprefix("live_")
        for what, name in (("all_idle_mib", "after `1 + 1`"), ("all_plotted_mib", "after a plot")):
            lines.append(
                f"| all of {count} live sessions {name} (MiB) | {us[key][what]:.0f} | "
                f"{long[key][what]:.0f} | | | |"
            )
        lines.append(
            f"| episodes a second with {count} live | {spread(us[key]['episodes_per_s'])} | "
            f"{spread(long[key]['episodes_per_s'])} | "
            f"{1 / statistics.median(them['episode_s']):.1f}, one at a time | | |"
        )
    counts = (
        f"n = {len(us['starts_ms'])} starts, {len(us['trivial_ms'])} cells, {len(us['plot_ms'])} "
        f"plots of ours; {len(them['starts_ms'])} starts of kernels, {len(them['trivial_ms'])} "
        f"cells and {len(them['plot_ms'])} plots in one of them"
    )
    return "\n".join(
        [*lines, "", f"`{found['command']}`, {found['date']}, {found['cores']} cores, Linux "
         f"{found['kernel']}, mode {us['mode']}; {counts}."]
    )  # fmt: skip


def spread(values: Sequence[float]) -> str:
    ordered = sorted(values)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return f"{statistics.median(ordered):.2f} / {p95:.2f}"


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
