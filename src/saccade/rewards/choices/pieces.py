"""An answer as pieces: which options are named where, and what the words beside them do."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

from saccade.rewards.choices.tokens import PUNCTUATION, Form, Token, tokens
from saccade.rewards.choices.words import ALSO, COPULAS, LABELS, NOUNS, VOCABULARY, Kind
from saccade.types import OPTION_LETTERS

BEYOND = -1
"""The place of an option that the question does not have: E of four."""

_AFTER_A_LETTER = frozenset((".", ")", "]", ":", "-", "\u2013", "("))
"""What stands between the letter of an option and its text."""
_LABEL = re.compile(r"\s*\(?([A-Z])([.):])\s*(?=\w|[-$\\(])")
_EDGES = " .,;:()[]*\"'"
_ARTICLES = ("a", "an", "the")
_WORDS_OF_ONE_LETTER = "aeiouy"
_JOINS = (Kind.OR, Kind.NOT, Kind.IS_NOT, Kind.BUT, Kind.SOFT)
_PUNCTUATION_KINDS = {Form.HARD: Kind.HARD, Form.SOFT: Kind.SOFT}


class Piece(NamedTuple):
    """One or more tokens and what they do."""

    kind: Kind
    options: frozenset[int] = frozenset()
    """The places of the options that it may name; more than one if it is ambiguous."""
    also: frozenset[int] = frozenset()
    """Further options that it may name, though what was asked for speaks against them: of A and B,
    in this order the texts of the options B and A, a letter is asked for."""
    token: Token = Token(Form.SYMBOL, "")
    """The first of the tokens."""


class Trie:
    """Sequences of tokens with what each stands for; finds the longest that begins at a place."""

    def __init__(self) -> None:
        self._next: dict[str, Trie] = {}
        self.options: frozenset[int] = frozenset()
        self.kind: Kind | None = None

    def at(self, key: Sequence[str]) -> Trie:
        """The node of a sequence, which is made if it is new."""
        node = self
        for text in key:
            node = node._next.setdefault(text, Trie())
        return node

    def longest(self, found: Sequence[Token], start: int, stop: int) -> tuple[int, Trie]:
        """The length of the longest sequence from `start` up to `stop`, and its node; 0 if none."""
        node, best = self, (0, self)
        for at in range(start, stop):
            step = node._next.get(found[at].text)
            if step is None:
                break
            node = step
            if node.options or node.kind:
                best = (at + 1 - start, node)
        return best


class _Found(NamedTuple):
    """What begins at a place: an option, a phrase of the vocabulary, or both."""

    length: int
    options: frozenset[int]
    kind: Kind | None


@lru_cache(maxsize=4096)
def key(text: str) -> tuple[str, ...]:
    """How an option is looked for: its tokens, outer punctuation and a first article aside."""
    found = tokens(text)
    while found and found[-1].form in PUNCTUATION:
        found.pop()
    while found and found[0].form in PUNCTUATION:
        found.pop(0)
    if len(found) > 1 and found[0].text in _ARTICLES:
        found.pop(0)
    return tuple(token.text for token in found)


def pieces(answer: str, choices: Sequence[str], question: str = "") -> list[Piece]:
    """What an answer consists of."""
    reader = _Reader(_options(tuple(choices)), tuple(choices), _asked(question))
    return list(reader.pieces(tokens(answer)))


@cache
def _vocabulary() -> Trie:
    trie = Trie()
    for phrase, kind in VOCABULARY.items():
        trie.at([token.text for token in tokens(phrase)]).kind = kind
    return trie


@lru_cache(maxsize=256)
def _options(choices: tuple[str, ...]) -> Trie:
    trie = Trie()
    for place, choice in enumerate(choices):
        texts = key(choice)
        for words in (texts, *((word,) for word in ALSO.get(" ".join(texts), ()))):
            if words:
                trie.at(words).options |= {place}
    return trie


@lru_cache(maxsize=256)
def _letters_as_texts(choices: tuple[str, ...]) -> dict[str, frozenset[int]]:
    """The options that consist of one letter, by that letter as it is written."""
    found: dict[str, frozenset[int]] = {}
    for place, choice in enumerate(choices):
        if len(letter := choice.strip(_EDGES)) == 1 and letter.isalpha():
            found[letter] = found.get(letter, frozenset()) | {place}
    return found


@lru_cache(maxsize=256)
def _labels(choices: tuple[str, ...]) -> dict[str, frozenset[int]]:
    """The letters that options bring along and that are not theirs: "B) 5" as the first one.

    "B. Obama" has an initial, unless the options together have the letters of all.
    """
    found = [_LABEL.match(choice) for choice in choices]
    firm = sorted(m[1] for m in found if m) == list(OPTION_LETTERS[: len(choices)])
    return {
        match[1]: frozenset((place,))
        for place, match in enumerate(found)
        if match and match[1] != OPTION_LETTERS[place] and (firm or match[2] == ")")
    }


@lru_cache(maxsize=256)
def _asked(question: str) -> frozenset[str]:
    return frozenset(token.text for token in tokens(question) if token.form is Form.WORD)


class _Reader:
    """The options and words that can be recognised."""

    def __init__(self, options: Trie, choices: tuple[str, ...], asked: frozenset[str]) -> None:
        self._options, self._n, self._asked = options, len(choices), asked
        self._words = _vocabulary()
        self._texts = _letters_as_texts(choices)
        self._labels = _labels(choices)

    def pieces(self, found: Sequence[Token]) -> Iterator[Piece]:
        at = 0
        while at < len(found):
            length, piece = self._piece(found, at)
            if piece.kind is Kind.UNKNOWN and self._run(piece.token):
                for letter in piece.token.text:
                    options = frozenset((OPTION_LETTERS.index(letter.upper()),))
                    yield Piece(Kind.OPTION, options, token=piece.token)
            else:
                yield piece
            at += length

    def _run(self, token: Token) -> bool:
        """Whether a word is letters of options in their order: AB, ACD."""
        letters = OPTION_LETTERS[: self._n].lower()
        return token.upper and token.text == "".join(c for c in letters if c in token.text)

    def _piece(self, found: Sequence[Token], at: int) -> tuple[int, Piece]:
        token = found[at]
        if token.form is Form.BOX:
            first = at == 0 or found[at - 1].text == "\n" or token.text.startswith("<")
            return 1, Piece(Kind.CUE if first else Kind.NEUTRAL, token=token)
        here = self._longest(found, at)
        if self._texts and token.form is Form.LETTER and here.length < 2:
            length, named = self._with_its_text(found, at)
            if length:
                return length, Piece(Kind.OPTION, named, token=token)
        if here.options and self._names(found, at, here):
            options, also = here.options, frozenset[int]()
            if here.length == 1 and token.form is Form.LETTER and self._place(token) < self._n:
                options, also = self._letter_or_text(found, at, options)
            return here.length, Piece(Kind.OPTION, options, also, token)
        if here.length < 2 and token.form is Form.LETTER and (named := self._letter(found, at)):
            return 1, Piece(Kind.OPTION, named, token=token)
        if here.kind is not None:
            kind = self._known(here, found[at : at + here.length])
            if here.options and kind not in (Kind.NOT, Kind.IS_NOT):
                after = found[at + here.length : at + here.length + 2]
                kind = kind if kind is Kind.NEUTRAL and _describes(after) else Kind.UNKNOWN
            return here.length, Piece(kind, token=token)
        if token.form in PUNCTUATION:
            return 1, Piece(_PUNCTUATION_KINDS.get(token.form, Kind.NEUTRAL), token=token)
        return 1, Piece(self._other(token), token=token)

    def _other(self, token: Token) -> Kind:
        """What a token does that is no phrase of the vocabulary."""
        if token.form is Form.WORD and token.text in self._asked:
            return Kind.NEUTRAL
        sign = token.form is Form.SYMBOL and unicodedata.category(token.text) == "So"
        return Kind.DOUBT if token.text == "~" or (sign and token.text != "°") else Kind.UNKNOWN

    def _longest(self, found: Sequence[Token], at: int) -> _Found:
        """What begins here; of "is not visible" only "is", if "not visible" is an option."""
        end = len(found)
        length, option = self._options.longest(found, at, end)
        words, phrase = self._words.longest(found, at, end)
        if length and length >= words:
            return _Found(length, option.options, phrase.kind if length == words else None)
        for later in range(at + 1, at + words):
            if later + self._options.longest(found, later, end)[0] > at + words:
                words, phrase = self._words.longest(found, at, later)
                break
        after = found[at + words].form if at + words < end else Form.OPEN
        ambiguous = length and after in (Form.LETTER, Form.OPEN)  # "right, option B"
        return _Found(words, frozenset(), Kind.UNKNOWN if ambiguous else phrase.kind)

    def _names(self, found: Sequence[Token], at: int, here: _Found) -> bool:
        """Whether the text of an option is meant as one where it stands.

        A word that has another use ("no", "right") is an option only where no word follows, and a
        number after "option" may be its place as well as its text.
        """
        if here.length == 1 and found[at].form is Form.NUMBER and at > 0:
            return found[at - 1].text not in LABELS
        if here.kind is None or here.length > 1 or at + 1 == len(found):
            return True
        after = found[at + 1].text
        if VOCABULARY.get(after) is Kind.OR or after in COPULAS or after == "and":
            return True
        if is_wide(found[at].text[0]) and is_wide(after[0]):
            return False
        names_another = self._options.longest(found, at + 1, len(found))[0] > 0
        return names_another or not _word_follows(found, at + 1)

    def _letter(self, found: Sequence[Token], at: int) -> frozenset[int]:
        """The option that a letter names; none if it is an article or another word."""
        token = found[at]
        place = self._place(token)
        if place < 0 or (place >= self._n and not token.upper):
            return frozenset()
        letter = frozenset((place if place < self._n else BEYOND,))
        letter |= self._labels.get(token.text.upper(), frozenset())
        if self._is_short_for_answer(found, at):
            return letter | {BEYOND}
        if token.text not in _WORDS_OF_ONE_LETTER or not _word_follows(found, at + 1, (Form.WORD,)):
            return letter
        after, kind = found[at + 1].text, VOCABULARY.get(found[at + 1].text)
        if at > 0 and found[at - 1].text in LABELS:  # "option A dog"
            return letter
        if token.text == "i" and after not in ("is", "or", "and"):
            return frozenset()
        if kind in _JOINS or after in COPULAS or after == "and":
            return letter
        # "A dog", "A large one"; but "A then B"
        return letter | {BEYOND} if token.upper and kind is not None else frozenset()

    def _letter_or_text(
        self, found: Sequence[Token], at: int, texts: frozenset[int]
    ) -> tuple[frozenset[int], frozenset[int]]:
        """What a letter names that is the letter of an option and the text of one, and what less.

        A letter is asked for, and letters of options are capitals: a small letter that an option
        consists of is its text.
        """
        token, letter = found[at], self._letter(found, at)
        if len(letter) != 1:
            return texts | letter, frozenset()
        written = self._texts.get(token.text.upper() if token.upper else token.text, frozenset())
        named = letter if token.upper or not written else written
        labelled = at > 0 and found[at - 1].text in LABELS  # "option A"
        return named, frozenset() if labelled else (texts | letter) - named

    def _with_its_text(self, found: Sequence[Token], at: int) -> tuple[int, frozenset[int]]:
        """Letter and text of one option, where texts are letters: "A. C", "(A) C", "C (A)".

        Returns:
            How many tokens they are, 0 if they are not, and the option; several if either letter
            may be the text.
        """
        after = at + 1
        while after < len(found) and found[after].text in _AFTER_A_LETTER:
            after += 1
        if after == len(found) or found[after].form is not Form.LETTER:
            return 0, frozenset()
        one, other, between = found[at], found[after], [t.text for t in found[at + 1 : after]]
        named = self._option(one) & self._texts_of(other)
        if between == ["("]:
            named |= self._texts_of(one) & self._option(other)
        elif "(" in between:  # "(A) (C)"
            return 0, frozenset()
        # "A C" and "A-C" may be two options, "A: C" the answer C.
        unsure = not between or {"-", "\u2013"} & set(between) or (one.text, *between) == ("a", ":")
        if named and unsure:
            named |= self._option(other)
        return (after + 1 - at, named) if named else (0, named)

    def _option(self, token: Token) -> frozenset[int]:
        place = self._place(token)
        return frozenset((place,)) if place < self._n else frozenset()

    def _texts_of(self, token: Token) -> frozenset[int]:
        return self._options.longest([token], 0, 1)[1].options

    def _is_short_for_answer(self, found: Sequence[Token], at: int) -> bool:
        """Whether a letter may be no option: "A: dog", if the dog is not the option A."""
        if [token.text for token in found[at : at + 2]] != ["a", ":"]:
            return False
        after = at + 2 + (at + 2 < len(found) and found[at + 2].text in _ARTICLES)
        named = self._options.longest(found, after, len(found))[1].options
        letter = after < len(found) and found[after].form in (Form.LETTER, Form.OPEN)
        return letter or bool(named and 0 not in named)

    def _place(self, token: Token) -> int:
        return OPTION_LETTERS.find(token.text.upper())

    def _known(self, here: _Found, found: Sequence[Token]) -> Kind:
        """What a word of the vocabulary does, unless the question uses it in its own way."""
        kind = here.kind or Kind.UNKNOWN
        decides = kind in (Kind.NOT, Kind.IS_NOT, Kind.WRONG, Kind.DOUBT, Kind.NONE)
        if decides and all(token.text in self._asked for token in found):
            return Kind.UNKNOWN
        return kind


def _word_follows(
    found: Sequence[Token], at: int, forms: tuple[Form, ...] = (Form.WORD, Form.NUMBER)
) -> bool:
    """Whether a word stands at a place, other than "or" and those of a script without spaces."""
    if at >= len(found) or found[at].form not in forms:
        return False
    text = found[at].text
    return not is_wide(text[0]) and VOCABULARY.get(text) is not Kind.OR


def _describes(after: Sequence[Token]) -> bool:
    """Whether a word before these describes: "the right answer", but not "one, option F"."""
    names = after[-1].form in (Form.LETTER, Form.OPEN) if after else True
    return not names and after[0].text in NOUNS


def is_wide(character: str) -> bool:
    """Whether it belongs to a script that does not write spaces between words."""
    return "\u3040" <= character <= "\ud7af"


@lru_cache(maxsize=4096)
def kinds_of(text: str) -> frozenset[Kind]:
    """What the words of a text do, if they name nothing."""
    return frozenset(piece.kind for piece in pieces(text, ()))
