"""The batched tower computes what the class of transformers computes, gradients too."""

import torch

from saccade.nano.model import build, renderer_of
from saccade.nano.tower import encode
from saccade.render.patches import patchify


def test_features_and_gradients_equal_those_of_the_class() -> None:
    model, tokenizer = build(0)
    visual, rule = model.model.visual, renderer_of(tokenizer).rule
    noise = torch.Generator().manual_seed(0)
    for height, width in ((56, 56), (28, 28), (28, 56)):
        images = torch.randint(256, (3, height, width, 3), generator=noise, dtype=torch.uint8)
        ours = encode(visual, images)
        pixels = patchify([image.permute(2, 0, 1).float() / 255 for image in images], rule)
        theirs = visual(pixels.pixel_values, grid_thw=pixels.image_grid_thw).pooler_output
        torch.testing.assert_close(ours.flatten(0, 1), theirs, atol=1e-5, rtol=1e-5)
        direction = torch.randn(theirs.shape, generator=noise)
        gradients = []
        for features in (ours.flatten(0, 1), theirs):
            visual.zero_grad()
            (features * direction).sum().backward()
            gradients.append([p.grad.clone() for p in visual.parameters()])
        for a, b in zip(*gradients, strict=True):
            torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)
