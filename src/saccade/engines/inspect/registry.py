"""What Inspect AI loads for `saccade/...`: the entry point of the group `inspect_ai`."""

from saccade.engines.inspect.provider import SaccadeAPI
from saccade.engines.inspect.scorer import numbers, verdict
from saccade.engines.inspect.solver import episode
from saccade.engines.inspect.task import bench

__all__ = ["SaccadeAPI", "bench", "episode", "numbers", "verdict"]
