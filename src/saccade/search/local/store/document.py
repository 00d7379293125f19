"""What an index holds of a document, and the hash of it."""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple

MODULUS = 2**256
"""Hashes of documents are added up in it: their sum is the same in whatever order they came."""


class Document(NamedTuple):
    """A whole document."""

    id: str
    title: str
    url: str
    text: str


class Picture(NamedTuple):
    """What an index holds of a picture; its id is that of its document."""

    digest: str
    """SHA-256 of its file."""
    phash: bytes
    """64 bits."""
    pdq: bytes
    """256 bits; empty where the index has none."""
    width: int
    height: int
    thumbnail: bytes
    """JPEG."""


def digest_of(document: Document, picture: str) -> bytes:
    """The hash of a document: other content has another one.

    Args:
        document: The document.
        picture: SHA-256 of the file of its picture; empty where it has none.
    """
    return hashlib.sha256(json.dumps([*document, picture]).encode()).digest()


def added(total: str, *digests: bytes, sign: int = 1) -> str:
    """A sum of hashes with some more, or without some."""
    number = int(total, 16) + sign * sum(int.from_bytes(digest) for digest in digests)
    return f"{number % MODULUS:064x}"
