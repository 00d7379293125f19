"""Which option of a multiple-choice question an answer names.

    read("The answer is B, not A.", ["cat", "dog"]).named      # frozenset({1})

`tokens` removes markup, `words` is what is known, `pieces` finds options and words, `reading` puts
them together. It is careful: an answer that can be read in two ways is unread.
"""

from saccade.rewards.choices.pieces import BEYOND
from saccade.rewards.choices.reading import Reading, read

__all__ = ["BEYOND", "Reading", "read"]
