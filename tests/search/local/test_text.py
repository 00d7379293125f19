"""What passages are found by, and in which order."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import saccade.search.local.text as text_module
from saccade.errors import FormatError
from saccade.search.local.text import Passage, TextIndex


def index_of(*texts: str, title: str = "", folder: Path | None = None) -> TextIndex:
    """Each text is the passage of a document of its own: "0", "1", ..."""
    index = TextIndex(folder)
    index.add(Passage(str(number), 0, title, text) for number, text in enumerate(texts))
    index.commit()
    return index


def documents(index: TextIndex, query: str, k: int = 5) -> Sequence[str]:
    return [match.passage.document for match in index.search(query, k)]


def test_a_passage_comes_back_as_it_was_added() -> None:
    passage = Passage(
        "lamp/1", 3, "Lamps \ud800", "The <b>keeper</b> lit\nit.", "https://a.example/?q=1"
    )
    index = TextIndex()
    index.add([passage])
    index.commit()
    (match,) = index.search("keeper", 5)
    assert match.passage == passage
    assert index.passage("lamp/1", 3) == passage
    assert index.passage("lamp/1", 0) is None


def test_all_words_beat_one_word_that_is_rare_and_often() -> None:
    """BM25 alone has it the other way round: the second passage is short and says it four times."""
    filler = "harbour keeper stores oil in the tower " * 6
    index = index_of(
        f"lighthouse {filler}", "lighthouse lighthouse lighthouse lighthouse", *["harbour"] * 20
    )
    first, second = index.search("lighthouse harbour", 2)
    assert (first.passage.document, second.passage.document) == ("0", "1")
    assert first.score > second.score


def test_passages_that_lack_a_word_follow_in_falling_order() -> None:
    index = index_of(
        "red", "red green", "red green blue", "green blue white", "red green blue white"
    )
    found = index.search("white blue green red", 5)
    order = [match.passage.document for match in found]
    assert order[0] == "4"
    assert set(order[1:3]) == {"2", "3"}
    assert len(order) == 5
    scores = [match.score for match in found]
    assert scores == sorted(scores, reverse=True)


def test_a_word_is_found_in_other_endings_case_and_accents() -> None:
    index = index_of("The cafés were opening", "nothing here")
    for query in ("cafe", "CAFÉS", "cafe\u0301", "opened", "\uff4f\uff50\uff45\uff4e"):
        assert documents(index, query) == ["0"], query


@pytest.mark.parametrize("query", ["readLine", "read line", "readline", "read_line"])
def test_a_name_is_found_whole_and_by_its_parts(query: str) -> None:
    texts = ["call readLine here", "other"]
    if query == "read_line":
        texts[0] = "call read_line here"
    assert documents(index_of(*texts), query) == ["0"]


def test_a_passage_with_the_name_itself_is_better_than_one_with_its_parts() -> None:
    index = index_of("read each line", "it has readLine now", "read the first line")
    assert documents(index, "readLine")[0] == "1"


@pytest.mark.parametrize("query", ["京都", "都", "東京都", "タワー"])
def test_scripts_without_spaces_are_found_by_any_part(query: str) -> None:
    assert documents(index_of("東京都タワー", "大阪"), query) == ["0"]


@pytest.mark.parametrize(
    "slip", ["ligthouse", "lighthose", "lighthoouse", "lighthousd", "kighthouse"]
)
def test_a_misspelt_word_finds_what_was_meant(slip: str) -> None:
    index = index_of("the lighthouse of the harbour", "the harbour", "houses")
    assert documents(index, f"{slip} harbour")[0] == "0"


def test_without_other_spellings_a_misspelt_word_finds_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(text_module, "MOST_RESPELT", 0)
    assert documents(index_of("the lighthouse", "the harbour"), "ligthouse") == []


def test_a_word_that_some_passage_has_keeps_its_spelling() -> None:
    index = index_of("the form of a thing", "messages come from home", *["from afar"] * 9)
    assert documents(index, "form") == ["0"]


PIECES = [
    *"\"'():[]{}^~*?\\/+-<>=!&|\x00,.;é京\ud83d",
    *(
        "AND",
        "OR",
        "NOT",
        "IN [",
        "title:",
        "words:",
        "[a TO b]",
        "^2",
        "~1",
        "+lamp",
        "/re/",
        "lamp",
    ),
]


@given(st.lists(st.sampled_from(PIECES), max_size=10), st.sampled_from(["", " "]))
@settings(max_examples=40, deadline=None)
def test_no_character_of_a_query_is_a_command(pieces: list[str], between: str) -> None:
    assert "0" in documents(LAMPS, f"lamp {between.join(pieces)}")


LAMPS = index_of("a lamp", "title and not to be or re")


def test_a_query_of_nothing_but_common_words_is_answered() -> None:
    assert documents(index_of("to be or not to be", "a lamp"), "to be or not to be") == ["0"]


def test_a_question_does_not_ask_for_its_own_function_words() -> None:
    index = index_of("what is the use of a permission", "permissions, files")
    assert documents(index, "what is the permission of a file")[0] == "1"


def test_a_long_query_is_searched_by_its_rarest_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_module, "MOST_WORDS", 2)
    index = index_of("harbour", "lamp oil", *["harbour tower sea"] * 5)
    assert documents(index, "harbour tower sea lamp oil", 1) == ["1"]
    assert len(documents(index, "harbour tower sea lamp oil", 9)) == 1


def test_a_query_is_read_up_to_a_limit() -> None:
    assert documents(index_of("lamp", "oil"), "lamp " + "x" * 3000 + " oil") == ["0"]


def test_what_is_not_committed_is_lost_and_nothing_else(tmp_path: Path) -> None:
    index = index_of("first", "second", folder=tmp_path)
    index.add([Passage("9", 0, "", "third")])
    index.remove("0")
    assert documents(index, "third") == []
    index.close()
    again = TextIndex(tmp_path)
    assert documents(again, "first second third") == documents(index, "first second third")
    assert set(documents(again, "first second third")) == {"0", "1"}


def test_a_document_is_removed_with_all_its_passages() -> None:
    index = TextIndex()
    index.add(Passage("a", number, "", "lamp") for number in range(3))
    index.add([Passage("b", 0, "", "lamp")])
    index.commit()
    index.remove("a")
    index.commit()
    assert documents(index, "lamp") == ["b"]


def test_an_index_of_another_version_is_refused(tmp_path: Path) -> None:
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_text_field("other", stored=True)
    writer = tantivy.Index(builder.build(), path=str(tmp_path)).writer(16 << 20, 1)
    writer.commit()
    with pytest.raises(FormatError, match="build it again"):
        TextIndex(tmp_path)


def test_several_threads_search_at_the_same_time() -> None:
    index = index_of("the lighthouse of the harbour", "readLine")
    found: list[Sequence[str]] = []

    def ask() -> None:
        found.extend(documents(index, "ligthouse harbour") for _ in range(20))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [["0"]] * 80
