"""Text from outside made inert: it can be read, but never acts as a tag or a control token."""

from __future__ import annotations

import re

_ACTIVE = re.compile(
    r"<(?=\|)"  # <|im_end|>, <|image_pad|>, ...: every control token of the Qwen families
    r"|<(?=/?\w{1,64}>)"  # <tool_call>, </think>, <answer>, <image>, <s>, <start_of_turn>, ...
    r"|\[(?=/?[A-Z_]{2,32}\])"  # [INST], [/INST], [TOOL_CALLS], ...
)


def inert(text: str) -> str:
    """The text with a space after each bracket that opens a tag or a control token.

    Idempotent. Covers every special and added token of Qwen2.5 and Qwen3, and any other token of
    the forms `<|...`, `<word>`, `</word>` and `[WORD]`. It does not judge what the text says: a
    sentence that asks the model to misbehave stays readable.
    """
    clean = text.encode("utf-8", "replace").decode()
    return _ACTIVE.sub(lambda bracket: bracket.group() + " ", clean)
