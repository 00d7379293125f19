r"""How a mathematical answer is written, brought to one form: LaTeX without its typography.

`The answer is $\boxed{1\,000}$.` and `1,000` become `1000`, `√2` becomes `\sqrt{2}`, `\tfrac12`
becomes `\frac{1}{2}`. Nothing is computed here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

# ruff: noqa: RUF001 (signs that look like others are what it is about)

_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ"
_SUBSCRIPTS = "₀₁₂₃₄₅₆₇₈₉"
_PLAIN = str.maketrans(_SUPERSCRIPTS + _SUBSCRIPTS, "0123456789+-n0123456789")
_SIGNS = {
    "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "÷": "/", "−": "-", "–": "-", "∕": "/",
    "π": r"\pi ", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "±": r"\pm ",
    "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ",
    "λ": r"\lambda ", "∅": r"\emptyset ", "º": "°", "μ": "µ", "，": ",", "。": ".",
    "\u2032": "'", "\u2033": "''", "\u00a0": " ", "\u2009": " ", "\u202f": " ",
    "ℝ": r"\mathbb{R}", "ℚ": r"\mathbb{Q}", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}",
    "ℂ": r"\mathbb{C}",
}  # fmt: skip
MAX_FONTS = 10
"""Fonts within fonts that are read."""
_FONTS = (
    r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mathsf|mbox|operatorname|rm|bf)\s*"
    r"\{([^{}]*)\}"
)
_REPLACED: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [
    (r"\\left(?![a-z])|\\right(?![a-z])|\\displaystyle|\\!", ""),
    (r"(?<!\\)\\(?:[,;: ]|q?quad)|(?<=\S)~(?=\S)", " "),
    (r"\\[dtc]frac", r"\\frac"),
    (r"\\frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}"),
    (r"\\sqrt\s*(\d+|[a-z](?![a-z]))", r"\\sqrt{\1}"),
    (r"\^\s*\{?\s*\\circ\s*\}?|\\degree|\\circ(?![a-z])", "°"),
    (r"\\%", "%"),
    (r"\\mathbb ([A-Z])(?![A-Za-z])", r"\\mathbb{\1}"),
    (r"\\varnothing(?![a-z])|\\\{ ?\\\}", r"\\emptyset"),
    (r"\\(?:leq|leqslant)(?![a-z])|<=", r"\\le "),
    (r"\\(?:geq|geqslant)(?![a-z])|>=", r"\\ge "),
    (r"\\sqrt\[([3579])\]\{-(\d+(?:\.\d+)?)\}", r"(-\\sqrt[\1]{\2})"),
    (r"√\s*\(([^()]*)\)|√\s*\{([^{}]*)\}|√\s*(\d+(?:\.\d+)?|\w)|(?<![a-z])\\?sqrt\(([^()]*)\)",
     lambda m: rf"\sqrt{{{next(g for g in m.groups() if g is not None)}}}"),
    (r"(?<![\\A-Za-z])pi(?![A-Za-z])", r"\\pi "),
    (r"(?<![\\A-Za-z])(?:infinity|infty)(?![A-Za-z])", r"\\infty "),
    (r"(?<![\w)])\*\*([^*]+)\*\*", r"\1"),
    (r"\*\*", "^"),
    (r"∛\s*(?:\(([^()]*)\)|\{([^{}]*)\}|(\d+|\w))",
     lambda m: rf"\sqrt[3]{{{next(g for g in m.groups() if g is not None)}}}"),
    (r"(?<=\d) ?[xX] ?(?=10 ?\^)", r"\\times "),
    (r"(?<![\\A-Za-z])(sin|cos|tan|log|ln|exp)(?![A-Za-z])", r"\\\1"),
    (r"(?<=[\w)}])\s*\*\s*(?=[\w(\\])", r"\\cdot "),
    (r"(?<![\w.])(-?)(\d+)\s+(\d+)/(\d+)(?![\w.])", r"\1(\2+\\frac{\3}{\4})"),
    (r"(\d)\{,\}(?=\d{3})", r"\1,"),
    (r"(?<![\d.,])(\d{1,3})((?: \d{3})+)(?![\d,])", lambda m: m[1] + m[2].replace(" ", "")),
    (r"(?<![\w.])(\d+(?:\.\d+)?)[eE]([+-]?\d{1,20})(?!\w)", r"\1\\times 10^{\2}"),
    (r"\^\s*\(?(-?\d{2,}|-\d)\)?(?!\w)", r"^{\1}"),
    (r"([\^_])\{(\w)\}(?!\w)", r"\1\2"),
    (r"(?<!\d)(-?)(\d+)\.(\d*)(?:\\overline ?\{(\d+)\}|\\dot ?\{(\d)\}|\((\d+)\))(?![\w.])",
     lambda m: _periodic(m[1], m[2], m[3], m[4] or m[5] or m[6])),
    (r"^([-$€£¥ ]*|\\\$|USD |EUR )(\d{1,3}(?:,\d{3})+)(?=\.\d|[^\d,.]|$)(?=[^,()\[\]{}]*$)",
     lambda m: m[1] + m[2].replace(",", "")),
]  # fmt: skip
_DENIED = re.compile(
    r"(?:\bnot|n't|\bnever|\bexcept|≠|\\neq?|不是)\W+(?:\w+\W+)?\\(?:boxed|fbox)\b"
)
"""A box of what is not the answer."""
_LEAD_IN = re.compile(
    r"(?:so |thus |therefore |hence )?,? ?(?:the )?(?:final |correct )?(?:answer|result|ans)\b"
    r"(?: is| equals)? ?[:=]? ?|(?:答案|结果)(?:是|为)? ?[:：]? ?",
    re.IGNORECASE,
)


def written(text: str) -> str:
    """The answer in a text, in one form; of several boxes all contents."""
    text = "".join(c for c in text if unicodedata.category(c) not in ("Cf", "Cc") or c in "\n\t")
    text = re.sub(r"^\s*#+ |</?answer>", "", text)
    if _DENIED.search(text):
        return " ".join(text.split())
    if boxes := list(dict.fromkeys(box.strip() for box in boxed(text))):
        text = ", ".join(boxes)
    text = _without_dollars(text)
    for sign, latex in _SIGNS.items():
        text = text.replace(sign, latex)
    text = unicodedata.normalize("NFKC", _fractions(_scripts(text)))
    for _ in range(MAX_FONTS):
        text = re.sub(_FONTS, _unfont, text)
    text = " ".join(text.split())
    for pattern, replacement in _REPLACED:
        text = re.sub(pattern, replacement, text)
    text = _LEAD_IN.sub("", " ".join(text.split()), count=1) if _LEAD_IN.match(text) else text
    text = " ".join(text.split()).strip("*` ")
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1]
    return re.sub(r"(?<![.。])[.。]$", "", text.strip()).strip()


def boxed(text: str) -> list[str]:
    r"""What stands in each `\boxed{...}`, braces balanced; of boxes in boxes the innermost."""
    found: list[str] = []
    opened: list[tuple[int, bool]] = []  # where a content begins, and whether it is that of a box
    innermost = -1
    for match in re.finditer(r"(?P<box>\\(?:boxed|fbox)\s*\{)|\{|\}", text):
        if match[0] != "}":
            opened.append((match.end(), match["box"] is not None))
            continue
        start, is_box = opened.pop() if opened else (0, False)
        if is_box and start > innermost:
            found.append(text[start : match.start()])
            innermost = match.start()
    return found


def dense(text: str) -> str:
    """Without the spaces that part nothing: "x + 1" is "x+1", but "1 2" is not "12"."""
    return re.sub(r"(?<![A-Za-z0-9]) | (?![A-Za-z0-9])", "", text)


def _without_dollars(text: str) -> str:
    """Dollars that mark mathematics go; those that are money stay."""
    text = text.replace(r"\$", "\ue000")
    text = re.sub(r"\\[()\[\]]", " ", text)
    if text.count("$") % 2 == 0:
        text = text.replace("$", " ")
    return text.replace("\ue000", "$").strip()


def _scripts(text: str) -> str:
    for signs, mark in ((_SUPERSCRIPTS, "^"), (_SUBSCRIPTS, "_")):
        text = re.sub(f"([{signs}]+)", rf"{mark}{{\1}}", text)
    return text.translate(_PLAIN)


def _fractions(text: str) -> str:
    r"""Fractions that are one character: ½ becomes `\frac{1}{2}`."""

    def fraction(match: re.Match[str]) -> str:
        above, _, below = unicodedata.normalize("NFKC", match[0]).partition("\u2044")
        return rf"\frac{{{above}}}{{{below}}}"

    return re.sub("[\u00bc-\u00be\u2150-\u215e]", fraction, text)


def _periodic(sign: str, whole: str, fixed: str, period: str) -> str:
    """A periodic decimal as a fraction: 0.1(6) is 15/90."""
    if len(whole + fixed + period) > 40:
        return rf"{sign}{whole}.{fixed}\overline{{{period}}}"
    above = int(whole + fixed + period) - int(whole + fixed)
    return rf"{sign}\frac{{{above}}}{{{10 ** len(fixed) * (10 ** len(period) - 1)}}}"


def _unfont(match: re.Match[str]) -> str:
    """The content of a font; after a number it is a unit, and stands apart."""
    before = match.string[: match.start()].rstrip()[-1:]
    apart = before.isalnum() or before in ("}", ")", "$")
    return f" {match[1]} " if apart else match[1]
