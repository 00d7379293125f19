"""Short answers: the rule decides what is sure, and nothing else."""

import pytest

from saccade.bench.scorers.short_answers import (
    alternatives,
    best_f1,
    is_attempted,
    judged,
    matches,
    reference,
    refuses,
)


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("Order of Hospitallers", "the Order of Hospitallers."),
        ("St. John", "St John"),
        ("1,000", "1000"),
        ("10", "10.0"),
        ("Knights' Hall", "Knights\u2019 Hall"),
        ("co-op", "Co op"),
        ("A", "a"),
        ("\u8d1d\u62c9\u514b", "\u8d1d\u62c9\u514b\u3002"),
        ("Buenos Aires (Argentina)", "Buenos Aires, Argentina"),
    ],
)
def test_a_gold_answer_in_another_writing_is_right(gold: str, answer: str) -> None:
    assert judged([gold], answer).correct is True


@pytest.mark.parametrize(
    ("gold", "answer"),
    [("3.5", "35"), ("-5", "5"), ("A", "the"), ("C++", "C"), ("5%", "5"), ("5'10", "510"),
     ("vitamin A", "vitamin"), ("...", "!")],
)  # fmt: skip
def test_texts_that_mmsearch_r1_and_infoseek_take_for_the_same_are_not(
    gold: str, answer: str
) -> None:
    assert upstream(gold) == upstream(answer), "they drop all punctuation and articles"
    assert judged([gold], answer).correct is None


def upstream(text: str) -> str:
    """em_check of MMSearch-R1 and exact_match_score of InfoSeek, restated."""
    bare = "".join(c for c in text.lower() if c not in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
    return " ".join(word for word in bare.split() if word not in ("a", "an", "the"))


def test_any_of_several_gold_answers_is_right() -> None:
    golds = ["Spain", "Kingdom of Spain", "\U0001f1ea\U0001f1f8"]
    assert all(matches(golds, gold.upper()) for gold in golds)
    assert judged(golds, "It is Spain").correct is None


def test_alternatives_are_each_part_and_the_whole() -> None:
    assert alternatives("2012 or 2013") == ("2012 or 2013", "2012", "2013")
    assert alternatives("black or white")[0] == "black or white"
    assert alternatives("Oregon") == ("Oregon",)


def test_a_model_that_judges_is_shown_the_first_answers() -> None:
    assert reference(["Spain", "ESP"]) == "Spain or ESP"
    many = reference([f"name {number}" for number in range(500)])
    assert many.startswith("name 0 or name 1 or ")
    assert len(many) <= 600


@pytest.mark.parametrize(
    "reply",
    ["I don't know.", "I cannot identify the person in the image.", "N/A", "Unknown",
     "Sorry, I'm not sure.", "Unable to determine.", "It cannot be determined from the image.",
     "I'm unable to tell. Please provide more context.", "\u6211\u4e0d\u77e5\u9053\u3002",
     "\u62b1\u6b49\uff0c\u6211\u65e0\u6cd5\u8bc6\u522b\u56fe\u4e2d\u7684\u4eba\u7269\u3002",
     "", "  "],
)  # fmt: skip
def test_a_reply_that_only_says_that_it_cannot_tell_is_not_attempted(reply: str) -> None:
    verdict = judged(["Paris"], reply)
    assert verdict.correct is False
    assert verdict.reason.startswith("not attempted")
    assert not is_attempted(["Paris"], reply)


@pytest.mark.parametrize(
    "reply",
    ["I don't know, but it may be Paris", "I don't know, Paris", "Unknown Pleasures", "None", "No",
     "I cannot tell. It is probably Paris.", "I cannot tell. Lyon", "0",
     "\u6211\u65e0\u6cd5\u786e\u5b9a\uff0c\u53ef\u80fd\u662f\u5df4\u9ece"],
)  # fmt: skip
def test_a_reply_that_goes_on_is_left_to_a_judge(reply: str) -> None:
    assert not refuses(reply)
    assert judged(["Paris"], reply).correct is None


def test_where_the_gold_answer_is_that_nothing_is_known_a_refusal_is_an_answer() -> None:
    assert judged(["Unknown"], "unknown").correct is True
    assert judged(["Unknown"], "I don't know").correct is None


def test_f1_counts_words_and_takes_the_best_gold_answer() -> None:
    assert best_f1(["Order of Hospitallers"], "the Hospitallers") == pytest.approx(0.5)
    assert best_f1(["x y z", "Hospitallers"], "the Hospitallers") == 1
    assert best_f1(["dog dog cat"], "dog") == pytest.approx(2 / 4)
    assert best_f1(["Paris"], "") == 0


def test_f1_of_texts_without_words_is_not_1_as_in_mmsearch() -> None:
    assert upstream("A").split() == upstream("the").split() == []
    assert best_f1(["A"], "the") == 0
    assert best_f1(["A"], "a") == 1


def test_long_texts_cost_no_more_than_their_length() -> None:
    assert not matches(["x"], "i cannot " * 100_000)
    assert not refuses("i cannot tell " * 100_000)
