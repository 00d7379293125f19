"""The environment that the embedded models are trained and measured in, and its sizes."""

from __future__ import annotations

from saccade.config import Table
from saccade.dialects.deepeyes import DeepEyes
from saccade.env import Environment
from saccade.images.geometry import PixelBudget
from saccade.tools.zoom import ZoomIn
from saccade.types import Limits, Tool
from saccade.world.scene import MIN_NATIVE
from saccade.world.scene import VIEW as VIEW_SIDE

WIDTH = 96
"""Width of the layers of the shipped models."""

HEAD = 32
"""Width of an attention head."""

NATIVE = MIN_NATIVE
"""Side of a scene in its own pixels."""

CROP_SIDE = 28
"""Side at which a crop is shown, in pixels."""

VIEW = PixelBudget(factor=14, max_pixels=VIEW_SIDE**2)
OBSERVATION = PixelBudget(factor=14, min_pixels=400, max_pixels=800)
"""Bounds with slack about 28x28: every square cut is shown at 28x28, whatever rounding does."""

MIN_BOX = 25
"""Least side, in pixels of the scene, of the square that a box is grown to (two of the view)."""

ZOOM = ZoomIn(square=True, small="enlarge", min_side=MIN_BOX - 1)
LIMITS = Limits(max_turns=4, max_turn_tokens=64, max_context=1024)


def sections() -> Table:
    """Return the same environment as the sections of a run file."""
    return {
        "tools": {"zoom_in": ZOOM.model_dump(mode="json")},
        "environment": {
            "limits": LIMITS.model_dump(mode="json"),
            "view": VIEW.model_dump(mode="json"),
            "observation": OBSERVATION.model_dump(mode="json"),
        },
    }


def environment(zoom: Tool = ZOOM) -> Environment:
    """Make the environment; `zoom` may be another tool that looks the same to the model."""
    return Environment(DeepEyes(), [zoom], limits=LIMITS, view=VIEW, observation=OBSERVATION)
