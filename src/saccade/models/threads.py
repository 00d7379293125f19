"""How many CPU threads torch may use."""

from __future__ import annotations

import torch


def use_threads(at_most: int) -> None:
    """Let a forward pass use no more CPU threads than this, and never more than it used so far.

    Matrices of tiny models gain nothing from many threads, and lose much where cores are shared.
    """
    torch.set_num_threads(min(at_most, torch.get_num_threads()))
