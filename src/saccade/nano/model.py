"""The architecture of the embedded models: the real Qwen2.5-VL class, 0.8 million parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from saccade.models.load import save_weights, write_stamp
from saccade.nano.spec import HEAD, WIDTH
from saccade.nano.tokenizer import END, PAD, build_tokenizer
from saccade.render.patches import PatchRule
from saccade.render.qwen_vl import CHAT_TEMPLATE, QwenVLRenderer, chat_template

PATCH, MERGE = 7, 2
FACTOR = PATCH * MERGE
MEAN, STD = 0.45, 0.27
"""Mean and standard deviation of the pixels of the world, over all channels."""


def build(
    seed: int, width: int = WIDTH, *, words: Sequence[str] | None = None
) -> tuple[Qwen2_5_VLForConditionalGeneration, PreTrainedTokenizerFast]:
    """Make a model with random weights, and its tokenizer; `width` is a multiple of `HEAD`.

    The tokenizer has `words` as tokens, or those of `nano.tokenizer.phrases`.
    Weights start with a standard deviation of one over the square root of their number of inputs;
    the constant 0.02 of the class is far too small for layers of this width.
    """
    tokenizer = build_tokenizer(words)
    torch.manual_seed(seed)
    model = Qwen2_5_VLForConditionalGeneration(_config(tokenizer, width))
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and name != "lm_head":
            # What is added to the residual stream starts at half size.
            into_stream = name.endswith(("o_proj", "down_proj", "attn.proj"))
            nn.init.normal_(module.weight, std=(0.5 if into_stream else 1) * _fan_in(module))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv3d):
            nn.init.normal_(module.weight, std=_fan_in(module))
    nn.init.normal_(model.get_input_embeddings().weight, std=0.08)
    return model, tokenizer


def save(
    model: Qwen2_5_VLForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    *,
    fingerprint: str,
) -> None:
    """Write a checkpoint in half precision that `from_pretrained` loads.

    Args:
        model: The model with its weights.
        tokenizer: The tokenizer of the model.
        folder: The folder of the checkpoint.
        fingerprint: Fingerprint of the environment that the model was trained in.
    """
    save_weights(model, folder, dtype=torch.float16)
    write_stamp(folder, [fingerprint])
    tokenizer.save_pretrained(folder)
    (folder / CHAT_TEMPLATE).write_text(chat_template(), encoding="utf-8")
    Qwen2VLImageProcessorPil(
        patch_size=PATCH,
        merge_size=MERGE,
        temporal_patch_size=2,
        image_mean=[MEAN] * 3,
        image_std=[STD] * 3,
        size={"shortest_edge": 28 * 28, "longest_edge": 56 * 56},
    ).save_pretrained(folder)


def renderer_of(tokenizer: PreTrainedTokenizerFast) -> QwenVLRenderer:
    """Make the renderer that `load_renderer` would read from a saved model."""
    return QwenVLRenderer(tokenizer, PatchRule(PATCH, MERGE, 2, (MEAN,) * 3, (STD,) * 3))


def _config(tokenizer: PreTrainedTokenizerFast, width: int) -> Qwen2_5_VLConfig:
    end, pad = tokenizer.convert_tokens_to_ids([END, PAD])
    depth = 3
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": width,
            "intermediate_size": width * 8 // 3,
            "num_hidden_layers": 3,
            "num_attention_heads": width // HEAD,
            "num_key_value_heads": 1,
            "max_position_embeddings": 1024,
            # A base of 20 instead of 10,000: positions in short prompts must be told apart.
            "rope_parameters": {
                "rope_type": "default", "rope_theta": 20.0, "mrope_section": [4, 6, 6],
            },
            "bos_token_id": None,
            "eos_token_id": end,
            "pad_token_id": pad,
        },
        vision_config={
            "depth": depth,
            "hidden_size": width,
            "intermediate_size": 2 * width,
            "num_heads": width // HEAD,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": 2,
            "window_size": 112,
            "out_hidden_size": width,
            "fullatt_block_indexes": list(range(depth)),
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=tokenizer.convert_tokens_to_ids("<|vision_end|>"),
        tie_word_embeddings=True,
    )  # fmt: skip
    return config


def _fan_in(module: nn.Linear | nn.Conv3d) -> float:
    return 1 / math.sqrt(module.weight[0].numel())
