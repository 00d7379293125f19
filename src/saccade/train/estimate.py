"""What a step of a recipe will cost on a given model: tokens, images, memory.

Counted: weights, gradients, optimiser states (AdamW in float32), the reference model, the cache
of a generation, the logits that exist at one time. Estimated, from the shapes: activations.
Nothing is loaded: the model is built without memory from its configuration alone.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForImageTextToText, Qwen2_5_VLConfig
from transformers.configuration_utils import PreTrainedConfig

from saccade.errors import ConfigError
from saccade.models.scores import CHUNK
from saccade.train.recipe import RLRecipe
from saccade.types import Record
from saccade.untrusted.checkpoints import refuse_code

GIB = 2**30

_QWEN_7B: dict[str, dict[str, object]] = {
    "text_config": {
        "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
        "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064,
    },
    "vision_config": {"hidden_size": 1280, "out_hidden_size": 3584},
}  # fmt: skip

SHAPES: dict[str, dict[str, dict[str, object]]] = {
    "Qwen/Qwen2.5-VL-3B-Instruct": {
        "text_config": {
            "hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36,
            "num_attention_heads": 16, "num_key_value_heads": 2, "vocab_size": 151936,
            "tie_word_embeddings": True,
        },
        "vision_config": {"hidden_size": 1280, "out_hidden_size": 2048},
    },
    "Qwen/Qwen2.5-VL-7B-Instruct": _QWEN_7B,
    "honglyhly/DeepEyesV2_7B_SFT_1031": _QWEN_7B,
}  # fmt: skip
"""Of models that a run file may name before they are on the disk. Source: their config.json; what
is not said here is the default of the class. The last one was trained from the one before."""


class Estimate(Record):
    """What one step takes. Memory is in GiB, for each process."""

    model: str
    parameters: int
    """Number of parameters of the model."""
    trained: int
    """Number of those that are trained."""
    prompt_tokens: int
    """Largest number of tokens of an image of the question."""
    crop_tokens: int
    """Largest number of tokens of an image that a tool returns."""
    context: int
    """Largest number of tokens of an episode."""
    episodes: int
    """Number of episodes of a step, over all processes."""
    images: int
    """Largest number of images that the tools of a step return."""
    tokens: int
    """Largest number of tokens of a step."""
    weights: float
    """Weights of the model."""
    gradients: float
    """Gradients of what is trained."""
    optimiser: float
    """States of AdamW, in float32."""
    reference: float
    """Copy of the weights of the reference model."""
    gathered: float
    """Shards of the weights that a process gathers to generate."""
    cache: float
    """Keys and values while the episodes of a process are generated at one time."""
    activations: float
    """Activations of a forward pass with gradient: an estimate."""
    logits: float
    """Logits that exist at one time."""

    @property
    def total(self) -> float:
        """At its peak: generation and update do not overlap."""
        resident = self.weights + self.reference + self.optimiser
        generation = self.gathered + self.cache
        return resident + max(generation, self.gradients + self.activations + self.logits)

    def lines(self, processes: int) -> list[str]:
        """What is counted, in sentences for a person."""
        parts = (
            "weights", "reference", "gradients", "optimiser", "activations", "logits", "gathered",
            "cache",
        )  # fmt: skip
        each = ", ".join(f"{name} {getattr(self, name):,.1f}" for name in parts)
        return [
            f"{self.model}: {self.parameters / 1e6:,.1f} million parameters, "
            f"{self.trained / 1e6:,.1f} of them trained",
            f"a step: {self.episodes:,} episodes of at most {self.context:,} tokens "
            f"({self.prompt_tokens:,} an image of the question, {self.crop_tokens:,} a crop), "
            f"{self.tokens / 1e6:,.1f} million tokens and {self.images:,} images at most",
            f"GiB for each of {processes} process(es): {each}",
        ]


def estimate(recipe: RLRecipe, *, processes: int = 1, sharded: bool = False) -> Estimate:
    """What a step costs.

    Args:
        recipe: The run file.
        processes: Number of processes that train together.
        sharded: Whether weights, gradients and optimiser states are shared out among them (ZeRO-3,
            FSDP).

    Raises:
        ConfigError: the model is neither a folder, nor one whose shape is known.
    """
    config, options = config_of(recipe.model), recipe.train
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    model.tie_weights()
    vision = sum(p.numel() for p in model.model.visual.parameters())
    parameters = sum(p.numel() for p in model.parameters())
    trained = parameters - (vision if options.freeze_vision else 0)
    if options.lora is not None:
        names = tuple(options.lora.targets)
        layers = [m for n, m in model.model.language_model.named_modules() if n.endswith(names)]
        trained = sum(options.lora.rank * (m.in_features + m.out_features) for m in layers)
    text, size = config.get_text_config(), 2 if options.dtype == "bfloat16" else 4
    limits, section = recipe.environment.limits, recipe.environment
    view, crop = section.view, section.observation or section.view
    episodes = options.prompts * options.group * options.oversample
    own = min(episodes // processes, options.generation_batch or episodes)
    context = min(limits.max_context, text.max_position_embeddings)
    micro = options.micro_batch or options.prompts * options.group // processes // options.updates
    share = processes if sharded else 1
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    kept = 2 * text.num_hidden_layers * text.num_key_value_heads * head * size
    # A layer keeps about its input, what attention needs, and three times the width of its MLP;
    # with checkpointing only its input, and one layer at a time in full.
    layer = (10 * text.hidden_size + 3 * text.intermediate_size) * size
    alive = text.num_hidden_layers * layer
    if options.gradient_checkpointing:
        alive = text.num_hidden_layers * text.hidden_size * size + layer
    copied = options.kl > 0 or (options.kl_logged and options.lora is None)
    return Estimate(
        model=recipe.model,
        parameters=parameters,
        trained=trained,
        prompt_tokens=view.max_pixels // view.factor**2,
        crop_tokens=crop.max_pixels // crop.factor**2,
        context=context,
        episodes=episodes,
        images=episodes * min(limits.max_images, limits.max_turns),
        tokens=episodes * context,
        weights=parameters * size / share / GIB,
        gradients=trained * size / share / GIB,
        optimiser=trained * 8 / share / GIB,
        reference=parameters * size / share / GIB if copied else 0.0,
        gathered=parameters * size * (1 - 1 / share) / GIB,
        cache=own * context * kept / GIB,
        activations=micro * context * alive / GIB,
        logits=2 * min(CHUNK, micro * context) * text.vocab_size * 4 / GIB,
    )


def config_of(model: str) -> PreTrainedConfig:
    """The configuration of a model, from its folder or from what is known of it.

    Raises:
        ConfigError: neither.
    """
    if (Path(model) / "config.json").is_file():
        refuse_code(model)
        return AutoConfig.from_pretrained(model, trust_remote_code=False)
    if model in SHAPES:
        return Qwen2_5_VLConfig(**SHAPES[model])
    raise ConfigError(
        f"model: {model!r} is no folder with a config.json, and its shape is not known; known are "
        f"{', '.join(SHAPES)}"
    )
