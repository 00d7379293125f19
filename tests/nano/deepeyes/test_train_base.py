"""The whole training in miniature: four steps a stage, every switch, interrupted and resumed."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, Qwen2_5_VLForConditionalGeneration

from saccade.errors import ConfigError, TrainingError
from saccade.nano import spec
from saccade.nano.deepeyes.options import BaseOptions
from saccade.nano.deepeyes.train_base import Base, train_base
from saccade.nano.stage import Plan, Progress

TINY = Plan(take_off={}, aims={}, step_limit=2, decay_steps=2, measure_every=2)
PLANS = {"vision": TINY, "language": TINY, "prior": TINY}
BRIEF = {
    name: replace(plan, step_limit=1, decay_steps=1, measure_every=1)
    for name, plan in PLANS.items()
}
OPTIONS = BaseOptions(scenes=30, dev_scenes=6, skill_questions=2)
LOSSES = {
    "vision": [24.9752, 25.5134, 25.634, 24.6603],
    "language": [10.3851, 10.3385, 10.3068, 10.2607],
    "prior": [10.3295, 10.2898, 10.1787, 10.1804],
}
"""Loss of each step of each stage, as the code that trained the shipped bases computes it."""


@pytest.fixture(autouse=True, scope="module")
def short_turns() -> Iterator[None]:
    """So young a model ends no turn: it writes to the limit, and what it writes is no skill."""
    with pytest.MonkeyPatch.context() as patch:
        limits = spec.LIMITS.model_copy(update={"max_turn_tokens": 8})
        patch.setattr(spec, "LIMITS", limits)
        yield


def trained(out: Path, **switches: object) -> Base:
    """Two quick steps a stage: enough to see what a switch does."""
    return train_base(OPTIONS.model_copy(update={"muon": False, **switches}), out, plans=BRIEF)


class Trained(NamedTuple):
    base: Base
    losses: dict[str, list[float]]


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    losses: dict[str, list[float]] = {}

    def keep(progress: Progress) -> None:
        losses.setdefault(progress.stage, []).append(progress.loss)

    out = tmp_path_factory.mktemp("base") / "run"
    return Trained(train_base(OPTIONS, out, plans=PLANS, on_step=keep), losses)


@pytest.fixture
def base(once: Trained) -> Base:
    return once.base


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


def test_a_seed_gives_the_base_that_it_gave_before(once: Trained) -> None:
    """Same scenes, first weights, examples and noise; other noise moves a loss by a hundredth."""
    assert set(once.losses) == set(LOSSES)
    for stage, losses in LOSSES.items():
        assert once.losses[stage] == pytest.approx(losses, rel=1e-4)


def test_every_stage_reports_its_skills(base: Base) -> None:
    assert list(base.skills) == ["vision", "language", "prior"]
    assert set(base.skills["vision"]) == {"colour", "iou", "large", "crop"}
    thoughts = {f"thought_{family}" for family in ("read0", "read1", "easy")}
    for stage in ("language", "prior"):
        assert set(base.skills[stage]) == thoughts | {"direct_easy", "shown", "own_box", "iou"}


def test_a_training_that_is_interrupted_again_and_again_ends_with_the_same_weights(
    base: Base, tmp_path: Path
) -> None:
    """Also where a stage has begun and has no checkpoint yet: its new heads start alike."""

    class Stop(Exception):
        pass

    for at in [("language", 1), ("language", 3), ("prior", 1)]:

        def stop(news: Progress, at: tuple[str, int] = at) -> None:
            if (news.stage, news.step) == at:
                raise Stop

        with pytest.raises(Stop):
            train_base(OPTIONS, tmp_path, plans=PLANS, on_step=stop)
    resumed = train_base(OPTIONS, tmp_path, plans=PLANS)
    whole, again = weights(base.folder), weights(resumed.folder)
    for name in whole:
        torch.testing.assert_close(again[name], whole[name], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "switches",
    [
        {"word_supervision": False, "thought": False},
        {"joint": True},
        {"vision_stage": False},
    ],
    ids=lambda s: next(iter(s)),
)
def test_every_ingredient_can_be_left_out(tmp_path: Path, switches: dict[str, bool]) -> None:
    base = trained(tmp_path, **switches)
    assert (base.folder / "model.safetensors").exists()
    one_stage = "joint" in switches or "vision_stage" in switches
    assert ("vision" in base.skills) is not one_stage


def test_a_width_is_that_of_the_layers(tmp_path: Path) -> None:
    base = trained(tmp_path, width=64, vision_stage=False)
    norms = [w for name, w in weights(base.folder).items() if name.endswith("norm.weight")]
    assert {tuple(norm.shape) for norm in norms} == {(64,)}
    with pytest.raises(ValueError, match="multiple of 32"):
        BaseOptions(width=80)


def test_without_thoughts_none_is_asked_for(tmp_path: Path) -> None:
    """Nobody says where the object is, and no stage waits for it."""
    waits = {"take_off": {"thought_easy": 0.9}, "aims": {"thought_read0": 0.9}}
    plan = replace(BRIEF["language"], **waits)
    plans = {**BRIEF, "language": plan, "prior": plan}
    asked = OPTIONS.model_copy(update={"vision_stage": False, "muon": False})
    silent = asked.model_copy(update={"thought": False})
    assert (train_base(silent, tmp_path / "without", plans=plans).folder / "config.json").exists()
    with pytest.raises(TrainingError, match="thought_easy"):
        train_base(asked, tmp_path / "with", plans=plans)


def test_another_prior_starts_from_a_finished_base(base: Base, tmp_path: Path) -> None:
    other = trained(tmp_path, prior=0.5, start=str(base.folder.parent), muon=True)
    old, new = weights(base.folder.parent / "nano-base0"), weights(tmp_path / "nano-base0")
    assert all(torch.equal(old[name], new[name]) for name in old)
    mine, theirs = weights(other.folder), weights(base.folder)
    assert not all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_a_folder_of_another_recipe_is_refused(base: Base) -> None:
    other = OPTIONS.model_copy(update={"prior": 0.5})
    with pytest.raises(ConfigError, match=r"prior: 0\.008 -> 0\.5"):
        train_base(other, base.folder.parent, plans=PLANS)


def test_a_start_without_a_base_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"start: .* holds no train.npz"):
        trained(tmp_path / "run", start=str(tmp_path))


def test_a_stage_that_does_not_learn_stops_the_training(tmp_path: Path) -> None:
    plan = replace(BRIEF["vision"], take_off={"crop": 1.1})
    with pytest.raises(TrainingError, match="vision: not learned after 1 steps: crop"):
        train_base(OPTIONS, tmp_path, plans={**PLANS, "vision": plan})
    assert not (tmp_path / "nano-base").exists()
