"""Which option an answer names: a small grammar over its pieces.

An answer is sentences of clauses. A clause in which every word is known names its options, or
negates them; in any other clause an option is only mentioned. What a whole answer says:

- one option named, and no other mentioned except as wrong: that one. Mentions in
  sentences before the one that says "the answer is B" are reasoning, and do not count;
- several named, or an option that the question does not have: they are named, and none is right;
- only known words, and none of them an option: it names none;
- everything else is unread.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from saccade.rewards.choices.pieces import Piece, key, kinds_of, pieces
from saccade.rewards.choices.tokens import Form
from saccade.rewards.choices.words import AFFIRMATIONS, LEAVE_OPEN, Kind
from saccade.rewards.text import normalised, same_text
from saccade.types import OPTION_LETTERS

MAX_CHARS = 10_000
"""Longer answers are not read."""

_KEYS = frozenset(
    ("answer", "final_answer", "finalanswer", "final", "choice", "option", "prediction", "letter",
     "response", "答案")
)  # fmt: skip
"""Keys of a JSON object under which an answer stands."""

_NEGATIVE = (Kind.NOT, Kind.IS_NOT, Kind.WRONG)
_TAKES_BACK = (*_NEGATIVE, Kind.OR, Kind.DOUBT, Kind.NONE)


class Reading(NamedTuple):
    """What an answer says of the options, by their places."""

    named: frozenset[int] = frozenset()
    """Those that it gives as the answer; `BEYOND` for a letter that no option has. If it is unread
    too, one of them is meant, and it is not clear which."""
    also: frozenset[int] = frozenset()
    """Others that it may mean: where texts of options are letters, the one with the text that is
    named as a letter."""
    negated: frozenset[int] = frozenset()
    """Those that it says are not the answer."""
    unread: str = ""
    """Why it cannot be read, if it cannot."""


class _Mention(NamedTuple):
    option: int
    sign: int
    """1: named, -1: negated, 0: mentioned."""
    taken_back: bool = False
    """Whether its clause holds a word that could take it back."""
    also: frozenset[int] = frozenset()


class _Clause(NamedTuple):
    sentence: int
    mentions: tuple[_Mention, ...]
    cue: bool
    """Whether it says that this is the answer."""
    known: bool
    kinds: frozenset[Kind]


def read(answer: str, choices: Sequence[str], question: str = "") -> Reading:
    """What an answer says.

    Args:
        answer: As the model wrote it.
        choices: The texts of the options.
        question: Its words are known ones in the answer.
    """
    if len(answer) > MAX_CHARS:
        return Reading(unread=f"{len(answer)} characters, {MAX_CHARS} are read at most")
    choices = _unlabelled(choices)
    if (same := _whole(answer, choices)) is not None:
        return Reading(named=frozenset((same,)))
    found = pieces(_value(answer), choices, question)
    return _reading(list(_clauses(found)), choices)


def _whole(answer: str, choices: Sequence[str]) -> int | None:
    """The option whose text the answer is; of texts equal up to case the one of the same case.

    None for the letter of another option, which may be meant.
    """
    if answer.rstrip().endswith(("?", "\uff1f")):
        return None
    same = [place for place, text in enumerate(choices) if same_text(text, answer)]
    if len(same) > 1:
        same = [place for place in same if choices[place].strip() == answer.strip()]
    letter = OPTION_LETTERS[: len(choices)].find(normalised(answer).upper() or "?")
    return same[0] if len(same) == 1 and letter in (-1, same[0]) else None


def _unlabelled(choices: Sequence[str]) -> Sequence[str]:
    """The texts without the letters that all of them begin with: "(A) cat" is "cat"."""
    label = r"\s*\(?{}[).:](?=\s|\w)\s*"
    found = [
        re.match(label.format(letter), text)
        for letter, text in zip(OPTION_LETTERS, choices, strict=False)
    ]
    if not all(found):
        return choices
    return [text[match.end() :] for match, text in zip(found, choices, strict=True) if match]


def _value(answer: str) -> str:
    """What stands under the keys of an answer in JSON, all of them; else the answer itself."""
    inner = answer.strip().removeprefix("```json").strip("`").strip()
    if not inner.startswith("{"):
        return answer
    held: list[str] = []

    def keep(pairs: list[tuple[str, object]]) -> None:
        held.extend(
            json.dumps(value, ensure_ascii=False).strip('"')
            for name, value in pairs
            if name.casefold().replace(" ", "_") in _KEYS
        )

    try:
        json.loads(inner, object_pairs_hook=keep)
    except (ValueError, RecursionError):
        return answer
    return "\n".join(f"answer: {value}" for value in held) or answer


def _clauses(found: Sequence[Piece]) -> Iterator[_Clause]:
    sentence, negated, goes_on = 0, False, False
    held: list[Piece] = []
    for place, piece in enumerate((*found, Piece(Kind.HARD))):
        asks = piece.token.text == "?"
        if piece.token.text == "." and _labels(found[max(0, place - 1) : place + 2]):
            continue
        if asks or piece.kind not in (Kind.SOFT, Kind.HARD):
            tag = asks and goes_on  # "B, right?"
            held.append(piece._replace(kind=Kind.DOUBT) if tag else piece)
        if asks or piece.kind in (Kind.SOFT, Kind.HARD):
            if held:
                yield _clause(sentence, held, negated)
            negated = piece.kind is Kind.SOFT and _open_negation(held, negated)
            goes_on = piece.kind is Kind.SOFT
            sentence += not goes_on
            held = []


def _labels(around: Sequence[Piece]) -> bool:
    """Whether a point belongs to the letter before it: "B. dog", "B. is right"."""
    if len(around) < 3 or around[0].kind is not Kind.OPTION:
        return False
    letter, _, after = (piece.token for piece in around)
    if letter.form is not Form.LETTER or after.form is Form.LETTER:
        return False
    goes_on = after.form is Form.WORD and not after.capital
    return goes_on or around[2].kind is Kind.OPTION


def _open_negation(held: Sequence[Piece], before: bool) -> bool:
    """Whether a negation may reach over a comma: "not A, B"."""
    kinds = [p.kind for p in held]
    if not any(kind in (Kind.NOT, Kind.IS_NOT) for kind in kinds):
        return before and all(kind in (Kind.OPTION, Kind.OR, Kind.NEUTRAL) for kind in kinds)
    last = max(i for i, kind in enumerate(kinds) if kind in (Kind.NOT, Kind.IS_NOT))
    return Kind.OPTION in kinds[last:] and Kind.BUT not in kinds[last:]


def _clause(sentence: int, held: Sequence[Piece], negated: bool) -> _Clause:
    """A clause; `negated` says that a negation before it may reach into it."""
    open_end = {Kind.DOUBT} if _left_open(held) else set[Kind]()
    kinds = frozenset(piece.kind for piece in held) | open_end
    named = [piece for piece in held if piece.kind is Kind.OPTION]
    known = not kinds & {Kind.UNKNOWN, Kind.DOUBT, Kind.NONE}
    bare = not kinds & {Kind.CUE, Kind.BUT, *_NEGATIVE}
    if known and not (negated and bare) and all(len(piece.options) == 1 for piece in named):
        signs = _signs(held)
    else:
        signs = [0] * len(named)
    back = bool(kinds & set(_TAKES_BACK))
    mentions = tuple(
        _Mention(option, sign, back, piece.also)
        for piece, sign in zip(named, signs, strict=True)
        for option in sorted(piece.options)
    )
    return _Clause(sentence, mentions, Kind.CUE in kinds, known, kinds)


def _left_open(held: Sequence[Piece]) -> bool:
    """Whether an "or" is followed by no option: "B or more"."""
    opened = [p.kind for p in held if p.kind is Kind.OPTION or p.token.text in LEAVE_OPEN]
    return bool(opened) and opened[-1] is not Kind.OPTION


def _signs(held: Sequence[Piece]) -> list[int]:
    """For each option of a clause of known words: 1 named, -1 negated, 0 unclear."""
    options = [next(iter(p.options)) for p in held if p.kind is Kind.OPTION]
    kinds = {piece.kind for piece in held}
    unclear = [0] * len(options)
    if not kinds & set(_NEGATIVE):
        return [1] * len(options)
    if Kind.WRONG in kinds:
        alone = len(set(options)) == 1 and not kinds & {Kind.NOT, Kind.IS_NOT}
        return [-1] * len(options) if alone else unclear
    signs: list[int] = []
    negating = used = False
    for piece in held:
        if piece.kind in (Kind.NOT, Kind.IS_NOT):
            twice = negating and not used
            about_two = piece.kind is Kind.IS_NOT and 0 < len(signs) < len(options)
            if twice or about_two:
                return unclear
            negating, used = True, False
        elif piece.kind is Kind.BUT or piece.token.form is Form.CLOSE:
            negating = negating and not used
        elif piece.kind is Kind.OPTION:
            signs.append(-1 if negating else 1)
            used = True
    if negating and not used:  # "B is not the answer"
        return [-1] * len(options) if len(set(options)) == 1 else unclear
    return signs


def _reading(clauses: Sequence[_Clause], choices: Sequence[str]) -> Reading:
    said = [c.sentence for c in clauses if c.cue and any(m.sign > 0 for m in c.mentions)]
    since = said[-1] if said else 0
    clauses = [_seen_only(c) if c.sentence < since else c for c in clauses]
    mentions = [mention for clause in clauses for mention in clause.mentions]
    named = frozenset(m.option for m in mentions if m.sign > 0)
    negated = frozenset(m.option for m in mentions if m.sign < 0)
    also = frozenset[int]().union(*(m.also for m in mentions if m.sign > 0)) - named
    if len(named) > 1:
        return _several(clauses, since, choices, Reading(named, also, negated))
    if named:
        (option,) = named
        unread = _objection(clauses, option, since, choices)
        return Reading(unread=unread) if unread else Reading(named, also, negated)
    unclear = frozenset(m.option for m in mentions if m.sign == 0)
    if negated - unclear:
        return Reading(negated=negated - unclear)
    if unclear or any(clause.kinds & {Kind.UNKNOWN, Kind.DOUBT} for clause in clauses):
        return Reading(unread="it cannot be read which option it names")
    kinds = frozenset[Kind]().union(*(clause.kinds for clause in clauses))
    if kinds and any(_may_be_meant(choice, kinds) for choice in choices):
        return Reading(unread="it may be an option in other words")
    return Reading()


def _several(
    clauses: Sequence[_Clause], since: int, choices: Sequence[str], found: Reading
) -> Reading:
    """What an answer that names several options says: all of them, or one in the end."""
    if any(mention.sign == 0 for clause in clauses for mention in clause.mentions):
        return Reading(unread="it names several options and mentions another")
    if any(_is_about_several(place, choices) for place in range(len(choices))):
        return Reading(unread="several options may be one together")
    said = [(c, {m.option for m in c.mentions if m.sign > 0}) for c in clauses]
    last = frozenset[int]().union(*(named for clause, named in said if clause.sentence >= since))
    claimed_before = any(c.cue and named for c, named in said if c.sentence < since)
    changes = any(clause.kinds & {Kind.BUT, Kind.DOUBT} for clause in clauses)
    if changes and any(Kind.UNKNOWN in clause.kinds for clause in clauses):
        return Reading(unread="it names several options and may take them back")
    if changes or (len(last) == 1 and not claimed_before):
        return found._replace(unread="it names several options, and may give one in the end")
    return found


def _is_about_several(place: int, choices: Sequence[str]) -> bool:
    """Whether an option is about others: "Both A and B", "cat and dog", "Neither"."""
    if kinds_of(choices[place]) & {Kind.OR, Kind.NONE} or key(choices[place])[:1] == ("neither",):
        return True
    others = [*choices[:place], "", *choices[place + 1 :]]
    found = pieces(choices[place], others)
    return len({p.options for p in found if p.kind is Kind.OPTION}) > 1


def _may_be_meant(choice: str, said: frozenset[Kind]) -> bool:
    """Whether words that name no option may mean this one: "none of them", "both", "not at all"."""
    kinds = kinds_of(choice)
    if " ".join(key(choice)) in AFFIRMATIONS:
        return Kind.NONE not in said
    denies = {Kind.NOT, Kind.IS_NOT}
    alike = (kinds & denies and said & denies) or (Kind.OR in kinds and Kind.OR in said)
    return Kind.NONE in kinds or bool(alike)


def _seen_only(clause: _Clause) -> _Clause:
    """A clause of the reasoning: what it says is seen is not named as the answer."""
    if clause.cue or Kind.SCENE not in clause.kinds:
        return clause
    return clause._replace(mentions=tuple(m._replace(sign=min(m.sign, 0)) for m in clause.mentions))


def _objection(clauses: Sequence[_Clause], option: int, since: int, choices: Sequence[str]) -> str:
    """Why an answer that names one option may mean something else; empty if nothing speaks for it.

    What stands before the sentence `since`, the last that says "the answer is", is reasoning.
    """
    denies, named = _denies(option, choices), False
    for clause in clauses:
        reasoning = clause.sentence < since
        for mention in clause.mentions:
            if mention.option == option and mention.sign < 0:
                return "it names an option and negates it"
            if mention.sign == 0 and not reasoning:
                if mention.option != option:
                    return "it names an option and mentions another"
                if mention.taken_back or not named:
                    return "it names an option and may take it back"
            named = named or mention.sign > 0
        if clause.mentions or (reasoning and not clause.known):
            continue
        kinds = clause.kinds & set(_TAKES_BACK)
        if denies and clause.kinds & {
            Kind.UNKNOWN,
            Kind.NEUTRAL,
            Kind.SCENE,
        }:  # "No, there is no dog"
            kinds -= {Kind.NOT, Kind.IS_NOT}
        if kinds and not (kinds == {Kind.OR} and clause.kinds <= {Kind.OR, Kind.NEUTRAL}):
            return "it names an option and may take it back"
    return ""


def _denies(option: int, choices: Sequence[str]) -> bool:
    """Whether the text of an option is a denial itself: "No", "not visible"."""
    inside = 0 <= option < len(choices)
    return inside and bool(set(kinds_of(choices[option])) & {*_NEGATIVE, Kind.NONE})
