"""`text_search`: what a model is shown, what it is told of its mistakes, and what is kept."""

import json
from pathlib import Path

import pytest
from building import a_context, a_task, call_text, played
from pydantic import JsonValue
from searching import Scripted, a_result_of, found

from saccade.config import Part
from saccade.dialects.deepeyes import DeepEyes
from saccade.env import Environment
from saccade.errors import ConfigError, ToolError
from saccade.runs.folder import RunFolder, RunReader
from saccade.runs.manifest import Manifest
from saccade.search.found import Query, Results, found_in
from saccade.tools.search.base import MAX_QUERY, MAX_TITLE
from saccade.tools.search.text import TextSearch, TextSearchOptions
from saccade.types import ToolOutput, Trajectory

TWO = found(
    a_result_of("Pulteney Bridge", url="https://a.org", snippet="Built in 1774.", date="2020",
                score=2.5, document="bridges#1"),
    a_result_of("", snippet="A bridge in Bath."),
)  # fmt: skip


def a_tool(provider: Scripted, **options: object) -> TextSearch:
    return TextSearch(TextSearchOptions(**options), provider=provider)  # type: ignore[arg-type]


async def ask(tool: TextSearch, **arguments: JsonValue) -> ToolOutput:
    async with tool.open(a_context()) as call:
        return await call(arguments)


async def searched(tool: TextSearch, *turns: str) -> Trajectory:
    environment = Environment(DeepEyes(), [tool])
    return await played(*turns, "<answer>7</answer>", task=a_task(), environment=environment)


async def test_results_are_numbered_and_those_of_others_begin_no_line() -> None:
    output = await ask(a_tool(Scripted(lambda query: TWO)), query="Who  built\nit?")
    assert output.content == (
        '2 results for "Who built it?":\n'
        "1. Pulteney Bridge (2020)\n   https://a.org\n   Built in 1774.\n"
        "2. (no title)\n   A bridge in Bath.",
    )
    assert output.outcome == "done"


async def test_hits_are_kept_as_data() -> None:
    output = await ask(a_tool(Scripted(lambda query: TWO)), query="Who?")
    kept = found_in(output.data or {})
    assert kept is not None
    assert (kept.kind, kept.provider, kept.query) == ("text", "scripted", "Who?")
    first, second = kept.hits
    assert (first.rank, first.score, first.document) == (1, 2.5, "bridges#1")
    assert (second.rank, second.score) == (2, None)


async def test_the_provider_is_asked_for_as_many_results_as_are_shown() -> None:
    provider = Scripted(lambda query: found(*[a_result_of(str(n)) for n in range(10)]))
    output = await ask(a_tool(provider, k=3), query="x")
    assert provider.asked == [Query("text", "x", task_id="t", k=3)]
    kept = found_in(output.data or {})
    assert kept is not None
    assert [hit.title for hit in kept.hits] == ["0", "1", "2"]


async def test_that_nothing_was_found_is_told_and_is_no_success() -> None:
    output = await ask(a_tool(Scripted()), query="Who?")
    assert output.content[0].startswith('No results for "Who?". Try other words')  # type: ignore[union-attr]
    assert output.outcome == "nothing"
    kept = found_in(output.data or {})
    assert kept is not None
    assert (kept.hits, kept.repeated) == ((), False)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({}, "query must be text with words, got None"),
        ({"query": ""}, "got ''"),
        ({"query": " \n\u200b\x00\ud800 "}, "query must be text with words"),
        ({"query": 7}, "got 7"),
        ({"query": ["a", "b"]}, r"got \['a', 'b'\]"),
        ({"query": {"text": "a"}}, "query must be text"),
        ({"query": "a" * (MAX_QUERY + 1)}, "501 characters; at most 500"),
        ({"query": "a", "k": 3}, "unknown argument 'k'; it takes query"),
        ({"q": "a"}, "unknown argument 'q'; it takes query"),
    ],
)
async def test_wrong_arguments_are_explained(
    arguments: dict[str, JsonValue], complaint: str
) -> None:
    provider = Scripted()
    with pytest.raises(ToolError, match=f"^text_search: .*{complaint}"):
        await ask(a_tool(provider), **arguments)
    assert provider.asked == [], "what is no query costs nothing"


async def test_a_search_is_made_once_in_an_episode() -> None:
    provider, tool = Scripted(lambda query: TWO), None
    tool = a_tool(provider)
    again = [call_text("text_search", query=q) for q in ("The  Bridge", "the bridge\n", "bridge")]
    done = await searched(tool, *again)
    assert [query.text for query in provider.asked] == ["The Bridge", "bridge"]
    second = done.results[1]
    assert 'You have searched for "the bridge" before' in done.turns[1].observation[0].text
    kept = found_in(second.data)
    assert kept is not None
    assert kept.repeated
    assert (second.outcome, len(done.successes)) == ("nothing", 2)
    await searched(tool, again[0])
    assert len(provider.asked) == 3, "another episode knows nothing of it"


async def test_results_of_any_size_are_shown_and_kept_in_bounds(tmp_path: Path) -> None:
    """Ten thousand hits, a title of a megabyte, scores that are no numbers, texts no file holds."""
    long, odd = "x y" * 400_000, "a\ud800b\x00\u2028\n2. c"
    results = [
        a_result_of(long, url=long, snippet=long, date=long, document=long, score=float("nan")),
        a_result_of(odd, url=odd, snippet=odd, date=odd, document=odd, score=float("-inf")),
        *[a_result_of("7", score=0.0)] * 10_000,
    ]
    tool = a_tool(Scripted(lambda query: found(*results)), k=50)
    done = await searched(tool, call_text("text_search", query="x"))
    (result,) = done.results
    (text,) = result.content
    assert isinstance(text, str)
    assert len(text) < 3000
    assert text.splitlines()[4].startswith("2. a b 2. c (a b 2. c)")
    kept = found_in(result.data)
    assert kept is not None
    assert [hit.score for hit in kept.hits[:3]] == [None, None, 0.0]
    assert len(kept.hits[0].title) <= MAX_TITLE
    assert kept.hits[0].title.endswith(" ...")
    assert len(kept.hits) == 50
    assert len(json.dumps(result.data, allow_nan=False)) < 20_000
    with RunFolder(tmp_path / "run", Manifest(verb="rollout", config={})) as folder:
        folder.append(a_task(), done)
    ((_, read),) = RunReader(tmp_path / "run").entries()
    assert read.results == done.results


def test_what_results_depend_on_is_in_the_fingerprint() -> None:
    def fingerprint(provider: Scripted, **options: object) -> str:
        return Environment(DeepEyes(), [a_tool(provider, **options)]).fingerprint

    other = Scripted()
    other.facts = {"edition": 2}
    requester = {"requests": {"max_retries": 1, "per_second": 2}}
    usual = fingerprint(Scripted())
    assert usual == fingerprint(Scripted(lambda query: Results()), **requester)
    changed = [
        fingerprint(other), fingerprint(Scripted(), k=3), fingerprint(Scripted(), max_snippet=5),
        fingerprint(Scripted(), name="search"),
    ]  # fmt: skip
    assert len({usual, *changed}) == 5
    assert a_tool(Scripted()).spec.options == {
        "provider": {"edition": 1, "name": "scripted"}, "k": 5, "max_snippet": 600,
    }  # fmt: skip


def test_a_provider_is_needed_that_can_be_searched_by_words() -> None:
    with pytest.raises(ConfigError, match=r"tools\.text_search\.provider: missing"):
        TextSearch()
    only = TextSearchOptions(provider=Part(kind="searching:OnlyImages"))
    with pytest.raises(ConfigError, match=r"cannot be searched by text.*only by image"):
        TextSearch(only)
    with pytest.raises(ValueError, match="name"):
        TextSearchOptions(name="lookup")


async def test_a_search_that_was_refused_is_not_said_to_have_results_above() -> None:
    provider = Scripted({"who": [ToolError("too long"), TWO]})
    async with a_tool(provider).open(a_context()) as call:
        with pytest.raises(ToolError, match="too long"):
            await call({"query": "who"})
        assert (await call({"query": "who"})).outcome == "done"
