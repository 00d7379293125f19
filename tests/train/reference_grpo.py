"""A plain GRPO step on one batch, for comparison. Imports torch and transformers, nothing of ours.

The model is the class of transformers as it is; every image is encoded as often as it is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForImageTextToText


@dataclass
class Episode:
    """What a step knows of an episode."""

    ids: list[int]
    trained: list[bool]
    pixel_values: torch.Tensor | None
    image_grid_thw: torch.Tensor | None
    reward: float | None


def load(path: str) -> Any:
    return AutoModelForImageTextToText.from_pretrained(path, dtype=torch.float32).train()


def log_probs(model: Any, episode: Episode, suppressed: list[int], temperature: float) -> Any:
    """(T - 1,) log-probability of each id but the first."""
    ids = torch.tensor([episode.ids])
    images = {}
    if episode.pixel_values is not None:
        images = {
            "pixel_values": episode.pixel_values,
            "image_grid_thw": episode.image_grid_thw,
            "mm_token_type_ids": (ids == model.config.image_token_id).int(),
        }
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), **images).logits[0, :-1]
    logits[:, suppressed] = -torch.inf
    logits = logits / temperature
    return logits.log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0]


def advantages(rewards: list[float | None]) -> list[float]:
    """Of one group; an episode without a reward counts for nothing."""
    known = torch.tensor([r for r in rewards if r is not None])
    if len(known) < 2:
        return [0.0] * len(rewards)
    mean, deviation = known.mean(), known.std()
    return [0.0 if r is None else float((r - mean) / (deviation + 1e-4)) for r in rewards]


def step(
    model: Any,
    groups: list[list[Episode]],
    *,
    suppressed: list[int],
    temperature: float = 1.0,
    clip: float = 0.2,
    old: dict[int, torch.Tensor] | None = None,
) -> float:
    """Loss of a step, its gradient added up in the parameters; the mean is over all tokens."""
    tokens = sum(sum(e.trained) for group in groups for e in group)
    total = 0.0
    for group in groups:
        advantages_G = advantages([e.reward for e in group])
        for episode, advantage in zip(group, advantages_G, strict=True):
            trained = torch.tensor(episode.trained[1:])
            if not trained.any():
                continue
            now = log_probs(model, episode, suppressed, temperature)[trained]
            before = old[id(episode)] if old else now.detach()
            ratio = (now - before).exp()
            bounded = ratio.clamp(1 - clip, 1 + clip)
            loss = -torch.minimum(ratio * advantage, bounded * advantage).sum() / tokens
            loss.backward()
            total += loss.item()
    return total
