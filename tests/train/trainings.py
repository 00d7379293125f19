"""Small runs of `saccade rl` on an embedded model, and what they leave: shared by the tests."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from saccade.config import read_toml, validate, with_overrides
from saccade.embedded import folder_of
from saccade.runs.folder import RunReader
from saccade.train.recipe import RLRecipe

RECIPE = Path(__file__).parents[2] / "recipes" / "nano_deepeyes.toml"
NANO = str(folder_of("nano-sft"))
SMALL = (
    "train.prompts=2", "train.group=4", "train.learning_rate=1e-3", "train.warmup_steps=0",
    "train.save_steps=2", "train.keep_every=0", "tasks.family=far", "train.save_dtype=float32",
)  # fmt: skip
"""`far` is hard for this model: outcomes within a group differ."""


def settings_of(out: Path, *settings: str) -> list[str]:
    return [f"model={NANO}", f"out={out}", *SMALL, *settings]


def recipe_of(out: Path, *settings: str) -> RLRecipe:
    return validate(RLRecipe, with_overrides(read_toml(RECIPE), settings_of(out, *settings)))


def command(out: Path, *settings: str) -> list[str]:
    return ["rl", str(RECIPE), *settings_of(out, *settings), "--threads", "1"]


def metrics(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def state(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def assert_same_weights(a: Path, b: Path, atol: float) -> None:
    first, second = state(a), state(b)
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, atol=atol, rtol=0)


def episodes(out: Path) -> dict[tuple[str, str, int], list[str]]:
    """Step, task and sample of every episode that was kept, whichever process played it."""
    return {
        (folder.name[:10], entry.task.id, entry.trajectory.sample): [
            turn.completion.text for turn in entry.trajectory.turns
        ]
        for folder in (out / "rollouts").iterdir()
        for entry in RunReader(folder).entries()
    }
