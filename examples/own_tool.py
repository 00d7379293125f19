"""A tool of your own, used by an agent.

    python examples/own_tool.py

A tool has a `spec`, which the model is told, and a `call`, which answers. What the model does wrong
is a `ToolError`, and its text is shown to the model. A tool with a state of its own, or with
something to start, has `open`, `start` and `close` as well: see `saccade.types.Tool`. The policy
here is a script; replace it by one of your own.
"""

import asyncio

import numpy as np
from PIL import Image as PILImage
from pydantic import JsonValue

from saccade.dialects.deepeyes import DeepEyes
from saccade.env import Environment
from saccade.errors import ToolError
from saccade.images.image import Image
from saccade.policies.replay import ReplayPolicy
from saccade.rollout import rollout
from saccade.tools.base import StatelessTool
from saccade.types import Task, ToolContext, ToolOutput, ToolSpec


class Brightness(StatelessTool):
    """Tells how bright an image is. Its fields are its options in a run file."""

    digits: int = 0

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(
            name="brightness",
            description="The mean brightness of an image, 0 to 255.",
            parameters={"type": "object", "properties": {"image": {"type": "string"}}},
            options=self.model_dump(),
        )

    async def call(self, arguments: dict[str, JsonValue], context: ToolContext) -> ToolOutput:
        known = {f"image_{n}": image for n, image in enumerate(context.images, start=1)}
        image = known.get(str(arguments.get("image", "image_1")))
        if image is None:
            raise ToolError(f"brightness: the images are {', '.join(known)}")
        pixels = await asyncio.to_thread(image.pixels)
        mean = float(np.asarray(pixels.convert("L")).mean())
        return ToolOutput((f"{mean:.{self.digits}f}",), data={"mean": mean})


photo = Image.from_pixels(PILImage.new("RGB", (640, 480), (200, 200, 200)))
task = Task(id="night", prompt=(photo, "Is it day or night?"), answer="day")
script = [
    '<tool_call>{"name": "brightness", "arguments": {}}</tool_call>',
    "<think>200 of 255.</think><answer>day</answer>",
]
environment = Environment(DeepEyes(), [Brightness()])
trajectory = asyncio.run(rollout(ReplayPolicy({"night": script}), environment, task))
print(trajectory.results[0].content, trajectory.answer)
