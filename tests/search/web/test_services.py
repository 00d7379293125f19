"""Each search engine of the web against a server that speaks its published format."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from answering import Answering, Asked, Reply
from waiting import Clock, until

from saccade.client.failures import Retry
from saccade.config import Part, validate
from saccade.errors import ConfigError, ServiceRefused, ServiceTimeout, ToolError
from saccade.search.found import Hit, Query, Results
from saccade.search.provider import PROVIDERS, Provider, provider_of
from saccade.search.requester import Requester, RequestOptions
from saccade.search.web import base as module
from saccade.search.web.base import WebProvider
from saccade.search.web.brave import Brave
from saccade.search.web.options import KeyOptions
from saccade.search.web.searxng import SearXNG
from saccade.search.web.serpapi import SerpApi
from saccade.search.web.serper import Serper
from saccade.search.web.tavily import Tavily
from saccade.untrusted.secrets import sent_along

KEY = "Zx9Qw7echo5512Kp"
WORDS = Query("text", "tallest tower", k=5)


class Case(NamedTuple):
    """What a service publishes."""

    made: Any
    settings: dict[str, Any]
    found: Any
    """A reply with results."""
    hits: list[Hit]
    empty: Any
    asked: Callable[[Asked], bool]
    """Whether a request is as published."""
    bad_key: Reply | None
    used_up: list[Reply]
    too_fast: Reply
    refused: Reply


def brave_error(code: str, status: int, **meta: object) -> Reply:
    error = {"id": "5d83", "code": code, "detail": "as the page says", "status": status,
             "meta": {"component": "rate_limiter", **meta}}  # fmt: skip
    return Reply({"type": "ErrorResponse", "error": error, "time": 1663072993}, status)


CASES = {
    # Source: https://serper.dev, playground (Search); api-evangelist/serper, json-schema/
    # serper-search-response.json. The errors: crewAIInc/crewAI issue 633 (403); an account without
    # credits is told as {"message":"Not enough credits","statusCode":400}.
    "serper": Case(
        Serper,
        {"country": "de", "language": "en"},
        {
            "searchParameters": {"q": "tallest tower", "type": "search", "engine": "google"},
            "answerBox": {"title": "Tower", "answer": "828 m"},
            "knowledgeGraph": {"title": "Tower", "type": "Building"},
            "organic": [
                {"title": "Tower - Wikipedia", "link": "https://en.wikipedia.org/wiki/Tower",
                 "snippet": "A tower is a tall structure.", "date": "Jan 3, 2024", "position": 1},
                {"title": "Towers", "link": "https://example.org/", "position": 2},
            ],
            "credits": 1,
        },
        [Hit(rank=1, title="Tower - Wikipedia", url="https://en.wikipedia.org/wiki/Tower",
             snippet="A tower is a tall structure.", date="Jan 3, 2024"),
         Hit(rank=2, title="Towers", url="https://example.org/")],
        {"searchParameters": {"q": "x"}, "organic": [], "credits": 1},
        lambda a: (a.method, a.path, a.headers["x-api-key"]) == ("POST", "/search", KEY)
        and a.body == {"q": "tallest tower", "num": 5, "gl": "de", "hl": "en"},
        Reply({"message": "Unauthorized.", "statusCode": 403}, 403),
        [Reply({"message": "Not enough credits", "statusCode": 400}, 400)],
        Reply({"message": "Too many requests", "statusCode": 429}, 429, {"Retry-After": "7"}),
        Reply({"message": "Query not allowed", "statusCode": 400}, 400),
    ),
    # Source: https://serpapi.com/organic-results; errors: https://serpapi.com/
    # api-status-and-error-codes; serpapi/serpapi-python, README.md, "Error handling".
    "serpapi": Case(
        SerpApi,
        {"country": "de", "language": "en"},
        {
            "search_metadata": {"id": "644b", "status": "Success"},
            "search_parameters": {"engine": "google", "q": "tallest tower"},
            "organic_results": [
                {"position": 1, "title": "Coffee", "link": "https://en.wikipedia.org/wiki/Coffee",
                 "displayed_link": "https://en.wikipedia.org", "snippet": "Coffee is a beverage.",
                 "date": "2 days ago", "thumbnail": "https://serpapi.com/searches/a.jpeg"},
            ],
        },
        [Hit(rank=1, title="Coffee", url="https://en.wikipedia.org/wiki/Coffee",
             snippet="Coffee is a beverage.", date="2 days ago")],
        {"search_metadata": {"status": "Success"},
         "error": "Google hasn't returned any results for this query."},
        lambda a: (a.method, a.path) == ("GET", "/search") and a.query == {
            "engine": "google", "q": "tallest tower", "num": "5", "gl": "de", "hl": "en",
            "output": "json", "api_key": KEY},
        Reply({"error": "Invalid API key. Your API key should be here: https://serpapi.com/"
                        "manage-api-key"}, 401),
        [Reply({"error": "Your account has run out of searches."}, 429)],
        Reply({"error": "You are searching too fast."}, 429, {"Retry-After": "7"}),
        Reply({"error": "Unsupported `xx` gl parameter."}, 400),
    ),
    # Source: https://api-dashboard.search.brave.com, Web Search, responses 200, 404, 422, 429;
    # brave/brave-search-mcp-server, src/tools/web/types.ts and src/BraveAPI/types.ts (`error` is an
    # object and has counts; the page's examples have a list `errors`). X-RateLimit-Reset:
    # https://api.search.brave.com/app/documentation/web-search/response-headers.
    "brave": Case(
        Brave,
        {"country": "DE", "language": "en", "safesearch": "off", "freshness": "py"},
        {
            "type": "search",
            "query": {"original": "tallest tower", "more_results_available": True},
            "web": {
                "type": "search",
                "results": [
                    {"title": "Tower", "url": "https://example.org/t", "description": "Tall.",
                     "page_age": "2024-01-03T00:00:00", "age": "January 3, 2024",
                     "type": "search_result", "subtype": "generic", "language": "en"},
                    {"title": "Other", "url": "https://example.org/o", "description": "",
                     "age": "a week ago"},
                ],
                "family_friendly": True,
            },
        },
        [Hit(rank=1, title="Tower", url="https://example.org/t", snippet="Tall.",
             date="2024-01-03T00:00:00"),
         Hit(rank=2, title="Other", url="https://example.org/o", date="a week ago")],
        {"type": "search", "query": {"original": "tallest tower"}},
        lambda a: (a.method, a.path, a.headers["x-subscription-token"]) == (
            "GET", "/res/v1/web/search", KEY) and a.query == {
            "q": "tallest tower", "count": "5", "country": "DE", "search_lang": "en",
            "safesearch": "off", "freshness": "py", "result_filter": "web",
            "text_decorations": "false"},
        brave_error("SUBSCRIPTION_TOKEN_INVALID", 422),
        [brave_error("QUOTA_LIMITED", 429),
         brave_error("RATE_LIMITED", 429, quota_limit=2000, quota_current=2000),
         Reply({"type": "ErrorResponse", "errors": [{"code": "QUOTA_LIMITED", "status": 429}]},
               429)],
        brave_error("RATE_LIMITED", 429, rate_limit=1, quota_limit=2000, quota_current=3)._replace(
            headers={"X-RateLimit-Reset": "7, 1419704"}),
        brave_error("VALIDATION", 422),
    ),
    # Source: tavily-ai/tavily-python, tests/test_search.py (reply), tavily/async_tavily.py
    # (statuses, detail.error); https://docs.tavily.com, Search, responses 400, 401, 429, 432, 433.
    "tavily": Case(
        Tavily,
        {"search_depth": "advanced", "country": "germany", "include_domains": ["example.org"]},
        {
            "query": "tallest tower", "follow_up_questions": None, "answer": None, "images": [],
            "results": [
                {"title": "Tavily", "url": "https://tavily.com", "content": "Connect your LLM.",
                 "score": 0.99, "raw_content": None, "published_date": "Tue, 05 Aug 2025"},
            ],
            "response_time": 1.5,
        },
        [Hit(rank=1, title="Tavily", url="https://tavily.com", snippet="Connect your LLM.",
             score=0.99, date="Tue, 05 Aug 2025")],
        {"query": "x", "results": [], "response_time": 0.5},
        lambda a: (a.method, a.path, a.headers["authorization"]) == (
            "POST", "/search", f"Bearer {KEY}") and a.body == {
            "query": "tallest tower", "max_results": 5, "search_depth": "advanced",
            "topic": "general", "country": "germany", "include_domains": ["example.org"]},
        Reply({"detail": {"error": "Unauthorized: missing or invalid API key."}}, 401),
        [Reply({"detail": {"error": "This request exceeds your plan's set usage limit."}}, 432),
         Reply({"detail": {"error": "This request exceeds the pay-as-you-go limit."}}, 433)],
        Reply({"detail": {"error": "Too many requests."}}, 429, {"Retry-After": "7"}),
        Reply({"detail": {"error": "Invalid topic."}}, 400),
    ),
    # Source: searxng/searxng, docs/dev/search_api.rst, searx/webutils.py (get_json_response),
    # searx/result_types/_base.py (fields), searx/webapp.py (403 where JSON is off).
    "searxng": Case(
        SearXNG,
        {"language": "en", "categories": ["general", "science"], "safesearch": 0},
        {
            "query": "tallest tower",
            "results": [
                {"url": "https://example.org/t", "title": "Tower", "content": "Tall.",
                 "publishedDate": "2024-01-03T00:00:00", "pubdate": "2024-01-03 00:00:00",
                 "thumbnail": "", "engine": "google", "engines": ["google"], "score": 4.0,
                 "category": "general", "template": "default.html"},
                {"url": "https://example.org/o", "title": "Other", "content": "",
                 "publishedDate": None, "score": 1.0},
            ],
            "answers": [], "corrections": [], "infoboxes": [], "suggestions": [],
            "unresponsive_engines": [["brave", "too many requests"]],
        },
        [Hit(rank=1, title="Tower", url="https://example.org/t", snippet="Tall.", score=4.0,
             date="2024-01-03T00:00:00"),
         Hit(rank=2, title="Other", url="https://example.org/o", score=1.0)],
        {"query": "x", "results": [], "answers": [], "unresponsive_engines": []},
        lambda a: (a.method, a.path) == ("GET", "/search") and a.query == {
            "q": "tallest tower", "format": "json", "language": "en",
            "categories": "general,science", "safesearch": "0"},
        None,
        [],
        Reply(b"Too Many Requests", 429, {"Content-Type": "text/html", "Retry-After": "7"}),
        Reply({"error": "No query"}, 400),
    ),
}  # fmt: skip

KEYED = [name for name, case in CASES.items() if case.bad_key is not None]
HTML = b"<!DOCTYPE html><title>Log in to the network</title>"


@pytest.fixture(scope="module")
def server() -> Iterator[Answering]:
    with Answering() as answering:
        yield answering


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Case:
    made = CASES[request.param]
    if issubclass(made.made.Options, KeyOptions):
        monkeypatch.setenv(variable(made), KEY)
    return made


def variable(case: Case) -> str:
    name = case.made.Options.model_fields["key_env"].default
    assert isinstance(name, str)
    return name


def provider(case: Case, url: str) -> WebProvider:
    options = validate(case.made.Options, {"base_url": url, **case.settings})
    made = case.made(options)
    assert isinstance(made, WebProvider)
    return made


async def search(case: Case, server: Answering, *replies: Reply, query: Query = WORDS) -> Results:
    server.replies[:], server.asked[:] = replies, ()
    asked = provider(case, server.url)
    await asked.start()
    try:
        return await asked.search(query)
    finally:
        await asked.close()


async def test_results_are_read_and_asked_for_as_published(case: Case, server: Answering) -> None:
    found = await search(case, server, Reply(case.found))
    assert [result.hit for result in found.results] == case.hits
    (asked,) = server.asked
    assert case.asked(asked), asked
    assert asked.headers["user-agent"] == "saccade"
    one = await search(case, server, Reply(case.found), query=WORDS._replace(k=1))
    assert [result.hit for result in one.results] == case.hits[:1]


async def test_nothing_found_is_no_failure(case: Case, server: Answering) -> None:
    assert await search(case, server, Reply(case.empty)) == Results()


@pytest.mark.parametrize("case", KEYED, indirect=True)
async def test_a_wrong_key_ends_the_run_and_is_not_shown(case: Case, server: Answering) -> None:
    assert case.bad_key is not None
    with pytest.raises(ConfigError, match=rf"is the key in {variable(case)} the right one"):
        await search(case, server, case.bad_key)


@pytest.mark.parametrize("case", KEYED, indirect=True)
async def test_an_account_that_is_used_up_is_told_and_not_asked_again(
    case: Case, server: Answering
) -> None:
    for reply in case.used_up:
        with pytest.raises(ServiceRefused, match=f"the account of {variable(case)} has nothing"):
            await search(case, server, reply)


async def test_a_service_that_is_asked_too_fast_says_how_long_to_wait(
    case: Case, server: Answering
) -> None:
    with pytest.raises(Retry) as caught:
        await search(case, server, case.too_fast)
    assert (caught.value.after, caught.value.sent) == (7.0, True)
    assert "status 429" in str(caught.value.error)


async def test_a_request_that_is_refused_is_told_in_the_words_of_the_service(
    case: Case, server: Answering
) -> None:
    said = re.compile("Query not|Unsupported|as the page says|Invalid topic|No query")
    with pytest.raises(ServiceRefused, match=said):
        await search(case, server, case.refused)


ODD: dict[str, tuple[Reply, type[Exception], str]] = {
    "a server that fails": (Reply(HTML, 503), Retry, "status 503"),
    "a failure in JSON": (Reply({"error": "oops"}, 500), Retry, "status 500: oops"),
    "a page of a firewall": (Reply(HTML, 401), Retry, "status 401"),
    "a login page": (Reply(HTML), Retry, "expected a JSON object, got '<!DOCTYPE html>.*login"),
    "a list": (Reply([1]), Retry, "expected a JSON object"),
    "nothing": (Reply(b""), Retry, "expected a JSON object, got ''"),
    "no content": (Reply(b"", 204), Retry, "status 204|expected"),
    "another format": (Reply({"hits": []}), Retry, "a reply without a list"),
    "results that are none": (
        Reply({"organic": "x", "organic_results": "x", "web": {"results": 3}, "results": {}}),
        Retry, "a reply without a list",
    ),
    "JSON that ends": (Reply(b'{"results": [{"title": "x'), Retry, "expected a JSON object"),
    "a body that ends": (Reply(HTML * 9, fail="cut"), Retry, "127"),
    "no answer": (Reply(fail="drop"), Retry, "127"),
    "a redirect": (
        Reply(b"", 302, {"Location": "/elsewhere?key=1"}), ServiceRefused,
        "it sends on to /elsewhere, where no key is sent: is base_url the right one",
    ),
    "no such path": (Reply(HTML, 404), ServiceRefused, "is base_url the right one"),
    "too much": (Reply(b"[" * 2000), ServiceRefused, "a reply of more than 1000 bytes"),
    "packed twice": (
        Reply(b"x", headers={"Content-Encoding": "gzip, gzip"}), ServiceRefused, "packed as",
    ),
}  # fmt: skip


async def test_what_is_no_answer_is_never_taken_for_an_empty_one(
    case: Case, server: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_REPLY_BYTES", 1000)
    asked = provider(case, server.url)
    for what, (reply, kind, says) in ODD.items():
        server.replies[:], server.asked[:] = [reply], ()
        with pytest.raises(kind, match=says) as caught:
            await asked.search(WORDS)
        assert KEY not in str(caught.value)
        # nothing is asked twice here, and no redirect is followed
        assert len(server.asked) == 1, what
    await asked.close()


JUNK = [None, True, 4.5, 10**400, "x", ["x"], {"a": 1}, "\ud83d"]


def rows_of(reply: Any) -> list[Any]:
    """The list of results somewhere in a reply."""
    if isinstance(reply, list):
        return reply if reply and isinstance(reply[0], dict) and "title" in reply[0] else []
    inner = reply.values() if isinstance(reply, dict) else ()
    return next(filter(None, map(rows_of, inner)), [])


async def test_fields_of_another_kind_count_as_absent(case: Case, server: Answering) -> None:
    """Every field of a result, of every kind; and results that are none at all."""
    reply = json.loads(json.dumps(case.found))
    rows = rows_of(reply)
    odd = [{**rows[0], name: junk} for name in rows[0] for junk in JUNK]
    rows[:0] = [*JUNK, *odd]
    found = await search(case, server, Reply(reply), query=WORDS._replace(k=1000))
    assert len(found.results) == len(odd) + len(case.hits)
    for number, (read, _) in enumerate(found.results, start=1):
        assert read.rank == number
        assert read.title or read.url or read.snippet
        assert read.score is None or abs(read.score) < 1e300
        Hit.model_validate_json(read.model_dump_json())


async def test_a_refused_connection_was_not_sent(case: Case) -> None:
    with Answering() as gone:
        url = gone.url
    asked = provider(case, url)
    with pytest.raises(Retry, match=re.escape(url)) as caught:
        await asked.search(WORDS)
    assert not caught.value.sent
    await asked.close()


@pytest.mark.parametrize("name", ["serper", "serpapi"])
async def test_a_slow_service_is_left(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES[name]
    monkeypatch.setenv(variable(case), KEY)
    with Answering(Reply(fail="hang")) as slow:
        asked, clock = provider(case, slow.url), Clock()
        requester = Requester(asked, RequestOptions(timeout_s=20, max_retries=0))
        searching = asyncio.create_task(requester.search(WORDS))
        await until(lambda: bool(slow.asked))
        clock.forward(30)
        with pytest.raises(ServiceTimeout, match=rf"^{asked.name}: no results within 20 s$"):
            await searching
        await requester.close()


@pytest.mark.parametrize("name", ["serper", "serpapi"])
async def test_a_failing_service_is_asked_again_until_it_answers(
    name: str, server: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    monkeypatch.setenv(variable(case), KEY)
    server.replies[:] = [Reply(HTML, 503), Reply(HTML), Reply(fail="drop"), Reply(case.found)]
    server.asked[:] = ()
    requester = Requester(provider(case, server.url), RequestOptions(backoff_s=0.001, price=1))
    found = await requester.search(WORDS)
    assert [result.hit for result in found.results] == case.hits
    assert (requester.spent, len(server.asked)) == (4, 4)
    await requester.close()


def test_it_can_be_used_in_several_event_loops_in_turn(server: Answering) -> None:
    case = CASES["searxng"]
    server.replies[:] = [Reply(case.found)]
    requester = Requester(provider(case, server.url), RequestOptions())

    async def once() -> int:
        await requester.start()
        found = await asyncio.gather(*(requester.search(WORDS) for _ in range(3)))
        await requester.close()
        return sum(len(each.results) for each in found)

    assert [asyncio.run(once()) for _ in range(2)] == [3 * len(case.hits)] * 2


@pytest.mark.parametrize("case", KEYED, indirect=True)
async def test_without_a_key_nothing_starts(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    for empty in ("", "  "):
        monkeypatch.setenv(variable(case), empty)
        with pytest.raises(ConfigError, match=f"there is no key: export {variable(case)}=..., or"):
            await provider(case, "http://127.0.0.1:9").start()
    monkeypatch.setenv(variable(case), f"{KEY} {KEY}")
    with pytest.raises(ConfigError, match="characters that no key has") as caught:
        await provider(case, "http://127.0.0.1:9").start()
    assert KEY not in str(caught.value)


def test_facts_hold_what_was_chosen_and_no_address(case: Case) -> None:
    facts = json.dumps(dict(provider(case, "http://secret.example:81").facts))
    assert all(json.dumps(value) in facts for value in case.settings.values())
    assert not re.search(r"secret|key_env|_KEY|base_url", facts)


def test_an_address_with_a_secret_or_of_another_kind_is_refused(case: Case) -> None:
    for url in ("ftp://h", "h", "http://", "http://u:p@h", "http://h?key=1", "http://h#a",
                "http://h:99999", "http://h/sk-abcdef123456"):  # fmt: skip
        with pytest.raises(ConfigError, match="base_url") as caught:
            validate(case.made.Options, {"base_url": url})
        assert "sk-abcdef" not in str(caught.value)


def test_no_other_variable_is_sent(case: Case) -> None:
    with pytest.raises(ConfigError, match=r"SACCADE_ALLOW_ENV=HOME|unknown key"):
        validate(case.made.Options, {"base_url": "http://h", "key_env": "HOME"})


@pytest.mark.parametrize("name", CASES)
def test_a_run_file_says_where_a_key_goes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of `sent_along` is checked against the options themselves."""
    fields = CASES[name].made.Options.model_fields
    for other in ("OPENAI_API_KEY", "OTHER_KEY"):
        monkeypatch.setenv(other, "x")
    if "key_env" not in fields:
        assert list(sent_along({"provider": {"kind": name, "base_url": "http://h:8"}})) == []
        return
    usual, published = fields["key_env"].default, fields["base_url"].default
    monkeypatch.setenv(usual, "x")
    for settings, said in [
        ({}, f"{usual} is sent to {published}"),
        ({"key_env": "OTHER_KEY"}, f"OTHER_KEY is sent to {published}"),
        ({"base_url": "http://h:8/x"}, f"{usual} is sent to http://h:8"),
        ({"key_env": "OTHER_KEY", "base_url": "http://h"}, "OTHER_KEY is sent to http://h"),
    ]:
        table = {"tools": {"text_search": {"provider": {"kind": name, **settings}}}}
        assert list(sent_along(table)) == [said]


@pytest.mark.parametrize("name", CASES)
def test_a_run_file_names_it_and_it_is_searched_by_words(name: str) -> None:
    assert name in PROVIDERS
    part = Part.model_validate({"kind": name, "base_url": "http://h"})
    made: Provider = provider_of(part, "text", "tools.text_search.provider")
    assert made.name == name
    with pytest.raises(ConfigError, match=f"{name} cannot be searched by image as it is set up"):
        provider_of(part, "image", "tools.image_search.provider")


# What only one of them has.


async def test_brave_and_tavily_tell_the_model_that_a_query_is_too_long(
    server: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (("brave", "a " * 51), ("brave", "a" * 401), ("tavily", "a" * 401)):
        monkeypatch.setenv(variable(CASES[name]), KEY)
        with pytest.raises(ToolError, match=r"at most .* search for fewer"):
            await search(CASES[name], server, query=Query("text", text))
        assert not server.asked


async def test_a_searxng_without_json_says_how_to_switch_it_on(server: Answering) -> None:
    with pytest.raises(ConfigError, match=r"put json beside html under search: formats:"):
        await search(CASES["searxng"], server, Reply(HTML, 403))


async def test_nothing_of_a_searxng_whose_engines_failed_is_a_failure(server: Answering) -> None:
    reply = {"query": "x", "results": [], "unresponsive_engines": [["google", "CAPTCHA"]]}
    with pytest.raises(Retry, match=r"nothing, and some engines failed: google CAPTCHA"):
        await search(CASES["searxng"], server, Reply(reply))


async def test_errors_of_serpapi_within_a_200_are_errors(
    server: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERPAPI_API_KEY", KEY)
    reply: dict[str, Any] = {"search_metadata": {"status": "Success"}}
    said = "We couldn't get valid results for this search. Please try again later."
    with pytest.raises(Retry, match=said):
        await search(CASES["serpapi"], server, Reply(reply | {"error": said}))
    assert await search(CASES["serpapi"], server, Reply(reply | {"ads": []})) == Results()
    with pytest.raises(Retry, match="a reply without a list 'organic_results'"):
        await search(CASES["serpapi"], server, Reply({"search_metadata": {"status": "Processing"}}))


async def test_half_of_a_character_in_a_query_is_no_mistake(server: Answering) -> None:
    case = CASES["searxng"]
    await search(case, server, Reply(case.empty), query=Query("text", "a \ud83d b"))
    assert server.asked[0].query["q"] == "a ? b"


@pytest.mark.parametrize("name", CASES)
def test_the_page_describes_every_option(name: str) -> None:
    page = (Path(__file__).parents[3] / "docs" / "search_providers.md").read_text()
    fields = CASES[name].made.Options.model_fields
    section = page.partition(f"## `{name}`")[2].partition("\n## ")[0]
    general = page.partition("## `serper`")[0]
    missing = [field for field in fields if f"`{field}`" not in section + general]
    assert missing == ([] if name != "serpapi" else ["country", "language"])  # as of serper
    if "key_env" in fields:
        assert f"`{fields['key_env'].default}`" in general
    assert all(f"`{field}`" in general for field in RequestOptions.model_fields)
