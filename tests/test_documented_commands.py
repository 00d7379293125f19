"""Every command line, option and key that a document names is one that exists."""

import importlib
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from saccade.cli import COMMANDS
from saccade.cli.commands import Row
from saccade.cli.reference.sections import GROUPS, RUN_FILES, keys_of, parts
from saccade.config import validate
from saccade.recipe import Recipe

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
ROWS = {row.name: row for row in COMMANDS}
EVERY = [
    key
    for section in [*RUN_FILES, *(part for group in GROUPS for part in parts(group))]
    for key in keys_of(section)
]
KEYS = {key.key for key in EVERY}
OPEN = {key.key for key in EVERY if re.match("part|list of part|table of", key.type)}
"""Keys under which a part of one's own has others."""
SECTIONS = {key.rpartition(".")[0] for key in KEYS} | {
    name for group in GROUPS for name in (group.name, f"{group.name}.kind")
}
TABLES = {key.key for key in EVERY if key.type.startswith("table")}
"""Keys under which the names are the user's own."""
SETTING = re.compile(r"([a-z_]+(?:\.[a-z_0-9]+)*)=(?!=)")


def commands(text: str) -> Iterator[list[str]]:
    """The words of each line that starts the command, in blocks of code and between backticks."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    for line in [*lines, *re.findall(r"(?<!`)`(saccade [^`]*)`(?!`)", " ".join(text.split()))]:
        called = re.search(r"(?:^|/| )saccade (?=[a-z-])(.*)", line)
        if called and "install" not in line:
            yield shlex.split(called[1], comments=True)


def problems(words: list[str]) -> Iterator[str]:
    """What of a command line does not exist."""
    row = ROWS.get(" ".join(words[:2])) or ROWS.get(words[0])
    if row is None:
        if words[0] not in ("--version", "COMMAND") and len(words) > 1:
            yield f"there is no command {words[:2]}"
        return
    known = options(row)
    for word in words[len(row.name.split()) :]:
        if word.startswith("--") and word.partition("=")[0] not in known:
            yield f"{row.name} has no {word}"
        elif (setting := SETTING.match(word)) and not is_key(setting[1]):
            yield f"{row.name}: there is no key {setting[1]}"


def options(row: Row) -> set[str]:
    module, _, function = row.target.partition(":")
    app = typer.Typer()
    app.command()(getattr(importlib.import_module(module), function))
    return {opt for parameter in get_command(app).params for opt in parameter.opts} | {"--help"}


def is_key(name: str) -> bool:
    named = name.rpartition(".")[0] in TABLES or name.startswith("train.trl.")
    part = name.removesuffix(".kind") in OPEN
    return named or part or name in KEYS | SECTIONS | {"key.path"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_commands_options_and_keys_exist(document: Path) -> None:
    found = [(words, list(problems(words))) for words in commands(document.read_text())]
    assert [(words, wrong) for words, wrong in found if wrong] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_settings_between_backticks_are_keys(document: Path) -> None:
    for code in re.findall(r"(?<!`)`([^`]*)`(?!`)", " ".join(document.read_text().split())):
        for word in code.split():
            if (setting := SETTING.match(word)) and "." in setting[1]:
                assert is_key(setting[1]), code


def settings_in(table: dict[str, object], prefix: str = "") -> Iterator[str]:
    """The dotted keys of a table; what lies under a part is the part's own."""
    for name, value in table.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and key not in OPEN:
            yield from settings_in(value, f"{key}.")
        else:
            yield key


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_run_files_in_documents_have_keys_that_exist(document: Path) -> None:
    for block in re.findall(r"```toml\n(.*?)```", document.read_text(), re.DOTALL):
        unknown = [key for key in settings_in(tomllib.loads(block)) if not is_key(key)]
        assert unknown == [], block
        if block.startswith("# saccade rollout"):
            assert validate(Recipe, tomllib.loads(block)).policy


def test_recipes_name_a_command_that_exists() -> None:
    for recipe in sorted((ROOT / "recipes").glob("*.toml")):
        for line in re.findall(r"saccade [^;\n]*", recipe.read_text().partition("\n")[0]):
            assert list(problems(shlex.split(line)[1:])) == []


@pytest.mark.parametrize(
    "line",
    ["slove photo.jpg", "demo --nn 3", "rollout x.toml polcy.kind=openai", "nano evaluate --n 3"],
)
def test_what_does_not_exist_is_found(line: str) -> None:
    assert list(problems(line.split()))
