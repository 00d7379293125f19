"""What a search shows in the dialect `deepeyes_v2`, byte for byte as the published environment.

The oracle is written after `request_search` and `execute` of `deepeyesv2.py`, and after
RETURN_SEARCH_PROMPT of `prompt.py`, both in reinforcement_learning/verl/workers/agent/envs/
deepeyesv2 of github.com/Visual-Agent/DeepEyesV2; it imports nothing from the code that it checks.
"""

import json
from collections.abc import Sequence
from unicodedata import normalize

import pytest
from building import a_task, plain, played
from hypothesis import given, settings
from hypothesis import strategies as st
from searching import Scripted

from saccade.dialects.deepeyes_v2 import DeepEyesV2
from saccade.env import Environment
from saccade.images.geometry import PixelBudget
from saccade.images.image import Image
from saccade.search.found import Found, Hit, Result, Results
from saccade.tools.search.image import ImageSearch, ImageSearchOptions
from saccade.tools.search.text import TextSearch, TextSearchOptions
from saccade.types import Part, ToolCall, ToolResult

TASK = a_task(plain(600, 400), "Who?", answer="7")
NO_VIDEO = "Your browser can't play this video."


def enveloped(result: str) -> str:
    """What the user turn holds."""
    return ("<tool_response>\n" + result + "\n</tool_response>\n").strip()


def published_text(query: str, pages: Sequence[dict[str, str]]) -> str:
    """A page has `title` and `link`, and may have `date` and `snippet`."""
    shown = []
    for number, page in enumerate(pages, start=1):
        date = f"\nDate published: {page['date']}" if "date" in page else ""
        snippet = f"\n{page['snippet']}" if "snippet" in page else ""
        one = f"{number}. [{page['title']}]({page['link']}){date}\n{snippet}"
        shown.append(one.replace(NO_VIDEO, ""))
    head = f"A Google search for '{query}' found {len(shown)} results:\n\n## Web Results\n"
    return enveloped(head + "\n\n".join(shown))


def published_images(titles: Sequence[str]) -> str:
    """`<image>` stands where a picture is put; the date is always empty."""
    shown = [f"{n}. <image>\n[{title}] \n" for n, title in enumerate(titles, start=1)]
    shown = [one.replace(NO_VIDEO, "") for one in shown]
    head = f"A Google image search for the image found {len(shown)} results:\n\n## Web Results\n"
    return enveloped(head + "\n\n".join(shown))


def marked(parts: Sequence[Part]) -> str:
    """The parts of a message as one text, `<image>` where a picture stands."""
    return "".join(part if isinstance(part, str) else "<image>" for part in parts)


async def search(provider: Scripted, call: dict[str, object], **options: object) -> Sequence[Part]:
    """The user turn that answers a call, in a real episode."""
    how = ImageSearchOptions(regions=False)
    tools = [
        TextSearch(TextSearchOptions(name="search", **options), provider=provider),  # type: ignore[arg-type]
        ImageSearch(how, provider=provider),
    ]
    small = PixelBudget(max_pixels=128 * 128)
    environment = Environment(DeepEyesV2(), tools, observation=small)
    turn = f"I look it up.</think>\n<tool_call>\n{json.dumps(call)}\n</tool_call>"
    done = await played(turn, "</think><answer>7</answer>", task=TASK, environment=environment)
    (message,) = done.turns[0].observation
    assert message.role == "user"
    shown = [part for part in message.content if isinstance(part, Image)]
    assert shown == list(done.images[1:]), "image_2, image_3, ... are what was shown"
    assert all(image == image.fit(small) for image in shown)
    return message.content


PAGES = [
    {"title": "Bridges of Bath", "link": "https://a.org/1?x=(2)", "snippet": "Built in 1774."},
    {"title": "Pulteney", "link": "b.org", "date": "Mar 3, 2020", "snippet": "A [1] b < c 2. x"},
    {"title": f"Video {NO_VIDEO}", "link": "c.org", "snippet": f"{NO_VIDEO} It was Adam."},
    {"title": "No text", "link": "d.org"},
    {"title": "A date", "link": "e.org", "date": "yesterday"},
]


def hits(pages: Sequence[dict[str, str]]) -> Results:
    return Results(
        tuple(
            Result(Hit(rank=1, url=page["link"], **{k: v for k, v in page.items() if k != "link"}))  # type: ignore[arg-type]
            for page in pages
        )
    )


@pytest.mark.parametrize("pages", [PAGES, PAGES[:1], PAGES[3:], []], ids=len)
async def test_pages_are_shown_as_published(pages: list[dict[str, str]]) -> None:
    provider = Scripted(lambda query: hits(pages))
    call = {"name": "search", "arguments": {"query": "Who built {it}?"}}
    content = await search(provider, call)
    assert marked(content) == published_text("Who built {it}?", pages)


async def test_pictures_are_shown_as_published() -> None:
    titles = ["Pulteney Bridge", f"{NO_VIDEO}Bath (UK) ", "", "x"]
    found = [
        Result(Hit(rank=9, title=title, url="u", date="2020", snippet="s"), plain(90 + n, 60))
        for n, title in enumerate(titles)
    ]
    content = await search(Scripted(lambda query: Results(tuple(found))), {"name": "image_search"})
    stripped = [" ".join(title.split()) for title in titles]
    assert marked(content) == published_images(stripped)
    empty = await search(Scripted(lambda query: Results()), {"name": "image_search"})
    assert marked(empty) == published_images([])


async def test_an_argument_of_the_image_search_is_an_error_as_published() -> None:
    provider = Scripted()
    call = {"name": "image_search", "arguments": {"bbox_2d": [0, 0, 50, 50]}}
    content = await search(provider, call)
    assert marked(content).startswith("Error: image_search: it takes no arguments")
    assert provider.asked == []


async def test_an_unknown_tool_is_an_error_as_published() -> None:
    content = await search(Scripted(), {"name": "text_search", "arguments": {"query": "x"}})
    assert marked(content).startswith("Error: unknown tool 'text_search'; the tools are: search")


def is_plain(character: str) -> bool:
    """Whether it is no bracket that could open a token, in any form."""
    return character.isprintable() and not set("<>[]\u25c1") & set(normalize("NFKD", character))


words = st.text(st.characters(codec="utf-8").filter(is_plain), max_size=30)
lines = words.map(lambda text: f"x {' '.join(text.split())}".strip())
"""They begin with a small letter: a title of capitals alone would be a token in its brackets."""
pages = st.fixed_dictionaries(
    {"title": lines, "link": lines}, optional={"date": lines, "snippet": lines}
)


@given(lines, st.lists(pages, max_size=4))
@settings(max_examples=20)
def test_any_page_is_shown_as_published(query: str, pages: list[dict[str, str]]) -> None:
    found = Found(
        kind="text",
        provider="p",
        query=query,
        hits=tuple(
            Hit(rank=n, url=page["link"], **{k: v for k, v in page.items() if k != "link"})
            for n, page in enumerate(pages, start=1)
        ),
    )
    result = ToolResult(
        call=ToolCall(name="search"),
        content=("ours",),
        data={"search": found.model_dump(mode="json")},
    )
    (message,) = DeepEyesV2().observe([result])
    assert marked(message.content) == published_text(query, pages)


def test_a_title_that_is_a_token_is_the_only_one_that_is_written_otherwise() -> None:
    """`[INST](...)` begins with a token of Llama 2, and so does every title of capitals alone."""
    for title, shown in (("NASA", "[ NASA](u)"), ("NASA Apollo", "[NASA Apollo](u)")):
        found = Found(kind="text", provider="p", hits=(Hit(rank=1, title=title, url="u"),))
        data = {"search": found.model_dump(mode="json")}
        (message,) = DeepEyesV2().observe([ToolResult(call=ToolCall(name="search"), data=data)])
        assert f"1. {shown}" in message.text


def test_pictures_that_are_not_those_of_the_hits_are_shown_all_the_same() -> None:
    """A tool of a user's own may keep a search in its data, and show what it likes."""
    picture = plain(64, 64)
    for kind, thumbnail in (("text", False), ("image", True)):
        found = Found(
            kind=kind,  # type: ignore[arg-type]
            provider="p",
            hits=(Hit(rank=1, thumbnail=thumbnail), Hit(rank=2, thumbnail=thumbnail)),
        )
        result = ToolResult(
            call=ToolCall(name="mine"),
            content=("My words", picture),
            data={"search": found.model_dump(mode="json")},
        )
        (message,) = DeepEyesV2().observe([result])
        assert marked(message.content) == enveloped("My words<image>")
