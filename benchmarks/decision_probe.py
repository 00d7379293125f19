"""What a model knows where it decides: a linear probe before and after the thought.

    python benchmarks/decision_probe.py [--model nano-base] [--n 800] [--seed 3000] [--json FILE]

Half of the questions are `read1` (a small object is asked, a large one is there too), half `easy`
(the large one is asked); the words are the same. A logistic regression on the hidden state tells
them apart, five-fold, at two positions: the last token of the prompt, and the last of the thought
that the model itself wrote (greedy; of a model that writes none, the first alone). Chance is .5.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from saccade.embedded import resolve
from saccade.measures.intervals import wilson
from saccade.models.batch import collate, encode_images
from saccade.models.generate import request_turn, write_turns
from saccade.models.load import load
from saccade.models.threads import use_threads
from saccade.nano.evaluate import questions
from saccade.nano.spec import environment
from saccade.types import Sampling, Task

FOLDS, RIDGE, CHUNK = 5, 1e-2, 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--model", default="nano-base")
    parser.add_argument("--n", type=int, default=800)
    parser.add_argument("--seed", type=int, default=3000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    use_threads(1)
    asked = [
        task
        for family in ("read1", "easy")
        for task in questions(family, n=options.n // 2, seed=options.seed)
    ]
    labels = np.array([0] * (options.n // 2) + [1] * (options.n // 2))
    states = collect(options.model, asked)
    found = {
        "command": f"python benchmarks/decision_probe.py --model {options.model} --n {options.n} "
        f"--seed {options.seed}",
        "model": options.model,
        "n": options.n,
        "layers": {
            place: [probe(layer, labels) for layer in layers] for place, layers in states.items()
        },
    }
    print(json.dumps(found, indent=1))
    if options.json:
        options.json.write_text(json.dumps(found) + "\n")


@torch.inference_mode()
def collect(model: str, asked: list[Task]) -> dict[str, list[np.ndarray]]:
    """Place -> for each layer (n, width) hidden states."""
    loaded = load(resolve(model))
    seams = environment().dialect.seams
    assert seams.thought is not None
    closing = loaded.renderer.encode(seams.thought.closing)[0]
    kept: dict[str, list[list[np.ndarray]]] = {"end of the prompt": [], "after the thought": []}
    thoughts = 0
    for at in range(0, len(asked), CHUNK):
        begun = [environment().begin(task) for task in asked[at : at + CHUNK]]
        requests = [request_turn(loaded, t, Sampling(max_tokens=64)) for t in begun]
        rendered = []
        for request, written in zip(requests, write_turns(loaded, requests), strict=True):
            ids = list(written.token_ids or ())
            thoughts += closing in ids
            thought = ids[: ids.index(closing) + 1] if closing in ids else ids
            rendered.append(request.rendered._replace(ids=[*request.rendered.ids, *thought]))
        batch = collate(loaded, rendered, side="right")
        out = loaded.model.model(
            **batch.text(),
            position_ids=batch.position_ids,
            mm_encoder_outputs=encode_images(loaded.model, batch),
            use_cache=False,
            output_hidden_states=True,
        )
        rows = torch.arange(len(rendered))
        ends = {
            "end of the prompt": torch.tensor([len(r.rendered.ids) - 1 for r in requests]),
            "after the thought": torch.tensor([len(r.ids) - 1 for r in rendered]),
        }
        for place, end in ends.items():
            kept[place].append([layer[rows, end].numpy() for layer in out.hidden_states])
    if not thoughts:
        del kept["after the thought"]
    return {
        place: [np.concatenate(layer) for layer in zip(*chunks, strict=True)]
        for place, chunks in kept.items()
    }


def probe(states: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Held-out accuracy of a logistic regression, with its interval."""
    order = np.random.default_rng(0).permutation(len(labels))
    right = 0
    for fold in range(FOLDS):
        held = order[fold::FOLDS]
        train = np.setdiff1d(order, held)
        mean, spread = states[train].mean(0), states[train].std(0) + 1e-6
        scaled = torch.tensor((states - mean) / spread, dtype=torch.float64)
        weight = fit(scaled[train], torch.tensor(labels[train], dtype=torch.float64))
        said = (scaled[held] @ weight[:-1] + weight[-1] > 0).long().numpy()
        right += int((said == labels[held]).sum())
    low, high = wilson(right, len(labels))
    return {"accuracy": right / len(labels), "low": low, "high": high}


def fit(x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Weights and bias of a logistic regression."""
    weight = torch.zeros(x.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        logits = x @ weight[:-1] + weight[-1]
        value = torch.nn.functional.binary_cross_entropy_with_logits(logits, target)
        value = value + RIDGE * weight[:-1].square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    return weight.detach()


if __name__ == "__main__":
    main()
