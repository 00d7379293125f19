"""Whether a model in training still sees: measured beside the training, and never a part of it."""

import logging
from pathlib import Path

import pytest
from trainings import assert_same_weights, metrics, recipe_of

from saccade.images.image import Image
from saccade.train.rl import rl

TIMES = ("_s", "_time", "runtime", "per_second")


def test_the_weights_are_the_same_to_the_bit_with_and_without_it(tmp_path: Path) -> None:
    """A dropout is the one part of a training that draws from the generator of the process."""
    how = ("train.steps=3", "train.lora={rank = 4, dropout = 0.5}")
    for name, more in (("with", ("train.canary_every=2",)), ("without", ("canary=false",))):
        rl(recipe_of(tmp_path / name, *how, *more))
    measured, plain = metrics(tmp_path / "with"), metrics(tmp_path / "without")
    assert ["visual_accuracy" in row for row in measured] == [True, False, True]
    assert not any("visual_accuracy" in row for row in plain)
    assert measured[0]["visual_accuracy"] >= 0.75, "nano-sft reads large digits"
    for row, other in zip(measured, plain, strict=True):
        same = {key for key in other if not key.endswith(TIMES)}
        assert {key: row[key] for key in same} == {key: other[key] for key in same}
    assert_same_weights(tmp_path / "with" / "model", tmp_path / "without" / "model", atol=0)


def test_a_model_that_lost_its_images_is_named_at_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Here every image is shown black, as by an engine that loses what it was sent."""
    from PIL import Image as PILImage

    monkeypatch.setattr(Image, "pixels", lambda self: PILImage.new("RGB", self.size))
    with caplog.at_level(logging.WARNING):
        rl(recipe_of(tmp_path / "run", "train.steps=1", "train.canary_every=0"))
    assert any("seems blind" in record.message for record in caplog.records)
    (row,) = metrics(tmp_path / "run")
    assert row["visual_accuracy"] <= 0.4
