"""Texts that are almost the same are found; texts that ask something else are not."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.data.similar.texts import MAX_CHARS, TextIndex, jaccard, sketch_text

LONG = " ".join(f"word{n}" for n in range(70))


def runs_in_common(one: str, other: str) -> float:
    """The Jaccard index of the runs of three words, by the definition; the ends count as words."""
    a, b = (["", "", *text.split(), "", ""] for text in (one, other))
    runs = [{tuple(words[k : k + 3]) for k in range(len(words) - 2)} for words in (a, b)]
    return len(runs[0] & runs[1]) / len(runs[0] | runs[1])


@pytest.mark.parametrize(
    "other",
    ["what is on the sign", "What  is\non the sign?!", "WHAT IS ON THE SIGN",
     "\u201cWhat is on the sign?\u201d", "\uff37hat is on the sign\uff1f"],
)  # fmt: skip
def test_case_punctuation_and_compatible_characters_do_not_count(other: str) -> None:
    assert sketch_text("What is on the sign?").digest == sketch_text(other).digest


@pytest.mark.parametrize(
    ("one", "other"),
    [("7 + 4", "7 - 4"), ("x - 3", "x 3"), ("x - y", "x y"), ("x-3", "x 3"), ("3 < 4", "3 > 4"),
     ("-5", "5"),     ("\u221a2", "2"), ("5 %", "5"), ("\u306f\u3044", "\u306f\u306a"),
     ("the red object", "the blue object")],
)  # fmt: skip
def test_signs_of_arithmetic_and_every_word_count(one: str, other: str) -> None:
    assert sketch_text(one).digest != sketch_text(other).digest
    index = TextIndex()
    index.add(sketch_text(one))
    assert index.nearest(sketch_text(other), least=0.9) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [("a well-known sign", "a well known sign"), ("the cup - the red -", "the cup, the red"),
     ("- left\n- right", "left right")],
)  # fmt: skip
def test_a_hyphen_between_words_and_a_dash_are_no_minus(one: str, other: str) -> None:
    assert sketch_text(one).digest == sketch_text(other).digest


@pytest.mark.parametrize("at", [0, 10, 28, 29])
def test_a_changed_word_makes_another_question_of_thirty_words_wherever_it_stands(at: int) -> None:
    words = LONG.split()[:30]
    index = TextIndex()
    index.add(sketch_text(" ".join(words)))
    words[at] = "other"
    assert index.nearest(sketch_text(" ".join(words)), least=0.9) is None


def test_the_index_of_two_texts_is_that_of_their_runs_of_three_words() -> None:
    words = LONG.split()
    for change in (0, 30, 69):
        other = " ".join([*words[:change], "typo", *words[change + 1 :]])
        expected = runs_in_common(LONG, other)
        assert jaccard(sketch_text(LONG), sketch_text(other)) == pytest.approx(expected)


def test_a_changed_word_is_seen_through_in_a_long_text_alone() -> None:
    index = TextIndex()
    for n in range(50):
        index.add(sketch_text(" ".join(f"other{n}x{k}" for k in range(70))))
    place = index.add(sketch_text(LONG))
    near = index.nearest(sketch_text(LONG.replace("word30", "worrd30")), least=0.9)
    assert near is not None
    assert near.place == place
    assert 0.9 <= near.jaccard < 1
    short = LONG[: LONG.index("word50")]
    index.add(sketch_text(short))
    assert index.nearest(sketch_text(short.replace("word30", "worrd30")), least=0.9) is None


def test_near_texts_are_missed_no_more_often_than_the_bands_say() -> None:
    """16 bands of 6 rows find a text at 0.8 but for (1 - 0.8**6)**16 = 0.8 %; 4 % are let pass."""
    rng = random.Random(0)
    index, wanted = TextIndex(), {}
    for _ in range(200):
        words = [f"w{rng.randrange(10**6)}" for _ in range(60)]
        place = index.add(sketch_text(" ".join(words)))
        for at in (15, 45):  # two changed words in 58 runs: 52 of 64 in common
            words[at] = f"x{rng.randrange(10**6)}"
        wanted[place] = " ".join(words)
    found = [index.nearest(sketch_text(text), least=0.8) for text in wanted.values()]
    right = sum(near is not None and near.place == place
                for near, place in zip(found, wanted, strict=True))  # fmt: skip
    assert right >= 192


def test_of_equal_texts_the_first_is_found() -> None:
    index = TextIndex()
    places = [index.add(sketch_text(text)) for text in ("a b c", "A b c", "d e f")]
    near = index.nearest(sketch_text("a b, c"), least=1.0)
    assert near is not None
    assert (near.place, near.jaccard) == (places[0], 1.0)


def test_a_text_without_words_says_so_and_a_huge_one_is_the_same_only_as_itself() -> None:
    assert sketch_text("?! ...").is_empty
    assert not sketch_text("a").is_empty
    huge = "ab " * (MAX_CHARS // 3 + 1)
    one, other = sketch_text(huge), sketch_text(huge + "x")
    assert one.runs is None
    assert (jaccard(one, one), jaccard(one, other)) == (1.0, 0.0)


@settings(max_examples=40)
@given(st.text(max_size=60), st.text(max_size=60))
def test_the_index_is_a_share_and_the_same_both_ways(one: str, other: str) -> None:
    a, b = sketch_text(one), sketch_text(other)
    assert 0 <= jaccard(a, b) == jaccard(b, a) <= 1
    assert jaccard(a, a) == 1
    assert (a.digest == b.digest) <= (jaccard(a, b) == 1)
