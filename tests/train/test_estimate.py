"""What a recipe costs: counts against published ones, and against a model that is built."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from command import here

from saccade.config import read_toml, validate, with_overrides
from saccade.embedded import folder_of
from saccade.errors import ConfigError
from saccade.models.load import load
from saccade.train.estimate import GIB, Estimate, estimate
from saccade.train.recipe import RLRecipe

RECIPES = Path(__file__).parents[2] / "recipes"
LARGE = RECIPES / "deepeyes_7b.toml"


def of(*settings: str, path: Path = LARGE, **options: object) -> Estimate:
    chosen = validate(RLRecipe, with_overrides(read_toml(path), list(settings)))
    return estimate(chosen, **options)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("Qwen/Qwen2.5-VL-3B-Instruct", 3_754_622_976),
        ("Qwen/Qwen2.5-VL-7B-Instruct", 8_292_166_656),
    ],
)
def test_the_parameters_are_those_of_the_published_weights(name: str, parameters: int) -> None:
    """`metadata.total_parameters` of their model.safetensors.index.json on the hub."""
    assert of(f"model={name}").parameters == parameters


def test_an_embedded_model_is_counted_as_it_is() -> None:
    folder = folder_of("nano-base")
    found = of(f"model={folder}", path=RECIPES / "nano_deepeyes.toml")
    model = load(folder).model
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert found.trained == sum(p.numel() for p in model.model.language_model.parameters())
    assert (found.prompt_tokens, found.crop_tokens, found.episodes) == (16, 4, 64)
    assert found.weights * GIB == pytest.approx(4 * found.parameters)
    assert found.optimiser * GIB == pytest.approx(8 * found.trained)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing")
def test_lora_trains_what_peft_would_add() -> None:
    from peft import get_peft_model

    from saccade.train.recipe import LoRA
    from saccade.train.rl import _lora

    folder = folder_of("nano-base")
    settings = (f"model={folder}", "train.lora={rank = 4, alpha = 8}")
    found = of(*settings, path=RECIPES / "nano_deepeyes.toml")
    adapted = get_peft_model(load(folder).model, _lora(LoRA(rank=4, alpha=8)))
    assert found.trained == sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert found.reference == 0


def test_shares_and_switches_change_what_they_should() -> None:
    whole, shared = of(), of(processes=32, sharded=True)
    assert shared.weights == pytest.approx(whole.weights / 32)
    assert shared.gathered == pytest.approx(whole.weights * 31 / 32)
    assert whole.gathered == 0
    assert of("train.gradient_checkpointing=false").activations > 5 * whole.activations
    assert of("train.kl_logged=false").reference == 0
    assert of("train.generation_batch=4").cache == pytest.approx(whole.cache / 2)
    assert of("train.oversample=2").episodes == 2 * whole.episodes


def test_an_unknown_model_is_explained() -> None:
    with pytest.raises(ConfigError, match="its shape is not known"):
        of("model=somebody/something")


class Checked(NamedTuple):
    code: int
    content: dict[str, Any]

    def state_of(self, part: str) -> list[str]:
        return [f["state"] for f in self.content["findings"] if f["part"] == part]

    def text(self, part: str) -> str:
        return " ".join(f["text"] for f in self.content["findings"] if f["part"] == part)


def check(folder: Path, path: Path, *arguments: str) -> Checked:
    done = here("check", "recipe", str(path), *arguments, "--json", cwd=folder)
    return Checked(done.returncode, json.loads(done.stdout))


def test_the_command_says_whether_it_fits(tmp_path: Path) -> None:
    many = ("--processes", "32", "--sharded")
    roomy = check(tmp_path, LARGE, *many)
    assert "8,292.2 million parameters" in roomy.text("memory")
    assert "fits in 80 GiB: yes" in roomy.text("memory")
    assert roomy.state_of("tasks") == ["error"], "its rows are not here"
    assert roomy.state_of("episode") == ["not tried"]
    small = check(tmp_path, LARGE, *many, "--memory", "24")
    assert small.content["fits"] is False
    assert small.state_of("memory")[-1] == "error"
    foreign = ("environment.view={factor = 32}", "environment.coords=relative_1000")
    other = check(tmp_path, LARGE, *foreign, *many)
    assert other.state_of("model") == ["error", "error"]
    assert "environment.view.factor=28" in other.text("model")
    alone = check(tmp_path, LARGE)
    here = "ok" if torch.accelerator.is_available() else "not tried"
    assert alone.state_of("trainer") == [here], "a laptop is no reason to doubt the run file"


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing")
def test_a_model_that_is_here_plays_an_episode(tmp_path: Path) -> None:
    nano = RECIPES / "nano_deepeyes.toml"
    good = check(tmp_path, nano)
    assert good.code == 0, good.content
    assert good.state_of("episode") == ["ok"]
    assert "reward" in good.text("episode")
    foreign = check(tmp_path, nano, "environment.view.factor=20", "train.trl.report_too=none")
    assert foreign.code == 1
    assert foreign.state_of("episode") == ["error"]
    assert "multiples of 14" in foreign.text("episode")
    assert "report_too" in foreign.text("trainer")
    assert not (tmp_path / "runs").exists()


def test_a_server_that_does_not_answer_is_no_mistake(tmp_path: Path) -> None:
    server = ["policy.kind=openai", "policy.base_url=http://127.0.0.1:9/v1", "policy.model=m"]
    found = check(tmp_path, RECIPES / "world_read.toml", *server)
    assert found.code == 0
    assert found.state_of("episode") == ["not tried"]
    assert "127.0.0.1:9" in found.text("episode")
