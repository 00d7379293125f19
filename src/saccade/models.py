"""A local vision-language model with its renderer, and the log-probabilities that it gives."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from transformers import AutoModelForImageTextToText, PreTrainedModel
from transformers.utils.logging import (
    disable_progress_bar,
    enable_progress_bar,
    is_progress_bar_enabled,
)

from saccade.errors import RenderError
from saccade.render.qwen_vl import QwenVLRenderer, Rendered, load_renderer, positions

CHUNK = 512
"""Positions whose logits exist at one time: a large vocabulary times a long context is too much."""


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode and what renders trajectories for it."""

    model: PreTrainedModel
    renderer: QwenVLRenderer
    path: str

    @property
    def device(self) -> torch.device:
        return torch.device(self.model.device)


@dataclass(frozen=True)
class Batch:
    """Rendered trajectories as the inputs of a model, padded to one length."""

    input_ids: torch.Tensor
    """(B, T) int64."""
    attention_mask: torch.Tensor
    """(B, T) int64, 0 on padding."""
    position_ids: torch.Tensor
    """(3, B, T) int64."""
    pixel_values: torch.Tensor | None
    image_grid_thw: torch.Tensor | None
    mm_token_type_ids: torch.Tensor
    """(B, T) int32, 1 on image tokens."""

    def inputs(self) -> dict[str, torch.Tensor]:
        """Keyword arguments of the forward pass."""
        return {name: value for name, value in vars(self).items() if value is not None}


def use_threads(at_most: int) -> None:
    """Let a forward pass use no more CPU threads than this, and never more than it used so far.

    Matrices of tiny models gain nothing from many threads, and lose much where cores are shared.
    """
    torch.set_num_threads(min(at_most, torch.get_num_threads()))


@contextmanager
def without_bars() -> Iterator[None]:
    """Silence the progress bars of transformers: a library says nothing, a command has its own."""
    shown = is_progress_bar_enabled()
    disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            enable_progress_bar()


def load(
    path: str | Path, *, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> LoadedModel:
    """Load a checkpoint by the ordinary path; its code is never run, only safetensors are read.

    Args:
        path: A folder, or a model id of the hub.
        device: "cpu", "cuda", "cuda:1", ...
        dtype: Of the weights.

    Raises:
        ConfigError: the checkpoint is of a family that has no renderer.
    """
    renderer = load_renderer(path)
    with without_bars():
        model = AutoModelForImageTextToText.from_pretrained(
            path, dtype=dtype, use_safetensors=True, trust_remote_code=False
        )
    return LoadedModel(model.to(device).eval(), renderer, str(path))


def save_weights(model: PreTrainedModel, folder: str | Path, *, dtype: torch.dtype) -> None:
    """Write weights and configuration; the model itself keeps the type that it has."""
    tied = model.config.tie_word_embeddings
    state = {
        name: value.to(dtype)
        for name, value in model.state_dict().items()
        if not (tied and name == "lm_head.weight")
    }
    with without_bars():
        model.save_pretrained(folder, state_dict=state)
    path = Path(folder) / "config.json"
    config = json.loads(path.read_text())
    name = str(dtype).removeprefix("torch.")
    for section in (config, *(v for v in config.values() if isinstance(v, dict))):
        if "dtype" in section:
            section["dtype"] = name
    path.write_text(json.dumps(config, indent=2) + "\n")


def collate(
    loaded: LoadedModel, rendered: Sequence[Rendered], *, side: Literal["left", "right"]
) -> Batch:
    """Pad rendered trajectories into a batch; rows with and without images mix.

    Raises:
        RenderError: nothing to put into a batch.
    """
    if not rendered:
        raise RenderError("collate: at least one trajectory is needed")
    renderer, device = loaded.renderer, loaded.device
    size = (len(rendered), max(len(r.ids) for r in rendered))
    ids = torch.full(size, renderer.pad, dtype=torch.long)
    mask = torch.zeros(size, dtype=torch.long)
    places = torch.zeros((3, *size), dtype=torch.long)
    for row, item in enumerate(rendered):
        length = len(item.ids)
        at = slice(size[1] - length, None) if side == "left" else slice(0, length)
        ids[row, at] = torch.tensor(item.ids)
        mask[row, at] = 1
        grids = renderer.grids(item.images)
        m_rope = positions(item.ids, grids, renderer.image_token, renderer.rule.merge)
        places[:, row, at] = torch.from_numpy(m_rope)
    images = [image for item in rendered for image in item.images]
    pixels = renderer.pixels(images) if images else None
    return Batch(
        input_ids=ids.to(device),
        attention_mask=mask.to(device),
        position_ids=places.to(device),
        pixel_values=pixels.pixel_values.to(device, loaded.model.dtype) if pixels else None,
        image_grid_thw=pixels.image_grid_thw.to(device) if pixels else None,
        mm_token_type_ids=(ids == renderer.image_token).to(torch.int32).to(device),
    )


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
    hidden = loaded.model.model(**batch.inputs(), use_cache=False).last_hidden_state
    rows = []
    for row, item in enumerate(rendered):
        targets = batch.input_ids[row, 1 : len(item.ids)]
        states = hidden[row, : len(item.ids) - 1]
        pieces = [
            _gathered(loaded, states[at : at + CHUNK], targets[at : at + CHUNK], temperature)
            for at in range(0, len(targets), CHUNK)
        ]
        first = torch.full((1,), float("nan"), device=loaded.device)
        rows.append(torch.cat([first, *pieces]))
    return rows


def _gathered(
    loaded: LoadedModel, states: torch.Tensor, targets: torch.Tensor, temperature: float
) -> torch.Tensor:
    logits = loaded.model.lm_head(states).float()
    forbidden = torch.tensor(loaded.renderer.suppressed, device=logits.device)
    logits = logits.index_fill(-1, forbidden, float("-inf")) / temperature
    chosen: torch.Tensor = logits.log_softmax(-1).gather(-1, targets[:, None])
    return chosen[:, 0]
