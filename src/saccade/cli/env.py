"""`saccade env`: what a bug report has to say of an installation and its machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saccade.cli.common.options import Json
from saccade.cli.common.say import say, say_json

if TYPE_CHECKING:
    from pydantic import JsonValue

BASE = ("filelock", "httpx", "numpy", "pillow", "pydantic", "rich", "typer")
"""The packages that every installation has."""
EXTRAS = {
    "local": ("torch", "transformers", "safetensors"),
    "data": ("pyarrow", "openpyxl", "pandas"),
    "math": ("math-verify", "latex2sympy2_extended", "sympy"),
    "train": ("torch", "transformers", "safetensors", "trl", "accelerate", "peft", "datasets"),
    "plots": ("matplotlib",),
    "sandbox": (
        "matplotlib", "opencv-python-headless", "pandas", "pyseccomp", "scikit-image", "scipy",
        "sympy",
    ),
    "search": ("tantivy", "imagehash"),
    "serve": ("starlette", "uvicorn"),
    "ocr": ("rapidocr", "onnxruntime", "rapidfuzz"),
    "robust": ("torch", "scikit-learn", "scipy", "matplotlib"),
    "inspect": ("inspect-ai",),
}  # fmt: skip
"""Extra -> its packages; those of pyproject.toml, which an installed package does not have."""


def env(as_json: Json = False) -> None:
    """Describe this installation and machine, for bug reports.

    It names no file, host, or value of an environment variable.
    """
    found: dict[str, dict[str, JsonValue] | list[JsonValue]] = {
        "saccade": _saccade(),
        "machine": _machine(),
        "devices": _devices(),
        "base": {name: _version(name) for name in BASE},
        "extras": {name: _extra(name) for name in EXTRAS},
        "sandbox": _sandbox(),
        "variables": _variables(),
    }
    if as_json:
        say_json(found, indent=2)
        return
    for title, content in found.items():
        for line in _lines(content) or ["none"]:
            say(f"{title:<10}", bold=True, end=" ")
            say(line)
            title = ""


def _saccade() -> dict[str, JsonValue]:
    from saccade import __version__
    from saccade.errors import DISTRIBUTION
    from saccade.runs.manifest import checkout

    commit, changed = checkout()
    return {
        "version": __version__,
        DISTRIBUTION: _version(DISTRIBUTION) or "not installed; run from its sources",
        "commit": commit and commit[:12] + (", with changes" if changed else ""),
    }


def _machine() -> dict[str, JsonValue]:
    import os
    import platform

    try:
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
        memory = f"{pages * size / 2**30:.1f} GiB"
    except (AttributeError, OSError, ValueError):  # Windows has none of it, macOS not all
        memory = None
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "threads": os.cpu_count(),
        "memory": memory,
    }


def _devices() -> list[JsonValue]:
    try:
        from saccade.models.devices import devices
    except (ImportError, OSError) as error:  # OSError: a library of torch that cannot be loaded
        # The message may hold a path of this machine.
        module = getattr(error, "name", None)
        return [f"unknown: {type(error).__name__}{f' of {module}' if module else ''}"]
    return list(devices())


def _extra(name: str) -> dict[str, JsonValue]:
    from saccade.errors import install_line

    versions: dict[str, JsonValue] = {package: _version(package) for package in EXTRAS[name]}
    return versions if all(versions.values()) else {**versions, "install": install_line(name)}


def _sandbox() -> dict[str, JsonValue]:
    """Each mode of isolation, and whether it works here; trying takes a second."""
    import importlib.util
    import sys

    if sys.platform != "linux":
        return {"modes": "none: it needs Linux"}
    if importlib.util.find_spec("pyseccomp") is None:
        return {"modes": "unknown without the extra 'sandbox'"}
    from saccade.sandbox.modes import tried
    from saccade.sandbox.options import SandboxOptions

    return dict(tried(SandboxOptions()))


def _variables() -> list[JsonValue]:
    import os

    from saccade.cli.reference.variables import OF_LIBRARIES, OWN

    return [f"{name} is set" for name in (*OWN, *OF_LIBRARIES) if name in os.environ]


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _lines(content: dict[str, JsonValue] | list[JsonValue]) -> list[str]:
    """A line for each item; an extra's packages in one, the missing ones with their cure."""
    if isinstance(content, list):
        return [str(item) for item in content]
    lines = []
    for name, item in content.items():
        if isinstance(item, dict):
            install = item.get("install")
            packages = {k: v for k, v in item.items() if k != "install"}
            item = ", ".join(f"{k} {v}" for k, v in packages.items() if v)
            if install:
                missing = ", ".join(k for k, v in packages.items() if not v)
                item = f"{item + '; ' if item else ''}missing {missing}: {install}"
        lines.append(f"{name:<12} {'unknown' if item is None else item}")
    return lines
