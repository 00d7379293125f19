"""A sandbox for code that a model wrote: fast, stateful, closed.

async with Sandbox() as sandbox, sandbox.notebook() as notebook:
    cell = await notebook.run("import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()")
    cell.images[0].save("figure.png")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from saccade.sandbox.cells import Cell
    from saccade.sandbox.inside.plan import Limits
    from saccade.sandbox.options import SandboxOptions
    from saccade.sandbox.pool import Notebook, Sandbox
    from saccade.sandbox.session import Session

__all__ = ["Cell", "Limits", "Notebook", "Sandbox", "SandboxOptions", "Session"]

_HOMES = {
    "Cell": "cells", "Limits": "inside.plan", "SandboxOptions": "options",
    "Notebook": "pool", "Sandbox": "pool", "Session": "session",
}  # fmt: skip


def __getattr__(name: str) -> object:
    """Load the host's side when it is asked for: the inside imports this package too."""
    if name not in _HOMES:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
