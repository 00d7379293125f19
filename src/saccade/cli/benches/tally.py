"""What a benchmark has come to so far: accuracy, tokens and money, beside the bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from saccade.config import Part
    from saccade.types import Trajectory


class Price(NamedTuple):
    """What tokens cost, by the options of a policy."""

    prompt: float = 0.0
    """Of a million prompt tokens."""
    completion: float = 0.0
    """Of a million completion tokens."""

    @property
    def known(self) -> bool:
        return bool(self.prompt or self.completion)

    def of(self, tokens_in: int, tokens_out: int) -> float:
        """What so many tokens cost."""
        return (tokens_in * self.prompt + tokens_out * self.completion) / 1e6


def price_of(policy: Part | None) -> Price:
    """The prices of the policy of a run file; none where it names none."""
    options = {} if policy is None else policy.options
    given = (options.get(key) for key in ("price_in", "price_out"))
    return Price(*(float(v) if isinstance(v, int | float) else 0.0 for v in given))


class Tally:
    """Counts of the episodes that are finished."""

    def __init__(self, price: Price) -> None:
        self.price = price
        self.scored = 0
        """Number of episodes with a score."""
        self.value = 0.0
        """Sum of what their answers are worth, each in [0, 1]."""
        self.tokens_in = 0
        """Number of prompt tokens; each turn reads the earlier ones again."""
        self.tokens_out = 0
        """Number of tokens that the model wrote."""
        self.uncounted = 0
        """Number of episodes of which the server tells no token counts, or not of each turn."""

    def add(self, trajectory: Trajectory) -> None:
        """Count an episode."""
        from saccade.measures.summary import prompt_tokens, response_tokens

        value = trajectory.verdict.value if trajectory.verdict and trajectory.score else None
        if value is not None:
            self.scored += 1
            self.value += value
        read, written = prompt_tokens(trajectory), response_tokens(trajectory)
        self.uncounted += read is None or written is None
        self.tokens_in += read or 0
        self.tokens_out += written or 0

    @property
    def cost(self) -> float | None:
        """Money that the tokens cost; None where no price is known."""
        return self.price.of(self.tokens_in, self.tokens_out) if self.price.known else None

    @property
    def note(self) -> str:
        """In one line: `accuracy 0.83 (n 12), 61k + 2k tokens, cost 0.12`."""
        parts = []
        if self.scored:
            parts.append(f"accuracy {self.value / self.scored:.2f} (n {self.scored})")
        if self.tokens_in or self.tokens_out:
            parts.append(f"{_short(self.tokens_in)} + {_short(self.tokens_out)} tokens")
        if self.cost is not None:
            parts.append(f"cost {self.cost:.2f}")
        return ", ".join(parts)


def _short(number: int) -> str:
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number)
