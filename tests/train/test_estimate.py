"""What a recipe costs: counts against published ones, and against a model that is built."""

import json
from pathlib import Path

import pytest
from command import here, in_a_process

from saccade.config import read_toml, validate, with_overrides
from saccade.embedded import folder_of
from saccade.errors import ConfigError
from saccade.models.load import load
from saccade.train.estimate import GIB, Estimate, estimate
from saccade.train.recipe import RLRecipe

RECIPES = Path(__file__).parents[2] / "recipes"
LARGE = RECIPES / "deepeyes_7b.toml"


def of(*settings: str, path: Path = LARGE, **options: object) -> Estimate:
    recipe = validate(RLRecipe, with_overrides(read_toml(path), list(settings)))
    return estimate(recipe, **options)


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


def test_the_command_says_whether_it_fits() -> None:
    done = in_a_process("check", "recipe", str(LARGE), "--processes", "32", "--sharded")
    assert done.returncode == 0
    assert "8,292.2 million parameters" in done.stdout
    small = here("check", "recipe", str(LARGE), "--memory", "24", "--json")
    assert small.returncode == 1
    assert json.loads(small.stdout)["fits"] is False
    wrong = here("check", "recipe", str(LARGE), "train.step=4")
    assert wrong.returncode == 2
    assert "did you mean" in wrong.stderr
