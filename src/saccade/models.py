"""A local vision-language model with its renderer, and the log-probabilities that it gives."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from pydantic import ValidationError
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import AutoModelForImageTextToText, PreTrainedModel
from transformers.utils.generic import ModelOutput
from transformers.utils.logging import (
    disable_progress_bar,
    enable_progress_bar,
    is_progress_bar_enabled,
)

from saccade import __version__
from saccade.errors import FormatError, RenderError
from saccade.render.qwen_vl import QwenVLRenderer, Rendered, load_renderer, positions
from saccade.types import Record

STAMP = "saccade.json"

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
    """Rendered trajectories as the inputs of a model, padded to one length.

    An image that is in it several times, as the question of a group is, is held and encoded once.
    """

    input_ids: torch.Tensor
    """(B, T) int64."""
    attention_mask: torch.Tensor
    """(B, T) int64, 0 on padding."""
    position_ids: torch.Tensor
    """(3, B, T) int64."""
    mm_token_type_ids: torch.Tensor
    """(B, T) int32, 1 on image tokens."""
    patches: tuple[torch.Tensor, ...]
    """Of each distinct image (t*h*w, 3 * temporal * patch * patch)."""
    grids: torch.Tensor
    """(N, 3) int64: of every image, in order."""
    which: torch.Tensor
    """(N,) int64: every image's place among the distinct ones."""

    def inputs(self) -> dict[str, torch.Tensor]:
        """Keyword arguments of the forward pass of the class, every image repeated."""
        inputs = {**self.text(), "position_ids": self.position_ids}
        if self.patches:
            inputs["pixel_values"] = torch.cat([self.patches[i] for i in self.which.tolist()])
        return inputs

    def text(self) -> dict[str, torch.Tensor]:
        """Keyword arguments without the pixels, which `encode_images` has turned into features."""
        inputs = {
            "input_ids": self.input_ids,
            "attention_mask": self.attention_mask,
            "mm_token_type_ids": self.mm_token_type_ids,
        }
        return inputs | ({"image_grid_thw": self.grids} if self.patches else {})


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


class Stamp(Record):
    """What a checkpoint says of how it came about; the content of `saccade.json` in its folder."""

    fingerprints: tuple[str, ...] = ()
    """Of the environments that it was trained in."""
    saccade: str = ""
    """The version that wrote it."""


def write_stamp(folder: str | Path, fingerprints: Sequence[str]) -> None:
    """Note in a checkpoint which environments it was trained in."""
    stamp = Stamp(fingerprints=tuple(fingerprints), saccade=__version__)
    (Path(folder) / STAMP).write_text(stamp.model_dump_json(indent=2) + "\n")


def read_stamp(folder: str | Path) -> Stamp:
    """The stamp of a checkpoint; an empty one for a model that others made.

    Raises:
        FormatError: the file is no stamp.
    """
    path = Path(folder) / STAMP
    if not path.is_file():
        return Stamp()
    try:
        return Stamp.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise FormatError(f"{path}: {error.errors()[0]['msg']}") from error


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
    distinct = {image: place for place, image in enumerate(dict.fromkeys(images))}
    patches = (renderer.pixels([image]).pixel_values for image in distinct)
    every_grid = torch.tensor(renderer.grids(images), dtype=torch.long).view(-1, 3)
    return Batch(
        input_ids=ids.to(device),
        attention_mask=mask.to(device),
        position_ids=places.to(device),
        mm_token_type_ids=(ids == renderer.image_token).to(torch.int32).to(device),
        patches=tuple(p.to(device, loaded.model.dtype) for p in patches),
        grids=every_grid.to(device),
        which=torch.tensor([distinct[image] for image in images], dtype=torch.long).to(device),
    )


def encode_images(model: PreTrainedModel, batch: Batch) -> dict[str, ModelOutput]:
    """Features of every image; the `mm_encoder_outputs` of a forward pass. Gradients flow.

    Each distinct image goes through the vision tower once.
    """
    if not batch.patches:
        return {}
    first = torch.full((len(batch.patches),), -1, dtype=torch.long)
    for place, which in enumerate(batch.which.tolist()):
        first[which] = place
    seen = model.get_image_features(torch.cat(batch.patches), batch.grids[first], return_dict=True)
    order = batch.which.tolist()
    seen.pooler_output = [seen.pooler_output[i] for i in order]
    deep = getattr(seen, "deepstack_features", None)
    if deep is not None:  # Qwen3-VL: features of some inner layers as well
        seen.deepstack_features = [[layer[i] for i in order] for layer in deep]
    return {"image": seen}


def hidden_states(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """(B, T, width) last hidden states of a batch."""
    states: torch.Tensor = model.model(
        **batch.text(),
        position_ids=batch.position_ids,
        mm_encoder_outputs=encode_images(model, batch),
        use_cache=False,
    ).last_hidden_state
    return states


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
