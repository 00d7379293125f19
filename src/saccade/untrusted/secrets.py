"""Keys and tokens: which variables may hold them, and what is kept of run files that name them.

check_variable("OPENAI_API_KEY")          # or raises: a run file may not name any variable
without_secrets({"api_key": "sk-1234"})   # {"api_key": "HIDDEN"}
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from pydantic import JsonValue

from saccade.errors import ConfigError

SHORTEST = 6
"""Number of characters that a secret has at least."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ENDS_AS_KEY = re.compile(r".*_(KEY|TOKEN)", re.IGNORECASE)
_PLAIN = re.compile(r"[A-Z][A-Z0-9_]{0,60}")
"""What is a name for sure: some keys are names by their letters, and are not repeated."""

_NAMED = re.compile(
    r"(^|[-_.])(api-?key|(access|auth|secret|private|account)-?(key|token)|keys?|auth"
    r"|authorization|token|jwt|bearer|secrets?|cookie|pass(word|wd|phrase)?|pwd|sig|signature"
    r"|credentials?)([-_.]|$)",
    re.IGNORECASE,
)
_SURELY_NAMED = re.compile(
    r"(^|[-_.])(api[-_]?key|(access|auth|secret|private)[-_]?(key|token)|authorization|secrets?"
    r"|password|passwd|credentials?)$",
    re.IGNORECASE,
)
_MADE = re.compile(
    r"^(?i:bearer|basic|token) \S{8}|\b(pk|rk|gsk|hf|xai|ghp|gho|github_pat|glpat|nvapi|r8"
    r"|xox[abp])[-_][A-Za-z0-9]{8}|\bsk[-_][A-Za-z0-9]|\b(AKIA|ASIA|AIza|eyJ)\w{12}"
)
"""How keys of known makers begin."""
_RUN = re.compile(r"(?<![A-Za-z0-9])(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{16,}")
"""Letters and digits without a break: no word, no date and no version."""
_VERSION = re.compile(r"v?\d[\d.-]*([-.]?(preview|alpha|beta|rc|ga)[\d.]*)?", re.IGNORECASE)
_SETTING = re.compile(
    r"(?<![\w.-])(?P<before>(?P<key>[\w.-]+)[\"']?\s*=\s*)(?P<quote>[\"'])(?P<value>(?:\\.|(?!(?P=quote)).)*)(?P=quote)",
    re.DOTALL,
)
_URL = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]{0,31}://[^\s'\"<>]+")

HIDDEN = "HIDDEN"
"""Stands where a secret was, in what is kept of a run file."""


def check_variable(name: str) -> None:
    """Refuse that a run file sends any variable of the environment to a server of its choice.

    Raises:
        ConfigError: it is no name, or one that neither ends as keys do nor was listed by the user.
    """
    listed = {word.strip() for word in os.environ.get("SACCADE_ALLOW_ENV", "").split(",")}
    if not _VARIABLE.fullmatch(name):
        raise ConfigError(
            "expected the name of an environment variable, got something else; is it the key "
            "itself? It belongs into the variable"
        )
    if _ENDS_AS_KEY.fullmatch(name) or name in listed:
        return
    shown = name if _PLAIN.fullmatch(name) else "NAME"
    raise ConfigError(
        "a run file may only send variables whose names end in _KEY or _TOKEN"
        f"{'' if shown == 'NAME' else f', got {shown}'}; rename it, or allow it on the command "
        f"line: SACCADE_ALLOW_ENV={shown} saccade ..."
    )


def names_secret(name: str) -> bool:
    """Whether a header or a parameter of this name usually holds a secret: `key`, `apiKey`."""
    return bool(_NAMED.search(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name)))


def is_made(value: str) -> bool:
    """Whether a text begins as the keys of known makers do, or holds one: `sk-...`."""
    return bool(_MADE.search(value))


def is_secret(value: str) -> bool:
    """Whether a text is a key by its looks; words, dates and versions are none."""
    return is_made(value) or bool(_RUN.search(value))


def keeps_secret(name: str) -> bool:
    """Whether a setting of this name holds nothing but a secret: `api_key`, `password`."""
    return bool(_SURELY_NAMED.search(name))


def bare(url: str) -> str:
    """A URL as messages and files show it: without user, password, query and fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "a URL that cannot be read"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def check_address(url: str, variable: str) -> None:
    """Refuse what is no address of a server, and one that holds a secret: it is kept in run.json.

    Args:
        url: `http://HOST:PORT` or `https://HOST`, perhaps with a path.
        variable: The option that names the variable with the key.

    Raises:
        ValueError: it is something else.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"expected http://HOST:PORT or https://HOST, got {bare(url)!r}")
    if "@" in parts.netloc:
        raise ValueError(f"a URL with a password; name its variable in {variable}")
    if parts.query or parts.fragment:
        raise ValueError(
            f"expected nothing behind {bare(url)!r}; a token is read from the variable "
            f"that {variable} names"
        )
    if is_made(parts.path):
        raise ValueError("a URL with a secret in its path; it would be kept in run.json")
    _ = parts.port  # refuses what is no port number


def in_query(parts: SplitResult) -> Iterator[str]:
    """The parameters of a URL's query whose values may be secrets: neither short nor a version."""
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        long = len(value) >= SHORTEST and not _VERSION.fullmatch(value)
        if value and (names_secret(name) or long):
            yield name


def without_secrets(value: JsonValue) -> JsonValue:
    """What is kept of a run file: values of keys that are called secrets, and of URLs, are hidden.

    Args:
        value: Of the run file, or a word of a command line.
    """
    if isinstance(value, str):
        key, equals, rest = value.partition("=")
        if (
            equals
            and keeps_secret(re.sub(r"[\s\"']", "", key))
            and rest
            and not rest.startswith("env:")
        ):
            return f"{key}={HIDDEN}"
        shown = _SETTING.sub(_hidden_setting, value)
        return _URL.sub(lambda found: _hidden_url(found[0]), shown)
    if isinstance(value, list):
        return [without_secrets(inner) for inner in value]
    if isinstance(value, dict):
        return {key: _kept(key, inner) for key, inner in value.items()}
    return value


def _kept(key: str, value: JsonValue) -> JsonValue:
    secret = isinstance(value, str) and value and not value.startswith("env:")
    return HIDDEN if secret and keeps_secret(key) else without_secrets(value)


def _hidden_setting(found: re.Match[str]) -> str:
    """A setting within the value of another one, `tools.search={api_key="..."}`."""
    hidden = keeps_secret(found["key"]) and not found["value"].startswith("env:")
    return f'{found["before"]}"{HIDDEN}"' if hidden else found[0]


def _hidden_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        hidden = set(in_query(parts))
    except ValueError:
        return url.partition("?")[0].rpartition("@")[2]
    if not hidden and "@" not in parts.netloc:
        return url
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    query = urlencode([(n, HIDDEN if n in hidden else v) for n, v in pairs])
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=query))


def sent_along(table: JsonValue) -> Iterator[str]:
    """Which variables of the environment a run file sends where, a line for each that is set.

    Args:
        table: The run file, its defaults included or left out.
    """
    if isinstance(table, list):
        for inner in table:
            yield from sent_along(inner)
    if not isinstance(table, dict):
        return
    hosts = [url for key in _PLACES for url in _listed(table.get(key)) if "://" in url]
    kind = table.get("kind")
    if not hosts and isinstance(kind, str):
        hosts = [place for _, place in _OF_KIND.get(kind, [])]
    for name in _variables(table) if hosts else ():
        if os.environ.get(name):
            yield f"{name} is sent to {', '.join(sorted(set(map(_host, hosts))))}"
    for inner in table.values():
        yield from sent_along(inner)


_PLACES = ("base_url", "url", "urls")
_USUAL = (
    ({"base_url"}, "OPENAI_API_KEY"),
    ({"urls", "digest"}, "SACCADE_SEARCH_TOKEN"),
    ({"urls"}, "SACCADE_SANDBOX_TOKEN"),
)
"""Keys of a part of a run file that has the address of a server, and the variable that is sent
there by default."""
_OF_KIND = {
    "serper": [("SERPER_API_KEY", "https://google.serper.dev")],
    "serpapi": [("SERPAPI_API_KEY", "https://serpapi.com")],
    "brave": [("BRAVE_API_KEY", "https://api.search.brave.com")],
    "tavily": [("TAVILY_API_KEY", "https://api.tavily.com")],
    "searxng": [],
}
"""Kind of a part that knows where it asks -> the variable that it sends, and where to, if any."""


def _variables(table: Mapping[str, JsonValue]) -> Iterator[str]:
    named = [v for k, v in table.items() if k.endswith("_env") and isinstance(v, str)]
    usual = [name for keys, name in _USUAL if keys <= table.keys()][:1]
    kind = table.get("kind")
    if isinstance(kind, str) and kind in _OF_KIND:
        usual = [name for name, _ in _OF_KIND[kind]]
    yield from named or usual
    for option in ("headers", "query"):
        values = table.get(option)
        for value in values.values() if isinstance(values, dict) else ():
            if isinstance(value, str) and value.startswith("env:"):
                yield value.removeprefix("env:")


def _listed(value: JsonValue) -> list[str]:
    several = value if isinstance(value, list) else [value]
    return [url for url in several if isinstance(url, str)]


def _host(url: str) -> str:
    parts = urlsplit(bare(url))
    host = parts.netloc.encode("ascii", "backslashreplace")  # a letter may look like another one
    return f"{parts.scheme}://{host.decode()}"
