"""Whether two mathematical answers are the same: a row for each way of writing, or of erring."""

# ruff: noqa: RUF001 (signs that look like others are what it is about)

import pytest

from saccade.rewards.maths import compare

SAME = [
    # as written
    ("\\$20", "\\$20"), ("√2", "\\sqrt{2}"), ("1\\,000", "1000"),
    ("5", "The answer is \\boxed{5}."),
    ("1/2", "0.5"), ("10,000", "10000"), ("42", "42."), ("6", "The answer is $6$."),
    ("12", "**12**"),
    ("3", "３"), ("-3", "−3"), ("7:30", "7:30"), ("1/2", "\\boxed{\\frac{1}{2}}"), ("5", "答案是5"),
    # numbers
    ("10^3", "1e3"), ("1e3", "1000"), ("1 000", "1000"), ("1{,}000", "1,000"), ("½", "\\frac12"),
    ("3½", "3.5"), ("1 1/2", "1.5"), ("1\\frac{1}{2}", "3/2"), ("2.5 \\times 10^{-3}", "0.0025"),
    ("0", "0.0"), ("007", "7"), ("\\sqrt{2}", "1.414214"), ("1/3", "0.333333"), ("2×3", "6"),
    ("2^{10}", "2^10"), ("2**3", "8"), ("\\frac{1}{2^{99}}", "2^{-99}"), ("\\dfrac{3}{4}", "0.75"),
    ("1/3", "0.\\overline{3}"), ("1/6", "0.1(6)"), ("3 x 10^8", "3\\times10^8"), ("-7", "–7"),
    ("12", "#### 12"), ("12", "<answer>12</answer>"), ("12", "'12'"), ("1,234,567", "1234567"),
    ("\\log_2 8", "3"), ("\\cos 60°", "0.5"), ("\\sin^2 30^\\circ", "1/4"), ("∛2", "\\sqrt[3]{2}"),
    ("4\\sqrt(2)", "4\\sqrt{2}"), ("\\mathbb R", "ℝ"), ("\\varnothing", "\\{\\}"),
    # units and currency
    ("$1,000", "$1000"), ("1,000 cm", "10 m"), ("5 N·m", "5 N m"), ("100π cm²", "100\\pi"),
    ("5 \\text{ N}\\cdot\\text{m}", "5 N m"), ("5 KM", "5 km"),
    ("5 m", "500 cm"), ("5 cm", "5 cm."), ("5\\text{ cm}", "5 cm"), ("18 km/h", "5 m/s"),
    ("5\\,\\mathrm{m/s}", "5 m/s"), ("5m", "500 cm"), ("5 kg", "5000 g"), ("12 m^2", "12 m²"),
    ("12 square meters", "12 m^2"), ("3 apples", "3 apple"), ("20°C", "20 °C"),
    ("90°", "90^\\circ"),
    ("90 degrees", "90°"), ("$20", "20 dollars"), ("20 cents", "$0.20"), ("€5", "5 euros"),
    ("5 m", "5"), ("20", "\\$20"), ("50%", "0.5"), ("50\\%", "50"), ("50 percent", "1/2"),
    # expressions
    ("\\sqrt{\\frac{3}{4}}", "\\frac{\\sqrt{3}}{2}"), ("x²+1", "x^2+1"), ("(x+1)^2", "x^2+2x+1"),
    ("π r²", "\\pi r^{2}"), ("\\frac{x}{2}", "0.5x"), ("∞", "\\infty"), ("|x|", "\\sqrt{x^2}"),
    ("sin x", "\\sin x"), ("x=5", "5"), ("y=2x+1", "y = 1+2x"), ("x ≤ 3", "3 \\ge x"),
    ("e^2", "e²"),
    ("3x²", "3x^{2}"), ("2xy", "2yx"), ("x^{2}3", "3x^2"), ("f(x)=2x", "2x"), ("AB = 5", "5"),
    ("\\angle A = 45°", "45"), ("2x+4y-3=0", "y = -\\frac12 x+\\frac34"), ("2x=10", "x=5"),
    # times and ratios
    ("03:30", "3:30"), ("2:4", "1 : 2"), ("3:30 pm", "3:30 PM"),
    # lists
    ("a=1 or a=-2", "a = -2 or a = 1"), ("19, 46, \\text{ and } 82", "82, 19, 46"),
    ("0<x\\le 1", "(0,1]"), ("x≥3", "[3, ∞)"), ("x \\in [0,1]", "0 \\le x \\le 1"),
    ("{1,2}", "\\{2,1\\}"), ("1, 2", "2, 1"), ("1, 2", "1 and 2"), ("(1, 2)", "(1,2)"),
    ("±2", "2, -2"), ("(-\\infty, 3]", "\\left(-\\infty,3\\right]"), ("x\\in[1,2]", "[1, 2]"),
    ("\\begin{pmatrix}1&2\\\\3&\\frac{1}{2}\\end{pmatrix}",
     "\\begin{pmatrix}1&2\\\\3&0.5\\end{pmatrix}"),
    # text
    ("yes", "Yes."), ("\\text{yes}", "yes"), ("no solution", "No solution"),
]  # fmt: skip
DIFFERENT = [
    ("5 m", "5 cm"), ("cat", "act"), ("1-\\frac{1}{\\mathrm{e}}", "1+\\frac{1}{\\mathrm{e}}"),
    ("\\frac{1}{2^{99}}", "\\frac{1}{2^{98}}"), ("yes", "no"), ("(1,2)", "[1,2]"),
    ("5 m", "5 s"), ("5 m", "6 m"), ("5 m", "50 cm"), ("5 kg", "5 g"), ("$20", "€20"),
    ("20 dollars", "20 cents"), ("50%", "5"), ("50%", "0.05"), ("90°", "90 rad"),
    ("12 m^2", "12 m"),
    ("1/3", "0.33"), ("1/3", "0.333334"), ("10^3", "10^{-3}"), ("1e3", "1e4"), ("5", "-5"),
    ("12", "21"), ("1 1/2", "11/2"), ("1,000", "1"), ("10^{-40}", "2\\cdot 10^{-40}"),
    ("2^{100}", "2^{100}+1"), ("\\pi", "3.14"), ("\\pi", "22/7"), ("√2", "√3"), ("e", "2.718"),
    ("1+10^{-60}", "1"), ("x^2", "x^3"), ("x+1", "x-1"), ("2x", "x"), ("\\sin x", "\\cos x"),
    ("x=5", "y=5"), ("x=5", "x=6"), ("x<5", "x>5"), ("x<5", "x\\le 5"), ("listen", "silent"),
    ("true", "false"), ("(1,2)", "(2,1)"), ("[1,2)", "[1,2]"), ("1, 2", "1"),
    ("\\{1,2\\}", "\\{1,3\\}"), ("1, 2", "1, 2, 3"), ("(1,2)", "1"), ("±2", "2"), ("5", "5, 6"),
    ("5", "\\boxed{5} or \\boxed{6}"), ("42", "42 or 43"),
    ("12:00", "1:00"), ("3:30", "3:31"), ("1:2", "2:1"), ("f(x)=2", "g(x)=2"), ("AB=5", "AC=5"),
    ("3x+4y+14=0", "3x-y+13=0"), ("n=2, 3, 4", "n=1, 2, 3"), ("x<3", "x<4"), ("0<x<1", "[0,1]"),
    ("$1,000", "$10,000"), ("1/3", "0.3"), ("7", "–7"),
    ("1", "\\begin{pmatrix}1&0\\\\0&1\\end{pmatrix}"), ("42", ""), ("42", "\\boxed{}"),
    ("\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", "\\begin{pmatrix}1&2\\\\4&3\\end{pmatrix}"),
]  # fmt: skip
UNDECIDED = [
    ("42", "forty two apples"), ("5", "5 is wrong"), ("5", "not 5"),
    ("5", "cat"),
    ("5", "5 bananas"), ("5 m", "5 bananas"), ("1000", "1.000"), ("3.14", "3,14"),
    ("1000.5", "1.000,5"), ("12", "1 2"), ("cat", "a big cat"), ("x^2", "x^2+"), ("5", "x^2+"),
    ("(1,2)", "1,2"), ("68°F", "20°C"), ("X", "x"), ("100", "1{,}00"), ("5", "?"), ("5", "5 5"),
    # that the grammar would read in one way of several, or not at all
    ("1/0", "2/0"), ("2", "2:1"), ("1:10", "2:20"), ("3-4", "-1"), ("2020-01-02", "2017"),
    ("0.333", "0.333..."), ("101_2", "101"), ("5'", "5\""), ("45'", "45°"), ("y'", "y"),
    ("A^T", "A"), ("\\frac{dy}{dx}", "\\frac{dx}{dy}"), ("f(1)=2", "f(2)=2"), ("a=b", "b"),
    ("Al2O3", "Al3O2"), ("x<1 or x>2", "x<1 and x>2"), ("x=1, y=2", "2, 1"), ("xy=1", "y=1/x"),
    ("5 M", "5 m"), ("5 S", "5 s"), ("5", "~5"), ("5", "not \\boxed{5}"), ("no", "on"),
    ("3:30 pm", "1:10 pm"), ("a \\equiv b", "a = b"),
]  # fmt: skip


@pytest.mark.parametrize(("gold", "answer"), SAME)
def test_the_same_in_another_form_is_right(gold: str, answer: str) -> None:
    assert compare(gold, answer).equal is True
    assert compare(answer, gold).equal is True


@pytest.mark.parametrize(("gold", "answer"), DIFFERENT)
def test_what_only_looks_alike_is_wrong(gold: str, answer: str) -> None:
    assert compare(gold, answer).equal is False


@pytest.mark.parametrize(("gold", "answer"), UNDECIDED)
def test_what_is_not_mathematics_is_undecided_with_a_reason(gold: str, answer: str) -> None:
    opinion = compare(gold, answer)
    assert opinion.equal is None
    assert opinion.reason
    assert not opinion.readable, "the answer is to blame"


def test_a_gold_answer_that_cannot_be_read_is_not_the_fault_of_the_answer() -> None:
    for gold in ("", "x^2+", "\\frac{1}{"):
        assert compare(gold, "5") == compare(gold, "5")._replace(equal=None, readable=True)
