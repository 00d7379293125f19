"""The promises of a run folder: against kill -9, full disks, second writers and hostile files.

The verifier reads the folder with json and hashlib alone. `python tests/runs/test_folder.py 50`
kills at fifty moments instead of ten.
"""

import asyncio
import errno
import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import folder_worker
import pytest
from building import a_task, plain, played
from PIL import Image as PILImage

from saccade.errors import ConfigError, FormatError, StoreError, StoreLocked
from saccade.images.image import Image
from saccade.runs.folder import RunFolder, RunReader
from saccade.runs.manifest import Manifest
from saccade.types import StopReason, Task, Trajectory

WORKER = Path(folder_worker.__file__)
MANIFEST = folder_worker.MANIFEST


def verified(folder: Path) -> list[str]:
    """Task ids of all finished episodes; asserts that everything in the folder is whole."""
    lines = (folder / "trajectories.jsonl").read_bytes().split(b"\n")
    assert lines[-1] == b"", "the last line is whole"
    episodes = [json.loads(line) for line in lines[:-1]]
    keys = [(e["task_id"], e["sample"]) for e in episodes]
    assert len(set(keys)) == len(keys), "no duplicates"
    tasks = [json.loads(line)["id"] for line in (folder / "tasks.jsonl").read_text().splitlines()]
    assert len(set(tasks)) == len(tasks)
    assert {key[0] for key in keys} <= set(tasks)
    for episode in episodes:
        for message in episode["prompt"]:
            for part in message["content"]:
                if isinstance(part, dict):
                    data = (folder / "images" / part["source"]).read_bytes()
                    assert hashlib.sha256(data).hexdigest() == part["source"].split(".")[0]
    return [key[0] for key in keys]


def start(folder: Path, count: int, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(WORKER), str(folder), str(count), *more]
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | paths)


def run_and_kill(folder: Path, count: int, rng: random.Random, half: bool) -> list[str]:
    """Kill a worker at a random moment; returns what it had called safe."""
    worker = start(folder, count, *(["half"] if half else []))
    assert worker.stdout is not None
    safe, moment = [], rng.randint(0, 25)
    for line in worker.stdout:
        word, _, rest = line.decode().strip().partition(" ")
        if word == "SAFE":
            safe.append(rest)
        moment -= 1
        if (half and word == "HALF") or (not half and moment < 0):
            if not half:
                time.sleep(rng.random() * 0.004)
            worker.kill()
            break
    rest = worker.stdout.read().decode().splitlines()
    safe += [line.split()[1] for line in rest if line.startswith("SAFE")]
    worker.wait()
    worker.stdout.close()
    return safe


def kill_repeatedly(folder: Path, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    promised: set[str] = set()
    for number in range(kills):
        promised |= set(run_and_kill(folder, 100_000, rng, half=number % 2 == 1))
        with RunFolder(folder, MANIFEST):
            assert promised <= set(verified(folder))
    assert len(promised) > 2 * kills, "the worker was at work when it was killed"
    assert not list(folder.rglob(".*.part"))
    count = len(promised) + 5
    worker = start(folder, count)
    out, _ = worker.communicate()
    assert b"FINISHED" in out
    assert set(verified(folder)) >= {f"task-{n}" for n in range(count)}


def test_kill_9_loses_nothing_and_a_rerun_resumes(tmp_path: Path) -> None:
    kill_repeatedly(tmp_path / "run", kills=10, seed=0)


def test_a_half_line_is_cut_and_kept_aside(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run_and_kill(folder, 50, random.Random(1), half=True)
    half = (folder / "trajectories.jsonl").read_bytes().rpartition(b"\n")[2]
    assert half
    before = len(list(RunReader(folder).trajectories()))
    with RunFolder(folder, MANIFEST) as run:
        assert len(run.done) == before
    assert verified(folder)
    assert [file.read_bytes() for file in (folder / "torn").iterdir()] == [half]


def test_without_the_cut_the_next_line_would_be_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saccade.runs.journal.Journal._keep_torn_end", lambda self, torn: None)
    with RunFolder(tmp_path / "run", MANIFEST) as run:
        run.append(*episode("a"))
    with (tmp_path / "run" / "trajectories.jsonl").open("ab") as file:
        file.write(b'{"id": "half')
    with RunFolder(tmp_path / "run", MANIFEST) as run:
        run.append(*episode("b"))
    with pytest.raises(json.JSONDecodeError):
        verified(tmp_path / "run")


def episode(name: str, sample: int = 0, image: Image | None = None) -> tuple[Task, Trajectory]:
    task = a_task(image or plain(64, 64, "red"), "What?", id=name, answer="7")
    return task, asyncio.run(played("<answer>7</answer>", task=task, sample=sample))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB; where mounting is not allowed, a limit on the size of files."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode == 0:
        yield disk
        subprocess.run(["umount", str(disk)], check=True)
        return
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, old[1]))
    yield disk
    resource.setrlimit(resource.RLIMIT_FSIZE, old)


def fill(folder: Path, make_room: Path) -> tuple[list[str], StoreError]:
    """Append until the disk is full."""
    kept: list[str] = []
    with RunFolder(folder, MANIFEST) as run:
        for number in range(10_000):
            task, trajectory = episode(f"task-{number}")
            try:
                run.append(task, trajectory)
            except StoreError as error:
                return kept, error
            kept.append(task.id)
    raise AssertionError("the disk never filled")


def test_a_full_disk_loses_no_finished_episode(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 40_000)
    kept, error = fill(small_disk / "run", ballast)
    assert "make room and run the same command again" in str(error)
    assert len(kept) > 3
    assert verified(small_disk / "run") == kept
    ballast.unlink()
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    with RunFolder(small_disk / "run", MANIFEST) as run:
        assert {name for name, _ in run.done} == set(kept)
        run.append(*episode(f"task-{len(kept)}"))
    assert verified(small_disk / "run") == [*kept, f"task-{len(kept)}"]


def test_without_taking_back_a_short_write_the_folder_would_be_torn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same failure with truncation switched off, and again with it."""
    whole = os.write

    def full(file: int, data: bytes) -> int:
        if b'"task_id":"b"' in bytes(data):
            whole(file, bytes(data)[:40])
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(file, data)

    for cut in (False, True):
        folder = tmp_path / str(cut)
        with monkeypatch.context() as patch, RunFolder(folder, MANIFEST) as run:
            run.append(*episode("a"))
            patch.setattr(os, "write", full)
            if not cut:
                patch.setattr(os, "ftruncate", lambda file, size: None)
            with pytest.raises(StoreError):
                run.append(*episode("b"))
        torn = not (folder / "trajectories.jsonl").read_bytes().endswith(b"\n")
        assert torn is not cut


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run", MANIFEST):
        worker = start(tmp_path / "run", 5)
        worker.communicate()
        assert worker.returncode != 0
        with pytest.raises(StoreLocked, match="another process"):
            RunFolder(tmp_path / "run", MANIFEST)
    worker = start(tmp_path / "run", 5)
    assert b"FINISHED" in worker.communicate()[0]


def test_without_the_lock_two_writers_would_duplicate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saccade.runs.claim.FileLock.acquire", lambda self, timeout: None)
    with RunFolder(tmp_path / "run", MANIFEST) as one, RunFolder(tmp_path / "run", MANIFEST) as two:
        one.append(*episode("a"))
        two.append(*episode("a"))
    with pytest.raises(AssertionError, match="duplicates"):
        verified(tmp_path / "run")


def test_a_files_bytes_are_stored_once_and_unchanged(tmp_path: Path) -> None:
    file = tmp_path / "photo.jpg"
    PILImage.effect_noise((300, 200), 50).convert("RGB").save(file, quality=60)
    with RunFolder(tmp_path / "run", MANIFEST) as run:
        for name in ("a", "b"):
            run.append(*episode(name, image=Image.open(file)))
    stored = list((tmp_path / "run" / "images").iterdir())
    assert [f.read_bytes() for f in stored] == [file.read_bytes()]


def test_what_was_written_is_read_back_with_its_pixels(tmp_path: Path) -> None:
    task, trajectory = episode("a")
    with RunFolder(tmp_path / "run", MANIFEST) as run:
        run.append(task, trajectory)
    reader = RunReader(tmp_path / "run")
    entry = next(reader.entries())
    assert entry == (task, trajectory)
    assert reader.manifest == MANIFEST
    again = entry.trajectory.images[0]
    assert again.pixels().tobytes() == trajectory.images[0].pixels().tobytes()


def test_only_finished_new_episodes_are_taken(tmp_path: Path) -> None:
    task, trajectory = episode("a")
    with RunFolder(tmp_path / "run", MANIFEST) as run:
        run.append(task, trajectory)
        with pytest.raises(ValueError, match="already in"):
            run.append(task, trajectory)
        with pytest.raises(ValueError, match="not finished"):
            run.append(task, trajectory.model_copy(update={"stop": None, "sample": 1}))
        with pytest.raises(ValueError, match="not an episode of"):
            run.append(episode("b")[0], trajectory)


def test_aborted_episodes_are_kept_and_attempted_again(tmp_path: Path) -> None:
    task, trajectory = episode("a")
    failed = trajectory.model_copy(update={"stop": StopReason.ABORTED, "error": "down"})
    with RunFolder(tmp_path / "run", MANIFEST) as run:
        run.append(task, failed)
        assert run.done == frozenset()
        run.append(task, failed)
    reader = RunReader(tmp_path / "run")
    assert [e.trajectory.stop for e in reader.entries()] == [StopReason.ABORTED]
    with RunFolder(tmp_path / "run", MANIFEST) as run:
        run.append(task, trajectory)
        assert run.done == {("a", 0)}
    assert [e.trajectory.stop for e in reader.entries()] == [StopReason.ANSWER]
    assert len(list(reader.aborted())) == 2


def test_another_configuration_is_refused_and_named(tmp_path: Path) -> None:
    old, new = (
        Manifest(verb="rollout", config={"seed": 0, "policy": {"model": model}}, fingerprint="f")
        for model in "ab"
    )
    with RunFolder(tmp_path / "run", old) as run:
        run.append(*episode("a"))
    with pytest.raises(ConfigError, match=r'policy\.model: "a" -> "b"'):
        RunFolder(tmp_path / "run", new)
    with pytest.raises(ConfigError, match="the environment"):
        RunFolder(tmp_path / "run", old.model_copy(update={"fingerprint": "g"}))
    RunFolder(tmp_path / "run", old).close()


def test_a_folder_with_other_content_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="other content"):
        RunFolder(tmp_path, MANIFEST)
    with pytest.raises(ConfigError, match="in the way"):
        RunFolder(tmp_path / "thesis.tex", MANIFEST)
    assert [f.name for f in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(StoreError, match="no run folder"):
        RunReader(tmp_path)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a.png", "", "\0", "x" * 9999])
def test_images_are_read_by_their_hash_alone(tmp_path: Path, name: str) -> None:
    RunFolder(tmp_path / "run", MANIFEST).close()
    with pytest.raises(StoreError, match="no image of a run folder"):
        RunReader(tmp_path / "run").image_bytes(name)


def test_a_link_among_the_images_is_not_followed(tmp_path: Path) -> None:
    RunFolder(tmp_path / "run", MANIFEST).close()
    secret = tmp_path / "secret"
    secret.write_text("key")
    name = f"{'a' * 64}.png"
    (tmp_path / "run" / "images" / name).symlink_to(secret)
    with pytest.raises(StoreError):
        RunReader(tmp_path / "run").image_bytes(name)


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run", MANIFEST) as run:
        run.append(*episode("a"))
    file = tmp_path / "run" / "trajectories.jsonl"
    file.write_bytes(file.read_bytes() + b'{"id": 3}\n')
    with pytest.raises(FormatError, match=r"trajectories\.jsonl:2: damaged"):
        list(RunReader(tmp_path / "run").trajectories())


def test_a_run_in_progress_can_be_read(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run", MANIFEST) as run:
        run.append(*episode("a"))
        reader = RunReader(tmp_path / "run")
        with (tmp_path / "run" / "trajectories.jsonl").open("ab") as file:
            file.write(b'{"id": "being written')
        assert [t.task_id for t in reader.trajectories()] == ["a"]


def test_a_run_that_goes_on_while_it_is_read_has_all_its_tasks(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run", MANIFEST) as run:
        run.append(*episode("a"))
        entries = RunReader(tmp_path / "run").entries()
        assert next(entries).task.id == "a"
        run.append(*episode("b"))
        assert [entry.task.id for entry in entries] == ["b"]


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        kill_repeatedly(Path(place) / "run", int(sys.argv[1]), seed=1)
        sys.stdout.write(f"{sys.argv[1]} kills: nothing lost, nothing twice\n")
