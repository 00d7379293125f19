"""What an attack is called with: spellings of other libraries, units, types; and what it leaves."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from saccade.errors import ConfigError
from saccade.fisher.target import Classifier
from saccade.robust.attacks import make_attack, norm_of
from saccade.robust.attacks.base import projected
from saccade.robust.attacks.directions import sized
from saccade.robust.attacks.single import Fgm, Ossa
from saccade.robust.attacks.stepped import Pgd

SPELLINGS = {
    "l2": ("l2", "L2", "L_2", "l-2", "2", 2, 2.0, np.int64(2), np.float32(2), "L2 norm", " l2 ",
           "\u21132"),
    "linf": (
        "linf", "Linf", "L_inf", "l-inf", "LINF", "inf", "Inf", "infinity", "L∞", "l_infty",
        math.inf, np.inf, np.float32(np.inf), torch.inf, float("inf"), "Linf distance",
    ),
    "l0": ("l0", "L0", 0, "0", 0.0),
}  # fmt: skip


@pytest.mark.parametrize(("name", "spelt"), [(k, s) for k, v in SPELLINGS.items() for s in v])
def test_a_norm_is_known_by_any_of_its_names(name: str, spelt: str | float) -> None:
    assert norm_of(spelt) == name


@pytest.mark.parametrize(
    "spelt", ["l1", 1, "", "l22", "-inf", -np.inf, math.nan, True, None, "linfx", 3, "l", "fro", []]
)
def test_no_other_norm_is_taken_for_one(digits: tuple, spelt: object) -> None:
    net, x, y = digits
    for call in (
        lambda: norm_of(spelt),
        lambda: Fgm()(Classifier(net), x[:2], y[:2], epsilons=[0.1], norm=spelt),  # type: ignore[arg-type]
        lambda: projected(x[:2], 0.1, spelt),  # type: ignore[arg-type]
        lambda: sized(x[:2], spelt),  # type: ignore[arg-type]
    ):
        with pytest.raises(ConfigError, match=r"norm: expected 'l2', 'linf' or 'l0' \(2, np.inf"):
            call()


@pytest.mark.parametrize(
    ("option", "wrong"),
    [("bounds", bounds) for bounds in ((1, 0), (0,), 0, "01", (None, None), (0, 1, 2), (0, np.nan),
                                       (-np.inf, np.inf), ("0", "1"))]
    + [("levels", levels) for levels in (0, 2.5, "255", True)]
    + [("seed", seed) for seed in ("a", None, 1.5, 2**70, True)],
)  # fmt: skip
def test_no_option_is_taken_for_another(digits: tuple, option: str, wrong: object) -> None:
    net, x, y = digits
    with pytest.raises(ConfigError, match=f"{option}: "):
        Fgm()(Classifier(net), x[:2], y[:2], epsilons=[0.1], **{option: wrong})


@pytest.mark.parametrize("wrong", [None, 3, {"kind": "pgd"}, Pgd])
def test_what_is_no_attack_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigError, match="attack: expected an attack or the name of one"):
        make_attack(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["pgd", "ossa_two_step", "random", "adaptive_confidence"])
def test_a_step_without_end_is_refused(digits: tuple, method: str) -> None:
    net, x, y = digits
    with pytest.raises(ConfigError, match=r"epsilons: \w+ .* takes finite sizes only"):
        make_attack(method)(Classifier(net), x[:2], y[:2], epsilons=[0.1, math.inf])


def test_a_spelling_that_is_near_is_named() -> None:
    with pytest.raises(ConfigError, match="got 'linff'; did you mean 'linf'"):
        norm_of("linff")


def test_a_norm_of_numpy_gives_what_ours_gives(digits: tuple) -> None:
    net, x, y = digits
    ours, theirs = (
        Fgm()(Classifier(net), x[:9], y[:9], epsilons=[0.1], norm=norm) for norm in ("linf", np.inf)
    )
    assert torch.equal(ours.inputs, theirs.inputs)


@pytest.mark.parametrize("method", ["fgm", "ossa", "deepfool", "pgd", "opt", "random"])
def test_a_size_of_zero_returns_the_inputs(digits: tuple, method: str) -> None:
    net, x, y = digits
    x, y = x[:6], y[:6].clone()
    y[0] = (y[0] + 1) % 10  # one is misread as it stands
    attack = make_attack(method).model_copy(update={"steps": 5, "rounds": 2})
    found = attack(Classifier(net), x, y, epsilons=[0, 0.2, 0.0])
    assert torch.equal(found.inputs[0], x)
    assert torch.equal(found.inputs[2], x)
    assert (found.sizes[0] == 0).all()
    assert found.success[0].tolist() == [True] + 5 * [False]
    alone = attack(Classifier(net), x, y, epsilons=[0.2])
    assert torch.equal(found.inputs[1], alone.inputs[0])


@pytest.mark.parametrize("over", [1e-6, -1e-6, 1.9e-3])
def test_a_hair_outside_of_the_bounds_is_clipped(digits: tuple, over: float) -> None:
    net, x, y = digits
    moved = x[:5].clone()
    moved[:, 0, 0, 0] = 1 + over if over > 0 else over
    before = moved.clone()
    found, wanted = (
        Ossa()(Classifier(net), one, y[:5], epsilons=[0, 0.3]) for one in (moved, moved.clamp(0, 1))
    )
    assert torch.equal(found.inputs, wanted.inputs)
    assert torch.equal(moved, before)


@pytest.mark.parametrize(
    ("x", "options", "match"),
    [
        (torch.full((2, 1, 8, 8), 1.003), {}, r"outside of the bounds \(0.0, 1.0\); divide"),
        (torch.full((2, 1, 8, 8), 255.0), {}, r"from 255 to 255.*divide them by 255.*\(0, 255\)"),
        (torch.full((2, 1, 8, 8), -1.8), {}, "normalisation the first layer of the net"),
        (torch.zeros(2, 1, 8, 8, dtype=torch.uint8), {}, "torch.uint8; divide by 255"),
        (np.zeros((2, 1, 8, 8), np.float32), {}, r"got a ndarray; torch\.as_tensor"),
        (None, {"bounds": (1.0, 0.0)}, "low < high"),
        (None, {"epsilons": [8], "norm": "linf"}, r"8 in linf is more than.*levels.*0\.03137"),
        (None, {"epsilons": [0.1, 255.0]}, "255 in l2 is more than any change.* of 8 at most"),
        (None, {"epsilons": [-0.1]}, "sizes of at least 0"),
        (None, {"epsilons": 0.1}, "a list of sizes .* got 0.1"),
        (None, {"epsilons": "0.1"}, "a list of sizes"),
        (None, {"labels": [1, 2]}, r"labels: expected a tensor of classes, got a list"),
        (None, {"labels": torch.zeros(2, 10)}, r"got \(2, 10\); one-hot .*\.argmax\(1\)"),
        (None, {"labels": torch.zeros(2, 1).long()}, r"got \(2, 1\); \.squeeze\(1\)"),
        (None, {"labels": torch.zeros(2)}, r"whole numbers, got float32; \.long\(\)"),
        (None, {"labels": torch.zeros(2).bool()}, "whole numbers, got bool"),
        (None, {"labels": torch.tensor([1, 10])}, "classes from 0 to 9, .* got 1 to 10"),
        (None, {"labels": torch.tensor([-1, 1])}, "classes from 0 to 9, .* got -1 to 1"),
        (None, {"target_classes": torch.tensor([1, 10])}, "target_classes: expected classes"),
    ],
)
def test_another_unit_or_type_is_answered_with_the_mend(
    digits: tuple, x: torch.Tensor | None, options: dict, match: str
) -> None:
    net, images, _ = digits
    given = {"epsilons": [0.1], **options}
    with pytest.raises(ConfigError, match=match):
        Fgm()(Classifier(net), images[:2] if x is None else x, **given)


def test_a_size_as_of_0_to_1_on_pixels_to_255_is_a_warning(digits: tuple) -> None:
    net, x, y = digits
    wide = nn.Sequential(SCALED, net).eval()
    with pytest.warns(
        UserWarning, match=r"0\.0313725 in linf is less than half a level.* is 8 here"
    ):
        Fgm()(Classifier(wide), 255 * x[:2], y[:2],
              epsilons=[8 / 255], norm="linf", bounds=(0, 255))  # fmt: skip
    found = Fgm()(Classifier(wide), 255 * x, y, epsilons=[8], norm="linf", bounds=(0, 255))
    wanted = Fgm()(Classifier(net), x, y, epsilons=[8 / 255], norm="linf")
    assert torch.equal(found.success, wanted.success)


class Scaled(nn.Module):
    """Takes pixels to 255."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / 255


SCALED = Scaled()


@pytest.mark.parametrize("kind", [torch.int32, torch.uint8, torch.int16])
def test_classes_are_whole_numbers_of_any_width(digits: tuple, kind: torch.dtype) -> None:
    net, x, y = digits
    found, wanted = (
        Fgm()(Classifier(net), x[:9], labels, epsilons=[0.5]) for labels in (y[:9].to(kind), y[:9])
    )
    assert torch.equal(found.inputs, wanted.inputs)


def test_a_batch_of_one_and_an_empty_one(digits: tuple) -> None:
    net, x, y = digits
    whole = Ossa()(Classifier(net), x[:3], y[:3], epsilons=[0.2, 0.5])
    alone = Ossa()(Classifier(net), x[:1], y[:1], epsilons=[0.2, 0.5])
    torch.testing.assert_close(alone.inputs, whole.inputs[:, :1])
    nothing = Ossa()(Classifier(net), x[:0], y[:0], epsilons=[0.2, 0.5])
    assert nothing.inputs.shape == (2, 0, 1, 8, 8)
    assert nothing.success.shape == nothing.sizes.shape == (2, 0)
    assert nothing.success.dtype == torch.bool


@pytest.mark.parametrize("method", ["fgm", "pgd", "ossa", "deepfool", "opt", "adaptive_eigenvalue"])
def test_gradients_are_there_whatever_the_caller_has_switched_off(
    digits: tuple, method: str
) -> None:
    net, x, y = digits
    attack = make_attack(method).model_copy(update={"steps": 3, "rounds": 1, "restarts": 1})
    wanted = attack(Classifier(net), x[:6], y[:6], epsilons=[0.5])
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            given = x[:6] * 1, y[:6] * 1  # inference tensors, in that mode
            found = attack(Classifier(net), *given, epsilons=[0.5])
            assert torch.is_inference_mode_enabled() == (mode is torch.inference_mode)
            assert not torch.is_grad_enabled()
        torch.testing.assert_close(found.inputs, wanted.inputs)
        assert not found.inputs.requires_grad


def state_of(module: nn.Module) -> SimpleNamespace:
    """All that a module can be found to have changed in."""
    return SimpleNamespace(
        training=[part.training for part in module.modules()],
        wants=[weight.requires_grad for weight in module.parameters()],
        grads=[None if w.grad is None else w.grad.clone() for w in module.parameters()],
        held=[value.clone() for value in module.state_dict().values()],
        hooks=[len(part._forward_hooks) for part in module.modules()],
        random=torch.get_rng_state(),
        numpy=np.random.get_state()[1].tolist(),
        modes=(torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")),
    )


def assert_left(module: nn.Module, before: SimpleNamespace) -> None:
    """The module, torch and numpy are as they were."""
    for name, value in vars(state_of(module)).items():
        torch.testing.assert_close(value, vars(before)[name], rtol=0, atol=0, msg=name)


@pytest.fixture
def worn(trained_net: nn.Module) -> nn.Module:
    """A net in evaluation mode, with frozen weights and one without a gradient."""
    trained_net[0].weight.requires_grad_(requires_grad=False)
    trained_net[5].bias.grad = None
    return trained_net.eval()


@pytest.mark.parametrize("method", ["fgm", "ossa", "pgd", "opt", "random", "adaptive_confidence"])
def test_a_module_is_left_as_it_was_found(digits: tuple, worn: nn.Module, method: str) -> None:
    attack = make_attack(method).model_copy(update={"steps": 3, "rounds": 1, "restarts": 2})
    images = digits.x[:4].clone().requires_grad_()  # type: ignore[attr-defined]
    before = state_of(worn)
    attack(Classifier(worn), images, epsilons=[0.5])
    assert_left(worn, before)
    assert images.requires_grad
    assert images.grad is None


def test_a_module_is_left_as_it_was_found_by_an_attack_that_fails(
    digits: tuple, worn: nn.Module
) -> None:
    class Fails(Pgd):
        def _stepped(self, batch: object, epsilon: float) -> torch.Tensor:
            super()._stepped(batch, epsilon)  # type: ignore[arg-type]
            raise ConfigError("here")

    before = state_of(worn)
    with pytest.raises(ConfigError, match="here"):
        Fails()(Classifier(worn), digits.x[:4], epsilons=[0.5])  # type: ignore[attr-defined]
    assert_left(worn, before)


def test_autocast_is_that_of_the_caller(digits: tuple, worn: nn.Module) -> None:
    kinds: list[torch.dtype] = []
    worn[5].register_forward_hook(lambda module, taken, made: kinds.append(made.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        found = Ossa()(Classifier(worn), digits.x[:4], epsilons=[0.5])  # type: ignore[attr-defined]
        assert torch.is_autocast_enabled("cpu")
    assert set(kinds) == {torch.bfloat16}
    assert found.inputs.dtype == torch.float32
    assert not found.unmoved.any()


def test_the_same_call_gives_the_same_whatever_the_state_of_torch(digits: tuple) -> None:
    net, x, y = digits

    def made() -> torch.Tensor:
        return make_attack("random")(Classifier(net), x[:4], y[:4], epsilons=[0.5], seed=7).inputs

    first = made()
    torch.manual_seed(99)
    assert torch.equal(made(), first)
