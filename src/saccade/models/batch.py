"""Rendered trajectories as the inputs of a model, and what a model makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from transformers import PreTrainedModel

from saccade.cache import ByteCache
from saccade.config import check_choice
from saccade.errors import RenderError
from saccade.images.image import Image
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
    images: tuple[Image, ...]
    """The distinct images."""
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
    check_choice("side", side, ("left", "right"))
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
    patches, of_each = renderer.pixels(tuple(distinct))
    every_grid = torch.tensor(renderer.grids(images), dtype=torch.long).view(-1, 3)
    return Batch(
        input_ids=ids.to(device),
        attention_mask=mask.to(device),
        position_ids=places.to(device),
        mm_token_type_ids=(ids == renderer.image_token).to(torch.int32).to(device),
        images=tuple(distinct),
        patches=torch.split(patches.to(device, loaded.model.dtype), of_each.prod(-1).tolist()),
        grids=every_grid.to(device),
        which=torch.tensor([distinct[image] for image in images], dtype=torch.long).to(device),
    )


class Features(NamedTuple):
    """What the vision tower makes of an image, a row for each of its tokens."""

    pooled: torch.Tensor
    """(tokens, width)."""
    deep: tuple[torch.Tensor, ...]
    """(tokens, width) from each inner layer that the language model sees as well (Qwen3-VL)."""

    def copy(self) -> Features:
        """The same values in storage of their own, not in that of a whole batch."""
        return Features(self.pooled.clone(), tuple(layer.clone() for layer in self.deep))

    @property
    def nbytes(self) -> int:
        return self.pooled.nbytes + sum(layer.nbytes for layer in self.deep)


FeatureCache = ByteCache[Image, Features]
"""Features of images under one set of weights."""


@dataclass
class Encoded:
    """The features of every image of a batch, under the names that the classes read."""

    pooler_output: list[torch.Tensor]
    deepstack_features: list[list[torch.Tensor]]


def encode_images(
    model: PreTrainedModel, batch: Batch, *, cache: FeatureCache | None = None
) -> dict[str, Encoded]:
    """Make the features of every image: the `mm_encoder_outputs` of a forward pass.

    Gradients flow. Each distinct image goes through the vision tower once; one that `cache` holds,
    not at all. The tower attends within an image: what it makes of one does not depend on others.

    Args:
        model: The model.
        batch: The images.
        cache: Features under the weights that the model has now; new ones are added.
    """
    if not batch.patches:
        return {}
    found: dict[int, Features] = {}
    if cache is not None:
        held = ((place, cache.get(image)) for place, image in enumerate(batch.images))
        found = {place: features for place, features in held if features is not None}
    which = batch.which.tolist()
    new = [place for place in range(len(batch.images)) if place not in found]
    if new:
        patches = torch.cat([batch.patches[place] for place in new])
        grids = batch.grids[[which.index(place) for place in new]]
        for place, features in zip(new, _encode(model, patches, grids), strict=True):
            found[place] = features
            if cache is not None:
                cache.put(batch.images[place], features.copy())
    shown = [found[place] for place in which]
    deep = [list(layer) for layer in zip(*(features.deep for features in shown), strict=True)]
    return {"image": Encoded([features.pooled for features in shown], deep)}


def _encode(model: PreTrainedModel, patches: torch.Tensor, grids: torch.Tensor) -> list[Features]:
    seen = model.get_image_features(patches, grids, return_dict=True)
    deep = getattr(seen, "deepstack_features", None) or ()  # Qwen3-VL: of some inner layers
    return [
        Features(pooled, tuple(layer[place] for layer in deep))
        for place, pooled in enumerate(seen.pooler_output)
    ]


def hidden_states(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """(B, T, width) last hidden states of a batch."""
    states: torch.Tensor = model.model(
        **batch.text(),
        position_ids=batch.position_ids,
        mm_encoder_outputs=encode_images(model, batch),
        use_cache=False,
    ).last_hidden_state
    return states
