"""Evaluation on public benchmarks: readers, scorers, tables, and what looking contributes.

saccade bench list
saccade bench vstar data=vstar_bench policy.kind=openai policy.base_url=URL policy.model=NAME
"""

from __future__ import annotations

BENCHMARKS = {
    # small things in large photographs
    "vstar": "saccade.bench.sets.highres.vstar:VStar",
    "visualprobe": "saccade.bench.sets.highres.visualprobe:VisualProbe",
    "zoombench": "saccade.bench.sets.highres.zoombench:ZoomBench",
    # options of all kinds
    # mathematics
    # charts and text
    # boxes
    # search
    "mmsearch": "saccade.bench.sets.search.mmsearch:MMSearch",
    "fvqa": "saccade.bench.sets.search.fvqa:FVQA",
    "infoseek": "saccade.bench.sets.search.infoseek:InfoSeek",
    "simplevqa": "saccade.bench.sets.search.simplevqa:SimpleVQA",
    "realx": "saccade.bench.sets.search.realx:RealX",
    "vdr": "saccade.bench.sets.search.vdr:VDR",
    # agents
    # our own
}
"""Name -> class; your own goes there as "package.module:Class"."""
