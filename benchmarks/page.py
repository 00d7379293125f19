"""The time that the page of a run takes to open, and its size.

    python benchmarks/page.py [--photographs FOLDER] [--write docs/performance.md]

1. 500 trajectories of two turns in headless Chromium: seconds from the request until the list and
   the first trajectory are shown. Target: at most 2 s.
2. With `--photographs`, a folder with `questions.json` (image, question, bbox) and its images:
   bytes of the page per trajectory, with one zoom to each true box. Target: at most 150,000.

Needs the Debian packages chromium and chromium-driver.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path

from PIL import Image as PILImage
from places import fill
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from saccade.dialects.deepeyes import DeepEyes
from saccade.env import Environment
from saccade.images.geometry import Box, PixelBudget
from saccade.images.image import Image
from saccade.policies.replay import ReplayPolicy
from saccade.rewards import RewardOptions
from saccade.rollout import rollout
from saccade.runs.folder import RunFolder
from saccade.runs.manifest import Manifest
from saccade.tools.zoom import ZoomIn
from saccade.types import Completion, TargetBox, Task, Trajectory
from saccade.view.page import write_page

MARK = "page"
VIEW = PixelBudget(max_pixels=1_000_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = table(Path(folder), options.photographs, options.repeats)
    print(text)
    if options.write:
        fill(options.write, {MARK: text})


def table(folder: Path, photographs: Path | None, repeats: int) -> str:
    seconds = opening(many(folder), repeats)
    rows = ["| what | median | low to high | unit | target |", "|---|---|---|---|---|"]
    shown = f"{statistics.median(seconds):.2f} | {min(seconds):.2f} to {max(seconds):.2f}"
    rows.append(
        f"| 500 trajectories, until the list and the first are there | {shown} | s | at most 2 |"
    )
    if photographs is not None:
        size, n = photographed(folder, photographs)
        rows.append(f"| a page of {n} photographs, one zoom each | {size / n / 1000:.0f} | | kB a "
                    "trajectory | at most 150 |")  # fmt: skip
    rows += ["", f"{repeats} runs, {time.strftime('%Y-%m-%d')}."]
    return "\n".join(rows)


def many(folder: Path) -> Path:
    image = Image.from_pixels(PILImage.effect_noise((400, 300), 80).convert("RGB"))
    pairs = []
    for number in range(500):
        task = Task(id=f"t{number}", prompt=(image, f"What is it, {number}?"), answer="A")
        pairs.append((task, looked(task, Box(number % 200, 10, number % 200 + 120, 180))))
    return write_page([kept(folder / "many", pairs)], folder / "many.html")


def photographed(folder: Path, photographs: Path) -> tuple[int, int]:
    """Bytes of the page, and how many photographs are on it."""
    pairs = []
    for row in json.loads((photographs / "questions.json").read_text()):
        photo, box = Image.open(photographs / row["image"]), Box(*row["bbox"])
        target = TargetBox(box=box)
        task = Task(id=row["id"], prompt=(photo, row["question"]), answer="A", boxes=(target,))
        shown = photo.fit(VIEW)
        scale = shown.size.width / photo.size.width
        width, height = (2 * max(40.0, v * scale) for v in (box.width, box.height))
        wanted = shown.from_source(box).resize_about_centre(width, height, shown.size)
        pairs.append((task, looked(task, wanted)))
    page = write_page([kept(folder / "photographs", pairs)], folder / "photographs.html")
    return page.stat().st_size, len(pairs)


def looked(task: Task, box: Box) -> Trajectory:
    call = {"name": "image_zoom_in_tool", "arguments": {"bbox_2d": [round(v) for v in box]}}
    texts = (
        f"<think>{'Look closer. ' * 30}</think><tool_call>{json.dumps(call)}</tool_call>",
        "<answer>A</answer>",
    )
    policy = ReplayPolicy({task.id: [Completion(text=text) for text in texts]})
    environment = Environment(DeepEyes(), [ZoomIn()], view=VIEW)
    return asyncio.run(rollout(policy, environment, task, reward=RewardOptions().make()))


def kept(out: Path, pairs: list[tuple[Task, Trajectory]]) -> Path:
    with RunFolder(out, Manifest(verb="rollout", config={}, fingerprint="benchmark")) as folder:
        for task, trajectory in pairs:
            folder.append(task, trajectory)
    return out


def opening(page: Path, repeats: int) -> list[float]:
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for switch in ("headless=new", "no-sandbox", "disable-gpu"):
        options.add_argument(f"--{switch}")
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    found = []
    for _ in range(repeats):
        driver.get("about:blank")
        started = time.perf_counter()
        driver.get(page.as_uri())
        assert driver.find_element(By.ID, "count").text.startswith("500 of 500")
        assert driver.find_elements(By.CSS_SELECTOR, ".turn")
        found.append(time.perf_counter() - started)
    driver.quit()
    return found


if __name__ == "__main__":
    main()
