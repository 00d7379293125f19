"""Sampling whose noise belongs to a row, never to its batch; as plug-ins of `generate`.

A token is the argmax of logits / temperature plus Gumbel noise, which is a draw from the softmax
(Gumbel-max). The noise of a row comes from a generator of its own, seeded by `Sampling.seed`, so
the same turn gets the same tokens alone or among sixty-four others. The draw is the same on the
same kind of device; CPU and CUDA differ.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import LogitsProcessor, StoppingCriteria

from saccade.render.qwen_vl import QwenVLRenderer
from saccade.types import Force, Sampling

_TAIL_TOKENS = 48
"""A stop string is looked for in this many of the newest tokens; each holds a byte or more."""


class Sampler(LogitsProcessor):
    """Chooses each row's next token and keeps its log-probability; `generate` then is greedy."""

    def __init__(
        self,
        samplings: Sequence[Sampling],
        suppressed: Sequence[int],
        device: torch.device,
        forces: Sequence[Forcing | None] = (),
    ) -> None:
        self._forces = forces
        self.log_probs: list[list[float]] = [[] for _ in samplings]
        """Of each chosen id: natural log at the sampling temperature (1 if greedy), control ids
        that are never sampled left out, before any top-p cut."""
        heat = [s.temperature for s in samplings]
        self._greedy = torch.tensor([t == 0 for t in heat], device=device)
        self._heat = torch.tensor([[t or 1.0] for t in heat], device=device)
        self._top_p = torch.tensor([[s.top_p] for s in samplings], device=device)
        self._cut = any(s.top_p < 1 for s in samplings)
        self._suppressed = torch.tensor(suppressed, dtype=torch.long, device=device)
        self._noise = [torch.Generator(device).manual_seed(s.seed) for s in samplings]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """(B, V) logits -> (B, V) with 0 at the chosen id and -inf elsewhere."""
        logits = scores.float().index_fill(-1, self._suppressed, float("-inf")) / self._heat
        log_probs = logits.log_softmax(-1)
        noisy = _cut_tail(log_probs, self._top_p) if self._cut else log_probs
        noisy = torch.where(self._greedy[:, None], log_probs, noisy + self._gumbel(log_probs))
        chosen = noisy.argmax(-1, keepdim=True)
        for row, force in enumerate(self._forces):
            if force is not None:
                chosen[row] = force.choose(int(chosen[row]))
        picked = log_probs.gather(-1, chosen)[:, 0].tolist()
        for kept, value in zip(self.log_probs, picked, strict=True):
            kept.append(value)
        only = torch.full_like(scores, float("-inf"))
        return only.scatter_(-1, chosen, 0.0)  # type: ignore[return-value]

    def _gumbel(self, like: torch.Tensor) -> torch.Tensor:
        noise = torch.zeros_like(like)
        for row, generator in enumerate(self._noise):
            if not self._greedy[row]:
                noise[row].exponential_(generator=generator)
        return -noise.clamp_min_(1e-30).log_()


class Forcing:
    """Puts a given text into a turn: after its thought, or at its start if it opens none."""

    def __init__(self, force: Force, renderer: QwenVLRenderer) -> None:
        self._renderer = renderer
        self._left = renderer.encode(force.text)
        self._opening = renderer.encode(force.opening)[:1]
        self._closing = force.closing
        self._written: list[int] = []
        self._due = not force.closing

    def choose(self, wanted: int) -> int:
        """The next id, given what the model wants."""
        if not self._written and self._opening:
            self._due = self._due or wanted != self._opening[0]
        chosen = self._left.pop(0) if self._due and self._left else wanted
        self._written.append(chosen)
        if not self._due:
            # Each token holds a character or more, so the newest ones hold all of the closing.
            newest = self._written[-len(self._closing) :]
            self._due = self._closing in self._renderer.decode(newest)
        return chosen


class Stopper(StoppingCriteria):
    """Ends a row at a stop string or at its own token limit; remembers where."""

    def __init__(
        self, samplings: Sequence[Sampling], limits: Sequence[int], renderer: QwenVLRenderer
    ) -> None:
        self.lengths: list[int | None] = [None] * len(samplings)
        """New tokens of each row that was ended here."""
        self.stopped = [False] * len(samplings)
        """Whether a stop string ended it."""
        self._stops = [s.stop for s in samplings]
        self._ends = [{stop[-1] for stop in s.stop if stop} for s in samplings]
        self._limits = limits
        self._renderer = renderer
        self._start: int | None = None

    def __call__(
        self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **_: object
    ) -> torch.BoolTensor:
        """(B, T) ids -> (B,) whether each row is done."""
        if self._start is None:
            self._start = input_ids.shape[1] - 1
        new = input_ids.shape[1] - self._start
        for row, limit in enumerate(self._limits):
            if self.lengths[row] is None:
                self.stopped[row] = self._stops_here(row, input_ids, new)
                if self.stopped[row] or new >= limit:
                    self.lengths[row] = new
        done = [length is not None for length in self.lengths]
        return torch.tensor(done, device=input_ids.device)  # type: ignore[return-value]

    def _stops_here(self, row: int, input_ids: torch.Tensor, new: int) -> bool:
        last = self._renderer.text_of(int(input_ids[row, -1]))
        if not any(char in last or not char.isascii() for char in self._ends[row]):
            return False  # no stop string ends in this token
        tail = input_ids[row, -min(new, _TAIL_TOKENS) :].tolist()
        text = self._renderer.tokenizer.decode(tail, skip_special_tokens=False)
        return any(stop in text for stop in self._stops[row])


def _cut_tail(log_probs: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    """-inf outside the smallest set of most likely ids that holds `top_p` of the mass."""
    ordered, order = log_probs.sort(-1, descending=True)
    before = ordered.exp().cumsum(-1) - ordered.exp()
    ordered = ordered.masked_fill(before >= top_p, float("-inf"))
    return torch.empty_like(log_probs).scatter_(-1, order, ordered)
