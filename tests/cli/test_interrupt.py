"""Ctrl-C: what is said, and that nothing can hold up the end."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import LIMIT_S, heed_interrupts

from saccade.cli.common.interrupt import kept

STUCK = """
import pathlib, sys, threading
import saccade.cli.common.interrupt as interrupt
from saccade.cli.common.interrupt import ends_in_time, keeps
interrupt.GRACE_S = {grace}
never = threading.Event()
threading.Thread(target=never.wait).start()
try:
    with ends_in_time():
        keeps(pathlib.Path("run"))
        try:
            print("ready", flush=True)
            never.wait()
        finally:
            print("closing", flush=True)
            {closing}
except interrupt.typer.Exit as end:
    sys.exit(end.exit_code)
"""


@pytest.mark.parametrize(
    ("grace", "closing", "signals"),
    [
        (0.05, "never.wait()", 1),  # what is closed hangs
        (0.05, "pass", 1),  # a thread does not end, which the interpreter would wait for
        (9999, "never.wait()", 2),  # a second Ctrl-C is not asked for patience
    ],
)
def test_an_interrupted_command_ends_whatever_hangs(
    tmp_path: Path, grace: float, closing: str, signals: int
) -> None:
    command = [sys.executable, "-c", STUCK.format(grace=grace, closing=closing)]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=heed_interrupts,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        for line in ["ready", "closing"][:signals]:
            assert running.stdout.readline().strip() == line
            running.send_signal(signal.SIGINT)
        _, stderr = running.communicate(timeout=LIMIT_S)
    assert running.returncode == 130
    assert stderr == "interrupted: nothing was finished yet, and run is free\n"


def test_it_is_said_from_where_a_run_goes_on(tmp_path: Path) -> None:
    assert "nothing was finished yet" in kept(tmp_path)
    (tmp_path / "run.json").touch()
    (tmp_path / "trajectories.jsonl").touch()
    assert "nothing was finished yet" in kept(tmp_path)
    (tmp_path / "trajectories.jsonl").write_text("{}\n")
    assert "keeps what was finished; the same command resumes" in kept(tmp_path)
    (tmp_path / "metrics.jsonl").touch()
    assert "has no checkpoint yet" in kept(tmp_path)
    for step in (50, 100, 7):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").touch()
    (tmp_path / "checkpoint-150").mkdir()  # it was being written
    assert "keeps checkpoint-100; the same command resumes from it" in kept(tmp_path)
    assert "saccade demo --out x resumes" in kept(tmp_path, "saccade demo --out x")
