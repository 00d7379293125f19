"""The reading of a chat server's response: a reply, a reason to retry, or a refusal.

The format is OpenAI chat completions with what other servers make of it. Fields that are missing,
null or of another kind are read as far as they mean something; unknown fields never matter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress

from pydantic import JsonValue

from saccade.client.calls import calls_of
from saccade.client.failures import Response, Retry, error_of, failed
from saccade.client.servers import ServerKind
from saccade.client.stream import assembled, is_stream
from saccade.client.tokens import tokens_of
from saccade.errors import ServiceError
from saccade.types import Record, WireCall
from saccade.untrusted.printable import printable
from saccade.untrusted.redactor import Redactor
from saccade.untrusted.values import count, items, parsed, table, tables, texts, word

_THOUGHTS = (
    *("reasoning_content", "reasoning", "thinking", "reasoning_text"),
    *("reasoning_details", "thinking_blocks"),
)
"""Fields of a message with the thought. Source: DeepSeek API docs, "Reasoning model" and SGLang
(reasoning_content); vLLM docs, "Reasoning outputs", Ollama openai/openai.go and OpenRouter
(reasoning); badlogic/pi-mono packages/ai/src/providers/openai-completions.ts (reasoning_text);
OpenRouter docs, "Reasoning tokens" (reasoning_details); LiteLLM docs, "Thinking"
(thinking_blocks)."""

_THINKING_PART = re.compile(r"think|thought|reason", re.IGNORECASE)
"""Kinds of parts of a content that are thought. Source: Mistral docs, "Reasoning" (thinking);
OpenRouter docs, "Reasoning tokens" (reasoning.text)."""

_TEXT_KEYS = ("text", "content", "value")
_THOUGHT_KEYS = ("text", "summary", "thinking", "reasoning", "content")

_CUT_OFF = re.compile(r"length|max_(output_|new_|completion_)?tokens|context_window|token_limit")
"""Source: OpenAI API reference (length); Gemini and Anthropic (max_tokens); Mistral API reference
(model_length); Z.ai and Anthropic API references (model_context_window_exceeded)."""

_FILTERED = re.compile(
    r"(?<!function_call_)filter|safety|sensitive|recitation|prohibited|blocklist|\bspii\b|refusal"
    r"|guardrail|toxic"
)
"""Source: OpenAI API reference (content_filter); Gemini API reference, FinishReason; Z.ai API
reference (sensitive); Anthropic API reference (refusal); Bedrock API reference
(guardrail_intervened); Cohere API reference (ERROR_TOXIC)."""

_BROKEN_OFF = re.compile(r"abort|error|cancel|time_?out|failed|insufficient_system_resource")
"""Source: vLLM and SGLang (abort); OpenRouter (error); Z.ai API reference (network_error); DeepSeek
API reference (insufficient_system_resource)."""


class Usage(Record):
    """The token counts of a server."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Reply(Record):
    """The part of a chat completion that is used here."""

    text: str
    finish: str
    """How the text ended: "length" and "content_filter" whatever the server calls them, else its
    `finish_reason`; "stop" where it gives none."""
    stop_reason: str | None = None
    """The stop string that ended the text, where the server names it (vLLM, SGLang)."""
    tool_calls: tuple[WireCall, ...] = ()
    thought: str | None = None
    """The thought, where the server sends it in a field of its own."""
    token_ids: tuple[int, ...] | None = None
    """The sampled ids, where the server was asked for them and tells them (vLLM)."""
    log_probs: tuple[float, ...] | None = None
    """Natural log-probability of each of these ids, as the server defines it."""
    usage: Usage = Usage()
    model: str = ""
    server: ServerKind | None = None
    """The kind of server (a preset's name) where the reply shows it."""


NOTHING_HIDDEN = Redactor({})


def read(
    url: str, response: Response, *, section: str = "policy", redact: Redactor = NOTHING_HIDDEN
) -> Reply:
    """The reply in a response.

    Args:
        url: Where it came from, for messages.
        response: Read to its end.
        section: The section of the run file with the server's options, for advice.
        redact: Hides secrets that came in pieces, which `post` could not see.

    Raises:
        Retry: another attempt may succeed.
        ContextOverflow: the prompt is too long.
        ServiceError: another attempt would fail as well.
    """
    try:
        body, problem = _body(response), ""
    except ValueError as error:
        body, problem = None, str(error)
    failure = failed(response, body)
    if failure is not None:
        failure = failure._replace(
            message=redact(failure.message),
            codes=redact(failure.codes),
            parameters=tuple(map(redact, failure.parameters)),
        )
        raise error_of(url, failure, response.headers, section)
    choices = tables(table(body).get("choices"))
    choice = next((c for c in choices if c.get("index") == 0), choices[0] if choices else {})
    message = _message(choice)
    if not message:
        problem = problem or ("no choices" if not choices else "a choice without a message")
        excerpt = printable(redact(response.content[:300].decode(errors="replace")))
        raise Retry(ServiceError(f"{url}: not a chat completion ({problem}): {excerpt}"))
    return _without_secrets(_reply(url, table(body), choice, message), redact)


def _without_secrets(reply: Reply, redact: Redactor) -> Reply:
    """A reply as it is kept; tokens that a secret could be read from are not."""
    whole: dict[str, JsonValue] = reply.model_dump(mode="json")
    hidden = Reply.model_validate(redact.value(whole))
    if redact.has_hidden(hidden.model_dump_json(exclude={"model", "server"})):
        return hidden.model_copy(update={"token_ids": None, "log_probs": None})
    return hidden


def _body(response: Response) -> JsonValue:
    """The JSON of a response; that of a stream is put together first."""
    if response.content.lstrip().startswith(b"{"):
        with suppress(ValueError):  # not one value: events without their field names
            return parsed(response.content)
    if is_stream(response.headers.get("content-type", ""), response.content):
        return assembled(response.content)
    return parsed(response.content)


def _message(choice: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The message of a choice; servers without chat give its text alone."""
    message = choice.get("message") or choice.get("delta") or choice.get("text")
    return {"content": message} if isinstance(message, str) else table(message)


def _reply(
    url: str,
    body: dict[str, JsonValue],
    choice: dict[str, JsonValue],
    message: dict[str, JsonValue],
) -> Reply:
    reason = word(choice.get("finish_reason")) or "stop"
    finish = _finish(reason)
    if finish == "error":
        raise Retry(ServiceError(f"{url}: the server broke off: {reason}"))
    text, thought = _text_and_thought(message)
    calls = calls_of(message, salt=f"{word(body.get('id'))} {word(body.get('created'))}")
    if not text and not calls:
        text = _text_elsewhere(message)
    stopped_by = choice.get("stop_reason") or choice.get("matched_stop")
    usage = table(body.get("usage"))
    tokens = tokens_of(choice)
    return Reply(
        text=text,
        finish=finish,
        stop_reason=stopped_by if isinstance(stopped_by, str) else None,
        tool_calls=calls,
        thought=thought or None,
        token_ids=tokens.ids,
        log_probs=tokens.log_probs,
        usage=Usage(
            prompt_tokens=count(usage.get("prompt_tokens"), usage.get("input_tokens")),
            completion_tokens=count(usage.get("completion_tokens"), usage.get("output_tokens")),
        ),
        model=word(body.get("model")),
        server=_server(body, choice),
    )


def _finish(reason: str) -> str:
    """How a text ended: "length", "content_filter", "error", or the server's own word."""
    lowered = reason.lower()
    if _FILTERED.search(lowered):
        return "content_filter"
    if _BROKEN_OFF.search(lowered):
        return "error"
    return "length" if _CUT_OFF.search(lowered) else reason


def _text_and_thought(message: Mapping[str, JsonValue]) -> tuple[str, str]:
    """Content is a text, or a list of parts of which some may be thought."""
    text: list[str] = []
    thinking: list[str] = []
    content = message.get("content")
    for part in items(word(content) or content):  # a gateway may have made a number of "7"
        kind = word(table(part).get("type"))
        if _THINKING_PART.search(kind):
            thinking.append(texts(part, *_THOUGHT_KEYS))
        elif isinstance(part, str) or kind in ("", "text", "output_text"):
            text.append(texts(part, *_TEXT_KEYS))
    fields = (texts(message.get(name), *_THOUGHT_KEYS) for name in _THOUGHTS)
    return "".join(text), "".join(thinking) or next(filter(None, fields), "")


def _text_elsewhere(message: Mapping[str, JsonValue]) -> str:
    """What a model says that refuses, or that speaks.

    Source: OpenAI API reference, the message of a chat completion: refusal, audio.transcript.
    """
    refused = texts([message.get("refusal"), *tables(message.get("content"))], "refusal")
    return refused or texts(table(message.get("audio")).get("transcript"))


def _server(body: Mapping[str, JsonValue], choice: Mapping[str, JsonValue]) -> ServerKind | None:
    """The kind of server by the marks that only it leaves.

    Source: OpenRouter API reference (provider, native_finish_reason); sgl-project/sglang
    entrypoints/openai/protocol.py (matched_stop); llama.cpp tools/server/server-task.cpp (timings);
    ollama/ollama openai/openai.go (fp_ollama); Azure OpenAI REST API reference
    (content_filter_results); vllm entrypoints/openai/chat_completion/protocol.py (stop_reason);
    lmstudio-ai/lmstudio-bug-tracker issues 601 and 676 (stats, the model as fingerprint).
    """
    fingerprint = word(body.get("system_fingerprint"))
    if "native_finish_reason" in choice or isinstance(body.get("provider"), str):
        return "openrouter"
    if "matched_stop" in choice:
        return "sglang"
    if "timings" in body or re.match(r"b\d+-[0-9a-f]", fingerprint):
        return "llama_cpp"
    if fingerprint == "fp_ollama":
        return "ollama"
    if "content_filter_results" in choice or "prompt_filter_results" in body:
        return "azure"
    if "stop_reason" in choice:
        return "vllm"
    if isinstance(body.get("stats"), dict) or fingerprint == word(body.get("model")) != "":
        return "lm_studio"
    return None  # OpenAI's own fingerprints are also those of Azure, Groq and others
