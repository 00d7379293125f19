"""Libraries that cells can import: which are loaded beforehand, and which versions there are."""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import cache
from importlib import metadata

USUAL = (
    "math", "re", "json", "collections", "itertools", "functools", "statistics", "string",
    "textwrap", "copy", "datetime", "fractions", "decimal", "asyncio",
    "numpy", "PIL.Image", "PIL.ImageDraw", "PIL.ImageFont", "PIL.ImageFilter", "PIL.ImageOps",
    "PIL.ImageEnhance", "PIL.ImageChops", "PIL.ImageStat", "matplotlib.pyplot",
    "matplotlib.patches", "scipy.ndimage", "scipy.signal", "scipy.optimize", "scipy.spatial", "cv2",
)  # fmt: skip
"""Modules that are loaded once and shared by all sessions."""

LONG = (
    *USUAL,
    "skimage",
    "skimage.filters",
    "skimage.measure",
    "skimage.morphology",
    "pandas",
    "sympy",
)
"""The same with what else may be imported; every session then starts with it."""

PACKAGES = {
    "numpy": ("numpy",),
    "PIL": ("pillow",),
    "matplotlib": ("matplotlib",),
    "scipy": ("scipy",),
    "cv2": (
        "opencv-python-headless", "opencv-python", "opencv-contrib-python-headless",
        "opencv-contrib-python",
    ),
    "skimage": ("scikit-image",),
    "pandas": ("pandas",),
    "sympy": ("sympy",),
}  # fmt: skip
"""Libraries that a model may import -> the packages that install them."""


@cache
def installed() -> dict[str, str]:
    """Versions of Python and of the libraries that are installed here; none is imported for it."""
    versions = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for library, packages in PACKAGES.items():
        for package in packages:
            with suppress(metadata.PackageNotFoundError):
                versions[library] = metadata.version(package)
                break
    return versions
