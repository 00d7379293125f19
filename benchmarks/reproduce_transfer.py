"""What the models of the protocol do that they were not trained for.

    python benchmarks/reproduce_transfer.py [--only MODEL ...] [--n 400 --seed 2000]

Greedy, on the final scenes: questions of other families, the same questions under a prompt without
tools, and scenes that are turned, with and without a tool that turns them back. Needs the models
that `reproduce_deepeyes.py` left; leaves `transfer/MODEL.json` in `--out`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tomllib
from pathlib import Path

from saccade.dialects.deepeyes import DeepEyes
from saccade.embedded import resolve
from saccade.env import Environment
from saccade.measures.summary import Pair, summary
from saccade.models.threads import use_threads
from saccade.nano.spec import LIMITS, OBSERVATION, VIEW, ZOOM
from saccade.policies.hf import HFOptions, HFPolicy
from saccade.rewards import RewardOptions
from saccade.rollout import Job, rollout_many
from saccade.tools.zoom import Rotate
from saccade.types import Task, Trajectory
from saccade.world import tasks

HERE = Path(__file__).parent
WORK = Path("runs/reproduce")
TOOLS = {"none": (), "zoom": (ZOOM,), "zoom, rotate": (ZOOM, Rotate())}
ASKED = {
    "none": ("read", "easy"),
    "zoom": ("read", "easy", "relation", "colour", "turned"),
    "zoom, rotate": ("read", "turned"),
}
"""Tools in the prompt -> families of questions."""


def main() -> None:
    protocol = tomllib.loads((HERE / "reproduce_deepeyes.toml").read_text())
    final = protocol["final"]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--out", type=Path, default=Path("results/deepeyes"))
    parser.add_argument("--only", nargs="*", default=protocol["transfer"]["models"])
    parser.add_argument("--n", type=int, default=final["n"])
    parser.add_argument("--seed", type=int, default=final["seed"])
    options = parser.parse_args()
    folder = options.out / "transfer"
    folder.mkdir(parents=True, exist_ok=True)
    use_threads(1)
    for name in options.only:
        path = resolve("nano-base") if name == "base-0" else WORK / name / "model"
        policy = HFPolicy(HFOptions(path=str(path)))
        found = {
            tools: {
                family: measured(policy, tools, family, options.n, options.seed, final["split"])
                for family in families
            }
            for tools, families in ASKED.items()
        }
        record = {
            "model": name, "n": options.n, "seed": options.seed, "split": final["split"],
            "command": f"python benchmarks/reproduce_transfer.py --only {name} --n {options.n} "
            f"--seed {options.seed}",
            "found": found,
        }  # fmt: skip
        (folder / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
        print(name, flush=True)


def measured(
    policy: HFPolicy, tools: str, family: str, n: int, seed: int, split: str
) -> dict[str, object]:
    """Greedy attempts at the questions of a family."""
    pairs: list[Pair] = []

    def keep(task: Task, trajectory: Trajectory) -> None:
        pairs.append((task, trajectory))

    asyncio.run(
        rollout_many(
            policy,
            Environment(
                DeepEyes(), TOOLS[tools], limits=LIMITS, view=VIEW, observation=OBSERVATION
            ),
            [Job(task) for task in tasks(family, n=n, seed=seed, split=split)],
            on_finish=keep,
            seed=seed,
            reward=RewardOptions().make(),
        )
    )
    whole = summary(pairs).model_dump(mode="json")
    turns = sum(any(r.call.name == Rotate().spec.name for r in t.results) for _, t in pairs)
    kept = (
        "scored",
        "correct",
        "accuracy",
        "low",
        "high",
        "tool_call_rate",
        "tool_calls",
        "mean_iou",
        "patterns",
    )
    return {key: whole[key] for key in kept} | {"rotated": turns}


if __name__ == "__main__":
    main()
