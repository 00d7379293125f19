"""The overhead of the agent loop beyond the work of its model and tools.

    python benchmarks/rollout_overhead.py [--json FILE] [--write docs/performance.md]

1. 64 concurrent three-turn episodes with `replay` and a run folder: milliseconds per episode, with
   the tool's own work counted apart. Target: at most 5 ms.
2. The same with one 12-megapixel photograph per episode; reading and hashing the file, and decoding
   it with one resize, are counted apart.
3. A tiny local model on the CPU, 16 episodes of three turns: the loop against one plain `generate`
   per turn on the same prompts, with equally many tokens. Target: at most 1.15 times.

Each figure is the median of `--repeats` runs with one thread, with the smallest and the largest
beside it; the two sides of a comparison take turns within one run.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import logging
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from places import fill

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from PIL import Image as PILImage
from pydantic import JsonValue

from saccade.dialects.deepeyes import DeepEyes
from saccade.env import Environment
from saccade.images.geometry import PixelBudget
from saccade.images.image import Image
from saccade.policies.replay import ReplayPolicy
from saccade.rewards import RewardOptions
from saccade.rollout import Job, rollout_many
from saccade.runs.folder import RunFolder
from saccade.runs.manifest import Manifest
from saccade.tools.zoom import ZoomIn
from saccade.types import (
    Completion,
    Limits,
    Sampling,
    Task,
    ToolContext,
    ToolOutput,
    Trajectory,
)
from saccade.world import tasks

EPISODES = 64
ROWS = 16
NEW_TOKENS = 32


def call(box: list[int]) -> str:
    arguments = {"name": "image_zoom_in_tool", "arguments": {"bbox_2d": box}}
    return f"<think>Look closer.</think><tool_call>{json.dumps(arguments)}</tool_call>"


SCRIPT = (
    call([40, 40, 200, 200]),
    call([80, 60, 140, 120]),
    "<think>So.</think><answer>7</answer>",
)


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def milliseconds(work: Callable[[], object], n: int) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000 / n


class Timed(ZoomIn):
    """The zoom tool with a clock around its own work."""

    async def call(self, arguments: dict[str, JsonValue], context: ToolContext) -> ToolOutput:
        started = time.perf_counter()
        try:
            return await super().call(arguments, context)
        finally:
            CLOCK[0] += time.perf_counter() - started


CLOCK = [0.0]


def loop_and_store(questions: list[Task]) -> tuple[float, float]:
    """Milliseconds per episode of the loop with scoring and run folder, and of the tool's work."""
    policy = ReplayPolicy({task.id: SCRIPT for task in questions})
    environment = Environment(DeepEyes(), [Timed()], view=PixelBudget(max_pixels=10**6))
    reward = RewardOptions().make()

    async def run(folder: RunFolder) -> None:
        await rollout_many(
            policy, environment, [Job(task) for task in questions], concurrency=EPISODES,
            on_finish=folder.append, reward=reward,
        )  # fmt: skip

    CLOCK[0] = 0.0
    with tempfile.TemporaryDirectory() as place:
        started = time.perf_counter()
        with RunFolder(
            Path(place) / "run", Manifest(verb="rollout", config={}, fingerprint="")
        ) as folder:
            asyncio.run(run(folder))
        total = time.perf_counter() - started
        assert len(folder.done) == len(questions)
    return (total - CLOCK[0]) * 1000 / len(questions), CLOCK[0] * 1000 / len(questions)


def photographs(place: Path) -> list[Path]:
    """12-megapixel JPEG files with the detail of a photograph: blurred noise."""
    files = []
    for number in range(EPISODES):
        rng = np.random.default_rng(number)
        coarse = rng.integers(0, 256, (375, 500, 3), dtype=np.uint8)
        picture = PILImage.fromarray(coarse).resize((4000, 3000), PILImage.Resampling.BICUBIC)
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=90)
        files.append(place / f"{number}.jpg")
        files[-1].write_bytes(buffer.getvalue())
    return files


def measure_loop(repeats: int) -> dict[str, dict[str, float]]:
    scenes = list(tasks("read", n=EPISODES, seed=0))
    loop_and_store(scenes)
    runs = [loop_and_store(scenes) for _ in range(repeats)]
    found = {"scene_loop": spread([r[0] for r in runs]), "scene_tool": spread([r[1] for r in runs])}
    with tempfile.TemporaryDirectory() as place:
        files = photographs(Path(place))
        opened: list[float] = []
        looped: list[float] = []
        decoded: list[float] = []
        for _ in range(repeats):
            images: list[Image] = []
            opened.append(
                milliseconds(lambda: images.extend(map(Image.open, files)), EPISODES)  # noqa: B023
            )
            photos = [
                Task(id=f"p{i}", prompt=(image, "What?"), answer="7")
                for i, image in enumerate(images)
            ]
            looped.append(loop_and_store(photos)[0])
            view = PixelBudget(max_pixels=10**6)
            few = images[:8]
            decoded.append(milliseconds(lambda: [i.fit(view).pixels() for i in few], len(few)))  # noqa: B023
        size = statistics.mean(f.stat().st_size for f in files) / 1e6
    found |= {
        "photo_loop": spread(looped),
        "photo_open": spread(opened),
        "photo_decode": spread(decoded),
        "photo_megabytes": spread([size]),
    }
    return found


def measure_model(repeats: int) -> dict[str, dict[str, float]]:
    """The loop of `hf` against plain `generate` on the prompts that the loop ended up with."""
    import torch
    from transformers import GenerationConfig

    from saccade.models.batch import collate
    from saccade.models.load import LoadedModel
    from saccade.policies.hf import HFOptions, HFPolicy
    from saccade.render.qwen_vl import QwenVLRenderer, load_renderer

    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    import tiny

    torch.set_num_threads(1)
    torch.manual_seed(0)

    class Looking(HFPolicy):
        """Samples tokens, but reads a script in them: a random model calls no tools."""

        async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
            own = await super().act(trajectory, sampling)
            text = SCRIPT[len(trajectory.turns)]
            return own.model_copy(update={"text": text, "finish": "stop"})

    def forgetful(policy: HFPolicy) -> QwenVLRenderer:
        """A new renderer without the end of a turn, so that both sides sample equal tokens."""
        fresh = load_renderer(policy.loaded.path)
        fresh.suppressed = (*fresh.suppressed, fresh.end_of_turn)
        policy.loaded = LoadedModel(policy.loaded.model, fresh, policy.loaded.path)
        return fresh

    with tempfile.TemporaryDirectory() as place:
        tokenizer = tiny.build_tokenizer()
        path = tiny.save(tiny.build_qwen2_5_vl(tokenizer), tokenizer, Path(place) / "m", 14)
        policy = Looking(HFOptions(path=str(path)))
        renderer = forgetful(policy)
        view = PixelBudget(max_pixels=224 * 224)
        limits = Limits(max_turns=3, max_turn_tokens=NEW_TOKENS)
        environment = Environment(DeepEyes(), [ZoomIn()], view=view, limits=limits)
        scenes = list(tasks("read", n=ROWS, seed=0))
        plain = GenerationConfig(
            do_sample=True, max_new_tokens=NEW_TOKENS, pad_token_id=renderer.pad,
            eos_token_id=renderer.end_of_turn, suppress_tokens=list(renderer.suppressed),
        )  # fmt: skip

        def loop() -> list[Trajectory]:
            done: list[Trajectory] = []
            work = rollout_many(
                policy, environment, [Job(scene) for scene in scenes], concurrency=ROWS,
                on_finish=lambda task, t: done.append(t), sampling=Sampling(temperature=1.0),
            )  # fmt: skip
            asyncio.run(work)
            return done

        def prompts(done: list[Trajectory], turns: int) -> dict[str, torch.Tensor]:
            cut = [t.model_copy(update={"turns": t.turns[:turns]}) for t in done]
            rendered = [renderer.render(t, generation=True) for t in cut]
            inputs = collate(policy.loaded, rendered, side="left").inputs()
            del inputs["position_ids"]
            return inputs

        done = loop()
        assert all(len(t.turns) == 3 for t in done)
        batches = [prompts(done, turns) for turns in range(3)]

        @torch.inference_mode()
        def generate() -> None:
            for inputs in batches:
                policy.loaded.model.generate(**inputs, generation_config=plain)

        generate()
        ours, theirs = [], []
        for _ in range(repeats):
            renderer = forgetful(policy)  # no patches left over from the run before
            ours.append(milliseconds(loop, ROWS))
            theirs.append(milliseconds(generate, ROWS))
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {
        "model_loop": spread(ours),
        "model_generate": spread(theirs),
        "model_ratio": spread(ratios),
    }


ROWS_OF_TABLE = {
    "scene_loop": ("loop, scoring and run folder, 672 px scenes", "ms an episode", "at most 5"),
    "scene_tool": ("the zoom tool's own work in it, counted apart", "ms an episode", ""),
    "photo_loop": ("the same with a 12-megapixel JPEG an episode", "ms an episode", ""),
    "photo_open": ("reading and hashing that file", "ms an episode", ""),
    "photo_decode": ("decoding it and one resize to a 1-megapixel view", "ms an episode", ""),
    "model_loop": ("three turns of a tiny Qwen2.5-VL, 16 episodes in a batch", "ms an episode", ""),
    "model_generate": ("one plain `generate` a turn on the same prompts", "ms an episode", ""),
    "model_ratio": ("the loop over plain `generate`, run by run", "ratio", "at most 1.15"),
}


def table(found: dict[str, dict[str, float]]) -> str:
    lines = ["| what | median | low to high | unit | target |", "|---|---|---|---|---|"]
    for key, (what, unit, target) in ROWS_OF_TABLE.items():
        f = found[key]
        low, high = f"{f['low']:.2f}", f"{f['high']:.2f}"
        lines.append(f"| {what} | {f['median']:.2f} | {low} to {high} | {unit} | {target} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    found = measure_model(options.repeats) | measure_loop(options.repeats)
    machine = f"{platform.machine()}, Python {platform.python_version()}, 1 thread"
    text = f"{table(found)}\n\n{options.repeats} runs on {machine}, {time.strftime('%Y-%m-%d')}."
    sys.stdout.write(text + "\n")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    if options.write:
        fill(options.write, {"rollout_overhead": text})


if __name__ == "__main__":
    main()
