"""Pictures are found by hashes that a test computes by itself, and by embeddings of a user."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL import ImageOps
from search.local.indexing import Mean, picture, written

from saccade.errors import ConfigError, FormatError, PluginError
from saccade.images.image import Image
from saccade.search.found import Query
from saccade.search.local.build import build
from saccade.search.local.index import Index
from saccade.search.local.pictures import hashes
from saccade.search.local.pictures.hashes import MAX_PDQ, MAX_PHASH, Hashes, HashTable, hashes_of
from saccade.search.local.pictures.vectors import keep_vectors
from saccade.search.local.provider import Local, LocalOptions


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures with embeddings: the mean colour."""
    place = tmp_path_factory.mktemp("pictures")
    rows = []
    for number in range(4):
        picture(number).save(place / f"{number}.png")
        rows.append({"id": f"p{number}", "title": f"Picture {number}", "image": f"{number}.png",
                     "text": "A caption." if number == 1 else ""})  # fmt: skip
    means = Mean()([picture(number) for number in range(4)])
    np.save(place / "means.npy", means)
    (place / "means.ids").write_text("".join(f"p{number}\n" for number in range(4)))
    built = build(written(place / "rows.jsonl", rows), place / "index",
                  embeddings=place / "means.npy")  # fmt: skip
    assert (built.pictures, built.embedded) == (4, 4)
    for number in range(4):
        (place / f"{number}.png").unlink()  # originals may be gone
    return place / "index"


def test_a_picture_is_found_smaller_and_recompressed_but_not_by_an_unlike_one(
    folder: Path, tmp_path: Path
) -> None:
    picture(1).resize((240, 180)).save(tmp_path / "small.jpg", quality=60)
    picture(9).save(tmp_path / "other.png")
    with Index.open(folder) as index:
        assert index.kinds == {"text", "image"}
        (result,) = index.image(Image.open(tmp_path / "small.jpg"), 5)
        assert (result.hit.document, result.hit.title) == ("p1", "Picture 1")
        assert (result.hit.snippet, result.hit.thumbnail) == ("A caption.", True)
        assert result.thumbnail is not None
        assert result.thumbnail.size == (384, 288)
        shown = np.asarray(result.thumbnail.pixels(), dtype=float)
        expected = np.asarray(picture(1).resize((384, 288)), dtype=float)
        assert np.abs(shown - expected).mean() < 12  # JPEG of quality 85
        assert index.image(Image.open(tmp_path / "other.png"), 5) == ()


async def test_an_embedder_finds_what_no_hash_finds(folder: Path, tmp_path: Path) -> None:
    ImageOps.mirror(picture(2)).save(tmp_path / "2.png")
    mirrored = Image.open(tmp_path / "2.png")
    plain = Local(LocalOptions(index=folder))
    assert (await plain.search(Query("image", image=mirrored))).results == ()
    options = {"index": folder, "embedder": "search.local.indexing:Mean", "least_cosine": 0.5}
    local = Local(LocalOptions.model_validate(options))
    results = (await local.search(Query("image", image=mirrored, k=2))).results
    assert results[0].hit.document == "p2"
    assert local.facts != plain.facts
    assert str(folder) not in json.dumps(dict(local.facts))
    wrong = Local(
        LocalOptions.model_validate(options | {"embedder": "search.local.indexing:Wrong"})
    )
    with pytest.raises(PluginError, match=r"expected \(1, 3\)"):
        await wrong.search(Query("image", image=mirrored))
    for each in (plain, local, wrong):
        await each.close()


@pytest.mark.parametrize(
    ("rows", "ids", "message"),
    [
        (np.ones((2, 3), dtype=np.float64), "p0\np1\n", "expected float32"),
        (np.ones((2, 3), dtype=np.float32), "p0\n", "has 1 ids"),
        (np.ones((2, 3), dtype=np.float32), "p0\np0\n", "is that of line 1"),
        (np.zeros((2, 3), dtype=np.float32), "p0\np1\n", "row 0: .*zero"),
        (np.full((1, 3), np.nan, dtype=np.float32), "p0\n", "row 0: expected finite"),
        (np.array([{}], dtype=object), "p0\n", "expected"),
    ],
)
def test_embeddings_that_are_none_are_named(
    folder: Path, tmp_path: Path, rows: NDArray[np.float32], ids: str, message: str
) -> None:
    np.save(tmp_path / "v.npy", rows, allow_pickle=True)
    (tmp_path / "v.ids").write_text(ids)
    with pytest.raises(FormatError, match=message):
        keep_vectors(tmp_path / "v.npy", tmp_path)


def test_the_nearest_hashes_are_those_that_counting_bits_one_by_one_gives() -> None:
    rng = np.random.default_rng(0)
    one = Hashes(rng.bytes(8), rng.bytes(32))
    near = [flipped(one, rng, bits) for bits in (0, 3, 8, 9, 40, 70, 71)]
    table = HashTable([h.phash for h in near], [h.pdq for h in near])

    def far(a: bytes, b: bytes) -> int:
        return sum((x ^ y).bit_count() for x, y in zip(a, b, strict=True))

    expected = {}
    for place, other in enumerate(near):
        units = min(far(one.phash, other.phash) / (MAX_PHASH + 1),
                    far(one.pdq, other.pdq) / (MAX_PDQ + 1))  # fmt: skip
        if units < 1:
            expected[place] = 1 - units
    found = table.nearest(one, 10)
    assert [similar.place for similar in found] == sorted(expected, key=lambda p: -expected[p])
    for similar in found:
        assert similar.closeness == pytest.approx(expected[similar.place], abs=1e-6)
    assert len(found) == 6  # 71 bits of the longer hash and 40 or more of the shorter are too many


def flipped(one: Hashes, rng: np.random.Generator, bits: int) -> Hashes:
    """Hashes of which the first has up to 40 bits changed, and the second all of them."""

    def change(hash: bytes, count: int) -> bytes:
        unpacked = np.unpackbits(np.frombuffer(hash, dtype=np.uint8))
        unpacked[rng.choice(len(unpacked), count, replace=False)] ^= 1
        return np.packbits(unpacked).tobytes()

    return Hashes(change(one.phash, min(bits, 40)), change(one.pdq, bits))


def test_an_index_of_pictures_alone_stays_one_when_it_is_updated(tmp_path: Path) -> None:
    picture(0).save(tmp_path / "0.png")
    for title in ("before", "after"):
        rows = [{"id": "p", "title": title, "image": "0.png"}]
        build(written(tmp_path / "rows.jsonl", rows), tmp_path / "index")
    with Index.open(tmp_path / "index") as index:
        (result,) = index.image(Image.open(tmp_path / "0.png"), 5)
        assert (index.kinds, result.hit.title) == ({"image"}, "after")


def test_flat_pictures_are_not_like_each_other() -> None:
    white, grey = (PILImage.new("RGB", (64, 64), colour) for colour in ("white", "grey"))
    for flat in (white, grey):
        assert hashes_of(flat, ("phash", "pdq")) == Hashes(b"", b"")
    assert HashTable([b""], [b""]).nearest(Hashes(b"", b""), 5) == []
    assert HashTable([], []).nearest(hashes_of(picture(0), ("phash",)), 5) == []


def test_an_index_with_a_hash_that_is_not_installed_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashes, "available", lambda: ("phash",))
    with pytest.raises(ConfigError, match="pip install pdqhash"):
        Index.open(folder)
