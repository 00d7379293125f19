"""The tables and the figure of docs/reproducing.md, from what `reproduce_deepeyes_v2.py` left.

python benchmarks/reproduce_v2_report.py [--results results/deepeyes_v2]
    [--write docs/reproducing.md] [--figure docs/images/deepeyes_v2_dynamics.png]
"""

from __future__ import annotations

import argparse
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from places import fill
from reproduce_report import NOT_RUN, Results, Run, read, share, spread

HERE = Path(__file__).parent
FAMILIES = ("read", "far", "easy", "compute", "compute_far", "sum", "lookup", "all")
ALIVE = 0.05
"""Share of the sampled episodes of the last step with a call, below which calls have died out."""
MOST = 0.5
"""Share of code calls from which on they are called by what became of them."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")

Column = Callable[[Run], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--results", type=Path, default=Path("results/deepeyes_v2"))
    parser.add_argument("--write", type=Path, default=Path("docs/reproducing.md"))
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    results = read(options.results)
    fill(options.write, tables(results))
    if options.figure:
        draw(results, options.figure)


def protocol() -> dict[str, Any]:
    return tomllib.loads((HERE / "reproduce_deepeyes_v2.toml").read_text())


def tables(results: Results) -> dict[str, str]:
    """Name of a place in the page -> its table."""
    made = {
        "v2-direct": direct(results),
        "v2-prior": prior(results),
        "v2-cold": cold(results),
        "v2-kinds": kinds(results),
        "v2-mix": mix(results),
        "v2-faults": faults(results),
        "v2-prompt": prompt(results),
        "v2-chains": chains(results),
    }
    return {
        "v2-missing": missing(results),
        **{name: table if table.count("\n") > 1 else NOT_RUN for name, table in made.items()},
    }


def missing(results: Results) -> str:
    """What the protocol still lacks, and what its runs took."""
    found = protocol()
    wanted = {name: arm["seeds"] for name, arm in found["arms"].items()}
    wanted |= {f"cold-{name}": cold["seeds"] for name, cold in found["cold"].items()}
    wanted |= {f"base-{name}": 1 for name in found["bases"]}
    left = {name: seeds - len(results.get(name, [])) for name, seeds in wanted.items()}
    lacks = ", ".join(f"{name} {count}" for name, count in left.items() if count)
    timed = [
        run["cpu_seconds"] for runs in results.values() for run in runs if "cpu_seconds" in run
    ]
    said = ""
    if timed:
        said = (
            f"{len(timed)} trainings took {sum(timed) / 3600:.1f} hours of one core; the longest "
            f"{max(timed) / 60:.1f} minutes."
        )
    return f"{said}\n\nRuns still to be done: {lacks}." if lacks else said


def direct(results: Results) -> str:
    """Claim 1: no cold start, questions of three families, four bonuses, two bases."""
    more: dict[str, Column] = {
        "different texts of code": of_code("unique"),
        "tokens, first step": lambda run: run["steps"][0]["response_tokens"],
        "at the end": lambda run: run["steps"][-1]["response_tokens"],
    }
    return trained(results, "direct", ("compute", "lookup", "all"), more)


def prior(results: Results) -> str:
    """The qualifiers of claim 1: on one family, from bases of different habits."""
    more = {"crashing": of_code("crashing")}
    return trained(results, "compute", ("compute", "sum", "lookup"), more)


def trained(
    results: Results, group: str, families: Iterable[str], more: Mapping[str, Column]
) -> str:
    """The arms of a group that had no cold start."""
    columns = {
        "right code of its base": lambda run: rate_of(results, run),
        **{f"`{family}`": greedy(family) for family in families},
        "`easy`, not trained on": greedy("easy"),
        "calls per episode at the end": last("per_episode"),
        "right code": of_code("answers"),
        "vacuous": of_code("vacuous"),
        **more,
    }
    arms = [name for name, arm in protocol()["arms"].items() if arm["group"] == group]
    return rows(results, arms, columns, ends=True)


def cold(results: Results) -> str:
    """Claims 2 and 9: each cold start, and what accuracy and format alone make of it."""
    names = [name for name in protocol()["cold"] if f"{name}-rl" in protocol()["arms"]]
    arms = [arm for name in names for arm in (f"cold-{name}", f"{name}-rl")]
    columns = {
        "right code, T = 1": lambda run: rate_of(results, run),
        **{f"`{family}`": greedy(family) for family in FAMILIES},
        "episodes with a call": together("called"),
        "calls per episode": together("per_episode"),
        "their deviation": together("spread"),
        "tokens": together("tokens"),
    }
    return rows(results, ["sft", "agent", *arms], columns)


def kinds(results: Results) -> str:
    """Claim 3: what is called for each family, before and after reinforcement learning."""
    lines = ["| family | model | no call | kinds of calls of an episode, share |", "|---" * 4 + "|"]
    pairs = [("sft", "agent"), ("cold-middling", "middling-rl"), ("cold-strong", "strong-rl")]
    for family in FAMILIES:
        for arm in (arm for pair in pairs for arm in pair if arm in results):
            cells = [run["greedy"][family] for run in results[arm]]
            found: Counter[str] = Counter()
            for cell in cells:
                found.update({k: v / len(cells) for k, v in cell["combinations"].items()})
            idle = found.pop("no call", 0.0)
            shown = ", ".join(f"{name} {v:.2f}" for name, v in found.most_common(3) if v >= 0.005)
            lines.append(f"| `{family}` | {title_of(arm)} | {idle:.2f} | {shown or '-'} |")
    return "\n".join(lines)


def mix(results: Results) -> str:
    """Claim 4: one cold start, four mixes of questions."""
    arms = ["cold-middling", "perception", "reasoning", "search", "middling-rl"]
    columns = {f"`{family}`": greedy(family) for family in FAMILIES}
    return rows(results, arms, columns)


def faults(results: Results) -> str:
    """Claim 5: what becomes of an answer where a tool lies, says nothing or fails once."""
    arms = ["sft", "agent", "cold-strong", "honest", "lying", "failing"]
    columns: dict[str, Column] = {"`compute`, honest tools": greedy("compute")}
    for name in ("python lies", "python is silent", "python fails once", "search lies"):
        columns[name] = control(name, "accuracy")
    columns["the look is elsewhere"] = control("the look is elsewhere", "accuracy")
    columns["repeats the lie of Python"] = control("python lies", "repeats")
    columns["calls per episode, lies"] = control("python lies", "per_episode")
    columns["fails once"] = control("python fails once", "per_episode")
    columns["mended"] = lambda run: run["controls"]["python fails once"]["code"]["repaired"]
    return rows(results, arms, columns)


def prompt(results: Results) -> str:
    """Claim 7: the base with tools in its prompt, and with none."""
    lines = ["| family | prompt with tools | prompt without | calls with tools |", "|---" * 4 + "|"]
    for run in results.get("base", []):
        for family, cell in run["greedy"].items():
            lines.append(
                f"| `{family}` | {share(cell)} | {share(run['no_tool'][family])} | "
                f"{cell['called']:.3f} |"
            )
    return "\n".join(lines)


def chains(results: Results) -> str:
    """Claim 8: sums added column by column in the demonstrations, or told at once."""
    columns = {f"`{family}`": greedy(family) for family in FAMILIES}
    return rows(results, ["cold-strong", "cold-no-chains"], columns)


def rows(
    results: Results, arms: Iterable[str], columns: Mapping[str, Column], *, ends: bool = False
) -> str:
    """A row for each arm that was run: each seed, and the mean with its interval of five."""
    head = ["", "seeds", *columns, *(["how calls ended"] if ends else [])]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for arm in arms:
        if runs := results.get(arm):
            cells = [shown([column(run) for run in runs]) for column in columns.values()]
            cells += [ended(runs)] if ends else []
            lines.append(f"| {title_of(arm)} | {len(runs)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def shown(values: Sequence[float | None]) -> str:
    """Each seed; of five also the mean with its interval. What all share is said once."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    each = [f"{value:.1f}" if value >= 10 else f"{value:.3f}" for value in known]
    if len({*each}) == 1:
        return each[0]
    text = ", ".join(each)
    return f"{text}: {spread(known)}" if len(known) >= 5 and max(known) <= 1 else text


def ended(runs: Sequence[Run]) -> str:
    """What became of calls, by seeds: died out, or what most of them are."""
    return ", ".join(f"{n} {name}" for name, n in Counter(map(fate, runs)).most_common())


def fate(run: Run) -> str:
    """What the calls of the last step that was kept are; they were sampled at T = 1."""
    use = run["kept"][-1]
    if use["called"] < ALIVE:
        return "died out"
    code = use.get("code") or {"calls": 0}
    if code["calls"] < MOST * use["calls"]:
        return "searches and looks"
    for rate, name in (("answers", "right"), ("vacuous", "vacuous"), ("crashing", "crashing")):
        if (code[rate] or 0) >= MOST:
            return f"{name} code"
    return "code that computes something else"


def title_of(arm: str) -> str:
    """What an arm is called in the tables."""
    found = protocol()
    if arm.startswith("cold-"):
        return found["cold"][arm.removeprefix("cold-")]["title"]
    named = {"base": "`nano-base-v2`", "sft": "`nano-sft-v2`", "agent": "`nano-agent`"}
    return named.get(arm) or found["arms"][arm]["title"]


def rate_of(results: Results, run: Run) -> float | None:
    """How often what a run started from prints a product that it has read, sampled."""
    arm = protocol()["arms"].get(run["arm"], {})
    start, seed = run["arm"], run["seed"]
    if "cold" in arm:
        start = f"cold-{arm['cold']}"
    elif arm:
        start, seed = f"base-{arm['base']}" if "base" in arm else "base", 0
    for other in results.get(start, []):
        if other["seed"] == seed and "rate" in other:
            return other["rate"]["of_read"]
    return None


def greedy(family: str) -> Column:
    return lambda run: run["greedy"][family]["accuracy"] if family in run["greedy"] else None


def together(key: str) -> Column:
    """Over all families, each of as many questions."""
    return lambda run: run["together"][key]


def control(name: str, key: str) -> Column:
    return lambda run: run["controls"][name][key]


def last(key: str) -> Column:
    return lambda run: run["kept"][-1][key]


def of_code(rate: str) -> Column:
    """Of the code calls of the last step that was kept, the share of which this is true."""
    return lambda run: (run["kept"][-1].get("code") or {}).get(rate)


def draw(results: Results, out: Path) -> None:
    """Calls, accuracy and length over the steps: all seeds of the headline arms."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(12, 6.2), layout="constrained")
    panels = (
        ("tool_calls", "calls per episode"), ("accuracy", "accuracy"),
        ("response_tokens", "response tokens"),
    )  # fmt: skip
    arms = ("none", "conditional", "unconditional", "executed")
    places = figure.subplots(2, 3)
    for line, (before, name) in enumerate((("", "shipped base"), ("junk-", "useless code"))):
        for axes, (key, title) in zip(places[line], panels, strict=True):
            for arm, colour in zip(arms, COLOURS, strict=False):
                for run in results.get(before + arm, []):
                    known = [(row["step"], row[key]) for row in run["steps"] if key in row]
                    axes.plot(*zip(*known, strict=True), color=colour, alpha=0.6, linewidth=1.2)
            axes.set_title(f"{title}: {name}", fontsize=10)
            axes.set_xlabel("step")
            axes.set_ylim(0, 1 if key == "accuracy" else None)
            axes.grid(alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
    marks = [Line2D([], [], color=colour) for colour in COLOURS[: len(arms)]]
    names = [protocol()["arms"][arm]["title"] for arm in arms]
    places[0][1].legend(marks, names, frameon=False, fontsize=8)
    figure.savefig(out, dpi=150)


if __name__ == "__main__":
    main()
