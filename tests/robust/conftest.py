"""A small net that reads handwritten digits, and images that it reads right."""

from typing import NamedTuple

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy


class Digits(NamedTuple):
    net: nn.Module
    x: torch.Tensor
    y: torch.Tensor


@pytest.fixture(scope="session")
def digits() -> Digits:
    """300 images of the test part."""
    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images / 16).float().view(-1, 1, 8, 8)
    y = torch.tensor(labels)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(net.parameters(), 5e-3)
    for _ in range(150):
        optimizer.zero_grad()
        cross_entropy(net(x[:1000]), y[:1000]).backward()
        optimizer.step()
    net.eval().requires_grad_(requires_grad=False)
    x, y = x[1000:], y[1000:]
    right = net(x).argmax(1) == y
    assert right.float().mean() > 0.85
    return Digits(net, x[right][:300], y[right][:300])


@pytest.fixture
def trained_net() -> nn.Module:
    """A net under training, with every kind of state: statistics, dropout, gradients."""
    torch.manual_seed(3)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(), nn.Flatten(),
        nn.Linear(144, 10),
    )  # fmt: skip
    net(torch.rand(20, 1, 8, 8)).square().mean().backward()
    return net
