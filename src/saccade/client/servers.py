"""The kinds of chat servers: what each wants in a request beyond what all of them take.

A rule stands here only if a public source shows it, and the table says which. All of it can be
undone or extended in a run file (`rename`, `omit`, `extra_body`, `headers`, `query`, `stream`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ServerKind = Literal[
    "openai",
    "azure",
    "gemini",
    "openrouter",
    "dashscope",
    "vllm",
    "sglang",
    "llama_cpp",
    "ollama",
    "lm_studio",
]

GATEWAYS: tuple[ServerKind, ...] = ("openrouter",)
"""Kinds that hand on the replies of others, with the marks of these."""

AZURE_VERSION = "2024-10-21"
"""Source: Microsoft Learn, "Azure OpenAI Service REST API reference", latest GA of inference."""


@dataclass(frozen=True)
class Rules:
    """What a kind of server wants."""

    rename: Mapping[str, str] = field(default_factory=dict)
    """Parameter -> the name that the server has for it."""
    omit: tuple[str, ...] = ()
    """Parameters that the server refuses."""
    query: Mapping[str, str] = field(default_factory=dict)
    """What is added to the URL."""
    key_header: str = "Authorization"
    """The header with the key; "Authorization" holds it after "Bearer "."""
    stream: bool = False
    """The server answers in a stream only."""
    names_stop: bool = False
    """The reply says which stop string ended the text, if one did: no end has to be guessed."""
    image_types: tuple[str, ...] = ("image/png", "image/jpeg", "image/webp")
    """Media types of images that the server decodes, of those that a file here may have."""
    image_links: bool = True
    """The server fetches images that are named by a URL."""


_STB_IMAGE = ("image/png", "image/jpeg")

_RULES: dict[ServerKind, Rules] = {
    # Source: OpenAI API reference, create chat completion: max_tokens is deprecated in favour of
    # max_completion_tokens, and o-series models refuse it.
    "openai": Rules(rename={"max_tokens": "max_completion_tokens"}),
    # Source: Microsoft Learn, "Azure OpenAI Service REST API reference": the header api-key and the
    # query parameter api-version, which is required.
    "azure": Rules(
        rename={"max_tokens": "max_completion_tokens"},
        query={"api-version": AZURE_VERSION},
        key_header="api-key",
    ),
    # Source: Vali-98/ChatterUI issue 227: the OpenAI endpoint knows no seed.
    "gemini": Rules(omit=("seed",)),
    # Source: OpenRouter API reference, "Parameters": what a model does not take is ignored.
    "openrouter": Rules(),
    # Source: infiniflow/ragflow issue 8972 and QwenLM documentation of deep thinking: a model that
    # thinks is refused without a stream.
    "dashscope": Rules(stream=True),
    # Source: vllm-project/vllm, vllm/entrypoints/openai/chat_completion/protocol.py: stop_reason of
    # a choice. include_stop_str_in_output is not asked for: with skip_special_tokens=false
    # vLLM 0.32 returns the end-of-turn mark of turns that end by themselves.
    "vllm": Rules(names_stop=True),
    # Source: sgl-project/sglang, python/sglang/srt/entrypoints/openai/protocol.py: matched_stop of
    # a choice.
    "sglang": Rules(names_stop=True),
    # Source: cline/cline issue 8977: images are decoded with stb_image, which knows no WebP.
    "llama_cpp": Rules(image_types=_STB_IMAGE),
    # Source: ollama/ollama, openai/openai.go: decodeImageURL refuses links; other parameters that
    # it does not know are ignored.
    "ollama": Rules(image_links=False),
    # Source: lmstudio-ai/lmstudio-bug-tracker issues 1027, 1120 and 1752.
    "lm_studio": Rules(image_types=_STB_IMAGE, image_links=False),
}

_REASONING = re.compile(r"(?:.*/)?(?:o\d|gpt-5(?!-chat))")
"""OpenAI's models that think. Source: NVIDIA NeMo Guardrails, nemoguardrails.llm.openai_reasoning:
o1, o3, o4 and gpt-5 and later refuse `temperature` and `stop`."""

FIXED_IN_REASONING = ("temperature", "top_p", "stop")
"""Source: as above; top_p: Microsoft Learn, "Azure OpenAI reasoning models", not supported."""


def rules_of(kind: ServerKind | None, model: str) -> Rules:
    """The rules for a model on a kind of server; None is a server of which nothing is known."""
    rules = _RULES[kind] if kind else Rules()
    if kind in ("openai", "azure") and _REASONING.match(model):
        return Rules(
            rename=rules.rename,
            omit=FIXED_IN_REASONING,
            query=rules.query,
            key_header=rules.key_header,
        )
    return rules
