"""Processes that start with torch loaded: forked from one that has done nothing else."""

import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from waiting import LIMIT_S, heed_interrupts

FORKS = multiprocessing.get_context("forkserver")
# Libraries alone: in what order Saccade's own modules are imported is a part of what is tested.
# An optimiser's first step imports torch._dynamo.
FORKS.set_forkserver_preload([
    "pytest", "torch", "torch._dynamo", "torch.distributed", "transformers.trainer",
    "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl", "trl.trainer.grpo_config",
])  # fmt: skip


class Running(NamedTuple):
    """A command in a process of its own; what it prints goes to two files."""

    arguments: list[str]
    process: multiprocessing.process.BaseProcess
    stdout: Path
    stderr: Path

    def poll(self) -> int | None:
        """The exit code, if it has ended."""
        return self.process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def wait(self) -> subprocess.CompletedProcess[str]:
        """What it printed and its exit code, once it has ended."""
        self.process.join(5 * LIMIT_S)
        code = self.process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(self.arguments, 5 * LIMIT_S)
        out, errors = self.stdout.read_text(), self.stderr.read_text()
        return subprocess.CompletedProcess(self.arguments, code, out, errors)


@contextmanager
def forked(*arguments: str, cwd: Path | None = None) -> Iterator[Running]:
    """`saccade` with an exit code, signals, streams and a folder of its own, a second after.

    It differs from `python -m saccade` in that torch and transformers are loaded when it begins,
    which takes five seconds: not for tests of what is imported, or of memory.
    """
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder) / name for name in ("stdout", "stderr")]
        command = ["saccade", *arguments]
        where = (cwd or Path.cwd()).resolve()
        process = FORKS.Process(target=_run, args=(command, where, dict(os.environ), *streams))
        process.start()
        try:
            yield Running(command, process, *streams)
        finally:
            process.kill()
            process.join()


def _run(
    command: list[str], where: Path, variables: dict[str, str], stdout: Path, stderr: Path
) -> None:
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(where)
    heed_interrupts()
    run_here(command, stdout, stderr)


def run_here(command: list[str], stdout: Path, stderr: Path) -> None:
    """Be that command, in a process that was forked for it."""
    for number, path in ((1, stdout), (2, stderr)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    sys.argv = command
    from saccade.cli import main

    try:
        main()
    except Exception:
        sys.excepthook(*sys.exc_info())
        sys.exit(1)
    finally:
        atexit._run_exitfuncs()
