"""What travels between a search server and its clients."""

import base64

import pytest
from pictures import encoded, scene

from saccade.errors import ImageError
from saccade.images.geometry import Box
from saccade.images.image import Image
from saccade.search import wire
from saccade.search.found import Fetches, Hit, Query, Result, Results
from saccade.search.local.store.document import Document
from saccade.search.wire import (
    MAX_DOCUMENT,
    THUMBNAIL_PIXELS,
    AskedQuery,
    document_of,
    document_to_json,
    query_of,
    query_to_json,
    results_of,
    results_to_json,
)


def same(text: str) -> str:
    return text


def test_a_query_arrives_as_it_was() -> None:
    image = Image.from_bytes(encoded(scene())).cut(Box(10, 10, 60, 50))
    for query in (Query("text", "lamp", task_id="q1", k=3), Query("image", image=image, k=7)):
        arrived = query_of(AskedQuery.model_validate(query_to_json(query)))
        assert arrived[:2] == query[:2]
        assert arrived[3:] == query[3:]
        if query.image is not None:
            assert arrived.image is not None
            assert arrived.image.pixels().tobytes() == image.pixels().tobytes()


def test_results_arrive_as_they_were() -> None:
    picture = Image.from_bytes(encoded(scene()))
    hit = Hit(rank=1, title="T", url="u", snippet="s", date="d", score=0.5, document="i")
    sent = Results((Result(hit), Result(hit, picture)), Fetches(succeeded=2, failed=1, cut=1))
    got = results_of(results_to_json(sent), 5, same)
    second = hit.model_copy(update={"rank": 2, "thumbnail": True})
    assert [result.hit for result in got.results] == [hit, second]
    assert got.results[1].thumbnail == picture, "the file itself"
    assert got.fetches == sent.fetches
    assert len(results_of(results_to_json(sent), 1, same).results) == 1


def test_a_large_picture_is_shrunk() -> None:
    large = Image.from_pixels(scene().resize((1000, 700)))
    hit = Hit(rank=1)
    (got,) = results_of(results_to_json(Results((Result(hit, large),))), 5, same).results
    assert got.thumbnail is not None
    assert 0.9 * THUMBNAIL_PIXELS < got.thumbnail.size.area <= THUMBNAIL_PIXELS


def test_a_document_arrives_whole_or_says_that_it_is_cut() -> None:
    document = Document("i", "T", "u", "text")
    assert document_of(document_to_json(document), same) == document
    assert document_of(document_to_json(None), same) is None
    long = document_to_json(document._replace(text="x" * (MAX_DOCUMENT + 1)))
    assert long["cut"] is True
    for lie in ({}, {"document": 3}, {"document": {"id": "i"}}, {"document": {**document._asdict(),
                                                                 "text": 3}}):  # fmt: skip
        with pytest.raises(ValueError, match="no document"):
            document_of(lie, same)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"kind": "text"}, "needs words"), ({"kind": "text", "text": " \n"}, "needs words"),
        ({"kind": "image"}, "needs an image"), ({"kind": "image", "image": "?"}, "no base64"),
        ({"kind": "image", "image": "aGVsbG8="}, "not an image"),
        ({"kind": "image", "image": base64.b64encode(encoded(scene(), "GIF")).decode()},
         "neither PNG nor JPEG"),
        ({"kind": "image", "image": base64.b64encode(encoded(scene())[:-400]).decode()}, "image"),
    ],
)  # fmt: skip
def test_a_query_that_is_none_is_refused(asked: dict[str, object], says: str) -> None:
    with pytest.raises((ValueError, ImageError), match=says):
        query_of(AskedQuery.model_validate(asked))


def test_an_image_that_is_too_large_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = base64.b64encode(encoded(scene())).decode()
    for name, says in (("MAX_QUERY_PIXELS", "megapixels"), ("MAX_QUERY_BYTES", "bytes")):
        with monkeypatch.context() as patched:
            patched.setattr(wire, name, 100)
            with pytest.raises(ImageError, match=says):
                query_of(AskedQuery(kind="image", image=packed))
