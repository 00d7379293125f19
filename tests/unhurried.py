"""Limits of cells that a busy machine does not reach."""

from waiting import LIMIT_S

from saccade.sandbox import Limits

UNHURRIED = Limits(seconds=LIMIT_S, grace_seconds=LIMIT_S)
"""A cell that a test wants to see interrupted has seconds of its own."""
