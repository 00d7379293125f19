"""The record of what real engines did: a row for each check, printed, and kept in results/servers.

`make test-servers` collects these files; `make test` does not.
"""

from pathlib import Path

import engines
import figures
import playing
import pytest
from figures import Record
from pydantic import JsonValue

from saccade.types import Task, Trajectory

ROWS: dict[str, list[dict[str, JsonValue]]] = {}
"""Engine -> what was found of it in this session."""


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Record:
    def keep(check: str, result: str, **known: JsonValue) -> None:
        engine = request.module.ENGINE
        ROWS.setdefault(engine, []).append({"check": check, "result": result, **known})

    return keep


@pytest.fixture(scope="session")
def asked() -> list[Task]:
    return playing.questions()


@pytest.fixture(scope="session")
def ours(asked: list[Task]) -> list[Trajectory]:
    """What the weights write in this process."""
    return playing.play(playing.local(), asked)


@pytest.fixture(scope="session")
def logs() -> Path:
    """A folder for what engines print."""
    folder = engines.INSTALLED / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Keep the rows, unless a check failed or only some were asked for."""
    if session.testsfailed or session.config.getoption("keyword"):
        return
    for engine, rows in ROWS.items():
        figures.keep(engine, rows, seed=playing.SEED)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for engine, rows in ROWS.items():
        terminalreporter.write_line(f"\n{engine}")
        for row in rows:
            terminalreporter.write_line(f"  {row['check']:<48} {row['result']}")
