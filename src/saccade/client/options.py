"""The options of a chat server: the part of a run file that policies and judges share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, JsonValue, field_validator, model_validator

from saccade.client.servers import Rules, ServerKind, rules_of
from saccade.errors import ConfigError
from saccade.types import Record
from saccade.untrusted.secrets import (
    bare,
    check_variable,
    in_query,
    is_made,
    is_secret,
    keeps_secret,
    names_secret,
)

FROM_ENVIRONMENT = "env:"
"""A header or a query value that begins so is the content of the variable that it names."""

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OURS = {"authorization", "content-type", "content-length", "host", "transfer-encoding"}
_SENT_BY_US = {"messages": "the conversation", "model": "{0}.model", "stream": "{0}.stream"}


class ClientOptions(Record):
    """A chat server, or several that serve the same model."""

    model_config = ConfigDict(hide_input_in_errors=True)  # somebody may have put a key there

    base_url: str | tuple[str, ...]
    """One endpoint or more, such as "http://127.0.0.1:8000/v1"; a query in it is kept."""
    model: str = Field(min_length=1)
    """Name of the model on the server."""
    api_key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable with the key; the key itself is never written anywhere."""
    server: ServerKind | None = None
    """Kind of the server, whose parameters, headers and ends of turns are known; left out, the
    server is sent what all servers take."""
    rename: dict[str, str] = Field(default_factory=dict)
    """Parameters that the server calls something else, such as max_tokens."""
    omit: tuple[str, ...] = ()
    """Parameters that the server refuses, such as seed: they are not sent."""
    extra_body: dict[str, JsonValue] = Field(default_factory=dict)
    """Parameters that are sent with each request, as they are; they replace ours."""
    headers: dict[str, str] = Field(default_factory=dict)
    """HTTP headers of each request; a secret is named as "env:VARIABLE"."""
    query: dict[str, str] = Field(default_factory=dict)
    """Parameters of the URL, such as api-version; a secret is named as "env:VARIABLE"."""
    stream: bool | None = None
    """Whether replies are asked for as a stream; left out, only from servers that need it."""
    timeout_s: float = Field(default=300.0, gt=0)
    """Seconds that one attempt may take."""
    deadline_s: float = Field(default=1200.0, gt=0)
    """Seconds that a request may take, with all its attempts and the pauses between them."""
    max_retries: int = Field(default=4, ge=0)
    """Number of attempts after the first one."""
    backoff_s: float = Field(default=0.5, gt=0)
    """Seconds before the first retry; the pause doubles each time, up to 30 s, with jitter."""
    cooldown_s: float = Field(default=10.0, ge=0)
    """Seconds for which an endpoint that failed is avoided while another one is healthy."""
    concurrency: int = Field(default=64, ge=1)
    """Number of requests that may be under way at the same time; further requests wait."""
    price_in: float = Field(default=0.0, ge=0)
    """Price of a million prompt tokens."""
    price_out: float = Field(default=0.0, ge=0)
    """Price of a million completion tokens."""
    budget: float | None = Field(default=None, gt=0)
    """Money that may be spent; a request that could exceed it is not sent."""
    cache: Path | None = None
    """Folder that keeps replies by the hash of their request."""

    @field_validator("base_url")
    @classmethod
    def _is_http(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for url in (value,) if isinstance(value, str) else value:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError(f"expected http://HOST/v1 or https://HOST/v1, got {bare(url)!r}")
            if "@" in parts.netloc:
                raise ValueError("a URL with a password; name its variable in api_key_env")
            if parts.fragment:
                raise ValueError(f"expected no '#' in a URL, got one behind {bare(url)!r}")
            if (name := next(in_query(parts), None)) is not None:
                raise ValueError(
                    f'a URL with a secret, or what may be one; write query.{name}="env:VARIABLE"'
                    f", or query.{name}=VALUE if everybody may read it"
                )
            if is_made(parts.path):
                raise ValueError("a URL with a secret in its path; it would be kept in run.json")
            _ = parts.port  # refuses what is no port number
        if not value:
            raise ValueError("at least one URL is needed")
        return value

    @field_validator("api_key_env")
    @classmethod
    def _is_a_variable(cls, value: str) -> str:
        check_variable(value)
        return value

    @field_validator("extra_body")
    @classmethod
    def _holds_no_secret(cls, body: dict[str, JsonValue]) -> dict[str, JsonValue]:
        for name, value in body.items():
            if isinstance(value, str) and (is_made(value) or keeps_secret(name)):
                raise ValueError(
                    f"{name}: a secret would be written into run.json; it is sent in a header: "
                    'headers.NAME="env:VARIABLE"'
                )
        return body

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if name.lower() in _OURS:
                mend = "; the key is read from the variable that api_key_env names"
                raise ValueError(
                    f"{name} is set by the client{mend if 'auth' in name.lower() else ''}"
                )
            if not _HEADER.fullmatch(name) or not (value.isascii() and value.isprintable()):
                raise ValueError(f"{name!r} and its value make no HTTP header")
        _check_secrets("headers", headers)
        return headers

    @field_validator("query")
    @classmethod
    def _is_query(cls, query: dict[str, str]) -> dict[str, str]:
        _check_secrets("query", query)
        return query

    @model_validator(mode="after")
    def _parameters_are_ours_to_change(self) -> Self:
        for option in ("rename", "omit", "extra_body"):
            for name in getattr(self, option):
                if name in _SENT_BY_US and not (option == "omit" and name == "model"):
                    raise ValueError(
                        f"{option}: {name} is {_SENT_BY_US[name].format('the option')}"
                    )
        targets = list(self.rename.values())
        if len(set(targets)) < len(targets) or not all(targets):
            raise ValueError(f"rename: expected a name of its own for each, got {self.rename}")
        return self

    @model_validator(mode="after")
    def _budget_has_prices(self) -> Self:
        if self.budget is not None and not self.price_in and not self.price_out:
            raise ValueError("budget needs price_in and price_out: without them nothing is counted")
        return self

    @property
    def urls(self) -> tuple[str, ...]:
        """The endpoints without a trailing slash."""
        several = (self.base_url,) if isinstance(self.base_url, str) else self.base_url
        return tuple(url if "?" in url else url.rstrip("/") for url in several)

    @property
    def rules(self) -> Rules:
        """What the kind of server wants."""
        return rules_of(self.server, self.model)


def _check_secrets(option: str, values: dict[str, str]) -> None:
    """A run file is copied into `run.json`: a secret in it would be kept there."""
    for name, value in values.items():
        if value.startswith(FROM_ENVIRONMENT):
            try:
                check_variable(value.removeprefix(FROM_ENVIRONMENT))
            except ConfigError as error:
                raise ValueError(f"{name}: {error}") from error
        elif names_secret(name) or is_secret(value):
            raise ValueError(
                f"{name}: a secret would be written into run.json; put it into a variable of the "
                f'environment and write {option}.{name}="env:VARIABLE"'
            )
