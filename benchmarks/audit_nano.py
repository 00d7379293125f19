"""What looking contributes to nano: the audit of two families and three seeds, as docs/audit.md.

    python benchmarks/audit_nano.py [--tables]

It runs `saccade bench nano --audit` six times (200 questions each; seeds 1 and 2 draw other
scenes), keeps what they printed in results/audit_nano.json and writes tables and figure. Folders
under --out resume. `--tables` writes them again from that file and plays nothing.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path

from places import fill

from saccade.bench.audit import Audit
from saccade.bench.sets.own.nano import SEED
from saccade.measures.means import Metric
from saccade.view.audit import audit_parts, draw_audit
from saccade.view.tables import interval, markdown, number

FAMILIES, SEEDS, N = ("read", "easy"), (0, 1, 2), 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/audit_nano"))
    parser.add_argument("--json", type=Path, default=Path("results/audit_nano.json"))
    parser.add_argument("--write", type=Path, default=Path("docs/audit.md"))
    parser.add_argument("--figure", type=Path, default=Path("docs/images/audit_nano.png"))
    parser.add_argument("--tables", action="store_true")
    options = parser.parse_args()
    if not options.tables:
        played = [play(options.out, f, seed) for seed in SEEDS for f in FAMILIES]
        command = "python benchmarks/audit_nano.py"
        whole = {"command": command, "n": N, "audits": played}
        options.json.write_text(json.dumps(whole, indent=1) + "\n")
    found = read(options.json)
    draw_audit(found["read", 0], options.figure)
    fill(options.write, {"audit_nano": tables(found)})


def play(out: Path, family: str, seed: int) -> dict[str, object]:
    """One audit, as the command prints it."""
    command = [
        "bench", "nano", "--audit", "--json", "--seed", str(seed), f'bench.families=["{family}"]',
        f"bench.items_drawn={N}", f"bench.scenes={SEED + seed}", f"out={out}/{family}-{seed}",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "saccade", *command], stdout=subprocess.PIPE, check=True
    )
    said = shlex.join(["saccade", *command])
    audit = Audit.model_validate_json(done.stdout).model_copy(update={"command": said})
    return {"family": family, "seed": seed, "audit": audit.model_dump(mode="json")}


def read(file: Path) -> dict[tuple[str, int], Audit]:
    """Family and seed -> audit."""
    audits = json.loads(file.read_text())["audits"]
    return {(a["family"], a["seed"]): Audit.model_validate(a["audit"]) for a in audits}


def tables(found: dict[tuple[str, int], Audit]) -> str:
    """The generated part of the page: seed 0 as it is printed, then the seeds side by side."""
    parts = []
    for family in FAMILIES:
        first = found[family, 0]
        parts.append(f"### `{family}`, seed 0\n\n`{first.command}`")
        parts.append(markdown(audit_parts(first)).strip())
    parts.append("### Three seeds\n\n" + "\n".join(seeds(found)))
    return "\n\n".join(parts)


def seeds(found: dict[tuple[str, int], Audit]) -> list[str]:
    """Accuracy of each arm, and what is made of them, by seed."""
    head = ["family", "figure", *(f"seed {seed}" for seed in SEEDS)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for family in FAMILIES:
        audits = [found[family, seed] for seed in SEEDS]
        rows = [[f"accuracy, {arm.arm}", *(_arm(a, arm.arm) for a in audits)]
                for arm in audits[0].arms]  # fmt: skip
        for place, effect in enumerate(audits[0].effects):
            for name in ("gain", "harm"):
                values = [getattr(a.effects[place], name) for a in audits]
                rows.append([f"tool {name} against {effect.without}", *map(_metric, values)])
        rows.append(["visual evidence gain, nats, grey, at once", *map(_evidence, audits)])
        lines += [f"| `{family}` | {' | '.join(row)} |" for row in rows]
    return lines


def _arm(audit: Audit, name: str) -> str:
    arm = audit.arm(name)
    return "-" if arm is None else _metric(arm.accuracy)


def _metric(metric: Metric) -> str:
    value, ends = number(metric.value, 3), interval(metric.low, metric.high)
    return f"{value} {ends}, n {metric.n}"


def _evidence(audit: Audit) -> str:
    for e in audit.evidence:
        if (e.replaced_by, e.when) == ("blank", "at once"):
            return f"{number(e.gain, 2)} {interval(e.low, e.high, sign=True)}, n {e.n}"
    return "- (no look)"


if __name__ == "__main__":
    main()
