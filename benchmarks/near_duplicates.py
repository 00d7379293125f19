"""How many planted near-duplicates a curation catches, and what it takes for one wrongly.

python benchmarks/near_duplicates.py
python benchmarks/near_duplicates.py --data FOLDER    # with real images, if they are here

Three parts, all written to results/near_duplicates.json; `--parts` measures some of them anew:

planted   Of a set of questions one half is a benchmark, the other is clean. Copies of the items of
          the benchmark are planted among the clean questions: in other case and punctuation, about
          images at another size or compressed again, and so on. `decontaminate` and `duplicates`
          decide as in `saccade curate`. Recall is the share of the planted that is found to be of
          its item; precision is the share of those among all that is dropped.
texts     Copies of sentences, each with one change, against all the sentences.
images    How far apart are images that are copies, and images that only look alike: what the limits
          of `saccade.data.similar.images` were chosen on. `same layout` are scenes drawn twice with
          the same places and colours and other digits: what must be kept apart where it can be seen
          at 64x64.
"""

import argparse
import asyncio
import io
import itertools
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image as PILImage

from saccade.data.curate import Curated, CurateRecipe, curate
from saccade.data.similar.images import (
    MAX_BITS,
    MAX_DIFFERENCE,
    ImageIndex,
    ImageSketch,
    difference,
    sketch_pixels,
)
from saccade.data.similar.texts import TextIndex, sketch_text
from saccade.formats.tasks import write_tasks
from saccade.images.image import Image
from saccade.measures.intervals import wilson
from saccade.types import Task
from saccade.world import task_of, tasks

FAMILIES = ("read", "easy", "far", "relation", "colour", "compute", "compute_far", "lookup",
            "emblem", "all")  # fmt: skip
LARGE = ("easy", "compute", "lookup", "emblem")
"""Families whose digits and emblems can be made out at 64x64."""
LIMITS = (4, 6, 8, 10, 12)
SENTENCES = Path(__file__).with_name("fvqa_mini_passages.jsonl")
OTHER_WORDS = "How many things can be seen in this picture?"
PLANTED = "resized and compressed again"
"""How the image is copied where the text is what is changed."""
MOST_COPIED = 20
"""Number of images of a set of which copies are made."""
SIDE = 1024
"""Longest side of a real image, before it is copied."""
Pixels = PILImage.Image


def copies(pixels: Pixels) -> Iterator[tuple[str, Pixels]]:
    """Copies of a picture, as sets of images come to hold them."""
    for scale, quality in ((0.5, 80), (0.25, 60), (1.5, 90)):
        yield PLANTED, _again(pixels, scale, quality)
    yield "a tenth of the side", _again(pixels, 0.1, 85)
    width, height = pixels.size
    margin = (round(width * 0.02), round(height * 0.02))
    yield "a margin of 2 % gone", pixels.crop((*margin, width - margin[0], height - margin[1]))
    yield "brighter by a fifth", pixels.point(lambda level: min(255, round(level * 1.2)))
    yield "mirrored", pixels.transpose(PILImage.Transpose.FLIP_LEFT_RIGHT)


def _again(pixels: Pixels, scale: float, quality: int) -> Pixels:
    size = tuple(max(8, round(side * scale)) for side in pixels.size)
    buffer = io.BytesIO()
    pixels.resize(size, PILImage.Resampling.LANCZOS).save(buffer, "JPEG", quality=quality)
    return PILImage.open(buffer).convert("RGB")


# --- planted: the terms as a curation runs them ---------------------------------------------------


def planted(name: str, pool: list[Task], seed: int) -> dict[str, object]:
    """What the terms catch of copies of one half of some questions, among the other half."""
    shuffled = random.Random(seed).sample(pool, len(pool))
    held, clean = shuffled[: len(pool) // 2], shuffled[len(pool) // 2 :]
    made = [(item, kind, task) for item in held for kind, task in _plants(item)]
    plants = {task.id: (kind, item) for item, kind, task in made}
    copied = [task for _, _, task in made]
    with tempfile.TemporaryDirectory() as folder:
        asked = {"kind": "file", "path": str(write_tasks(held, Path(folder, "held"))), "name": name}
        term = {"kind": "decontaminate", "against": [asked]}
        against = _curated(Path(folder, "a"), [*clean, *copied], term)
        within = _curated(Path(folder, "b"), [*held, *clean, *copied], "duplicates")
    matched = {o.id: dict(o.measures["match"])["item"] for o in against.outcomes if o.measures}
    firsts = {o.id: o.measures["duplicate_of"] for o in within.outcomes if o.measures}
    return {
        "set": name,
        "benchmark": len(held),
        "clean": len(clean),
        "decontaminate": _counted(plants, matched),
        "duplicates": _counted(plants, firsts),
    }


def _plants(item: Task) -> Iterator[tuple[str, Task]]:
    """Copies of a question: with the image changed, then with the text changed."""
    pixels, asked = item.images[0].pixels(), item.question
    loud = asked.upper().replace("?", " ?!")
    for n, (kind, copy) in enumerate(copies(pixels)):
        yield kind, _plant(item, f"image-{n}", copy, loud)
    small = _again(pixels, 0.5, 80)
    yield "an instruction before it", _plant(item, "told", small, f"Look closely. {asked}")
    yield "another question", _plant(item, "other", small, OTHER_WORDS)


def _plant(item: Task, name: str, pixels: Pixels, text: str) -> Task:
    buffer = io.BytesIO()
    pixels.save(buffer, "JPEG", quality=90)
    prompt = (Image.from_bytes(buffer.getvalue()), text)
    return Task(id=f"{item.id}-{name}", prompt=prompt, answer=item.answer)


def _curated(folder: Path, questions: list[Task], term: object) -> Curated:
    path = write_tasks(questions, folder / "source")
    recipe = {"out": str(folder / "out"), "tasks": {"kind": "file", "path": str(path)},
              "policy": {"kind": "world"}, "curate": {"terms": [term]}}  # fmt: skip
    return asyncio.run(curate(CurateRecipe.model_validate(recipe)))


def _counted(plants: dict[str, tuple[str, Task]], found: dict[str, object]) -> dict[str, object]:
    """For each kind how many are caught, and how many others are taken for copies."""
    of = Counter(kind for kind, _ in plants.values())
    right = Counter(
        kind for key, (kind, item) in plants.items() if _origin(found.get(key)) == item.id
    )
    wrong = sorted(key for key in found if key not in plants or _wrong(found[key], plants[key][1]))
    caught, total = right.total(), right.total() + len(wrong)
    return {
        "kinds": {kind: _share(right[kind], n) for kind, n in of.items()},
        "wrong": wrong,
        "precision": _share(caught, total),
    }


def _origin(found: object) -> object:
    """The item that a copy was found to be of: of a copy of a copy, the first one's."""
    return str(found).split("-image-")[0].split("-told")[0].split("-other")[0] if found else None


def _wrong(found: object, item: Task) -> bool:
    return _origin(found) != item.id


def _share(right: int, n: int) -> dict[str, object]:
    share = round(right / n, 4) if n else None
    return {"n": n, "found": right, "share": share, "ci": [round(v, 4) for v in wilson(right, n)]}


# --- texts ----------------------------------------------------------------------------------------


def changed(text: str, rng: random.Random) -> Iterator[tuple[str, str]]:
    """Copies of a text, each with one change."""
    words = text.split()
    at = rng.randrange(len(words))
    yield "other case and punctuation", " - ".join(text.upper().split(", "))
    yield "one word changed", " ".join([*words[:at], "something", *words[at + 1 :]])
    yield "three words before it", f"Answer the question: {text}"
    yield "the last word gone", " ".join(words[:-1])


def text_recall(name: str, texts: list[str], seed: int) -> list[dict[str, object]]:
    """Of changed copies, how many are found among all texts, for short and for long texts."""
    index, rng = TextIndex(), random.Random(seed)
    for text in texts:
        index.add(sketch_text(text))
    rows = []
    for least in (0.9, 0.8):
        found: dict[tuple[str, str], list[bool]] = {}
        wrong = 0
        for place, text in enumerate(texts):
            length = "60 words or more" if len(text.split()) >= 60 else "fewer than 60 words"
            for kind, copy in changed(text, rng):
                near = index.nearest(sketch_text(copy), least=least)
                found.setdefault((length, kind), []).append(
                    near is not None and near.place == place
                )
                wrong += near is not None and near.place != place
        rows += [
            {"set": name, "least": least, "length": length, "kind": kind,
             **_share(sum(hits), len(hits))}
            for (length, kind), hits in sorted(found.items())
        ]  # fmt: skip
        rows.append({"set": name, "least": least, "length": "all", "kind": "wrong", "found": wrong})
    return rows


def joined(sentences: list[str], words: int) -> list[str]:
    """The sentences in texts of at least so many words."""
    texts: list[str] = [""]
    for sentence in sentences:
        if len(texts[-1].split()) >= words:
            texts.append("")
        texts[-1] = f"{texts[-1]} {sentence}".strip()
    return texts[:-1]


# --- images ---------------------------------------------------------------------------------------


def other_digits(task_id: str) -> Pixels:
    """A scene with each asked object turned in its place: the same layout, another digit."""
    task = task_of(task_id)
    pixels = task.images[0].pixels().copy()
    for target in task.boxes:
        box = tuple(map(round, target.box))
        pixels.paste(pixels.crop(box).transpose(PILImage.Transpose.ROTATE_180), box[:2])
    return pixels


def measured(name: str, pixels: list[Pixels]) -> dict[str, object]:
    """The distances of a set of different images, and of copies of each."""
    sketches = [sketch_pixels(one, digest=f"{name}-{n}") for n, one in enumerate(pixels)]
    hashed = [sketch for sketch in sketches if sketch.phash is not None]
    bits, far = [], []
    for one, other in itertools.combinations(hashed, 2):
        bits.append(_bits(one, other))
        far.append(difference(one, other) if bits[-1] <= max(LIMITS) else np.inf)
    apart, wide = np.array(bits), np.array(far)
    wrong = int(((apart <= MAX_BITS) & (wide <= MAX_DIFFERENCE)).sum())
    return {
        "set": name,
        "images": len(pixels),
        "flat": len(pixels) - len(hashed),
        "pairs": len(bits),
        "by_hash": {str(limit): int((apart <= limit).sum()) for limit in LIMITS},
        "wrong": _share(wrong, len(bits)),
        "bits": _quantiles(apart, (0, 0.001, 0.01, 0.5)),
        "least_difference": _finite(wide.min(initial=np.inf)),
        "copies": _found(pixels[:MOST_COPIED], sketches),
    }


def _found(pixels: Iterable[Pixels], sketches: list[ImageSketch]) -> dict[str, object]:
    rows: dict[str, list[tuple[int, float]]] = {}
    for one, sketch in zip(pixels, sketches, strict=False):
        if sketch.phash is None:
            continue
        for kind, copy in copies(one):
            made = sketch_pixels(copy, digest="copy")
            far = 64 if made.phash is None else _bits(sketch, made)
            rows.setdefault(kind, []).append((far, difference(sketch, made)))
    return {kind: _recall(np.array(found)) for kind, found in rows.items()}


def _recall(found: "np.ndarray") -> dict[str, object]:
    caught = int(((found[:, 0] <= MAX_BITS) & (found[:, 1] <= MAX_DIFFERENCE)).sum())
    return {
        **_share(caught, len(found)),
        "bits": _quantiles(found[:, 0], (0.5, 0.99, 1)),
        "difference": _quantiles(found[:, 1], (0.5, 0.99, 1)),
    }


def same_layout(family: str, n: int, seed: int) -> dict[str, object]:
    """Scenes with the asked digits turned in their places, against the scenes themselves."""
    rows = []
    for task in tasks(family, n=n, seed=seed, split="train"):
        one = sketch_pixels(task.images[0].pixels(), digest="one")
        other = sketch_pixels(other_digits(task.id), digest="other")
        rows.append((_bits(one, other), difference(one, other)))
    near = sum(bits <= MAX_BITS for bits, _ in rows)
    return {"family": family, "by_hash": near, **_recall(np.array(rows))}


def _bits(one: ImageSketch, other: ImageSketch) -> int:
    assert one.phash is not None
    assert other.phash is not None
    return (one.phash ^ other.phash).bit_count()


def _quantiles(values: "np.ndarray", shares: Iterable[float]) -> dict[str, float]:
    return {f"{share:g}": round(float(np.quantile(values, share)), 3) for share in shares}


def _finite(value: float) -> float | None:
    return round(float(value), 3) if np.isfinite(value) else None


# --- what is measured on --------------------------------------------------------------------------


def real_questions(folder: Path) -> list[Task]:
    """MATH-Vision and photographs of `folder`, with their questions."""
    found = []
    for line in (folder / "mathvision_slice" / "test.jsonl").read_text().splitlines():
        row = json.loads(line)
        text = row["question"].replace("<image1>", "").strip()
        if "<image" in text:  # it has several
            continue
        found.append(_real(row["id"], folder / "mathvision_slice" / row["image"], text))
    for row in json.loads((folder / "vstar_mini" / "questions.json").read_text()):
        found.append(_real(row["id"], folder / "vstar_mini" / row["image"], row["question"]))
    images = [task.images[0].source.digest for task in found]
    return [task for n, task in enumerate(found) if images[n] not in images[:n]]


def _real(name: str, file: Path, text: str) -> Task:
    return Task(id=f"q{name}", prompt=(Image.from_pixels(_opened(file)), text), answer="1")


def real_sets(folder: Path) -> Iterator[tuple[str, list[Pixels]]]:
    """The real images of a folder: a set for each folder with an `images` in it, and CIFAR-10."""
    for place in sorted(folder.glob("*/images")):
        files = sorted(path for path in place.iterdir() if path.is_file())
        yield place.parent.name, [_opened(path) for path in files]
    for place in sorted(folder.glob("*/cifar10_slice.npz")):
        with np.load(place) as held:
            images = next(held[key] for key in held if held[key].ndim == 4)
        yield "cifar10", [PILImage.fromarray(one) for one in images[:300]]


def _opened(path: Path) -> Pixels:
    with PILImage.open(path) as image:
        image.draft("RGB", (SIDE, SIDE))  # a photograph of 20 megapixels takes seconds
        pixels = image.convert("RGB")
    pixels.thumbnail((SIDE, SIDE))
    return pixels


def speed(n: int, seed: int) -> dict[str, float]:
    """CPU seconds for so many texts and hashes, none like another."""
    rng = np.random.default_rng(seed)
    words = [f"w{k}" for k in range(5000)]
    texts = [" ".join(words[k] for k in rng.integers(0, 5000, 15)) for _ in range(n)]
    hashes = rng.integers(0, 2**63, n)
    flat = np.zeros((64, 64), dtype=np.uint8)

    def all_texts() -> None:
        index = TextIndex()
        for text in texts:
            sketch = sketch_text(text)
            if index.nearest(sketch, least=0.9) is None:
                index.add(sketch)

    def all_images() -> None:
        index = ImageIndex()
        for value in hashes.tolist():
            sketch = ImageSketch(str(value), value, flat)
            if not index.nearest(sketch):
                index.add(sketch)

    return {"n": n, "texts_s": _seconds(all_texts), "images_s": _seconds(all_images)}


def _seconds(work: Callable[[], None]) -> float:
    begin = time.process_time()
    work()
    return round(time.process_time() - begin, 2)


# --- tables ---------------------------------------------------------------------------------------


def table(result: dict[str, list[dict]]) -> str:
    """What stands in docs/data.md of the planted questions."""
    sets = result["planted"]
    head = [f"`{term}`, {one['set']}" for one in sets for term in ("decontaminate", "duplicates")]
    lines = [f"| planted: | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|"]
    for kind in sets[0]["decontaminate"]["kinds"]:
        cells = [_cell(one[term]["kinds"][kind]) for one in sets for term in
                 ("decontaminate", "duplicates")]  # fmt: skip
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    cells = [_cell(one[term]["precision"]) for one in sets for term in
             ("decontaminate", "duplicates")]  # fmt: skip
    lines.append(f"| precision | {' | '.join(cells)} |")
    return "\n".join(lines)


def image_table(result: dict[str, list[dict]]) -> str:
    """What stands in docs/data.md of images that are different."""
    lines = [f"| set | images | pairs | hash within {MAX_BITS} bits | taken for copies |",
             "|---|---|---|---|---|"]  # fmt: skip
    for one in result["sets"]:
        by_hash, wrong = one["by_hash"][str(MAX_BITS)], one["wrong"]["found"]
        lines.append(
            f"| {one['set']} | {one['images']} | {one['pairs']:,} | {by_hash:,} | {wrong} |"
        )
    for size in ("large", "small"):
        rows = [
            one for one in result["same_layout"] if (one["family"] in LARGE) == (size == "large")
        ]
        n, near, found = (sum(row[key] for row in rows) for key in ("n", "by_hash", "found"))
        lines.append(f"| same layout, {size} digits turned | {2 * n} | {n} | {near} | {found} |")
    return "\n".join(lines)


def text_table(result: dict[str, list[dict]]) -> str:
    """What stands in docs/data.md of texts."""
    lines = ["| text | change | found at 0.9 | found at 0.8 |", "|---|---|---|---|"]
    rows: dict[tuple[str, str], list[str]] = {}
    for row in result["texts"]:
        if "share" in row:
            rows.setdefault((row["length"], row["kind"]), []).append(_cell(row))
    lines += [f"| {length} | {kind} | {' | '.join(cells)} |"
              for (length, kind), cells in rows.items()]  # fmt: skip
    return "\n".join(lines)


def _cell(share: dict) -> str:
    if not share["n"]:
        return "-"
    low, high = share["ci"]
    return f"{share['share']:.3f} [{low:.2f}, {high:.2f}] of {share['n']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=100, help="images of each set that is drawn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=None, help="a folder with real images")
    parser.add_argument("--out", type=Path, default=Path("results/near_duplicates.json"))
    parser.add_argument("--parts", nargs="+", choices=[*PARTS], default=[*PARTS])
    chosen = parser.parse_args()
    result = json.loads(chosen.out.read_text()) if chosen.out.exists() else {}
    for part in chosen.parts:
        result |= PARTS[part](chosen.n, chosen.seed, chosen.data)
    command = f"python benchmarks/near_duplicates.py --n {chosen.n} --seed {chosen.seed}"
    result |= {
        "command": command + ("" if chosen.data is None else " --data FOLDER"),
        "max_bits": MAX_BITS,
        "max_difference": MAX_DIFFERENCE,
    }
    chosen.out.write_text(json.dumps(result, indent=1) + "\n")
    for name, show in TABLES.items():
        if name in chosen.parts:
            print(show(result), end="\n\n")


def planted_part(n: int, seed: int, data: Path | None) -> dict[str, object]:
    """Scenes of all families, and real questions."""
    scenes = itertools.chain(
        *(tasks(name, n=n // 5, seed=seed, split="train") for name in FAMILIES)
    )
    pools = {"world": list(scenes)}
    if data is not None:
        pools["real"] = real_questions(data)
    return {"planted": [planted(name, pool, seed) for name, pool in pools.items()]}


def texts_part(n: int, seed: int, data: Path | None) -> dict[str, object]:
    """Sentences, one by one and joined."""
    sentences = [json.loads(line)["text"] for line in SENTENCES.read_text().splitlines()]
    return {"texts": text_recall("sentences", [*sentences, *joined(sentences, 80)], seed)}


def images_part(n: int, seed: int, data: Path | None) -> dict[str, object]:
    """Each family of the world, and each set of real images."""
    sets: Iterable[tuple[str, list[Pixels]]] = (
        (name, [task.images[0].pixels() for task in tasks(name, n=n, seed=seed, split="train")])
        for name in FAMILIES
    )
    if data is not None:
        sets = itertools.chain(sets, real_sets(data))
    return {
        "sets": [measured(name, pixels) for name, pixels in sets],
        "same_layout": [same_layout(name, min(n, MOST_COPIED), seed) for name in FAMILIES],
        "speed": speed(30_000, seed),
    }


PARTS = {"planted": planted_part, "texts": texts_part, "images": images_part}
TABLES = {"planted": table, "texts": text_table, "images": image_table}


if __name__ == "__main__":
    main()
