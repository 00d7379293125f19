"""The training of the second base in miniature: four steps a stage, interrupted and taken over."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from saccade.errors import ConfigError
from saccade.nano.deepeyes_v2 import spec
from saccade.nano.deepeyes_v2.options import BaseOptions, Habits, Mix
from saccade.nano.deepeyes_v2.train_base import train_base
from saccade.nano.stage import Plan, Progress
from saccade.policies.hf import HFOptions, HFPolicy
from saccade.types import Limits

TINY = Plan(take_off={}, aims={}, step_limit=2, decay_steps=2, measure_every=2)
PLANS = {"vision": TINY, "language": TINY, "habit": TINY}
OPTIONS = BaseOptions(scenes=16, dev_scenes=8, skill_questions=2, habits=Habits(look=0.2))


@pytest.fixture(autouse=True, scope="module")
def short_turns() -> Iterator[None]:
    """So young a model ends no turn: it writes to the limit, and what it writes is no skill."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spec, "LIMITS", Limits(max_turns=2, max_turn_tokens=4, max_context=1024))
        yield


class Interrupted(Exception):
    pass


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_base(OPTIONS, tmp_path_factory.mktemp("base") / "run", plans=PLANS).folder


def test_it_is_stamped_with_its_environment(base: Path) -> None:
    policy = HFPolicy(HFOptions(path=str(base)))
    assert policy.info.fingerprints == (spec.environment().fingerprint,)


def test_interrupted_in_every_stage_it_ends_with_the_same_weights(
    base: Path, tmp_path: Path
) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.step == 3 and progress.stage not in seen:
            seen.append(progress.stage)
            raise Interrupted

    seen: list[str] = []
    for _ in PLANS:
        with pytest.raises(Interrupted):
            train_base(OPTIONS, tmp_path / "run", plans=PLANS, on_step=interrupt)
    again = train_base(OPTIONS, tmp_path / "run", plans=PLANS, on_step=interrupt)
    assert seen == list(PLANS)
    for name, tensor in weights(base).items():
        assert torch.equal(tensor, weights(again.folder)[name]), name


def test_other_habits_are_learned_on_a_finished_trunk(base: Path, tmp_path: Path) -> None:
    """Without habits the trunk itself is what is saved."""
    steps: list[str] = []
    options = OPTIONS.model_copy(update={"start": str(base.parent), "habits": Habits()})
    trunk = train_base(
        options, tmp_path / "trunk", plans=PLANS, on_step=lambda p: steps.append(p.stage)
    )
    assert not steps
    assert list(trunk.skills) == ["vision", "language"]
    changed = [n for n, w in weights(base).items() if not torch.equal(w, weights(trunk.folder)[n])]
    assert changed
    assert all(".visual." not in name for name in changed)


def test_of_another_base_the_tower_alone_can_be_taken_over(base: Path, tmp_path: Path) -> None:
    seen: list[str] = []
    given = {"start": str(base.parent), "taken": "vision", "mix": Mix(code=0), "habits": Habits()}
    options = OPTIONS.model_copy(update=given)
    other = train_base(
        options, tmp_path / "run", plans=PLANS, on_step=lambda p: seen.append(p.stage)
    )
    assert {*seen} == {"language"}
    changed = [n for n, w in weights(base).items() if not torch.equal(w, weights(other.folder)[n])]
    assert changed
    assert all(".visual." not in name for name in changed)


def test_a_start_without_a_trunk_is_refused(tmp_path: Path) -> None:
    options = OPTIONS.model_copy(update={"start": str(tmp_path / "nothing")})
    with pytest.raises(ConfigError, match=r"start: .*nothing holds no train\.npz"):
        train_base(options, tmp_path / "run", plans=PLANS)
