"""Answers that would burn time or memory: each has its verdict at once.

Seconds are CPU seconds of the process that compares. The oracle of sizes is exact arithmetic with
fractions, for expressions that are small enough for it.
"""

import json
import math
import subprocess
import sys
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saccade.rewards.maths.sizes import TooLargeError, apart, size

TOWER = "9^{9^{9^{9}}}"
ROWS = [" & ".join("abcdfghjklmnopqrstuvwxyz"[7 * i % 18 :][:6]) for i in range(6)]
SYMBOLS = "\\begin{pmatrix}" + "\\\\".join(ROWS) + "\\end{pmatrix}"
WRONG = [
    TOWER, "9^9^9^9", f"${TOWER}$", f"\\boxed{{{TOWER}}}", f"x = {TOWER}", f"-{TOWER}",
    f"{TOWER} + 1", f"{TOWER} cm", f"{TOWER}\\%", f"\\frac{{{TOWER}}}{{2}}", f"1, {TOWER}",
    f"[1, {TOWER}]", "10^{10^{10}}", "0.1^{-10^9}", "10^{-10^{10}}", "(1/3)^{10^8}", "10000!!",
    "99999999999!", "((20!)!)!", "9!!!!!!!", "1e999999999", "1.5e+99999", "10^{99999}", "7^{50000}",
    "9⁹⁹⁹⁹⁹⁹⁹⁹⁹", "2**2**2**2**2**2**2", "e^{e^{e^{e^{e}}}}", "\\exp(10^{10})", "\\Gamma(10^9)",
    "(2^{64})^{(2^{64})}", "\\pi^{\\pi^{\\pi^{\\pi}}}", "(1+\\sqrt{2})^{100000}", "9" * 9000,
    "9" * 4000 + "!", "\\sqrt{10^{100000}+1}",
]  # fmt: skip
"""Numbers of absurd size: whatever they are, they are not 7."""
UNDECIDED = [
    f"7 + {TOWER} - {TOWER}", f"\\frac{{{TOWER}}}{{{TOWER}}}", f"\\sin({TOWER})",
    f"2^{{x^{{{TOWER}}}}}",
    "x^{99999999}", "(x+1)^{100000}", "(((x^{99}+1)^{99}+1)^{99}+1)^{99}", "1.0000001^{10^{12}}",
    "\\binom{10^9}{5\\cdot 10^8}", "\\sum_{n=1}^{10^9} n", "\\prod_{n=1}^{10^6} n",
    "\\int_0^1 x^{x^x} dx", "2^{\\int_0^9 x^9 dx}", "\\int_1^3 \\frac{x}{1+x^3+x} dx",
    "\\lim_{n\\to\\infty} n^{n^n}", "\\sum_{n=1}^{\\infty} \\frac{(-1)^n}{6n+7}",
    "\\gcd(10^{10^9}, 3)",
    "\\log(10^{10^{10}})", "\\lfloor 10^{10^{10}} \\rfloor", "\\sqrt[10^{10}]{3^{10^{10}}}",
    "\\frac{1}{" * 900 + "2" + "}" * 900, "\\sqrt{" * 900 + "2" + "}" * 900,
    "(" * 40 + "7" + ")" * 40, "\\sqrt[3]{" * 30 + "x" + "}" * 30, "\\sin(" * 30 + "x" + ")" * 30,
    "\\ln" * 30 + " x", "|" * 60 + "x" + "|" * 60, "2^{" * 900 + "1" + "}" * 900,
    "+".join(["1"] * 4000), "+".join(f"\\sqrt{{{n}}}" for n in range(2, 400)), "x" * 9999,
    "\\frac12" * 1400, "1 " * 5000, "1/" * 3000 + "2", "3:" * 3000 + "1", "-" * 5000 + "5",
    "{" * 4000, "$" * 9999, "_" * 9999, "^" * 9999, "\\" * 9999, "0." + "9" * 9000,
    "0.(" + "1" * 5000 + ")", "\\text{" * 1500 + "a" + "}" * 1500, "1=" * 1000 + "1",
    "\\begin{pmatrix}" + "\\\\".join("&".join("1" * 40) for _ in range(40)) + "\\end{pmatrix}",
    "\\begin{pmatrix}1&1\\\\1&0\\end{pmatrix}^{10^6}",
    SYMBOLS.replace("pmatrix", "vmatrix"), f"|{SYMBOLS}|", SYMBOLS * 2, f"\\det{SYMBOLS}",
]  # fmt: skip
OTHERS = [
    ("7", "\\boxed{" * 1200 + "7" + "}" * 1200, True),
    (TOWER, TOWER, True), (TOWER, "7", False), (TOWER, "9^{9^{9^{8}}}", None),
    ("10^{10^{10}}", "10^{10^{11}}", False), ("10^{10^{10}}", "100^{5\\cdot 10^9}", None),
    ("10^{10^{20}}", "100^{5\\cdot 10^{19}}", None), ("0", "10^{-10^{10}}", False),
    ("x", TOWER, None), ("7, 8", f"7, {TOWER}", False), ("2^{10000}", "4^{5000}", True),
    ("10^{10000}", "10^{9990+10}", True), ("10^{-8000}", "10^{(-2)^3\\cdot 1000}", True),
    ("5050", "\\sum_{n=1}^{100} n", True), ("3628800", "10!", True),
    ("252", "\\binom{10}{5}", True),
    ("10^{300}", "1e300", True), ("5", "\\boxed{\\boxed{5}}", True),
]  # fmt: skip

ORDINARY = [
    ("\\frac{1}{2}", "\\int_0^1 x dx", True), ("1", "\\frac{1}{2}\\int_{0}^{2} x\\,dx", True),
    ("2", "\\int_0^{\\pi} \\sin x \\, dx", True), ("3", "\\int_0^1 x^2+3x+1 dx", False),
    ("\\frac{1}{3}", "\\int_0^\\infty e^{-3x} dx", True),
    ("e", "\\lim_{n\\to\\infty} (1+\\frac{1}{n})^n", True),
    ("3", "\\lim_{x\\to 0} \\frac{\\sin(3x)}{x}", True),
    ("\\frac{3}{2}", "\\sum_{k=0}^{\\infty} \\frac{1}{3^k}", True),
    ("|x|+|y|+|z|+|w|", "|w|+|x|+|y|+|z|", True),
    ("-1", "e^{i\\pi}", True), ("-1", "i^2", True), ("2i", "3i", False),
    ("(2, -2)", "(x,y)=(2,-2)", True), ("(2, -3)", "(x,y)=(2,-2)", False),
    ("(x,y)=(2,-2)", "x=2, y=-2", None),
    ("(-\\infty, 4) \\cup (16, \\infty)", "x<4 \\text{ or } x>16", True),
    ("(-\\infty, 4] \\cup (16, \\infty)", "x<4 or x>16", None),
    ("(2,\\infty)", "\\{x \\mid x > 2\\}", True), ("(3,\\infty)", "\\{x|x>2\\}", False),
    ("30^\\circ", "\\frac{\\pi}{6}", True), ("30°", "\\frac{\\pi}{3}\\text{ rad}", False),
    ("10", "C_5^2", None), ("2n\\pi", "2k\\pi", None), ("2n\\pi", "3k\\pi", False),
    ("-2 < x < 3", "3 > x > -2", True), ("-2 < x < 3", "3 \\ge x > -2", False),
    ("(-\\infty,\\infty)", "\\mathbb{R}", True), ("-4", "2\\sqrt[3]{-8}", True),
    ("\\begin{pmatrix} 2 \\\\ 1 \\end{pmatrix}", "\\begin{bmatrix} 2 \\\\ 1 \\end{bmatrix}", True),
]  # fmt: skip
"""Answers of textbooks, which no bound may take for absurd, and no convention for wrong."""

MOST_S = 1.0
"""CPU seconds of one comparison; many times what the slowest takes on a quiet core."""

_CHILD = """
import json, os, signal, sys, time
from saccade.rewards.maths import compare, values
from saccade.rewards.math_worker import _FAILURES
compare("1", "\\\\frac{2}{2}")
for line in sys.stdin:
    gold, answer = json.loads(line)
    started = time.process_time()
    try:
        found = compare(gold, answer)
    except _FAILURES as error:
        found = (None, repr(error), True)
    print(json.dumps([time.process_time() - started, *found]), flush=True)
if not os.fork():
    signal.setitimer(signal.ITIMER_PROF, 0.5)
    values.is_computable = lambda size: True
    values.apart = lambda one, other: False
    compare("7", "9^{9^{9^9}}")
    os._exit(0)
print(json.dumps(os.wait()[1]))
"""


@pytest.fixture(scope="module")
def compared() -> tuple[dict[tuple[str, str], list[object]], int]:
    """Seconds and verdict of each pair, and how a process ended that does not look at sizes."""
    pairs = [("7", answer) for answer in (*WRONG, *UNDECIDED)]
    pairs += [(gold, answer) for gold, answer, _ in OTHERS + ORDINARY]
    lines = "".join(json.dumps(pair) + "\n" for pair in pairs)
    child = subprocess.run(
        [sys.executable, "-c", _CHILD], input=lines, capture_output=True, text=True, check=True
    )
    *found, ended = map(json.loads, child.stdout.splitlines())
    return dict(zip(pairs, found, strict=True)), ended


Compared = tuple[dict[tuple[str, str], list[object]], int]


def test_every_verdict_comes_at_once(compared: Compared) -> None:
    slow = {pair[1][:40]: found[0] for pair, found in compared[0].items() if found[0] > MOST_S}  # type: ignore[operator]
    assert not slow


def test_without_a_look_at_sizes_the_same_comparison_does_not_end(compared: Compared) -> None:
    assert compared[1] != 0


def test_a_number_of_absurd_size_is_wrong(compared: Compared) -> None:
    found = {answer: compared[0]["7", answer][1] for answer in WRONG}
    assert found == dict.fromkeys(WRONG, False)


def test_what_cannot_be_computed_is_the_fault_of_the_answer(compared: Compared) -> None:
    found = {answer: compared[0]["7", answer][1] for answer in UNDECIDED}
    assert found == dict.fromkeys(UNDECIDED, None)
    assert not [a[:40] for a in UNDECIDED if compared[0]["7", a][3]], "that would be unscored"


def test_ordinary_answers_are_read(compared: Compared) -> None:
    found = [(gold, answer, compared[0][gold, answer][1]) for gold, answer, _ in ORDINARY]
    assert found == ORDINARY


@pytest.mark.parametrize(("gold", "answer", "equal"), OTHERS)
def test_large_numbers_are_compared_as_far_as_that_is_sure(
    compared: Compared, gold: str, answer: str, equal: bool | None
) -> None:
    assert compared[0][gold, answer][1] is equal


Expression = tuple[str, Fraction]
numbers = st.integers(0, 60).map(lambda n: (str(n), Fraction(n)))


def _combined(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    def combine(parts: tuple[str, Expression, Expression]) -> Expression:
        sign, (left, a), (right, b) = parts
        if sign == "^":
            power = int(b) if b.denominator == 1 and abs(b) <= 40 else 3
            power = abs(power) if a == 0 else power
            small = len(str(a)) * abs(power) < 3000
            return (f"({left})^{{{power}}}", a**power) if small else (left, a)
        if sign == "/":
            return (f"\\frac{{{left}}}{{{right}}}", a / b) if b else (left, a)
        value = a + b if sign == "+" else a - b if sign == "-" else a * b
        return f"({left})" + ("\\cdot " if sign == "*" else sign) + f"({right})", value

    return st.tuples(st.sampled_from("+-*/^"), inner, inner).map(combine)


def _log10(value: Fraction) -> float:
    def of(n: int) -> float:
        return math.log10(int(str(n)[:15])) + max(0, len(str(n)) - 15)

    return of(abs(value.numerator)) - of(value.denominator) if value else -math.inf


@given(st.recursive(numbers, _combined, max_leaves=6))
def test_a_size_that_is_known_is_that_of_exact_arithmetic(expression: Expression) -> None:
    text, value = expression
    try:
        found = size(text)
    except TooLargeError:
        return
    if found.known and len(str(value)) < 3000:
        assert found.log10 == pytest.approx(_log10(value), rel=1e-6, abs=0.1)
    assert not apart(found, found)
