"""`saccade attack` and `saccade detect` as a user calls them, on the embedded digits."""

import json
from pathlib import Path

import pytest
from command import here, in_a_process
from sklearn.metrics import auc as area

from saccade.errors import ConfigError
from saccade.robust.classifiers.attack import measure_attacks
from saccade.robust.classifiers.detection import measure_detection
from saccade.robust.classifiers.recipe import RobustRecipe
from saccade.robust.classifiers.results import KeptDetection
from saccade.robust.detectors.detector import Detector


def test_an_attack_is_measured_shown_and_kept(tmp_path: Path) -> None:
    flags = ("--n", "40", "--out", str(tmp_path), "nets=[0,1]", "epochs=10", "--json")
    done = in_a_process("attack", *flags, "attack.epsilons=[0.3,1.0]")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert len(result["nets"]) == 2
    for key, cells in result["rates"].items():
        for i, cell in enumerate(cells):
            counts = [net["fooled"][key][i] for net in result["nets"]]
            assert cell["n"] == 80
            assert cell["rate"] == sum(counts) / 80
            assert cell["interval"][0] <= cell["rate"] <= cell["interval"][1]
    assert result["rates"]["pgd x1"][1]["rate"] > result["rates"]["random x1"][1]["rate"]
    for name in ("attack.json", "attack.md", "attack.png", "examples.png"):
        assert (tmp_path / "attack" / name).stat().st_size > 100
    # A net that is measured is not measured again, and other options do not mix with it.
    before = (tmp_path / "attack" / "attack-0.json").stat().st_mtime_ns
    (tmp_path / "attack" / "attack-1.json").unlink()
    recipe = RobustRecipe.model_validate({**result["config"], "out": str(tmp_path)})
    assert measure_attacks(recipe).model_dump(mode="json") == json.loads(done.stdout)
    assert (tmp_path / "attack" / "attack-0.json").stat().st_mtime_ns == before
    with pytest.raises(ConfigError, match="seed: 0 -> 7"):
        measure_attacks(recipe.model_copy(update={"seed": 7}))


def test_detection_is_measured_shown_and_kept(tmp_path: Path) -> None:
    done = here(
        "detect", "--n", "140", "--out", str(tmp_path), "nets=[0]", "epochs=10", "--json",
        "detect.adaptive_n=10", "detect.adaptive_steps=10", "detect.adaptive_restarts=1",
        "detect.reference=200", "detect.trees=30", 'detect.signals=["log_q", "kd"]',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    otcm = {name: cells["otcm"]["mean"] for name, cells in result["auc"].items()}
    assert otcm["fisher"] > 0.75
    assert result["auc"]["fisher"]["ossa"]["fisher_minus"] == 0
    curve = result["nets"][0]["curves"]["fisher"]
    drawn = area(*zip(*curve, strict=True))
    assert abs(drawn - result["auc"]["fisher"]["ossa"]["mean"]) < 0.02
    assert Detector.load(tmp_path / "detect" / "detector.npz").k == 9
    for name in ("detect.json", "detect.md", "detect.png"):
        assert (tmp_path / "detect" / name).stat().st_size > 100
    # Of other training images, which signals are fitted to, nothing is taken that is kept.
    kept = tmp_path / "detect" / "detect-0.json"
    held = KeptDetection.model_validate_json(kept.read_bytes())
    assert held.found.model_dump(mode="json") == result["nets"][0]
    seen = held.seen.model_copy(update={"images": "others"})
    kept.write_text(held.model_copy(update={"seen": seen}).model_dump_json())
    recipe = RobustRecipe.model_validate({**result["config"], "out": str(tmp_path)})
    with pytest.raises(ConfigError, match=r"detect-0\.json holds what .* or of other images"):
        measure_detection(recipe)


def test_too_few_images_are_named_before_anything_is_attacked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs 134 images, got 100"):
        measure_detection(RobustRecipe(n=100, out=str(tmp_path)))


def test_where_nothing_succeeds_nothing_is_reported(tmp_path: Path) -> None:
    """Steps so small that no image is lost: no area, rather than one of a signal unfitted."""
    made = measure_detection(
        RobustRecipe.model_validate({
            "n": 134, "nets": [0], "epochs": 10, "out": str(tmp_path),
            "detect": {
                "epsilon": 1.0, "stepped_epsilon": 1e-6, "signals": ["log_q"], "trees": 5,
                "adaptive_n": 10, "adaptive_steps": 1, "adaptive_restarts": 1,
            },
        })
    )  # fmt: skip
    assert made.auc["fisher"]["bim"].mean is None
    assert made.auc["fisher"]["fgm"].mean is not None


def test_mistakes_are_named_without_a_traceback(tmp_path: Path) -> None:
    for arguments, message in (
        (("--data", "nowhere"), "no file, folder or built-in data"),
        (("attack.epsilon=1",), "did you mean"),
    ):
        done = here("attack", *arguments, "--out", str(tmp_path / "x"))
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr
