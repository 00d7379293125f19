"""Whatever a model, a server or a file says, a terminal is given text and no commands."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from building import a_task, a_trajectory, a_turn, plain
from command import here
from PIL import Image as PILImage
from waiting import LIMIT_S

import saccade.cli.common.console
import saccade.cli.common.say
import saccade.runs.folder
from saccade.runs.folder import RunFolder
from saccade.runs.manifest import Manifest
from saccade.testing.lies import HOSTILE_TEXT
from saccade.types import StopReason, Verdict

CLI = Path(__file__).resolve().parents[2] / "src" / "saccade" / "cli"
COLOURS = re.compile(
    r"\x1b\[[0-9;]*m|\x1b\[\?25[hl]|\r?(\x1b\[1A)?\x1b\[2K"
    r"|\x1b\]8;(id=\d+;(https?|file)?[!-~]*|;)\x1b\\"
)
"""What Rich itself sends: colours, the cursor and the lines of a bar, links."""


def commands_in(text: str) -> set[str]:
    """The characters that a terminal does not print, Rich's own aside."""
    return {c for c in COLOURS.sub("", text) if not c.isprintable() and c != "\n"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run in which every text is hostile."""
    h = HOSTILE_TEXT
    manifest = Manifest(verb="rollout", config={"tasks": {"kind": h}, h: h}, fingerprint=h)
    with RunFolder(tmp_path / "run", manifest) as run:
        for number in range(3):
            task = a_task(
                plain(40, 30), f"{h} {number}", id=f"{h}{number}", answer=h,
                meta={"family": f"{h}{number % 2}", "benchmark": h, "category": h},
            )  # fmt: skip
            aborted = number == 2
            made = a_trajectory(
                a_turn(answer=h, text=h), id=f"{task.id}:0", task_id=task.id,
                score=None if aborted else 1.0, error=h if aborted else None,
                stop=StopReason.ABORTED if aborted else StopReason.ANSWER,
                verdict=None if aborted else Verdict(correct=None, reason=h, judge=h),
            )  # fmt: skip
            run.append(task, made)
    (tmp_path / "tasks.jsonl").write_text(
        json.dumps({"id": h, "question": h, "answer": h, "family": h, "meta": {"family": h}}) + "\n"
    )
    (tmp_path / "script.jsonl").write_text(json.dumps({"task": h, "turns": [h, h]}) + "\n")
    (tmp_path / "run.toml").write_text("tools = {}\ncanary = false\n")
    PILImage.new("RGB", (40, 40)).save(tmp_path / "photo.png")
    return tmp_path


def lines(folder: Path) -> Iterator[list[str]]:
    """What is typed, with hostile words in it."""
    h = HOSTILE_TEXT.replace("/", "-")
    run, recipe, new = str(folder / "run"), str(folder / "run.toml"), str(folder / "new")
    script = [f"policy.script={folder / 'script.jsonl'}", "policy.kind=replay"]
    yield ["report", run]
    yield ["report", run, "--json"]
    yield ["rescore", run, f"out={new}-rescored", "reward.judge=exact"]
    yield ["view", run]
    yield ["rollout", recipe, "tasks.kind=file", f"tasks.path={folder / 'tasks.jsonl'}",
           *script, f"out={new}-{h}"]  # fmt: skip
    yield ["rollout", recipe, "tasks.kind=file", f"tasks.path={folder / 'tasks.jsonl'}",
           *script, f"out={new}-{h}", "--json"]  # fmt: skip
    yield ["solve", str(folder / "photo.png"), h, *script, f"out={new}-solved", "--choice", h]
    yield ["solve", str(folder / "photo.png"), h, *script, f"out={new}-json", "--json"]
    yield ["check", "recipe", recipe, "tasks.kind=file", f"tasks.path={folder / h}", *script,
           f"out={new}-{h}"]  # fmt: skip
    yield ["rollout", recipe, f'tasks."{h}"=1']
    yield ["rollout", recipe, f"tasks.kind={h}", f"out={h}"]
    yield ["rollout", str(folder / h)]
    yield ["report", str(folder / h)]
    yield ["keys", h]


def said(folder: Path) -> Iterator[tuple[list[str], str]]:
    for words in lines(folder):
        done = here(*words, cwd=folder)
        if "--json" in words and done.stdout:
            json.loads(done.stdout)
            assert done.stdout.isascii()
        yield words, done.stdout + done.stderr


@pytest.mark.parametrize("colours", [False, True])
def test_no_command_sends_a_terminal_what_others_wrote(
    folder: Path, monkeypatch: pytest.MonkeyPatch, colours: bool
) -> None:
    if colours:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLORTERM", "truecolor")
        monkeypatch.delenv("NO_COLOR", raising=False)
    for words, text in said(folder):
        assert text, words
        assert commands_in(text) == set(), (words[:2], text)


def test_without_the_filter_they_would(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (saccade.cli.common.say, saccade.cli.common.console):
        monkeypatch.setattr(module, "printable", lambda text: text)
    found = [commands_in(text) for _, text in said(folder)]
    assert sum(map(bool, found)) > 2


HOSTILE_COMMAND = f"""
import logging, warnings
import saccade.cli as cli
def command():
    logging.getLogger("a.library").warning("log %s", {HOSTILE_TEXT!r})
    warnings.warn("warn" + {HOSTILE_TEXT!r})
    try:
        raise KeyError({HOSTILE_TEXT!r})
    except KeyError:
        logging.getLogger("a.library").exception("caught")
    raise SystemError("raised " + {HOSTILE_TEXT!r})
cli.app = command
"""


@pytest.mark.parametrize("off", [False, True])
def test_nor_what_libraries_log_and_raise(off: bool) -> None:
    """In a process of its own: pytest takes what is logged here."""
    switch = "cli.make_printable = lambda: None\n" if off else ""
    done = subprocess.run(
        [sys.executable, "-c", f"{HOSTILE_COMMAND}{switch}cli.main()"],
        capture_output=True, text=True, timeout=5 * LIMIT_S, check=False,
    )  # fmt: skip
    for said in ("log ", "warn", "caught", "KeyError: ", "raised "):
        assert said in done.stderr
    assert bool(commands_in(done.stdout + done.stderr)) is off


def test_nothing_else_of_the_command_line_prints() -> None:
    """So that a new command cannot forget it."""
    printers = {"say.py", "console.py", "commands.py", "interrupt.py", "serve.py"}
    for path in CLI.rglob("*.py"):
        if path.name in printers:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("typer.echo", "typer.secho", "print", "Console"), path
