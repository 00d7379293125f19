"""The only console of Rich: what it prints may be of anybody, and is text, never a command.

Square brackets are no markup, colons no emoji. Control characters become spaces in whatever is
rendered, tables and links included; colours and the cursor of a bar are Rich's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook
from rich.segment import Segment
from rich.style import Style

from saccade.untrusted.printable import printable


def terminal(*, stderr: bool = False, quiet: bool = False) -> Console:
    """A console that prints on stdout or stderr, or nothing."""
    console = Console(stderr=stderr, quiet=quiet, highlight=False, markup=False, emoji=False)
    console.push_render_hook(_Printed())
    return console


def linked(target: str) -> Style:
    """The style of a link to a file or a page."""
    return Style(link=quote(target, safe="/:?#[]@!$&()*+,;=%~"))


class _Printed(RenderHook):
    """Stands between what is rendered and the terminal."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Shown(renderable) for renderable in renderables]


class _Shown:
    """A renderable whose text is printable."""

    def __init__(self, inner: ConsoleRenderable) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[Segment]:
        for segment in console.render(self._inner, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)
