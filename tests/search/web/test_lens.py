"""Searching by an image where the service fetches it: addresses, results, and their pictures."""

import asyncio
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from answering import Answering, Asked, Reply
from building import plain
from pictures import encoded, scene
from waiting import Clock, until

from saccade.config import Part, validate
from saccade.errors import ConfigError, FormatError, ServiceRefused, ToolError
from saccade.images.geometry import Box
from saccade.images.image import Image
from saccade.search.found import Fetches, Hit, Query, Results
from saccade.search.provider import provider_of
from saccade.search.web import pictures as module
from saccade.search.web.lens import LensProvider
from saccade.search.web.serpapi import SerpApi
from saccade.search.web.serper import Serper

KEY = "Zx9Qw7echo5512Kp"
FILE = encoded(scene())
PUBLISHED = "https://images.example.org/scene.png?v=1"
PNG = encoded(scene(20, 10))

# Source: https://serper.dev, playground (Lens): organic with title, source, link, imageUrl,
# thumbnailUrl. https://serpapi.com/google-lens-api and /google-lens-visual-matches-api:
# visual_matches with position, title, link, source, thumbnail. https://serpapi.com/
# google-reverse-image: image_results with position, title, link, snippet, thumbnail.
ROW = {"position": 1, "title": "Tower", "link": "https://example.org/t", "source": "Example"}
HIT = Hit(rank=1, title="Tower", url="https://example.org/t", snippet="Example")
SERVICES: dict[str, tuple[Any, dict[str, Any], str, str, dict[str, str]]] = {
    "serper": (Serper, {}, "organic", "thumbnailUrl", {"url": PUBLISHED}),
    "serpapi": (SerpApi, {}, "visual_matches", "thumbnail",
                {"engine": "google_lens", "url": PUBLISHED, "output": "json", "api_key": KEY}),
    "serpapi, reverse": (
        SerpApi, {"image_engine": "google_reverse_image"}, "image_results", "thumbnail",
        {"engine": "google_reverse_image", "image_url": PUBLISHED, "output": "json",
         "api_key": KEY}),
}  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[Answering]:
    with Answering() as answering:
        yield answering


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERPER_API_KEY", "SERPAPI_API_KEY"):
        monkeypatch.setenv(name, KEY)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    file = tmp_path / "images.jsonl"
    row = {"digest": hashlib.sha256(FILE).hexdigest(), "url": PUBLISHED, "note": "kept"}
    file.write_text(f"{json.dumps(row)}\n\n")
    return file


def made(name: str, server: Answering, images: Path, **settings: object) -> LensProvider:
    kind, more, *_ = SERVICES[name]
    given = {"base_url": server.url, "images": str(images), **more, **settings}
    provider = kind(validate(kind.Options, given))
    assert isinstance(provider, LensProvider)
    return provider


async def search(provider: LensProvider, image: Image | None = None, k: int = 5) -> Results:
    await provider.start()
    try:
        return await provider.search(Query("image", image=image or Image.from_bytes(FILE), k=k))
    finally:
        await provider.close()


def listing(name: str, *pictures: object) -> Reply:
    """A reply whose results have these addresses of pictures."""
    _, _, results, picture, _ = SERVICES[name]
    return Reply({results: [{**ROW, picture: url} for url in pictures]})


def by_path(name: str, url: str, *paths: str) -> Any:
    """The service, and a host of pictures, on one server."""

    def answer(asked: Asked) -> Reply:
        match asked.path:
            case "/picture.png":
                return Reply(PNG, headers={"Content-Type": "image/png"})
            case "/moved":
                return Reply(status=302, headers={"Location": "/picture.png"})
            case "/inside":
                return Reply(status=302, headers={"Location": "http://127.0.0.2:1/a.png"})
            case "/half":
                return Reply(PNG[: len(PNG) // 2])
            case "/page":
                return Reply(b"<html>")
            case "/none":
                return Reply(b"", 404)
            case "/slow":
                return Reply(fail="hang")
        return listing(name, *(f"{url}{path}" for path in paths))

    return answer


@pytest.mark.parametrize("name", SERVICES)
async def test_a_published_image_is_searched_with_by_its_address(
    name: str, server: Answering, images: Path
) -> None:
    server.by, server.asked[:] = by_path(name, server.url, "/picture.png", "/moved"), ()
    hosts = [server.url.removeprefix("http://")]
    found = await search(made(name, server, images, thumbnails=hosts))
    asked, *fetched = server.asked
    assert (asked.body or asked.query) == SERVICES[name][4]
    assert {each.path for each in fetched} == {"/picture.png", "/moved"}
    assert not any(KEY in json.dumps(each) for each in fetched)
    hit = HIT if name != "serpapi, reverse" else HIT.model_copy(update={"snippet": ""})
    assert [result.hit for result in found.results] == [hit, hit.model_copy(update={"rank": 2})]
    assert [result.thumbnail for result in found.results] == [Image.from_bytes(PNG)] * 2
    assert found.fetches == Fetches(succeeded=2)


async def test_pictures_that_fail_are_counted_and_their_hits_stay(
    server: Answering, images: Path
) -> None:
    paths = ["/picture.png", "/half", "/page", "/none", "/inside", ""]
    server.by = by_path("serper", server.url, *paths)
    hosts = [server.url.removeprefix("http://")]
    found = await search(made("serper", server, images, thumbnails=hosts), k=9)
    assert found.fetches == Fetches(succeeded=1, failed=5)
    assert [result.thumbnail is not None for result in found.results] == [True] + [False] * 5


async def test_only_public_hosts_and_only_results_that_are_shown_are_fetched(
    server: Answering, images: Path
) -> None:
    server.by, server.asked[:] = by_path("serper", server.url, *["/picture.png"] * 9), ()
    found = await search(made("serper", server, images), k=2)  # by default: any public host
    assert (len(server.asked), found.fetches) == (1, Fetches(failed=2))
    server.asked[:] = ()
    found = await search(made("serper", server, images, thumbnails=False))
    assert (len(server.asked), found.fetches, len(found.results)) == (1, Fetches(), 5)


async def test_a_result_without_an_address_of_a_picture_is_no_failure(
    server: Answering, images: Path
) -> None:
    server.by, server.replies[:] = None, [listing("serper", None, 3, "javascript:x", "")]
    found = await search(made("serper", server, images))
    assert found.fetches == Fetches(failed=2)
    assert len(found.results) == 4


async def test_a_slow_picture_is_not_waited_for(images: Path) -> None:
    with Answering() as server:
        server.by = by_path("serper", server.url, "/picture.png", "/slow")
        hosts = [server.url.removeprefix("http://")]
        clock = Clock()
        searching = asyncio.create_task(search(made("serper", server, images, thumbnails=hosts)))
        await until(lambda: {"/slow", "/picture.png"} <= {each.path for each in server.asked})
        clock.forward(module.MAX_SECONDS)
        found = await searching
        assert found.fetches.failed >= 1
        assert found.fetches.succeeded + found.fetches.failed == 2


async def test_a_part_of_an_image_is_refused_and_the_model_told(
    server: Answering, images: Path
) -> None:
    server.asked[:] = ()
    crop = Image.from_bytes(FILE).crop(Box(0, 0, 10, 10))
    with pytest.raises(ToolError, match="only a whole image can be searched with here"):
        await search(made("serper", server, images), crop)
    assert not server.asked


async def test_an_image_that_is_not_published_is_no_empty_result(
    server: Answering, images: Path
) -> None:
    server.asked[:] = ()
    with pytest.raises(ServiceRefused, match=r"has no row for the image .* [0-9a-f]{64}"):
        await search(made("serper", server, images), plain(8, 8))
    assert not server.asked


@pytest.mark.parametrize(
    "row",
    ["{", "[]", '{"digest": "ab", "url": "https://h/a"}', f'{{"digest": "{"a" * 64}"}}',
     f'{{"digest": "{"a" * 64}", "url": "file:///etc/passwd"}}'],
)  # fmt: skip
async def test_a_damaged_row_is_named(row: str, server: Answering, images: Path) -> None:
    images.write_text(f"{images.read_text()}{row}\n")
    with pytest.raises(FormatError, match=r"images\.jsonl:3: expected a row such as"):
        await made("serper", server, images).start()
    with pytest.raises(FormatError, match="none"):
        await made("serper", server, images.with_name("none.jsonl")).start()


def test_without_addresses_nothing_is_searched_by_an_image(images: Path) -> None:
    for name in ("serper", "serpapi"):
        where = "tools.image_search.provider"
        part = Part.model_validate({"kind": name, "images": str(images)})
        assert provider_of(part, "image", where).kinds == {"text", "image"}
        with pytest.raises(ConfigError, match=r"only by text \(.*docs/search_providers\.md"):
            provider_of(Part(kind=name), "image", where)


@pytest.mark.parametrize("hosts", ["h", ["http://h"], 3])
def test_hosts_that_are_none_are_refused(hosts: object) -> None:
    with pytest.raises(ConfigError, match="thumbnails"):
        validate(Serper.Options, {"thumbnails": hosts})  # type: ignore[arg-type]


def test_facts_hold_whether_pictures_are_shown_and_not_whence(images: Path) -> None:
    facts = [
        dict(Serper(validate(Serper.Options, {"images": str(images), "thumbnails": hosts})).facts)
        for hosts in (True, ["10.0.0.5"], False)
    ]
    assert Serper(validate(Serper.Options, {})).facts == {}
    assert facts == [{"thumbnails": True}, {"thumbnails": True}, {"thumbnails": False}]
