"""Attacks that know of the detector: they stop where an input looks like a clean one."""

import torch
from torch import nn

from saccade.fisher.products import Product
from saccade.fisher.spectrum import eigenpairs
from saccade.fisher.target import Classifier, tail_of
from saccade.robust.attacks.adaptive import (
    AdaptiveConfidence,
    AdaptiveEigenvalue,
    _eigenvalue_gradient,
)


def looks(net: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """log(1 - p_max) and log lambda_1."""
    target = Classifier(net)
    log_q = tail_of(target.log_probs(x)).log_q
    return log_q, eigenpairs(target, x).log_values[:, 0]


def test_a_wrong_reading_becomes_as_sure_as_a_clean_one(digits: tuple) -> None:
    net, x, y = digits
    log_q, log_lambda = (float(values.median()) for values in looks(net, x))
    confidence = AdaptiveConfidence(log_q=log_q, steps=50)
    eigenvalue = AdaptiveEigenvalue(log_q=log_q, log_lambda=log_lambda, steps=50)
    sure, flat = (
        attack(Classifier(net), x[:60], y[:60], epsilons=[1.5])
        for attack in (confidence, eigenvalue)
    )
    for found in (sure, flat):
        assert found.success.float().mean() > 0.9
        assert torch.equal(found.success[0], net(found.inputs[0]).argmax(1) != y[:60])
        assert (found.sizes <= 1.5 + 1e-4).all()
        own = looks(net, found.inputs[0])[0]
        assert (own <= log_q).float().mean() > 0.8
    # What it is for: the second lowers the eigenvalue, the first need not.
    lowered = (looks(net, flat.inputs[0])[1] <= log_lambda).float().mean()
    assert lowered > 0.8
    assert lowered >= (looks(net, sure.inputs[0])[1] <= log_lambda).float().mean()


def test_the_gradient_of_the_eigenvalue_is_that_of_differences() -> None:
    """Of log v^T G(x) v with v held fixed, in float64, by central differences."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 5)).double().eval()
    target = Classifier(net)
    x = torch.rand(3, 6, dtype=torch.float64)
    v = nn.functional.normalize(Product(target, x).gradient(), dim=1)

    def value(points: torch.Tensor) -> torch.Tensor:
        rows = []
        for point, direction in zip(points, v, strict=True):
            slopes = torch.autograd.functional.jacobian(
                lambda p: net(p[None])[0].log_softmax(0), point
            )
            p = net(point[None])[0].softmax(0)
            rows.append((p * (slopes @ direction).square()).sum().log())
        return torch.stack(rows)

    step = 1e-5
    wanted = torch.stack(
        [(value(x + step * e) - value(x - step * e)) / (2 * step) for e in torch.eye(6).double()], 1
    )
    torch.testing.assert_close(_eigenvalue_gradient(target, x), wanted, rtol=1e-5, atol=1e-7)


def test_left_to_itself_it_stops_at_the_median_of_its_inputs(digits: tuple) -> None:
    net, x, y = digits
    log_q, log_lambda = (float(values.median()) for values in looks(net, x[:40]))
    own = AdaptiveEigenvalue(steps=10, restarts=1)
    given = AdaptiveEigenvalue(steps=10, restarts=1, log_q=log_q, log_lambda=log_lambda)
    made = [attack(Classifier(net), x[:40], y[:40], epsilons=[1.0]) for attack in (own, given)]
    assert torch.equal(made[0].inputs, made[1].inputs)
