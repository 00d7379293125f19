"""Replies on disk, by the hash of their request."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path

from pydantic import ValidationError

from saccade.client.reply import Reply
from saccade.files import MAX_KEPT_BYTES, read_whole

_log = logging.getLogger(__name__)


def kept(folder: Path | None, key: str) -> Reply | None:
    """The reply that was kept under a key; a damaged one counts as none."""
    if folder is None:
        return None
    try:
        return Reply.model_validate_json(read_whole(folder / f"{key}.json", most=MAX_KEPT_BYTES))
    except (OSError, ValidationError):
        return None  # it is asked again and replaced


def keep(folder: Path | None, key: str, reply: Reply) -> None:
    """Keep a reply, whole or not at all."""
    if folder is None:
        return
    file = folder / f"{key}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=folder, suffix=".part", delete=False
        ) as part:
            part.write(reply.model_dump_json())
        os.replace(part.name, file)
    except OSError as error:  # the reply is paid for: a full disk must not lose it
        _log.warning("%s: the reply is not cached: %s", file, error)
