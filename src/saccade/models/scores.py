"""Teacher-forced log-probabilities and entropies, of the distribution that is sampled from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from saccade.models.batch import collate, hidden_states
from saccade.models.load import LoadedModel
from saccade.render.qwen_vl import Rendered
from saccade.types import Trajectory

CHUNK = 512
"""Positions whose logits exist at one time: a large vocabulary times a long context is too much."""


class TokenScores(NamedTuple):
    """What a model makes of tokens that are there already. Gradients flow."""

    log_probs: torch.Tensor
    """(N,) float32: natural log, at the sampling temperature."""
    entropy: torch.Tensor
    """(N,) float32, in nats: of the distribution that the token was drawn from."""


def score_tokens(
    head: nn.Module,
    states: torch.Tensor,
    targets: torch.Tensor,
    *,
    suppressed: Sequence[int],
    temperature: float,
) -> TokenScores:
    """Log-probabilities and entropies of tokens, as `policies.hf` samples them.

    Logits exist for `CHUNK` positions at one time; for the gradient they are computed again.

    Args:
        head: From hidden states to logits.
        states: (N, width), each of the position before its token.
        targets: (N,) int64.
        suppressed: Ids that a sampler never produces: they are left out of the distribution.
        temperature: Of the sampling; 1 for greedy rollouts.
    """
    pieces = []
    for at in range(0, max(len(targets), 1), CHUNK):
        part = slice(at, at + CHUNK)
        arguments = (head, states[part], targets[part], tuple(suppressed), temperature)
        if torch.is_grad_enabled() and len(targets) > CHUNK:
            pieces.append(checkpoint(_score_chunk, *arguments, use_reentrant=False))
        else:
            pieces.append(_score_chunk(*arguments))
    return TokenScores(*(torch.cat(column) for column in zip(*pieces, strict=True)))


def log_probs(
    loaded: LoadedModel, rendered: Sequence[Rendered], *, temperature: float = 1.0
) -> list[torch.Tensor]:
    """Teacher-forced log-probability of each id given those before it. Gradients flow.

    The distribution is the one that `policies.hf` samples from: control ids that a sampler never
    produces (`QwenVLRenderer.suppressed`) are left out of it.

    Args:
        loaded: The model.
        rendered: The trajectories; they go through the model as one batch.
        temperature: The sampling temperature; 1 for greedy rollouts.

    Returns:
        For each trajectory (T,) float32; the first entry, which nothing precedes, is NaN.
    """
    batch = collate(loaded, rendered, side="right")
    hidden = hidden_states(loaded.model, batch)
    rows = []
    for row, item in enumerate(rendered):
        scores = score_tokens(
            loaded.model.lm_head,
            hidden[row, : len(item.ids) - 1],
            batch.input_ids[row, 1 : len(item.ids)],
            suppressed=loaded.renderer.suppressed,
            temperature=temperature,
        )
        first = torch.full((1,), float("nan"), device=loaded.device)
        rows.append(torch.cat([first, scores.log_probs]))
    return rows


def answer_log_prob(
    loaded: LoadedModel, so_far: Trajectory, answer: str, *, begun: str = "", ends_turn: bool
) -> float:
    """Teacher-forced log-probability of an answer as the next thing that the model writes.

    Each of the two texts is tokenised by itself, as a text that is forced on a turn is.

    Args:
        loaded: The model.
        so_far: An episode whose next turn is to answer.
        answer: The text that is scored.
        begun: What stands in that turn before it; not scored.
        ends_turn: Whether the end of the turn behind it is scored too.

    Returns:
        Natural log of a probability at temperature 1, summed over the tokens of the answer.

    Raises:
        RenderError: an image was not fitted for this model.
    """
    prompt = loaded.renderer.render(so_far, generation=True)
    ends = [loaded.renderer.end_of_turn] if ends_turn else []
    scored = [*loaded.renderer.encode(answer), *ends]
    ids = [*prompt.ids, *loaded.renderer.encode(begun), *scored]
    with torch.inference_mode():
        (row,) = log_probs(loaded, [Rendered(ids, [], [], prompt.images, prompt.prompt_len)])
    return float(row[len(ids) - len(scored) :].sum())


def _score_chunk(
    head: nn.Module,
    states: torch.Tensor,
    targets: torch.Tensor,
    suppressed: tuple[int, ...],
    temperature: float,
) -> TokenScores:
    logits = head(states).float()
    forbidden = torch.tensor(suppressed, dtype=torch.long, device=logits.device)
    logits = logits.index_fill(-1, forbidden, float("-inf")) / temperature
    known = logits.log_softmax(-1)
    chosen = known.gather(-1, targets[:, None])[:, 0]
    entropy = -(known.exp() * known.masked_fill(known.isneginf(), 0.0)).sum(-1)
    return TokenScores(chosen, entropy)
