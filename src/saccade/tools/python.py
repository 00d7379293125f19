"""Python cells in a sandbox: one notebook an episode, in which the images are variables.

Source: DeepEyesV2 (arXiv 2511.05271) and its sandbox. Where we deviate: a notebook belongs to one
episode (published: to a process), code runs as it was written (published: re-indented), every image
of the conversation is there, not the first alone, and a cell that is killed is something that the
model is told (published: the episode ends unseen).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import JsonValue, field_validator

from saccade.errors import ConfigError, ToolError
from saccade.images.image import Image
from saccade.sandbox.cells import Cell
from saccade.sandbox.libraries import PACKAGES, installed
from saccade.sandbox.options import Offer, RemoteOptions, SandboxOptions
from saccade.sandbox.pool import Notebook, Sandbox
from saccade.sandbox.remote import RemoteNotebook, RemoteSandbox
from saccade.sandbox.replay import AfterKill
from saccade.sandbox.threads import in_thread
from saccade.tools.arguments import refuse_unknown, short
from saccade.types import (
    Outcome,
    Part,
    Record,
    ToolContext,
    ToolFunction,
    ToolOutput,
    ToolResult,
    ToolSpec,
)

NAME = "python"
_STDERR = "\n\nstderr:\n```"
MAX_CODE = 100_000
"""Number of characters that a cell may have."""
MAX_REFUSED = 3
"""Number of images that an observation names which the notebook has refused."""


class PythonOptions(Record):
    """The section `tools.python` of a run file."""

    sandbox: SandboxOptions = SandboxOptions()
    """How cells are confined; for cells that run elsewhere, its limits are what must hold there."""
    remote: RemoteOptions | None = None
    """Run cells on other machines instead of here."""
    after_kill: AfterKill = "replay"
    """Whether earlier cells are run again when a cell had to be killed, or variables are lost."""

    libraries: tuple[str, ...] | None = None
    """Names of the libraries that the model is told of; only their versions are then part of the
    fingerprint. None: all that are installed, and Python. With `[]` the same environment can be had
    on any machine."""

    @field_validator("libraries")
    @classmethod
    def _are_known(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for name in set(value or ()) - set(PACKAGES):
            raise ValueError(f"no library {name!r}; there are {', '.join(PACKAGES)}")
        return value

    @property
    def offer(self) -> Offer:
        """What cells find, here or at the hosts.

        Raises:
            ConfigError: a library that the model would be told of is not there.
        """
        libraries = (self.remote.libraries if self.remote else None) or installed()
        if self.libraries is not None:
            if absent := [name for name in self.libraries if name not in libraries]:
                raise ConfigError(
                    f"tools.python.libraries: {', '.join(absent)} not installed where cells run"
                )
            libraries = {name: libraries[name] for name in self.libraries}
        return Offer(limits=self.sandbox.limits, libraries=libraries)


class Python:
    """Run Python in a notebook that is closed off from the machine and the network.

    The tool owns its sandbox. Only `start` and the first episode start it; it may be closed and
    started again, and used from several event loops in turn.
    """

    Options = PythonOptions

    def __init__(self, options: PythonOptions | None = None) -> None:
        """Describe the tool; nothing is started, imported or connected to."""
        self._options = options or PythonOptions()
        remote = self._options.remote
        self._sandbox: Sandbox | RemoteSandbox
        if remote is None:
            self._sandbox = Sandbox(self._options.sandbox)
        else:
            self._sandbox = RemoteSandbox(remote, offer=self._options.offer)
        self.spec = _spec(self._options)

    async def start(self) -> None:
        """Start the sandbox, or ask the hosts whether they are what `spec` says.

        Raises:
            ConfigError: this machine cannot isolate code, or a host offers something else.
            ServiceError: no host answers.
        """
        await self._sandbox.start()

    @asynccontextmanager
    async def open(self, context: ToolContext) -> AsyncIterator[ToolFunction]:
        """A notebook of its own, gone with the episode."""
        seed, after_kill = context.seed, self._options.after_kill
        seconds = self._options.sandbox.limits.seconds
        async with self._sandbox.notebook(seed=seed, after_kill=after_kill) as notebook:
            given = 0

            async def call(arguments: dict[str, JsonValue]) -> ToolOutput:
                nonlocal given
                refuse_unknown(arguments, ("code",), NAME)
                code = arguments.get("code")
                if not isinstance(code, str):
                    raise ToolError(f"{NAME}: code must be text, got {short(code)}")
                if len(code) > MAX_CODE:
                    raise ToolError(f"{NAME}: a cell of {len(code):,} characters; at most 100,000")
                refused: list[str] = []
                while given < len(context.images):
                    given += 1
                    await _give(notebook, given, context.images[given - 1], refused)
                cell = await notebook.run(code, seconds=seconds)
                notes, outcome = (*_few(refused), *cell.notes), _outcome(cell)
                if not cell.images:
                    return ToolOutput(_shown(cell, notes, context), outcome=outcome)
                shown = await in_thread(lambda: _shown(cell, notes, context))
                return ToolOutput(shown, outcome=outcome)

            yield call

    async def close(self) -> None:
        """End the sandbox and all its sessions."""
        await self._sandbox.close()

    @property
    def facts(self) -> dict[str, JsonValue]:
        """How cells are isolated and what they find, here or at each host; known once started.

        Not part of the fingerprint: it differs from machine to machine.
        """
        return self._sandbox.facts()


def has_stderr(result: ToolResult) -> bool:
    """Whether a cell wrote to stderr, by what its result shows; an exception stands there as well.

    A cell may print what looks like stderr, which counts as stderr: nothing can hide behind it.
    """
    text = "".join(part for part in result.content if isinstance(part, str))
    _, found, rest = text.partition(_STDERR)
    return bool(found) and not (rest.startswith("```") and "```" not in rest[3:])


def _spec(options: PythonOptions) -> ToolSpec:
    offer = options.offer
    libraries = [name for name in PACKAGES if name in offer.libraries]
    there = f"There are {', '.join(libraries)}; there" if libraries else "There"
    return ToolSpec(
        name=NAME,
        description=(
            "Run Python in a notebook; variables stay from cell to cell. The images are there "
            "as PIL images: image_1, image_2, and so on, those that tools return included. You "
            "see what is printed, the value of the last expression, and what is shown with "
            f"display(image) or plt.show(). {there} is no "
            f"network, and a cell may take {offer.limits.seconds:g} seconds."
        ),
        parameters={
            "type": "object",
            "properties": {"code": {"type": "string", "description": "A cell."}},
            "required": ["code"],
        },
        options={
            **offer.model_dump(mode="json"),
            "after_kill": options.after_kill,
            "protocol": options.remote.protocol if options.remote else "saccade",
        },
    )


def _outcome(cell: Cell) -> Outcome:
    """Failed if the cell raised or was stopped; nothing if it ran without output."""
    if cell.status != "ok":
        return "failed"
    shows = cell.stdout.strip() or cell.value is not None or cell.images
    return "done" if shows else "nothing"


def _shown(cell: Cell, notes: tuple[str, ...], context: ToolContext) -> tuple[Part, ...]:
    """What the model is shown of a cell: text, then images fitted to the observation.

    The layout is that of DeepEyesV2's `deepeyesv2.py`; the value of a cell stands in its stdout, as
    a notebook prints it, and an exception in its stderr.
    """
    stdout = cell.stdout + (f"{cell.value}\n" if cell.value is not None else "")
    stderr = cell.stderr + (cell.error or "")
    text = f"stdout:\n```{stdout.rstrip()}```{_STDERR}{stderr.rstrip()}```"
    if notes:
        text += f"\n\n[{'; '.join(notes)}]"
    if not cell.images:
        return (text,)
    shown = tuple(Image.from_pixels(image).fit(context.observation) for image in cell.images)
    return (f"{text}\n\nImages:\n", *shown)


async def _give(
    notebook: Notebook | RemoteNotebook, number: int, image: Image, refused: list[str]
) -> None:
    """Define what the conversation has shown, at its native resolution; or say why it is not there.

    A model can ask for more images than a notebook holds: that is its mistake, and no end.
    """
    pixels = await in_thread(image.native().pixels)
    try:
        await notebook.give(f"image_{number}", pixels)
    except ToolError as error:
        refused.append(str(error))


def _few(refused: list[str]) -> list[str]:
    """What a notebook has refused, in a few notes."""
    more = len(refused) - MAX_REFUSED
    return refused if more <= 0 else [*refused[:MAX_REFUSED], f"{more} more images are not there"]
