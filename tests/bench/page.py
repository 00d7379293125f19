"""The page docs/benchmarks.md: what each benchmark is, where it comes from, how it is scored.

python tests/bench/page.py                              # prints it
python tests/bench/page.py --write docs/benchmarks.md
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from saccade.bench import BENCHMARKS
from saccade.bench.benchmark import Benchmark
from saccade.bench.disk import DATA, TSVS
from saccade.config import resolve

ROOT = Path(__file__).resolve().parents[2]
HEAD = f"""\
# The benchmarks

`saccade bench NAME data=PATH` reads the public files of each as they are published; nothing is
converted. Without `data` they are looked for in the folder that `${DATA}` names, as `NAME/`,
`NAME.tsv`, `NAME.parquet`, `NAME.jsonl` or `NAME.json`, then among VLMEvalKit's files (`${TSVS}`).
`saccade bench list` says what is there. This page is written by `tests/bench/page.py`, and a test
compares it with the code. How to run them and what the numbers mean:
[evaluation.md](evaluation.md); one of your own: [extending.md](extending.md).

Beside every judged score stands that of the rule alone. `--compat vlmevalkit` applies VLMEvalKit's
scorer as well, its known mistakes included; below are inputs on which it differs from ours, each
played by the test that is named.
"""


def page() -> str:
    """The page as Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield HEAD
    yield "| name | benchmark | items | licence |"
    yield "|---|---|---|---|"
    made = {name: _made(name) for name in BENCHMARKS}
    for name, one in made.items():
        about = one.about
        items = "-" if about.items is None else f"{about.items:,}"
        licence = about.licence.partition(";")[0]
        cells = (f"[`{name}`](#{name})", about.title, items, licence)
        yield f"| {' | '.join(map(_cell, cells))} |"
    for name, one in made.items():
        yield from _section(name, one)


def _section(name: str, one: type[Benchmark]) -> Iterator[str]:
    about = one.about
    yield f"\n## {name}\n"
    yield f"{about.title}" + (f" ({about.paper})." if about.paper else ".") + "\n"
    yield f"- **where to get it**: {about.source}"
    yield f"- **licence**: {about.licence}"
    yield f"- **data**: {about.layout}"
    if about.tsv:
        names = ", ".join(f"`{file}.tsv`" for file in about.tsv)
        yield f"- **VLMEvalKit's files**: {names}"
    yield f"- **metric**: {about.metric}"
    yield f"- **what published scorers do otherwise**: {about.differs}"
    yield f"- **fixture and test**: `{test_of(one).relative_to(ROOT)}`"
    if one.differences:
        yield "\n| reply | gold answer | ours | VLMEvalKit | why |"
        yield "|---|---|---|---|---|"
    for found in one.differences:
        ours = {True: "right", False: "wrong", None: "undecided"}[found.ours]
        theirs = "not fixed" if found.theirs is None else f"{found.theirs:g}"
        reply = f"`{found.reply}`" if found.reply else "(empty)"
        cells = (reply, str(found.task.answer), ours, theirs, found.why)
        yield f"| {' | '.join(map(_cell, cells))} |"


def test_of(one: type[Benchmark]) -> Path:
    """The test of a benchmark: it is called after the file that the benchmark is in.

    Raises:
        FileNotFoundError: there is none.
    """
    module = one.__module__.rpartition(".")[2]
    file = ROOT / "tests" / "bench" / f"test_{module}.py"
    if not file.is_file():
        raise FileNotFoundError(f"{file}: each benchmark has a test")
    return file


def _made(name: str) -> type[Benchmark]:
    return cast(type[Benchmark], resolve(name, BENCHMARKS, "bench"))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def main() -> None:
    """Print the page, or write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path)
    chosen = parser.parse_args()
    if chosen.write is None:
        print(page(), end="\n")
    else:
        chosen.write.write_text(page() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
