"""The command line.

Exit codes: 0 done, 1 failed, 2 the command or its run file is wrong, 130 interrupted.
"""

from __future__ import annotations

import errno
import gc
import logging
import os
import re
import sys
import threading
import traceback
import warnings
from types import TracebackType
from typing import NoReturn, TextIO

from saccade import __version__
from saccade.cli.commands import Example, Group, Row
from saccade.errors import ConfigError, SaccadeError

INTERRUPTED = 130

_AGAIN = "and run the same command again: what was finished is kept"
OF_THE_DISK = {
    errno.ENOSPC: f"make room {_AGAIN}",
    errno.EDQUOT: f"make room {_AGAIN}",
    errno.EFBIG: f"choose a disk that takes larger files {_AGAIN}",
    errno.EROFS: f"make it writable {_AGAIN}",
    errno.EACCES: f"see who may read and write it {_AGAIN}",
    errno.EPERM: f"see who may change it {_AGAIN}",
    errno.EIO: f"look after the disk {_AGAIN}",
}
"""What a disk says that no command can mend, and what a user can do."""
_NATIVE = re.compile(r"\(os error (\d+)\)|PytorchStreamWriter|inline_container\.cc")
"""Source: Rust, std::io::Error; torch, caffe2/serialize/inline_container.cc."""

COMMANDS = (
    Row("demo", "saccade.cli.demo:demo",
        "Watch the embedded model solve held-out scenes.", "Use"),
    Row("solve", "saccade.cli.solve:solve",
        "Ask about an image and watch where the model looks.", "Use"),
    Row("check policy", "saccade.cli.check:policy",
        "Ask a model what it sees and does before it is relied on.", "Use"),
    Row("view", "saccade.cli.view:view",
        "Make a page of a run, or of two runs side by side.", "Use"),
    Row("check recipe", "saccade.cli.check:recipe",
        "Find out whether a run would work, and what a step costs.", "Train"),
    Row("curate", "saccade.cli.curate:curate",
        "Keep the questions that a training can use.", "Train"),
    Row("demos", "saccade.cli.demos.synthesise:synthesise",
        "Let teachers make demonstrations for a cold start.", "Train",
        argument="RECIPE"),
    Row("demos export", "saccade.cli.demos.export:export",
        "Write the episodes of a run for other trainers.", "Train"),
    Row("demos import", "saccade.cli.demos.importing:importing",
        "Read conversations of others as episodes to learn from.", "Train"),
    Row("sft", "saccade.cli.sft:sft",
        "Fine-tune a model on demonstrations.", "Train"),
    Row("rl", "saccade.cli.rl:rl",
        "Train a model by reinforcement learning.", "Train"),
    Row("nano train-base", "saccade.cli.nano:train_base",
        "Train an embedded base from nothing.", "Train"),
    Row("rollout", "saccade.cli.rollout:rollout",
        "Attempt every task of a run file.", "Evaluate"),
    Row("bench", "saccade.cli.bench:bench",
        "Attempt the items of a benchmark.", "Evaluate"),
    Row("bench list", "saccade.cli.benches.listing:listing",
        "List benchmarks: items, licence, source, what is here.", "Evaluate"),
    Row("bench merge", "saccade.cli.benches.merge:merge",
        "Join the runs of all shards of a benchmark into one.", "Evaluate"),
    Row("bench predictions", "saccade.cli.benches.predictions:predictions",
        "Write the answers of a run as VLMEvalKit keeps them.", "Evaluate"),
    Row("rescore", "saccade.cli.rescore:rescore",
        "Judge a finished run again, without playing it.", "Evaluate"),
    Row("report", "saccade.cli.report:report",
        "Print what runs measured, as tables.", "Evaluate"),
    Row("nano eval", "saccade.cli.nano:evaluate",
        "Compare arms of the same weights on held-out scenes.", "Evaluate"),
    Row("nano probe", "saccade.cli.nano:probe",
        "Measure whether the digits can be read at all.", "Evaluate"),
    Row("nano library", "saccade.cli.nano:library",
        "Write the documents that hold the world's facts.", "Evaluate"),
    Row("attack", "saccade.cli.attack:attack",
        "Attack a classifier or an agent, budget by budget.", "Harden"),
    Row("detect", "saccade.cli.detect:detect",
        "Measure how well attacked images are detected.", "Harden"),
    Row("check sandbox", "saccade.cli.check:sandbox",
        "Try to break out of the sandbox in every known way.", "Harden"),
    Row("index build", "saccade.cli.index:build",
        "Build an index for search, or bring it up to date.", "Serve"),
    Row("index embed", "saccade.cli.indexes.embedding:embed",
        "Embed the passages of an index for search by meaning.", "Serve"),
    Row("index search", "saccade.cli.index:search",
        "Search an index by words, or by an image.", "Serve"),
    Row("index import", "saccade.cli.indexes.importing:importing",
        "Import a published cache of image searches.", "Serve"),
    Row("index export", "saccade.cli.indexes.importing:exporting",
        "Write recorded image searches as a published cache.", "Serve"),
    Row("serve sandbox", "saccade.cli.serve:sandbox",
        "Serve a sandbox for Python cells over HTTP.", "Serve"),
    Row("serve search", "saccade.cli.serve:search",
        "Serve an index to many workers over HTTP.", "Serve"),
    Row("keys", "saccade.cli.keys:keys",
        "Look up the keys of run files, and environment variables.", "Help"),
    Row("env", "saccade.cli.env:env",
        "Describe this installation and machine, for bug reports.", "Help"),
)  # fmt: skip
GROUPS = {
    "bench": "Attempt the items of a benchmark: saccade bench nano is the one to begin with.",
    "demos": "Make demonstrations for a cold start: saccade demos RECIPE lets teachers play.",
    "check": "Find out whether something will work before it is started.",
    "index": "Make documents and pictures searchable on this machine, without a network.",
    "nano": "Train and evaluate the embedded models on scenes of their world.",
    "serve": "Serve something over HTTP until it is stopped.",
}
EXAMPLES = (
    Example("saccade demo", "Watch an embedded model look, zoom in and answer."),
    Example('saccade solve PHOTO "QUESTION" policy.kind=reader',
            "Ask about your photograph; `saccade solve --help` names other models."),
    Example("saccade view RUN --open", "See in the browser where a model looked in a run."),
)  # fmt: skip

app = Group(
    None,
    "Vision-language agents that think with images: run, train, evaluate, harden.",
    COMMANDS,
    groups=GROUPS,
    examples=EXAMPLES,
    version=f"saccade {__version__}",
)


def main() -> NoReturn:
    """Run a command; mistakes of the user are reported without a traceback."""
    # torch and transformers make half a million objects that stay. To look for garbage among them
    # again and again takes a tenth of their import.
    gc.set_threshold(50_000, 10, 10)
    make_printable()
    sys.path.append(os.getcwd())  # a run file may name "package.module:Name" of the user's own
    try:
        app()
    except SaccadeError as error:
        from saccade.cli.common.say import say

        say(f"error: {error}", colour="red", err=True)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    except Exception as error:
        if (problem := of_the_disk(error)) is None:
            raise
        from saccade.cli.common.say import say

        say(f"error: {problem}", colour="red", err=True)
        sys.exit(1)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            from saccade.cli.common.interrupt import end_process

            end_process()
        raise
    sys.exit(0)


def of_the_disk(error: Exception) -> str | None:
    """What a disk says, and what a user can do; None for an error of another kind.

    safetensors and tokenizers, which write with code of their own, say the number in words; torch
    says only that less was written than it wanted.
    """
    code = error.errno if isinstance(error, OSError) else None
    if native := _NATIVE.search(str(error)):
        code = int(native[1] or errno.ENOSPC)
    if code not in OF_THE_DISK:
        return None
    where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
    return f"{where}{os.strerror(code)}; {OF_THE_DISK[code]}"


def make_printable() -> None:
    """Take the commands for a terminal out of what is printed by whoever does not know of them."""
    warnings.showwarning = _show_warning
    sys.excepthook = _show_traceback
    threading.excepthook = lambda told: _show_traceback(
        told.exc_type, told.exc_value, told.exc_traceback
    )
    logging.setLogRecordFactory(_Logged)


class _Logged(logging.LogRecord):
    """What anybody logs, as text of which a terminal takes nothing for a command."""

    def getMessage(self) -> str:
        from saccade.untrusted.printable import printable

        if self.exc_info and not self.exc_text:
            self.exc_text = printable(logging.Formatter().formatException(self.exc_info))
        return printable(super().getMessage())


def _show_traceback(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    from saccade.cli.common.say import say

    say("".join(traceback.format_exception(kind, error, trace)), err=True, end="")


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning as a sentence, without the line of code that raised it."""
    from saccade.cli.common.say import say

    say(f"warning: {message}", colour="yellow", err=True)
