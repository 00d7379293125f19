"""Rendered trajectories as the inputs of a model, and what a model makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from transformers import PreTrainedModel
from transformers.utils.generic import ModelOutput

from saccade.errors import RenderError
from saccade.models.load import LoadedModel
from saccade.render.qwen_vl import Rendered, positions


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
