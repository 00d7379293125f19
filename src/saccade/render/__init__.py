"""From a trajectory to the inputs of a model: token ids, the mask of sampled ones, and pixels.

    renderer = load_renderer("path/to/checkpoint")
    rendered = renderer.render(trajectory, generation=True)
    pixels = renderer.pixels(rendered.images)

One pure function makes the generation prompt, the SFT example and the training sample of RL.
"""

from saccade.render.qwen_vl import QwenVLRenderer, Rendered, load_renderer

__all__ = ["QwenVLRenderer", "Rendered", "load_renderer"]
