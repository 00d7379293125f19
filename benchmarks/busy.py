"""Run a command on a busy machine, on which the tests have to pass as well.

    python benchmarks/busy.py -- make test

Beside the command run one busy loop a core and one process that allocates, touches and frees 4 GiB
again and again. They end with the command, whose exit code is returned.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

BLOCK_BYTES = 4 * 2**30
PAGE_BYTES = 4096


def spin(parent: int) -> None:
    """Occupy one core for as long as the parent lives."""
    while os.getppid() == parent:
        pass


def churn(parent: int) -> None:
    """Allocate, touch and free memory for as long as the parent lives."""
    while os.getppid() == parent:
        block = bytearray(BLOCK_BYTES)
        block[::PAGE_BYTES] = bytes(BLOCK_BYTES // PAGE_BYTES)
        del block


@contextmanager
def beside(work: Callable[[int], None]) -> Iterator[None]:
    """Run `work(our process id)` in a process of its own until the block ends."""
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(target=work, args=(os.getpid(),), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def run_busy(command: list[str]) -> int:
    """Run the command beside the load and return its exit code, as a shell counts signals."""
    with ExitStack() as load:
        for work in [spin] * (os.cpu_count() or 1) + [churn]:
            load.enter_context(beside(work))
        code = subprocess.run(command, check=False).returncode
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", nargs="+", help="what to run, after --")
    sys.exit(run_busy(parser.parse_args().command))
