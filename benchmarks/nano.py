"""How fast the embedded models train and run.

    python benchmarks/nano.py [--json FILE] [--write docs/performance.md]

On one and on two threads, the median of `--repeats`, with the smallest and the largest: seconds for
a step of each training stage, for an evaluation of 64 tasks (free, greedy), and tokens that it
writes a second.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from places import fill

from saccade.embedded import LOOKS, folder_of
from saccade.measures.summary import response_tokens
from saccade.nano.deepeyes.corpus import Corpus
from saccade.nano.deepeyes.language_stage import LanguageStage
from saccade.nano.deepeyes.pool import Pool, draw_pool
from saccade.nano.deepeyes.vision_stage import VisionStage
from saccade.nano.evaluate import evaluate, questions
from saccade.nano.model import build, renderer_of
from saccade.policies.hf import HFOptions, HFPolicy

MARK = "nano"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--threads", type=int, help="measure in this process and print JSON")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
        print(json.dumps(measure(options.repeats)))
        return
    # Each number of threads has a process of its own: a pool of threads is never made smaller.
    found = {}
    for threads in (1, 2):
        command = [sys.executable, __file__, "--threads", str(threads)]
        command += ["--repeats", str(options.repeats)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found[threads] = json.loads(done.stdout)
    text = table(found, options.repeats)
    print(text)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    if options.write:
        fill(options.write, {MARK: text})


def measure(repeats: int) -> dict[str, list[float]]:
    """What -> one figure for each repeat."""
    pool = draw_pool(300, seed=0, split="train", processes=1)
    return {
        "a step of the vision stage (40 views, 100 crops)": timed(vision_step(pool), repeats),
        "a step of the language stage (32 examples)": timed(language_step(pool), repeats),
        **evaluation(repeats),
    }


def timed(action: Callable[[], object], repeats: int) -> list[float]:
    action()
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        action()
        found.append(time.perf_counter() - started)
    return found


def vision_step(pool: Pool) -> Callable[[], object]:
    model, _ = build(0)
    stage, rng = VisionStage(model.model.visual, pool, pool), np.random.default_rng(0)
    return lambda: stage.loss(rng)


def language_step(pool: Pool) -> Callable[[], object]:
    model, tokenizer = build(0)
    corpus, rng = Corpus(pool), np.random.default_rng(0)
    stage = LanguageStage(model, renderer_of(tokenizer), corpus, measure=dict)
    return lambda: stage.loss(rng)


def evaluation(repeats: int) -> dict[str, list[float]]:
    policy = HFPolicy(HFOptions(path=str(folder_of(LOOKS))))
    asked = [t for f in ("read", "easy") for t in questions(f, n=32, seed=0, split="dev")]
    evaluate(policy, asked, "agent")
    seconds, speed = [], []
    for _ in range(repeats):
        started = time.perf_counter()
        pairs = evaluate(policy, asked, "agent")
        seconds.append(time.perf_counter() - started)
        speed.append(sum(response_tokens(t) or 0 for _, t in pairs) / seconds[-1])
    return {"an evaluation of 64 tasks": seconds, "tokens a second in it": speed}


def table(found: dict[int, dict[str, list[float]]], repeats: int) -> str:
    rows = ["| what | 1 thread | 2 threads | unit |", "|---|---|---|---|"]
    for what in found[1]:
        unit = "tokens/s" if what.startswith("tokens") else "s"
        cells = [
            f"{statistics.median(v):{f}} [{min(v):{f}}, {max(v):{f}}]"
            for v in (found[1][what], found[2][what])
            for f in [".0f" if unit == "tokens/s" else ".3f"]
        ]
        rows.append(f"| {what} | " + " | ".join(cells) + f" | {unit} |")
    when = time.strftime("%Y-%m-%d")
    rows += ["", f"{repeats} runs on {platform.machine()}, torch {torch.__version__}, {when}; "
             "median [least, most]."]  # fmt: skip
    return "\n".join(rows)


if __name__ == "__main__":
    main()
