"""The run files of `saccade rl` and `saccade sft`, and the published algorithms as presets.

They are validated before torch is imported: nothing of it is imported here.

# saccade rl recipes/nano_deepeyes.toml
model = "nano-base"
out = "runs/nano-deepeyes"
tasks = { kind = "world", family = "read", split = "train", n = 100000 }
sampling.temperature = 1.0
reward.preset = "deepeyes"
train = { preset = "deepeyes", prompts = 8, group = 8, steps = 150, learning_rate = 3e-4 }
"""

from __future__ import annotations

from math import ceil
from typing import Literal, Self

from pydantic import Field, JsonValue, computed_field, model_validator

from saccade.config import suggestion
from saccade.recipe import Recipe
from saccade.types import Record, Sampling

Mask = Literal["over_long", "over_turn", "tool_failure"]
Scale = Literal["group", "batch", "none"]
Select = Literal["all", "varied", "most_varied"]

PRESETS: dict[str, dict[str, JsonValue]] = {
    "deepeyes": {
        "prompts": 256, "group": 16, "updates": 1, "learning_rate": 1e-6, "weight_decay": 0.01,
        "max_grad_norm": 1.0, "clip_range": 0.2, "kl": 0.0, "loss": "dapo", "scale": "group",
    },
    "deepeyes_v2": {
        "prompts": 256, "group": 16, "updates": 8, "learning_rate": 1e-6, "weight_decay": 0.01,
        "max_grad_norm": 1.0, "clip_range": 0.2, "clip_range_high": 0.3, "kl": 0.0, "loss": "dapo",
        "scale": "group", "steps": 480, "save_steps": 32,
    },
    "dapo": {
        "prompts": 512, "group": 16, "updates": 16, "learning_rate": 1e-6, "weight_decay": 0.1,
        "max_grad_norm": 1.0, "clip_range": 0.2, "clip_range_high": 0.28, "kl": 0.0,
        "loss": "dapo", "scale": "group", "select": "varied", "oversample": 3, "warmup_steps": 20,
        "mask": ["over_long"], "save_steps": 64,
    },
    "pyvision": {
        "select": "most_varied", "oversample": 2, "loss": "dapo", "kl": 0.0, "scale": "group",
    },
}  # fmt: skip
"""Options of published algorithms; what a run file says itself comes before them.

- `deepeyes`: DeepEyes (arXiv 2505.14362), its training script: GRPO, no KL, one update a batch.
- `deepeyes_v2`: DeepEyesV2 (arXiv 2511.05271) and its training script: eight updates a
  batch, token mean, no KL, a checkpoint every four batches. The clip range is the paper's; its
  script has .2 on both sides. 480 steps are the 60 batches of the paper's curves.
- `dapo`: DAPO (arXiv 2503.14476): clip-higher, groups without variance replaced, token mean, over-
  long answers masked. It draws until a batch is full; here each step draws `oversample` times the
  prompts, and a step that finds too few varied groups is smaller.
- `pyvision`: PyVision-RL (arXiv 2602.20739): oversample, filter, rank groups by their deviation.
  Its accumulative tool reward is the reward preset of that name. Sizes are ours.
"""


class LoRA(Record):
    """Low-rank adapters on the language model; they are merged into the result."""

    rank: int = Field(default=16, ge=1)
    """Rank of the adapters."""
    alpha: int = Field(default=32, ge=1)
    """Numerator of their scale, alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of their inputs that is dropped in training."""
    targets: tuple[str, ...] = Field(
        default=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        min_length=1,
    )
    """Names of the linear layers that get an adapter."""


class Counterfactual(Record):
    """The `train.counterfactual` section of a run file."""

    call: int = Field(default=2, ge=1)
    """Number of members of a group that must call."""
    answer: int = Field(default=2, ge=1)
    """Number of members of a group that must answer."""
    decision: Literal["cross_entropy", "exact", "sampled"] = "cross_entropy"
    """How the tokens that decide are trained, given that the better move leads by a gap (in
    deviations): `cross_entropy` raises their log-probability in the better move by the gap; `exact`
    follows the gradient of the expected reward, the gap times p (1 - p); `sampled` treats forced
    tokens as if they had been sampled, half the gap up or down."""
    learn_thought: bool = False
    """Whether the thought is trained by the advantage of what followed it."""


class AnswerProbe(Record):
    """The `train.probe` section of a run file."""

    weight: float = Field(default=1.0, gt=0)
    """Weight of the gain of a call, beside an advantage in deviations of the group."""


class DropHopeless(Record):
    """The `train.drop_hopeless` section of a run file."""

    questions: int = Field(default=32, ge=1)
    """Number of questions of a family in a row, of which no attempt was right, after which it is
    dropped."""
    batches: int = Field(default=3, ge=1)
    """Number of batches in a row, with such questions and no right attempt, that it takes as
    well."""


class Training(Record):
    """The `train` section of a run file."""

    preset: str = "deepeyes"
    """Name of a published algorithm, a key of `PRESETS`, whose options hold where none is given."""
    steps: int = Field(default=80, ge=1)
    """Number of optimiser steps."""
    prompts: int = Field(default=8, ge=1)
    """Number of prompts that a step is trained on, over all processes."""
    group: int = Field(default=8, ge=2)
    """Number of episodes for each prompt: the size of a group."""
    shuffle: int = Field(default=0, ge=0)
    """Number of upcoming prompts from which the next one is drawn at random; 0 keeps their
    order."""
    oversample: int = Field(default=1, ge=1)
    """Number of prompts that are sampled for each that is trained on."""
    select: Select = "all"
    """Which groups are trained on: `all`; those whose rewards differ, as they come (`varied`,
    DAPO); or those whose rewards differ most (`most_varied`, PyVision-RL)."""
    updates: int = Field(default=1, ge=1)
    """Number of optimiser steps for each batch of episodes; `prompts` are shared out among them."""
    micro_batch: int | None = Field(default=None, ge=1)
    """Number of episodes in one forward pass of a process; None takes all that a step has for
    it."""
    generation_batch: int | None = Field(default=None, ge=1)
    """Number of turns that a process generates at one time; None generates all that a round has for
    it."""
    learning_rate: float = Field(default=1e-6, gt=0)
    """Learning rate of AdamW after the warm-up."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """How the learning rate goes on after the warm-up."""
    warmup_steps: int = Field(default=0, ge=0)
    """Number of steps over which the learning rate rises from 0."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Weight decay of AdamW."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Norm to which a longer gradient is scaled down."""
    clip_range: float = Field(default=0.2, gt=0)
    """The ratio of probabilities is clipped to 1 - clip_range and 1 + clip_range."""
    clip_range_high: float | None = Field(default=None, gt=0)
    """The upper bound is 1 + clip_range_high instead, if it is given. Source: DAPO, section 3.1."""
    kl: float = Field(default=0.0, ge=0)
    """Weight in the loss of the KL divergence from the reference model: the one that the training
    started from."""
    kl_logged: bool = True
    """Whether the divergence is logged where it has no weight. It costs a forward pass and, without
    `lora`, a copy of the weights."""
    loss: str = "dapo"
    """Name of a `loss_type` of TRL: "dapo" is the mean over tokens, "grpo" that over episodes."""
    scale: Scale = "group"
    """Whose standard deviation rewards are divided by; "none" is Dr. GRPO (arXiv 2503.20783)."""
    mask: tuple[Mask, ...] = ()
    """What is not trained on, although it has a reward: episodes whose turn was cut or whose
    context was full (`over_long`; DAPO, section 3.4), that used up their turns (`over_turn`;
    Mini-o3, arXiv 2509.07969), and what came after `failures` failed calls in a row
    (`tool_failure`)."""
    failures: int = Field(default=3, ge=1)
    """Number of failed calls in a row that are fatal. What follows is masked, and what came before
    never has a negative advantage: OpenSearch-VL's fatal-aware GRPO (arXiv 2605.05185); the number
    is ours."""
    counterfactual: Counterfactual | None = None
    """Some of each group are forced to call, some to answer; see
    `saccade.train.credit.counterfactual`."""
    probe: AnswerProbe | None = None
    """Calls are credited with what they changed about the answer; see
    `saccade.train.credit.probe`."""
    drop_hopeless: DropHopeless | None = None
    """When a family of questions that is never answered right leaves the draw; None: it stays, and
    a warning names it. The last family always stays. See `saccade.train.families`."""
    freeze_vision: bool = True
    """Whether the vision tower keeps its weights."""
    lora: LoRA | None = None
    """Adapters that are trained instead of the weights."""
    gradient_checkpointing: bool = False
    """Whether activations are computed again for the gradient instead of being held."""
    save_steps: int = Field(default=50, ge=1)
    """Number of steps between two checkpoints."""
    save_dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Type of the weights in the result."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the weights in training."""
    device: Literal["cpu", "auto"] = "auto"
    """Where the model is trained; "auto" takes an accelerator where there is one."""
    keep_every: int = Field(default=0, ge=0)
    """Episodes are kept of one batch in so many, and of the last one; 0 keeps none."""
    canary_every: int = Field(default=10, ge=0)
    """Number of steps between two measurements of `visual_accuracy`, by a few questions about what
    is drawn large; 0 measures it before the first step alone, `canary = false` never."""
    collective_timeout_s: float = Field(default=1800.0, gt=0)
    """Seconds after which a generation that has not come back ends the run, and a tool is named in
    a warning."""
    trl: dict[str, JsonValue] = Field(default_factory=dict)
    """Further options of `trl.GRPOConfig`: `report_to`, `deepspeed`, `use_vllm`, ..."""

    @computed_field(return_type=int | None)  # type: ignore[prop-decorator]
    @property
    def schedule_steps(self) -> int | None:
        """The number of steps over which the learning rate falls; None where it is constant.

        More steps of a constant rate prolong a run; a schedule of another length is another run.
        """
        return None if self.schedule == "constant" else self.steps

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
            raise ValueError(
                "probe: counterfactual groups credit calls already; choose one of both"
            )
        if self.prompts % self.updates:
            raise ValueError(
                f"prompts = {self.prompts} cannot be shared among {self.updates} updates"
            )
        for name in ("steps", "save_steps"):  # there is a checkpoint at the last step, too
            if (value := getattr(self, name)) % self.updates:
                raise ValueError(
                    f"{name}: {value} is no multiple of {self.updates} updates; a checkpoint is "
                    "written when all of a batch was trained on"
                )
        return self


class RLRecipe(Recipe):
    """A run file of `saccade rl`: environment, tasks and reward as of `saccade rollout`."""

    model: str
    """Folder of a checkpoint, or model id of the hub."""
    out: str
    """Folder of checkpoints, metrics, episodes and, in `model/`, the result."""
    sampling: Sampling = Sampling(temperature=1.0)
    train: Training = Training()

    @model_validator(mode="after")
    def _the_model_is_the_policy(self) -> Self:
        if self.policy is not None:
            raise ValueError("policy: `model` is what acts and is trained; leave `policy` out")
        if self.sampling.temperature == 0:
            raise ValueError("sampling.temperature: a group of greedy episodes is one episode")
        if self.sampling.top_p < 1 or self.sampling.force:
            raise ValueError(
                "sampling: top_p and force make another policy act than the one that is trained"
            )
        return self


class SFTRecipe(Record):
    """The run file of `saccade sft`."""

    model: str
    """Folder of a checkpoint, or model id of the hub."""
    out: str
    """Folder of checkpoints, metrics and, in `model/`, the result."""
    runs: tuple[str, ...] = Field(min_length=1)
    """Run folders with the demonstrations."""
    keep: Literal["right", "answered"] = "right"
    """Which episodes are trained on: those whose answer was right, or all that ended with an
    answer."""
    max_tokens: int = Field(default=8192, ge=1)
    """Number of tokens that a trajectory may have; a longer one is left out and counted."""
    max_image_tokens: int | None = Field(default=None, ge=1)
    """Number of tokens that an image may have; a trajectory with a larger one is left out and
    counted. How large images are shown was decided where the trajectories were made or imported."""
    seed: int = 0
    """Seed of the order of the examples."""
    steps: int = Field(default=100, ge=1)
    """Number of optimiser steps."""
    epochs: float | None = Field(default=None, gt=0)
    """Number of times that every example is trained on, instead of `steps`."""
    batch_size: int = Field(default=8, ge=1)
    """Number of examples in one forward pass."""
    accumulate: int = Field(default=1, ge=1)
    """Number of batches whose gradients are added up for one step."""
    learning_rate: float = Field(default=1e-5, gt=0)
    """Learning rate of AdamW after the warm-up."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """How the learning rate goes on after the warm-up."""
    warmup_steps: int = Field(default=0, ge=0)
    """Number of steps over which the learning rate rises from 0."""
    warmup_ratio: float = Field(default=0.0, ge=0, lt=1)
    """Share of all steps over which it rises, where `warmup_steps` is 0."""
    freeze_vision: bool = True
    """Whether the vision tower keeps its weights."""
    gradient_checkpointing: bool = False
    """Whether activations are computed again for the gradient instead of being held."""
    save_steps: int = Field(default=100, ge=1)
    """Number of steps between two checkpoints."""
    save_dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Type of the weights in the result; in training they are in float32."""
    device: Literal["cpu", "auto"] = "auto"
    """Where the model is trained; "auto" takes an accelerator where there is one."""
    trl: dict[str, JsonValue] = Field(default_factory=dict)
    """Further options of `trl.SFTConfig`: `bf16`, `optim`, `report_to`, ..."""

    @computed_field(return_type=int | None)  # type: ignore[prop-decorator]
    @property
    def schedule_steps(self) -> int | None:
        """The number of steps over which the learning rate falls; None where it is constant.

        More steps of a constant rate prolong a run; a schedule of another length is another run.
        """
        return None if self.schedule == "constant" or self.epochs is not None else self.steps

    def total_steps(self, examples: int) -> int:
        """The number of optimiser steps with so many examples."""
        if self.epochs is None:
            return self.steps
        batches = ceil(examples / self.batch_size)
        return ceil(self.epochs * ceil(batches / self.accumulate))
