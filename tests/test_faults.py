"""Every moment at which a disk can fail or a process can be killed: nothing finished is lost."""

import errno
import json
import os
import re
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from command import here
from photos import write_photos
from safetensors.numpy import save_file

import saccade.cli
from saccade.errors import ConfigError
from saccade.testing.faults import Fault, disk

ERRNO = {"full": errno.ENOSPC, "read_only": errno.EROFS, "failing": errno.EIO}
KINDS: tuple[Fault, ...] = ("full", "read_only", "failing", "killed")


# The injector itself.


def work(folder: Path) -> None:
    """A step of each kind that Python has."""
    folder.mkdir()  # folder
    with (folder / "a").open("w") as file:  # create
        file.write("12345678")  # write, when it is closed
    descriptor = os.open(folder / "b", os.O_WRONLY | os.O_CREAT)  # create
    os.write(descriptor, b"1234")  # write
    os.fsync(descriptor)  # sync
    os.close(descriptor)
    (folder / "a").replace(folder / "c")  # rename
    os.truncate(folder / "c", 2)  # cut
    (folder / "c").unlink()  # remove


@pytest.mark.parametrize(("kind", "steps"), [("full", 6), ("read_only", 9), ("failing", 5)])
def test_every_step_can_fail_and_those_after_it(tmp_path: Path, kind: Fault, steps: int) -> None:
    with disk(tmp_path / "whole", kind) as counted:
        work(tmp_path / "whole")
    assert counted.steps == steps
    for step in range(steps):
        said = os.strerror(ERRNO[kind])
        with (
            disk(tmp_path / f"{step}", kind, at=step) as broken,
            pytest.raises(OSError, match=said),
        ):
            work(tmp_path / f"{step}")
        assert broken.steps > step


def test_half_of_a_write_is_there_and_other_folders_are_whole(tmp_path: Path) -> None:
    with disk(tmp_path / "a", "full", at=2):
        with pytest.raises(OSError, match="No space"):
            work(tmp_path / "a")
        work(tmp_path / "b")
    assert (tmp_path / "a" / "a").read_text() == "1234"


def test_a_fault_that_no_disk_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="kind"), disk(tmp_path, "tired"):  # type: ignore[arg-type]
        pass


# Libraries that write with code of their own, which no patch of Python reaches.


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """What a disk that takes no larger files is to everybody."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def save_safetensors(file: Path) -> None:
    save_file({"weights": np.zeros(100_000)}, file)


def save_pickle(file: Path) -> None:
    import torch  # only here: what else stands in this file needs no seconds for it

    torch.save({"weights": torch.zeros(100_000)}, file)


@pytest.mark.parametrize("save", [save_safetensors, save_pickle])
def test_a_full_disk_is_told_whoever_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: Callable[[Path], None]
) -> None:
    def command() -> None:
        with files_of_at_most(65_536):
            save(tmp_path / "weights")

    monkeypatch.setattr(saccade.cli, "app", command)
    done = here()
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "run the same command again" in done.stderr
    with monkeypatch.context() as off:
        off.setattr(saccade.cli, "_NATIVE", re.compile("^$"))
        with pytest.raises(Exception, match=r"too large|inline_container"):
            here()


# Commands.


def in_a_child(work: Callable[[], object]) -> int:
    """Run something in a process of its own; the signal that ended it."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Command:
    """A command on two questions, in a folder of its own."""

    def __init__(self, folder: Path, verb: str) -> None:
        self.folder, self.verb = folder, verb
        folder.mkdir()
        names = [f"t{number}" for number in range(2)]
        rows = [{"id": name, "question": "What?", "answer": "1"} for name in names]
        (folder / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        turns = [{"task": name, "turns": ["<answer>1</answer>"]} for name in names]
        (folder / "script.jsonl").write_text("".join(json.dumps(row) + "\n" for row in turns))
        (folder / "run.toml").write_text("tools = {}\ncanary = false\n")
        self.out = folder / "out"
        if verb == "rescore":
            assert self._rollout(folder / "before").returncode == 0
        if verb == "merge":
            data = write_photos(folder / "data", 2)
            turns = [{"task": f"q{number:02d}", "turns": ["A"]} for number in range(2)]
            (folder / "script.jsonl").write_text("".join(json.dumps(row) + "\n" for row in turns))
            for share in ("1/2", "2/2"):
                done = here("bench", "vstar_mini", f"data={data}", "arm=direct", "canary=false",
                            "policy.kind=replay", f"policy.script={folder / 'script.jsonl'}",
                            f"shard={share}", f"out={folder / share[0]}")  # fmt: skip
                assert done.returncode == 0, done.stderr

    def run(self) -> object:
        if self.verb == "rollout":
            return self._rollout(self.out)
        if self.verb == "merge":
            shards = [str(self.folder / name) for name in "12"]
            return here("bench", "merge", *shards, f"out={self.out}")
        settings = ("reward.judge=choice", f"out={self.out}")
        return here("rescore", str(self.folder / "before"), *settings)

    def _rollout(self, out: Path) -> object:
        settings = {
            "tasks.kind": "file", "tasks.path": self.folder / "tasks.jsonl",
            "policy.kind": "replay", "policy.script": self.folder / "script.jsonl", "out": out,
        }  # fmt: skip
        words = [f"{key}={value}" for key, value in settings.items()]
        return here("rollout", str(self.folder / "run.toml"), *words)

    def finished(self) -> list[str]:
        """The whole lines of finished episodes."""
        file = self.out / "trajectories.jsonl"
        lines = file.read_bytes().splitlines(keepends=True) if file.exists() else []
        return [json.loads(line)["id"] for line in lines if line.endswith(b"\n")]


@pytest.mark.parametrize(("verb", "stride"), [("rollout", 2), ("rescore", 5), ("merge", 9)])
def test_whatever_step_fails_nothing_finished_is_lost(
    tmp_path: Path, verb: str, stride: int
) -> None:
    whole = Command(tmp_path / "whole", verb)
    with disk(whole.out, "killed") as counted:
        whole.run()
    assert len(whole.finished()) == 2
    assert counted.steps > 12
    for number, step in enumerate(range(0, counted.steps, stride)):
        kind = KINDS[number % len(KINDS)]
        made = Command(tmp_path / f"{step}", verb)
        if kind == "killed":
            with disk(made.out, kind, at=step):
                assert in_a_child(made.run) == -signal.SIGKILL
        else:
            with disk(made.out, kind, at=step) as broken:
                done = made.run()
            if broken.steps > step:
                assert done.returncode == 1, (kind, step)
                said = done.stderr.splitlines()[-1]
                assert said.startswith("error: "), (kind, step, done.stderr)
                assert os.strerror(ERRNO[kind]) in said
        before = made.finished()
        again = made.run()
        assert again.returncode == 0, (kind, step, again.stderr)
        assert made.finished()[: len(before)] == before
        assert sorted(made.finished()) == sorted(whole.finished()), (kind, step)
