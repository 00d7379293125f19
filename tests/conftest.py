"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest

pytest_plugins = ["tiny"]

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real photographs and data sets that are not part of the product."""
    folder = Path(os.environ.get("SACCADE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; name its folder in SACCADE_DATA")
    return folder
