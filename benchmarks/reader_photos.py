"""Reading small text in large photographs: a view only, looking again, or all of it at once.

    python benchmarks/reader_photos.py --seed 0 --n 100 [--composed-only] [--json] [--rows FILE]
        [--photographs FOLDER] [--write docs/reader.md]

`view_only` is the policy `reader` without a look, `looking_again` the same with its looks, both in
the environment that it was measured in. `full_image` is no agent: the same weights on every pixel
of the photograph, size limits lifted; `full_image_defaults` the same with the library's own limit
(long side 2000). All four decide by the same rule and read with one thread. Text questions of
`--photographs` (a folder with questions.json) are fixed in reader_questions.json.

Each row is right, wrong or abstained. Without options, right means that the first line returned
is the text, case ignored. Times leave out composing and decoding the file; memory is the peak of
the process, Python and weights included (Linux only). `--rows` keeps finished rows: run the same
command again to go on.
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
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from composed import Photograph, compose
from PIL import Image as PILImage

from saccade.config import validate, with_overrides
from saccade.image import Image
from saccade.measures import wilson
from saccade.policies.evidence import Seen, best_lines, clear_option, is_clear
from saccade.policies.reader import ENVIRONMENT, ReaderOptions, ReaderPolicy
from saccade.recipe import Recipe, make_environment
from saccade.rollout import rollout
from saccade.tools import ocr
from saccade.types import StopReason, Task

HERE = Path(__file__).parent
MARK = "reader"
LIMIT = 2000
"""Long side to which rapidocr 3.10.0 shrinks an image by default (its config.yaml)."""
SETS = ("composed", "composed_open", "twelve")
ARMS = ("view_only", "looking_again", "full_image")


class Question(NamedTuple):
    """A photograph, what is asked, and what is right."""

    id: str
    image: Image
    text: str
    choices: tuple[str, ...]
    answer: str


class Result(NamedTuple):
    """What an arm made of a question."""

    verdict: str
    zooms: int
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
    options = parser.parse_args()
    if not options.composed_only and not (options.photographs / "questions.json").exists():
        parser.error(f"no questions.json in {options.photographs}; or give --composed-only")
    rows = _kept(options.rows, options.seed)
    for key, ask in _questions(options):
        if key not in rows:
            rows[key] = {arm: result._asdict() for arm, result in _measured(ask()).items()}
            _keep(options.rows, options.seed, key, rows[key])
            print(key, {a: r["verdict"] for a, r in rows[key].items()}, file=sys.stderr)
    report = _report(rows, options)
    if options.write:
        _write(options.write, report)
    print(json.dumps(report, indent=1) if options.json else _table(report))


def _questions(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Question]]]:
    """Each question by its key; it is made when it is asked."""
    for number in range(options.n):
        yield f"composed/{number}", lambda n=number: _composed(options.seed, n, open_=False)
        yield f"composed_open/{number}", lambda n=number: _composed(options.seed, n, open_=True)
    if not options.composed_only:
        fixed = json.loads((HERE / "reader_questions.json").read_text())["questions"]
        for row in json.loads((options.photographs / "questions.json").read_text()):
            if row["id"] in fixed:
                yield f"twelve/{row['id']}", lambda r=row: _photographed(options.photographs, r)


@lru_cache(maxsize=1)
def _photograph(seed: int, number: int) -> tuple[Image, Photograph]:
    made = compose(seed, number)
    return Image.from_pixels(made.pixels), made


def _composed(seed: int, number: int, *, open_: bool) -> Question:
    image, made = _photograph(seed, number)
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
        answer = answer if question.choices else answer.rpartition(" [")[0]
    zooms = len(trajectory.successes)
    return Result(_verdict(answer, question), zooms, seconds, _peak())


def _at_once(question: Question, limit: int | None) -> Result:
    seen, seconds, megabytes = _read_at_once(question.image, limit)
    if question.choices:
        fit = clear_option([seen], question.choices)
        answer = None if fit is None else question.choices[fit.option]
    else:
        lines = best_lines([seen])
        answer = lines[0].text if lines and is_clear(lines[0]) else None
    return Result(_verdict(answer, question), 0, seconds, megabytes)


@lru_cache(maxsize=2)
def _read_at_once(image: Image, limit: int | None) -> tuple[Seen, float, float]:
    """What is read, in which time, with which memory; with and without options it is the same."""
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


def _verdict(answer: str | None, question: Question) -> str:
    if answer is None:
        return "abstained"
    return "right" if answer.casefold() == question.answer.casefold() else "wrong"


def _forget_peak() -> None:
    """Give back what earlier work left in the allocator, and begin to watch anew."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def _peak() -> float:
    """Peak resident memory since `_forget_peak`, in megabytes (2**20 bytes)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def _report(rows: dict[str, dict], options: argparse.Namespace) -> dict:
    report: dict = {
        "command": f"python benchmarks/reader_photos.py --seed {options.seed} --n {options.n}",
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
    share = {v: sum(r["verdict"] == v for r in results) for v in ("right", "abstained", "wrong")}
    low, high = wilson(share["right"], n)
    return {
        "accuracy": share["right"] / n,
        "abstained": share["abstained"] / n,
        "wrong": share["wrong"] / n,
        "zooms": statistics.median(r["zooms"] for r in results),
        "seconds": statistics.median(r["seconds"] for r in results),
        "megabytes": max(r["megabytes"] for r in results),
        "n": n,
        "low": low,
        "high": high,
    }


def _table(report: dict) -> str:
    lines = [
        "| photographs | arm | n | right [95 %] | abstained | wrong | zooms | seconds | memory |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in SETS:
        for arm in (*ARMS, "full_image_defaults") if name in report else ():
            s = report["full_image_defaults"][name] if arm not in ARMS else report[name][arm]
            lines.append(
                f"| {name} | {arm} | {s['n']} | {s['accuracy']:.2f} [{s['low']:.2f}, "
                f"{s['high']:.2f}] | {s['abstained']:.2f} | {s['wrong']:.2f} | {s['zooms']:g} | "
                f"{s['seconds']:.1f} | {s['megabytes']:.0f} MB |"
            )
    return "\n".join([*lines, "", f"`{report['command']}`, one thread."])


def _write(page: Path, report: dict) -> None:
    page.with_name("reader.json").write_text(json.dumps(report, indent=1) + "\n")
    before, _, rest = page.read_text().partition(f"<!-- {MARK} -->")
    after = rest.partition(f"<!-- /{MARK} -->")[2]
    page.write_text(f"{before}<!-- {MARK} -->\n{_table(report)}\n<!-- /{MARK} -->{after}")


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
