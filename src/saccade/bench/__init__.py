"""Evaluation on public benchmarks: readers, scorers, tables, and what looking contributes.

saccade bench list
saccade bench vstar data=vstar_bench policy.kind=openai policy.base_url=URL policy.model=NAME
"""

from __future__ import annotations

BENCHMARKS = {
    # small things in large photographs
    "vstar": "saccade.bench.sets.highres.vstar:VStar",
    "hrbench_4k": "saccade.bench.sets.highres.hrbench:HRBench4K",
    "hrbench_8k": "saccade.bench.sets.highres.hrbench:HRBench8K",
    "mme_realworld": "saccade.bench.sets.highres.mme_realworld:MMERealWorld",
    "mme_realworld_lite": "saccade.bench.sets.highres.mme_realworld:MMERealWorldLite",
    "treebench": "saccade.bench.sets.highres.treebench:TreeBench",
    "visualprobe": "saccade.bench.sets.highres.visualprobe:VisualProbe",
    "zoombench": "saccade.bench.sets.highres.zoombench:ZoomBench",
    # options of all kinds
    "seedbench2_plus": "saccade.bench.sets.options.seedbench2_plus:SeedBench2Plus",
    "cvbench": "saccade.bench.sets.options.cvbench:CVBench",
    "mmstar": "saccade.bench.sets.options.mmstar:MMStar",
    "pope": "saccade.bench.sets.options.pope:Pope",
    "vlmevalkit": "saccade.bench.sets.options.tsv:VLMEvalKit",
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
    "refcoco": "saccade.bench.sets.boxes.refcoco:RefCoco",
    "refcoco_plus": "saccade.bench.sets.boxes.refcoco:RefCocoPlus",
    "refcocog": "saccade.bench.sets.boxes.refcoco:RefCocoG",
    "reasonseg": "saccade.bench.sets.boxes.reasonseg:ReasonSeg",
    # search
    "mmsearch": "saccade.bench.sets.search.mmsearch:MMSearch",
    "fvqa": "saccade.bench.sets.search.fvqa:FVQA",
    "infoseek": "saccade.bench.sets.search.infoseek:InfoSeek",
    "simplevqa": "saccade.bench.sets.search.simplevqa:SimpleVQA",
    "realx": "saccade.bench.sets.search.realx:RealX",
    "vdr": "saccade.bench.sets.search.vdr:VDR",
    # agents
    "tir_bench": "saccade.bench.sets.agents.tir_bench:TirBench",
    "agentvista": "saccade.bench.sets.agents.agentvista:AgentVista",
    "visualtoolbench": "saccade.bench.sets.agents.visualtoolbench:VisualToolBench",
    # our own
    "nano": "saccade.bench.sets.own.nano:Nano",
    "nano_realx": "saccade.bench.sets.own.nano_realx:NanoRealX",
    "vstar_mini": "saccade.bench.sets.own.vstar_mini:VStarMini",
}
"""Name -> class; your own goes there as "package.module:Class"."""
