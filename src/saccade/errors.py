"""Everything that Saccade raises, in one tree.

    SaccadeError
    ├── ConfigError (ValueError)          a run file, an option or a command line that cannot work
    │   └── MissingExtra (ImportError)    an optional dependency; the message holds the pip line
    ├── ImageError (ValueError)           bytes that are no usable image, or too large a one
    │   └── BoxError                      a box that selects nothing on an image
    ├── FormatError (ValueError)          a data file: which file, which row, what was expected
    ├── RenderError (ValueError)          tokens, images and features that do not fit together
    ├── StoreError (OSError)              a run folder that cannot be read or written
    │   └── StoreLocked                   another process writes to this run folder
    ├── TrainingError (RuntimeError)      a training that did not reach what it must reach
    ├── PluginError (RuntimeError)        a part that a run file names raised what it should not
    ├── ToolError (ValueError)            what the *model* did wrong: becomes an observation
    ├── ContextOverflow (ValueError)      the next turn does not fit into the model's context
    └── ServiceError (ConnectionError)    what *we* did wrong: a server, judge or sandbox failed
        ├── ServiceTimeout (TimeoutError)
        ├── ServiceRefused                the same request would be refused again: no retry
        └── BudgetExceeded                the next request would cost more than was allowed

A message reads *where: what was expected, what came; how to fix it*.
"""

from __future__ import annotations

EXTRA_OF = {
    "accelerate": "train",
    "datasets": "train",
    "imagehash": "search",
    "inspect_ai": "inspect",
    "matplotlib": "plots",
    "latex2sympy2_extended": "math",
    "math_verify": "math",
    "sympy": "math",
    "onnxruntime": "ocr",
    "openpyxl": "data",
    "pandas": "data",
    "peft": "train",
    "pyarrow": "data",
    "pyseccomp": "sandbox",
    "rapidfuzz": "ocr",
    "rapidocr": "ocr",
    "safetensors": "local",
    "scipy": "robust",
    "sklearn": "robust",
    "starlette": "serve",
    "tantivy": "search",
    "torch": "local",
    "transformers": "local",
    "trl": "train",
    "uvicorn": "serve",
}
"""Module that Saccade imports and the base installation lacks -> the smallest extra that holds it.
"""

PACKAGES = {
    "inspect_ai": "inspect-ai",
    "math_verify": "math-verify",
    "sklearn": "scikit-learn",
}
"""Module -> the package that it comes in, where that has another name."""

DISTRIBUTION = "saccade-vlm"
"""The name on the package index, where `saccade` is another project."""


def install_line(extra: str) -> str:
    """The command that installs an optional part of Saccade."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


class SaccadeError(Exception):
    """The root: `except SaccadeError` catches whatever Saccade raises on purpose."""


class ConfigError(SaccadeError, ValueError):
    """A run file, an option or a command line that cannot work."""


class MissingExtra(ConfigError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is not installed; this needs the extra '{extra}': {install_line(extra)}"
        )

    @classmethod
    def of(cls, module: str | None, extra: str | None = None) -> MissingExtra | None:
        """The error for a module that cannot be imported; None if no extra holds it.

        Args:
            module: Its dotted name, `ModuleNotFoundError.name`.
            extra: The extra that the caller needs as a whole; left out, the smallest with it.
        """
        root = (module or "").partition(".")[0]
        if root not in EXTRA_OF:
            return None
        return cls(PACKAGES.get(root, root), extra or EXTRA_OF[root])


class ImageError(SaccadeError, ValueError):
    """Bytes that are no usable image, or an image over the pixel limit."""


class BoxError(ImageError):
    """A box that selects nothing on the image that it is meant for."""


class FormatError(SaccadeError, ValueError):
    """A data file that does not hold what its format says."""


class RenderError(SaccadeError, ValueError):
    """Tokens, images and features that do not fit together."""


class StoreError(SaccadeError, OSError):
    """A run folder that cannot be read or written."""


class StoreLocked(StoreError):
    """Another process has this run folder open for writing."""


class TrainingError(SaccadeError, RuntimeError):
    """A training that did not reach what it must reach."""


class PluginError(SaccadeError, RuntimeError):
    """A part that a run file names, such as a reward term, raised what it should not."""


class ToolError(SaccadeError, ValueError):
    """What the model did wrong; its text is shown to the model as the observation."""


class ContextOverflow(SaccadeError, ValueError):
    """The prompt of the next turn leaves no room in the model's context."""


class ServiceError(SaccadeError, ConnectionError):
    """A policy server, judge, search provider or sandbox failed: the episode is aborted."""


class ServiceTimeout(ServiceError, TimeoutError):
    """A service did not answer within its limit."""


class ServiceRefused(ServiceError):
    """A service refuses a request, and would refuse it again: nothing is tried once more."""


class BudgetExceeded(ServiceError):
    """The next request would cost more than the configured budget."""


def require(*modules: str, extra: str | None = None) -> None:
    """Find out, without importing anything, whether modules of an extra are installed.

    Args:
        modules: Keys of `EXTRA_OF`.
        extra: The extra that the caller needs as a whole; left out, the smallest with the module.

    Raises:
        MissingExtra: the first of them that is not installed.
    """
    from importlib.util import find_spec  # commands that need no extra start without it

    for module in modules:
        if find_spec(module) is None:
            raise MissingExtra(PACKAGES.get(module, module), extra or EXTRA_OF[module])
