"""How actions and observations are written: `deepeyes`, `deepeyes_v2`, `plain`, `native`.

`direct` and `cot` have no tools: they are the baselines of a benchmark.
"""

from __future__ import annotations

from typing import cast

from saccade.config import resolve
from saccade.dialects.base import Dialect

BUILT_IN = {
    "deepeyes": "saccade.dialects.deepeyes:DeepEyes",
    "deepeyes_v2": "saccade.dialects.deepeyes_v2:DeepEyesV2",
    "plain": "saccade.dialects.plain:Plain",
    "native": "saccade.dialects.native:Native",
    "direct": "saccade.dialects.one_turn:Direct",
    "cot": "saccade.dialects.one_turn:ChainOfThought",
}
"""Names for run files; your own dialect goes there as "package.module:Class"."""

RELEASED = ("deepeyes", "deepeyesv2")
"""Checkpoints that were trained with a published prompt, as they appear in model names."""


def built_in(name: str) -> Dialect | None:
    """The built-in dialect that records name so, with prompts of its own; None for a user's."""
    if name not in BUILT_IN:
        return None
    return cast(Dialect, cast(type, resolve(name, BUILT_IN, "dialect"))())


def prompt_warning(model: str, dialect: Dialect) -> str | None:
    """A warning if a released checkpoint would get a prompt that it was not trained with."""
    name = model.lower().replace("-", "").replace("_", "")
    published = dialect.prompts != dialect.default_prompts
    if published or not any(released in name for released in RELEASED):
        return None
    return (
        f"{model} was trained with the published DeepEyes prompt, and this is ours: take the "
        "published one from a row of its data with dialect.prompts=FILE"
    )
