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
    "mathvista": "saccade.bench.sets.maths.mathvista:MathVista",
    "mathverse": "saccade.bench.sets.maths.mathverse:MathVerse",
    "mathvision": "saccade.bench.sets.maths.mathvision:MathVision",
    "wemath": "saccade.bench.sets.maths.wemath:WeMath",
    "dynamath": "saccade.bench.sets.maths.dynamath:DynaMath",
    "logicvista": "saccade.bench.sets.maths.logicvista:LogicVista",
    # charts and text
    "charxiv": "saccade.bench.sets.charts.charxiv:CharXiv",
    "chartqa": "saccade.bench.sets.charts.chartqa:ChartQA",
    "ocrbench": "saccade.bench.sets.charts.ocrbench:OCRBench",
    # boxes
    # search
    # agents
    # our own
}
"""Name -> class; your own goes there as "package.module:Class"."""
