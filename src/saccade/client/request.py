"""A request as it goes out: the body in the server's words, the URL, the headers, its bounds."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pydantic import JsonValue

from saccade.client.options import FROM_ENVIRONMENT, ClientOptions
from saccade.errors import ConfigError

IMAGE_TOKENS_BOUND = 16384
"""Number of prompt tokens that an image counts for when the cost of a request is bounded, and of
completion tokens where a request sets no limit."""

_PATH = "/chat/completions"
_LIMITS = ("max_tokens", "max_completion_tokens")


def body_of(options: ClientOptions, body: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The body of a request, in the words of the server.

    Args:
        options: Its own names, omissions and additions go before those of the kind of server.
        body: In the words of OpenAI's API, without `model`.
    """
    rules = options.rules
    whole: dict[str, JsonValue] = {"model": options.model, **body}
    if options.stream if options.stream is not None else rules.stream:
        whole |= {"stream": True, "stream_options": {"include_usage": True}}
    names = {**rules.rename, **options.rename}
    omitted = {*options.omit, *(set(rules.omit) - set(options.rename))}
    sent = {names.get(name, name): v for name, v in whole.items() if name not in omitted}
    return sent | options.extra_body


def not_sent(options: ClientOptions, body: Mapping[str, JsonValue]) -> list[str]:
    """The parameters of a body that the kind of server refuses, and that would mean something."""
    known = set(options.omit) | set(options.rename) | set(options.extra_body)
    return [
        name
        for name in options.rules.omit
        if name in body and name not in known and not (name == "temperature" and body[name] == 1)
    ]


def url_of(options: ClientOptions, base: str) -> str:
    """The address of chat completions under an endpoint; queries of both are joined.

    Raises:
        ConfigError: a variable that the query names is not set.
    """
    parts = urlsplit(base)
    path = parts.path.rstrip("/")
    own = dict(parse_qsl(parts.query, keep_blank_values=True))
    dated = not path.endswith("/openai/v1")  # Azure's second API, which takes no version
    query = {**(options.rules.query if dated else {}), **own, **_filled("query", options.query)}
    whole = path if path.endswith(_PATH) else path + _PATH
    return urlunsplit((parts.scheme, parts.netloc, whole, urlencode(query), ""))


def headers_of(options: ClientOptions) -> dict[str, str]:
    """The headers of a request, with the key.

    Raises:
        ConfigError: the key is no key, or a variable that a header names is not set.
    """
    name = options.api_key_env
    key = os.environ.get(name, "").strip() or "EMPTY"
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(f"{name}: the key in it has characters that no key has; copy it again")
    header = options.rules.key_header
    value = f"Bearer {key}" if header == "Authorization" else key
    fixed = {"Content-Type": "application/json", header: value}
    return fixed | _filled("headers", options.headers)


def secrets_of(options: ClientOptions) -> dict[str, str]:
    """What a server is sent of the environment: the name of each variable and its content."""
    named = [*options.headers.values(), *options.query.values()]
    variables = [v.removeprefix(FROM_ENVIRONMENT) for v in named if v.startswith(FROM_ENVIRONMENT)]
    names = (options.api_key_env, *variables)
    return {name: os.environ.get(name, "").strip() for name in names}


def cache_key(options: ClientOptions, data: bytes) -> str:
    """The name of a request in a cache: of its body, and of what else may change the reply."""
    beside = {"headers": options.headers, "query": options.query}
    more = json.dumps(beside, sort_keys=True).encode() if any(beside.values()) else b""
    return hashlib.sha256(data + more).hexdigest()


def cost_bound(options: ClientOptions, request: Mapping[str, JsonValue]) -> float:
    """The most that one attempt can cost.

    Args:
        options: With the prices.
        request: The body as it is sent, under whatever names.
    """
    if not options.price_in and not options.price_out:
        return 0.0
    names = {*_LIMITS, options.rename.get("max_tokens", "max_tokens")}
    limits = [request[name] for name in names if name in request]
    counts = [limit for limit in limits if isinstance(limit, int) and limit > 0]
    replies = request.get("n")
    out = max(counts, default=IMAGE_TOKENS_BOUND) * max(
        1, replies if isinstance(replies, int) else 1
    )
    return (_size(dict(request)) * options.price_in + out * options.price_out) / 1e6


def _filled(option: str, values: Mapping[str, str]) -> dict[str, str]:
    """The values, with the content of the variables that they name."""
    filled = {}
    for name, value in values.items():
        if value.startswith(FROM_ENVIRONMENT):
            variable = value.removeprefix(FROM_ENVIRONMENT)
            value = os.environ.get(variable, "").strip()
            if not value:
                raise ConfigError(f"{option}.{name}: the variable {variable} is not set")
            if not (value.isascii() and value.isprintable()):
                raise ConfigError(f"{option}.{name}: {variable} has characters that cannot be sent")
        filled[name] = value
    return filled


def _size(value: JsonValue) -> int:
    """An upper bound of the prompt tokens: a token has at least a byte, an image its own bound."""
    if isinstance(value, str):
        return len(value.encode()) + 8
    if isinstance(value, list):
        return sum(map(_size, value))
    if isinstance(value, dict):
        if value.get("type") == "image_url":
            return IMAGE_TOKENS_BOUND
        return sum(_size(key) + _size(inner) for key, inner in value.items())
    return 8
