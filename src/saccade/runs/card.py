"""The model card of a trained model: what its run folder knows of it, and nothing else.

It claims no licence and no use: those come with the base and the data, which Saccade does not know.
"""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePath

from pydantic import JsonValue

from saccade.files import MAX_KEPT_BYTES, read_lines, read_whole
from saccade.measures.intervals import wilson
from saccade.runs.manifest import Manifest, as_typed

CARD = "README.md"
MAX_LINE_BYTES = 2**20
SHOWN = {
    "reward": "reward", "tool_call_rate": "tool-call rate", "mean_iou": "mean IoU",
    "loss": "loss", "mean_token_accuracy": "token accuracy", "kl": "KL",
}  # fmt: skip
"""Metric of a step -> what a card calls it."""

LIBRARIES = ("saccade", "torch", "transformers", "trl", "vllm")


def model_card(run: Path, manifest: Manifest, fingerprints: tuple[str, ...]) -> str:
    """The card of the model that a training has written.

    Args:
        run: The folder of the training, with its metrics.
        manifest: What was run.
        fingerprints: Of the environments that the model was trained in.
    """
    base = str(manifest.config.get("model", ""))
    facts = {
        "base model": _code(model_name(base)),
        "trained by": _code(f"saccade {manifest.verb}"),
        "data": _data(run, manifest),
        "steps": _steps(manifest),
        "seed": str(manifest.seed),
        "environment": ", ".join(map(_code, fingerprints)) or "-",
        "command": _code(as_typed(manifest.command)),
        "versions": ", ".join(f"{n} {v}" for n, v in manifest.versions.items() if n in LIBRARIES),
    }
    if manifest.commit:
        changes = ", with changes that are in no commit" if manifest.dirty else ""
        facts["commit of Saccade"] = f"{_code(manifest.commit)}{changes}"
    rows = "\n".join(f"| {name} | {_cell(value)} |" for name, value in facts.items())
    return f"""---
library_name: transformers
{_base_of_the_hub(base)}tags:
- saccade
---

# {run.resolve().name}

A vision-language model, trained from {_code(model_name(base))} with Saccade.

| | |
|---|---|
{rows}

## The last step

{_last_step(run, manifest)}

## Using it

The folder of this file loads as its base does. In Saccade, with `FOLDER` for its path:

```sh
saccade solve PHOTO "QUESTION" policy.kind=hf policy.path=FOLDER
```

It was trained in the environment with the fingerprint above: dialect, prompts, tools, limits and
sizes of images. Another environment is another task for it, and Saccade says so. In transformers:
`AutoModelForImageTextToText.from_pretrained("FOLDER")`.

## Licence

None is stated here. The licences of the base model and of the data hold.
"""


def model_name(model: str) -> str:
    """A model without the folders of this machine above it: cards and pages may be published."""
    path = PurePath(model)
    if not path.is_absolute():
        return model
    # What a training writes is called `model`, whatever the run.
    return str(PurePath(*path.parts[-2:])) if path.name == "model" else path.name


def _base_of_the_hub(model: str) -> str:
    """The line by which the hub links a model to its base; a folder has no page there."""
    known = re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", model) and not Path(model).is_dir()
    return f"base_model: {model}\n" if known else ""


def _data(run: Path, manifest: Manifest) -> str:
    """Where the questions or the demonstrations came from."""
    if "runs" in manifest.config:
        examples = _read(run / "examples.json")
        runs = manifest.config["runs"]
        names = [model_name(str(path)) for path in runs] if isinstance(runs, list) else []
        count = f"{examples.get('trajectories', 'an unknown number of')} demonstrations"
        return f"{count} of {', '.join(map(_code, names))}"
    tasks = manifest.config.get("tasks")
    if not isinstance(tasks, dict):
        return "-"
    # Whatever the source, a path in it is of one machine.
    said = {key: model_name(v) if isinstance(v, str) else v for key, v in tasks.items()}
    return _code(", ".join(f"{k}={json.dumps(v)}" for k, v in said.items() if v is not None))


def _steps(manifest: Manifest) -> str:
    config = manifest.config
    train = config.get("train")
    options = train if isinstance(train, dict) else config
    steps = f"{options.get('steps')}"
    if "group" in options:
        return f"{steps}, each of {options.get('prompts')} prompts with {options['group']} attempts"
    size, batches = options.get("batch_size"), options.get("accumulate")
    return f"{steps}, each of {size} examples" + (f" x {batches}" if batches != 1 else "")


def _last_step(run: Path, manifest: Manifest) -> str:
    """The metrics of the last step, with n and interval where they are known."""
    numbers = _last_metrics(run / "metrics.jsonl")
    if not numbers:
        return "No metrics were kept."
    said = [f"{name} {numbers[key]:.3f}" for key, name in SHOWN.items() if key in numbers]
    left_out = sum(numbers.get(key, 0) for key in ("aborted", "timeout", "unscored"))
    n = round(numbers.get("episodes", 0) - left_out)
    if "accuracy" in numbers and n > 0:
        # The metrics do not tell prompts apart: as if all attempts at one came out the same.
        prompts = max(1, min(n, round(numbers["episodes"] / _group(manifest))))
        low, high = wilson(numbers["accuracy"] * prompts, prompts)
        over = f" over {prompts} prompts" if prompts < n else ""
        interval = f"95 % CI [{low:.3f}, {high:.3f}]{over}, n = {n}"
        said.insert(0, f"accuracy {numbers['accuracy']:.3f} ({interval})")
    what = "the attempts that were sampled in that step, to be trained on"
    if "runs" in manifest.config:
        what = "the examples that were trained on in that step"
    step = f"{numbers.get('step', 0):g}"
    return f"Step {step}: {', '.join(said)}. These are numbers of {what}: not an evaluation."


def _group(manifest: Manifest) -> int:
    """Number of attempts at each prompt of a training."""
    train = manifest.config.get("train")
    group = train.get("group") if isinstance(train, dict) else None
    return group if isinstance(group, int) else 1


def _last_metrics(file: Path) -> dict[str, float]:
    """The numbers of the last whole line."""
    if not file.is_file():
        return {}
    whole = [line for _, line in read_lines(file, most=MAX_LINE_BYTES) if line.endswith(b"\n")]
    last = json.loads(whole[-1]) if whole else {}
    return {key: value for key, value in last.items() if isinstance(value, int | float)}


def _read(file: Path) -> dict[str, JsonValue]:
    try:
        return dict(json.loads(read_whole(file, most=MAX_KEPT_BYTES)))
    except (OSError, ValueError):
        return {}


def _code(text: str) -> str:
    return "`" + " ".join(text.split()).replace("`", "'") + "`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
