"""What `saccade check recipe` finds with a model: whether it fits, and how an episode ends.

A model is tried if it is here: a folder, or a policy that loads none. The hub is never asked; a
server is asked once, and one that does not answer is no mistake of the run file.
"""

from __future__ import annotations

import asyncio
import warnings
from pathlib import Path
from typing import cast

from saccade.cli.checks.examine import Examination, as_attempted, reward_of
from saccade.cli.checks.kinds import Kind
from saccade.cli.common.show import STOPS
from saccade.config import Part, Table
from saccade.env import Environment
from saccade.errors import ConfigError
from saccade.policies import LocalPolicy
from saccade.recipe import Recipe, make_environment, make_tasks
from saccade.rollout import rollout
from saccade.runs.assemble import Assembly, assemble, mismatches, unusable
from saccade.types import ModelInfo, Record, StopReason, Trajectory

TURN_TOKENS = 256
"""Number of tokens that a turn of the trial may have: a large model is slow on a CPU."""
TRIAL_S = 120.0
"""Seconds that the trial may take."""
ONCE: Table = {"max_retries": 0, "timeout_s": 30.0, "deadline_s": 30.0}
"""How a server is asked in a trial."""


def try_run(kind: Kind, recipe: Record, found: Examination, *, processes: int = 1) -> None:
    """Play an episode, or do what else the command does first.

    Args:
        kind: What the run file is for.
        recipe: The run file.
        found: Takes the findings.
        processes: Number of processes of a training; where several are meant, it is not to run
            here, and its trainer is not made.
    """
    if isinstance(recipe, Recipe):
        _try_played(kind, recipe, found)
    elif kind.name == "sft":
        _try_demonstrations(recipe, found)
    else:
        _try_classifier(recipe, found)
    if kind.name in ("sft", "rl") and processes == 1:
        _try_trainer(kind, recipe, found)


def _try_played(kind: Kind, recipe: Recipe, found: Examination) -> None:
    policy = acting(kind, recipe)
    if policy is None and kind.name == "demos":
        found.add("episode", "not tried", "`saccade check policy` asks a teacher behind a server")
    if policy is None or found.has_error("environment"):
        return
    path = str(policy.options.get("path"))
    if policy.kind == "hf" and not Path(path).is_dir():
        with found.part("model"):
            environment = make_environment(recipe)
            _compare_with_what_is_known(path, environment, found)
            asyncio.run(_start_tools(environment))
        found.add("episode", "not tried", f"{path} is no folder here, and the hub is not asked")
    elif found.failed:
        found.add("episode", "not tried", "the errors above come first")
    else:
        with found.part("episode"):
            _try_episode(kind, recipe.model_copy(update={"policy": policy}), found)


def acting(kind: Kind, recipe: Recipe) -> Part | None:
    """What acts: the policy, asked once if it is a server, or the model that is trained."""
    if kind.name == "rl":
        from saccade.train.recipe import RLRecipe

        return Part.model_validate({"kind": "hf", "path": cast(RLRecipe, recipe).model})
    if kind.name == "demos":
        from saccade.data.demos.recipe import DemosRecipe

        here = (t for t in cast(DemosRecipe, recipe).teachers if t.kind != "openai")
        return next((Part(kind=t.kind, **t.options) for t in here), None)
    if recipe.policy is None or recipe.policy.kind != "openai":
        return recipe.policy
    return Part.model_validate({"kind": "openai", **recipe.policy.options, **ONCE})


def _try_episode(kind: Kind, recipe: Recipe, found: Examination) -> None:
    """One episode with the policy, its turns short.

    Raises:
        SaccadeError: a part of the run cannot be made.
    """
    with warnings.catch_warnings():  # of mismatches, which are findings here
        warnings.simplefilter("ignore", UserWarning)
        assembly = assemble(as_attempted(recipe))._replace(reward=reward_of(recipe))
    _note_mismatches(assembly.policy.info, assembly.environment, found)
    if kind.name == "agent attack":
        _check_attack(recipe, assembly)
    trajectory = asyncio.run(_attempt(recipe, assembly))
    if trajectory is None:
        found.add("episode", "not tried", f"it takes longer than {TRIAL_S:g} s here")
    elif trajectory.stop is StopReason.ABORTED:
        served = recipe.policy is not None and recipe.policy.kind == "openai"
        found.add("episode", "not tried" if served else "error", str(trajectory.error))
    else:
        found.add("episode", "ok", _outcome(trajectory))


async def _attempt(recipe: Recipe, assembly: Assembly) -> Trajectory | None:
    """An attempt at the first question; None if it takes too long."""
    shorter = min(recipe.sampling.max_tokens, TURN_TOKENS)
    try:
        await assembly.environment.start()
        async with asyncio.timeout(TRIAL_S):
            return await rollout(
                assembly.policy,
                assembly.environment,
                next(make_tasks(recipe)),
                seed=recipe.seed,
                sampling=recipe.sampling.model_copy(update={"max_tokens": shorter}),
                reward=assembly.reward,
            )
    except TimeoutError:
        return None
    finally:
        await assembly.close()


async def _start_tools(environment: Environment) -> None:
    try:
        await environment.start()
    finally:
        await environment.close()


def _outcome(trajectory: Trajectory) -> str:
    assert trajectory.stop is not None
    calls = sum(len(turn.results) for turn in trajectory.turns)
    score = trajectory.score
    reward = "not scored" if score is None else f"reward {score.value:g}"
    turns = len(trajectory.turns)
    return f"{trajectory.task_id}: {STOPS[trajectory.stop]}; turns {turns}, calls {calls}, {reward}"


def _note_mismatches(info: ModelInfo, environment: Environment, found: Examination) -> None:
    """Boxes that would be misread and images that could not be shown are errors."""
    errors = unusable(info, environment)
    for text in mismatches(info, environment):
        found.add("model", "error" if text in errors else "warning", text)


def _compare_with_what_is_known(model: str, environment: Environment, found: Examination) -> None:
    """The frame and the size factor of a model whose weights are not here."""
    from saccade.render.qwen_vl import COORDS
    from saccade.train.estimate import SHAPES, config_of

    if model not in SHAPES:
        return
    config = config_of(model)
    vision = config.vision_config
    factor = vision.patch_size * vision.spatial_merge_size
    info = ModelInfo(name=model, coords=COORDS[config.model_type], factor=factor)
    _note_mismatches(info, environment, found)


def _try_trainer(kind: Kind, recipe: Record, found: Examination) -> None:
    from saccade.models.devices import devices
    from saccade.train.recipe import RLRecipe, SFTRecipe
    from saccade.train.rl import trainer_arguments
    from saccade.train.sft import training_arguments

    options = recipe.train.trl if isinstance(recipe, RLRecipe) else cast(SFTRecipe, recipe).trl
    if options.get("bf16") and len(devices()) == 1:  # the CPU
        where = "train.trl.bf16" if kind.name == "rl" else "trl.bf16"
        found.add(
            "trainer", "not tried", f"{where} needs an accelerator, and this machine has none"
        )
        return
    with found.part("trainer"):
        if isinstance(recipe, RLRecipe):
            trainer_arguments(recipe, Path(recipe.out))
            text = f"{recipe.train.preset}, {recipe.train.steps} steps"
        else:
            chosen = cast(SFTRecipe, recipe)
            training_arguments(chosen, Path(chosen.out), steps=chosen.steps)
            told = chosen.epochs is None
            text = f"{chosen.steps} steps" if told else f"{chosen.epochs:g} epochs"
        found.add("trainer", "ok", text)


def _try_demonstrations(recipe: Record, found: Examination) -> None:
    from saccade.models.load import load
    from saccade.train.recipe import SFTRecipe
    from saccade.train.sft import read_examples

    chosen = cast(SFTRecipe, recipe)
    if found.failed:
        return
    if not Path(chosen.model).is_dir():
        text = f"{chosen.model} is no folder here, and the hub is not asked"
        found.add("examples", "not tried", text)
        return
    with found.part("examples"):
        examples = read_examples(chosen, load(chosen.model))
        left_out = ", ".join(f"{n} {why}" for why, n in examples.left_out.items()) or "none"
        text = f"{len(examples.trajectories):,} to train on; left out: {left_out}"
        found.add("examples", "ok", text)


def _check_attack(recipe: Recipe, assembly: Assembly) -> None:
    """Whether the agent can be attacked.

    Raises:
        ConfigError: it has no gradients, or the attack takes no budget in L-inf.
    """
    from saccade.robust.agent.recipe import AgentAttackRecipe
    from saccade.robust.attacks import make_attack

    if not isinstance(assembly.policy, LocalPolicy):
        raise ConfigError('policy: an attack needs gradients; use a local model, policy.kind="hf"')
    make_attack(cast(AgentAttackRecipe, recipe).attack.method, "attack.method").check_norm("linf")


def _try_classifier(recipe: Record, found: Examination) -> None:
    from saccade.robust.attacks import make_attack
    from saccade.robust.classifiers.datasets import load_dataset
    from saccade.robust.classifiers.nets import load_model
    from saccade.robust.classifiers.own import check_net
    from saccade.robust.classifiers.recipe import RobustRecipe
    from saccade.robust.detectors import make_signal
    from saccade.robust.parts import named

    chosen = cast(RobustRecipe, recipe)
    if found.failed:
        return
    with found.part("data"):
        data = load_dataset(chosen.data)
        counts = f"{len(data.train.y):,} to train, {len(data.test.y):,} to test"
        found.add("data", "ok", f"{data.name}: {counts}, {data.classes} classes")
    with found.part("attack"):
        attacks = named(chosen.attack.methods, make_attack, "attack.methods")
        for attack in attacks.values():
            attack.check_norm(chosen.attack.norm)
        found.add("attack", "ok", ", ".join(attacks))
    with found.part("detect"):
        found.add("detect", "ok", ", ".join(named(chosen.detect.signals, make_signal, "detect")))
    if chosen.model is not None and not found.has_error("data"):
        with found.part("model"):
            net = load_model(chosen.model)
            check_net(f"model {chosen.model}", net, data)
            found.add("model", "ok", type(net).__name__)
