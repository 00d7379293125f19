"""Search beside plain tantivy, SQLite FTS5 and bm25s, on the same passages.

    pip install 'saccade-vlm[search,peers]'
    python benchmarks/search.py --seed 0 --n 1000 --sizes 100000 1000000
    python benchmarks/search.py --sizes --hybrid 10000     # words, meaning, and both
    python benchmarks/search.py --page                     # only the page, of the figures

Needs `apt-get update` once, and `apt-get download` the first time (see `search_corpus.py`; what it
makes stays in build/search). Each engine is built, then opened and asked, in a process of its own
with one thread; what is finished is kept in build/search/parts, and a run that was ended goes on
there (`--fresh` begins anew). The questions are those of search_queries.json, which were written
before any engine was tuned; "dev" was tuned by, "test" is reported. If packages have changed and
with them the passages, questions are made anew from the seed, and the report says so.

A question counts as a hit if its passage is among the first five. An engine that needs longer than
`--seconds` for a set is asked only the first questions of it; the table gives the number.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import search_corpus as corpora
import search_hybrid
import search_report
from places import fill
from search_engines import ENGINES, read

HERE = Path(__file__).resolve().parent
QUERIES = HERE / "search_queries.json"
K = 5
KNOWN = ("plain", "shuffled", "misspelt")
"""Sets that are asked at each size. Splices repeat halves of passages, so that among them what
answers a heading is no longer only what stands under it."""
PACKAGES = ("saccade-vlm", "tantivy", "bm25s", "numpy")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
WARM = 50
"""Questions of the other split that are asked first: files are then in memory."""
LONG = """how do you use the function with the same name as the value of the other type in the file
when it is set to return all the data that can be used with this default option and the user must
not have a list of more than one number for each line of the first object so that new time is given
by the system if a string has been called from there or else no error will be shown at all because
such methods are only available under which class they were added to by what process example"""
"""Nearly five hundred characters of common words: the longest question that a model asks."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n", type=int, default=1000, help="questions of each set")
    parser.add_argument("--sizes", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=list(ENGINES))
    parser.add_argument("--seconds", type=float, default=45.0, help="for a set of an engine")
    parser.add_argument("--hybrid", type=int, default=0, help="number of passages to embed")
    parser.add_argument("--folder", type=Path, default=Path("build/search"))
    parser.add_argument("--out", type=Path, default=Path("results/search.json"))
    parser.add_argument("--fresh", action="store_true", help="measure again what is kept")
    parser.add_argument("--page", action="store_true", help="only write the page")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options, *options.work)
        return
    if not options.page:
        found = json.loads(options.out.read_text()) if options.out.exists() else {}
        options.out.write_text(json.dumps({**found, **measured(options)}, indent=1) + "\n")
    fill(search_report.PAGE, search_report.tables(json.loads(options.out.read_text())))


def measured(options: argparse.Namespace) -> dict[str, Any]:
    options.folder.mkdir(parents=True, exist_ok=True)
    corpus = corpora.load(options.folder)
    questions = corpora.read(QUERIES)
    asked = QUERIES
    same = questions.corpus == corpus.fingerprint
    if not same or options.seed or options.n > 1000:
        asked = options.folder / "queries.json"
        corpora.write(asked, corpus, options.n, options.seed)
        say(f"the questions of {QUERIES.name} are of other passages: made anew")
    runs, before = [], os.getloadavg()[1]
    for size in options.sizes:
        passages = passages_file(options, size)
        if not passages.exists():
            beside = passages.with_suffix(".part")
            with beside.open("w", encoding="utf-8") as file:
                made = corpora.of_size(corpus, size, options.seed)
                file.writelines(json.dumps(passage) + "\n" for passage in made)
            beside.rename(passages)
        runs += [of_engine(options, engine, size, asked) for engine in options.engines]
    made: dict[str, Any] = {}
    command = f"python benchmarks/search.py --seed {options.seed} --n {options.n} --sizes"
    if runs:
        made = {
            "command": " ".join([command, *map(str, options.sizes)]),
            "date": time.strftime("%Y-%m-%d"),
            "machine": {"cores": os.cpu_count(), "python": platform.python_version(),
                        "kind": platform.machine(), "load": before,
                        "load_after": os.getloadavg()[1]},
            "versions": {name: version(name) for name in PACKAGES}
            | {"sqlite": sqlite3.sqlite_version},
            "corpus": {"fingerprint": corpus.fingerprint, "packages": corpus.packages},
            "questions": {"file": QUERIES.name if asked == QUERIES else "made anew",
                          "seed": options.seed, "n": options.n},
            "runs": runs,
        }  # fmt: skip
    if options.hybrid:
        found = kept(options, "embed", "hybrid", options.hybrid, asked)
        made["hybrid"] = {
            "command": f"{command} --hybrid {options.hybrid}",
            "date": time.strftime("%Y-%m-%d"), "load": before, **found,
        }  # fmt: skip
    return made


def passages_file(options: argparse.Namespace, size: int) -> Path:
    return Path(options.folder / f"passages-{size}-{options.seed}.jsonl")


def of_engine(options: argparse.Namespace, engine: str, size: int, asked: Path) -> dict[str, Any]:
    """Build and ask an engine, each in a process of its own, or read what is kept of it."""
    found: dict[str, Any] = {"engine": engine, "size": size}
    for step in ("build", "ask"):
        found |= kept(options, step, engine, size, asked)
    return found


def kept(
    options: argparse.Namespace, step: str, engine: str, size: int, asked: Path
) -> dict[str, Any]:
    """What a step has measured, in a process of its own, now or in a run before."""
    parts = options.folder / "parts"
    parts.mkdir(exist_ok=True)
    of = (asked.read_bytes(), options.seed, options.n, options.seconds)
    tag = hashlib.sha256(repr(of).encode()).hexdigest()[:8]
    file = parts / f"{engine}-{size}-{step}-{tag}.json"
    if options.fresh or not file.exists():
        say(f"{time.strftime('%H:%M:%S')} {step} {engine} with {size} passages")
        command = [
            sys.executable, __file__, "--work", step, engine, str(asked),
            "--sizes", str(size), "--n", str(options.n), "--seconds", str(options.seconds),
            "--folder", str(options.folder), "--seed", str(options.seed),
        ]  # fmt: skip
        threads = {} if step == "embed" else dict.fromkeys(THREADS, "1")
        environment = {**os.environ, **threads}
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
        file.write_bytes(done.stdout)
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def work(options: argparse.Namespace, step: str, engine: str, asked: str) -> None:
    (size,) = options.sizes
    folder = options.folder / "indexes" / f"{engine}-{size}"
    if step == "embed":
        sets = {
            name: queries[: options.n]
            for name, queries in corpora.read(Path(asked)).sets["test"].items()
        }
        made = search_hybrid.measured(options.folder, sets, size, options.seconds)
    elif step == "build":
        made = built(ENGINES[engine], folder, passages_file(options, size))
    else:
        made = answered(ENGINES[engine], folder, Path(asked), options)
    sys.stdout.write(json.dumps(made))


def built(engine: Any, folder: Path, passages: Path) -> dict[str, Any]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    started, cpu = time.perf_counter(), time.process_time()
    engine.build(folder, read(passages))
    return {
        "build_s": time.perf_counter() - started,
        "build_cpu_s": time.process_time() - cpu,
        "build_peak_mib": peak_mib(),
        "disk_mib": sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 2**20,
    }


def answered(engine: Any, folder: Path, asked: Path, options: argparse.Namespace) -> dict[str, Any]:
    sets = corpora.read(asked).sets
    started = time.perf_counter()
    search = engine.open(folder)
    for query in sets["dev"]["plain"][:WARM]:
        search(query.text, K)
    found: dict[str, Any] = {"open_s": time.perf_counter() - started, "sets": {}}
    for name, queries in sets["test"].items():
        if name in KNOWN or options.sizes[0] <= corpora.REAL:
            found["sets"][name] = search_hybrid.ask(
                lambda text, k: [passage.id for passage in search(text, k)],
                queries[: options.n], options.seconds,
            )  # fmt: skip
    begins = time.perf_counter()
    search(LONG, K)
    found["long_ms"] = (time.perf_counter() - begins) * 1e3
    found["ask_peak_mib"] = peak_mib()
    return found


def peak_mib() -> float:
    """The most memory that this process has held; `ru_maxrss` would count its parent's as well."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmHWM in /proc/self/status")


def say(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    main()
