"""An index is embedded, and then found by meaning too."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from filelock import FileLock
from numpy.typing import NDArray

from saccade.errors import ConfigError, FormatError, StoreLocked
from saccade.search.found import Query
from saccade.search.local.build import build
from saccade.search.local.index import Index
from saccade.search.local.provider import Local, LocalOptions
from saccade.search.local.sentences import embed

MEANINGS = ("cat feline kitten", "bridge crossing viaduct", "bread loaf bakery")
ROWS = [
    {"id": "a", "title": "Pets", "text": "The kitten sleeps."},
    {"id": "b", "title": "Roads", "text": "A viaduct over the valley."},
    {"id": "c", "title": "Food", "text": "The bakery opens at six."},
]


class Meanings:
    """Vectors by a table of three meanings."""

    asked = 0

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        type(self).asked += len(texts)
        held = [[0.1 + sum(w in t.lower() for w in m.split()) for m in MEANINGS] for t in texts]
        return np.array(held, dtype=np.float32)


class OtherMeanings(Meanings):
    """Another embedder."""


@pytest.fixture(autouse=True)
def _embedders(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("meanings")
    module.Meanings, module.Other = Meanings, OtherMeanings  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "meanings", module)
    monkeypatch.setattr(Meanings, "asked", 0)


def index_of(rows: Sequence[dict[str, str]], folder: Path) -> Path:
    source = folder / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    build(source, folder / "index", prune=True)
    return folder / "index"


async def titles(index: Path, text: str, sentences: str | None = "meanings:Meanings") -> list[str]:
    options = LocalOptions.model_validate({"index": index, "sentences": sentences})
    provider = Local(options)
    try:
        results = await provider.search(Query("text", text=text, k=2))
    finally:
        await provider.close()
    return [hit.title for hit, _ in results.results]


async def test_what_is_meant_is_found_without_its_words(tmp_path: Path) -> None:
    index = index_of(ROWS, tmp_path)
    embed(index, "meanings:Meanings")
    assert await titles(index, "a feline", sentences=None) == []
    assert (await titles(index, "a feline"))[0] == "Pets"
    assert (await titles(index, "crossing"))[0] == "Roads"


async def test_only_what_is_new_is_embedded_and_what_is_gone_forgotten(tmp_path: Path) -> None:
    index = index_of(ROWS, tmp_path)
    assert embed(index, "meanings:Meanings").added == Meanings.asked == 3
    again = [ROWS[0], {**ROWS[1], "text": "A crossing."}, {"id": "d", "title": "E", "text": "Loaf"}]
    index_of(again, tmp_path)
    with pytest.raises(ConfigError, match="has changed since it was embedded; run `saccade index"):
        await titles(index, "a feline")
    made = embed(index, "meanings:Meanings", commit_every=1)
    assert (made.passages, made.added, made.removed) == (3, 2, 2)
    assert (await titles(index, "crossing"))[0] == "Roads"


async def test_an_embedding_that_was_ended_is_gone_on_with(tmp_path: Path) -> None:
    index = index_of(ROWS, tmp_path)

    def end(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed(index, "meanings:Meanings", commit_every=1, on_progress=end)
    with pytest.raises(ConfigError, match="not embedded"):
        await titles(index, "a feline")
    assert embed(index, "meanings:Meanings").added == 1
    assert Meanings.asked == 3


async def test_another_embedder_is_refused(tmp_path: Path) -> None:
    index = index_of(ROWS, tmp_path)
    embed(index, "meanings:Meanings")
    with pytest.raises(ConfigError, match="were embedded by meanings:Meanings"):
        await titles(index, "a feline", sentences="meanings:Other")
    with pytest.raises(ConfigError, match="made by meanings:Meanings"):
        embed(index, "meanings:Other")
    (index / "sentences.json").write_text("[]")
    with pytest.raises(FormatError, match="cannot be read"):
        await titles(index, "a feline")


def test_what_a_link_leads_to_is_left_alone(tmp_path: Path) -> None:
    index, others = index_of(ROWS, tmp_path), tmp_path / "others"
    others.mkdir()
    (others / "thesis.txt").write_text("mine")
    (index / "sentences").symlink_to(others)
    with pytest.raises(ConfigError, match="sentences is a link"):
        embed(index, "meanings:Meanings")
    assert [path.name for path in others.iterdir()] == ["thesis.txt"]


def test_two_do_not_embed_an_index_at_the_same_time(tmp_path: Path) -> None:
    index = index_of(ROWS, tmp_path)
    with FileLock(index / "lock"), pytest.raises(StoreLocked, match="another process"):
        embed(index, "meanings:Meanings")


def test_the_embedder_is_a_part_of_the_fingerprint(tmp_path: Path) -> None:
    index = index_of(ROWS, tmp_path)
    embed(index, "meanings:Meanings")
    words = Local(LocalOptions(index=index)).facts
    both = Local(LocalOptions.model_validate({"index": index, "sentences": "meanings:Meanings"}))
    assert both.facts == {**words, "sentences": "meanings:Meanings {}"}


def test_a_document_is_known_by_its_hash(tmp_path: Path) -> None:
    with Index.open(index_of(ROWS, tmp_path)) as index:
        found = {digest: title for digest, title, _ in index.contents()}
        assert sorted(found.values()) == ["Food", "Pets", "Roads"]
        assert {index.id_of(digest) for digest in found} == {"a", "b", "c"}
        assert index.id_of("00" * 32) is None
