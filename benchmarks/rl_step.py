"""What a step of reinforcement learning costs: ours, TRL's native tool loop, and a plain loop.

    python benchmarks/rl_step.py [--repeats 7] [--json FILE] [--write docs/performance.md]

One run: the same embedded model, the same questions, 8 prompts x 8 episodes with about one call
each, one thread. Learning rates are so small that all sample from the same policy throughout. CPU
seconds are compared per trained token, since what is sampled differs; tool calls are counted on
both sides. With `delay` every tool call sleeps .3 s. `native` is GRPOTrainer with
`environment_factory` as trl 1.16 has it; `plain` is HF generate and one forward pass, without an
environment of its own: regular expressions and a crop.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from datasets import Dataset
from PIL import Image as PILImage
from places import fill
from transformers import (
    AutoModelForImageTextToText,
    AutoTokenizer,
    GenerationConfig,
    TrainerCallback,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.processing_utils import ProcessorMixin
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from saccade.config import read_toml, validate, with_overrides
from saccade.embedded import folder_of
from saccade.images.geometry import Box
from saccade.images.image import Image
from saccade.models.threads import use_threads
from saccade.nano.spec import CROP_SIDE, MIN_BOX, OBSERVATION, environment
from saccade.render.qwen_vl import QwenVLRenderer, load_renderer
from saccade.tools.zoom import ZoomIn
from saccade.train import rl as module
from saccade.train.recipe import RLRecipe
from saccade.types import ToolContext, ToolFunction, ToolOutput
from saccade.world import tasks

MODEL = folder_of("nano-sft")
RECIPE = Path(__file__).parents[1] / "recipes" / "nano_deepeyes.toml"
GROUP, DELAY = 8, 0.3
RATE = 1e-12
CALL = re.compile(
    r'<tool_call>\{"name": "image_zoom_in_tool", "arguments": (\{.*?\})\}</tool_call>'
)
MARK = "rl_step"

TEMPLATE = (
    "{%- for m in messages %}"
    "{%- set role = 'user' if m.role == 'tool' else m.role %}"
    "{{- '<|im_start|>' + role + '\n' }}"
    "{%- if m.role == 'tool' %}{{- '<tool_response>' }}{%- endif %}"
    "{%- if m.content is string %}{{- m.content }}{%- else %}{%- for p in m.content %}"
    "{%- if p.type == 'image' %}{{- '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{%- else %}{{- p.text }}{%- endif %}{%- endfor %}{%- endif %}"
    "{%- if m.tool_calls %}{%- for c in m.tool_calls %}{{- '<tool_call>' + "
    "({'name': c.function.name, 'arguments': c.function.arguments} | tojson) + '</tool_call>' }}"
    "{%- endfor %}{%- endif %}"
    "{%- if m.role == 'tool' %}{{- '</tool_response>' }}{%- endif %}"
    "{{- '<|im_end|>\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
"""Renders what our renderer renders; checked before anything is measured."""

RESPONSE = {
    "defaults": {"role": "assistant"},
    "start_anchor": "<|im_start|>assistant\n",
    "fields": {
        "reasoning_content": {
            "open": "<think>", "close_pattern": r"</think>\s*", "content": "text",
        },
        "tool_calls": {
            "open": "<tool_call>", "close_pattern": r"</tool_call>\s*", "repeats": True,
            "content": "json", "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"close_pattern": r"<\|im_end\|>\s*", "content": "text"},
    },
}  # fmt: skip
"""How trl reads a turn: the structure of its own template for Qwen3."""


class Measured(NamedTuple):
    """A step."""

    cpu: float
    wall: float
    tokens: int
    """Tokens that are trained on."""
    calls: int


class SlowZoom(ZoomIn):
    """The zoom tool, after a pause."""

    delay: float = 0.0

    @asynccontextmanager
    async def open(self, context: ToolContext) -> AsyncIterator[ToolFunction]:
        async with super().open(context) as zoom:

            async def call(arguments: dict[str, Any]) -> ToolOutput:
                await asyncio.sleep(self.delay)
                return await zoom(arguments)

            yield call


class Clock(TrainerCallback):
    """CPU and wall seconds of each step; the first one warms up."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, float]] = []

    def on_step_begin(self, *_: object, **__: object) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def on_step_end(self, *_: object, **__: object) -> None:
        spent = time.process_time() - self._cpu, time.perf_counter() - self._wall
        self.steps.append(spent)


def ours(prompts: int, steps: int, delay: float) -> list[Measured]:
    """`saccade rl`."""
    with tempfile.TemporaryDirectory() as folder:
        settings = [
            f"model={MODEL}", f"out={folder}/run", "tasks.family=read0", f"train.prompts={prompts}",
            f"train.group={GROUP}", f"train.steps={steps + 1}", f"train.learning_rate={RATE}",
            "train.kl_logged=false", "train.keep_every=0", "train.save_steps=1000",
        ]  # fmt: skip
        recipe = validate(RLRecipe, with_overrides(read_toml(RECIPE), settings))
        zoom = {**recipe.tools["zoom_in"], "delay": delay}
        recipe = recipe.model_copy(update={"tools": {f"{__name__}:SlowZoom": zoom}})
        clock, trained = Clock(), []
        usual = module.GRPO

        class Watched(usual):  # type: ignore[misc,valid-type]
            def __init__(self, *arguments: object, **named: Any) -> None:
                named["callbacks"] = [*named["callbacks"], clock]
                super().__init__(*arguments, **named)

            def _generate_and_score_completions(self, inputs: object) -> Any:
                batch = super()._generate_and_score_completions(inputs)
                trained.append(int(batch["num_items_in_batch"]))
                return batch

        module.GRPO = Watched
        try:
            module.rl(recipe)
        finally:
            module.GRPO = usual
        lines = Path(folder, "run", "metrics.jsonl").read_text().splitlines()
    calls = [round(row["tool_calls"] * row["episodes"]) for row in map(json.loads, lines)]
    return [Measured(*s, t, c) for s, t, c in zip(clock.steps, trained, calls, strict=True)][1:]


def native(prompts: int, steps: int, delay: float) -> list[Measured]:
    """TRL's tool environment."""
    calls: list[int] = []

    class Zoom:
        def reset(self, shown: int = 0, **_: object) -> None:
            self.image = questions[shown].images[0]

        def image_zoom_in_tool(self, bbox_2d: list[int]) -> list[dict[str, Any]]:
            """Zoom in.

            Args:
                bbox_2d: Box.
            """
            calls.append(1)
            time.sleep(delay)
            return [{"type": "image", "image": pixels(cut(self.image, bbox_2d))}]

    def reward(completions: list[Any], answer: list[str], **_: object) -> list[float]:
        said = (c[-1].get("content") or "" for c in completions)
        return [
            float(f"<answer>{a}</answer>" in text) for text, a in zip(said, answer, strict=True)
        ]

    questions = list(tasks("read0", n=prompts * (steps + 1), seed=0, split="train"))
    env, reader, renderer = environment(), processor(), load_renderer(MODEL)
    rows = []
    for number, task in enumerate(questions):
        begun = env.begin(task)
        system, user = begun.prompt
        content = [
            {"type": "image"} if isinstance(part, Image) else {"type": "text", "text": part}
            for part in user.content
        ]
        prompt = [
            {"role": "system", "content": [{"type": "text", "text": system.text}]},
            {"role": "user", "content": content},
        ]
        shown = [pixels(image) for image in begun.images]
        text = reader.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
        ids = reader(images=shown, text=[text])["input_ids"][0]
        assert ids == renderer.render(begun, generation=True).ids, "another prompt than ours"
        rows.append({"prompt": prompt, "images": shown, "answer": task.answer, "shown": number})
    clock, trained = Clock(), []

    class Watched(GRPOTrainer):
        def _generate_and_score_completions(self, inputs: Any) -> Any:
            batch = super()._generate_and_score_completions(inputs)
            failed = self._metrics["train"]["tools/failure_frequency"][-1]
            assert failed < 0.1, f"{failed:.0%} of the calls failed: not the same work"
            trained.append((int(batch["num_items_in_batch"]), len(calls)))
            calls.clear()
            return batch

    with tempfile.TemporaryDirectory() as folder:
        arguments = GRPOConfig(
            output_dir=folder, use_cpu=True, bf16=False, max_steps=steps + 1, report_to=[],
            per_device_train_batch_size=prompts * GROUP, num_generations=GROUP, temperature=1.0,
            learning_rate=RATE, max_completion_length=200, loss_type="dapo", beta=0.0,
            activation_checkpointing=False, disable_tqdm=True, dataloader_pin_memory=False,
            save_strategy="no", shuffle_dataset=False, logging_steps=1,
        )  # fmt: skip
        model = AutoModelForImageTextToText.from_pretrained(MODEL, dtype=torch.float32)
        model.model.visual.requires_grad_(False)
        trainer = Watched(
            model=model, reward_funcs=reward, args=arguments, callbacks=[clock],
            train_dataset=Dataset.from_list(rows), processing_class=reader,
            environment_factory=Zoom,
        )  # fmt: skip
        trainer.train()
    return [Measured(*s, *t) for s, t in zip(clock.steps, trained, strict=True)][1:]


def plain(prompts: int, steps: int, delay: float) -> list[Measured]:
    """HF generate for each turn, one forward pass, AdamW; tools one after another."""
    tokenizer, images = AutoTokenizer.from_pretrained(MODEL), image_processor()
    model = AutoModelForImageTextToText.from_pretrained(MODEL, dtype=torch.float32)
    model.model.visual.requires_grad_(False)
    optimiser = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=RATE)
    end, pad = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    image_token = model.config.image_token_id
    sampling = GenerationConfig(
        do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=64,
        eos_token_id=end, pad_token_id=pad, suppress_tokens=[image_token],
    )  # fmt: skip
    renderer, env = load_renderer(MODEL), environment()

    def inputs(rows: list[list[int]], shown: list[list[Image]], side: str) -> dict[str, Any]:
        width = max(map(len, rows))
        ids, mask = torch.full((len(rows), width), pad), torch.zeros(len(rows), width).long()
        for n, row in enumerate(rows):
            at = slice(width - len(row), None) if side == "left" else slice(0, len(row))
            ids[n, at], mask[n, at] = torch.tensor(row), 1
        flat = [pixels(image) for row in shown for image in row]
        made = {
            "input_ids": ids,
            "attention_mask": mask,
            **images(images=flat, return_tensors="pt"),
        }
        return made | {"mm_token_type_ids": (ids == image_token).int()}

    def one(questions: list[Any]) -> tuple[int, int]:
        begins, shown, answers = [], [], []
        for task in questions:
            begun = env.begin(task)
            begins += [renderer.render(begun, generation=True).ids] * GROUP
            shown += [list(begun.images) for _ in range(GROUP)]
            answers += [task.answer] * GROUP
        rows, trained = [list(b) for b in begins], [[False] * len(b) for b in begins]
        active, calls = list(range(len(rows))), 0
        final = [""] * len(rows)
        for turn in range(2):
            with torch.no_grad():
                batch = inputs([rows[n] for n in active], [shown[n] for n in active], "left")
                out = model.generate(**batch, generation_config=sampling)
            new = out[:, batch["input_ids"].shape[1] :].tolist()
            waiting = []
            for n, ids in zip(active, new, strict=True):
                ids = ids[: ids.index(end) + 1] if end in ids else ids
                rows[n] += ids
                trained[n] += [True] * len(ids)
                final[n] = tokenizer.decode(ids)
                found = CALL.search(final[n])
                if turn or not found:
                    continue
                calls += 1
                time.sleep(delay)
                try:
                    crop = cut(shown[n][0], json.loads(found[1])["bbox_2d"])
                except (ValueError, KeyError):
                    continue
                observed = observation(renderer)
                rows[n] += observed
                trained[n] += [False] * len(observed)
                shown[n].append(crop)
                waiting.append(n)
            active = waiting
            if not active:
                break
        right = [f"<answer>{a}</answer>" in text for text, a in zip(final, answers, strict=True)]
        rewards_P_G = torch.tensor(right).float().view(-1, GROUP)
        centred_P_G = rewards_P_G - rewards_P_G.mean(1, keepdim=True)
        advantages_P_G = centred_P_G / (rewards_P_G.std(1, keepdim=True) + 1e-4)
        logits = model(**inputs(rows, shown, "right")).logits[:, :-1]
        width = max(map(len, rows))
        ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows])[:, 1:]
        mask = torch.tensor([row + [False] * (width - len(row)) for row in trained])[:, 1:]
        known = logits.log_softmax(-1).gather(-1, ids[..., None])[..., 0]
        ratio = (known - known.detach()).exp()
        loss = -(ratio * advantages_P_G.view(-1, 1) * mask).sum() / mask.sum()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        return int(mask.sum()), calls

    stream = tasks("read0", n=prompts * (steps + 1), seed=0, split="train")
    found = []
    for _ in range(steps + 1):
        cpu, wall = time.process_time(), time.perf_counter()
        tokens, calls = one([next(stream) for _ in range(prompts)])
        spent = time.process_time() - cpu, time.perf_counter() - wall
        found.append(Measured(*spent, tokens, calls))
    return found[1:]


def observation(renderer: QwenVLRenderer) -> list[int]:
    """The ids of an observation with a crop, up to the assistant's turn."""
    start, stop = renderer.start_of_turn, renderer.end_of_turn
    first, last = renderer.around_image
    tokens = (CROP_SIDE // renderer.rule.factor) ** 2
    return [
        *renderer.encode("\n"), start, *renderer.encode("user\n<tool_response>"), first,
        *[renderer.image_token] * tokens, last, *renderer.encode("</tool_response>"), stop,
        *renderer.encode("\n"), start, *renderer.encode("assistant\n"),
    ]  # fmt: skip


def cut(image: Image, box: list[int]) -> Image:
    """What the zoom tool shows of a box on the view."""
    x1, y1, x2, y2 = (float(v) for v in box)
    side = max(x2 - x1, y2 - y1, MIN_BOX / 12)
    if x2 <= x1 or y2 <= y1:
        raise ValueError("an empty box")
    view = image.fit(environment().record.view)
    cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
    square = Box(cx - side / 2, cy - side / 2, cx + side / 2, cy + side / 2)
    return image.cut(view.to_source(square)).fit(OBSERVATION)


def pixels(image: Image) -> PILImage.Image:
    return PILImage.fromarray(np.array(image.pixels()))


def image_processor() -> Qwen2VLImageProcessorPil:
    return Qwen2VLImageProcessorPil.from_pretrained(MODEL)


def processor() -> ProcessorMixin:
    """An image-only processor: without torchvision transformers has none."""

    class Qwen2_5_VLProcessor(ProcessorMixin):
        attributes = ("image_processor", "tokenizer")
        image_processor_class = "Qwen2VLImageProcessorPil"
        tokenizer_class = "PreTrainedTokenizerFast"

        def __init__(self, image_processor: Any, tokenizer: Any, chat_template: str) -> None:
            self.image_token = "<|image_pad|>"
            super().__init__(image_processor, tokenizer, chat_template=chat_template)

        def __call__(self, images: Any = None, text: Any = None, **named: Any) -> Any:
            from transformers import BatchFeature

            texts = [text] if isinstance(text, str) else list(text)
            made: dict[str, Any] = {}
            if images:
                flat = [i for row in images for i in (row if isinstance(row, list) else [row])]
                made = dict(self.image_processor(images=flat, return_tensors="pt"))
                counts = iter((made["image_grid_thw"].prod(-1) // 4).tolist())
                mark = "<|image_pad|>"
                texts = [re.sub(re.escape(mark), lambda _: mark * next(counts), t) for t in texts]
            kept = {
                k: v for k, v in named.items() if k in ("padding", "padding_side", "return_tensors")
            }
            coded = dict(self.tokenizer(texts, **kept))
            ids = coded["input_ids"]
            if images:
                token = self.tokenizer.convert_tokens_to_ids("<|image_pad|>")
                coded["mm_token_type_ids"] = (
                    (ids == token).int()
                    if isinstance(ids, torch.Tensor)
                    else [[int(i == token) for i in row] for row in ids]
                )
            return BatchFeature({**coded, **made})

    tokenizer = AutoTokenizer.from_pretrained(MODEL, padding_side="left")
    tokenizer.response_template = RESPONSE
    tokenizer.chat_template = TEMPLATE
    return Qwen2_5_VLProcessor(image_processor(), tokenizer, TEMPLATE)


ARMS: dict[str, Callable[[int, int, float], list[Measured]]] = {
    "saccade": ours, "trl native": native, "plain loop": plain,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    use_threads(1)
    warnings.simplefilter("ignore")
    found: dict[str, Any] = {"repeats": options.repeats}
    few = max(2, options.repeats // 3)
    for prompts, delay, steps in ((8, 0.0, options.repeats), (8, DELAY, few), (2, DELAY, few)):
        for name, arm in ARMS.items():
            key = f"{name}, {prompts * GROUP} episodes, tools {delay:g} s"
            found[key] = summary(arm(prompts, steps, delay))
            print(key, found[key], file=sys.stderr, flush=True)
    text = table(found)
    print(text)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    if options.write:
        fill(options.write, {MARK: text})


def summary(rows: list[Measured]) -> dict[str, float]:
    return {
        "cpu": statistics.median(row.cpu for row in rows),
        "wall": statistics.median(row.wall for row in rows),
        "tokens": statistics.median(row.tokens for row in rows),
        "calls": statistics.median(row.calls for row in rows),
        "us_a_token": statistics.median(row.cpu / row.tokens for row in rows) * 1e6,
        "n": len(rows),
    }


def table(found: dict[str, Any]) -> str:
    lines = [
        "| step | n | CPU s | wall s | trained tokens | calls | CPU us a token |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, s in found.items():
        if isinstance(s, dict):
            lines.append(
                f"| {name} | {s['n']} | {s['cpu']:.2f} | {s['wall']:.2f} | {s['tokens']:.0f} | "
                f"{s['calls']:.0f} | {s['us_a_token']:.0f} |"
            )

    def both(what: str, key: str) -> float:
        mine, theirs = (found[f"{name}, {what}"][key] for name in ("saccade", "trl native"))
        return mine / theirs

    lines += [
        "",
        "Medians. Against trl's native loop: CPU time a trained token "
        f"{both('64 episodes, tools 0 s', 'us_a_token'):.2f} (target: at most 1.05); with tools of "
        f"{DELAY:g} s a step is {1 / both(f'64 episodes, tools {DELAY:g} s', 'wall'):.1f} times "
        f"faster (target: at least 5), with 16 episodes "
        f"{1 / both(f'16 episodes, tools {DELAY:g} s', 'wall'):.1f} times.",
        "",
        f"`python benchmarks/rl_step.py --repeats {found['repeats']}`, one thread.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
