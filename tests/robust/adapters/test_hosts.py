"""What foolbox, torchattacks and ART take, our attacks take too; and they leave a net as it was."""

from collections.abc import Callable

import foolbox
import numpy as np
import pytest
import torch
import torchattacks
from art.attacks.evasion import FastGradientMethod
from art.defences.preprocessor import FeatureSqueezing
from art.estimators.classification import PyTorchClassifier
from torch import nn

from saccade.errors import ConfigError
from saccade.robust.adapters.art import ArtAttack, ArtDetector
from saccade.robust.adapters.foolbox import FoolboxAttack
from saccade.robust.adapters.torchattacks import TorchattacksAttack


class Wide(nn.Module):
    """Takes pixels to 255."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / 255


class LastAxis(nn.Module):
    """Takes (N, H, W, C)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 3, 1, 2)


class Softmax(nn.Module):
    """Probabilities, by no layer that a list of modules would show."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.softmax(-1)


def art_of(net: nn.Module, high: float = 1.0, **options: object) -> PyTorchClassifier:
    return PyTorchClassifier(
        net, nn.CrossEntropyLoss(), (1, 8, 8), 10,
        clip_values=(0.0, high), device_type="cpu", **options,
    )  # fmt: skip


def foolbox_of(net: nn.Module) -> foolbox.Model:
    return foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")


Call = Callable[[nn.Module, torch.Tensor, torch.Tensor, float, object], torch.Tensor]


def by_foolbox(
    net: nn.Module, x: torch.Tensor, y: torch.Tensor, eps: float, norm: object = "l2"
) -> torch.Tensor:
    clipped: torch.Tensor = FoolboxAttack("fgm", norm=norm)(  # type: ignore[arg-type]
        foolbox_of(net), x, y, epsilons=eps
    )[1]
    return clipped


def by_torchattacks(
    net: nn.Module, x: torch.Tensor, y: torch.Tensor, eps: float, norm: object = "l2"
) -> torch.Tensor:
    return TorchattacksAttack(net, "fgm", eps=eps, norm=norm)(x, y)  # type: ignore[arg-type]


def by_art(
    net: nn.Module, x: torch.Tensor, y: torch.Tensor, eps: float, norm: object = "l2"
) -> torch.Tensor:
    attack = ArtAttack(art_of(net), "fgm", eps=eps, norm=norm)  # type: ignore[arg-type]
    return torch.as_tensor(attack.generate(x.numpy(), y.numpy()))


HOSTS = pytest.mark.parametrize("call", [by_foolbox, by_torchattacks, by_art])


@HOSTS
def test_a_hair_outside_is_clipped_and_more_is_refused(digits: tuple, call: Call) -> None:
    net, x, y = digits
    over = x[:4].clone()
    over[:, 0, 0, 0], over[:, 0, 0, 1] = 1 + 1e-6, -1e-6
    torch.testing.assert_close(call(net, over, y[:4], 0.3), call(net, over.clamp(0, 1), y[:4], 0.3))
    with pytest.raises(ConfigError, match=r"from 0 to 255, .*divide them by 255"):
        call(net, x[:4].round() * 255, y[:4], 0.3)
    with pytest.raises(ConfigError, match="normalisation the first layer"):
        call(net, (x[:4] - 0.5) / 0.2, y[:4], 0.3)


@HOSTS
def test_a_size_of_zero_returns_the_input(digits: tuple, call: Call) -> None:
    net, x, y = digits
    assert torch.equal(call(net, x[:4], y[:4], 0.0), x[:4])


@HOSTS
def test_a_size_of_255_on_pixels_to_1_is_refused(digits: tuple, call: Call) -> None:
    net, x, y = digits
    with pytest.raises(ConfigError, match=r"epsilons: 8 in linf is more than any change.*0\.03137"):
        call(net, x[:4], y[:4], 8, np.inf)


@HOSTS
def test_a_batch_of_one(digits: tuple, call: Call) -> None:
    net, x, y = digits
    torch.testing.assert_close(call(net, x[:1], y[:1], 0.3), call(net, x[:4], y[:4], 0.3)[:1])


@HOSTS
@pytest.mark.parametrize("norm", [np.inf, "inf", "Linf", "L_inf"])
def test_norms_are_spelt_as_anywhere(digits: tuple, call: Call, norm: object) -> None:
    net, x, y = digits
    found = call(net, x[:4], y[:4], 0.1, norm)
    torch.testing.assert_close(found, call(net, x[:4], y[:4], 0.1, "linf"))
    assert float((found - x[:4]).abs().max()) == pytest.approx(0.1, abs=1e-6)
    with pytest.raises(ConfigError, match=r"norm: expected .*got 'l1'"):
        call(net, x[:4], y[:4], 0.1, "l1")


@HOSTS
@pytest.mark.parametrize("end", [nn.Softmax(-1), Softmax()])
def test_a_net_that_ends_in_softmax_is_refused(digits: tuple, call: Call, end: nn.Module) -> None:
    net, x, y = digits
    with pytest.raises(ConfigError, match=r"expected logits, .*behind which gradients vanish"):
        call(nn.Sequential(net, end).eval(), x[:4], y[:4], 0.3)


@HOSTS
def test_a_net_that_ends_in_log_softmax_is_not(digits: tuple, call: Call) -> None:
    net, x, y = digits
    ended = nn.Sequential(net, nn.LogSoftmax(-1)).eval()
    torch.testing.assert_close(call(ended, x, y, 0.3), call(net, x, y, 0.3), atol=1e-4, rtol=0)


@HOSTS
def test_a_net_without_gradient_is_no_robust_net(digits: tuple, call: Call) -> None:
    net, x, y = digits

    class Behind(nn.Module):
        """The net behind a step, with a weight of its own."""

        def __init__(self, step: Callable[[torch.Tensor], torch.Tensor]) -> None:
            super().__init__()
            self.step, self.weight = step, nn.Parameter(torch.ones(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.weight * net(self.step(x))

    detached = Behind(lambda x: x.detach()).eval()
    rounded = Behind(lambda x: (x * 7).round() / 7).eval()
    with pytest.raises(ConfigError, match="has no gradient in its inputs"):
        call(detached, x[:4], y[:4], 0.3)
    with pytest.raises(ConfigError, match="zero at all of 4 inputs, but log-probabilities change"):
        call(rounded, x[:4], y[:4], 0.3)


@pytest.fixture
def worn(trained_net: nn.Module) -> nn.Module:
    """A net under training, with a part that is frozen."""
    trained_net[1].eval()
    return trained_net


def modes(net: nn.Module) -> list[object]:
    """All that an attack might leave changed: modes, statistics, weights, gradients, randomness."""
    held = [value.clone() for value in net.state_dict().values()]
    return [
        [part.training for part in net.modules()],
        [weight.requires_grad for weight in net.parameters()],
        held,
        [weight.grad.clone() for weight in net.parameters() if weight.grad is not None],
        torch.get_rng_state(),
    ]


@pytest.mark.parametrize("call", [by_torchattacks, by_art])
def test_a_net_is_left_in_the_mode_in_which_it_was_found(
    digits: tuple, worn: nn.Module, call: Call
) -> None:
    _, x, y = digits
    before = modes(worn)
    assert (call(worn, x[:4], y[:4], 0.3) != x[:4]).any()
    torch.testing.assert_close(modes(worn), before, rtol=0, atol=0)
    with pytest.raises(ConfigError, match="outside of the bounds"):
        call(worn, x[:4] + 3, y[:4], 0.3)
    torch.testing.assert_close(modes(worn), before, rtol=0, atol=0)


def test_foolbox_with_a_net_under_training_is_refused(digits: tuple, worn: nn.Module) -> None:
    _, x, y = digits
    torch.manual_seed(0)
    with pytest.warns(UserWarning, match="training mode"):
        model = foolbox_of(worn)
    with pytest.raises(ConfigError, match=r"two passes over the same input .*\.eval\(\)"):
        FoolboxAttack("fgm")(model, x[:8], y[:8], epsilons=0.3)


def test_foolbox_takes_its_own_distances_and_classes_of_any_width(digits: tuple) -> None:
    net, x, y = digits
    wanted = by_foolbox(net, x, y, 0.1, "linf")
    for norm in (foolbox.distances.linf, np.inf):
        assert torch.equal(by_foolbox(net, x, y.int(), 0.1, norm), wanted)
    raw, _, success = FoolboxAttack("fgm")(foolbox_of(net), x, y, epsilons=[0.0, 0.5])
    assert torch.equal(raw[0], x)
    assert not success[0].any()
    assert success[1].any()


def test_torchattacks_normalisation_is_undone_exactly_and_kept_after_a_failure(
    digits: tuple,
) -> None:
    net, x, y = digits

    class Shift(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 0.3 + 0.1

    attack = TorchattacksAttack(nn.Sequential(Shift(), *net).eval(), "fgm", eps=0.3)
    attack.set_normalization_used(mean=[0.1], std=[0.3])
    shown = (x - 0.1) / 0.3  # undoing it goes a hair outside of [0, 1]
    wanted = (by_torchattacks(net, x, y, 0.3) - 0.1) / 0.3
    torch.testing.assert_close(attack(shown, y), wanted, atol=1e-4, rtol=0)
    with pytest.raises(ConfigError, match="outside of the bounds"):
        attack(shown + 9, y)
    torch.testing.assert_close(attack(shown, y), wanted, atol=1e-4, rtol=0)


def test_torchattacks_takes_nothing_and_names_what_cannot_be_targeted(digits: tuple) -> None:
    net, x, y = digits
    usual = torchattacks.FGSM(net)
    assert by_torchattacks(net, x[:0], y[:0], 0.3).shape == x[:0].shape
    assert TorchattacksAttack(net, "pgd").supported_mode == usual.supported_mode
    with pytest.raises(ValueError, match="not supported"):
        TorchattacksAttack(net, "opt").set_mode_targeted_by_function(lambda images, labels: labels)


@pytest.mark.parametrize("kind", [np.uint8, np.int64])
def test_art_takes_bytes_and_returns_what_it_changed(digits: tuple, kind: type) -> None:
    """As ART itself: float32, for a change of less than a level is one."""
    net, x, y = digits
    classifier = art_of(nn.Sequential(Wide(), *net).eval(), 255.0)
    given = (x.numpy() * 255).astype(kind)
    theirs = FastGradientMethod(classifier, norm=np.inf, eps=4.5).generate(given, y.numpy())
    ours = ArtAttack(classifier, "fgm", norm=np.inf, eps=4.5).generate(given, y.numpy())
    assert ours.dtype == theirs.dtype == np.float32
    assert np.abs(ours - given).max() == 4.5
    assert (np.abs(ours - theirs) < 1e-3).mean() > 0.99  # of tiny gradients the sign may differ


def test_art_takes_the_last_axis_for_channels(digits: tuple) -> None:
    net, x, y = digits
    classifier = PyTorchClassifier(
        nn.Sequential(LastAxis(), *net).eval(), nn.CrossEntropyLoss(), (8, 8, 1), 10,
        channels_first=False, clip_values=(0, 1), device_type="cpu",
    )  # fmt: skip
    found = ArtAttack(classifier, "fgm", eps=0.3).generate(x.permute(0, 2, 3, 1).numpy(), y.numpy())
    torch.testing.assert_close(
        torch.as_tensor(found).permute(0, 3, 1, 2), by_art(net, x, y, 0.3), atol=1e-6, rtol=0
    )


def test_art_takes_classes_as_art_does(digits: tuple) -> None:
    net, x, y = digits
    images, classes = x[:9].numpy(), (y[:9].numpy() + 1) % 10
    attack = ArtAttack(art_of(net), "fgm", eps=1.0, targeted=True)
    wanted = attack.generate(images, classes)
    for given in (
        classes[:, None], np.eye(10)[classes], np.eye(10, dtype=np.float32)[classes],
        classes.astype(np.float32), classes.astype(np.uint8), classes.tolist(),
    ):  # fmt: skip
        np.testing.assert_array_equal(attack.generate(images, given), wanted)
    for given, match in (
        (classes[:3], r"a class for each of 9 inputs, .*got \(3,\)"),
        (classes + 0.5, "whole numbers from 0"),
        (classes - 5, "whole numbers from 0"),
        (classes + 1000, "classes from 0 to 9"),
        (np.array(["a"] * 9), r"got \(9,\) <U1"),
    ):
        with pytest.raises(ConfigError, match=match):
            attack.generate(images, given)


def test_an_art_defence_without_gradient_is_refused(digits: tuple) -> None:
    defence = FeatureSqueezing(clip_values=(0, 1), bit_depth=3)
    with pytest.raises(ConfigError, match=r"has no gradient; many have a PyTorch form"):
        ArtAttack(art_of(digits[0], preprocessing_defences=defence))


def test_art_keeps_the_type_of_floats_and_takes_nothing(digits: tuple) -> None:
    net, x, y = digits
    classifier, wide = art_of(net), x[:4].numpy().astype(np.float64) * 0.999
    still = ArtAttack(classifier, "fgm", eps=0.0).generate(wide, y[:4].numpy())
    np.testing.assert_array_equal(still, wide)
    attack = ArtAttack(classifier, "fgm", eps=0.3)
    for kind, returned in ((np.float64, np.float64), (np.float16, np.float16), (int, np.float32)):
        nothing = attack.generate(x[:0].numpy().astype(kind), y[:0].numpy())
        assert (nothing.shape, nothing.dtype) == ((0, 1, 8, 8), returned)
    assert attack.generate(wide, None).dtype == np.float64


def test_art_parameters_are_checked_when_they_are_set(digits: tuple) -> None:
    net, x, y = digits
    attack = ArtAttack(art_of(net), "fgm", eps=np.array([0.1]), norm=2)
    attack.set_params(norm=np.inf, attack="ossa", eps=np.float32(0.25))
    assert (attack.norm, attack.eps) == ("linf", 0.25)
    found = attack.generate(x[:4].numpy(), y[:4].numpy())
    assert np.abs(found - x[:4].numpy()).max() == pytest.approx(0.25)
    for options, match in (
        ({"norm": 1}, "norm: expected"), ({"eps": -1.0}, "eps: expected a size of at least 0"),
        ({"eps": [0.1, 0.2]}, "eps: expected one size"), ({"batch_size": 0}, "batch_size"),
        ({"attack": "fgmm"}, "did you mean 'fgm'"),
        ({"attack": "opt", "norm": "l2", "targeted": True}, "Opt cannot be sent to a class"),
    ):  # fmt: skip
        held = dict(attack.__dict__)
        with pytest.raises(ConfigError, match=match):
            attack.set_params(**options)
        assert attack.__dict__ == held


def test_art_bounds_of_each_pixel_are_kept(digits: tuple) -> None:
    net, x, y = digits
    high = np.full((1, 8, 8), 1.0, np.float32)
    high[0, 0] = 0.01  # nothing may be drawn on the first line
    classifier = PyTorchClassifier(
        net, nn.CrossEntropyLoss(), (1, 8, 8), 10,
        clip_values=(np.zeros_like(high), high), device_type="cpu",
    )  # fmt: skip
    found = ArtAttack(classifier, "fgm", eps=0.3, norm=np.inf).generate(x.numpy(), y.numpy())
    assert (found <= high).all()
    assert (found[:, 0, 1:] > 0.1).any()


def test_the_art_detector_takes_a_column_of_classes_and_leaves_the_net(
    digits: tuple, worn: nn.Module
) -> None:
    _, x, _ = digits
    before = modes(worn)
    detector = ArtDetector(art_of(worn), false_positive_rate=0.5)
    known, flags = x[:12].numpy(), np.arange(12) >= 8
    detector.fit(known, flags.astype(int)[:, None])
    report, _ = detector.detect(known)
    assert report["predictions"][flags].mean() > report["predictions"][~flags].mean()
    assert detector.detect(known[:0])[1].shape == (0,)
    torch.testing.assert_close(modes(worn), before, rtol=0, atol=0)
    with pytest.raises(ConfigError, match="0 for clean and 1 for adversarial"):
        detector.fit(known, np.arange(12))
    with pytest.raises(ConfigError, match=r"expected an art\.estimators"):
        ArtDetector(worn)
