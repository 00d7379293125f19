"""What an environment offers and allows: tools, limits, pixel budgets, and its fingerprint."""

from __future__ import annotations

from pydantic import Field, JsonValue

from saccade.images.color import Color
from saccade.images.geometry import CoordSpace, PixelBudget
from saccade.images.image import Image
from saccade.types.task import Many, Record


class ToolSpec(Record):
    """A tool as it is described to models and servers."""

    name: str
    description: str
    parameters: dict[str, JsonValue]
    """JSON schema of the arguments."""
    options: dict[str, JsonValue] = Field(default_factory=dict)
    """What the tool's behaviour depends on; part of the fingerprint."""

    def function(self) -> dict[str, JsonValue]:
        """The function schema by which chat servers and chat templates know the tool."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": self.parameters,
            },
        }


class Limits(Record):
    """What an episode may use."""

    max_turns: int = Field(default=6, ge=1)
    """Number of turns that the model may write."""
    max_turn_tokens: int = Field(default=1024, ge=1)
    """Number of tokens that the model may write in one turn."""
    max_context: int = Field(default=32768, ge=1)
    """Number of tokens that the whole trajectory may have, image tokens included."""
    max_images: int = Field(default=32, ge=1)
    """Number of images that the context may hold, those of the question included."""
    max_seconds: float = Field(default=600.0, gt=0)
    """Seconds of wall time that the episode may take; not part of the fingerprint."""


class EnvironmentRecord(Record):
    """What the model saw the world through; two runs with one fingerprint are comparable."""

    fingerprint: str
    """16 hex digits: hash of everything below but `limits.max_seconds`."""
    dialect: str
    prompts: str
    """Hash of the prompt templates."""
    tools: Many[ToolSpec] = ()
    native_tools: bool = False
    """Whether tools go through the server's `tools` field or the model's own tool template."""
    stop: Many[str] = ()
    prefill: bool = False
    """Whether turns start with a given prefix, which a policy must be able to continue."""
    coords: CoordSpace = CoordSpace.ABSOLUTE
    color: Color = Color.SRGB
    view: PixelBudget = PixelBudget()
    observation: PixelBudget = PixelBudget()
    limits: Limits = Limits()

    def shown(self, image: Image) -> Image:
        """An image of a question as the model sees it."""
        return image.shown_in(self.color).fit(self.view)
