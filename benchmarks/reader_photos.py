"""Small text in large photographs: the view alone, looking again, or the whole image at once.

    python benchmarks/reader_photos.py --seed 0 --n 100 [--composed-only] [--json] [--rows FILE]
        [--photographs FOLDER] [--write docs/reader.md] [--size WIDTH HEIGHT]

`view_only` is the policy `reader` without a look, `looking_again` the same with its looks, both in
the environment in which the policy is documented. `full_image` is no agent: the same weights read
every pixel of the photograph, without a limit of the size; `full_image_defaults` does the same with
the limit of the library (long side 2000). All four decide by the same rule and read with one
thread. The text questions of `--photographs` (a folder with questions.json) are fixed in
reader_questions.json. `--write` puts the table into the page and the numbers into results/.

Each answer is correct, incorrect or abstained. Without options, correct means that the first line
is the text, whatever its case. Times exclude composing and decoding the file; memory is the peak of
the process with Python and the weights (Linux only). `--rows` keeps finished rows: run the same
command again to go on. `--size` composes photographs of one size, for a quick look.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

from composed import SIZES, Photograph, compose
from PIL import Image as PILImage
from places import fill

from saccade.config import validate, with_overrides
from saccade.images.image import Image
from saccade.measures.intervals import wilson
from saccade.policies.reader.evidence import Seen, best_lines, clear_option, is_clear
from saccade.policies.reader.policy import ENVIRONMENT, ReaderOptions, ReaderPolicy
from saccade.recipe import Recipe, make_environment
from saccade.rollout import rollout
from saccade.tools import ocr
from saccade.types import StopReason, Task

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "reader.json"
MARK = "reader"
LIMIT = 2000
"""Long side to which rapidocr 3.10.0 shrinks an image by default (its config.yaml)."""
SETS = ("composed", "composed_open", "twelve")
ARMS = ("view_only", "looking_again", "full_image")


class Question(NamedTuple):
    """A photograph, a question about it, and the gold answer."""

    id: str
    image: Image
    text: str
    choices: tuple[str, ...]
    answer: str


class Result(NamedTuple):
    """The outcome of an arm on a question, and its cost."""

    outcome: str
    tool_calls: int
    seconds: float
    megabytes: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--composed-only", action="store_true")
    parser.add_argument("--photographs", type=Path, default=Path("../shared/data/vstar_mini"))
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--size", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"))
    options = parser.parse_args()
    if not options.composed_only and not (options.photographs / "questions.json").exists():
        parser.error(f"no questions.json in {options.photographs}; or give --composed-only")
    rows = _kept(options.rows, options.seed)
    for key, ask in _questions(options):
        if key not in rows:
            rows[key] = {arm: result._asdict() for arm, result in _measured(ask()).items()}
            _keep(options.rows, options.seed, key, rows[key])
            print(key, {a: r["outcome"] for a, r in rows[key].items()}, file=sys.stderr)
    report = _report(rows, options)
    if options.write:
        _write(options.write, report)
    print(json.dumps(report, indent=1) if options.json else _table(report))


def _questions(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Question]]]:
    """Each question by its key, as a function that makes it."""
    composed = partial(_composed, options.seed, (tuple(options.size),) if options.size else SIZES)
    for number in range(options.n):
        yield f"composed/{number}", partial(composed, number, open_=False)
        yield f"composed_open/{number}", partial(composed, number, open_=True)
    if not options.composed_only:
        fixed = json.loads((HERE / "reader_questions.json").read_text())["questions"]
        for row in json.loads((options.photographs / "questions.json").read_text()):
            if row["id"] in fixed:
                yield f"twelve/{row['id']}", lambda r=row: _photographed(options.photographs, r)


@lru_cache(maxsize=1)
def _photograph(
    seed: int, sizes: tuple[tuple[int, int], ...], number: int
) -> tuple[Image, Photograph]:
    made = compose(seed, number, sizes)
    return Image.from_pixels(made.pixels), made


def _composed(
    seed: int, sizes: tuple[tuple[int, int], ...], number: int, *, open_: bool
) -> Question:
    image, made = _photograph(seed, sizes, number)
    choices = () if open_ else made.choices
    return Question(f"composed-{number}", image, "What word is on the sign?", choices, made.word)


def _photographed(folder: Path, row: dict) -> Question:
    choices = tuple(row["options"])
    image = Image.open(folder / row["image"])
    return Question(row["id"], image, row["question"], choices, choices[row["answer_index"]])


def _measured(question: Question) -> dict[str, Result]:
    question.image.source.pixels()  # decoded before any clock runs
    return {
        "view_only": _reader(question, looks=False),
        "looking_again": _reader(question, looks=True),
        "full_image": _at_once(question, limit=None),
        "full_image_defaults": _at_once(question, limit=LIMIT),
    }


def _reader(question: Question, *, looks: bool) -> Result:
    settings = [*ENVIRONMENT, *([] if looks else ["environment.limits.max_turns=1"])]
    environment = make_environment(validate(Recipe, with_overrides({}, settings)))
    policy = ReaderPolicy(ReaderOptions(threads=1))
    task = Task(id=question.id, prompt=(question.image, question.text), choices=question.choices)
    _forget_peak()
    started = time.perf_counter()
    trajectory = asyncio.run(rollout(policy, environment, task))
    seconds = time.perf_counter() - started
    if trajectory.stop not in (StopReason.ANSWER, StopReason.NO_ACTION):
        raise SystemExit(f"{question.id}: {trajectory.stop}: {trajectory.error}")
    answer = trajectory.answer
    if answer is not None:
        answer = answer.split(". ", 1)[1] if question.choices else answer.splitlines()[0]
    tool_calls = len(trajectory.executed)
    return Result(_outcome(answer, question), tool_calls, seconds, _peak())


def _at_once(question: Question, limit: int | None) -> Result:
    seen, seconds, megabytes = _read_at_once(question.image, limit)
    if question.choices:
        fit = clear_option([seen], question.choices)
        answer = None if fit is None else question.choices[fit.option]
    else:
        lines = best_lines([seen])
        answer = lines[0].text if lines and is_clear(lines[0]) else None
    return Result(_outcome(answer, question), 0, seconds, megabytes)


@lru_cache(maxsize=2)
def _read_at_once(image: Image, limit: int | None) -> tuple[Seen, float, float]:
    """The lines, the seconds and the memory of one read, shared by both kinds of question."""
    pixels = image.source.pixels()
    _forget_peak()
    started = time.perf_counter()
    if limit is not None and max(pixels.size) > limit:
        scale = limit / max(pixels.size)
        width, height = (round(side * scale / 32) * 32 for side in pixels.size)
        pixels = pixels.resize((width, height), PILImage.Resampling.BILINEAR)
    reading = ocr.read_now(pixels, max_seconds=3600, threads=1)
    seconds = time.perf_counter() - started
    return Seen(Image.from_pixels(pixels), reading.lines), seconds, _peak()


def _outcome(answer: str | None, question: Question) -> str:
    if answer is None:
        return "abstained"
    return "correct" if answer.casefold() == question.answer.casefold() else "incorrect"


def _forget_peak() -> None:
    """Return freed memory to the system and reset the peak."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def _peak() -> float:
    """Peak resident memory since `_forget_peak`, in megabytes (2**20 bytes)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def _report(rows: dict[str, dict], options: argparse.Namespace) -> dict:
    command = f"python benchmarks/reader_photos.py --seed {options.seed} --n {options.n}"
    if options.size:
        command += " --size {} {}".format(*options.size)
    report: dict = {
        "command": command,
        "seed": options.seed,
        "threads": 1,
    }
    sets = [s for s in SETS if any(key.startswith(s + "/") for key in rows)]
    report |= {name: {arm: _summary(rows, name, arm) for arm in ARMS} for name in sets}
    report["full_image_defaults"] = {
        name: _summary(rows, name, "full_image_defaults") for name in sets
    }
    return report


def _summary(rows: dict[str, dict], name: str, arm: str) -> dict[str, float]:
    results = [row[arm] for key, row in rows.items() if key.startswith(name + "/")]
    n = len(results)
    counts = Counter(row["outcome"] for row in results)
    low, high = wilson(counts["correct"], n)
    return {
        "accuracy": counts["correct"] / n,
        "incorrect": counts["incorrect"] / n,
        "abstained": counts["abstained"] / n,
        "tool_calls": statistics.median(r["tool_calls"] for r in results),
        "seconds": statistics.median(r["seconds"] for r in results),
        "megabytes": max(r["megabytes"] for r in results),
        "n": n,
        "low": low,
        "high": high,
    }


def _table(report: dict) -> str:
    lines = [
        "| photographs | arm | accuracy | 95 % CI | incorrect | abstained | n | tool calls "
        "| seconds | memory |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in SETS:
        for arm in (*ARMS, "full_image_defaults") if name in report else ():
            s = report["full_image_defaults"][name] if arm not in ARMS else report[name][arm]
            lines.append(
                f"| {name} | {arm} | {s['accuracy']:.2f} | [{s['low']:.2f}, {s['high']:.2f}] | "
                f"{s['incorrect']:.2f} | {s['abstained']:.2f} | {s['n']} | {s['tool_calls']:g} | "
                f"{s['seconds']:.1f} | {s['megabytes']:.0f} MB |"
            )
    note = f"Tool calls and seconds are medians. `{report['command']}`, one thread."
    return "\n".join([*lines, "", note])


def _write(page: Path, report: dict) -> None:
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")
    fill(page, {MARK: _table(report)})


def _kept(file: Path | None, seed: int) -> dict[str, dict]:
    if file is None or not file.exists():
        return {}
    kept = [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")]
    return {row["key"]: row["arms"] for row in kept if row["seed"] == seed}


def _keep(file: Path | None, seed: int, key: str, arms: dict) -> None:
    if file is not None:
        with file.open("a") as out:
            out.write(json.dumps({"seed": seed, "key": key, "arms": arms}) + "\n")


if __name__ == "__main__":
    main()
