"""Trains `nano-base` from nothing: first to see, then to write, then a prior for calls.

    vision      the vision tower, on places, colours and digits            vision_stage.py
    language    the language model, on a corpus; the tower is frozen       language_stage.py
    prior       the same, with a share of questions answered by a call

A base that has finished the language stage calls practically never; it is kept as `nano-base0`, for
sweeps of the prior. Each stage ends when its skills are there (`nano/stage.py`); every choice was
made on the development split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from saccade.models.load import LoadedModel
from saccade.nano.base import BEGUN, Base, kept_pool, limited, take_over
from saccade.nano.deepeyes.corpus import Corpus
from saccade.nano.deepeyes.language_stage import LanguageStage
from saccade.nano.deepeyes.options import STEP_LIMIT, BaseOptions
from saccade.nano.deepeyes.pool import Pool, draw_pool
from saccade.nano.deepeyes.skills import SkillQuestions
from saccade.nano.deepeyes.vision_stage import VisionStage
from saccade.nano.model import build, renderer_of, save
from saccade.nano.spec import environment
from saccade.nano.stage import Plan, Progress, Skills, Stage, train
from saccade.policies.hf import HFOptions, HFPolicy
from saccade.runs.claim import Claim
from saccade.runs.manifest import manifest_of

THOUGHTS = {"thought_read0": 0.95, "thought_read1": 0.95, "thought_easy": 0.95}
PLANS = {
    "vision": Plan(
        take_off={"colour": 0.97, "iou": 0.68, "large": 0.78, "crop": 0.82},
        aims={"colour": 0.98, "iou": 0.70, "large": 0.85, "crop": 0.92},
        step_limit=STEP_LIMIT,
        decay_steps=1200,
    ),
    "language": Plan(
        take_off={"thought_read0": 0.9, "thought_read1": 0.9, "thought_easy": 0.9, "shown": 0.6},
        aims={**THOUGHTS, "shown": 0.80, "direct_easy": 0.80},
        step_limit=STEP_LIMIT,
        decay_steps=1000,
    ),
    "prior": Plan(
        take_off={},
        aims={**THOUGHTS, "own_box": 0.80, "direct_easy": 0.80},
        step_limit=200,
        decay_steps=400,
    ),
}
NOISE = {"vision": 543, "language": 632, "prior": 556}
"""Number of each stage's stream of noise. The shipped bases were trained with these: other numbers
make other bases of the same seed."""


def train_base(
    options: BaseOptions,
    out: Path,
    *,
    plans: Mapping[str, Plan] | None = None,
    on_step: Callable[[Progress], None] = lambda progress: None,
) -> Base:
    """Train a base, or go on with one whose training was interrupted.

    Args:
        options: The recipe.
        out: A folder for checkpoints; `nano-base0` and `nano-base` are written into it.
        plans: Stage -> plan; a stage that is not named keeps its plan of `PLANS`.
        on_step: Called after every optimiser step.

    Raises:
        TrainingError: a stage missed an aim.
        ConfigError: `out` holds a base with other options.
    """
    plan_of = limited(PLANS, options.step_limit) | dict(plans or {})
    if not options.thought:
        plan_of = {name: _without_thoughts(plan) for name, plan in plan_of.items()}
    fingerprint = environment().fingerprint
    with Claim(out, manifest_of("nano train-base", options, fingerprint=fingerprint), begun=BEGUN):
        take_over(options.start, out)
        return Base(out / "nano-base", _trained(options, out, plan_of, on_step))


def _trained(
    options: BaseOptions,
    out: Path,
    plan_of: Mapping[str, Plan],
    on_step: Callable[[Progress], None],
) -> dict[str, Skills]:
    """Train every stage and save both bases; return the skills at the end of each stage."""
    scenes, seed = options.scenes, options.seed
    pool = kept_pool(out / "train.npz", Pool, partial(draw_pool, scenes, seed=seed, split="train"))
    dev = kept_pool(
        out / "dev.npz", Pool, partial(draw_pool, options.dev_scenes, seed=seed, split="dev")
    )
    model, tokenizer = build(options.seed, options.width)
    renderer = renderer_of(tokenizer)
    vision = VisionStage(model.model.visual, pool, dev)
    questions = SkillQuestions(n=options.skill_questions, seed=options.seed)
    vision_first = options.vision_stage and not options.joint

    def measure() -> Skills:
        loaded = LoadedModel(model, renderer, "base")
        return questions.measure(HFPolicy(HFOptions(path="base"), loaded=loaded))

    def language(prior: float) -> LanguageStage:
        return LanguageStage(
            model,
            renderer,
            Corpus(pool, options.mix, prior=prior, thought=options.thought),
            measure=measure,
            word_supervision=options.word_supervision,
            frozen=vision_first,
            vision_stage=vision if options.joint else None,
        )

    def run(name: str, stage: Stage) -> Skills:
        return train(
            stage,
            plan_of[name],
            out,
            name=name,
            seed=(options.seed, NOISE[name]),
            muon=options.muon,
            on_step=on_step,
        )

    fingerprint, skills = environment().fingerprint, {}
    if vision_first:
        skills["vision"] = run("vision", vision)
    skills["language"] = run("language", language(0.0))
    save(model, tokenizer, out / "nano-base0", fingerprint=fingerprint)
    skills["prior"] = run("prior", language(options.prior))
    save(model, tokenizer, out / "nano-base", fingerprint=fingerprint)
    return skills


def _without_thoughts(plan: Plan) -> Plan:
    """The same plan, without the skills of thoughts."""
    take_off, aims = (
        {skill: aim for skill, aim in one.items() if skill not in THOUGHTS}
        for one in (plan.take_off, plan.aims)
    )
    return replace(plan, take_off=take_off, aims=aims)
