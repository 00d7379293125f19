"""Evaluation on public benchmarks: readers, scorers, tables, and what looking contributes.

saccade bench list
saccade bench vstar data=vstar_bench policy.kind=openai policy.base_url=URL policy.model=NAME
"""

from __future__ import annotations

BENCHMARKS = {
    # small things in large photographs
    "vstar": "saccade.bench.sets.highres.vstar:VStar",
    # options of all kinds
    # mathematics
    # charts and text
    # boxes
    # search
    # agents
    # our own
    "nano": "saccade.bench.sets.own.nano:Nano",
    "vstar_mini": "saccade.bench.sets.own.vstar_mini:VStarMini",
}
"""Name -> class; your own goes there as "package.module:Class"."""
