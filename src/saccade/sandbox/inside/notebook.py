"""A notebook: cells that share variables, and what they print, show and return.

What it calls while cells run, it has taken hold of before: a cell may replace anything in the
modules that it imports. That is no defence (the host checks all that comes back), it keeps a
session working after an honest accident.
"""

from __future__ import annotations

import ast
import asyncio
import ctypes
import inspect
import io
import linecache
import random
import signal
import sys
import threading
import time
import tokenize
import traceback
import types
from dataclasses import dataclass, field
from typing import IO

from saccade.sandbox.inside.entropy import Entropy
from saccade.sandbox.inside.pictures import Picture, Pictures, open_given
from saccade.sandbox.inside.plan import Order

MISSING = 8
"""Number of images that a cell names which are not there."""
FRAMES = 8
"""Number of frames that a traceback shows."""

INSTEAD = {
    "%": "magics are not available: write plain Python (figures are shown without %matplotlib)",
    "!": "shell lines are not available: write Python; packages cannot be installed",
    "?": "help with ? is not available: write help(...)",
}


class CellTimeout(BaseException):
    """Raised in a cell that runs too long; not an Exception, so that few handlers catch it."""


@dataclass
class Outcome:
    """What became of a cell."""

    status: str = "ok"
    """"ok", "error" or "timeout"."""
    value: str | None = None
    error: str | None = None
    pictures: list[Picture] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Notebook:
    """The variables of a session."""

    def __init__(self, order: Order) -> None:
        self._limits, self._order = order.limits, order
        self._outcome = Outcome()
        self._loop: asyncio.AbstractEventLoop | None = None
        module = types.ModuleType("__main__")
        sys.modules["__main__"] = module
        self.variables = module.__dict__
        self.variables["display"] = self._display
        self._take_hold()
        self._set_streams()
        random.seed(order.seed)
        if (numpy := sys.modules.get("numpy")) is not None:
            numpy.random.seed(order.seed % 2**32)
        self._entropy = Entropy(order.seed) if order.has("entropy") else None
        self._pictures = Pictures(order)
        self._missing: list[str] = []

    def run(self, number: int, code: str, seconds: float) -> Outcome:
        """Run a cell; returns whatever happens."""
        self._outcome = outcome = Outcome()
        outcome.notes, self._missing = self._missing, []
        if self._entropy is not None:
            self._entropy.begin(number)
        self._pictures.begin(outcome.pictures, outcome.notes)
        name = f"<cell {number}>"
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
        try:
            self._run(name, code, seconds)
        except BaseException as error:
            self._report(error, name, seconds)
        try:
            self._stop_clock()
            self._pictures.show_figures()
            self._pictures.end()
        except BaseException as error:
            self._report(error, name, seconds)
        if self._thread_count() > 1:
            self._stop_threads()
        for stream in (self._stdout, self._stderr):
            try:
                stream.flush()
            except BaseException:
                self._outcome.notes.append("some of the printed text was lost")
        return self._outcome

    def give(self, name: str, file: IO[bytes]) -> None:
        """Define a variable that holds an image; it is decoded when it is first used."""
        self.variables[name] = image = open_given(file)
        self._pictures.given(image)

    def missing(self, name: str, what: str) -> None:
        """An image could not be taken; the next cell says so."""
        if len(self._missing) < MISSING:
            self._missing.append(f"{name} is not there: cells had left no {what} for it")

    def _run(self, name: str, code: str, seconds: float) -> None:
        if self._order.has("interrupt"):
            self._signal(signal.SIGALRM, _interrupt)
            self._signal(signal.SIGINT, _interrupt)
            self._set_timer(signal.ITIMER_REAL, seconds)
        try:
            flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            tree = self._compile(code, name, "exec", flags | ast.PyCF_ONLY_AST)
            last = None
            if tree.body and isinstance(tree.body[-1], ast.Expr):
                last = ast.Expression(tree.body.pop().value)
            if tree.body:
                self._do(self._compile(tree, name, "exec", flags))
            if last is not None:
                value = self._do(self._compile(last, name, "eval", flags))
                if value is not None and not _ends_in_semicolon(code):
                    self.variables["_"] = value
                    if not self._pictures.show(value):
                        self._outcome.value = self._cut(self._repr(value))
            self._pictures.show_figures()
        finally:
            self._stop_clock()

    def _do(self, code: types.CodeType) -> object:
        """Run code in the notebook's variables; with a top-level await, in its event loop."""
        if not code.co_flags & inspect.CO_COROUTINE:
            return self._eval(code, self.variables)
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(types.FunctionType(code, self.variables)())

    def _report(self, error: BaseException, name: str, seconds: float) -> None:
        outcome = self._outcome
        if isinstance(error, CellTimeout):
            outcome.status = "timeout"
            outcome.error = (
                f"TimeoutError: the cell ran longer than {seconds:g} s and was interrupted; "
                "variables are kept"
            )
        else:
            outcome.status = "error"
            outcome.error = type(error).__name__
        try:
            text = self._cut(self._traceback(error))
            outcome.error = f"{text}{outcome.error}" if outcome.status == "timeout" else text
        except BaseException:
            outcome.notes.append("the traceback could not be written")

    def _traceback(self, error: BaseException) -> str:
        """The frames of the cells, and the error; of a timeout only the frames."""
        described = self._describe(type(error), error, error.__traceback__, compact=True)
        part: traceback.TracebackException | None = described
        while part is not None:
            own = [frame for frame in part.stack if frame.filename.startswith("<cell ")]
            part.stack[:] = own[-FRAMES:]
            part = part.__cause__ or part.__context__
        if isinstance(error, CellTimeout):
            return "".join(described.stack.format())
        text = "".join(described.format())
        if isinstance(error, SyntaxError) and error.text:
            for mark, instead in INSTEAD.items():
                line = error.text.strip()
                if line.startswith(mark) or (mark == "?" and line.endswith(mark)):
                    return f"{text.rstrip()}\n{instead}\n"
        return text

    def _display(self, *values: object) -> None:
        """Show images and figures, print everything else."""
        for value in values:
            if not self._pictures.show(value):
                sys.stdout.write(f"{value!r}\n")

    # What cells cannot take away by accident.

    def _take_hold(self) -> None:
        self._compile, self._eval, self._repr = compile, eval, repr
        self._signal, self._set_timer = signal.signal, signal.setitimer
        self._describe = traceback.TracebackException
        self._thread_count, self._clock, self._pause = (
            threading.active_count, time.monotonic, time.sleep,
        )  # fmt: skip

    def _set_streams(self) -> None:
        def stream(number: int, mode: str) -> io.TextIOWrapper:
            raw = io.FileIO(number, mode, closefd=False)
            return io.TextIOWrapper(raw, encoding="utf-8", errors="replace", write_through=True)

        self._stdout, self._stderr = stream(1, "w"), stream(2, "w")
        given = {"stdin": stream(0, "r"), "stdout": self._stdout, "stderr": self._stderr}
        vars(sys).update(given, **{f"__{name}__": value for name, value in given.items()})

    def _stop_clock(self) -> None:
        self._set_timer(signal.ITIMER_REAL, 0)

    def _cut(self, text: str) -> str:
        most = self._limits.text
        if len(text) <= most or not self._order.has("output"):
            return text
        dropped = len(text) - most
        return f"{text[: most // 2]}\n... [{dropped} characters left out] ...\n{text[-most // 2 :]}"

    def _stop_threads(self) -> None:
        """Ask threads that outlive their cell to end; the host stops all of them anyway."""
        raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
        own = threading.get_ident()
        for number in [t.ident for t in threading.enumerate() if t.ident not in (None, own)]:
            raise_in(ctypes.c_ulong(number), ctypes.py_object(SystemExit))
        until = self._clock() + 0.2
        while self._thread_count() > 1 and self._clock() < until:
            self._pause(0.005)


def _interrupt(number: int, frame: object) -> None:
    raise CellTimeout


def _ends_in_semicolon(code: str) -> bool:
    """Whether the last token before comments is a semicolon, which keeps a value quiet."""
    quiet = False
    try:
        for token in tokenize.generate_tokens(io.StringIO(code).readline):
            if token.type not in _NO_CODE:
                quiet = token.string == ";"
    except (tokenize.TokenError, IndentationError, SyntaxError):
        return False
    return quiet


_NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER, tokenize.DEDENT}
