"""The claims of DeepEyesV2 on the embedded world: every arm and seed of the protocol, resumable.

    python benchmarks/reproduce_deepeyes_v2.py [--jobs 2] [--base FOLDER] [--only ARM ...]

reproduce_deepeyes_v2.toml is the protocol. A run trains (`saccade sft` or `saccade rl` with the
settings of its arm), measures on the final scenes, and leaves `ARM-SEED.json` in `--out`; a run
that is there is not done again. `--base` is a finished folder of `saccade nano train-base --system
deepeyes_v2`, that of the shipped base; without it one is trained first. Then
`python benchmarks/reproduce_v2_report.py` writes the tables.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

from arms import (
    Job,
    Made,
    cell_of,
    left_of,
    run_all,
    steps_of,
    timed,
    train_rl,
    write_result,
)

HERE = Path(__file__).parent
WORK = Path("runs/reproduce-v2")
SHIPPED = {"base": "nano-base-v2", "sft": "nano-sft-v2", "agent": "nano-agent"}
"""Arm -> the model of the package that is measured."""
BASE = SHIPPED["base"]
RL, SFT, DEMOS = (f"recipes/nano_{name}_v2.toml" for name in ("rl", "sft", "demos"))
FAMILIES = ("read", "far", "easy", "compute", "compute_far", "sum", "lookup", "all")
ASKED = {
    "compute": ("compute", "lookup", "sum", "easy"),
    "direct": ("compute", "lookup", "all", "sum", "easy"),
}
"""Group of arms -> families that are measured; of others all are."""
SAMPLED = ("compute", "lookup")
CONTROLS = ("sft", "agent", "cold-strong", "honest", "lying", "failing")
"""Arms that are measured with tools that lie, stay silent and fail, too."""
KEPT = (
    "step", "reward", "accuracy", "tool_calls", "tool_calls_std", "tool_calls_ok",
    "tool_call_rate", "response_tokens", "entropy", "aborted", "groups/zero_variance", "step_time",
    *(f"families/{f}/{name}" for f in FAMILIES for name in ("accuracy", "tool_call_rate")),
)  # fmt: skip
RATES = ("executed", "useful", "answers", "used", "vacuous", "crashing", "unique", "repaired")
"""What became of code, fields of `saccade.measures.code_calls.CodeCalls`."""

Protocol = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--out", type=Path, default=Path("results/deepeyes_v2"))
    parser.add_argument("--base", type=Path, default=WORK / "base")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="arms; their bases and cold starts come first")
    parser.add_argument("--one", nargs=2, metavar=("ARM", "SEED"), help="in this process")
    options = parser.parse_args()
    protocol = tomllib.loads((HERE / "reproduce_deepeyes_v2.toml").read_text())
    options.out.mkdir(parents=True, exist_ok=True)
    if options.one:
        one(protocol, options.one[0], int(options.one[1]), options.out)
        return
    chosen = {name: protocol["arms"][name] for name in options.only or protocol["arms"]}
    stages = stages_of(protocol, chosen)
    make_bases(protocol, [arm for arm, _ in left_of(stages[0], options.out)], options.base)
    make_demonstrations(protocol, [arm for arm, _ in left_of(stages[1], options.out)])
    for jobs in stages:
        left = left_of(jobs, options.out)
        run_all(__file__, left, options.out, WORK / "logs", parallel=options.jobs)


def stages_of(protocol: Protocol, arms: Protocol) -> tuple[list[Job], list[Job], list[Job]]:
    """Bases, the cold starts that are made from them, and what starts from either.

    The first seed of every arm comes first, then the second, ...
    """
    bases = [*SHIPPED, *(f"base-{arm['base']}" for arm in arms.values() if "base" in arm)]
    started = {arm.get("cold") for arm in arms.values()}
    colds = {
        f"cold-{name}": cold["seeds"]
        for name, cold in protocol["cold"].items()
        if name in started or arms == protocol["arms"]
    }
    return (
        [(name, 0) for name in dict.fromkeys(bases)],
        in_turn(colds.items()),
        in_turn((name, arm["seeds"]) for name, arm in arms.items()),
    )


def in_turn(arms: Iterable[tuple[str, int]]) -> list[Job]:
    """Each arm with its seeds, seed by seed."""
    counts = dict(arms)
    most = max(counts.values(), default=0)
    return [(name, seed) for seed in range(most) for name, n in counts.items() if seed < n]


def make_bases(protocol: Protocol, needed: Iterable[str], start: Path) -> None:
    """Train those bases that are needed and not there yet."""
    command = [sys.executable, "-m", "saccade", "nano", "train-base", "--system", "deepeyes_v2"]
    command += ["--threads", "1", "--out"]
    for name in needed:
        folder = WORK / name
        if name in SHIPPED or (folder / BASE).exists():
            continue
        if not (start / BASE).exists():
            subprocess.run([*command, str(start)], check=True)
        base = protocol["bases"][name.removeprefix("base-")]
        settings = [*base["settings"], f"start={start}"]
        if base.get("language"):
            settings.append("taken=vision")
        subprocess.run([*command, str(folder), *settings], check=True)


def make_demonstrations(protocol: Protocol, needed: Iterable[str]) -> None:
    """Make the demonstrations of the cold starts; what is finished is left as it is."""
    command = [sys.executable, "-m", "saccade", "demos", DEMOS]
    colds = {protocol["cold"][name.removeprefix("cold-")]["demos"] for name in needed}
    for name in sorted(colds):
        settings = [f"out={WORK / f'demos-{name}'}", *protocol["demos"][name]["settings"]]
        subprocess.run([*command, *settings], check=True)


def one(protocol: Protocol, arm: str, seed: int, out: Path) -> None:
    """Train and measure."""
    from saccade.embedded import resolve

    made: Made = {"arm": arm, "seed": seed}
    group = protocol["arms"].get(arm, {}).get("group")
    if arm in SHIPPED:
        model = Path(resolve(SHIPPED[arm]))
    elif arm.startswith("base-"):
        model = WORK / arm / BASE
    elif arm.startswith("cold-"):
        model = cold_start(protocol["cold"][arm.removeprefix("cold-")], arm, seed, made)
    else:
        model = train(protocol, arm, seed, made)
    families = ASKED.get(group, FAMILIES)
    measure(protocol, model, made, families)
    write_result(made, out)


def cold_start(cold: dict[str, Any], name: str, seed: int, made: Made) -> Path:
    """Fine-tune the shipped base as `saccade sft` does."""
    from saccade.config import read_toml, validate, with_overrides
    from saccade.embedded import with_folders
    from saccade.models.threads import use_threads
    from saccade.train.recipe import SFTRecipe
    from saccade.train.sft import sft

    use_threads(1)
    demonstrations = WORK / f"demos-{cold['demos']}" / "kept"
    settings = [f'runs=["{demonstrations}"]', f"seed={seed}", *cold["settings"]]
    settings.append(f"out={WORK / f'{name}-{seed}'}")
    recipe = validate(SFTRecipe, with_folders(with_overrides(read_toml(Path(SFT)), settings)))
    made["command"] = f"saccade sft {SFT} " + " ".join(settings)
    return timed(lambda: sft(recipe), made)


def train(protocol: Protocol, name: str, seed: int, made: Made) -> Path:
    """Train an arm; note its command, its cost and what it called as it went on."""
    from saccade.view.reports.gathered import steps_tools

    arm = protocol["arms"][name]
    start = BASE
    if "base" in arm:
        start = str(WORK / f"base-{arm['base']}" / BASE)
    elif "cold" in arm:
        start = str(WORK / f"cold-{arm['cold']}-{seed}" / "model")
    out = WORK / f"{name}-{seed}"
    settings = [f"model={start}", f"seed={seed}", "train.keep_every=10"]
    settings += [*protocol["groups"][arm["group"]]["settings"], *arm.get("settings", [])]
    model = train_rl(RL, [*settings, f"out={out}"], made)
    made["steps"] = steps_of(out, KEPT)
    made["kept"] = [{"step": step.step, **used(step.use)} for step in steps_tools(out)]
    return model


def measure(protocol: Protocol, model: Path, made: Made, families: Iterable[str]) -> None:
    """What a model does, greedily and sampled, and with tools that are not what they should be."""
    from saccade.measures.tool_use import tool_use
    from saccade.models.threads import use_threads
    from saccade.nano.deepeyes_v2.spec import environment
    from saccade.nano.evaluate import evaluate, questions
    from saccade.policies.hf import HFOptions, HFPolicy

    use_threads(1)
    policy, asker = HFPolicy(HFOptions(path=str(model))), environment()
    final, rates = protocol["final"], protocol["rates"]
    arm = made["arm"]

    def played(family: str, scenes: dict[str, Any], way: str = "agent", **changed: Any) -> list:
        asked = questions(family, n=scenes["n"], seed=scenes["seed"], split=scenes["split"])
        given = {"asker": asker, "seed": scenes["seed"], **changed}
        return evaluate(policy, asked, way, **given)

    made |= {"final": final, "rates": rates}
    greedy = {family: played(family, final) for family in families}
    made["greedy"] = {family: cell(pairs) for family, pairs in greedy.items()}
    made["together"] = used(tool_use("all", chain(*greedy.values())))
    warm = {"temperature": 1.0, "samples": final["samples"]}
    made["sampled"] = {f: cell(played(f, final, **warm)) for f in SAMPLED if f in families}
    if arm.startswith(("base", "cold")) or arm == "sft":
        made["rate"] = right_code(
            played("compute", rates, temperature=1.0, samples=rates["samples"])
        )
    if arm == "base":
        made["no_tool"] = {family: cell(played(family, final, "no_tool")) for family in families}
    if arm in CONTROLS:
        made["controls"] = {
            name: cell(played(family, final, **changed))
            for name, (family, changed) in controls(asker).items()
        }


def right_code(pairs: list) -> Made:
    """How often a product is printed by code: of all attempts, and of those that read it right."""
    from saccade.measures.code_calls import code_calls
    from saccade.nano.deepeyes_v2.thoughts import said_in

    legible = [
        (task, trajectory)
        for task, trajectory in pairs
        if said_in(trajectory.turns[0].action.thought or "") == task.meta["numbers"]
    ]
    made: Made = {"attempts": len(pairs), "read": len(legible)}
    for name, chosen in (("of_all", pairs), ("of_read", legible)):
        code = code_calls(name, chosen)
        printed = code.calls * (code.answers.value or 0) if code else 0
        made[name] = printed / len(chosen) if chosen else None
    return made


def controls(asker: Any) -> dict[str, tuple[str, dict[str, Any]]]:
    """Name -> a family, and what is changed: a tool that lies, is silent, or fails once."""
    from saccade.config import Part
    from saccade.tools.faulty import Faulty, FaultyOptions

    def with_fault(kind: str, **fault: Any) -> Any:
        chosen = FaultyOptions.model_validate({"tool": Part(kind=kind), **fault})
        tools = [
            Faulty(chosen, tool=tool) if tool.spec.name == kind else tool for tool in asker.tools
        ]
        return {"asker": asker.replace(tools=tools)}

    lies, silent = with_fault("python", fault="lies"), with_fault("python", fault="silent")
    return {
        "python lies": ("compute", lies),
        "python is silent": ("compute", silent),
        "python fails once": ("compute", with_fault("python", fault="fails", first=1)),
        "search lies": ("lookup", with_fault("search", fault="lies")),
        "the look is elsewhere": ("read", {"way": "wrong_box"}),
    }


def cell(pairs: list) -> Made:
    """Accuracy, what was called, and how often what a tool printed was repeated."""
    from saccade.measures.tool_use import tool_use

    return {**cell_of(pairs), **used(tool_use("all", pairs)), "repeats": repeats(pairs)}


def used(use: Any) -> Made:
    """The numbers of a `saccade.measures.tool_use.ToolUse` that the tables show."""
    made: Made = {
        "episodes": use.episodes,
        "calls": use.calls,
        "called": use.called.value,
        "per_episode": use.per_episode.value,
        "spread": use.spread,
        "tokens": use.tokens.value,
        "kinds": {m.name: m.value for m in use.kinds if m.value},
        "combinations": {name: m.value for name, m in use.combinations.items()},
    }
    if use.code is not None:
        made["code"] = {"calls": use.code.calls, "distinct": use.code.distinct}
        made["code"] |= {rate: getattr(use.code, rate).value for rate in RATES}
    return made


def repeats(pairs: list) -> float:
    """The share of episodes whose answer is a number that a tool told last."""
    repeated = 0
    for _, trajectory in pairs:
        shown = [message.text for turn in trajectory.turns for message in turn.observation]
        repeated += trajectory.answer in re.findall(r"\d+", shown[-1] if shown else "")
    return repeated / len(pairs)


if __name__ == "__main__":
    main()
