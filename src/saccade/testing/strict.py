"""What each kind of server refuses, in its own words, and how its replies can be told.

    with ScriptedServer(answer, like="dashscope") as server: ...

A client whose `server` names the kind passes; one that sends what every server is said to take is
refused by those that differ. Only what a public source shows is refused here, so a real server may
refuse more. Servers that stop at a stop string cut it off, as the real ones do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace

from pydantic import JsonValue

from saccade.client.servers import ServerKind
from saccade.testing.wire import ScriptedReply, ScriptedRequest, Signature

END_OF_TURN = "<|im_end|>"
END_OF_TURN_ID = 151645
"""The special token that ends a turn of the models of the scripted vLLM and SGLang, and its id."""

_REASONING = re.compile(r"(o\d|gpt-5)")
"""OpenAI's reasoning models. Source: NVIDIA NeMo Guardrails, nemoguardrails.llm.openai_reasoning.
"""

_OPENAI_TAKES = frozenset(
    {
        *("model", "messages", "audio", "frequency_penalty", "function_call", "functions"),
        *("logit_bias", "logprobs", "max_completion_tokens", "max_tokens", "metadata"),
        *("modalities", "n", "parallel_tool_calls", "prediction", "presence_penalty"),
        *("prompt_cache_key", "reasoning_effort", "response_format", "safety_identifier", "seed"),
        *("service_tier", "stop", "store", "stream", "stream_options", "temperature"),
        *("tool_choice", "tools", "top_logprobs", "top_p", "user", "verbosity"),
        "web_search_options",
    }
)
"""Source: OpenAI API reference, create chat completion."""

_GEMINI_TAKES = _OPENAI_TAKES - {"seed", "frequency_penalty", "presence_penalty", "logit_bias"}
"""Source: Vali-98/ChatterUI issue 227: "Unknown name \\"seed\\": Cannot find field."."""


def refusal(kind: ServerKind | None, request: ScriptedRequest) -> ScriptedReply | None:
    """The refusal of a request, or None where that kind of server would answer."""
    refuse = _REFUSALS.get(kind) if kind else None
    return refuse(request) if refuse else None


def as_sent(
    kind: ServerKind | None, request: ScriptedRequest, reply: ScriptedReply
) -> tuple[ScriptedReply, Signature]:
    """A reply as that kind of server sends it: cut at the first stop string, with its marks."""
    if kind is None:
        return reply, Signature()
    stop = _stopped_by(request, reply.text)
    text = reply.text if stop is None else reply.text[: reply.text.index(stop)]
    choice: dict[str, JsonValue] = {}
    if kind == "vllm":
        text += _kept_by_vllm(request, stop)
        choice = {"stop_reason": stop}
    elif kind == "sglang":
        choice = {"matched_stop": stop or END_OF_TURN_ID}
    elif kind == "azure":
        choice = {"content_filter_results": {"hate": {"filtered": False, "severity": "safe"}}}
    elif kind == "openrouter":
        choice = {"native_finish_reason": reply.finish}
    thought = "reasoning" if kind in ("vllm", "ollama", "openrouter") else "reasoning_content"
    return replace(reply, text=text), Signature(thought, choice, _MARKS.get(kind, {}))


_MARKS: dict[ServerKind, dict[str, JsonValue]] = {
    "openai": {"system_fingerprint": "fp_44709d6fcb", "service_tier": "default"},
    "azure": {"system_fingerprint": "fp_44709d6fcb"},
    "llama_cpp": {"system_fingerprint": "b6500-a1b2c3d4", "timings": {"predicted_n": 1}},
    "ollama": {"system_fingerprint": "fp_ollama"},
    "lm_studio": {"stats": {}},
    "openrouter": {"provider": "Script"},
}
"""Source: OpenAI API reference (`system_fingerprint`); llama.cpp tools/server/server-task.cpp
(`timings`, the build as fingerprint); ollama openai/openai.go; OpenRouter API reference; LM Studio,
"REST API v0"."""


def _stopped_by(request: ScriptedRequest, text: str) -> str | None:
    stops = request.body.get("stop")
    listed = [stops] if isinstance(stops, str) else stops if isinstance(stops, list) else []
    found = [stop for stop in listed if isinstance(stop, str) and stop and stop in text]
    return min(found, key=text.index, default=None)


def _kept_by_vllm(request: ScriptedRequest, stop: str | None) -> str:
    """What stays at the end of the text; vLLM 0.32 keeps the end of the turn as well."""
    if request.body.get("include_stop_str_in_output") is not True:
        return ""
    special = request.body.get("skip_special_tokens") is False
    return stop or (END_OF_TURN if special else "")


def _error(status: int, message: str, **more: JsonValue) -> ScriptedReply:
    error: JsonValue = {"message": message, "type": "invalid_request_error", **more}
    return ScriptedReply(status=status, raw=json.dumps({"error": error}).encode())


def _openai(request: ScriptedRequest) -> ScriptedReply | None:
    """Unknown arguments, and what the models that think do not take.

    Source: Portkey's error library 10011 (unknown arguments); griptape-ai/ComfyUI-Griptape issue
    312 (max_tokens); owndev/Open-WebUI-Functions issue 98 (temperature).
    """
    body = request.body
    if unknown := [name for name in body if name not in _OPENAI_TAKES]:
        plural = "s" if len(unknown) > 1 else ""
        message = f"Unrecognized request argument{plural} supplied: {', '.join(unknown)}"
        return _error(400, message, param=None)
    if not _REASONING.match(str(body.get("model"))):
        return None
    if "max_tokens" in body:
        advice = "Use 'max_completion_tokens' instead."
        return _unsupported("max_tokens", f"is not supported with this model. {advice}")
    if body.get("temperature", 1) != 1:
        advice = "Only the default (1) value is supported."
        value = body["temperature"]
        return _unsupported(
            "temperature", f"does not support {value} with this model. {advice}", of="value"
        )
    if "stop" in body:
        return _unsupported("stop", "is not supported with this model.")
    return None


def _unsupported(name: str, why: str, *, of: str = "parameter") -> ScriptedReply:
    message = f"Unsupported {of}: '{name}' {why}"
    return _error(400, message, param=name, code=f"unsupported_{of}")


def _azure(request: ScriptedRequest) -> ScriptedReply | None:
    """Source: Microsoft Q&A 1360789 (404 without a version), SciSharp/BotSharp issue 386 (401)."""
    if "api-version" not in request.query:
        raw = b'{"error":{"code":"404","message": "Resource not found"}}'
        return ScriptedReply(status=404, raw=raw)
    if "api-key" not in request.headers:
        return _error(
            401,
            "Access denied due to invalid subscription key or wrong API endpoint. Make sure to "
            "provide a valid key for an active subscription and use a correct regional API "
            "endpoint for your resource.",
            code="401",
        )
    return _openai(request)


def _gemini(request: ScriptedRequest) -> ScriptedReply | None:
    """A list with one error. Source: Vali-98/ChatterUI issue 227."""
    lines = [
        f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.'
        for name in request.body
        if name not in _GEMINI_TAKES
    ]
    if not lines:
        return None
    violations: JsonValue = [{"description": line} for line in lines]
    error: JsonValue = {
        "code": 400,
        "message": "\n".join(lines),
        "status": "INVALID_ARGUMENT",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations}
        ],
    }
    return ScriptedReply(status=400, raw=json.dumps([{"error": error}]).encode())


def _dashscope(request: ScriptedRequest) -> ScriptedReply | None:
    """A model that thinks answers in a stream only. Source: infiniflow/ragflow issue 8972."""
    body = request.body
    if body.get("stream") is True or body.get("enable_thinking") is False:
        return None
    return _error(
        400,
        "parameter.enable_thinking must be set to false for non-streaming calls",
        code="invalid_parameter_error",
        param=None,
    )


def _vllm(request: ScriptedRequest) -> ScriptedReply | None:
    """Source: vllm-project/vllm, vllm/entrypoints/openai/chat_completion/protocol.py."""
    body = request.body
    if body.get("continue_final_message") and body.get("add_generation_prompt") is True:
        return _error(
            400,
            "Cannot set both `continue_final_message` and `add_generation_prompt` to True.",
            code=400,
        )
    return None


def _llama_cpp(request: ScriptedRequest) -> ScriptedReply | None:
    """No WebP: its decoder reads JPEG, PNG, BMP and GIF. Source: cline/cline issue 8977."""
    if any(url.startswith("data:image/webp") for url in request.image_urls):
        return _error(400, "Failed to load image or audio file", code=400)
    return None


def _ollama(request: ScriptedRequest) -> ScriptedReply | None:
    """Source: ollama/ollama openai/openai.go, decodeImageURL and FromChatRequest."""
    for message in request.messages:
        if message.get("content") is None and not message.get("tool_calls"):
            return _error(400, "invalid message content type: <nil>")
    for url in request.image_urls:
        if url.startswith("http"):
            return _error(
                400,
                "image URLs are not currently supported, please use base64 encoded data instead",
            )
        if not re.match(r"data:(image/(jpeg|jpg|png|webp))?;base64,", url):
            return _error(400, "invalid image input")
    return None


def _lm_studio(request: ScriptedRequest) -> ScriptedReply | None:
    """No links and no WebP. Source: lmstudio-ai/lmstudio-bug-tracker issues 1027 and 1752."""
    if any(not re.match(r"data:image/(jpeg|jpg|png);", url) for url in request.image_urls):
        raw = json.dumps({"error": "'url' field must be a base64 encoded image."}).encode()
        return ScriptedReply(status=400, raw=raw)
    return None


_REFUSALS: dict[ServerKind, Callable[[ScriptedRequest], ScriptedReply | None]] = {
    "openai": _openai,
    "azure": _azure,
    "gemini": _gemini,
    "dashscope": _dashscope,
    "vllm": _vllm,
    "llama_cpp": _llama_cpp,
    "ollama": _ollama,
    "lm_studio": _lm_studio,
}
"""SGLang and OpenRouter ignore what they do not know."""
