"""The model card: what a run folder knows, and no more."""

import json
from pathlib import Path

from saccade.measures.intervals import wilson
from saccade.runs.card import model_card, model_name
from saccade.runs.manifest import Manifest

RL = Manifest(
    verb="rl",
    config={
        "model": "runs/sft/model",
        "tasks": {"kind": "file", "path": "/home/someone/questions.jsonl", "n": None},
        "train": {"steps": 4, "prompts": 3, "group": 6},
    },
    seed=7,
    versions={"python": "3.11.7", "saccade": "0.1.0", "torch": "2.13.0"},
    command="/home/someone/.venv/bin/saccade rl my.toml 'tasks.family=[\"a\"]'",
)
LAST = {
    "step": 4, "accuracy": 0.5, "reward": 1.25, "loss": 0.1, "episodes": 18.0, "aborted": 1.0,
    "timeout": 0.0, "unscored": 1.0,
}  # fmt: skip


def card_of(run: Path, manifest: Manifest, *metrics: dict[str, float]) -> str:
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in metrics))
    return model_card(run, manifest, ("0123456789abcdef",))


def test_the_card_of_a_training_on_rewards(tmp_path: Path) -> None:
    card = card_of(tmp_path, RL, {"step": 3}, LAST)
    low, high = wilson(1.5, 3)
    table = [line[2:-2].split(" | ") for line in card.splitlines() if line.startswith("| ")]
    rows = {row[0]: row[1] for row in table if len(row) == 2}
    assert rows["base model"] == "`runs/sft/model`"
    assert rows["data"] == '`kind="file", path="questions.jsonl"`'
    assert rows["steps"] == "4, each of 3 prompts with 6 attempts"
    assert rows["seed"] == "7"
    assert rows["environment"] == "`0123456789abcdef`"
    assert rows["command"] == "`saccade rl my.toml 'tasks.family=[\"a\"]'`"
    said = f"accuracy 0.500 (95 % CI [{low:.3f}, {high:.3f}] over 3 prompts, n = 16), reward 1.25"
    assert f"Step 4: {said}" in card
    assert "policy.kind=hf policy.path=FOLDER" in card
    assert "someone" not in card
    assert "None" not in card.replace("None is stated here", "")


def test_the_card_of_a_training_on_demonstrations(tmp_path: Path) -> None:
    config = {"model": "Qwen/Qwen2.5-VL-3B-Instruct", "runs": ["runs/demos"], "steps": 80}
    manifest = RL.model_copy(update={"verb": "sft", "config": config | {"batch_size": 8}})
    (tmp_path / "examples.json").write_text('{"trajectories": 29}')
    card = card_of(tmp_path, manifest, {"step": 80, "loss": 0.5})
    assert card.startswith(
        "---\nlibrary_name: transformers\nbase_model: Qwen/Qwen2.5-VL-3B-Instruct\n"
    )
    assert "| data | 29 demonstrations of `runs/demos` |" in card
    assert "Step 80: loss 0.500." in card
    assert "license" not in card


def test_a_local_model_is_named_by_its_run() -> None:
    assert model_name("/home/someone/runs/rl/model") == "rl/model"
    assert model_name("/home/someone/models/nano") == "nano"
