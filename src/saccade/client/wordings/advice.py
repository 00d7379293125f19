"""Known refusals, and the line of the run file that mends each.

Sources of the wordings: OpenAI API reference, errors; Vali-98/ChatterUI issue 227 (Gemini);
infiniflow/ragflow issue 8972 (DashScope); musistudio/claude-code-router issue 948 (ModelScope);
Mistral, Groq and xAI API references, errors; ggml-org/llama.cpp issues 13566, 12947 and 15377
(images); cline/cline issue 8977 and lmstudio-ai/lmstudio-bug-tracker issue 1752 (WebP);
vllm-project/vllm vllm/entrypoints (tool choice, images in a prompt); Microsoft Q&A 1360789 (Azure).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_QUOTE = r"[`'\"]"
_REFUSED = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"unsupported (?:parameter|value|argument|field)s?:? {_QUOTE}?(\w+)",
        r"unrecognized request arguments? supplied: ([\w, ]+)",
        rf"un(?:known|recognized|expected|supported) (?:request )?"
        rf"(?:name|parameter|field|argument|key|option)s?:? {_QUOTE}(\w+)",
        rf"(?:property|parameter|argument|field|option) {_QUOTE}?(\w+){_QUOTE}? (?:is|are) "
        r"(?:unsupported|not (?:supported|allowed|permitted|recognized|known))",
        rf"{_QUOTE}(\w+){_QUOTE} (?:is|are) (?:unsupported|deprecated|not (?:supported|allowed))",
        rf"(?:extra inputs|extra fields) (?:are )?not permitted,? (?:field:? )?{_QUOTE}(\w+)",
        rf"{_QUOTE}?(\w+){_QUOTE}?: (?:extra inputs|extra fields) (?:are )?not permitted",
        rf"(?:not|n't) support (?:the )?(?:parameter|argument|option)s?:? {_QUOTE}?(\w+)",
        r"argument not supported on this model: (\w+)",
    )
)
_UNSUPPORTED = re.compile(
    r"un(supported|known|recognized|expected)|not (supported|permitted|allowed)|does not support",
    re.IGNORECASE,
)
_INSTEAD = re.compile(rf"(?:use|did you mean) {_QUOTE}(\w+){_QUOTE}", re.IGNORECASE)
_NOT_OPTIONAL = {"messages", "model", "content", "role", "image_url", "images", "tools", "type"}

_KNOWN: tuple[tuple[str, str], ...] = (
    (
        r"non-?streaming|support stream mode|stream(ing)? (must be|should be|is) (set to )?(true|"
        r"required|enabled)|enable the stream|`?stream=false`?|only support\w* stream",
        "this server answers in a stream only: {section}.stream=true",
    ),
    (
        r"image input is not supported|does(n't| not) support (image|vision|multimodal)|not a "
        r"(multimodal|vision) model|unsupported content part type|image_url[^\n]{0,30}(only "
        r"supported by|not supported)|unknown variant `image_url`|support image input|missing data "
        r"required for image input|no mmproj",
        "this model cannot see: serve one that can (llama.cpp: with --mmproj), or take another "
        "{section}.model",
    ),
    (
        r"failed to load image|failed to decode image|field must be a base64 encoded image"
        r"|unsupported image (format|type)|could not process image|invalid image",
        'the server does not read this kind of image or link: {section}.image_format="png"',
    ),
    (
        r"at most \d+ image|too many images",
        "lower environment.limits.max_images, or start the server for more images (vLLM: "
        "--limit-mm-per-prompt)",
    ),
    (
        r"tool choice requires|does not support (tools|function|tool)|support tool use|tools param "
        r"requires|tool-call-parser",
        "the server parses no tool calls: start it with a tool parser (vLLM: "
        "--enable-auto-tool-choice --tool-call-parser, llama.cpp: --jinja), or take a dialect that "
        "writes them as text (environment.dialect.kind)",
    ),
    (
        r"continue_final_message|add_generation_prompt|prefill",
        "the server does not continue a given text: {section}.continues_prefix=false",
    ),
    (
        r"jinja|chat template|roles must alternate|system role not supported",
        "the chat template of the model refuses these messages: serve it with another template",
    ),
    (
        r"^resource not found$|invalid subscription key",
        'is this Azure? {section}.server="azure" sends the key and {section}.query.api-version '
        "as it wants them",
    ),
)
_TOO_LONG = re.compile(
    r"max_(completion_|output_|new_)?tokens['`\"]?[^\n]{0,60}(at most|too large|must be|should be"
    r"|less than|cannot be greater|maximum)|range of max_tokens|number of output tokens",
    re.IGNORECASE,
)


def advice(message: str, parameters: Sequence[str], section: str) -> str | None:
    """How to mend a refusal, or None where it is none that is known.

    Args:
        message: What the server says.
        parameters: The parameters that it names in a field of its own.
        section: The section of the run file with the server's options.
    """
    for pattern, text in _KNOWN:
        if re.search(pattern, message, re.IGNORECASE):
            return text.format(section=section)
    if names := _refused(message, parameters):
        return _without(names, message, section)
    if _TOO_LONG.search(message):
        return "a turn may not be so long: lower environment.limits.max_turn_tokens"
    return None


def _refused(message: str, parameters: Sequence[str]) -> list[str]:
    """The parameters that the server does not take, in the order in which it names them."""
    names = list(parameters) if _UNSUPPORTED.search(message) else []
    for pattern in _REFUSED:
        for found in pattern.findall(message):
            names += [name.strip() for name in found.split(",")]
    optional = [name for name in names if name not in _NOT_OPTIONAL]
    return [name for name in dict.fromkeys(optional) if re.fullmatch(r"\w+", name)]


def _without(names: list[str], message: str, section: str) -> str:
    instead = _INSTEAD.search(message)
    if len(names) == 1 and instead and instead.group(1) != names[0]:
        return f'{section}.rename.{names[0]}="{instead.group(1)}"'
    listed = ", ".join(f'"{name}"' for name in names)
    lines = f"{section}.omit=[{listed}]"
    if "max_tokens" in names:
        lines += f', or {section}.rename.max_tokens="max_completion_tokens"'
    if names == ["temperature"]:
        lines += ", or sampling.temperature=1.0"
    return lines
