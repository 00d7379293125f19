r"""Whether two answers to a mathematical question are the same, as far as that can be known.

    compare(r"\frac{1}{2}", "0.5").equal        # True
    compare("5 m", "5 cm").equal                # False
    compare("42", "forty-two or so").equal      # None, with a reason

`written` brings what is written to one form, `quantities` knows units and currencies, `sizes` how
large an expression is, `values` compares expressions; `comparing` asks them in that order. What is
too large is not computed. It may take for ever all the same: `math_worker` runs it where it can be
killed.
"""

from saccade.rewards.maths.comparing import Opinion, compare

__all__ = ["Opinion", "compare"]
