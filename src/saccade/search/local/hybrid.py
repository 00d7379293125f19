"""Words and meaning together: full-text search and sentence embeddings, fused by rank."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from saccade.search.local.embed import TextEmbedder, embedded
from saccade.search.local.text import Match, TextIndex
from saccade.search.local.vectors import Near, Place

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DEPTH = 50
"""Passages of each search that are fused."""
SMOOTHING = 60
"""k of the paper; the authors fixed it in a pilot study and left it there."""

T = TypeVar("T", bound=Hashable)


def fused(rankings: Sequence[Sequence[T]]) -> list[tuple[T, float]]:
    """Rankings as one, the best first: what stands high in several of them is ahead.

    Source: Cormack, Clarke and Büttcher (2009), Reciprocal Rank Fusion outperforms Condorcet and
    individual Rank Learning Methods: the score is the sum of 1 / (60 + rank) over the rankings.
    Among equals the order of the first ranking decides, then that of the second.
    """
    scores: dict[T, float] = {}
    for ranking in rankings:
        for rank, each in enumerate(ranking, start=1):
            scores[each] = scores.get(each, 0.0) + 1 / (SMOOTHING + rank)
    return sorted(scores.items(), key=lambda pair: -pair[1])


class VectorSearch(Protocol):
    """What finds passages by their vectors; `VectorIndex` is one."""

    def search(self, vector: NDArray[np.float32], k: int) -> Sequence[Near]:
        """The nearest passages, the closest one first."""
        ...


class Hybrid:
    """Passages found by their words and by what they mean."""

    def __init__(
        self,
        texts: TextIndex,
        vectors: VectorSearch,
        embedder: TextEmbedder,
        where: str = "embedder",
    ) -> None:
        """Search in both.

        Args:
            texts: The passages.
            vectors: Their vectors, by the same embedder.
            embedder: For queries.
            where: The part that names the embedder, in messages.
        """
        self._texts, self._vectors = texts, vectors
        self._embedder, self._where = embedder, where

    def search(self, text: str, k: int) -> Sequence[Match]:
        """The best passages for a question, the best one first.

        Of the words the strictest search that finds something counts: the many passages that have
        some of them would else, where they are near in meaning too, stand before the one that has
        all.

        Raises:
            PluginError: the embedder fails.
        """
        depth = max(DEPTH, k)
        matches = self._texts.search(text, depth, strictest=True)
        passages = {Place(m.passage.document, m.passage.number): m.passage for m in matches}
        rankings = [list(passages)]
        if text.strip():
            (vector,) = embedded(self._embedder, [text], self._where)
            rankings.append([near.place for near in self._vectors.search(vector, depth)])
        found: list[Match] = []
        for place, score in fused(rankings):
            passage = passages.get(place) or self._texts.passage(*place)
            if passage is not None:
                found.append(Match(passage, score))
            if len(found) == k:
                break
        return found
