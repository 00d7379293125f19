"""Python cells in a sandbox: one notebook an episode, in which the images are variables.

Source: DeepEyesV2 (arXiv 2511.05271) and its sandbox. Where we deviate: a notebook belongs to one
episode (published: to a process), code runs as it was written (published: re-indented), every image
of the conversation is there, not the first alone, and a cell that is killed is something that the
model is told (published: the episode ends unseen).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import JsonValue

from saccade.errors import ToolError
from saccade.image import Image
from saccade.tools.arguments import refuse_unknown, short
from saccade.tools.sandbox.cells import Cell
from saccade.tools.sandbox.options import SHOWN, RemoteOptions, SandboxOptions
from saccade.tools.sandbox.pool import AfterKill, Notebook, Sandbox
from saccade.tools.sandbox.remote import RemoteNotebook, RemoteSandbox
from saccade.types import Part, Record, ToolContext, ToolFunction, ToolOutput, ToolSpec

MAX_CODE = 100_000
"""Characters of a cell."""


class Python(Record):
    """Run Python in a notebook that is closed off from the machine and the network."""

    sandbox: SandboxOptions = SandboxOptions()
    remote: RemoteOptions | None = None
    """Run cells on other machines, which have their own limits, instead of here."""
    after_kill: AfterKill = "replay"
    """Whether earlier cells are run again when a cell had to be killed, or variables are lost."""

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(
            name="python",
            description=(
                "Run Python in a notebook; variables stay from cell to cell. The images are there "
                "as PIL images: image_1, image_2, and so on, those that tools return included. You "
                "see what is printed, the value of the last expression, and what is shown with "
                f"display(image) or plt.show(). There are {', '.join(SHOWN)}; there is no network, "
                f"and a cell may take {self.sandbox.limits.seconds:g} seconds."
            ),
            parameters={
                "type": "object",
                "properties": {"code": {"type": "string", "description": "A cell."}},
                "required": ["code"],
            },
            options={**self.model_dump(mode="json"), "isolation": self._place().facts()},
        )

    async def start(self) -> None:
        """The sandbox starts with the first notebook."""

    async def close(self) -> None:
        """The sandbox stays for others."""

    @asynccontextmanager
    async def open(self, context: ToolContext) -> AsyncIterator[ToolFunction]:
        """A notebook of its own, gone with the episode."""
        place = self._place()
        async with place.notebook(seed=context.seed, after_kill=self.after_kill) as notebook:
            given = 0

            async def call(arguments: dict[str, JsonValue]) -> ToolOutput:
                nonlocal given
                refuse_unknown(arguments, ("code",), self.spec.name)
                code = arguments.get("code")
                if not isinstance(code, str):
                    raise ToolError(f"python: code must be text, got {short(code)}")
                if len(code) > MAX_CODE:
                    raise ToolError(f"python: a cell of {len(code):,} characters; at most 100,000")
                given = await _give(notebook, context, given)
                return ToolOutput(told(await notebook.run(code), context))

            yield call

    def _place(self) -> Sandbox | RemoteSandbox:
        """Where cells run: shared by all episodes with these options."""
        key = self.model_dump_json(include={"sandbox", "remote"})
        if key not in _PLACES:
            if self.remote is not None:
                _PLACES[key] = RemoteSandbox(self.remote)
            else:
                sandbox = Sandbox(self.sandbox)
                sandbox.start_now()
                _PLACES[key] = sandbox
        return _PLACES[key]


_PLACES: dict[str, Sandbox | RemoteSandbox] = {}


def told(cell: Cell, context: ToolContext) -> tuple[Part, ...]:
    """What the model is shown of a cell: text, then images fitted to the observation.

    The layout is that of DeepEyesV2's `deepeyesv2.py`; the value of a cell stands in its stdout, as
    a notebook prints it, and an exception in its stderr.
    """
    stdout = cell.stdout + (f"{cell.value}\n" if cell.value is not None else "")
    stderr = cell.stderr + (cell.error or "")
    text = f"stdout:\n```{stdout.rstrip()}```\n\nstderr:\n```{stderr.rstrip()}```"
    if cell.notes:
        text += f"\n\n[{'; '.join(cell.notes)}]"
    if not cell.images:
        return (text,)
    shown = tuple(Image.from_pixels(image).fit(context.observation) for image in cell.images)
    return (f"{text}\n\nImages:\n", *shown)


async def _give(notebook: Notebook | RemoteNotebook, context: ToolContext, given: int) -> int:
    """Define what the conversation has shown since the last cell: at its native resolution."""
    for number, image in enumerate(context.images[given:], start=given + 1):
        await notebook.give(f"image_{number}", image.native().pixels())
    return len(context.images)
