"""Runs of a benchmark that tests make: real episodes of V*Bench in its own files.

    bench_run(tmp_path / "run", {"sa_1": ["right"], "sa_2": ["none"]})

names what each sample of each item does: see `PLAYS`. Format of the files: penghao-wu/vstar,
vstar_bench_eval.py (commit of 2024-02).
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from building import zoom_text
from PIL import Image as PILImage

from saccade.bench.benchmark import Scored
from saccade.bench.recipe import BenchRecipe
from saccade.bench.scoring import BenchReward
from saccade.bench.sets.highres.vstar import VStar
from saccade.bench.source import BenchTasks
from saccade.errors import ServiceError
from saccade.recipe import make_environment
from saccade.runs.assemble import Assembly
from saccade.runs.execute import jobs_of, play
from saccade.types import Completion, ModelInfo, Sampling, Task, Trajectory, Verdict

OPTIONS = ["It is blue.", "It is red.", "It is white."]
BOX = (10, 20, 40, 60)
"""Of the thing that is asked for; the photograph has 120x80 pixels."""
PLAYS = {
    "right": "{right}", "wrong": "{wrong}", "other": "{other}",
    "unread": "<answer>Something in between, perhaps.</answer>",
    "judged": "<answer>The sky's colour.</answer>",
    "none": "I do not know.",
    "cut": "<think>It goes on and on",
    "look": "{look}|{right}", "miss": "{miss}|{wrong}", "turns": "{look}|{look}|{look}",
    "bad": "{bad}|{right}", "bad wrong": "{bad}|{wrong}",
}  # fmt: skip
"""What the turns of an episode are, `|` between them; `abort` is a server that fails."""


class Letters(VStar):
    """V*Bench with a scorer that takes the first capital letter, whatever it stands in."""

    name: ClassVar[str] = "letters"

    def compat(self, task: Task, reply: str) -> float | None:
        found = next((c for c in reply if c in "ABC"), None)
        return None if found is None else float((task.answer or "").startswith(found))


class Abilities(VStar):
    """V*Bench in groups that overlap: everything searches, and relations are reasoned about."""

    name: ClassVar[str] = "abilities"

    def grouped(self, scored: Sequence[Scored]) -> Mapping[str, list[tuple[str, float]]]:
        pairs = [(one.task, (one.task.id, one.value)) for one in scored if one.value is not None]
        relations = [pair for task, pair in pairs if task.family == "relative_position"]
        every = [pair for _, pair in pairs]
        return {"all": every, "search": every, "reason": relations}


class Lenient:
    """A judge that decides one answer, and is called like a model."""

    name = "llm:judge-7b:0badcafe"

    async def judge(self, task: Task, answer: str) -> Verdict:
        known = "sky" in answer
        return Verdict(correct=known or None, judge=self.name, raw="CORRECT" if known else "?")

    async def close(self) -> None:
        pass


class Player:
    """Writes the turns of each sample, and tells tokens as a server does."""

    info = ModelInfo(name="player")

    def __init__(self, plays: Mapping[str, Sequence[str]], tasks: Sequence[Task]) -> None:
        self._plays = plays
        self._tasks = {task.id: task for task in tasks}

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        play = self._plays[trajectory.task_id][trajectory.sample]
        if play == "abort":
            raise ServiceError("the server is down")
        text = PLAYS[play].split("|")[len(trajectory.turns)]
        return Completion(
            text=text.format(**_texts(self._tasks[trajectory.task_id])),
            finish="length" if play == "cut" else "stop",
            model="player-7b", prompt_tokens=100, completion_tokens=10,
        )  # fmt: skip

    def count_tokens(self, trajectory: Trajectory) -> int | None:
        return None

    async def close(self) -> None:
        pass


def _texts(task: Task) -> dict[str, str]:
    right = (task.answer or "")[0]
    wrong, other = (letter for letter in "ABC" if letter != right)
    return {
        "right": f"<answer>{right}</answer>", "wrong": f"<answer>{wrong}</answer>",
        "other": f"<answer>{other}</answer>", "look": zoom_text(*BOX),
        "miss": zoom_text(80, 20, 110, 60), "bad": zoom_text(40, 10, 40, 90),
    }  # fmt: skip


def vstar_files(folder: Path, items: Mapping[str, str]) -> Path:
    """The data set with these items: name -> type of question."""
    for name, kind in items.items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        PILImage.new("RGB", (120, 80), "white").save(folder / kind / f"{name}.jpg")
        row = {
            "target_object": ["glove"],
            "bbox": [[10, 20, 30, 40]],
            "question": f"What is the colour of the glove {name}?",
            "options": OPTIONS,
        }
        (folder / kind / f"{name}.json").write_text(json.dumps(row))
    return folder


def bench_run(
    out: Path, plays: Mapping[str, Sequence[str]], *, kind: str = "vstar", **fields: object
) -> Path:
    """A run in which each sample of each item does what it is told; a name with `r` is relative."""
    types = {n: "relative_position" if n[0] == "r" else "direct_attributes" for n in plays}
    data = vstar_files(out.with_name(out.name + "-data"), types)
    usual: dict[str, object] = {
        "bench": {"kind": kind}, "data": str(data), "samples": max(map(len, plays.values())),
        "policy": {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "player-7b",
                   "price_in": 2.0, "price_out": 10.0},
        "environment": {"limits": {"max_turns": 3}},
        "tools": {"zoom_in": {"min_side": 8}}, "max_aborts": 10**6, "canary": False,
        "reward": {"preset": "benchmark", "judge": ["exact", "benching:Lenient"]},
    }  # fmt: skip
    recipe = BenchRecipe.model_validate({**usual, **fields})
    assert recipe.tasks is not None
    source = BenchTasks.model_validate(recipe.tasks.options)
    tasks = [*source.tasks(seed=recipe.seed, max_pixels=10**8)]
    names = {task.id: plays[task.id.rsplit("-", 1)[1].partition("+")[0]] for task in tasks}
    reward = BenchReward(source.made, recipe.reward)
    assembly = Assembly(Player(names, tasks), make_environment(recipe), reward)
    jobs = (job for job in jobs_of(recipe, tasks) if job.sample < len(names[job.task.id]))
    asyncio.run(play("bench", recipe, assembly, jobs, out, on_finish=lambda task, done: None))
    return out
