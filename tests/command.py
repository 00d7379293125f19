"""`saccade` as a user types it: in a process of its own or, where that only costs time, here."""

import contextlib
import gc
import io
import logging
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from unittest import mock

from processes import forked

from saccade.cli import main


def in_a_process(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What a user gets, from the first line of Saccade to the exit code."""
    with forked(*arguments, cwd=cwd) as running:
        return running.wait()


def here(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The same exit code, output and errors, from the same entry point."""
    out, errors, collected = io.StringIO(), io.StringIO(), gc.get_threshold()
    logged = logging.getLogRecordFactory()
    with (
        contextlib.chdir(cwd or Path.cwd()),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(errors),
        mock.patch.object(sys, "argv", ["saccade", *arguments]),
        mock.patch.object(sys, "path", list(sys.path)),
        mock.patch.object(sys, "excepthook", sys.excepthook),
        mock.patch.object(threading, "excepthook", threading.excepthook),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("default")
        try:
            main()
        except SystemExit as end:
            code = end.code
        finally:
            gc.set_threshold(*collected)
            logging.setLogRecordFactory(logged)
    assert isinstance(code, int)
    return subprocess.CompletedProcess(
        ["saccade", *arguments], code, out.getvalue(), errors.getvalue()
    )
