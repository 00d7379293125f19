"""A tool of your own, used by an agent.

    python examples/own_tool.py

A tool has a `spec`, which the model is told, and `open`, which gives an episode its own state and
yields the function that is called. What the model does wrong is a `ToolError`, and its text is
shown to the model. The policy here is a script; replace it by one of your own.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from PIL import Image as PILImage
from pydantic import JsonValue

from saccade.dialects.deepeyes import DeepEyes
from saccade.env import Environment
from saccade.errors import ToolError
from saccade.image import Image
from saccade.policies.replay import ReplayPolicy
from saccade.rollout import rollout
from saccade.types import Part, Task, ToolContext, ToolFunction, ToolSpec


class Brightness:
    """Tells how bright an image is."""

    spec = ToolSpec(
        name="brightness",
        description="The mean brightness of an image, 0 to 255.",
        parameters={"type": "object", "properties": {"image": {"type": "string"}}},
    )

    @asynccontextmanager
    async def open(self, context: ToolContext) -> AsyncIterator[ToolFunction]:
        async def call(arguments: dict[str, JsonValue]) -> tuple[Part, ...]:
            known = {f"image_{n}": image for n, image in enumerate(context.images, start=1)}
            image = known.get(str(arguments.get("image", "image_1")))
            if image is None:
                raise ToolError(f"brightness: the images are {', '.join(known)}")
            pixels = await asyncio.to_thread(image.pixels)
            grey = pixels.convert("L").resize((1, 1), PILImage.Resampling.BOX)
            return (f"{grey.getpixel((0, 0))}",)

        yield call


photo = Image.from_pixels(PILImage.new("RGB", (640, 480), (200, 200, 200)))
task = Task(id="night", prompt=(photo, "Is it day or night?"), answer="day")
script = [
    '<tool_call>{"name": "brightness", "arguments": {}}</tool_call>',
    "<think>200 of 255.</think><answer>day</answer>",
]
environment = Environment(DeepEyes(), [Brightness()])
trajectory = asyncio.run(rollout(ReplayPolicy({"night": script}), environment, task))
print(trajectory.results[0].content, trajectory.answer)
