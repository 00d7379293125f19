"""The whole training in miniature: four steps a stage, every switch, interrupted and resumed."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, Qwen2_5_VLForConditionalGeneration

from saccade.errors import ConfigError, TrainingError
from saccade.nano.deepeyes.train_base import Base, BaseOptions, train_base
from saccade.nano.stage import Plan, Progress

TINY = Plan(take_off={}, aims={}, limit=2, cool_down=2, every=2)
PLANS = {"sight": TINY, "speech": TINY, "prior": TINY}
OPTIONS = BaseOptions(scenes=30, dev_scenes=6, exam=2)


def trained(out: Path, **switches: object) -> Base:
    return train_base(OPTIONS.model_copy(update=switches), out, plans=PLANS)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return trained(tmp_path_factory.mktemp("base") / "run")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_both_checkpoints_load_by_the_ordinary_path(base: Base) -> None:
    for name in ("nano-base0", "nano-base"):
        folder = base.folder.parent / name
        model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
        assert type(model) is Qwen2_5_VLForConditionalGeneration
        assert {w.dtype for w in weights(folder).values()} == {torch.float16}
    before, after = (weights(base.folder.parent / n) for n in ("nano-base0", "nano-base"))
    assert any("visual" in name for name in before)
    for name in before:
        assert torch.equal(before[name], after[name]) == ("visual" in name), name


def test_every_stage_reports_its_skills(base: Base) -> None:
    assert list(base.measured) == ["sight", "speech", "prior"]
    assert set(base.measured["sight"]) == {"colour", "iou", "large", "crop"}
    thoughts = {f"thought_{family}" for family in ("read0", "read1", "easy")}
    for stage in ("speech", "prior"):
        assert set(base.measured[stage]) == thoughts | {"direct_easy", "shown", "own_box", "iou"}


@pytest.mark.parametrize("at", [("speech", 1), ("speech", 3), ("prior", 1)], ids=str)
def test_an_interrupted_training_ends_with_the_same_weights(
    base: Base, tmp_path: Path, at: tuple[str, int]
) -> None:
    """Also where a stage has begun and has no checkpoint yet: its new heads start alike."""

    class Stop(Exception):
        pass

    def stop(news: Progress) -> None:
        if (news.stage, news.step) == at:
            raise Stop

    with pytest.raises(Stop):
        train_base(OPTIONS, tmp_path, plans=PLANS, on_step=stop)
    resumed = trained(tmp_path)
    whole, again = weights(base.folder), weights(resumed.folder)
    for name in whole:
        torch.testing.assert_close(again[name], whole[name], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "switches",
    [
        {"words": False, "thought": False, "muon": False},
        {"together": True},
        {"sight": False},
    ],
    ids=lambda s: next(iter(s)),
)
def test_every_ingredient_can_be_left_out(tmp_path: Path, switches: dict[str, bool]) -> None:
    base = trained(tmp_path, **switches)
    assert (base.folder / "model.safetensors").exists()
    together = "together" in switches or "sight" in switches
    assert ("sight" in base.measured) is not together


def test_a_width_is_that_of_the_layers(tmp_path: Path) -> None:
    base = trained(tmp_path, width=64, sight=False)
    norms = [w for name, w in weights(base.folder).items() if name.endswith("norm.weight")]
    assert {tuple(norm.shape) for norm in norms} == {(64,)}
    with pytest.raises(ValueError, match="multiple of 32"):
        BaseOptions(width=80)


def test_without_thoughts_none_is_asked_for(tmp_path: Path) -> None:
    """Nobody says where the object is, and no stage waits for it."""
    plan = Plan(
        take_off={"thought_easy": 0.9}, aims={"thought_read0": 0.9}, limit=2, cool_down=2, every=2
    )
    plans = {**PLANS, "speech": plan, "prior": plan}
    options = OPTIONS.model_copy(update={"thought": False})
    assert (train_base(options, tmp_path / "without", plans=plans).folder / "config.json").exists()
    with pytest.raises(TrainingError, match="thought_easy"):
        train_base(OPTIONS, tmp_path / "with", plans=plans)


def test_another_prior_starts_from_a_finished_base(base: Base, tmp_path: Path) -> None:
    other = trained(tmp_path, prior=0.5, start=str(base.folder.parent))
    old, new = weights(base.folder.parent / "nano-base0"), weights(tmp_path / "nano-base0")
    assert all(torch.equal(old[name], new[name]) for name in old)
    mine, theirs = weights(other.folder), weights(base.folder)
    assert not all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_a_folder_of_another_recipe_is_refused(base: Base) -> None:
    with pytest.raises(ConfigError, match=r"prior: 0\.008 -> 0\.5"):
        trained(base.folder.parent, prior=0.5)


def test_a_start_without_a_base_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"start: .* holds no train.npz"):
        trained(tmp_path / "run", start=str(tmp_path))


def test_a_stage_that_does_not_learn_stops_the_training(tmp_path: Path) -> None:
    plan = Plan(take_off={"crop": 1.1}, aims={}, limit=2, cool_down=2, every=2)
    with pytest.raises(TrainingError, match="sight: not learned after 2 steps: crop"):
        train_base(OPTIONS, tmp_path, plans={**PLANS, "sight": plan})
    assert not (tmp_path / "nano-base").exists()
