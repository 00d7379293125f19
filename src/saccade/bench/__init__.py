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
    "refcoco": "saccade.bench.sets.boxes.refcoco:RefCoco",
    "refcoco_plus": "saccade.bench.sets.boxes.refcoco:RefCocoPlus",
    "refcocog": "saccade.bench.sets.boxes.refcoco:RefCocoG",
    "reasonseg": "saccade.bench.sets.boxes.reasonseg:ReasonSeg",
    # search
    # agents
    "tir_bench": "saccade.bench.sets.agents.tir_bench:TirBench",
    "agentvista": "saccade.bench.sets.agents.agentvista:AgentVista",
    "visualtoolbench": "saccade.bench.sets.agents.visualtoolbench:VisualToolBench",
    # our own
}
"""Name -> class; your own goes there as "package.module:Class"."""
