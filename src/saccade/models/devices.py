"""What torch can compute on, on this machine."""

from __future__ import annotations

import os

import torch


def devices() -> list[str]:
    """A line for each device, by the name that `device` takes: `cpu`, then accelerators."""
    found = [f"cpu, {torch.get_num_threads()} of {os.cpu_count()} threads"]
    for k in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(k)
        found.append(f"cuda:{k}, {about.name}, {about.total_memory / 2**30:.0f} GiB")
    if torch.backends.mps.is_available():
        found.append("mps")
    return found
