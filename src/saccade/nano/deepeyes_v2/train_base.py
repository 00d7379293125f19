"""Trains `nano-base-v2` from nothing: first to see, then to write, then habits.

    vision      the vision tower, on places, colours, digits and numbers
    language    the language model, on a corpus; the tower is frozen
    habit       the same, with a share of questions answered by a call

Each stage ends when its skills are there (`nano/stage.py`); every choice was made on the
development split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from saccade.models.load import LoadedModel
from saccade.nano.base import BEGUN, LONG_STAGES, Base, kept_pool, limited, take_over
from saccade.nano.deepeyes.language_stage import LanguageStage
from saccade.nano.deepeyes_v2.corpus import COLOUR_NAMES, Corpus
from saccade.nano.deepeyes_v2.options import STEP_LIMIT, BaseOptions, Habits
from saccade.nano.deepeyes_v2.phrases import phrases
from saccade.nano.deepeyes_v2.pool import Pool, draw_pool
from saccade.nano.deepeyes_v2.skills import SkillQuestions
from saccade.nano.deepeyes_v2.spec import environment
from saccade.nano.deepeyes_v2.vision_stage import VisionStage
from saccade.nano.model import build, renderer_of, save
from saccade.nano.stage import Plan, Progress, Skills, Stage, train
from saccade.policies.hf import HFOptions, HFPolicy
from saccade.runs.claim import Claim
from saccade.runs.manifest import manifest_of

PLANS = {
    "vision": Plan(
        take_off={"large": 0.78, "crop": 0.82, "plate": 0.70, "crop_plate": 0.55},
        aims={"colour": 0.97, "large": 0.82, "crop": 0.88, "plate": 0.78, "crop_plate": 0.65},
        step_limit=STEP_LIMIT,
        decay_steps=1400,
    ),
    "language": Plan(
        take_off={
            "thought_read0": 0.9, "thought_easy": 0.9, "thought_compute_far": 0.85,
            "plates": 0.5, "shown": 0.6, "code": 0.9, "search": 0.8,
        },
        aims={"thought_read0": 0.9, "thought_easy": 0.9, "plates": 0.6, "shown": 0.7},
        step_limit=STEP_LIMIT,
        decay_steps=1200,
        measure_every=400,
    ),
    "habit": Plan(
        take_off={},
        aims={"thought_read0": 0.9, "thought_easy": 0.9, "plates": 0.6},
        step_limit=100,
        decay_steps=400,
        measure_every=100,
    ),
}  # fmt: skip
"""Stage -> when its learning rate decays, and when it ends or fails."""
NOISE = {"vision": 811, "language": 812, "habit": 813}
"""Number of each stage's stream of noise."""
COLOUR_WORDS = tuple(f"{name} " for name in COLOUR_NAMES)


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
        out: A folder for checkpoints; `nano-base-v2` is written into it.
        plans: Stage -> plan; a stage that is not named keeps its plan of `PLANS`.
        on_step: Called after every optimiser step.

    Raises:
        TrainingError: a stage missed an aim.
        ConfigError: `out` holds a base with other options.
    """
    plan_of = limited(PLANS, options.step_limit) | dict(plans or {})
    fingerprint = environment().fingerprint
    manifest = manifest_of("nano train-base", options, fingerprint=fingerprint)
    with Claim(out, manifest, begun=BEGUN):
        taken = LONG_STAGES[: LONG_STAGES.index(options.taken) + 1]
        take_over(options.start, out, taken)
        return Base(out / "nano-base-v2", _trained(options, out, plan_of, on_step))


def _trained(
    options: BaseOptions,
    out: Path,
    plan_of: Mapping[str, Plan],
    on_step: Callable[[Progress], None],
) -> dict[str, Skills]:
    """Train every stage and save the base; return the skills at the end of each stage."""
    scenes, seed = options.scenes, options.seed
    pool = kept_pool(out / "train.npz", Pool, partial(draw_pool, scenes, seed=seed, split="train"))
    dev = kept_pool(
        out / "dev.npz", Pool, partial(draw_pool, options.dev_scenes, seed=seed, split="dev")
    )
    model, tokenizer = build(seed, options.width, words=phrases())
    renderer = renderer_of(tokenizer)
    questions = SkillQuestions(n=options.skill_questions, seed=seed)

    def measure() -> Skills:
        loaded = LoadedModel(model, renderer, "base")
        return questions.measure(HFPolicy(HFOptions(path="base"), loaded=loaded))

    def language(habits: Habits) -> LanguageStage:
        return LanguageStage(
            model,
            renderer,
            Corpus(pool, options.mix, habits=habits),
            measure=measure,
            colour_words=COLOUR_WORDS,
        )

    def run(name: str, stage: Stage) -> Skills:
        noise = (seed, NOISE[name])
        return train(stage, plan_of[name], out, name=name, seed=noise, on_step=on_step)

    skills = {"vision": run("vision", VisionStage(model.model.visual, pool, dev))}
    skills["language"] = run("language", language(Habits()))
    if any(options.habits.model_dump().values()):
        skills["habit"] = run("habit", language(options.habits))
    save(model, tokenizer, out / "nano-base-v2", fingerprint=environment().fingerprint)
    return skills
