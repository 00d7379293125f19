"""Attacks on a small net that reads handwritten digits."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import cosine_similarity, cross_entropy

from saccade.errors import ConfigError
from saccade.fisher.target import Classifier
from saccade.robust.attacks import ATTACKS, make_attack
from saccade.robust.attacks.base import Norm
from saccade.robust.attacks.directions import loss_direction
from saccade.robust.attacks.single import Ossa


def scaled(net: nn.Module, by: float) -> nn.Module:
    """The same decisions, more sure of themselves."""

    class Scaled(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return by * net(x)

    return Scaled().eval()


def rate(net: nn.Module, x: torch.Tensor, y: torch.Tensor, method: str, epsilon: float) -> float:
    found = make_attack(method)(Classifier(net), x, y, epsilons=[epsilon])
    return float(found.success.float().mean())


BUDGETS = [(name, norm) for name in ATTACKS for norm in make_attack(name).norms if norm != "l0"]


@pytest.mark.parametrize(("method", "norm"), BUDGETS)
def test_what_is_returned_keeps_to_size_and_bounds(digits: tuple, method: str, norm: Norm) -> None:
    net, x, y = digits
    epsilons = [0.05, 0.3]
    found = make_attack(method)(
        Classifier(net), x[:40], y[:40], epsilons=epsilons, norm=norm, levels=255
    )
    change = (found.inputs - x[:40]).flatten(2)
    sizes = change.norm(dim=2) if norm == "l2" else change.abs().amax(2)
    torch.testing.assert_close(found.sizes.float(), sizes, atol=1e-5, rtol=0)
    slack = 0.5 / 255 * (8 if norm == "l2" else 1) + 1e-5  # rounding comes last
    for epsilon, own in zip(epsilons, sizes, strict=True):
        assert (own <= epsilon + slack).all()
    assert (found.inputs >= 0).all()
    assert (found.inputs <= 1).all()
    torch.testing.assert_close((found.inputs * 255).round() / 255, found.inputs)
    said = torch.stack([net(one).argmax(1) for one in found.inputs])
    assert torch.equal(found.success, said != y[:40])


@pytest.mark.parametrize("method", ["pgd", "ossa_iterated"])
def test_steps_of_less_than_a_level_add_up(digits: tuple, method: str) -> None:
    """Ten steps of a quarter of a level each: rounding each of them would move nothing."""
    net, x, y = digits
    x, y, level = x[:40], y[:40], 1 / 16  # the digits have 17 grey values
    found = make_attack(method)(Classifier(net), x, y, epsilons=[level], norm="linf", levels=16)
    moved = (found.inputs[0] - x).abs()[(x > 0) & (x < 1)]
    assert float((moved > level / 2).float().mean()) > 0.5


def test_the_direction_is_that_of_the_loss(digits: tuple) -> None:
    net, x, y = digits
    double = nn.Sequential(*[type(m)(m.in_features, m.out_features) if isinstance(m, nn.Linear)
                             else type(m)() for m in net]).double().eval()  # fmt: skip
    double.load_state_dict({name: value.double() for name, value in net.state_dict().items()})
    image = x[:50].double().requires_grad_()
    (usual,) = torch.autograd.grad(cross_entropy(double(image), y[:50], reduction="sum"), image)
    ours = loss_direction(Classifier(double), image.detach(), y[:50])
    alike = cosine_similarity(usual.flatten(1), ours.flatten(1))
    torch.testing.assert_close(alike, torch.ones_like(alike), atol=1e-6, rtol=0)


def test_attacks_are_as_strong_as_they_are_known_to_be(digits: tuple) -> None:
    """Order: nothing < random < one step < ten steps; and the spectral direction is no worse."""
    net, x, y = digits
    rates = {m: rate(net, x, y, m, 0.5) for m in ("random", "fgm", "ossa", "deepfool", "pgd")}
    assert rates["random"] < 0.05 < rates["fgm"]
    assert rates["ossa"] >= 0.95 * rates["fgm"]
    assert rates["pgd"] > rates["ossa"]
    iterated = rate(net, x, y, "ossa_iterated", 0.5)
    assert abs(iterated - rates["pgd"]) <= 0.06


def test_a_net_that_is_sure_of_itself_is_no_safer(digits: tuple) -> None:
    """The usual gradient is lost to float32; ours is not. Decisions are the same."""
    net, x, y = digits
    sure = scaled(net, 20.0)
    image = x.clone().requires_grad_()
    (usual,) = torch.autograd.grad(cross_entropy(sure(image), y, reduction="sum"), image)
    step = nn.functional.normalize(usual.flatten(1), dim=1).view_as(x)
    lost = (sure((x + 0.5 * step).clamp(0, 1)).argmax(1) != y).float().mean()
    for method in ("fgm", "ossa", "pgd"):
        assert abs(rate(sure, x, y, method, 0.5) - rate(net, x, y, method, 0.5)) <= 0.05
    assert rate(sure, x, y, "fgm", 0.5) > 2 * float(lost)


def test_the_wrong_sign_fools_nobody(digits: tuple) -> None:
    net, x, y = digits
    found = Ossa()(Classifier(net), x, y, epsilons=[0.5])
    back = (2 * x - found.inputs[0]).clamp(0, 1)
    wrong = (net(back).argmax(1) != y).float().mean()
    assert float(wrong) < 0.1 * float(found.success.float().mean())


def test_a_targeted_attack_goes_where_it_is_sent(digits: tuple) -> None:
    net, x, y = digits
    wanted = (y + 1) % 10
    found = make_attack("pgd")(Classifier(net), x, y, epsilons=[2.0], target_classes=wanted)
    assert torch.equal(found.success[0], net(found.inputs[0]).argmax(1) == wanted)
    assert found.success.float().mean() > 0.8


def test_without_labels_none_leaks(digits: tuple) -> None:
    net, x, y = digits
    given, own = (Ossa()(Classifier(net), x, labels, epsilons=[0.5]) for labels in (y, None))
    assert torch.equal(given.inputs, own.inputs)  # these are read right


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"epsilons": []}, "sizes of at least 0"),
        ({"epsilons": [math.nan]}, "sizes of at least 0"),
        ({"epsilons": [math.inf]}, "Ossa .* takes finite sizes only"),
        ({"epsilons": [1.0], "norm": "l0"}, "Ossa takes a budget in l2 or linf, not l0"),
        (
            {"epsilons": [1.0], "labels": torch.zeros(3, dtype=torch.long)},
            "one class for each of 2",
        ),
        ({"epsilons": [1.0], "bounds": (0.0, 0.5)}, "outside of the bounds"),
        ({"epsilons": [1.0], "bounds": None, "levels": 255}, "levels: at least 1"),
    ],
)
def test_what_cannot_work_is_named(digits: tuple, options: dict, match: str) -> None:
    net, x, _ = digits
    with pytest.raises(ConfigError, match=match):
        Ossa()(Classifier(net), x[:2], **options)


def test_the_least_likely_class_is_approached_by_its_gradient(digits: tuple) -> None:
    net, x, y = digits
    image = x[:50].clone().requires_grad_()
    log_probs = net(image).log_softmax(1)
    (up,) = torch.autograd.grad(log_probs.amin(1).sum(), image)
    found = make_attack("otcm")(Classifier(net), x[:50], y[:50], epsilons=[0.5], bounds=None)
    alike = cosine_similarity((found.inputs[0] - x[:50]).flatten(1), up.flatten(1))
    torch.testing.assert_close(alike, torch.ones(50), atol=1e-4, rtol=0)


def test_the_second_of_two_steps_starts_where_the_first_led(digits: tuple) -> None:
    net, x, y = digits
    both = make_attack("ossa_two_step")(Classifier(net), x[:50], y[:50], epsilons=[1.0])
    first = Ossa()(Classifier(net), x[:50], y[:50], epsilons=[0.6]).inputs[0]
    second = Ossa()(Classifier(net), first, y[:50], epsilons=[0.4]).inputs[0]
    torch.testing.assert_close(both.inputs[0], second, atol=1e-5, rtol=0)


def test_a_sequence_is_not_attacked(digits: tuple) -> None:
    _, x, _ = digits

    class Sequence:
        def log_probs(self, x: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(x), 3, 4).log_softmax(-1)

    with pytest.raises(ConfigError, match="one distribution an input"):
        Ossa()(Sequence(), x[:2], epsilons=[0.5])
