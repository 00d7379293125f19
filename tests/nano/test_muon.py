"""Muon in single precision makes the updates of torch's, which rounds to half of it."""

import torch
from torch import nn

from saccade.nano.muon import Muon


def test_the_updates_are_those_of_torch() -> None:
    torch.manual_seed(0)
    ours = [nn.Parameter(torch.randn(*shape)) for shape in ((12, 36), (36, 12), (12, 36), (8, 8))]
    theirs = [nn.Parameter(matrix.detach().clone()) for matrix in ours]
    options = {"lr": 4e-3, "weight_decay": 0.01}
    mine = Muon(ours, **options)
    peer = torch.optim.Muon(theirs, **options, adjust_lr_fn="match_rms_adamw")
    for _ in range(4):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        before = [matrix.detach().clone() for matrix in ours]
        mine.step()
        peer.step()
        moved = [(one - old).norm() for one, old in zip(ours, before, strict=True)]
        for one, other, step in zip(ours, theirs, moved, strict=True):
            assert (one - other).norm() < 0.05 * step  # what bfloat16 rounds
            other.data.copy_(one.data)


def test_without_a_gradient_a_matrix_stays() -> None:
    matrix = nn.Parameter(torch.ones(3, 5))
    Muon([matrix], lr=1.0, weight_decay=0.5).step()
    assert bool((matrix == 1).all())
