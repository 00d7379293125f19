"""A vision-language model as a target: what it will answer, as a function of the pixels it sees.

    target = AnswerSet(load("path/to/model"), trajectory, ["A", "B", "C", "D"])
    pairs = eigenpairs(target, target.pixels())          # where the decision is most sensitive

Pixels are those of one image as the model is shown it, after every resize: they pass through the
same differentiable patchify as in inference and training. With `source=True` they are those of the
photograph, of which every view and crop of it is a differentiable resize. `AnswerSet` is a closed
choice (options, yes / no, names of tools), renormalised over it; `WholeAnswer` is every position of
a given answer with the whole vocabulary, whose Fisher matrix is the sum over positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import interpolate

from saccade.errors import ConfigError
from saccade.geometry import Box
from saccade.image import Image
from saccade.models import LoadedModel, collate, hidden_states
from saccade.render.patches import as_tensor, patchify
from saccade.render.qwen_vl import Rendered
from saccade.types import Trajectory


class _Seen:
    """A prompt of which one image, or its source, is an input."""

    def __init__(
        self,
        loaded: LoadedModel,
        trajectory: Trajectory,
        *,
        written: Sequence[int],
        image: int,
        source: bool,
        exact: bool,
    ) -> None:
        self._loaded = loaded
        prompt = loaded.renderer.render(trajectory, generation=True)
        if not 0 <= image < len(prompt.images):
            raise ConfigError(
                f"image: the prompt shows {len(prompt.images)}, there is none at {image}"
            )
        self._ids = [*prompt.ids, *written]
        self._images = prompt.images
        self._shown = list(dict.fromkeys(prompt.images))  # as `collate` orders them
        self._input = prompt.images[image]
        self._source = source
        self._exact = exact
        suppressed = torch.zeros(loaded.model.lm_head.out_features, dtype=torch.bool)
        suppressed[list(loaded.renderer.suppressed)] = True
        self._allowed = (~suppressed).nonzero()[:, 0]
        self._column = suppressed.logical_not().cumsum(0) - 1

    def pixels(self) -> torch.Tensor:
        """(1, 3, H, W) in [0, 1], in the type of the model: the image as it is."""
        shown = self._input
        if self._source:
            size = shown.source.size
            shown = Image(shown.source, Box(0, 0, *size), size)
        return as_tensor(shown)[None].to(self._loaded.device, self._loaded.model.dtype)

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
        loaded = self._loaded
        rendered = [Rendered([*self._ids, *answer], [], [], self._images, 0) for answer in answers]
        batch = collate(loaded, rendered, side="right")
        patches = list(batch.patches)
        for place, shown in enumerate(self._shown):
            changed = self._changed(shown, x)
            if changed is not None:
                patches[place] = patchify([changed], loaded.renderer.rule).pixel_values
        # Derivatives in both directions exist for plain attention only.
        attention = sdpa_kernel(SDPBackend.MATH) if self._exact else nullcontext()
        with attention:
            states = hidden_states(loaded.model, replace(batch, patches=tuple(patches)))
        start = len(self._ids) - 1
        rows = []
        for row, answer in enumerate(answers):
            logits = loaded.model.lm_head(states[row, start : start + len(answer)])
            wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
            rows.append(wide.index_select(-1, self._allowed).log_softmax(-1))
        return rows

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
        super().__init__(
            loaded, trajectory, written=written, image=image, source=source, exact=exact
        )
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
        super().__init__(
            loaded, trajectory, written=written, image=image, source=source, exact=exact
        )
        self._answer = self._tokens(answer)

    def log_probs(self, x: torch.Tensor) -> torch.Tensor:
        """Over the tokens that may be sampled."""
        return torch.stack([self._rows(one, [self._answer])[0] for one in x])
