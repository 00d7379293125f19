"""Saccade: vision-language agents that look, zoom in, and look again.

    from saccade import Agent

    agent = Agent(policy={"kind": "openai", "base_url": "...", "model": "..."})
    trajectory = agent.ask("street.jpg", "What word is on the blue flag?")
    print(trajectory)

The Python API is `Agent`; everything below it is imported from its own module, for example
`from saccade.env import Environment`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from saccade.agent import Agent

# A library says nothing until its user wants to hear it.
logging.getLogger("saccade").addHandler(logging.NullHandler())

__version__ = "0.1.0"
__all__ = ["Agent", "__version__"]


def __getattr__(name: str) -> object:
    """Load the API when it is first used: `import saccade` alone stays instant."""
    if name == "Agent":
        from saccade.agent import Agent

        return Agent
    raise AttributeError(f"module 'saccade' has no attribute {name!r}")
