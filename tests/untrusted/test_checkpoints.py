"""A checkpoint that brings code is refused before anything reads it, and nobody is asked."""

import json
import shutil
from pathlib import Path
from unittest import mock

import pytest
from command import here

import saccade.untrusted.checkpoints
from saccade.embedded import resolve
from saccade.errors import ConfigError
from saccade.untrusted.checkpoints import refuse_code

EMBEDDED = Path(resolve("nano-look"))
CODE = """
from pathlib import Path
from transformers import PretrainedConfig
Path(__file__).parent.joinpath("RAN").touch()
Path("RAN").touch()
class Evil(PretrainedConfig):
    model_type = "evil"
"""


def with_settings(folder: Path, name: str, **more: object) -> Path:
    """The embedded model with other settings in one of its files."""
    made = folder / "model"
    shutil.copytree(EMBEDDED, made, dirs_exist_ok=True)
    (made / "evil.py").write_text(CODE)
    file = made / name
    held = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(held | more))
    return made


HOSTILE = [
    ("config.json", {"auto_map": {"AutoConfig": "evil.Evil"}, "model_type": "evil"}),
    ("config.json", {"auto_map": {"AutoModelForImageTextToText": "evil.Evil"}}),
    ("config.json", {"vision_config": {"auto_map": {"AutoConfig": "someone/else--evil.Evil"}}}),
    ("config.json", {"attn_implementation": "someone/kernels"}),
    ("config.json", {"_attn_implementation": {"text_config": "someone/kernels@main:f"}}),
    ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["evil.Evil", None]}}),
    ("preprocessor_config.json", {"auto_map": {"AutoImageProcessor": "evil.Evil"}}),
    ("processor_config.json", {"auto_map": {"AutoProcessor": "evil.Evil"}}),
    ("generation_config.json", {"custom_generate": "someone/else"}),
    ("adapter_config.json", {"auto_mapping": {"parent_library": "evil"}}),
    ("config.4.0.0.json", {"auto_map": {"AutoConfig": "evil.Evil"}}),
]


@pytest.mark.parametrize(("name", "settings"), HOSTILE)
def test_a_checkpoint_that_names_code_is_refused(
    tmp_path: Path, name: str, settings: dict[str, object]
) -> None:
    made = with_settings(tmp_path, name, **settings)
    with pytest.raises(ConfigError, match=f"{name}: .*names code"):
        refuse_code(made)
    with mock.patch.object(saccade.untrusted.checkpoints, "_named", return_value=()):
        refuse_code(made)  # nothing else would find it


def test_what_lies_below_an_adapter_is_looked_at_too(tmp_path: Path) -> None:
    base = with_settings(tmp_path, *HOSTILE[0][:1], **HOSTILE[0][1])
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    with pytest.raises(ConfigError, match="names code"):
        refuse_code(adapter)
    (adapter / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": str(adapter)})
    )
    with pytest.raises(ConfigError, match="adapters of adapters"):
        refuse_code(adapter)


@pytest.mark.parametrize("kind", ["model", "adapter_model", "other"])
@pytest.mark.parametrize("part", ["../other.safetensors", "/etc/passwd", "..", 3])
def test_parts_of_weights_lie_beside_their_index(tmp_path: Path, part: object, kind: str) -> None:
    name = f"{kind}.safetensors.index.json"
    made = with_settings(tmp_path, name, weight_map={"a": "model-1.safetensors", "b": part})
    with pytest.raises(ConfigError, match="files beside it"):
        refuse_code(made)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin"])
def test_pickled_weights_are_refused(tmp_path: Path, name: str) -> None:
    made = with_settings(tmp_path, "config.json")
    (made / name).touch()
    refuse_code(made)  # they are not read where there are better ones
    (made / "model.safetensors").rename(made / "model-other.safetensors")  # which nobody reads
    with pytest.raises(ConfigError, match="pickle"):
        refuse_code(made)


@pytest.mark.parametrize("content", ["{", "[" * 100_000, ""])
def test_settings_that_are_no_json_are_a_mistake(tmp_path: Path, content: str) -> None:
    made = with_settings(tmp_path, "config.json")
    (made / "config.json").write_text(content)
    with pytest.raises(ConfigError, match="no JSON"):
        refuse_code(made)


def test_embedded_models_bring_none() -> None:
    for folder in EMBEDDED.parent.iterdir():
        refuse_code(folder)


@pytest.mark.parametrize("verb", ["rollout", "check", "rl"])
def test_no_command_asks_or_runs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda text="": asked.append(text) or "y")
    made = with_settings(tmp_path, *HOSTILE[0][:1], **HOSTILE[0][1])
    recipe = tmp_path / "run.toml"
    tasks = 'tasks = { kind = "world", family = "read", n = 1 }\n'
    if verb == "rl":
        recipe.write_text(f'model = "{made}"\nout = "run"\n{tasks}[train]\nsteps = 1\n')
        done = here("rl", str(recipe), cwd=tmp_path)
    else:
        recipe.write_text(f'policy = {{ kind = "hf", path = "{made}" }}\nout = "run"\n{tasks}')
        words = ["rollout", str(recipe)] if verb == "rollout" else ["check", "policy", str(recipe)]
        done = here(*words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "names code" in done.stderr
    assert asked == []
    assert not [*tmp_path.rglob("RAN")]
