"""The token ids of a reply and their log-probabilities, as vLLM tells them when it is asked.

Source: vLLM, vllm/entrypoints/openai/chat_completion/protocol.py: `return_token_ids` of a request,
`token_ids` of a choice; `logprobs` with the entries of OpenAI's API reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import NamedTuple

from pydantic import JsonValue

from saccade.untrusted.values import items, table


class Tokens(NamedTuple):
    """What was sampled; None where the server does not tell it."""

    ids: tuple[int, ...] | None = None
    log_probs: tuple[float, ...] | None = None
    """One for each id."""


def tokens_of(choice: Mapping[str, JsonValue]) -> Tokens:
    """The tokens of a choice; log-probabilities that do not fit the ids count as absent."""
    ids = [i for i in items(choice.get("token_ids")) if type(i) is int and i >= 0]
    if not ids or len(ids) != len(items(choice.get("token_ids"))):
        return Tokens()
    entries = items(table(choice.get("logprobs")).get("content"))
    values = [table(entry).get("logprob") for entry in entries]
    floats = [float(v) for v in values if isinstance(v, int | float) and isfinite(v)]
    fit = len(floats) == len(values) == len(ids)
    return Tokens(tuple(ids), tuple(floats) if fit else None)
