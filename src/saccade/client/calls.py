"""The tool calls of a message, in whatever form a server sends them.

The name and the arguments become what OpenAI's API says they are: a name of a tool, and the text of
a JSON object. Arguments that are no JSON are kept as they came: the model is told.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping

from pydantic import JsonValue

from saccade.types import WireCall
from saccade.untrusted.values import items, parsed, table, tables, word

_ARGUMENTS = ("arguments", "parameters", "input", "args")
"""Source: OpenAI API reference (arguments); Llama 3.1 prompt format (parameters); Anthropic API
reference, tool_use (input); Gemini API reference, FunctionCall (args)."""

_CALL_PART = re.compile(r"tool[_-]?(use|call)|function[_-]?call", re.IGNORECASE)
"""Kinds of parts of a content that are calls, which some gateways leave there. Source: Anthropic
API reference, tool_use; Vercel AI SDK, tool-call."""

_NOTHING = ("", "null", "None")
"""Texts of arguments that are none."""


def calls_of(message: Mapping[str, JsonValue], salt: str) -> tuple[WireCall, ...]:
    """The tool calls; one without an id of its own is given one.

    Args:
        message: The message of a choice.
        salt: What tells the reply from others, so that ids differ between them.
    """
    listed = [call for call in tables(message.get("tool_calls")) if call]
    if not listed and isinstance(message.get("function_call"), dict):
        listed = [{"function": message["function_call"]}]
    if not listed:
        parts = tables(message.get("content"))
        listed = [part for part in parts if _CALL_PART.fullmatch(word(part.get("type")))]
    calls: list[WireCall] = []
    for call in listed:
        function = table(call.get("function")) or table(call.get("custom")) or call
        name, arguments = _name(function.get("name")), _arguments(function)
        identity = word(call.get("id"))
        if not identity or any(identity == known.id for known in calls):
            identity = _invented(f"{salt} {len(calls)} {name} {arguments}")
        calls.append(WireCall(id=identity, name=name, arguments=arguments))
    return tuple(calls)


def _name(value: JsonValue) -> str:
    """The name of a tool without the room that a chat template gives it.

    Source: OpenAI, "Harmony response format" (functions.NAME<|channel|>...); Kimi K2, "Tool call
    guidance" (functions.NAME:0); Gemini (default_api.NAME).
    """
    name = word(value).partition("<|")[0].strip()
    name = name.removeprefix("functions.").removeprefix("default_api.")
    return re.sub(r":\d+$", "", name)


def _arguments(function: Mapping[str, JsonValue]) -> str:
    """JSON text; what came as text is kept, even if it is no JSON, but encoded once.

    Source: BerriAI/litellm, streams of Anthropic: an empty object comes before the pieces.
    """
    found = (function[key] for key in _ARGUMENTS if function.get(key) is not None)
    value = next(found, None)
    while isinstance(value, str) and value.lstrip().startswith('"'):
        try:
            value = parsed(value)
        except ValueError:
            break
    if isinstance(value, str):
        text = re.sub(r"^\s*\{\}(?=\s*\{)", "", value)
        return "{}" if text.strip() in _NOTHING else text
    return json.dumps(value, ensure_ascii=False) if items(value) else "{}"


def _invented(seed: str) -> str:
    """An id that follows from the call: nine letters and digits, since Mistral takes no others.

    Source: Mistral API: "Tool call id was ... but must be a-z, A-Z, 0-9, with a length of 9."
    """
    return hashlib.sha256(seed.encode(errors="replace")).hexdigest()[:9]
