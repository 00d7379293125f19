"""Turns written by a local model, a batch at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import torch
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

from saccade.errors import ContextOverflow
from saccade.models.batch import FeatureCache, collate, encode_images
from saccade.models.load import LoadedModel
from saccade.models.sampler import Forcing, Sampler, Stopper
from saccade.render.qwen_vl import Rendered
from saccade.types import Completion, Sampling, Trajectory


class TurnRequest(NamedTuple):
    """A turn that is to be written."""

    rendered: Rendered
    """The trajectory so far, with the opening of the turn."""
    sampling: Sampling
    limit: int
    """Tokens at most."""


@torch.inference_mode()
def write_turns(
    loaded: LoadedModel,
    requests: Sequence[TurnRequest],
    *,
    cache: FeatureCache | None = None,
) -> list[Completion]:
    """Write turns as one batch; each is what it would be alone.

    Args:
        loaded: The model.
        requests: What is to be written.
        cache: Features of images under the weights that the model has now; new ones are added.

    Raises:
        ConfigError: a sampling asks for what this model cannot do.
    """
    started = time.monotonic()
    model, renderer = loaded.model, loaded.renderer
    samplings = [request.sampling for request in requests]
    limits = [request.limit for request in requests]
    forces = [Forcing(s.force, renderer) if s.force else None for s in samplings]
    sampler = Sampler(samplings, renderer.suppressed, loaded.device, forces)
    stopper = Stopper(samplings, limits, renderer)
    batch = collate(loaded, [request.rendered for request in requests], side="left")
    seen = encode_images(model, batch, cache=cache)
    sequences = model.generate(
        **batch.text(),
        position_ids=batch.position_ids,
        **({"mm_encoder_outputs": seen} if seen else {}),
        generation_config=GenerationConfig(
            do_sample=False,
            max_new_tokens=max(limits),
            eos_token_id=renderer.end_of_turn,
            pad_token_id=renderer.pad,
            repetition_penalty=1.0,
        ),
        logits_processor=LogitsProcessorList([sampler]),
        stopping_criteria=StoppingCriteriaList([stopper]),
    )
    new = sequences[:, batch.input_ids.shape[1] :].tolist()
    seconds = time.monotonic() - started
    completions = []
    for row, (ids, request) in enumerate(zip(new, requests, strict=True)):
        ids = ids[: stopper.lengths[row]]
        ended = renderer.end_of_turn in ids
        if ended:
            ids = ids[: ids.index(renderer.end_of_turn) + 1]
        completions.append(
            Completion(
                text=renderer.decode(ids),
                finish="stop" if ended or stopper.stopped[row] else "length",
                token_ids=tuple(ids),
                log_probs=tuple(sampler.log_probs[row][: len(ids)]),
                model=loaded.path,
                prompt_tokens=len(request.rendered.ids),
                completion_tokens=len(ids),
                seconds=seconds,
            )
        )
    return completions


def request_turn(loaded: LoadedModel, trajectory: Trajectory, sampling: Sampling) -> TurnRequest:
    """What is to be written next.

    Raises:
        ContextOverflow: the prompt fills the context.
        RenderError: an image that was not fitted for this model.
    """
    rendered = loaded.renderer.render(trajectory, generation=True)
    own = int(loaded.model.config.get_text_config().max_position_embeddings)
    room = min(trajectory.environment.limits.max_context, own) - len(rendered.ids)
    if room < 1:
        raise ContextOverflow(f"{trajectory.id}: {len(rendered.ids)} tokens fill the context")
    return TurnRequest(rendered, sampling, min(sampling.max_tokens, room))
