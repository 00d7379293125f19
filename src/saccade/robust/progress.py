"""The callback of everything that takes long here."""

from __future__ import annotations

from collections.abc import Callable

OnProgress = Callable[[str, int, int], None]
"""What is under way, how many steps of it are done, and how many there are."""
