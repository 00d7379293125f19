"""A finished run of any verb, run again, prints its result and imports nothing that trains."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel, JsonValue

from saccade.cli.common.options import read_runfile
from saccade.config import validate
from saccade.data.curate import CurateRecipe
from saccade.nano.deepeyes.options import BaseOptions
from saccade.runs.finished import finish
from saccade.runs.manifest import keep_manifest, manifest_of
from saccade.train.recipe import RLRecipe, SFTRecipe

RECIPES = Path(__file__).parents[2] / "recipes"
RESULTS: dict[str, dict[str, JsonValue]] = {
    "sft": {"model": "out/model", "losses": [2.0, 1.0], "trajectories": 8, "left_out": {"long": 1}},
    "rl": {"model": "out/model", "first": {"step": 1, "reward": 0.5}, "last": {"step": 150}},
    "curate": {"tasks": "out/kept/tasks.jsonl", "questions": 2, "kept": 1, "dropped": {"easy": 1}},
    "nano train-base": {"folder": "out/nano-base", "skills": {"vision": {"iou": 0.8}}},
}
TOTAL = {"curate": 10**6, "sft": 0}


def leave_finished(verb: str, config: BaseModel, out: Path) -> None:
    keep_manifest(out, manifest_of(verb, config))
    dumped = config.model_dump(mode="json")
    finish(out, verb, dumped, RESULTS[verb], total=TOTAL.get(verb))


def leave(verb: str, kind: type[BaseModel], recipe: str, out: Path) -> list[str]:
    """A finished run, and the command that made it."""
    settings = [f"out={out}"]
    leave_finished(verb, validate(kind, read_runfile(RECIPES / recipe, settings)), out)
    return [verb, str(RECIPES / recipe), *settings]


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from saccade.cli import app
for command in {commands!r}:
    app(command, standalone_mode=False)
"""


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    place = tmp_path_factory.mktemp("finished")
    leave_finished("nano train-base", BaseOptions(), place / "base")
    return [
        leave("sft", SFTRecipe, "nano_sft.toml", place / "sft"),
        leave("rl", RLRecipe, "nano_deepeyes.toml", place / "rl"),
        leave("curate", CurateRecipe, "nano_curate.toml", place / "curate"),
        ["nano", "train-base", "--out", str(place / "base")],
    ]


def test_a_finished_run_prints_its_result_without_torch(commands: list[list[str]]) -> None:
    as_json = [[*command, "--json"] for command in commands]
    code = WITHOUT_TORCH.format(commands=[*as_json, *commands])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    printed = done.stdout.splitlines()
    assert [json.loads(line) for line in printed[:4]] == list(RESULTS.values())
    for text in ("loss 2.000 -> 1.000", "step 150:", "1 of 2 questions kept", "vision: iou 0.800"):
        assert text in done.stdout
    assert done.stderr.count("is finished: nothing was left to do") == 8
