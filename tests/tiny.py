"""Tiny random checkpoints of the real model classes, built offline in a second: a pytest plugin.

The tokenizer is a byte-level BPE with the special and added tokens of Qwen2.5 and Qwen3, in their
order (tokenizer_config.json of Qwen/Qwen2.5-VL-7B-Instruct and of Qwen/Qwen3-VL-8B-Instruct).
"""

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    AddedToken,
    PreTrainedModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

torch.set_num_threads(1)

SPECIAL = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>",
    "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
]  # fmt: skip
ADDED = [
    "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>",
    "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>",
    "<think>", "</think>",
]  # fmt: skip
CORPUS = [
    "What digit is on the red object? What colour is the object with the digit 7?",
    '<think>It is small.</think>{"name": "image_zoom_in_tool", "arguments": {"bbox_2d": [1, 2]}}',
    "You answer questions about images. An image may be shown to you smaller than it is.",
    "<answer>3</answer> system user assistant Error: box",
]


def build_tokenizer() -> Qwen2Tokenizer:
    """A fast tokenizer with byte fallback."""
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=420, initial_alphabet=alphabet, show_progress=False)
    bpe.train_from_iterator(CORPUS * 10, trainer)
    vocab = bpe.get_vocab()
    merges = _merges(bpe)
    tokenizer = Qwen2Tokenizer(
        vocab=vocab, merges=merges, unk_token=None, bos_token=None,
        eos_token="<|im_end|>", pad_token="<|endoftext|>",
    )  # fmt: skip
    tokens = [AddedToken(name, special=True, normalized=False) for name in SPECIAL]
    tokenizer.add_tokens(tokens, special_tokens=True)
    tokenizer.add_tokens([AddedToken(name, special=False, normalized=False) for name in ADDED])
    return tokenizer


def _merges(bpe: Tokenizer) -> list[tuple[str, str]]:
    import json

    return [tuple(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]]


def _text(tokenizer: Qwen2Tokenizer, head: int, section: list[int], **rope: object) -> dict:
    return {
        "vocab_size": (len(tokenizer) + 15) // 16 * 16, "hidden_size": 2 * head,
        "intermediate_size": 4 * head, "num_hidden_layers": 3, "num_attention_heads": 2,
        "num_key_value_heads": 1, "max_position_embeddings": 4096, "head_dim": head,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": section}
        | rope,
        "eos_token_id": tokenizer.convert_tokens_to_ids("<|im_end|>"),
        "pad_token_id": tokenizer.convert_tokens_to_ids("<|endoftext|>"), "bos_token_id": None,
        "tie_word_embeddings": True,
    }  # fmt: skip


def _ids(tokenizer: Qwen2Tokenizer) -> dict[str, int]:
    names = {
        "image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>",
    }  # fmt: skip
    return {key: tokenizer.convert_tokens_to_ids(name) for key, name in names.items()}


def build_qwen2_5_vl(tokenizer: Qwen2Tokenizer) -> PreTrainedModel:
    """Random weights, window attention and one full layer, as in the real vision tower."""
    vision = {
        "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2,
        "out_hidden_size": 64, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2,
        "window_size": 112, "fullatt_block_indexes": [1],
    }  # fmt: skip
    config = Qwen2_5_VLConfig(
        text_config=_text(tokenizer, 32, [4, 6, 6]), vision_config=vision,
        tie_word_embeddings=True, **_ids(tokenizer),
    )  # fmt: skip
    return Qwen2_5_VLForConditionalGeneration(config)


def build_qwen3_vl(tokenizer: Qwen2Tokenizer) -> PreTrainedModel:
    """Random weights, with deepstack features from two vision layers."""
    vision = {
        "depth": 3, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2,
        "out_hidden_size": 64, "patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2,
        "num_position_embeddings": 256, "deepstack_visual_indexes": [0, 1],
    }  # fmt: skip
    config = Qwen3VLConfig(
        text_config=_text(tokenizer, 32, [6, 5, 5], mrope_interleaved=True), vision_config=vision,
        tie_word_embeddings=True, **_ids(tokenizer),
    )  # fmt: skip
    return Qwen3VLForConditionalGeneration(config)


def save(model: PreTrainedModel, tokenizer: Qwen2Tokenizer, folder: Path, patch: int) -> Path:
    """A folder that loads by the ordinary from_pretrained path."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:  # random, but far from uniform: samples differ
                parameter.normal_(std=parameter[0].numel() ** -0.5)
        model.get_input_embeddings().weight.normal_(std=0.3)
    model.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids("<|im_end|>")
    model.generation_config.pad_token_id = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    Qwen2VLImageProcessorPil(patch_size=patch, merge_size=2, temporal_patch_size=2).save_pretrained(
        folder
    )
    return folder


@pytest.fixture(scope="session")
def tiny_qwen2_5_vl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    folder = tmp_path_factory.mktemp("qwen2_5_vl")
    return save(build_qwen2_5_vl(tokenizer), tokenizer, folder, 14)


@pytest.fixture(scope="session")
def tiny_qwen3_vl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    return save(build_qwen3_vl(tokenizer), tokenizer, tmp_path_factory.mktemp("qwen3_vl"), 16)


@pytest.fixture(params=["tiny_qwen2_5_vl", "tiny_qwen3_vl"])
def tiny(request: pytest.FixtureRequest) -> Path:
    """Both families, one after the other."""
    return request.getfixturevalue(request.param)
