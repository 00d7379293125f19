"""What an exported checkpoint holds, so that others load and serve it."""

import shutil
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from trainings import NANO
from transformers import AutoTokenizer

from saccade.models.load import load
from saccade.render.qwen_vl import CHAT_TEMPLATE, chat_template, load_renderer
from saccade.train.checkpoints import export

HUB_ID = "somebody/nano"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of a hub that is out of reach, with a model in it."""
    repository = tmp_path / "hub" / "models--somebody--nano"
    commit = "a" * 40
    shutil.copytree(NANO, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return repository / "snapshots" / commit


@pytest.mark.parametrize("by_id", [True, False], ids=["a model of the hub", "a folder"])
def test_an_export_carries_what_servers_read_beside_the_weights(
    hub: Path, tmp_path: Path, by_id: bool
) -> None:
    loaded = load(HUB_ID if by_id else hub)
    folder = export(loaded, tmp_path / "model", dtype=torch.float32, fingerprints=["f"])
    for name in ("preprocessor_config.json", "tokenizer_config.json", "tokenizer.json",
                 "generation_config.json", CHAT_TEMPLATE):  # fmt: skip
        assert (folder / name).read_bytes() == (Path(NANO) / name).read_bytes()
    assert load_renderer(folder).rule == loaded.renderer.rule


def test_a_base_without_a_chat_template_gets_that_of_the_renderer(
    hub: Path, tmp_path: Path
) -> None:
    (hub / CHAT_TEMPLATE).unlink()
    folder = export(load(hub), tmp_path / "model", dtype=torch.float32, fingerprints=[])
    assert AutoTokenizer.from_pretrained(folder).chat_template == chat_template()


@pytest.mark.parametrize("name", [CHAT_TEMPLATE, "chat_template.json"])
def test_the_template_of_a_base_is_kept(hub: Path, tmp_path: Path, name: str) -> None:
    (hub / CHAT_TEMPLATE).unlink()
    (hub / name).write_text('{"chat_template": "its own"}')
    folder = export(load(hub), tmp_path / "model", dtype=torch.float32, fingerprints=[])
    assert (folder / name).read_text() == '{"chat_template": "its own"}'
    assert [file.name for file in folder.glob("chat_template.*")] == [name]
