"""Our rendering against the Hugging Face processor and model, for both families.

The oracle is the public processor (image only: without torchvision its video part does not exist)
on ChatML text that the test writes itself. With torchvision installed the same tests compare with
its backend.

Tolerances. Ids, grids and positions are equal. Pixel values go through float32 as (x / 255 - mean)
/ std here and as x * (1 / (255 std)) - mean / std there: values up to 2.7, so a few units of 2^-22,
2e-6. Logits of the tiny models (3 layers, values up to about 10) move by less than 1e-4 for that.
"""

import pytest
import torch
from building import a_result, a_task, a_turn, noise
from PIL import Image as PILImage
from processors import image_only
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor
from transformers.processing_utils import ProcessorMixin

from saccade.dialects.deepeyes import DeepEyes
from saccade.env import Environment
from saccade.images.geometry import Box, PixelBudget
from saccade.images.image import Image
from saccade.models.batch import collate
from saccade.models.load import LoadedModel, load
from saccade.render.qwen_vl import positions
from saccade.types import Message, Trajectory

PIXELS = 4e-6
LOGITS = 1e-4


@pytest.fixture(params=["tiny_qwen2_5_vl", "tiny_qwen3_vl"])
def pair(request: pytest.FixtureRequest) -> tuple[LoadedModel, ProcessorMixin]:
    path = request.getfixturevalue(request.param)
    base = Qwen3VLProcessor if request.param == "tiny_qwen3_vl" else Qwen2_5_VLProcessor
    return load(path), image_only(base, path)


SHAPES: dict[str, list[list[tuple[int, int]]]] = {
    "shrink": [[(640, 480)], [(300, 200)], [(90, 60)]],
    "grow": [[(70, 60)], [(200, 300)], [(500, 400)]],
    "1 to 100": [[(400, 300)], [(3200, 32)], [(30, 3000)]],
    "three sizes at once": [[(100, 200), (320, 96), (60, 60)], [(150, 150)]],
    "no image": [[], []],
}


def trajectory(loaded: LoadedModel, shapes: list[list[tuple[int, int]]]) -> Trajectory:
    """Images of the question, then an observation with images after each turn."""
    factor = loaded.renderer.rule.factor
    budget = PixelBudget(factor=factor, max_pixels=48 * factor**2)
    env = Environment(DeepEyes(), view=budget)
    images = [noise(*shape, seed=i) for i, shape in enumerate(shapes[0])]
    start = env.begin(a_task(*images, "What? π ≠ 3, naïve 你好"))
    turns = []
    for number, sizes in enumerate(shapes[1:]):
        text = f"<think>Look {number}.</think><tool_call>{{}}</tool_call>"
        crops = tuple(noise(*s, seed=9 + number).fit(budget) for s in sizes)
        results = (a_result(*crops),)
        ids = loaded.renderer.tokenizer(text, add_special_tokens=False)["input_ids"]
        turn = a_turn(
            *results,
            text=text,
            token_ids=(*ids, loaded.renderer.end_of_turn),
            observation=DeepEyes().observe(results),
        )
        turns.append(turn)
    return start.model_copy(update={"turns": tuple(turns)})


def chatml(messages: tuple[Message, ...]) -> tuple[str, list[PILImage.Image]]:
    """The conversation as a chat template writes it, and its images."""
    text, images = "", []
    for message in messages:
        text += f"<|im_start|>{message.role}\n"
        for part in message.content:
            if isinstance(part, Image):
                images.append(part.pixels())
                text += "<|vision_start|><|image_pad|><|vision_end|>"
            else:
                text += part
        text += "<|im_end|>\n"
    return text + "<|im_start|>assistant\n", images


@pytest.mark.parametrize("name", SHAPES)
def test_everything_equals_the_public_processor(
    pair: tuple[LoadedModel, ProcessorMixin], name: str
) -> None:
    loaded, processor = pair
    renderer = loaded.renderer
    done = trajectory(loaded, SHAPES[name])
    ours = renderer.render(done, generation=True)
    text, images = chatml(done.messages)
    theirs = processor(text=[text], images=images or None, return_tensors="pt")
    assert ours.ids == theirs["input_ids"][0].tolist()
    batch = collate(loaded, [ours], side="right")
    if images:
        pixels = renderer.pixels(ours.images)
        assert torch.equal(pixels.image_grid_thw, theirs["image_grid_thw"])
        assert (pixels.pixel_values - theirs["pixel_values"]).abs().max() < PIXELS
    types = (theirs["input_ids"] == renderer.image_token).int()
    expected, _ = loaded.model.model.get_rope_index(
        theirs["input_ids"], mm_token_type_ids=types, image_grid_thw=theirs.get("image_grid_thw")
    )
    assert torch.equal(batch.position_ids, expected)
    inputs = {k: v for k, v in theirs.items() if k in ("input_ids", "attention_mask",
              "pixel_values", "image_grid_thw")}  # fmt: skip
    with torch.inference_mode():
        a = loaded.model(**batch.inputs()).logits
        b = loaded.model(**inputs, mm_token_type_ids=types).logits
    assert a.abs().max() > 1, "logits that say something"
    assert (a - b).abs().max() < LOGITS


def test_wrong_positions_would_be_noticed(pair: tuple[LoadedModel, ProcessorMixin]) -> None:
    loaded, _ = pair
    ours = loaded.renderer.render(trajectory(loaded, SHAPES["grow"]), generation=True)
    batch = collate(loaded, [ours], side="right")
    flat = torch.arange(len(ours.ids)).expand(3, 1, -1)
    with torch.inference_mode():
        a = loaded.model(**batch.inputs()).logits
        b = loaded.model(**{**batch.inputs(), "position_ids": flat}).logits
    assert (a - b).abs().max() > 100 * LOGITS


def test_the_fit_is_a_no_op_for_the_public_processor(
    pair: tuple[LoadedModel, ProcessorMixin],
) -> None:
    loaded, processor = pair
    factor = loaded.renderer.rule.factor
    size = processor.image_processor.size
    budget = PixelBudget(
        factor=factor, min_pixels=size["shortest_edge"], max_pixels=size["longest_edge"]
    )
    for shape in [(640, 480), (33, 1000), (2000, 31), (57, 57), (1, 1)]:
        image = noise(*shape).fit(budget)
        theirs = processor.image_processor(images=[image.pixels()], return_tensors="pt")
        grid = loaded.renderer.grids([image])
        assert theirs["image_grid_thw"].tolist() == [list(grid[0])]
        ours = loaded.renderer.pixels([image]).pixel_values
        assert (ours - theirs["pixel_values"]).abs().max() < PIXELS


def test_padding_and_rows_without_images_change_nothing(
    pair: tuple[LoadedModel, ProcessorMixin],
) -> None:
    loaded, _ = pair
    rows = [loaded.renderer.render(trajectory(loaded, s), generation=True) for s in SHAPES.values()]
    with torch.inference_mode():
        alone = [
            loaded.model(**collate(loaded, [r], side="right").inputs()).logits[0] for r in rows
        ]
        for side in ("left", "right"):
            together = loaded.model(**collate(loaded, rows, side=side).inputs()).logits
            for row, (rendered, logits) in enumerate(zip(rows, alone, strict=True)):
                at = slice(-len(rendered.ids), None) if side == "left" else slice(len(rendered.ids))
                assert (together[row, at] - logits).abs().max() < LOGITS


def test_positions_by_hand() -> None:
    """Two text tokens, a 2x3 image, one text token: written out from the definition."""
    from saccade.render.patches import Grid

    found = positions([5, 5, 9, 9, 9, 9, 9, 9, 5], [Grid(1, 4, 6)], image_token=9, merge=2)
    assert found.tolist() == [
        [0, 1, 2, 2, 2, 2, 2, 2, 5],
        [0, 1, 2, 2, 2, 3, 3, 3, 5],
        [0, 1, 2, 3, 4, 2, 3, 4, 5],
    ]


def test_gradients_reach_the_pixels(pair: tuple[LoadedModel, ProcessorMixin]) -> None:
    from saccade.render.patches import patchify

    loaded, _ = pair
    factor = loaded.renderer.rule.factor
    image = torch.rand(3, 2 * factor, 3 * factor, requires_grad=True)
    patchify([image], loaded.renderer.rule).pixel_values.square().sum().backward()
    assert image.grad is not None
    assert (image.grad != 0).float().mean() > 0.99


def test_a_crop_of_a_crop_renders(pair: tuple[LoadedModel, ProcessorMixin]) -> None:
    loaded, _ = pair
    factor = loaded.renderer.rule.factor
    budget = PixelBudget(factor=factor, max_pixels=16 * factor**2)
    crop = noise(400, 300).fit(budget).crop(Box(5, 5, 60, 60)).fit(budget)
    inner = crop.crop(Box(1, 1, 20, 9)).fit(budget)
    assert loaded.renderer.pixels([crop, inner]).image_grid_thw.shape == (2, 3)
