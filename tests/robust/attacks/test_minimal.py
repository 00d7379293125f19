"""The least change that loses an input."""

import math

import pytest
import torch
from torch import nn

from saccade.errors import ConfigError
from saccade.fisher.target import Classifier
from saccade.robust.attacks.base import Batch
from saccade.robust.attacks.minimal import GreedyL0, Opt, least_along
from saccade.robust.attacks.single import Ossa


def test_between_two_classes_the_least_change_is_the_distance_to_the_line() -> None:
    """A linear net of two classes: |w . x + b| / |w|, by geometry."""
    net = nn.Linear(4, 2).eval().requires_grad_(requires_grad=False)
    torch.manual_seed(0)
    nn.init.normal_(net.weight)
    x = 0.4 + 0.2 * torch.rand(20, 4)
    logits = net(x)
    labels = logits.argmax(1)
    gap = (net.weight[0] - net.weight[1]).norm()
    distance = (logits[:, 0] - logits[:, 1]).abs() / gap
    ways = Ossa().direction(Batch(Classifier(net), x, labels))
    along = least_along(Classifier(net), x, labels, ways, limit=4.0)
    torch.testing.assert_close(along.float(), distance, atol=1e-3, rtol=1e-3)
    found = Opt()(Classifier(net), x, labels, epsilons=[math.inf])
    near = distance < 0.3  # the box does not stand in the way
    assert near.sum() > 5
    assert found.success[0, near].all()
    assert (found.sizes[0, near] >= distance[near] - 1e-5).all()
    assert (found.sizes[0, near] <= 1.1 * distance[near] + 0.01).all()


def test_the_optimised_change_is_smaller_than_one_step_needs(digits: tuple) -> None:
    net, x, y = digits
    target = Classifier(net)
    found = Opt()(target, x[:60], y[:60], epsilons=[math.inf])
    ways = Ossa().direction(Batch(target, x[:60], y[:60]))
    step = least_along(target, x[:60], y[:60], ways, limit=4.0, bounds=(0.0, 1.0))
    assert found.success.all()
    assert torch.equal(found.success[0], net(found.inputs[0]).argmax(1) != y[:60])
    # The step is clipped, so it changes less than its size: compare with twice the tolerance.
    assert (found.sizes[0] < step * 1.02).float().mean() > 0.9


def test_few_values_are_enough(digits: tuple) -> None:
    net, x, y = digits
    found = GreedyL0()(Classifier(net), x[:60], y[:60], epsilons=[12], norm="l0")
    changed = (found.inputs[0] != x[:60]).flatten(1).sum(1)
    assert torch.equal(found.sizes[0], changed.double())
    assert changed.max() <= 12
    assert found.success.float().mean() > 0.9
    values = found.inputs[0][found.inputs[0] != x[:60]]
    assert ((values == 0) | (values == 1)).all()


def test_what_never_flips_is_infinite(digits: tuple) -> None:
    net, x, y = digits
    still = torch.zeros_like(x[:5])
    assert least_along(Classifier(net), x[:5], y[:5], still, limit=4.0).isinf().all()


def test_the_least_change_is_cut_to_its_budget(digits: tuple) -> None:
    """What is found with any size to go, at smaller budgets: shorter, and then no success."""
    net, x, y = digits
    target = Classifier(net)
    found = Opt()(target, x[:60], y[:60], epsilons=[0.1, math.inf])
    assert (found.sizes[0] <= 0.1 + 1e-5).all()
    within = found.sizes[1] <= 0.1
    assert torch.equal(found.inputs[0][within], found.inputs[1][within])
    assert float(found.success[0].float().mean()) < 0.2 < float(found.success[1].float().mean())


def test_what_these_attacks_cannot_do_is_named(digits: tuple) -> None:
    net, x, y = digits
    with pytest.raises(ConfigError, match="Opt cannot be sent to a class"):
        Opt()(Classifier(net), x[:2], epsilons=[1.0], target_classes=y[:2])
    with pytest.raises(ConfigError, match="GreedyL0 takes a budget in l0, not l2"):
        GreedyL0()(Classifier(net), x[:2], epsilons=[3])
    with pytest.raises(ConfigError, match="sets values to a bound"):
        GreedyL0()(Classifier(net), x[:2], epsilons=[3], norm="l0", bounds=None)
