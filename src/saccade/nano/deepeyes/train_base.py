"""nano-base from nothing: scenes, then seeing, then speaking, then the prior.

    sight    the vision tower, on places, colours and digits        vision_stage.py
    speech   the language model, on lessons; the tower is frozen    language_stage.py
    prior    the same, with a share of questions answered by a call

A base that has finished `speech` calls practically never; it is kept as `nano-base0`, for sweeps of
the prior. Each stage ends when its skills are there (`stage.py`); every choice was made on the
development split.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from saccade.errors import ConfigError
from saccade.models import LoadedModel
from saccade.nano.deepeyes.corpus import Mix, Teacher
from saccade.nano.deepeyes.language_stage import Speech
from saccade.nano.deepeyes.pool import Pool, draw_pool
from saccade.nano.deepeyes.skills import Exam
from saccade.nano.deepeyes.vision_stage import Sight
from saccade.nano.model import HEAD, WIDTH, build, renderer_of, save
from saccade.nano.spec import environment
from saccade.nano.stage import Learner, Measured, Plan, Progress, train
from saccade.policies.hf import HFOptions, HFPolicy
from saccade.runs.manifest import keep_manifest, manifest_of
from saccade.types import Record
from saccade.world.digits import Split

LIMIT = 4000

SIGHT = Plan(
    take_off={"colour": 0.97, "iou": 0.68, "large": 0.78, "crop": 0.82},
    aims={"colour": 0.98, "iou": 0.70, "large": 0.85, "crop": 0.92},
    limit=LIMIT,
    cool_down=1200,
)
THOUGHTS = {"thought_read0": 0.95, "thought_read1": 0.95, "thought_easy": 0.95}
SPEECH = Plan(
    take_off={"thought_read0": 0.9, "thought_read1": 0.9, "thought_easy": 0.9, "shown": 0.6},
    aims={**THOUGHTS, "shown": 0.80, "direct_easy": 0.80},
    limit=LIMIT,
    cool_down=1000,
)
PRIOR = Plan(
    take_off={}, aims={**THOUGHTS, "own_box": 0.80, "direct_easy": 0.80}, limit=200, cool_down=400
)


class BaseOptions(Record):
    """What a base is trained with. Each switch turns an ingredient off, to see what it is for."""

    seed: int = Field(default=0, ge=0)
    prior: float = Field(default=0.008, ge=0, le=1)
    """Share of questions that are answered by a call, in the last stage; before it, none."""
    start: str = ""
    """Folder of a finished base: its first stages are taken over, and only the last is trained."""
    width: int = Field(default=WIDTH, ge=HEAD, multiple_of=HEAD)
    """Of the layers; the shipped models have 96."""
    scenes: int = Field(default=16_000, ge=1)
    dev_scenes: int = Field(default=400, ge=1)
    exam: int = Field(default=100, ge=1)
    """Questions of each family at a measurement."""
    mix: Mix = Mix()
    sight: bool = True
    """The first stage; without it both parts learn together, from the text alone."""
    words: bool = True
    """Supervision of the colour words."""
    thought: bool = True
    """Place and width of the asked object are said before a decision."""
    muon: bool = True
    """AdamW everywhere if not."""
    together: bool = False
    """Both stages as one: the losses of sight are added to those of speech."""
    limit: int = Field(default=LIMIT, ge=1)
    """Steps by which a stage must have taken off."""


class Base(NamedTuple):
    """A finished base."""

    folder: Path
    measured: dict[str, Measured]
    """Stage -> what its skills were at its end, on the development split."""


def train_base(
    options: BaseOptions,
    out: Path,
    *,
    plans: dict[str, Plan] | None = None,
    on_step: Callable[[Progress], None] = lambda progress: None,
) -> Base:
    """Train a base, or go on with one whose training was interrupted.

    Args:
        options: The recipe.
        out: A folder for checkpoints; `nano-base0` and `nano-base` are written into it.
        plans: Stage -> plan, over the usual ones.
        on_step: Told of every step.

    Raises:
        TrainingError: a stage missed an aim.
        ConfigError: `out` holds a base with other options.
    """
    plan = {
        "sight": replace(SIGHT, limit=options.limit),
        "speech": replace(SPEECH, limit=options.limit),
        "prior": PRIOR,
    } | (plans or {})
    if not options.thought:
        plan = {name: _without_thoughts(one) for name, one in plan.items()}
    out.mkdir(parents=True, exist_ok=True)
    _take_over(options.start, out)
    fingerprint = environment().fingerprint
    keep_manifest(out, manifest_of("nano train-base", options, fingerprint=fingerprint))
    pool = _pool(out / "train.npz", options.scenes, options.seed, "train")
    dev = _pool(out / "dev.npz", options.dev_scenes, options.seed, "dev")
    model, tokenizer = build(options.seed, options.width)
    renderer = renderer_of(tokenizer)
    sight = Sight(model.model.visual, pool, dev)
    exam = Exam(n=options.exam, seed=options.seed)

    def examine() -> Measured:
        return exam.sit(
            HFPolicy(HFOptions(path="base"), loaded=LoadedModel(model, renderer, "base"))
        )

    def stage(name: str, learner: Learner) -> Measured:
        return train(
            learner,
            plan[name],
            out,
            stage=name,
            seed=options.seed,
            muon=options.muon,
            on_step=on_step,
        )

    def speech(prior: float) -> Speech:
        teacher = Teacher(pool, options.mix, prior=prior, thought=options.thought)
        return Speech(
            model,
            renderer,
            teacher,
            examine=examine,
            words=options.words,
            frozen=options.sight and not options.together,
            sight=sight if options.together else None,
        )

    measured = {}
    if options.sight and not options.together:
        measured["sight"] = stage("sight", sight)
    measured["speech"] = stage("speech", speech(0.0))
    save(model, tokenizer, out / "nano-base0", fingerprint=fingerprint)
    measured["prior"] = stage("prior", speech(options.prior))
    save(model, tokenizer, out / "nano-base", fingerprint=fingerprint)
    return Base(out / "nano-base", measured)


def _without_thoughts(plan: Plan) -> Plan:
    """The same aims, but for what is said before a decision."""
    take_off, aims = (
        {skill: aim for skill, aim in one.items() if skill not in THOUGHTS}
        for one in (plan.take_off, plan.aims)
    )
    return replace(plan, take_off=take_off, aims=aims)


def _take_over(start: str, out: Path) -> None:
    """Copy what the last stage starts from."""
    if not start:
        return
    for name in ("train.npz", "dev.npz", "speech.pt"):
        if not (Path(start) / name).exists():
            raise ConfigError(f"start: {start} holds no {name}; name the folder of a finished base")
    for name in ("train.npz", "dev.npz", "sight.pt", "speech.pt"):
        if (Path(start) / name).exists() and not (out / name).exists():
            shutil.copyfile(Path(start) / name, out / name)


def _pool(path: Path, n: int, seed: int, split: Split) -> Pool:
    if not path.exists():
        draw_pool(n, seed=seed, split=split).save(path)
    return Pool.load(path)
