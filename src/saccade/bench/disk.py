"""Where the data sets of benchmarks are on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from saccade.bench.benchmark import Benchmark

DATA = "SACCADE_DATA"
"""The variable that names a folder with one folder (or file) for each data set, by its name."""
TSVS = "LMUData"
"""VLMEvalKit's variable for its folder of TSV files; without it they are in ~/LMUData.
Source: VLMEvalKit, vlmeval/smp/file.py, LMUDataRoot."""
IN_THE_PACKAGE = Path("in the package")
"""Where the items of a benchmark are that needs no data set."""
SUFFIXES = (".tsv", ".parquet", ".jsonl", ".json")


def found_on_disk(benchmark: Benchmark | type[Benchmark]) -> Path | None:
    """The file or folder of a data set; None if it is in none of the usual places.

    `IN_THE_PACKAGE` where nothing is read from a disk.
    """
    if benchmark.in_package:
        return IN_THE_PACKAGE
    places: list[Path] = []
    if root := os.environ.get(DATA):
        own = Path(root) / benchmark.name
        places = [own, *(own.with_name(own.name + suffix) for suffix in SUFFIXES)]
    held = Path(os.environ.get(TSVS) or Path.home() / "LMUData")
    places += [held / f"{name}.tsv" for name in benchmark.about.tsv]
    return next((place for place in places if place.exists()), None)
