r"""Does a server say that its context is full? In all the words that are known.

What is looked for are forms of words rather than whole messages, so that a server that words it in
its own way is understood. Sources of the wordings, each of which is a row of the tests: OpenAI and
Azure (API references, errors); vllm-project/vllm issues 20409, 33418, 4667 and
vllm/renderers/params.py; sgl-project/sglang python/sglang/srt/managers/tokenizer_manager.py and
anomalyco/opencode pull request 25230; ggml-org/llama.cpp tools/server/server-context.cpp;
ollama/ollama llm/llama_server.go; lmstudio-ai/lmstudio-bug-tracker issues 237, 546 and 2256;
QwenLM/qwen-code issue 98 and QwenLM/Qwen-Agent issue 615 (DashScope); badlogic/pi-mono
packages/ai/src/utils/overflow.ts (Anthropic, Bedrock, Gemini, xAI, Groq, OpenRouter, Copilot,
MiniMax, Kimi, Mistral); BerriAI/litellm litellm_core_utils/exception_mapping_utils.py (Cerebras,
TGI, Gemini); anomalyco/opencode packages/ai/src/provider-error.ts (Together, Poolside, Fireworks).
"""

from __future__ import annotations

import re

_MORE = (
    r"(\b(exceed\w*|overflow\w*|overrun\w*|surpass\w*|beyond|longer|larger|greater|more than"
    r"|too (long|large|big|many)|out of|reached|(not|n't|to) fit|no (room|space)|not enough)|>=? )"
)
_CONTEXT = (
    r"\b(context[ _-](length|window|size|limit|budget)|(the|model'?s?|maximum|available) context"
    r"|max_model_len\w*|n_ctx|max_seq_len\w*|session_len"
    r"|max(imum)? (sequence|model|prompt|input) length)\b(?! deadline)"
)
_GAP = r"[^\n]{0,90}?"

_FULL = re.compile(
    "|".join(
        (
            # codes
            r"context_?(length|window)_?(limit_?)?exceeded|exceed_context_size",
            r"(context|prompt|input|messages?)_(is_)?too_(long|large)",
            # the context, and something that is more than it, in either order
            rf"{_MORE}{_GAP}{_CONTEXT}",
            rf"{_CONTEXT}{_GAP}{_MORE}",
            r"\bcontext( window| size| length)? ((is|was|has been) )?(full|overflow\w*|exceeded"
            r"|exhausted|used up)\b",
            r"\b(not enough|no|insufficient) (room|space|context)\b[^\n]{0,20}"
            r"\b(left|remaining|context|prompt)\b",
            r"context shift is disabled",
            # what a request asks of a context that has a stated size
            r"maximum (context|prompt|input|sequence|model) length (is|of)\W+\d",
            r"context (length|window|size)( is|:) only \d",
            r"but the [\w ]*context (length|window|size) is \d",
            r"current length is \d+ while limit is \d+",
            # the prompt, its tokens or the messages are too long
            r"\b(prompt|inputs?|messages?|conversation|sequence)\b"
            r"[^\n.]{0,40}\btoo (long|big|large)",
            r"\brequest( is)? too long\b[^\n]*\btokens?\b",
            r"\btoo many (input |prompt |total )?tokens\b",
            r"\b(prompt|input|message|sequence)s?[ _](token|length)"
            r"[^\n]{0,80}(\b(exceed|must be less|greater|longer|larger|more than|over)|> )",
            r"\bmax(imum)?[ _](input|prompt|context|total)[ _](tokens|length|len)\b"
            r"[^\n]{0,30}(\bexceed|\d[^\n]{0,30}\d)",
            r"\b\d[\d,]* (input |prompt |total )?tokens\b[^\n]{0,40}\bsupports? (only |up to "
            r"|at most |a maximum of )*\d",
            r"\b(input|prompt)s? exceeds? (the )?(model'?s? )?max\w*",
            r"\btokens?\b[^\n]{0,60}(\b(exceed\w*|more than|greater than|over the)\b|> )",
            r"\bexceed\w*[^\n]{0,60}\btokens?\b",
            r"reduce the length of (the|your) (messages?|prompt|inputs?|input prompt|conversation)",
            r"inputs?`? (tokens \+ `?max_new_tokens`? must be|must have less than \d+ tokens)",
            r"range of input length should be",
            r"prompt exceeds max length|exceed\w* max message tokens",
            r"max_tokens must be at least 1, got -\d",
            # Chinese, Japanese, Korean; Romance languages, German, Russian
            r"(上下文|输入|提示词?|token)[^\n]{0,20}(超过|超出|超长|超限|过长|过多|溢出)",
            r"(超过|超出)[^\n]{0,20}(上下文|最大(输入)?长度|token)",
            r"(コンテキスト|トークン|入力|プロンプト)[^\n]{0,30}(超え|超過|長すぎ|多すぎ)",
            r"(컨텍스트|토큰|입력|프롬프트)[^\n]{0,30}(초과|너무)",
            r"\b(conte[xs]t\w*|kontext\w*|контекст\w*)[^\n]{0,60}\b(dépass|exc[eé]d|super[aó]"
            r"|überschr|überstieg|превы|trop |troppo |demasiad|zu lang|слишком)",
            r"\b(dépass|exc[eé]d|super[aó]|überschr|превы)[^\n]{0,60}\b(conte[xs]t|kontext|контекст)",
        )
    ),
    re.IGNORECASE,
)

_OTHER = re.compile(
    "|".join(
        (
            # only the output is limited
            r"\bmax_(completion_|output_|new_)?tokens\b['`\"]?[^\n]{0,20}(must be|should be"
            r"|is too large|at most|cannot be greater|exceeds? the (model|maximum allowed))"
            r"(?![^\n]*\b(context|inputs?)\b)(?!\s*at least)",
            r"maximum allowed number of output tokens|range of max_tokens",
            r"completion tokens, whereas",
            # images, bytes, strings, lists
            r"\bimages?\b(?! and text)[^\n]{0,40}(exceed|too (large|big|many)|larger than)",
            r"\b(bytes|pixels|MB|MiB)\b",
            r"(payload|body|entity|file)[^\n]{0,20}(too large|exceed|size)",
            r"string too long|string_above_max_length|array too long|\bitems\b",
            r"(memory|time|timeout|queue|deadline|quota)[^\n]{0,30}(exceed|out of|full)",
            r"out of memory|rate limit|quota|budget|\bbatch\b|\b(video|audio)\b|stop sequence",
            r"\b(daily|weekly|monthly|usage|tier|today|this (week|month))\b",
            r"每分钟|每天|每日|限流|配额",
            r"\b(unexpected|invalid|api|bearer) tokens?\b",
            r"\b(output|completion|generated|thinking|access|refresh|auth\w*) tokens?\b[^\n]{0,30}"
            r"exceed",
        )
    ),
    re.IGNORECASE,
)

_LIMIT = re.compile(
    r"(?:context length|context window|context limit|model length|context size|must be <=)"
    r"(?:\s+(?:is|of|only|exceeded))*\D{0,4}(\d[\d,]*)",
    re.IGNORECASE,
)
_OUTPUT = re.compile(
    r"(\d[\d,]*) (?:tokens )?(?:in|for) (?:the|your) completion|requested (\d[\d,]*) output tokens"
    r"|plus (\d[\d,]*) '|is too large: (\d[\d,]*)|(\d[\d,]*) `max_new_tokens`",
    re.IGNORECASE,
)


def context_is_full(text: str) -> bool:
    """Whether an error says that the prompt, or it and the longest turn, do not fit.

    Args:
        text: The message and the codes of an error, without what it repeats of the request.
    """
    return bool(_FULL.search(text)) and not _OTHER.search(text)


def output_alone_is_too_long(text: str) -> bool:
    """Whether the longest turn by itself would not fit: then no prompt ever would.

    Args:
        text: As for `context_is_full`.
    """
    limit, output = _LIMIT.search(text), _OUTPUT.search(text)
    if not limit or not output:
        return False
    asked = next(group for group in output.groups() if group)
    return int(asked.replace(",", "")) >= int(limit.group(1).replace(",", ""))
