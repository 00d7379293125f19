"""Names of embedded models in run files and options, turned into folders."""

from __future__ import annotations

from saccade.config import Table


def with_folders(table: Table) -> Table:
    """A copy in which `policy.path` and `model` name folders where they named embedded models."""
    from saccade.nano import resolve

    table = dict(table)
    policy = table.get("policy")
    if isinstance(policy, dict) and isinstance(policy.get("path"), str):
        table["policy"] = {**policy, "path": resolve(str(policy["path"]))}
    if isinstance(table.get("model"), str):
        table["model"] = resolve(str(table["model"]))
    return table


def is_embedded(path: object) -> bool:
    """Whether a model is one of the embedded ones."""
    from saccade.nano import MODELS, folder_of

    return any(str(path) in (name, str(folder_of(name))) for name in MODELS)
