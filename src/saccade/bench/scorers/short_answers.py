"""Short answers, of which several may be right: names with their aliases, dates, numbers.

A rule decides only what is sure. An answer that is one of the gold answers is right; an empty one,
and one that only says that it cannot be told, is not attempted, and so not right. Everything else
is undecided and left to a model that judges.

Source of what is compared: em_check of MMSearch-R1 (mmsearch_r1_score.py) and exact_match_score of
InfoSeek (infoseek_eval.py), which take all punctuation and all articles out of both texts. Where we
deviate: there "3.5" is "35", "-5" is "5", and an answer "the" is the gold answer "A".
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from saccade.rewards.text import MAX_CHARS, same_text
from saccade.types import Task, Verdict

ANSWERS = "answers"
"""Key of `Task.meta`: the gold answers, of which any is right; without it `Task.answer` is one."""
JUDGE = "short answer"
NOT_ATTEMPTED = "not attempted"
"""How the reason of a verdict begins on an answer that leaves the question open."""
MAX_SHOWN = 600
"""Characters of gold answers that a model is shown as the reference; the first always is."""

_OR = re.compile(r"\s+or\s+", re.IGNORECASE)
_ARTICLE = re.compile(r"(?:an?|the)\s+(?=\S)")
_ARTICLES = re.compile(r"\b(?:an?|the)\b")
_DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"))
_QUOTES = re.compile(r"(?<!\d)['\"\u2018-\u201e\u00ab\u00bb`\u00b4]")
_MARKS = re.compile(
    r"[()\[\]{}!?;\u3001\u3002\u00b7\u300a\u300b]"
    r"|[.,:](?!\d)|(?<!\d)[,:]"
    r"|(?<=[^\W\d])[-/](?=[^\W\d])"
)
"""Punctuation between words; what stands inside of numbers or before them is part of them."""

_MAX_REFUSAL = 400
_SENTENCES = re.compile(r"[.!?;\n\u3002\uff01\uff1f\uff1b]+")
_GOES_ON = re.compile(
    r"\b(?:but|however|although|though|nevertheless|still|probably|likely|perhaps|maybe|guess|"
    r"might|may|could be|appears?|seems?|suggests?|looks? like|answer is|would be|it is|it's|"
    r"estimate|assume)\b|\u4f46|\u4e0d\u8fc7|\u53ef\u80fd|\u4e5f\u8bb8|\u5927\u6982|"
    r"\u5e94\u8be5|\u731c\u6d4b|\u7b54\u6848\u662f",
    re.IGNORECASE,
)
"""After these an answer may come, so that a model has to read it."""
_CANNOT = (
    r"(?:cannot|can not|can't|could not|couldn't|(?:am|'m|is) (?:not able|unable|impossible) to)"
)
_TELL = (
    r"(?:tell|say|answer|determine|identify|recogni[sz]e|find|provide|verify|confirm|name|see|"
    r"be (?:determined|identified|answered|known|told|verified))\b"
)
_REFUSES = re.compile(
    rf"(?:(?:i(?:'m| am) )?(?:very )?sorry,? |unfortunately,? |i apologi[sz]e,? )?(?:"
    rf"(?:i|we|it|this|that|the answer|the question)? ?{_CANNOT} {_TELL}[^,:]*"
    rf"|(?:unable|not able|impossible) to {_TELL}[^,:]*"
    r"|(?:i |we )?(?:really |just )?(?:do not|don't) know\b[^,:]*"
    r"|(?:i|we)(?:'m| am|'re| are) (?:not sure|unsure|uncertain)\b[^,:]*"
    r"|(?:i |we )?(?:have )?no (?:idea|information)\b[^,:]*"
    r"|(?:i|we) (?:need|would need|require) more (?:context|information|details)\b[^,:]*"
    r"|(?:there is )?(?:not enough|insufficient|no) (?:information|context|evidence)\b[^,:]*"
    r"|please provide\b[^,:]*"
    r"|dunno|not sure|unsure|unknown|not known|n/?a|not (?:available|applicable)|unclear"
    r"|(?:i(?:'m| am) )?(?:very )?sorry)",
    re.IGNORECASE,
)
_REFUSES_ZH = re.compile(
    r"(?:(?:\u5f88)?\u62b1\u6b49|\u5bf9\u4e0d\u8d77)?[\uff0c,]?(?:\u6211\u4eec|\u6211)?"
    r"(?:\u4e0d\u77e5\u9053|\u4e0d\u6e05\u695a|\u4e0d\u786e\u5b9a|\u4e0d\u8ba4\u8bc6|"
    r"(?:\u65e0\u6cd5|\u4e0d\u80fd|\u96be\u4ee5)"
    r"(?:\u786e\u5b9a|\u8bc6\u522b|\u56de\u7b54|\u5224\u65ad|\u786e\u8ba4|\u5f97\u77e5|\u63d0\u4f9b|\u8fa8\u8ba4)"
    r"|\u672a\u77e5|\u4e0d\u8be6)[^,:\uff0c\uff1a]*"
)


def alternatives(text: str) -> tuple[str, ...]:
    """The answers that a gold answer with " or " in it allows: the whole of it, and each part.

    Which "or" stands between answers and which inside of one nobody knows: of "black or white" all
    three are allowed.
    """
    whole = text.strip()
    return distinct((whole, *_OR.split(whole)))


def distinct(texts: Iterable[str]) -> tuple[str, ...]:
    """The texts that hold something, each once, in their order."""
    return tuple(dict.fromkeys(text.strip() for text in texts if text.strip()))


def reference(golds: Sequence[str]) -> str:
    """Gold answers as a model that judges is shown them: "x or y"."""
    shown: list[str] = []
    for gold in golds:
        if shown and len(" or ".join((*shown, gold))) > MAX_SHOWN:
            break
        shown.append(gold)
    return " or ".join(shown)


def golds_of(task: Task) -> tuple[str, ...]:
    """The gold answers of a task."""
    known = task.meta.get(ANSWERS)
    if isinstance(known, list) and known:
        return tuple(str(one) for one in known)
    return (task.answer,) if task.answer else ()


def judged(golds: Sequence[str], answer: str) -> Verdict:
    """What the rule says of an answer."""
    if matches(golds, answer):
        return Verdict(correct=True, judge=JUDGE)
    if not is_attempted(golds, answer):
        return Verdict(correct=False, reason=f"{NOT_ATTEMPTED}: {answer[:80]!r}", judge=JUDGE)
    return Verdict(correct=None, reason="other words", judge=JUDGE, unread=True)


def matches(golds: Sequence[str], answer: str) -> bool:
    """Whether an answer is one of the gold answers, articles and punctuation aside."""
    return any(_same(gold, answer) for gold in golds)


def is_attempted(golds: Sequence[str], answer: str | None) -> bool:
    """Whether an answer says anything in answer to the question.

    A reply that only says that it cannot be told does not, unless that is a gold answer; one that
    goes on after saying so ("..., but it may be Paris") does.
    """
    if answer is None or not answer.strip():
        return False
    return not refuses(answer) or any(refuses(gold) for gold in golds)


def refuses(text: str) -> bool:
    """Whether a text as a whole says that something is not known, in English or Chinese."""
    plain = " ".join(text.replace("\u2019", "'").split(" "))
    if len(plain) > _MAX_REFUSAL or _GOES_ON.search(plain):
        return False
    parts = [part.strip(" *\"'\t") for part in _SENTENCES.split(plain)]
    said = [part for part in parts if part]
    return bool(said) and all(_REFUSES.fullmatch(p) or _REFUSES_ZH.fullmatch(p) for p in said)


def best_f1(golds: Sequence[str], answer: str) -> float:
    """The highest F1 of the words of an answer and those of a gold answer, in [0, 1].

    Source: get_f1_score of MMSearch (score/f1_score.py). Where we deviate: a text that is nothing
    but articles keeps them, and where one has no words F1 is 0; there "the" has F1 1 with "A".
    """
    return max((_f1(_words(gold), _words(answer)) for gold in golds), default=0.0)


def _f1(gold: Counter[str], answer: Counter[str]) -> float:
    common = (gold & answer).total()
    return 2 * common / (gold.total() + answer.total()) if common else 0.0


def _words(text: str) -> Counter[str]:
    bare = text[:MAX_CHARS].lower().translate(str.maketrans("", "", string.punctuation))
    words = _ARTICLES.sub(" ", bare).split() or bare.split()
    return Counter(words)


def _same(gold: str, answer: str) -> bool:
    if same_text(gold, answer):
        return True
    if max(len(gold), len(answer)) > MAX_CHARS:
        return False
    plain = _plain(gold)
    return bool(plain) and (plain == _plain(answer) or same_text(plain, _plain(answer)))


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold().translate(_DASHES)
    bare = " ".join(_MARKS.sub(" ", _QUOTES.sub("", folded)).split())
    return _ARTICLE.sub("", bare, count=1) if _ARTICLE.match(bare) else bare
