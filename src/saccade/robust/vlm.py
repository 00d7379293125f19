"""A vision-language model as a target: what it will answer, as a function of the pixels it sees.

    target = AnswerSet(load("path/to/model"), trajectory, ["A", "B", "C", "D"])
    pairs = eigenpairs(target, target.pixels())          # where the decision is most sensitive

Pixels are those of one image as the model is shown it, after every resize: they pass through the
same differentiable patchify as in inference and training. With `source=True` they are those of the
photograph, of which every view and crop of it is a differentiable resize. `AnswerSet` is a closed
choice (options, yes / no, names of tools), renormalised over it; `WholeAnswer` is every position of
a given answer with the whole vocabulary, whose Fisher matrix is the sum over positions. `SameAgain`
is the decision of a whole episode: to write what was written, or anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import accumulate
from typing import Literal, get_args

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import interpolate, softplus

from saccade.config import check_choice
from saccade.errors import ConfigError
from saccade.images.geometry import Box
from saccade.images.image import Image
from saccade.models.batch import collate, hidden_states
from saccade.models.load import LoadedModel
from saccade.render.patches import as_tensor, patchify
from saccade.render.qwen_vl import Rendered
from saccade.types import Trajectory

Tokens = Literal["answer", "all"]
"""Which tokens of an episode are looked at: those of its answer, or all that were written."""


class _Seen:
    """Ids of which one image, or its source, is an input."""

    def __init__(
        self,
        loaded: LoadedModel,
        ids: Sequence[int],
        images: Sequence[Image],
        *,
        image: int,
        source: bool,
        exact: bool,
    ) -> None:
        self._loaded = loaded
        if not 0 <= image < len(images):
            raise ConfigError(f"image: the prompt shows {len(images)}, there is none at {image}")
        self._ids = list(ids)
        self._images = tuple(images)
        self._shown = list(dict.fromkeys(images))  # as `collate` orders them
        self._input = images[image]
        self._source = source
        self._exact = exact
        suppressed = torch.zeros(loaded.model.lm_head.out_features, dtype=torch.bool)
        suppressed[list(loaded.renderer.suppressed)] = True
        self._allowed = (~suppressed).nonzero()[:, 0]
        self._column = suppressed.logical_not().cumsum(0) - 1

    def pixels(self) -> torch.Tensor:
        """(1, 3, H, W) in [0, 1], of float32 at least: half of it cannot tell 256 levels apart."""
        shown = self._input
        if self._source:
            size = shown.source.size
            shown = Image(shown.source, Box(0, 0, *size), size)
        wide = torch.promote_types(self._loaded.model.dtype, torch.float32)
        return as_tensor(shown)[None].to(self._loaded.device, wide)

    def _changed(self, shown: Image, x: torch.Tensor) -> torch.Tensor | None:
        """What is shown of an input (3, H, W); None where it does not touch this image."""
        if not self._source:
            return x if shown == self._input else None
        if shown.source.digest != self._input.source.digest:
            return None
        x1, y1, x2, y2 = map(int, shown.region)
        size = (shown.size.height, shown.size.width)
        part = x[None, :, y1:y2, x1:x2]
        resized = interpolate(part, size, mode="bicubic", antialias=True, align_corners=False)
        return resized[0].clamp(0, 1)

    def _rows(self, x: torch.Tensor, answers: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """For each answer (T, V): log-probabilities of its positions, over what may be sampled."""
        states = self._states(x, [[*self._ids, *answer] for answer in answers])
        start = len(self._ids) - 1
        return [
            self._log_probs(row[start : start + len(answer)])
            for row, answer in zip(states, answers, strict=True)
        ]

    def _states(self, x: torch.Tensor, ids: Sequence[list[int]]) -> torch.Tensor:
        """(B, T, width): what the model makes of ids with the input in its place."""
        loaded = self._loaded
        rendered = [Rendered(row, [], [], self._images, 0) for row in ids]
        batch = collate(loaded, rendered, side="right")
        patches = list(batch.patches)
        for place, shown in enumerate(self._shown):
            changed = self._changed(shown, x)
            if changed is not None:
                made = patchify([changed], loaded.renderer.rule).pixel_values
                patches[place] = made.to(loaded.model.dtype)
        # Derivatives in both directions exist for plain attention only.
        attention = sdpa_kernel(SDPBackend.MATH) if self._exact else nullcontext()
        with attention:
            return hidden_states(loaded.model, replace(batch, patches=tuple(patches)))

    def _log_probs(self, states: torch.Tensor) -> torch.Tensor:
        """(T, width) -> (T, V) over what may be sampled."""
        logits: torch.Tensor = self._loaded.model.lm_head(states)
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return wide.index_select(-1, self._allowed).log_softmax(-1)

    def _columns(self, answer: Sequence[int]) -> torch.Tensor:
        return self._column[torch.tensor(answer)]

    def _tokens(self, answer: str) -> list[int]:
        ids = self._loaded.renderer.encode(answer)
        if not ids:
            raise ConfigError(f"answers: {answer!r} has no token")
        return ids


class AnswerSet(_Seen):
    """Which of a few continuations comes next: (N, 3, H, W) -> (N, A) log-probabilities."""

    def __init__(
        self,
        loaded: LoadedModel,
        trajectory: Trajectory,
        answers: Sequence[str],
        *,
        written: Sequence[int] = (),
        image: int = 0,
        source: bool = False,
        exact: bool = True,
    ) -> None:
        """Ask what follows a trajectory.

        Args:
            loaded: The model.
            trajectory: Up to now; its next turn is the question.
            answers: What may follow, as text; at least two, none the beginning of another.
            written: Ids of the next turn that stand already, a thought for example.
            image: Which image of the trajectory is the input, in the order they are shown.
            source: The input is the whole photograph that this image is taken from, at its own
                resolution, and every image taken from it changes.
            exact: Plain attention, which can be differentiated forwards. Without it the fused
                one is used and only first derivatives exist.

        Raises:
            ConfigError: fewer than two answers, one that begins another, no such image.
        """
        prompt = loaded.renderer.render(trajectory, generation=True)
        ids = [*prompt.ids, *written]
        super().__init__(loaded, ids, prompt.images, image=image, source=source, exact=exact)
        self._answers = [self._tokens(answer) for answer in answers]
        if len(answers) < 2:
            raise ConfigError(f"answers: at least two, got {list(answers)}")
        for one, ids in zip(answers, self._answers, strict=True):
            for other, longer in zip(answers, self._answers, strict=True):
                if one is not other and longer[: len(ids)] == ids:
                    raise ConfigError(f"answers: {one!r} is the beginning of {other!r}")

    def log_probs(self, x: torch.Tensor) -> torch.Tensor:
        """Renormalised over the answers."""
        return torch.stack([self._of(one) for one in x])

    def _of(self, x: torch.Tensor) -> torch.Tensor:
        rows = self._rows(x, self._answers)
        scores = [
            row.gather(1, self._columns(answer)[:, None]).sum()
            for row, answer in zip(rows, self._answers, strict=True)
        ]
        return torch.stack(scores).log_softmax(0)


class WholeAnswer(_Seen):
    """Every position of an answer: (N, 3, H, W) -> (N, T, V) log-probabilities.

    Positions are conditioned on the answer that is given (teacher forcing); with the model's own
    greedy answer it is the sequence-level Fisher matrix at one sample.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        trajectory: Trajectory,
        answer: str,
        *,
        written: Sequence[int] = (),
        image: int = 0,
        source: bool = False,
        exact: bool = True,
    ) -> None:
        """Ask how sure each token of an answer is; arguments as of `AnswerSet`.

        Raises:
            ConfigError: an empty answer, no such image.
        """
        prompt = loaded.renderer.render(trajectory, generation=True)
        ids = [*prompt.ids, *written]
        super().__init__(loaded, ids, prompt.images, image=image, source=source, exact=exact)
        self._answer = self._tokens(answer)

    def log_probs(self, x: torch.Tensor) -> torch.Tensor:
        """Over the tokens that may be sampled."""
        return torch.stack([self._rows(one, [self._answer])[0] for one in x])


class SameAgain(_Seen):
    """Whether a policy would write what it wrote: (N, 3, H, W) -> (N, 2) log-probabilities.

    Of the same tokens, and of any other, given what it was shown in the episode (teacher forcing).
    Where both are of order one or one is of order 1e-30, neither is rounded away.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        trajectory: Trajectory,
        *,
        tokens: Tokens = "all",
        image: int = 0,
        source: bool = False,
        exact: bool = True,
    ) -> None:
        """Ask whether an episode would go the same way.

        Args:
            loaded: The model.
            trajectory: A finished episode of it.
            tokens: Those of the answer, or all that were written: thoughts and calls too.
            image: As of `AnswerSet`.
            source: As of `AnswerSet`.
            exact: As of `AnswerSet`.

        Raises:
            ConfigError: nothing was written, no answer is found in it, or other tokens are asked
                for.
        """
        check_choice("tokens", tokens, get_args(Tokens))
        whole = loaded.renderer.render(trajectory, generation=False)
        super().__init__(loaded, whole.ids, whole.images, image=image, source=source, exact=exact)
        written = [place for place, sampled in enumerate(whole.sampled) if sampled]
        if tokens == "answer":
            written = _of_answer(whole, trajectory.answer, loaded.renderer.text_of)
        if not written:
            raise ConfigError(f"{trajectory.id}: no tokens of {tokens!r} are found in the episode")
        self._written = torch.tensor(written)
        self._chosen = self._columns([whole.ids[place] for place in written])[:, None]

    def log_probs(self, x: torch.Tensor) -> torch.Tensor:
        """In float64."""
        return torch.stack([self._of(one) for one in x])

    def _of(self, x: torch.Tensor) -> torch.Tensor:
        rows = self._log_probs(self._states(x, [self._ids])[0, self._written - 1]).double()
        others = rows.scatter(1, self._chosen, -torch.inf).logsumexp(1)
        odds = others - rows.gather(1, self._chosen)[:, 0]  # logarithm, of another token
        surprise = softplus(odds).sum()  # -log p(same), exact where p is 1 in float32
        return torch.stack([-surprise, (-torch.expm1(-surprise)).log()])


def _of_answer(whole: Rendered, answer: str | None, text_of: Callable[[int], str]) -> list[int]:
    """Places of the ids that write the answer, in the last turn."""
    end = max((place for place, sampled in enumerate(whole.sampled) if sampled), default=-1) + 1
    start = end
    while start and whole.sampled[start - 1]:
        start -= 1
    pieces = [text_of(token) for token in whole.ids[start:end]]
    first = "".join(pieces).rfind(answer) if answer else -1
    if answer is None or first < 0:
        return []
    ends = list(accumulate(map(len, pieces)))
    begins = [0, *ends[:-1]]
    last = first + len(answer)
    return [start + i for i in range(len(pieces)) if ends[i] > first and begins[i] < last]
