"""Names of embedded models: near misses are refused, paths and ids of the hub are left alone."""

from pathlib import Path

import pytest

from saccade.embedded import folder_of, resolve, with_folders
from saccade.errors import ConfigError


def test_a_name_near_an_embedded_one_is_refused_before_a_hub_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"'nano-agnet'.* did you mean 'nano-agent'"):
        with_folders({"policy": {"kind": "hf", "path": "nano-agnet"}})
    assert resolve("nano-look") == str(folder_of("nano-look"))
    assert resolve("somebody/nano-agnet") == "somebody/nano-agnet"
    assert resolve("gpt2") == "gpt2"
    for folder in ("./nowhere", "/nowhere", "runs/nano-sft/model"):
        with pytest.raises(ConfigError, match=f"{folder}: no such folder"):
            resolve(folder)
    Path("nano-agnet").mkdir()
    assert resolve("nano-agnet") == "nano-agnet"
