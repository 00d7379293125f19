"""Conversations to learn from, in the formats of others: sharegpt (LLaMA-Factory) and TRL.

    written = write_sharegpt(conversations, Path("cold_start"))
    for conversation in read_sharegpt(written.file):
        conversation.messages

What a conversation is stands in `conversation`; how it becomes an episode in
`saccade.data.demos.conversations`.
"""

from saccade.formats.conversations.conversation import (
    Conversation,
    OnLeftOut,
    UnfitConversation,
    Written,
    check,
)
from saccade.formats.conversations.sharegpt import read_sharegpt, write_sharegpt
from saccade.formats.conversations.trl import read_trl, write_trl

__all__ = [
    "Conversation",
    "OnLeftOut",
    "UnfitConversation",
    "Written",
    "check",
    "read_sharegpt",
    "read_trl",
    "write_sharegpt",
    "write_trl",
]
