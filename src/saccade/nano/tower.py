"""The vision tower on many images of one size at a time: what the class computes, in half the time.

The class splits a batch and attends image by image. Training encodes hundreds of equal images in a
step, so here they go through the same modules and weights as one batch. A test compares the two.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
    Qwen2_5_VisionTransformerPretrainedModel as Tower,
)
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
    Qwen2_5_VLRMSNorm,
    Qwen2_5_VLVisionAttention,
)

from saccade.nano.model import FACTOR, MEAN, MERGE, PATCH, STD

__all__ = ["Tower", "encode"]


def encode(visual: Tower, images: torch.Tensor) -> torch.Tensor:
    """Encode images: the features that `visual` gives where every block attends everywhere.

    Args:
        visual: The vision tower of an embedded model.
        images: (N, H, W, 3) uint8, sides multiples of 14.

    Returns:
        (N, H/14 * W/14, width): one row for each image token.
    """
    n, height, width, _ = images.shape
    rows, columns = height // PATCH, width // PATCH
    tokens, features = rows * columns // MERGE**2, visual.config.out_hidden_size
    if not n:
        return torch.zeros(0, tokens, features)
    weight = visual.patch_embed.proj.weight
    x = F.linear(_patches(images), weight.flatten(1))
    cos, sin = _rotation(visual, rows, columns)
    for block in visual.blocks:
        x = x + _attend(block.attn, _normed(block.norm1, x), cos, sin)
        x = x + block.mlp(_normed(block.norm2, x))
    merged: torch.Tensor = visual.merger(x.flatten(0, 1))
    return merged.view(n, tokens, features)


def _patches(images: torch.Tensor) -> torch.Tensor:
    """(N, H/7 * W/7, 3 * 2 * 7 * 7), the four patches of a token together."""
    n, height, width, _ = images.shape
    x = (images.float() / 255 - MEAN) / STD
    x = x.view(n, height // FACTOR, MERGE, PATCH, width // FACTOR, MERGE, PATCH, 3)
    x = x.permute(0, 1, 4, 2, 5, 7, 3, 6)  # n, tokens down, across, patches down, across, 3, 7, 7
    x = x.unsqueeze(6).expand(*x.shape[:6], 2, PATCH, PATCH)
    return x.flatten(6).flatten(1, 4).flatten(2)


def _rotation(visual: Tower, rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    down, across = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    places = torch.stack([down, across], -1)
    places = places.view(rows // MERGE, MERGE, columns // MERGE, MERGE, 2).permute(0, 2, 1, 3, 4)
    angles = (places.reshape(-1, 2, 1) * visual.rotary_pos_emb.inv_freq).flatten(1)
    angles = torch.cat([angles, angles], -1)
    return angles.cos(), angles.sin()


def _attend(
    attention: Qwen2_5_VLVisionAttention, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
) -> torch.Tensor:
    n, length, width = x.shape
    qkv = attention.qkv(x).view(n, length, 3, attention.num_heads, -1)
    query, key, value = qkv.permute(2, 0, 3, 1, 4)
    query, key = query * cos + _turned(query) * sin, key * cos + _turned(key) * sin
    mixed = F.scaled_dot_product_attention(query, key, value)
    out: torch.Tensor = attention.proj(mixed.transpose(1, 2).reshape(n, length, width))
    return out


def _turned(x: torch.Tensor) -> torch.Tensor:
    left, right = x.chunk(2, -1)
    return torch.cat([-right, left], -1)


def _normed(norm: Qwen2_5_VLRMSNorm, x: torch.Tensor) -> torch.Tensor:
    return F.rms_norm(x, (x.shape[-1],), norm.weight, norm.variance_epsilon)
