"""Figures of unusual measurements: what was measured is never lost because it cannot be drawn."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from saccade.robust.classifiers.attack import vulnerability
from saccade.robust.classifiers.figures import draw_attack, draw_detection, draw_examples
from saccade.robust.classifiers.recipe import AttackSection
from saccade.robust.classifiers.results import AttackResult, DetectResult, Scores
from saccade.robust.classifiers.splits import Split
from saccade.robust.classifiers.subjects import Subject
from saccade.robust.classifiers.tables import attack_page, vulnerability_table

RESULTS = Path(__file__).parents[3] / "results" / "robust"
ATTACK = AttackResult.model_validate_json((RESULTS / "mnist_attack.json").read_bytes())
DETECT = DetectResult.model_validate_json((RESULTS / "mnist_detect.json").read_bytes())
DOLLARS = "saccade attack data=$HOME/a_{b}$/c.npz out=$^$"


def test_where_no_image_flips_there_is_no_correlation(tmp_path: Path) -> None:
    """The page, the figure and the result as `finished.json` keeps it, where NaN would be null."""
    scores = Scores(
        log_lambda1=(-1.0, -2.0, float("-inf")), log_q=(-3.0, -2.0, -4.0), least_l2=(None,) * 3,
        never_with_its_sign=3, never_along_the_gradient=3,
    )  # fmt: skip
    found = vulnerability([scores], 8.0)
    assert (found.spearman_log_q, found.gain, found.gain_interval) == (None, None, None)
    net = ATTACK.nets[0].model_copy(update={"vulnerability": found, "n": 3})
    result = ATTACK.model_copy(update={"nets": (net,)})
    assert vulnerability_table(result)[1] == ["0", "-", "-", "-", "3", "3"]
    assert "| 0 | - | - | - | 3 | 3 |" in attack_page(result)
    draw_attack(result, tmp_path / "attack.png")
    kept = json.loads(json.dumps(result.model_dump(mode="json"), allow_nan=False))
    assert AttackResult.model_validate(kept) == result


def test_dollars_are_no_mathematics(tmp_path: Path) -> None:
    update = {"command": DOLLARS, "config": {**ATTACK.config, "data": "$HOME/a_{b}$/c.npz"}}
    draw_attack(ATTACK.model_copy(update=update), tmp_path / "attack.png")
    draw_detection(DETECT.model_copy(update=update), tmp_path / "detect.png")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_images_of_any_number_of_channels_are_drawn(tmp_path: Path, channels: int) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(16 * channels, 3)).eval()
    images = Split(torch.rand(2, channels, 4, 4), torch.tensor([0, 1]))
    subject = Subject(0, net, 0.5, images)
    draw_examples(subject, AttackSection(), tmp_path / "examples.png", text=DOLLARS)
    assert (tmp_path / "examples.png").stat().st_size > 100
