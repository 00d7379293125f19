"""The tokenizer of the embedded models: bytes, and the phrases of its world as single tokens.

An ordinary fast tokenizer. Any text is covered by its bytes; the texts that the models meet in
every episode (the prompts of the dialect, tool schemas, questions, coordinates) are added tokens,
so that a whole prompt costs some forty tokens instead of two thousand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from saccade.dialects import deepeyes
from saccade.dialects.base import COORDS, Prompts
from saccade.tools.zoom import Rotate, ZoomIn
from saccade.world.scene import COLOURS

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CONTROL = (
    PAD, START, END, "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
"""The control tokens of ChatML and of Qwen-VL images."""

TAGS = tuple(
    f"<{slash}{name}>"
    for name in ("think", "tool_call", "tool_response", "answer")
    for slash in ("", "/")
)

WORDS = (
    "system\n", "user\n", "assistant\n",
    "What digit is on the", "Where is the", "What digit is this?",
    "Show me the", "Zoom in on the", "Look at the",
    " object?", " object.", "The", " object is at [", "], ", " pixels wide.",
    '{"name": "image_zoom_in_tool", "arguments": {"bbox_2d": [', "]}}", "]", ", ", "[",
    "What digit is on the object nearest to the", "What colour is the object with the digit ",
)  # fmt: skip

NUMBERS = range(10, 100)
"""Numbers that are single tokens; a number of one digit is a byte already."""


def build_tokenizer(words: Sequence[str] | None = None) -> PreTrainedTokenizerFast:
    """Make a tokenizer whose added tokens are `words`; None: those of `phrases`."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in CONTROL])
    core.add_tokens([AddedToken(t, special=False, normalized=False) for t in words or phrases()])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=END,
        pad_token=PAD,
        clean_up_tokenization_spaces=False,
        model_max_length=4096,
    )


def phrases() -> list[str]:
    """List the added tokens, each once, in a fixed order."""
    found = [*TAGS, *WORDS, *(f" {colour}" for colour in COLOURS), *map(str, NUMBERS)]
    found += [json.dumps(tool.spec.function()) for tool in (ZoomIn(), Rotate())]
    found += COORDS.values()
    found += between_placeholders(*_templates(deepeyes.PROMPTS))
    return list(dict.fromkeys(found))


def _templates(prompts: Prompts) -> tuple[str, ...]:
    return prompts.system, prompts.user, prompts.observation


def between_placeholders(*templates: str) -> Iterator[str]:
    """The texts of templates that stand between what is filled in, where longer than a byte."""
    for template in templates:
        for text in re.split(r"\{\w+\}", template):
            if len(text) > 1:
                yield text
