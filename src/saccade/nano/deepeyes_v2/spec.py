"""The environment of the second base: looks, text search and Python in one loop."""

from __future__ import annotations

from collections.abc import Collection

from saccade.config import Part, Table
from saccade.dialects.deepeyes_v2 import DeepEyesV2
from saccade.env import Environment
from saccade.images.geometry import PixelBudget
from saccade.nano.spec import VIEW
from saccade.sandbox.inside.plan import Limits as CellLimits
from saccade.sandbox.options import SandboxOptions
from saccade.tools.python import Python, PythonOptions
from saccade.tools.search.image import NAME as IMAGE_SEARCH
from saccade.tools.search.image import ImageSearch, ImageSearchOptions
from saccade.tools.search.text import TextSearch, TextSearchOptions
from saccade.tools.zoom import ZoomIn
from saccade.types import Limits, Tool

CROP_SIDE = 42
"""Side at which a crop is shown, in pixels: two digits side by side must be read in it."""

OBSERVATION = PixelBudget(factor=14, min_pixels=1300, max_pixels=2300)
"""Bounds with slack about 42x42."""

MIN_BOX = 38
"""Least side, in pixels of the scene, of the square that a box is grown to: a plate that is too
small to be read stays whole where the box is off by half a pixel of the view."""

SEARCH = "search"
"""What models of DeepEyesV2 know text search as."""
RESULTS = 3
"""Number of documents that a search shows."""

ZOOM = ZoomIn(square=True, small="enlarge", min_side=MIN_BOX - 1)
LIMITS = Limits(max_turns=7, max_turn_tokens=96, max_context=1024)
SEARCH_OPTIONS = TextSearchOptions(
    name=SEARCH, k=RESULTS, provider=Part(kind="saccade.world.library:Library")
)
IMAGE_SEARCH_OPTIONS = ImageSearchOptions(provider=SEARCH_OPTIONS.provider)
PYTHON_OPTIONS = PythonOptions(libraries=(), sandbox=SandboxOptions(limits=CellLimits(seconds=10)))


def sections(searches: Collection[str] = ("text",)) -> Table:
    """Return the environment as the sections of a run file, with `searches` by text, image, both.

    Tools are in the order that the models were trained with.
    """
    offered: Table = {"zoom_in": ZOOM.model_dump(mode="json")}
    if "text" in searches:
        offered["text_search"] = SEARCH_OPTIONS.model_dump(mode="json", exclude_defaults=True)
    offered["python"] = {"libraries": [], "sandbox": {"limits": {"seconds": 10}}}
    if "image" in searches:
        offered[IMAGE_SEARCH] = IMAGE_SEARCH_OPTIONS.model_dump(mode="json", exclude_defaults=True)
    return {
        "dialect": {"kind": "deepeyes_v2"},
        "tools": offered,
        "environment": {
            "limits": LIMITS.model_dump(mode="json"),
            "view": VIEW.model_dump(mode="json"),
            "observation": OBSERVATION.model_dump(mode="json"),
        },
    }


def tools() -> list[Tool]:
    """Make the tools of the environment: a look, a search, a cell of Python."""
    return [ZOOM, TextSearch(SEARCH_OPTIONS), Python(PYTHON_OPTIONS)]


def image_search() -> Tool:
    """Make the tool that some environments of this world offer beside those."""
    return ImageSearch(IMAGE_SEARCH_OPTIONS)


def environment() -> Environment:
    """Make the environment."""
    return Environment(DeepEyesV2(), tools(), limits=LIMITS, view=VIEW, observation=OBSERVATION)
