"""What was searched for, found and used: counted by hand, and in a run of a benchmark."""

import json
from pathlib import Path

import pytest
from building import a_task, a_trajectory, a_turn
from command import here
from looked_up import parquet, png

from saccade.bench.measured.attempts import Attempt
from saccade.bench.measured.searches import Searches, is_search, searches, searches_with
from saccade.bench.measured.tools import tool_use
from saccade.bench.sets.search.realx import RealX
from saccade.errors import ConfigError
from saccade.search.found import Fetches, Found, Hit
from saccade.types import StopReason, Task, ToolCall, ToolResult, Turn


def a_search(*titles: str, name: str = "text_search", **fields: object) -> ToolResult:
    """A result with hits of these titles."""
    hits = tuple(Hit(rank=n, title=title) for n, title in enumerate(titles, start=1))
    made = Found(**{"kind": "text", "provider": "p", "hits": hits, **fields})  # type: ignore[arg-type]
    data = {"search": made.model_dump(mode="json")}
    return ToolResult(call=ToolCall(name=name), content=("text",), data=data)


def an_attempt(
    *turns: Turn, correct: bool | None = None, task: Task | None = None, unit: str = "t"
) -> Attempt:
    task = task or a_task("Who?", id=unit, answer="Marie Curie")
    played = a_trajectory(*turns, task_id=unit)
    value = None if correct is None else float(correct)
    return Attempt(task, played, ("all",), value, correct, value, "")


def of(*attempts: Attempt) -> Searches:
    found = searches("all", attempts)
    assert found is not None
    return found


def test_searches_are_counted() -> None:
    opened = a_search("Page", kind="page", fetches=Fetches(succeeded=1, cut=1))
    found = of(
        an_attempt(
            a_turn(a_search("a", "b"), a_search()),
            a_turn(a_search(repeated=True)),
            a_turn(opened),
        ),
        an_attempt(a_turn(a_search("c", fetches=Fetches(succeeded=3, failed=2))), unit="u"),
        an_attempt(a_turn(answer="none"), unit="v"),
    )
    assert (found.made, found.empty, found.repeated, found.hits, found.pages) == (3, 1, 1, 3, 1)
    assert found.fetched == Fetches(succeeded=4, failed=2, cut=1)
    assert (found.found.value, found.found.n) == (0.0, 2), "who did not search is not in it"


def test_what_was_found_and_what_was_used() -> None:
    there = a_turn(a_search("Life of Marie  Curie, physicist"))
    found = of(
        an_attempt(there, correct=True, unit="a"),
        an_attempt(there, correct=True, unit="b"),
        an_attempt(there, correct=False, unit="c"),
        an_attempt(there, correct=None, unit="d"),
        an_attempt(a_turn(a_search("Pierre")), correct=True, unit="e"),
        an_attempt(a_turn(a_search()), correct=False, unit="f"),
    )
    assert (found.found.value, found.found.n) == (4 / 6, 6)
    assert (found.used.value, found.used.n) == (2 / 3, 3), "one of four is not scored"
    assert (found.without.value, found.without.n) == (1 / 2, 2)
    assert found.found.low is not None
    assert found.found.low < 4 / 6 < (found.found.high or 0)
    assert found.found.method == "wilson"


@pytest.mark.parametrize(
    ("answer", "text", "holds"),
    [
        ("Marie Curie", "MARIE-CURIE (1867)", True),
        ("Marie Curie", "Marie Curies", False),
        ("Marie Curie", "Curie, Marie", False),
        ("The Beatles", "a song of Beatles", True),
        ("1774", "built in 1774.", True),
        ("1774", "17741", False),
        ("1,774 m", "1774 m high", True),
        ("3.5", "35", False),
        ("\u6771\u4eac", "\u3053\u308c\u306f\u6771\u4eac\u3067\u3059", True),
        ("\uff22\uff21\uff34\uff28", "Bath", True),
    ],
)
def test_a_gold_answer_is_looked_for_as_whole_words(answer: str, text: str, holds: bool) -> None:
    task = a_task("Who?", id="t", answer=answer)
    found = of(an_attempt(a_turn(a_search(text)), task=task)).found
    assert (found.value, found.n) == (float(holds), 1)


@pytest.mark.parametrize("answer", ["yes", "No", "7", "B", None])
def test_what_stands_in_any_text_is_not_looked_for(answer: str | None) -> None:
    task = a_task("Who?", id="t", answer=answer)
    assert of(an_attempt(a_turn(a_search("yes no 7 B none")), task=task)).found.n == 0


def test_an_option_is_looked_for_by_its_text_and_any_gold_answer_counts() -> None:
    options = a_task("Who?", id="t", answer="B", choices=("Pierre", "Marie"))
    assert of(an_attempt(a_turn(a_search("Marie")), task=options)).found.value == 1
    assert of(an_attempt(a_turn(a_search("B")), task=options)).found.value == 0
    several = a_task("Who?", id="t", answer="x or y", meta={"answers": ["Skłodowska", "Curie"]})
    assert of(an_attempt(a_turn(a_search("Curie")), task=several)).found.value == 1


def test_the_repeated_query_is_no_find_and_what_was_not_shown_neither() -> None:
    asked = a_search("x", query="Marie Curie")
    asked = asked.model_copy(update={"content": ('1 result for "Marie Curie": x',)})
    assert of(an_attempt(a_turn(asked))).found.value == 0
    dropped = a_turn(a_search("Marie Curie"), dropped="context")
    assert searches("all", [an_attempt(dropped)]) is None


def test_a_page_is_looked_at_as_it_was_shown() -> None:
    page = a_search("A page", kind="page")
    page = page.model_copy(update={"content": ("A page\nby Marie Curie",)})
    assert of(an_attempt(a_turn(page))).found.value == 1


def test_who_searches_is_known_by_the_name_or_by_what_was_kept() -> None:
    kinds = {name: searches_with(name) for name in ("search", "image_search", "WebSearch", "zoom")}
    assert kinds == {"search": "text", "image_search": "image", "WebSearch": "text", "zoom": None}
    assert is_search(a_search("x", name="lookup"))
    assert not is_search(a_search("x", name="open_page", kind="page"))
    assert not is_search(ToolResult(call=ToolCall(name="zoom"), content=("x",)))
    use = tool_use("all", [an_attempt(a_turn(a_search("x", name="lookup")), correct=True)])
    assert (use.search_ratio.value, use.after_search.value) == (1.0, 1.0)
    assert use.searches is not None
    ended = an_attempt(a_turn(answer="x"))
    assert ended.trajectory.stop is StopReason.ANSWER
    assert tool_use("all", [ended]).searches is None


WIKI = """
from saccade.search.found import Hit, Result, Results

class Wiki:
    name, kinds, facts = "wiki", frozenset({"text", "image"}), {"edition": 1}
    async def start(self): ...
    async def close(self): ...
    async def search(self, query):
        hits = [Hit(rank=1, title="The stadium", snippet="Opened in 2012.", score=float("nan"))]
        return Results(tuple(Result(hit) for hit in hits if query.text != "nothing"))
"""
CALL = '<tool_call>{{"name": "{}", "arguments": {}}}</tool_call>'
TURNS = [
    [CALL.format("search", '{"query": "stadium"}'), "<answer>2012</answer>"],
    [CALL.format("search", '{"query": "nothing"}'), "<answer>2012</answer>"],
    [CALL.format("search", '{"query": "stadium"}'), CALL.format("search", '{"query": "Stadium"}'),
     "<answer>unknown</answer>"],
    ["<answer>2013</answer>"],
]  # fmt: skip


def test_a_run_whose_text_tool_is_called_search(tmp_path: Path) -> None:
    rows = [
        {"query": f"When {n}?", "answer": "2012 or 2013", "perception": 1, "search": 1,
         "reason": n % 2, "image": {"bytes": png(8 + n), "path": None}} for n in range(4)
    ]  # fmt: skip
    parquet(tmp_path / "realx" / "train.parquet", rows)
    (tmp_path / "wiki.py").write_text(WIKI)
    script = [json.dumps({"task": f"realx-{n}", "turns": turns}) for n, turns in enumerate(TURNS)]
    (tmp_path / "script.jsonl").write_text("\n".join(script) + "\n")
    provider = 'tools={text_search={name="search", provider={kind="wiki:Wiki"}}}'
    line = ["bench", "realx", "data=realx", "policy.kind=replay", "policy.script=script.jsonl",
            provider, "order=file", "canary=false"]  # fmt: skip
    refused = here(*line, "bench.tools=none", "out=a", cwd=tmp_path)
    assert refused.returncode == 2
    assert "it offers search: change the tools of the run, or set bench.tools=text" in (
        refused.stderr
    )
    done = here(*line, "bench.tools=text", "out=b", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)["measured"]
    figures = {m["name"]: m["value"] for m in measured["metrics"] if m["group"] == "all"}
    assert figures["search ratio"] == 3 / 4
    found = measured["tools"][0]["searches"]
    assert (found["made"], found["empty"], found["repeated"], found["hits"]) == (3, 1, 1, 2)
    assert (found["found"]["value"], found["found"]["n"]) == (2 / 3, 3)
    assert (found["used"]["value"], found["without"]["value"]) == (1 / 2, 1.0)
    table = here("report", "b", cwd=tmp_path).stdout
    assert "Searches" in table
    assert "answer found" in table


def test_the_condition_is_told_by_what_is_searched_with() -> None:
    RealX(tools="text").check_tools(["search", "zoom"])
    RealX(tools="all").check_tools(["search", "image_search"])
    with pytest.raises(ConfigError, match=r"bench\.tools: 'text'.*text_search; it offers none"):
        RealX(tools="text").check_tools(["zoom"])
