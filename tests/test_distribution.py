"""What is installed: under its own name, with one version, and no more than a command needs."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import saccade
from saccade.errors import DISTRIBUTION, MissingExtra, install_line

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PLACES = ("src", "tests", "docs", "benchmarks", "examples", "recipes", ".ci", ".github")
TEXTS = {".py", ".md", ".toml", ".cff", ".yml", ".yaml", ".html", ".js"}
SOMEBODY_ELSES = (
    r"(?<![\w./-])saccade\[(?=[a-z])",  # an extra of it
    r"\b(?:install|download|(?:uv|poetry) add)\b[^\n]*?"
    r"(?<![\w./:-])saccade(?![\w/:-])(?!\.\w)",
    r"\b(?:version|distribution|metadata|requires)\(.saccade.\)",
)
"""Where the word is read as the name of a distribution, which belongs to another project."""


def texts() -> Iterator[Path]:
    """Everything that is written by hand, this file left out."""
    yield from (ROOT / "Makefile", ROOT / ".ci" / "run")
    for folder, inside in [(ROOT, "*"), *((ROOT / place, "**/*") for place in PLACES)]:
        for file in sorted(folder.glob(inside)):
            if file.suffix in TEXTS and file != Path(__file__):
                yield file


def wrong(text: str) -> list[str]:
    return [found[0] for pattern in SOMEBODY_ELSES for found in re.finditer(pattern, text)]


def test_no_line_installs_the_package_of_another_project() -> None:
    found = {str(file.relative_to(ROOT)): wrong(file.read_text()) for file in texts()}
    assert len(found) > 300
    assert {"README.md", "Makefile", "src/saccade/errors.py"} <= set(found)
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "line",
    [
        "pip install saccade",
        "pip install 'saccade[ocr]'",
        "pip install --upgrade saccade==0.1",
        "uv add saccade",
        "pipx install saccade.",
        "(needs saccade[local])",
        'train = ["saccade[local]", "trl"]',
        "importlib.metadata.version('saccade')",
    ],
)
def test_the_wrong_line_would_be_found(line: str) -> None:
    assert wrong(line)


@pytest.mark.parametrize(
    "line",
    [
        "pip install 'saccade-vlm[ocr]'",
        'pip install -e ".[ocr]"',
        "what to install is said by saccade.errors",
        "whoever installs it runs saccade demo",
    ],
)
def test_the_right_line_is_left_alone(line: str) -> None:
    assert not wrong(line)


def test_one_name_and_one_version() -> None:
    assert PROJECT["name"] == DISTRIBUTION
    assert PROJECT["scripts"] == {"saccade": "saccade.cli:main"}
    assert "version" not in PROJECT, "saccade.__version__ is where the build takes it from"
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {saccade.__version__}\n" in citation


def test_a_missing_extra_names_the_line_that_installs_it() -> None:
    for extra in PROJECT["optional-dependencies"]:
        assert install_line(extra) in str(MissingExtra("torch", extra))
    assert install_line("ocr") == "pip install 'saccade-vlm[ocr]'"
