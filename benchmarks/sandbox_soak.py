"""Many sessions with random abuses among them: nothing may stay behind.

    python benchmarks/sandbox_soak.py [--sessions 20000 --together 32 --seed 0
                                       --out results/sandbox_soak.json]
    python benchmarks/sandbox_soak.py --write docs/sandbox.md     # from results/sandbox_soak.json

A third of the sessions commit an abuse of the list, the others count and look around; each of these
checks that it got its own result. Looked at throughout: processes, descriptors and memory of the
host and of the fork server, and files in scratch folders. Exit code 1 if anything grows or a
session is disturbed.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import os
import random
import sys
import time
from pathlib import Path

from places import fill

from saccade.sandbox import Sandbox, SandboxOptions
from saccade.sandbox.abuses import Abuse, all_abuses
from saccade.sandbox.abuses.scene import Scene
from saccade.sandbox.inside.plan import Limits

SLOW = ("endless", "never ends", "loop", "alarm", "never comes", "false size", "never released")
"""In names of abuses that take as long as they are let: one in twenty of them is committed."""
GROWTH_MIB = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--sessions", type=int, default=20_000)
    parser.add_argument("--together", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--write", type=Path, help="write the last result into this page instead")
    options = parser.parse_args()
    if options.write:
        text = sentence(json.loads(Path("results/sandbox_soak.json").read_text()))
        fill(options.write, {"soak": text})
        return
    with Scene() as scene:
        found = asyncio.run(soak(options, scene))
    text = json.dumps(found, indent=1)
    sys.stdout.write(text + "\n")
    if options.out:
        options.out.write_text(text + "\n")
    sys.exit(1 if found["problems"] else 0)


async def soak(options: argparse.Namespace, scene: Scene) -> dict[str, object]:
    """Sessions, `together` at a time."""
    rng = random.Random(options.seed)
    abuses = [a for a in all_abuses() if not any(word in a.name for word in SLOW)]
    slow = [a for a in all_abuses() if any(word in a.name for word in SLOW)]
    limits = Limits(seconds=2, grace_seconds=0.5)
    others = set(children(os.getpid()))
    statuses: collections.Counter[str] = collections.Counter()
    problems: list[str] = []
    looks: list[dict[str, float]] = []
    started = time.monotonic()
    made = SandboxOptions(limits=limits, max_sessions=options.together)
    async with Sandbox(made) as sandbox:
        await sandbox.start()
        (server,) = set(children(os.getpid())) - others

        async def one(number: int, abuse: Abuse | None) -> None:
            async with sandbox.notebook() as notebook:
                await notebook.run(f"x = {number}")
                if abuse is not None:
                    cell = await notebook.run(scene.code(abuse.code), seconds=0.3)
                    if "ESCAPED" in cell.stdout:
                        problems.append(f"{abuse.name}: escaped")
                    statuses[cell.status] += 1
                cell = await notebook.run("import os\n(x, os.listdir('.') if x % 3 else None)")
                own = f"({number}, " in (cell.value or "")
                if abuse is None and not (own and cell.value.endswith(("[])", "None)"))):
                    problems.append(f"session {number} was disturbed: {cell}")
                statuses["ok" if own else "disturbed by its own abuse"] += 1

        for start in range(0, options.sessions, options.together):
            size = min(options.together, options.sessions - start)
            chosen = [
                (rng.choice(slow) if rng.random() < 0.05 else rng.choice(abuses))
                if rng.random() < 1 / 3
                else None
                for _ in range(size)
            ]
            await asyncio.gather(*(one(start + n, a) for n, a in enumerate(chosen)))
            if not scene.untouched():
                problems.append(f"the host was changed before session {start + size}")
                scene.restore()
            if start // options.together % 25 == 0:
                looks.append(look(server, start + size))
                sys.stderr.write(f"{start + size}/{options.sessions} {looks[-1]}\n")
        await asyncio.sleep(1)
        looks.append(look(server, options.sessions))
    left = set(children(os.getpid())) - others
    if left:
        problems.append(f"processes are left: {left}")
    early, late = looks[1 if len(looks) > 2 else 0], looks[-1]
    for what in ("host descriptors", "server descriptors", "sessions"):
        if late[what] > early[what]:
            problems.append(f"{what} grew from {early[what]} to {late[what]}")
    for what in ("host MiB", "server MiB"):
        if late[what] > early[what] + GROWTH_MIB:
            problems.append(f"{what} grew from {early[what]:.0f} to {late[what]:.0f}")
    files = [path.name for path in Path("/tmp").glob("saccade-*") if path.is_dir()]
    if files:
        problems.append(f"folders are left: {files[:5]}")
    return {
        "command": "python benchmarks/sandbox_soak.py " + " ".join(sys.argv[1:]),
        "sessions": options.sessions,
        "seconds": round(time.monotonic() - started, 1),
        "statuses": dict(statuses.most_common()),
        "looks": [looks[0], *looks[1:-1:10], looks[-1]],
        "problems": problems,
    }


def sentence(found: dict) -> str:
    """What the page says of it."""
    first, last, counts = found["looks"][0], found["looks"][-1], found["statuses"]
    wrong = "; ".join(found["problems"]) or "nothing"
    host = (
        f"host {first['host MiB']:.0f} to {last['host MiB']:.0f} MiB and "
        f"{first['host descriptors']:.0f} to {last['host descriptors']:.0f} descriptors"
    )
    server = f"fork server {first['server MiB']:.0f} to {last['server MiB']:.0f} MiB"
    return (
        f"{found['sessions']:,} sessions, a third of them with an abuse ({counts['killed']:,} were "
        f"killed, {counts['timeout']:,} interrupted), in {found['seconds']:.0f} s: {host}, "
        f"{server}; disturbed, left behind or grown: {wrong}.\n\n"
        "`python benchmarks/sandbox_soak.py --sessions 20000`"
    )


def look(server: int, sessions: int) -> dict[str, float]:
    return {
        "after": sessions,
        "sessions": len(children(server)),
        "host descriptors": len(os.listdir("/proc/self/fd")),
        "server descriptors": len(os.listdir(f"/proc/{server}/fd")),
        "host MiB": resident_mib(os.getpid()),
        "server MiB": resident_mib(server),
    }


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task")
    texts = [(tasks / task / "children").read_text() for task in os.listdir(tasks)]
    return [int(child) for text in texts for child in text.split()]


def resident_mib(pid: int) -> float:
    return round(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 2**20, 1)


if __name__ == "__main__":
    main()
