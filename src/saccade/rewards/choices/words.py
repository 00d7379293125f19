"""The words that a reader of choices knows, by what they do to the options beside them.

A clause is understood only if all of its words are here, in the question, or name an option; so a
word that is missing can make an answer unread, and never right.
"""

from __future__ import annotations

from enum import Enum, auto


class Kind(Enum):
    """What a piece of an answer does."""

    OPTION = auto()
    """Names an option."""
    NEUTRAL = auto()
    """Changes nothing."""
    SCENE = auto()
    """Says what is seen, which may or may not be the answer."""
    CUE = auto()
    """Says that this is the answer."""
    NOT = auto()
    """Negates the options that follow; at the end of a clause those before it."""
    IS_NOT = auto()
    """The same with its verb, so that something before it is what is negated."""
    WRONG = auto()
    """Says of an option that it is wrong."""
    BUT = auto()
    """Ends a negation."""
    OR = auto()
    """Another option may follow."""
    NONE = auto()
    """Declines every option."""
    DOUBT = auto()
    """Takes back, or makes conditional, what stands around it."""
    SOFT = auto()
    """Ends a clause."""
    HARD = auto()
    """Ends a sentence."""
    UNKNOWN = auto()
    """Anything else."""


_NEUTRAL = """
a, an, the, this, that, these, it, its, it's, this is, that's, i, i'd, i'm, i'll, i've, we, my,
our, your, you, one, is, are, was, were, be, been, being, am, would, should, must, will, can,
could, may, might, has, have, had, do, does, seems, seem, appears, looks, like, to, of, for, in,
on, at, from, with, by, as follows, and, final, correct, right, best, true, most, likely,
probable, probably, possibly, perhaps, maybe, clearly, definitely, certainly, surely, obviously,
simply, indeed, therefore, thus, so, hence, then, accordingly, consequently, overall, finally,
here, above, following, given, based, according, think, believe, guess, conclude, say, know, feel,
note, notice, only, common, frequent, usual, more, very, sure, confident, conclusion, question,
statement, option, them, they, he, she, choice, get, got, obtain, letter, corresponds, matches,
which, okay, ok, let me, let's, side, der, die, das, ist, richtige, lautet, es, la, le, les, est,
bonne, c'est, el, correcta, correcto, il, corretta, è, é, correta, 是, 为, 為, 应, 應, 该, 該,
应该, 應該, 应为, 就是, 的, 了, 项, 項, 我, 认为, 認為, 觉得, 因此, 所以, 故, 正确, 正確, 对, 對,
最终, 最終, 这, 這, 那, 它, 即, 应当, 最, 可能, 本题, 本題, 此题, 此題, 选项, 選項, 这个, 是一,
只, 一只, 一个, 个, は, です, だ, である, が, の, 正しい, 은, 는, 입니다, 이다, 정답은, 답은
"""

_SCENE = """
there, see, looking, image, picture, photo, photograph, figure, diagram, scene, shows, shown,
show, depicts, visible, 图中, 圖中, 图片, 有
"""

_CUE = """
answer, answers, ans, solution, correct option, right option, best option, correct choice,
right choice, best choice, select, choose, chose, pick, picked, go with, going with, opt for,
antwort, réponse, respuesta, risposta, a resposta, resposta, ответ, правильный ответ, prediction,
selected, selected option, antwoord, jawaban, cevap, svar, vastaus, odpowiedź, đáp án, الإجابة,
उत्तर, जवाब, คำตอบ, 回答, 答案, 答, 选, 選, 选择, 選擇, 正确选项, 正確選項, 应选, 應選, 故选,
故選, 正解, 答え, 정답, 답
"""

_NOT = """
not, no, non, never, cannot, can't, cant, neither, nor, without, except, except for, excepting,
excluding, besides, apart from, aside from, other than, rather than, instead of, as opposed to,
anything but, everything but, all but, any but, none but, far from, rule out, ruled out,
rules out, ruling out, eliminate, eliminates, eliminated, exclude, excludes, excluded, reject,
rejected, discard, discarded, avoid, don't, dont, do not, does not, doesn't, doesnt, didn't,
did not, won't, wouldn't, shouldn't, couldn't, nicht, kein, keine, pas, ne, ni, nem, não, не,
hardly, barely, scarcely, nope, nah, ≠, ¬, 不, 不是, 非, 并非, 並非, 没, 没有, 不选, 不選, 排除,
除了, 除, 既不是, 也不是, 不能, 不可能, 不为, 别, 勿, 否
"""

_IS_NOT = """
is not, isn't, isnt, are not, aren't, arent, was not, wasn't, wasnt, were not, weren't, ain't,
cannot be, can't be, cant be, could not be, couldn't be, must not be, mustn't be, would not be,
wouldn't be, should not be, shouldn't be, will not be, won't be, it's not, that's not, is never,
is neither, is hardly, is far from, is anything but, does not seem, doesn't seem, is ruled out,
is eliminated, is excluded, is rejected, is out, are out
"""

_WRONG = """
wrong, incorrect, incorrectly, false, mistaken, mistake, erroneous, untrue, invalid, distractor,
distractors, distraction, trap, decoy, falsch, faux, falso, falsa, incorrecto, incorrecta,
неверно, 不对, 不對, 错, 錯, 错误, 錯誤, 不正确, 不正確, 有误
"""

_BUT = """
but, instead, rather, sondern, mais, sino, 而是, 但, 但是
"""

_OR = """
or, vs, versus, as well, as well as, either, both, all, any, every, everything, whichever, and/or,
also, too, alternatively, another, other, others, else, oder, und, ou, et, y, o, e, 或, 或者, 和,
及, 与, 與, 都, 还是, 以及, /, &
"""

_NONE = """
none, nothing, nobody, nowhere, neither, none of the above, none of these, none of them,
none of the options, none of the choices, no answer, no option, none is correct, none are correct,
n/a, unknown, unclear, undetermined, unanswerable, undecided, i don't know, i do not know,
don't know, not sure, i'm not sure, unsure, no idea, i have no idea, cannot tell, can't tell,
cannot be determined, can't be determined, cannot determine, can't determine, cannot say,
can't say, cannot answer, can't answer, not enough information, insufficient information,
not visible, not given, 无, 無, 没有答案, 不知道, 不确定, 无法确定, 无法判断, 以上都不是, 都不是
"""

_DOUBT = """
if, unless, doubt, doubtful, doubts, kidding, joking, wait, actually, hmm, sorry, oops, otherwise,
although, though, supposedly, allegedly, opposite, contrary, lie, lying, not only, not just,
not merely, not necessarily, not exactly, not always, not wrong, not incorrect, not false,
isn't only, is not only, isn't just, is not just, unlikely, less, least, instead of being,
however, nobody, who, why, take that back, take it back, scratch that, strike that,
on second thought, correction, meant, retract, never mind, nevermind, forget, ignore, disregard,
my mind, reconsider, etc, etc., e.g., such as, and so on, and others, among others, and above,
and up, and below, at most, an option, one option, a possibility, one possibility,
如果, 除非, 怀疑, 未必, 不一定, 不仅, 不只
"""

_SOFT = """
because, since, as, due to, where, while, whereas, 因为, 因為, 由于
"""

_COPULAS = """
is was are were be seems appears looks would could might may must should will can has because since
for as however only alone
"""
COPULAS = frozenset(_COPULAS.split())
"""What follows a letter that is an option rather than an article: "A is", but "A dog"."""

ALSO = {"yes": ("y", "yeah", "yep", "yup"), "no": ("n", "nope", "nah"), "neither": ("none",)}
"""Words for options of one word."""

AFFIRMATIONS = frozenset(("yes", "true", "是", "对", "正确"))
"""Options that many sentences mean which name none: "There is a cat."."""

LEAVE_OPEN = frozenset(
    ("or", "and/or", "/", "oder", "ou", "或", "或者", "other", "others", "another")
)
"""Words of the kind OR after which another option, or something else, follows: "B or more"."""

NOUNS = frozenset(("answer", "option", "choice", "one"))
"""Before these a word describes, and names no option: "the right answer is left"."""

LABELS = frozenset(("option", "choice", "letter", "number", "no", "项", "項", "第", "#"))
"""After these a letter is one, and a number may be the place of an option or its text."""

VOCABULARY: dict[str, Kind] = {
    " ".join(phrase.split()): kind
    for kind, phrases in (
        (Kind.NEUTRAL, _NEUTRAL),
        (Kind.SCENE, _SCENE),
        (Kind.CUE, _CUE),
        (Kind.OR, _OR),
        (Kind.BUT, _BUT),
        (Kind.SOFT, _SOFT),
        (Kind.NONE, _NONE),
        (Kind.WRONG, _WRONG),
        (Kind.IS_NOT, _IS_NOT),
        (Kind.NOT, _NOT),
        (Kind.DOUBT, _DOUBT),
    )
    for phrase in phrases.split(",")
}
"""Phrase in lower case -> what it does; of a phrase in several lists the last one counts."""
