"""From a trajectory to what a model takes: token ids, a mask of what was sampled, and pixels.

    renderer = load_renderer("path/to/checkpoint")
    rendered = renderer.render(trajectory, generation=True)
    pixels = renderer.pixels(rendered.images)

One pure function makes the generation prompt, the SFT example and the RL sample.
"""

from saccade.render.qwen_vl import QwenVLRenderer, Rendered, load_renderer

__all__ = ["QwenVLRenderer", "Rendered", "load_renderer"]
