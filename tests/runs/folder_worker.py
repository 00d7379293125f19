"""The process that test_folder.py kills: attempts tasks and says after each one that it is safe.

    python tests/runs/folder_worker.py FOLDER COUNT [half]

`half` makes the writes of run files stop in the middle, say so and wait, so that the parent kills
this process inside of a write.
"""

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from building import a_task, noise, zoom_text
from waiting import LIMIT_S

from saccade.dialects.deepeyes import DeepEyes
from saccade.env import Environment
from saccade.policies.replay import ReplayPolicy
from saccade.rollout import Job, rollout_many
from saccade.runs.folder import RunFolder
from saccade.runs.manifest import Manifest
from saccade.tools.zoom import ZoomIn
from saccade.types import Task, Trajectory

ZOOM = zoom_text(0, 0, 60, 60)
MANIFEST = Manifest(verb="rollout", config={"seed": 0}, fingerprint="f")


def tasks(count: int) -> Iterator[Task]:
    for index in range(count):
        yield a_task(noise(64, 64, seed=index), "What?", id=f"task-{index}", answer="7")


def say(text: str) -> None:
    os.write(1, text.encode() + b"\n")


def write_halves(marker: bytes) -> None:
    """Writes that hold `marker` stop in the middle, at every third of them."""
    whole, seen = os.write, [0]

    def half(file: int, data: bytes) -> int:
        if file == 1 or marker not in bytes(data):
            return whole(file, data)
        seen[0] += 1
        if seen[0] % 3:
            return whole(file, data)
        written = whole(file, bytes(data)[: len(data) // 2])
        say("HALF")
        time.sleep(LIMIT_S)
        return written

    os.write = half


async def main(folder: Path, count: int) -> None:
    policy = ReplayPolicy(lambda t: ZOOM if len(t.turns) < 2 else "<answer>7</answer>")
    environment = Environment(DeepEyes(), [ZoomIn()])
    with RunFolder(folder, MANIFEST) as run:
        say(f"RESUMED {len(run.done)}")
        jobs = (Job(task) for task in tasks(count) if (task.id, 0) not in run.done)

        def keep(task: Task, trajectory: Trajectory) -> None:
            run.append(task, trajectory)
            say(f"SAFE {trajectory.task_id}")

        await rollout_many(policy, environment, jobs, on_finish=keep, concurrency=4)
    say("FINISHED")


if __name__ == "__main__":
    if sys.argv[3:] == ["half"]:
        write_halves(b"task_id")
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
