"""Small reference classifiers: trained in seconds (digits) to minutes (CIFAR-10) on two cores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from saccade.config import resolve
from saccade.errors import ConfigError, FormatError
from saccade.robust.arrays import read_arrays, write_arrays
from saccade.robust.classifiers.splits import Dataset, Split, digest_of

MOST_BYTES = 1 << 30
"""Largest size of a file of weights."""
BATCH = 128
RATE = 2e-3
EPOCHS = {8: 60, 28: 4, 32: 16}
"""Side of the images -> number of epochs."""
TRAINED_ON = "trained on"
"""Beside the weights in a file: the digest of the training part."""


class Scaled(nn.Module):
    """The same decisions with logits times a number: a net that is more sure of itself."""

    def __init__(self, net: nn.Module, by: float) -> None:
        super().__init__()
        self.net, self.by = net, by

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.net(x)
        return self.by * logits


def reference_net(shape: tuple[int, ...], classes: int) -> nn.Module:
    """An untrained net for images of a shape (C, H, W).

    Two hidden layers for images of up to 8 pixels, two convolutions for grey ones, five for
    coloured ones.
    """
    channels, side = shape[0], min(shape[1:])
    if side <= 8:
        size = channels * shape[1] * shape[2]
        return nn.Sequential(
            nn.Flatten(), nn.Linear(size, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(),
            nn.Linear(64, classes),
        )  # fmt: skip
    if channels == 1:
        return nn.Sequential(
            *_convolution(1, 16), nn.MaxPool2d(2), *_convolution(16, 32), nn.MaxPool2d(2),
            nn.Flatten(), nn.LazyLinear(128), nn.ReLU(), nn.Linear(128, classes),
        )  # fmt: skip
    return nn.Sequential(
        *_convolution(channels, 24), *_convolution(24, 32, 2), *_convolution(32, 48),
        *_convolution(48, 64, 2), *_convolution(64, 96), nn.AvgPool2d(2),
        nn.Flatten(), nn.LazyLinear(128), nn.ReLU(), nn.Linear(128, classes),
    )  # fmt: skip


def train_net(
    data: Dataset,
    *,
    seed: int,
    epochs: int | None = None,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> nn.Module:
    """A reference net, trained on the training part with Adam and one cycle of the rate.

    Args:
        data: Images and classes.
        seed: Seed of the weights and the order.
        epochs: Number of epochs; the size of the images decides if left out: 60, 4 or 16.
        on_step: Called after each optimiser step, with the number of steps done and in all.

    Returns:
        The net, in evaluation mode, its weights without gradients.
    """
    shape = tuple(data.train.x.shape[1:])
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = reference_net(shape, data.classes)
        net(data.train.x[:2])
    rounds = epochs or EPOCHS.get(min(shape[1:]), 16)
    steps = -(-len(data.train.y) // BATCH)
    optimizer = torch.optim.Adam(net.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=rounds * steps)
    for epoch in range(rounds):
        order = torch.randperm(len(data.train.y), generator=generator)
        for step in range(steps):
            batch = data.train.part(order[step * BATCH : (step + 1) * BATCH])
            if shape[0] == 3:
                batch = _moved(batch, generator)
            optimizer.zero_grad()
            cross_entropy(net(batch.x), batch.y).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            on_step(epoch * steps + step + 1, rounds * steps)
    return net.eval().requires_grad_(requires_grad=False)


def kept_net(
    path: Path,
    data: Dataset,
    *,
    seed: int,
    epochs: int | None = None,
    on_step: Callable[[int, int], None] = lambda done, total: None,
    before_writing: Callable[[], None] = lambda: None,
) -> nn.Module:
    """The net of this file (`.npz` of its weights); it is trained and written if there is none.

    Args:
        path: The file.
        data: Images and classes.
        seed: Seed of the weights and the order.
        epochs: Number of epochs; the size of the images decides if left out.
        on_step: Called after each optimiser step.
        before_writing: Called when a net was trained, before it is written.

    Raises:
        ConfigError: the net of the file was trained for other data.
        FormatError: the file holds other weights than this net's.
    """
    known = digest_of(data.train)
    if not path.exists():
        net = train_net(data, seed=seed, epochs=epochs, on_step=on_step)
        path.parent.mkdir(parents=True, exist_ok=True)
        before_writing()
        weights = {name: value.numpy() for name, value in net.state_dict().items()}
        write_arrays(path, {**weights, TRAINED_ON: np.array(known)})
        return net
    net = reference_net(tuple(data.train.x.shape[1:]), data.classes)
    net(data.train.x[:2])
    held = read_arrays(path, "weights of this net", most=MOST_BYTES)
    if str(held.pop(TRAINED_ON, known)) != known:
        raise ConfigError(
            f"{path}: a net that was trained on other images, though under the same name; "
            "delete it to train it anew, or choose another out"
        )
    try:
        net.load_state_dict({name: torch.from_numpy(value) for name, value in held.items()})
    except (RuntimeError, TypeError) as error:
        raise FormatError(f"{path}: no weights of this net ({error}); delete it") from error
    return net.eval().requires_grad_(requires_grad=False)


def load_model(name: str) -> nn.Module:
    """The module behind `package.module:name`: a module, or a function that makes one.

    Raises:
        ConfigError: it is neither.
    """
    made = resolve(name, {}, "model")
    module = made if isinstance(made, nn.Module) else made() if callable(made) else made
    if not isinstance(module, nn.Module):
        raise ConfigError(f"model: {name} gave a {type(module).__name__}, expected an nn.Module")
    return module.eval().requires_grad_(requires_grad=False)


def _convolution(into: int, out: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(into, out, 3, stride, 1), nn.ReLU()


def _moved(batch: Split, generator: torch.Generator) -> Split:
    """Mirrored, and shifted by up to 3 pixels."""
    x = batch.x.flip(3) if torch.rand(1, generator=generator) < 0.5 else batch.x
    down, right = (int(s) for s in torch.randint(-3, 4, (2,), generator=generator))
    return Split(torch.roll(x, (down, right), (2, 3)), batch.y)
