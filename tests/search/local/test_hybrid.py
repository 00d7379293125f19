"""Words and meaning together."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from saccade.search.local.hybrid import Hybrid, fused
from saccade.search.local.text import Passage, TextIndex
from saccade.search.local.vectors import Place, VectorIndex

MEANINGS = {"car": 0, "automobile": 0, "vehicle": 0, "lamp": 1, "light": 1}


class Meanings:
    """A vector for each text by a list of synonyms."""

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        vectors = np.full((len(texts), 3), 0.01, dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.split():
                vectors[row, MEANINGS.get(word, 2)] += 1
        return vectors


@pytest.fixture
def hybrid(tmp_path: Path) -> Hybrid:
    texts = ["an automobile stands here", "the lamp is lit", "a red brick", "stone"]
    passages = [Passage(str(number), 0, "", text) for number, text in enumerate(texts)]
    words, vectors, embedder = TextIndex(), VectorIndex(tmp_path, "meanings"), Meanings()
    words.add(passages)
    words.commit()
    made = embedder(texts)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    vectors.add([Place(p.document, 0) for p in passages], made)
    vectors.commit()
    return Hybrid(words, vectors, embedder)


def test_a_score_is_the_sum_of_the_reciprocal_ranks() -> None:
    """Cormack, Clarke and Buettcher 2009: sum of 1 / (60 + rank)."""
    ranked = fused([["a", "b"], ["b", "c"]])
    assert [name for name, _ in ranked] == ["b", "a", "c"]
    assert dict(ranked) == pytest.approx({"b": 1 / 62 + 1 / 61, "a": 1 / 61, "c": 1 / 62})


def test_a_passage_without_a_word_of_the_question_is_found_by_its_meaning(hybrid: Hybrid) -> None:
    found = hybrid.search("vehicle", 1)
    assert [match.passage.text for match in found] == ["an automobile stands here"]


def test_a_passage_is_found_by_a_word_that_means_nothing(hybrid: Hybrid) -> None:
    assert hybrid.search("brick", 1)[0].passage.document == "2"


def test_matches_fall_and_are_no_more_than_are_wanted(hybrid: Hybrid) -> None:
    found = hybrid.search("lamp car", 3)
    assert len(found) == 3
    scores = [match.score for match in found]
    assert scores == sorted(scores, reverse=True)


def test_an_empty_question_finds_nothing(hybrid: Hybrid) -> None:
    assert hybrid.search("  ", 3) == []


def test_a_passage_that_only_the_vectors_have_is_left_out(tmp_path: Path) -> None:
    vectors = VectorIndex(tmp_path, "meanings")
    vectors.add([Place("gone", 0)], np.eye(3, dtype=np.float32)[:1])
    vectors.commit()
    assert Hybrid(TextIndex(), vectors, Meanings()).search("car", 3) == []


def test_the_passage_with_all_words_is_not_pushed_out_by_those_with_some(tmp_path: Path) -> None:
    """Many passages that have one word, and are near in meaning, are no match for all words."""
    texts = ["red brick wall"] + [f"red lamp number{n} light light" for n in range(30)]
    words, vectors, embedder = TextIndex(), VectorIndex(tmp_path, "meanings"), Meanings()
    words.add(Passage(str(n), 0, "", text) for n, text in enumerate(texts))
    words.commit()
    made = embedder(texts)
    vectors.add(
        [Place(str(n), 0) for n in range(len(texts))],
        made / np.linalg.norm(made, axis=1, keepdims=True),
    )
    vectors.commit()
    question = "red brick wall" + 5 * " light"  # what it means is a lamp
    assert words.search("red brick wall", 9, strictest=True)[0].passage.document == "0"
    assert (
        len(words.search("red brick wall", 9, strictest=True))
        == 1
        < len(words.search("red brick wall", 9))
    )
    found = Hybrid(words, vectors, embedder).search(question, 3)
    assert "0" in [match.passage.document for match in found]
