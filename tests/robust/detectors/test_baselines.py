"""Each baseline against its formula, written out image by image."""

import numpy as np
import pytest
import torch
from torch import nn

from saccade.errors import ConfigError
from saccade.fisher.target import Classifier
from saccade.robust.detectors.base import Reference
from saccade.robust.detectors.baselines import (
    Dimensionality,
    KernelDensity,
    Mahalanobis,
    Squeezing,
    hidden,
)
from saccade.robust.detectors.spectral import confidence


@pytest.fixture(scope="module")
def known(digits: tuple) -> tuple[nn.Module, Reference, torch.Tensor]:
    net, x, y = digits
    return net, Reference(x[:200], y[:200]), x[200:210]


def last(net: nn.Module, x: torch.Tensor) -> np.ndarray:
    """What the last linear layer takes in."""
    return net[:-1](x).double().numpy()


def test_hidden_layers_are_the_logits_and_what_layers_take_in(known: tuple) -> None:
    net, _, x = known
    logits, penultimate = hidden(Classifier(net), x)
    torch.testing.assert_close(logits, net(x))
    np.testing.assert_allclose(penultimate.numpy(), last(net, x), rtol=1e-6)
    maps = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 3, 3), nn.Flatten(),
                         nn.Linear(48, 4)).eval()  # fmt: skip
    layers = hidden(Classifier(maps), x)
    torch.testing.assert_close(layers[1], maps[:2](x).mean((2, 3)))


def test_confidence_is_the_probability_of_the_others(known: tuple) -> None:
    net, _, x = known
    p = net(x).double().softmax(1).sort(1, descending=True).values
    found = confidence(Classifier(net), x)
    np.testing.assert_allclose(found[:, 0], (1 - p[:, 0]).log(), rtol=1e-4)
    np.testing.assert_allclose(found[:, 1:], p[:, 1:].log(), rtol=1e-4)


def test_kernel_density_is_that_of_the_predicted_class(known: tuple) -> None:
    net, reference, x = known
    found = KernelDensity(bandwidth=0.5).fit(Classifier(net), reference)(x)[:, 0]
    points, wanted = last(net, reference.x), []
    pairs = [np.linalg.norm(a - b) for i, a in enumerate(points) for b in points[i + 1 :]]
    width = 0.5 * sorted(pairs)[(len(pairs) - 1) // 2]
    for image, h in zip(x, last(net, x), strict=True):
        same = points[reference.labels.numpy() == int(net(image[None]).argmax())]
        distances = np.linalg.norm(same - h, axis=1)
        wanted.append(-np.log(np.exp(-((distances / width) ** 2) / 2).sum()))
    np.testing.assert_allclose(found, wanted, rtol=1e-3)


def test_dimensionality_is_the_maximum_likelihood_estimate(known: tuple) -> None:
    """Ma et al., equation 4: -(mean of log r_i / r_k)^-1 over the k nearest."""
    net, reference, x = known
    found = Dimensionality(neighbours=10).fit(Classifier(net), reference)(x)
    points, wanted = last(net, reference.x[:50]), []
    for h in last(net, x):
        near = np.sort(np.linalg.norm(points - h, axis=1))[:10]
        wanted.append(-1 / np.log(near / near[-1]).mean())
    np.testing.assert_allclose(found[:, -1], wanted, rtol=1e-3)


def test_mahalanobis_is_the_least_distance_to_a_class(known: tuple) -> None:
    net, reference, x = known
    found = Mahalanobis(ridge=0.1).fit(Classifier(net), reference)(x)
    points, labels = last(net, reference.x), reference.labels.numpy()
    means = np.stack([points[labels == c].mean(0) for c in range(10)])
    spread = np.cov((points - means[labels]).T)
    inverse = np.linalg.inv(spread + 0.1 * spread.diagonal().mean() * np.eye(len(spread)))
    wanted = [min((h - m) @ inverse @ (h - m) for m in means) for h in last(net, x)]
    np.testing.assert_allclose(found[:, -1], wanted, rtol=1e-3)


def test_squeezing_is_the_largest_move_of_the_prediction(known: tuple) -> None:
    net, reference, x = known
    found = Squeezing(bits=1, median=3).fit(Classifier(net), reference)(x)[:, 0]
    for i, image in enumerate(x):
        padded = np.pad(image[0].numpy(), 1, mode="edge")
        median = [[np.median(padded[r : r + 3, c : c + 3]) for c in range(8)] for r in range(8)]
        squeezed = (image.round(), torch.tensor(np.array(median), dtype=torch.float32)[None])
        before = net(image[None]).softmax(1)
        moves = [float((net(s[None]).softmax(1) - before).abs().sum()) for s in squeezed]
        assert abs(found[i] - max(moves)) < 1e-5


def test_other_targets_have_no_hidden_layers(known: tuple) -> None:
    net, reference, _ = known

    class Other:
        def log_probs(self, x: torch.Tensor) -> torch.Tensor:
            return net(x).log_softmax(1)

    with pytest.raises(ConfigError, match="needs the hidden layers of a Classifier, got Other"):
        KernelDensity().fit(Other(), reference)
