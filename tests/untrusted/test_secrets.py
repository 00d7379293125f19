"""Which variables a run file may send, what is kept of secrets, and what servers repeat of them."""

import base64
import html
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from command import here
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.agent import Agent
from saccade.client.failures import Response
from saccade.client.options import ClientOptions
from saccade.client.reply import read
from saccade.config import validate
from saccade.errors import ConfigError
from saccade.recipe import Recipe
from saccade.runs.manifest import manifest_of
from saccade.testing import ScriptedReply, ScriptedRequest, ScriptedServer
from saccade.untrusted.redactor import Redactor
from saccade.untrusted.secrets import check_variable, sent_along, without_secrets

KEY = "sk-Zx9/Qw+7&\"echo'5512"
MARK = "[the key of ECHO_KEY]"

WRITTEN: dict[str, Callable[[str], str]] = {
    "as it is": lambda k: k,
    "in capitals": str.upper,
    "in small letters": str.lower,
    "percent": lambda k: quote(k, safe=""),
    "percent twice": lambda k: quote(quote(k, safe=""), safe=""),
    "percent, every letter": lambda k: "".join(f"%{ord(c):02x}" for c in k),
    "json": lambda k: json.dumps(k)[1:-1],
    "json in json": lambda k: json.dumps(json.dumps(k))[1:-1],
    "json, every letter": lambda k: "".join(f"\\u{ord(c):04X}" for c in k),
    "json, slashes": lambda k: json.dumps(k)[1:-1].replace("/", "\\/"),
    "html": html.escape,
    "html, numbers": lambda k: "".join(f"&#{ord(c)};" for c in k),
    "html, hex": lambda k: "".join(f"&#x{ord(c):X};" for c in k),
    "python": lambda k: "".join(f"\\x{ord(c):02x}" for c in k),
    "hex": lambda k: k.encode().hex(),
    "hex, apart": lambda k: k.encode().hex(":").upper(),
    "backwards": lambda k: k[::-1],
    "with spaces": " ".join,
    "with a line's end": lambda k: f"{k[:7]}\r\n {k[7:]}",
    "with what shows nothing": "\u200b".join,
    "with what shows nothing, escaped": "\\u200b\\u00ad".join,
    "of two bytes": "\0".join,
    "hex, as a list": lambda k: ", ".join(f"0x{ord(c):02x}" for c in k),
    "base64": lambda k: base64.b64encode(k.encode()).decode(),
    "base64 of a user": lambda k: base64.b64encode(f"me:{k}".encode()).decode(),
    "base64 of a header": lambda k: base64.b64encode(f"Bearer {k}\n".encode()).decode(),
    "base64 for URLs": lambda k: base64.urlsafe_b64encode(f"xy{k}".encode()).decode(),
}


@pytest.mark.parametrize("how", WRITTEN)
def test_a_key_is_hidden_however_it_is_written(how: str) -> None:
    said = Redactor({"ECHO_KEY": KEY})(f"<{WRITTEN[how](KEY)}>")
    assert MARK in said
    assert len(said) <= len(MARK) + 16  # at most the neighbours of a base64 text are left


@given(st.text("aZ09-_/+.~", min_size=8, max_size=40), st.sampled_from(sorted(WRITTEN)), st.text())
@settings(max_examples=25, deadline=None)
def test_no_key_survives_and_nothing_else_is_lost(end: str, how: str, around: str) -> None:
    key = f"k{end}"
    said = Redactor({"A_KEY": key})(f"{around}|{WRITTEN[how](key)}|{around}")
    assert "[the key of A_KEY]" in said
    if key.lower() not in around.lower() and how != "hex":
        assert said.startswith(f"{around}|")


def test_words_of_a_header_and_the_password_in_it_are_secrets_too() -> None:
    packed = base64.b64encode(b"me:opensesame").decode()
    said = Redactor({"GATE_KEY": f"Basic {packed}"})(f"{packed} me:opensesame opensesame Basic")
    assert "sesame" not in said
    assert packed not in said
    assert said.endswith(" Basic")


@pytest.mark.parametrize("key", ["EMPTY", "ollama", "lm-studio", "123456", "sk-1", "test", "none"])
def test_what_may_be_an_answer_is_no_secret(key: str) -> None:
    assert Redactor({"A_KEY": key})(f"an {key} glass") == f"an {key} glass"


@pytest.mark.parametrize("bait", ["\\", "%5c", "%25", "&amp;", "&#0", "k", "\\u00", " \\", "%"])
def test_a_text_of_escapes_takes_time_by_its_length(bait: str) -> None:
    """Measured on the thread of the event loop, which all episodes share."""
    hide = Redactor({"A_KEY": KEY})
    begin = time.thread_time()
    hide(bait * 10_000)
    assert time.thread_time() - begin < 1


@pytest.mark.parametrize("bait", ["a.", "1", "a1-", "://"])
def test_what_is_kept_takes_time_by_its_length(bait: str) -> None:
    begin = time.thread_time()
    without_secrets({"note": bait * 20_000, "base_url": f"http://host/v1?q={bait * 20_000}"})
    assert time.thread_time() - begin < 1


@pytest.mark.parametrize("where", ["content", "reasoning", "model"])
def test_tokens_of_a_text_with_a_key_are_not_kept_and_others_are(where: str) -> None:
    message = {"content": "x", where: KEY} if where != "model" else {"content": "x"}
    choice = {"message": message, "token_ids": list(KEY.encode())}
    body = json.dumps({"model": KEY if where == "model" else "m", "choices": [choice]}).encode()
    redact = Redactor({"ECHO_KEY": KEY})
    for seen in (body, redact.content(body)):
        reply = read("http://h", Response(200, {}, seen), redact=redact)
        assert not leaks(f"{reply.text} {reply.thought} {reply.model}")
        assert (reply.token_ids is None) is (where != "model")


# What a server sends back.


def leaks(text: str) -> bool:
    """Whether the key can be read in a text, by somebody who tries every way of writing it."""
    low = text.lower()
    while unquote(low) != low:
        low = unquote(low)
    inner = [base64.b64encode(b"x" * n + KEY.encode()).decode()[4:-4] for n in range(3)]
    ways = [write(KEY).lower() for write in WRITTEN.values()]
    return any(way.lower() in low or way in text for way in [*inner, *ways])


def events(*deltas: dict[str, object]) -> bytes:
    lines = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    whole = "".join(f"data: {json.dumps(line)}\n\n" for line in lines)
    return f"{whole}data: [DONE]\n\n".encode()


def error(status: int, said: str, **headers: str) -> ScriptedReply:
    raw = json.dumps({"error": {"message": said, "code": said}}).encode()
    return ScriptedReply(status=status, raw=raw, headers=headers)


STREAM = {"Content-Type": "text/event-stream"}
PLACES: dict[str, Callable[[str], ScriptedReply]] = {
    "the body of an error": lambda k: error(401, f"Incorrect API key provided: {k}."),
    "where a message is cut": lambda k: error(400, "x" * (300 - len(k) // 2) + k),
    "where a long message is cut": lambda k: error(400, "x" * (2000 - len(k) // 2) + k),
    "an error of a gateway": lambda k: ScriptedReply(status=502, raw=f"<p>{k}</p>".encode()),
    "a body that is no JSON": lambda k: ScriptedReply(raw=("x" * 290 + k).encode()),
    "a redirect": lambda k: ScriptedReply(
        status=302, raw=b"", headers={"Location": f"http://h/{quote(k, safe='')}?k={quote(k)}"}
    ),
    "a text": lambda k: ScriptedReply(f"<answer>{k}</answer>"),
    "a thought": lambda k: ScriptedReply("<answer>1</answer>", thought=k),
    "a call": lambda k: ScriptedReply(
        tool_calls=[{"id": k, "function": {"name": k, "arguments": json.dumps({k: k})}}]
    ),
    "a reason to stop": lambda k: ScriptedReply("x", finish=k),
    "a reason to break off": lambda k: ScriptedReply("x", finish=f"error {k}"),
    "parts of a stream": lambda k: ScriptedReply(
        raw=events(*({"content": c} for c in f"<answer>{k}</answer>")), headers=STREAM
    ),
    "thoughts of a stream": lambda k: ScriptedReply(
        raw=events(*({"reasoning": c} for c in k), {"content": "x"}), headers=STREAM
    ),
    "an error within a stream": lambda k: ScriptedReply(
        raw=f'data: {{"error": {json.dumps("no: " + k)}}}\n\n'.encode(), headers=STREAM
    ),
    "an event that is cut": lambda k: ScriptedReply(
        raw=f'data: {{"x": "{"y" * 80}{k}'.encode(), headers=STREAM
    ),
    "the model's name": lambda k: ScriptedReply(
        raw=json.dumps(
            {"model": k, "choices": [{"message": {"content": "<answer>1</answer>"}}]}
        ).encode()
    ),
}


HOW = ("with what shows nothing", "json, every letter", "base64 of a header")


def run(server: ScriptedServer, folder: Path, *more: str) -> str:
    """A run of a task for each place and way of writing; what it printed, kept and logged."""
    rows = [{"id": f"{place}|{how}", "question": f"<<{place}|{how}>>", "answer": "1"}
            for place in PLACES for how in HOW]  # fmt: skip
    file = folder / "tasks.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = folder / "run.toml"
    recipe.write_text("tools = {}\nenvironment.limits.max_turns = 1\ncanary = false\n")
    done = here(
        "rollout", str(recipe), "tasks.kind=file", f"tasks.path={file}", "policy.kind=openai",
        f"policy.base_url={server.url}", "policy.model=m", "policy.api_key_env=ECHO_KEY",
        "policy.max_retries=0", "policy.stream=true", f"policy.cache={folder / 'cache'}",
        f"out={folder / 'run'}", *more,
    )  # fmt: skip
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != "tasks.jsonl"]
    kept = [file.read_bytes().decode(errors="replace") for file in files]
    assert any(file.name == "aborted.jsonl" and file.stat().st_size for file in files), done.stderr
    assert any(file.parent.name == "cache" for file in files)
    return "\n".join([done.stdout, done.stderr, *kept])


def lies(request: ScriptedRequest) -> ScriptedReply:
    """What the question asks for, of the key in the header."""
    place, how = request.text.partition("<<")[2].partition(">>")[0].split("|")
    return PLACES[place](WRITTEN[how](request.headers["authorization"].removeprefix("Bearer ")))


def test_a_key_that_a_server_repeats_is_kept_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ECHO_KEY", KEY)
    with ScriptedServer(lies) as server, caplog.at_level("DEBUG", logger="saccade"):
        said = run(server, tmp_path) + caplog.text
    assert "ECHO_KEY is sent to http://127.0.0.1" in said
    assert said.count(MARK) > len(PLACES) * len(HOW)
    assert not leaks(said)


def test_without_the_redactor_every_place_leaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECHO_KEY", KEY)
    monkeypatch.setattr(Redactor, "__call__", lambda self, text: text)
    with ScriptedServer(lies) as server:
        assert leaks(run(server, tmp_path))


# Which variables go where.


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "my_key"])
def test_a_variable_that_is_called_a_key_may_be_sent(name: str) -> None:
    check_variable(name)


@pytest.mark.parametrize(
    "name", ["HOME", "PATH", "DATABASE_URL", "PASSWORD", "KEY", "KEYS", "A_KEY_"]
)
def test_other_variables_are_sent_only_if_the_user_lists_them(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=f"_KEY or _TOKEN, got {name}.*SACCADE_ALLOW_ENV={name} "):
        check_variable(name)
    monkeypatch.setenv("SACCADE_ALLOW_ENV", f"OTHER, {name}")
    check_variable(name)


@pytest.mark.parametrize("field", [{"api_key_env": "HOME"}, {"headers": {"X-A": "env:HOME"}},
                                   {"query": {"a": "env:HOME"}}])  # fmt: skip
def test_no_option_of_a_server_names_another_variable(field: dict[str, object]) -> None:
    made = {"base_url": "http://h/v1", "model": "m"}
    with pytest.raises(ValueError, match="SACCADE_ALLOW_ENV=HOME"):
        ClientOptions.model_validate(made | field)


@pytest.mark.parametrize("key", ["sk-abcDEF123456", "hf_abcDEF123456789", "a b"])
def test_a_key_in_place_of_its_variable_is_not_shown(key: str) -> None:
    for field in ({"api_key_env": key}, {"headers": {"X-A": f"env:{key}"}}):
        with pytest.raises(ValueError, match="variable") as caught:
            ClientOptions.model_validate({"base_url": "http://h/v1", "model": "m"} | field)
        assert key not in str(caught.value)


def test_a_run_file_says_which_variable_goes_where(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "GATE_KEY", "JUDGE_TOKEN", "SACCADE_SANDBOX_TOKEN"):
        monkeypatch.setenv(name, "x")
    judge = {"kind": "llm", "base_url": ["http://j:1/v1"], "api_key_env": "JUDGE_TOKEN"}
    table = {
        "policy": {"base_url": "https://p/v1?a=1", "headers": {"X": "env:GATE_KEY"}},
        "reward": {"judge": ["exact", judge]},
        "tools": {"python": {"remote": {"urls": ["http://s:1", "http://s:2"]}}, "zoom_in": {}},
    }
    assert list(sent_along(table)) == [
        "OPENAI_API_KEY is sent to https://p", "GATE_KEY is sent to https://p",
        "JUDGE_TOKEN is sent to http://j:1",
        "SACCADE_SANDBOX_TOKEN is sent to http://s:1, http://s:2",
    ]  # fmt: skip


def test_an_agent_logs_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "opensesame")
    policy = {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m"}
    with caplog.at_level("INFO", logger="saccade"), Agent(policy=policy):
        pass
    assert "OPENAI_API_KEY is sent to http://127.0.0.1:9" in caplog.messages
    assert "opensesame" not in caplog.text


def test_a_host_that_looks_like_another_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    (said,) = sent_along({"base_url": "https://api.open\u0430i.com/v1"})
    assert said == "OPENAI_API_KEY is sent to https://api.open\\u0430i.com"


@pytest.mark.parametrize(
    "field", [{"headers": {"X-Api-Key": 12345678}}, {"headers": {"X-A": {"sk-opensesame": 1}}},
              {"max_retries": "sk-12345678"}],
)  # fmt: skip
def test_a_mistake_beside_a_key_does_not_show_it(field: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as caught:
        validate(ClientOptions, {"base_url": "http://h/v1", "model": "m"} | field)
    assert not {"12345678", "opensesame"} & set(re.findall(r"\w+", str(caught.value)))


# What is kept of URLs and run files.


@pytest.mark.parametrize(
    "url",
    [
        "http://h/v1?k=opensesame", "http://h/v1?accessKey=x", "http://h/v1?code=opensesame",
        "http://me:opensesame@h/v1", "http://me@h/v1", "http://h/v1?a=1&subscription_key=x",
        "http://h/v1#opensesame", "http://h/sk-abcdef123456/v1", "ftp://me:opensesame@h/v1",
        "http://h/v1?x=opensesame;y=1",
    ],
)  # fmt: skip
def test_a_url_with_what_may_be_a_secret_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|HOST") as caught:
        ClientOptions.model_validate({"base_url": url, "model": "m"})
    assert "opensesame" not in str(caught.value)


def test_what_is_kept_of_a_run_file_holds_no_secret() -> None:
    table = {
        "tasks": {"path": "https://me:opensesame@h/a?X-Signature=opensesame&v=2"},
        "tools": {"my:Search": {"api_key": "opensesame", "max_tokens": 3, "key": "column"}},
        "list": ["http://h/?token=opensesame", "policy.headers.X-Api-Key=opensesame"],
        "named": {"api_key": "env:A_KEY", "api_key_env": "A_KEY"},
    }
    kept = without_secrets(table)
    assert "opensesame" not in json.dumps(kept)
    assert without_secrets(kept) == kept
    assert kept["tools"]["my:Search"] == {"api_key": "HIDDEN", "max_tokens": 3, "key": "column"}
    assert kept["named"] == table["named"]
    assert "v=2" in kept["tasks"]["path"]


@pytest.mark.parametrize(
    "typed",
    [
        'tools.a={api_key="opensesame"}', "tools.a={ 'password' = 'opensesame', n = 1 }",
        'tools.a=[{api_key="open\\"sesame"}]', 'tools.a."api_key"=opensesame',
        "tools.a.api_key = opensesame",
    ],
)  # fmt: skip
def test_no_way_of_writing_a_setting_shows_its_secret(typed: str) -> None:
    kept = str(without_secrets(typed))
    assert "sesame" not in kept
    assert kept.startswith("tools.a")
    assert without_secrets("tools.a={name='opensesame'}") == "tools.a={name='opensesame'}"


def test_a_command_line_is_kept_without_the_secrets_of_its_urls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    typed = ["saccade", "solve", "https://me:opensesame@h/a.png?sig=opensesame&v=1", "my.api_key=x"]
    monkeypatch.setattr("sys.argv", typed)
    command = manifest_of("solve", Recipe()).command
    assert command == "saccade solve 'https://h/a.png?sig=HIDDEN&v=1' my.api_key=HIDDEN"
