"""What a command imports: nothing that it does not use. No clock is read (benchmarks/startup.py).

Real processes are watched with `python -X importtime`, which names every module as it is loaded.
"""

import functools
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from saccade import __version__
from saccade.cli import COMMANDS, EXAMPLES, GROUPS
from saccade.cli.commands import Row
from saccade.testing import ScriptedServer

OF_TYPER = {"typer", "click", "annotated_doc", "typing_extensions", "shellingham"}
JYTHON = {"org"}
"""`copy` looks for it, and finds nothing."""
SHARED = {
    "saccade", "saccade.__main__", "saccade.errors", "saccade.cli", "saccade.cli.commands",
    "saccade.cli.common", "saccade.cli.common.options", "saccade.cli.common.robust",
    "saccade.cli.common.say", "saccade.untrusted", "saccade.untrusted.printable",
}  # fmt: skip
SLOW = {"asyncio", "http", "importlib.metadata", "socket", "ssl", "unittest"}
"""Modules of the standard library that cost more than a few milliseconds."""
HEAVY = {"torch", "transformers", "trl", "scipy", "sklearn", "matplotlib", "pyarrow"}


def imported(
    *arguments: str, cwd: Path | None = None, module: bool = True
) -> tuple[set[str], subprocess.CompletedProcess[str]]:
    """Every module that a process loads, by its full name, and how the process ended."""
    command = [sys.executable, "-X", "importtime", *(["-m", "saccade"] if module else [])]
    done = subprocess.run([*command, *arguments], cwd=cwd, capture_output=True, text=True)
    return set(re.findall(r"^import time: [^|]*\|[^|]*\| +(\S+)$", done.stderr, re.M)), done


@functools.cache
def bare() -> set[str]:
    """What the interpreter and its environment load for `python -c pass`."""
    return imported("-c", "pass", module=False)[0]


def roots(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def check_page(modules: set[str], *own: str) -> None:
    """A help page needs Typer, the shared files of the command line, and its own file."""
    loaded = modules - bare()
    assert "typer" in loaded
    assert roots(loaded) <= OF_TYPER | JYTHON | sys.stdlib_module_names | {"saccade"}
    assert {name for name in loaded if name.startswith("saccade")} <= SHARED | set(own)
    assert not loaded & SLOW


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row.name)
def test_the_help_of_a_command_loads_its_own_file_and_no_other(row: Row) -> None:
    modules, done = imported(*row.name.split(), "--help")
    assert done.returncode == 0
    check_page(modules, row.target.partition(":")[0])
    assert " ".join(row.help.split()) in " ".join(done.stdout.split())
    assert "Usage:" in done.stdout


@pytest.mark.parametrize("group", ["", *GROUPS])
def test_the_help_of_a_group_loads_no_command_and_lists_all(group: str) -> None:
    modules, done = imported(*group.split(), "--help")
    assert done.returncode == 0
    check_page(modules)
    rows = [row for row in COMMANDS if row.name.startswith(f"{group} ".lstrip())]
    assert rows
    lines = [line.split() for line in done.stdout.splitlines()]
    for row in rows:
        assert f"{row.name} {row.help}".removeprefix(f"{group} ").split() in lines
        assert [f"{row.panel}:"] in lines


def test_the_command_alone_shows_where_to_start_then_everything() -> None:
    modules, done = imported()
    check_page(modules)
    assert done.returncode == 2
    page = re.sub("^import time.*\n", "", done.stderr, flags=re.M)
    named = [example.line for example in EXAMPLES] + ["Use:", "Train:", "Evaluate:", "Harden:"]
    assert [page.index(text) for text in named] == sorted(page.index(text) for text in named)


def test_the_version_is_said_without_loading_anything() -> None:
    modules, done = imported("--version")
    check_page(modules)
    assert (done.returncode, done.stdout) == (0, f"saccade {__version__}\n")


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row.name)
def test_the_table_says_what_the_docstring_says_in_a_line_of_80_columns(row: Row) -> None:
    module, _, function = row.target.partition(":")
    text = inspect.getdoc(getattr(importlib.import_module(module), function))
    assert text is not None
    assert text.splitlines()[0] == row.help
    column = max(len(row.name) for row in COMMANDS)
    assert len(f"  {'':{column}}  {row.help}") <= 78


def test_keys_are_looked_up_without_torch() -> None:
    modules, done = imported("keys", "train.lora.rank")
    assert done.returncode == 0, done.stderr
    assert "train.lora.rank = 16   integer >= 1 *" in done.stdout
    assert not roots(modules) & HEAVY


def test_a_run_with_a_server_and_its_page_load_no_torch(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(
        'out = "run"\ntasks = { kind = "world", family = "read", n = 2 }\n'
    )
    with ScriptedServer(lambda request: "<answer>7</answer>") as server:
        settings = ["policy.kind=openai", f"policy.base_url={server.url}", "policy.model=script"]
        rollout, done = imported("rollout", "run.toml", *settings, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "httpx" in rollout
    assert not roots(rollout) & HEAVY
    again, repeated = imported("rollout", "run.toml", *settings, "--json", cwd=tmp_path)
    assert repeated.stdout == done.stdout, "without the server: it was finished"
    assert "run is finished: nothing was left to do" in repeated.stderr
    assert not roots(again) & (HEAVY | {"httpx"})
    view, done = imported("view", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not roots(view) & (HEAVY | {"rich", "httpx"})
    assert not view & {"saccade.rollout", "saccade.env", "saccade.recipe", "saccade.policies"}
    report, done = imported("report", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not roots(report) & (HEAVY | {"rich", "httpx"})
    assert not report & {"saccade.rollout", "saccade.env", "saccade.recipe", "saccade.policies"}
