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

_FINAL = re.compile(r"(?:<\|start\|>assistant)?<\|channel\|>final<\|message\|>")
_END = re.compile(
    r"(?:<\|(?:im_end|endoftext|end_of_text|eot_id|eom_id|end|return|endofturn)\|>"
    r"|</s>|<end_of_turn>|<eos>|<\uff5cend\u2581of\u2581sentence\uff5c>)$"
)
"""Source: the chat templates of Qwen, Llama 3, Phi, gpt-oss, Mistral, Gemma and DeepSeek."""
_LONGEST = 30
"""Number of characters that an end of a turn has at most."""


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
        rest = _without_final(text[end + len(closing) :])
        return Unmarked(_without_tokens(rest), thought.strip() or None)
    return Unmarked(_without_tokens(_without_final(text)), None)


def _without_final(text: str) -> str:
    final = _FINAL.search(text)
    return text if final is None else text[: final.start()].rstrip() + text[final.end() :]


def _without_tokens(text: str) -> str:
    """Without the ends of a turn, and the space around them.

    A step for each, not an expression for all of it: in a model's long runs of spaces that would
    take a time that grows with their square.
    """
    end, kept = _before_space(text, len(text)), len(text)
    while token := _END.search(text[max(0, end - _LONGEST) : end]):
        end = kept = _before_space(text, end - len(token.group()))
    return _BOX.sub("", text[:kept])


def _before_space(text: str, end: int) -> int:
    while end and text[end - 1].isspace():
        end -= 1
    return end
