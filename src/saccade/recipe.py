"""The run file: which tasks, environment, policy, reward and seed make a run.

    # saccade rollout recipes/demo.toml
    seed = 0
    out = "runs/demo"
    tasks = { kind = "world", family = "read", n = 100 }
    dialect = { kind = "deepeyes" }
    tools.zoom_in = { min_side = 30 }
    environment.limits.max_turns = 6
    policy = { kind = "openai", base_url = "http://127.0.0.1:8000/v1", model = "..." }
    reward = { preset = "deepeyes" }

Each part has a `kind`: a built-in name or "package.module:Class". The other keys of the part are
the fields of that class (or of its `Options`), checked like everything else. A run file that
names a class of yours runs its code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from pydantic import Field, JsonValue

from saccade import dialects, policies, tasks, tools
from saccade.config import Part, Table, build, resolve
from saccade.dialects.base import Dialect, Prompts
from saccade.env import Environment
from saccade.errors import ConfigError, require
from saccade.formats.prompts import read_prompts
from saccade.images.color import Color
from saccade.images.decode import MAX_SOURCE_PIXELS
from saccade.images.geometry import CoordSpace, PixelBudget
from saccade.plugins import guarded
from saccade.rewards import Reward, RewardOptions
from saccade.tasks import TaskSource
from saccade.types import Limits, Policy, Record, Sampling, Task, Tool


def _only_zoom() -> dict[str, Table]:
    return {"zoom_in": {}}


class DialectPart(Part):
    """The dialect; `prompts` names a file of published rows, see `saccade.formats.prompts`."""

    kind: str = "deepeyes"


class EnvironmentSection(Record):
    """The rules of an episode; see `saccade.env.Environment`."""

    coords: CoordSpace = CoordSpace.ABSOLUTE
    """The frame in which the model writes boxes."""
    color: Color = Color.SRGB
    """How the colours of image files are shown: profiles are converted to sRGB, or ignored."""
    limits: Limits = Limits()
    view: PixelBudget = PixelBudget()
    """The pixels with which images of the question are shown."""
    observation: PixelBudget | None = None
    """The pixels with which images that tools return are shown; None is the same as `view`."""


class Recipe(Record):
    """A run file."""

    seed: int = 0
    """The seed of the run; with task, sample and turn it decides all sampling noise."""
    samples: int = Field(default=1, ge=1)
    """Number of rollouts of each task."""
    concurrency: int = Field(default=64, ge=1)
    """Number of episodes that may be under way at the same time."""
    max_aborts: int = Field(default=100, ge=1)
    """Number of episodes in a row that may fail on our side before the run stops."""
    out: str | None = None
    """The run folder."""
    max_image_pixels: int = Field(default=MAX_SOURCE_PIXELS, ge=1)
    """Number of pixels that a source image may have; larger ones are refused before they are
    decoded."""
    tasks: Part | None = None
    """Where the questions come from: a key of `saccade.tasks.BUILT_IN`, or "pkg.mod:Class"."""
    dialect: DialectPart = DialectPart()
    tools: dict[str, Table] = Field(default_factory=_only_zoom)
    """Name of a tool -> its options; a key of `saccade.tools.BUILT_IN`, or "pkg.mod:Class"."""
    environment: EnvironmentSection = EnvironmentSection()
    policy: Part | None = None
    """What writes the turns: a key of `saccade.policies.BUILT_IN`, or "pkg.mod:Class"."""
    sampling: Sampling = Sampling()
    reward: RewardOptions = RewardOptions()
    canary: bool = True
    """Whether a model is asked before the run if it sees, by a few questions of its own; see
    `saccade.canary.warning`. A model that seems blind is named in a warning."""


def make_tasks(recipe: Recipe) -> Iterator[Task]:
    """The tasks of a recipe, lazily.

    Raises:
        ConfigError: no `tasks` section, or one that cannot be used.
        PluginError: while they are drawn: the source raised.
    """
    return drawn_from(task_source(recipe), recipe)


def count_tasks(recipe: Recipe) -> int | None:
    """How many tasks a recipe has, if that is known beforehand."""
    return task_source(recipe).count()


def task_source(recipe: Recipe) -> TaskSource:
    """Where the tasks of a recipe come from.

    Raises:
        ConfigError: no `tasks` section, or one that cannot be used.
    """
    if recipe.tasks is None:
        raise ConfigError('tasks: missing; for example tasks = { kind = "world", family = "read" }')
    return cast(TaskSource, build(recipe.tasks, tasks.BUILT_IN, "tasks"))


def make_environment(recipe: Recipe) -> Environment:
    """The environment of a recipe.

    Raises:
        ConfigError: an unknown dialect, tool or option.
        FormatError: the prompt file holds no usable row.
    """
    section = recipe.environment
    return Environment(
        _make_dialect(recipe.dialect),
        [_make_tool(name, options) for name, options in recipe.tools.items()],
        limits=section.limits,
        view=section.view,
        observation=section.observation,
        coords=section.coords,
        color=section.color,
    )


def check_policy(recipe: Recipe) -> None:
    """Find mistakes in the `policy` section, without making the policy and without torch.

    Raises:
        ConfigError: no `policy` section, or one that cannot be used.
        MissingExtra: the policy needs an optional dependency.
    """
    if recipe.policy is None:
        raise ConfigError(
            "policy: missing; name a server with policy.kind=openai policy.base_url=URL "
            "policy.model=NAME, or a local model with policy.kind=hf policy.path=FOLDER"
        )
    kind = recipe.policy.kind
    if kind in policies.OPTIONS:
        build(recipe.policy, policies.OPTIONS, "policy")
    else:
        resolve(kind, policies.BUILT_IN, "policy")
    require(*policies.NEEDS.get(kind, ()))


def make_policy(recipe: Recipe) -> Policy:
    """The policy of a recipe.

    Raises:
        ConfigError: no `policy` section, or one that cannot be used.
        MissingExtra: the policy needs an optional dependency.
    """
    check_policy(recipe)
    assert recipe.policy is not None
    return cast(Policy, build(recipe.policy, policies.BUILT_IN, "policy"))


def make_reward(recipe: Recipe, *, training: bool = False) -> Reward:
    """The reward of a recipe; `training` says whether a policy learns from it."""
    return recipe.reward.make(training=training)


def drawn_from(source: TaskSource, recipe: Recipe) -> Iterator[Task]:
    """The tasks of a source, as a recipe draws them, lazily.

    Raises:
        ConfigError: two of them have one id.
        PluginError: the source raised.
    """
    places: dict[str, int] = {}
    with guarded("tasks"):
        drawn = source.tasks(seed=recipe.seed, max_pixels=recipe.max_image_pixels)
        for place, task in enumerate(drawn, start=1):
            if (earlier := places.setdefault(task.id, place)) != place:
                raise ConfigError(
                    f"tasks: two questions are called {task.id!r}, number {earlier} and number "
                    f"{place}; each needs an id of its own"
                )
            yield task


def _make_dialect(part: Part) -> Dialect:
    options = part.options
    prompts = options.pop("prompts", None)
    chosen = Part.model_validate({**options, "kind": part.kind})
    dialect = cast(Dialect, build(chosen, dialects.BUILT_IN, "dialect"))
    if prompts is None:
        return dialect
    # No prompt is published for an environment without tools: ours is used there.
    texts, ours = read_prompts(str(prompts)), dialect.default_prompts.without_tools
    # DeepEyes repeats the instructions of a row after each result; DeepEyesV2 does not.
    repeated = texts.observation if dialect.default_prompts.observation else ""
    shown = texts.model_copy(update={"observation": repeated})
    published = Prompts(**shown.model_dump(), without_tools=ours)
    named = chosen.model_copy(update={"prompts": published.model_dump()})
    return cast(Dialect, build(named, dialects.BUILT_IN, "dialect"))


def _make_tool(name: str, options: Mapping[str, JsonValue]) -> Tool:
    chosen = Part.model_validate({**options, "kind": name})
    return cast(Tool, build(chosen, tools.BUILT_IN, f"tools.{name}"))
