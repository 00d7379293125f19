"""Marks of models that a server did not read: thoughts in tags of their own, ends of turns.

A server that knows its model sends thoughts in a field and leaves control tokens out. One that does
not sends them as text, where no dialect would look for them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_THOUGHTS = (
    ("◁think▷", "◁/think▷"),
    ("[THINK]", "[/THINK]"),
    ("<thought>", "</thought>"),
    ("<thinking>", "</thinking>"),
    ("<seed:think>", "</seed:think>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|channel|>analysis<|message|>", "<|end|>"),
)
"""Source: the model cards of Kimi-VL-A3B-Thinking, Magistral-Small-2509 and Seed-OSS; Gemini API
docs, "OpenAI compatibility" (thought); Anthropic docs, "Let Claude think" (thinking); NovaSky-AI
Sky-T1 (begin_of_thought); OpenAI, "Harmony response format" (channel)."""

_BOX = re.compile(r"<\|(?:begin|end)_of_box\|>")
"""Around the answer. Source: the model card of GLM-4.5V."""

_FINAL = re.compile(r"\s*(?:<\|start\|>assistant)?<\|channel\|>final<\|message\|>")
_END = re.compile(
    r"(?:\s*(?:<\|(?:im_end|endoftext|end_of_text|eot_id|eom_id|end|return|endofturn)\|>"
    r"|</s>|<end_of_turn>|<eos>|<\uff5cend\u2581of\u2581sentence\uff5c>))+\s*$"
)
"""Source: the chat templates of Qwen, Llama 3, Phi, gpt-oss, Mistral, Gemma and DeepSeek."""


class Unmarked(NamedTuple):
    """A turn without these marks."""

    text: str
    thought: str | None


def unmarked(text: str) -> Unmarked:
    """What a server would have sent that knows the model."""
    for opening, closing in _THOUGHTS:
        end = text.find(closing)
        begin = text.find(opening)
        if end < 0 or begin > end or text[: max(begin, 0)].strip():
            continue  # not there, or not at the beginning
        if begin < 0 and _END.fullmatch(closing):
            continue  # the end of a turn
        thought = text[begin + len(opening) if begin >= 0 else 0 : end]
        rest = _FINAL.sub("", text[end + len(closing) :], count=1)
        return Unmarked(_without_tokens(rest), thought.strip() or None)
    return Unmarked(_without_tokens(_FINAL.sub("", text, count=1)), None)


def _without_tokens(text: str) -> str:
    return _BOX.sub("", _END.sub("", text))
