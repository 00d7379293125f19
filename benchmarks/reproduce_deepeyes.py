"""The claims of DeepEyes on the embedded world: every arm and seed of the protocol, resumable.

    python benchmarks/reproduce_deepeyes.py [--jobs 2] [--base FOLDER] [--only ARM ...]

reproduce_deepeyes.toml is the protocol. A run trains (`saccade rl` with the settings of its arm),
measures on the final scenes, and leaves `ARM-SEED.json` in `--out`; a run that is there is not done
again. `--base` is a finished folder of `saccade nano train-base`; without it one is trained first.
Then `python benchmarks/reproduce_report.py` writes the tables.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from arms import cell_of, left_of, run_all, steps_of, train_rl, write_result

HERE = Path(__file__).parent
RECIPE = "recipes/nano_deepeyes.toml"
WORK = Path("runs/reproduce")
KEPT = (
    "step", "reward", "accuracy", "tool_calls", "tool_calls_ok", "tool_call_rate",
    "response_tokens", "mean_iou", "thought_iou", "entropy", "kl", "aborted",
    "groups/zero_variance", "groups/unscored",
    "families/read/accuracy", "families/easy/accuracy", "families/read/tool_call_rate",
    "families/easy/tool_call_rate", "step_time",
)  # fmt: skip
CONTROLS = ("agent", "direct", "own_box", "wrong_box", "true_box")
GREEDY = {
    "controls": {
        "read": CONTROLS, "far": CONTROLS, "read0": ("agent",), "read1": ("agent",),
        "easy": ("agent", "direct", "own_box"),
    },
    "selectivity": dict.fromkeys(("read", "read0", "read1", "easy"), ("agent",)),
    "plain": {"read": ("agent",), "easy": ("agent",)},
}  # fmt: skip
"""What is measured greedily: family -> arms of `saccade.nano.evaluate`."""
WITH_CONTROLS = ("base", "deepeyes", "far")
PAIRED = (("far", "own_box"), ("read", "own_box"))
"""Cells of which every question is kept, for tests in pairs against the base."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--out", type=Path, default=Path("results/deepeyes"))
    parser.add_argument("--base", type=Path)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="arms")
    parser.add_argument("--one", nargs=2, metavar=("ARM", "SEED"), help="in this process")
    options = parser.parse_args()
    protocol = tomllib.loads((HERE / "reproduce_deepeyes.toml").read_text())
    options.out.mkdir(parents=True, exist_ok=True)
    if options.one:
        one(protocol, options.one[0], int(options.one[1]), options.out)
        return
    left = left_of(jobs(protocol, options.only or list(protocol["arms"])), options.out)
    bases(protocol, {arm.removeprefix("base-") for arm, _ in left}, options.base)
    curate(protocol, {protocol["arms"].get(arm, {}).get("curated") for arm, _ in left}, options.out)
    run_all(__file__, left, options.out, WORK / "logs", parallel=options.jobs)


def jobs(protocol: dict[str, Any], arms: list[str]) -> Iterator[tuple[str, int]]:
    """Their bases first, then the first seed of every arm, the second, ..."""
    chosen = {name: protocol["arms"][name] for name in arms}
    yield "base", 0
    for base in sorted({arm["base"] for arm in chosen.values() if "base" in arm}):
        yield f"base-{base}", 0
    for seed in range(max(arm["seeds"] for arm in chosen.values())):
        for name, arm in chosen.items():
            if seed < arm["seeds"]:
                yield name, seed


def bases(protocol: dict[str, Any], needed: set[str], start: Path | None) -> None:
    """Train those bases of the protocol that are needed and not there yet."""
    command = [sys.executable, "-m", "saccade", "nano", "train-base", "--out"]
    for name in sorted(needed & set(protocol["bases"])):
        folder, base = WORK / f"base-{name}", protocol["bases"][name]
        if (folder / "nano-base").exists():
            continue
        settings = [*base["settings"], "seed=0"]
        if not base.get("fresh"):
            if start is None:
                start = WORK / "base"
                subprocess.run([*command, str(start), "seed=0"], check=True)
            settings.append(f"start={start}")
        subprocess.run([*command, str(folder), *settings], check=True)


def curate(protocol: dict[str, Any], needed: set[str | None], out: Path) -> None:
    """Choose the questions of the arms that train on chosen ones; the counts go to `--out`."""
    for name in sorted(needed & set(protocol["curated"])):
        settings = [f"out={WORK / name}", *protocol["curated"][name]["settings"]]
        command = [sys.executable, "-m", "saccade", "curate", "recipes/nano_curate.toml"]
        subprocess.run([*command, *settings], check=True)
        counts = json.loads((WORK / name / "summary.json").read_text())
        record = {"command": shlex.join(["saccade", *command[3:], *settings]), **counts}
        (out / "curated").mkdir(exist_ok=True)
        (out / "curated" / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")


def one(protocol: dict[str, Any], arm: str, seed: int, out: Path) -> None:
    """Train and measure."""
    from saccade.embedded import resolve

    made: dict[str, Any] = {"arm": arm, "seed": seed}
    if arm == "base":
        model = Path(resolve("nano-base"))
    elif arm.startswith("base-"):
        model = WORK / arm / "nano-base"
    else:
        model = train(protocol["arms"][arm], arm, seed, made)
    selective = protocol["arms"].get(arm, {}).get("group") == "selectivity"
    measure(protocol["final"], model, made, selective=selective)
    write_result(made, out)


def train(arm: dict[str, Any], name: str, seed: int, made: dict[str, Any]) -> Path:
    """Train an arm; note its command, its cost and some of its steps."""
    base = str(WORK / f"base-{arm['base']}" / "nano-base") if "base" in arm else "nano-base"
    out = WORK / f"{name}-{seed}"
    settings = [f"model={base}", f"seed={seed}", "train.keep_every=0", *arm.get("settings", [])]
    model = train_rl(RECIPE, [*settings, f"out={out}"], made)
    made["steps"] = steps_of(out, KEPT)
    return model


def measure(final: dict[str, Any], model: Path, made: dict[str, Any], *, selective: bool) -> None:
    from saccade.measures.boxes import looks
    from saccade.models.threads import use_threads
    from saccade.nano.evaluate import evaluate, questions
    from saccade.policies.hf import HFOptions, HFPolicy

    use_threads(1)
    policy = HFPolicy(HFOptions(path=str(model)))

    scenes = {"n": final["n"], "seed": final["seed"], "split": final["split"]}
    made |= {"final": final, "greedy": {}, "sampled": {}, "paired": {}}
    made["parameters"] = policy.loaded.model.num_parameters()
    controls = made["arm"] in WITH_CONTROLS or made["arm"].startswith("base-")
    kind = "controls" if controls else "plain"
    for family, arms in GREEDY["selectivity" if selective else kind].items():
        asked = questions(family, **scenes)
        made["greedy"][family] = {}
        for way in arms:
            pairs = evaluate(policy, asked, way, seed=final["seed"])
            made["greedy"][family][way] = cell_of(pairs)
            if (family, way) in PAIRED:
                best = [max((look.iou for look in looks(*p)), default=0.0) for p in pairs]
                right = [bool(t.verdict and t.verdict.correct) for _, t in pairs]
                made["paired"][f"{family}/{way}"] = {
                    "right": "".join(str(int(r)) for r in right),
                    "iou": [round(value, 3) for value in best],
                }
    for family in ("read", "easy"):
        asked = questions(family, **scenes)
        pairs = evaluate(
            policy, asked, "agent", seed=final["seed"], temperature=1.0,
            samples=final["samples"],
        )  # fmt: skip
        made["sampled"][family] = cell_of(pairs)


if __name__ == "__main__":
    main()
