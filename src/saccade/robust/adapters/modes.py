"""A module is borrowed: it goes back in the mode in which it came."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def as_found(module: nn.Module) -> Iterator[nn.Module]:
    """Each layer is in training or in evaluation mode as before, whatever happens within."""
    before = [(layer, layer.training) for layer in module.modules()]
    try:
        yield module
    finally:
        for layer, training in before:
            layer.training = training


@contextmanager
def evaluating(module: nn.Module) -> Iterator[nn.Module]:
    """In evaluation mode within, then as before."""
    with as_found(module):
        yield module.eval()
