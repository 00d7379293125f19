"""The run file of `saccade rl`, and the published algorithms as presets of its options.

# saccade rl recipes/nano_deepeyes.toml
model = "nano-base"
out = "runs/nano-deepeyes"
tasks = { kind = "world", family = "read", split = "train", n = 100000 }
sampling.temperature = 1.0
reward.preset = "deepeyes"
train = { preset = "deepeyes", prompts = 8, group = 8, steps = 150, learning_rate = 3e-4 }
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, JsonValue, model_validator

from saccade.config import suggestion
from saccade.recipe import Recipe
from saccade.train.counterfactual import Counterfactual
from saccade.train.groups import Mask, Scale, Select
from saccade.train.probe import AnswerProbe
from saccade.types import Record, Sampling

PRESETS: dict[str, dict[str, JsonValue]] = {
    "deepeyes": {
        "prompts": 256, "group": 16, "updates": 1, "learning_rate": 1e-6, "weight_decay": 0.01,
        "max_grad_norm": 1.0, "clip": 0.2, "kl": 0.0, "loss": "dapo", "scale": "group",
    },
    "dapo": {
        "prompts": 512, "group": 16, "updates": 16, "learning_rate": 1e-6, "weight_decay": 0.1,
        "max_grad_norm": 1.0, "clip": 0.2, "clip_high": 0.28, "kl": 0.0, "loss": "dapo",
        "scale": "group", "select": "varied", "oversample": 3, "mask": ["over_long"],
        "warmup_steps": 20, "save_steps": 64,
    },
    "pyvision": {
        "select": "most_varied", "oversample": 2, "loss": "dapo", "kl": 0.0, "scale": "group",
    },
}  # fmt: skip
"""Options of published algorithms; what a run file says itself comes before them.

- `deepeyes`: DeepEyes (arXiv 2505.14362), its training script: GRPO, no KL, one update a batch.
- `dapo`: DAPO (arXiv 2503.14476): clip-higher, groups without variance replaced, token mean, over-
  long answers masked. It draws until a batch is full; here each step draws `oversample` times the
  prompts, and a step that finds too few varied groups is smaller.
- `pyvision`: PyVision-RL (arXiv 2602.20739): oversample, filter, rank groups by their deviation.
  Its accumulative tool reward is the reward preset of that name. Sizes are ours.
"""


class LoRA(Record):
    """Low-rank adapters on the language model; the result is merged."""

    rank: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: tuple[str, ...] = Field(
        default=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        min_length=1,
    )
    """Names of the linear layers that get one."""


class Training(Record):
    """The `train` section of a run file."""

    preset: str = "deepeyes"
    """A key of `PRESETS`."""
    steps: int = Field(default=80, ge=1)
    """Optimiser steps."""
    prompts: int = Field(default=8, ge=1)
    """Questions a step, over all processes."""
    group: int = Field(default=8, ge=2)
    """Attempts at each question."""
    shuffle: int = Field(default=0, ge=0)
    """Questions are drawn at random from the next so many; 0 keeps their order."""
    oversample: int = Field(default=1, ge=1)
    """Questions that are attempted for each that is learned from."""
    select: Select = "all"
    """Which groups are learned from: all; those whose scores differ, as they come (DAPO); those,
    the ones with the largest deviation first (PyVision-RL)."""
    updates: int = Field(default=1, ge=1)
    """Optimiser steps for each batch of episodes; `prompts` are shared out among them."""
    micro_batch: int | None = Field(default=None, ge=1)
    """Episodes in one forward pass of a process; None takes all that a step has for it."""
    generation_batch: int | None = Field(default=None, ge=1)
    """Turns that a process writes at one time; None writes all that a round has for it."""
    learning_rate: float = Field(default=1e-6, gt=0)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup_steps: int = Field(default=0, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    clip: float = Field(default=0.2, gt=0)
    """The ratio of probabilities is clipped to 1 - clip ..."""
    clip_high: float | None = Field(default=None, gt=0)
    """... and 1 + clip_high; None: the same. Source: DAPO, section 3.1."""
    kl: float = Field(default=0.0, ge=0)
    """Weight of the KL divergence to the start in the loss."""
    kl_logged: bool = True
    """Log it in any case, at the cost of a forward pass, and of a copy of the weights without
    `lora`."""
    loss: str = "dapo"
    """A `loss_type` of TRL: "dapo" is the mean over tokens, "grpo" that over episodes, ..."""
    scale: Scale = "group"
    """By which standard deviation scores are divided; "none" is Dr. GRPO (arXiv 2503.20783)."""
    mask: tuple[Mask, ...] = ()
    """What is not learned from, although it is scored: episodes whose turn was cut or whose context
    was full (`over_long`; DAPO, section 3.4), that used up their turns (`over_turn`; Mini-o3,
    arXiv 2509.07969), and what came after `failures` failed calls in a row (`tool_failure`)."""
    failures: int = Field(default=3, ge=1)
    """Failed calls in a row that are fatal. What follows is masked, and what came before is never
    worth less than 0: OpenSearch-VL's fatal-aware GRPO (arXiv 2605.05185); the number is ours."""
    counterfactual: Counterfactual | None = None
    """Some of each group are forced to call, some to answer; see `saccade.train.counterfactual`."""
    probe: AnswerProbe | None = None
    """Calls are credited with what they changed about the answer; see `saccade.train.probe`."""
    freeze_vision: bool = True
    lora: LoRA | None = None
    gradient_checkpointing: bool = False
    save_steps: int = Field(default=50, ge=1)
    save_dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the weights in the result."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the weights in training."""
    device: Literal["cpu", "auto"] = "auto"
    """"auto" takes an accelerator where there is one."""
    keep_every: int = Field(default=0, ge=0)
    """Keep the episodes of every so many steps, and of the last; 0 keeps none."""
    patience: float = Field(default=1800.0, gt=0)
    """Seconds after which a generation or a tool that has not come back is named."""
    trl: dict[str, JsonValue] = Field(default_factory=dict)
    """Further options of `trl.GRPOConfig`: `report_to`, `deepspeed`, `use_vllm`, ..."""

    @model_validator(mode="before")
    @classmethod
    def _over_a_preset(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        name = data.get("preset", "deepeyes")
        if name not in PRESETS:
            hint = suggestion(str(name), PRESETS)
            raise ValueError(f"preset: there is no {name!r}{hint}; there are {', '.join(PRESETS)}")
        return PRESETS[name] | data

    @model_validator(mode="after")
    def _shares_are_whole(self) -> Self:
        forced = self.counterfactual
        if forced is not None and forced.call + forced.answer > self.group:
            raise ValueError(
                f"counterfactual: {forced.call} + {forced.answer} forced members in a group of "
                f"{self.group}"
            )
        if forced is not None and self.probe is not None:
            raise ValueError("probe: counterfactual groups weigh calls already; choose one of both")
        if self.prompts % self.updates:
            raise ValueError(
                f"prompts = {self.prompts} cannot be shared among {self.updates} updates"
            )
        if self.save_steps % self.updates:
            raise ValueError(
                f"save_steps: {self.save_steps} is no multiple of {self.updates} updates; a "
                "checkpoint is written when all of a batch was learned from"
            )
        return self


class RLRecipe(Recipe):
    """A run file of `saccade rl`: environment, tasks and reward as of `saccade rollout`."""

    model: str
    """A folder with a checkpoint, or a model id of the hub."""
    out: str
    """Checkpoints, metrics, episodes and, in `model/`, the result."""
    sampling: Sampling = Sampling(temperature=1.0)
    train: Training = Training()

    @model_validator(mode="after")
    def _the_model_is_the_policy(self) -> Self:
        if self.policy is not None:
            raise ValueError("policy: `model` is what acts and learns; leave `policy` out")
        if self.sampling.temperature == 0:
            raise ValueError("sampling.temperature: a group of greedy episodes is one episode")
        if self.sampling.top_p < 1 or self.sampling.force:
            raise ValueError(
                "sampling: top_p and force make another policy act than the one that is trained"
            )
        return self
