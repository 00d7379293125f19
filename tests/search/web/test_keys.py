"""A whole run with a service that repeats its key wherever it can: no byte of the folder has it."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from answering import Answering, Asked, Reply
from command import here

from saccade.client import post
from saccade.testing import ScriptedRequest, ScriptedServer
from saccade.untrusted.redactor import Redactor

KEY = "Zx9-Qw7echo+5512/Kp"
MARK = "[the key of SERPAPI_API_KEY]"
WAYS = [KEY, quote(KEY, safe=""), KEY.lower(), KEY[::-1], json.dumps(KEY)[1:-1]]

ROW = {"title": f"A {KEY}", "link": f"https://h/?api_key={quote(KEY, safe='')}",
       "snippet": f"b {KEY[::-1]}", "date": KEY.lower(), KEY: KEY}  # fmt: skip
PLACES: dict[str, Callable[[], Reply]] = {
    "results": lambda: Reply({"search_parameters": {"api_key": KEY}, "organic_results": [ROW]}),
    "an error": lambda: Reply({"error": f"Unsupported key {KEY}"}, 400),
    "an error of a 200": lambda: Reply({"error": f"Try later, {KEY}"}),
    "a page": lambda: Reply(f"<p>{KEY}</p>".encode(), 503),
    "a login page": lambda: Reply(f"<p>{KEY}</p>".encode()),
    "a redirect": lambda: Reply(status=302, headers={"Location": f"http://h/{quote(KEY)}"}),
    "a way to pack": lambda: Reply(b"x", headers={"Content-Encoding": KEY}),
    "no HTTP": lambda: Reply(b"x", headers={f"X\x00{KEY}": KEY}),
}


def leaks(text: str) -> bool:
    return any(way in text for way in WAYS)


def played(folder: Path, logged: pytest.LogCaptureFixture, *places: str) -> str:
    """A run with a task for each place; all that it printed, logged and kept."""

    def act(request: ScriptedRequest) -> str:
        if request.turn:
            return "<answer>1</answer>"
        place = request.text.partition("<<")[2].partition(">>")[0]
        return "<tool_call>" + json.dumps(
            {"name": "text_search", "arguments": {"query": place}}
        ) + "</tool_call>"  # fmt: skip

    def answer(asked: Asked) -> Reply:
        assert asked.query["api_key"] == KEY
        return PLACES[asked.query["q"]]()

    tasks, file = folder / "tasks.jsonl", folder / "run.toml"
    rows = [{"id": name, "question": f"<<{name}>>", "answer": "1"} for name in places]
    tasks.write_text("".join(json.dumps(row) + "\n" for row in rows))
    file.write_text("canary = false\ndialect.kind = 'deepeyes'\n")
    with ScriptedServer(act) as model, Answering(by=answer) as service:
        provider = f'{{ kind = "serpapi", base_url = "{service.url}" }}'
        with logged.at_level(logging.DEBUG, logger="saccade"), logged.at_level(logging.INFO):
            done = here(
                "rollout", str(file), "tasks.kind=file", f"tasks.path={tasks}",
                "policy.kind=openai", f"policy.base_url={model.url}", "policy.model=m",
                f"tools={{ text_search = {{ provider = {provider} }} }}",
                "tools.text_search.requests.max_retries=0", f"out={folder / 'run'}",
            )  # fmt: skip
    files = [each for each in (folder / "run").rglob("*") if each.is_file()]
    kept = [each.read_bytes().decode(errors="replace") for each in files]
    said = "\n".join([done.stdout, done.stderr, logged.text, *kept])
    assert "SERPAPI_API_KEY is sent to http://127.0.0.1" in said, said
    assert said.count("HTTP Request: GET") >= len(places) - 1, said
    assert '"kind": "serpapi"' in said
    return said


def test_a_key_is_in_no_byte_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SERPAPI_API_KEY", KEY)
    said = played(tmp_path, caplog, *PLACES)
    assert not leaks(said)
    assert said.count(MARK) > len(PLACES)


@pytest.mark.parametrize("switched_off", ["redaction", "addresses without their query"])
def test_without_these_defences_it_is(
    switched_off: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("SERPAPI_API_KEY", KEY)
    if switched_off == "redaction":
        monkeypatch.setattr(Redactor, "__call__", lambda self, text: text)
    else:
        monkeypatch.setattr(post._Address, "__str__", post.httpx.URL.__str__)
    assert leaks(played(tmp_path, caplog, "results"))
