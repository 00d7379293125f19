"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# In CI the same examples each time; elsewhere new ones. A busy machine is no failure.
for profile, same in (("ci", True), ("search", False)):
    settings.register_profile(
        profile,
        derandomize=same,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile("ci" if os.environ.get("CI") else "search")

pytest_plugins = ["tiny"]

# The machine of a test does not lose its power, and killed processes lose nothing that was written:
# to wait for the disk, 8 ms a file, shows nothing. That it fails is shown by `saccade.testing`.
os.fsync = os.fstat  # type: ignore[assignment]

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ROOT = Path(__file__).resolve().parent.parent


LONG = (
    "nano", "train", "robust", "sandbox", "view", "test_reader_photos.py", "test_photographs.py",
    "cli",
)  # fmt: skip
"""What takes longest begins first: at the end no worker is left alone with it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        first = item.path.relative_to(ROOT / "tests").parts[0]
        return LONG.index(first) if first in LONG else len(LONG)

    items.sort(key=rank)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a test may not be skipped for want of something that can be installed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None:
        return
    reasons = {str(report.longrepr) for report in reporter.stats.get("skipped", [])}
    curable = sorted(reason for reason in reasons if "install" in reason)
    if curable and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line("\nskipped, though an install would cure it:\n" + "\n".join(curable))
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real photographs and data sets that are not part of the product."""
    folder = Path(os.environ.get("SACCADE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; name its folder in SACCADE_DATA")
    return folder
