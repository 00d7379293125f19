"""Commands that are imported when they are used, and help pages in plain sections."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter

HEADING = re.compile(r"^\w[\w ]*:", re.MULTILINE)


class Row(NamedTuple):
    """A line of the table of commands."""

    name: str
    """What is typed: one word, or the word of a group and one more."""
    target: str
    """Where the function is: `package.module:function`."""
    help: str
    """What the command does: the first line of the function's docstring."""
    panel: str
    """The section of the help page that lists it."""
    argument: str = "NAME"
    """What its first argument is called, where the command is the word of a group alone."""


class Example(NamedTuple):
    """A command line to begin with."""

    line: str
    help: str


class Group(TyperGroup):
    """The commands of a table, or those of one group in it, listed under their panels.

    Args:
        name: As it is typed; None for the command line as a whole.
        help: What it is for.
        rows: The table, in the order in which its commands are listed.
        groups: The first words of names of two words, and what each group is for.
        examples: Shown before the commands.
        version: What `--version` prints; empty where there is no such option.
        own: The command that the first word alone is, as in `saccade bench NAME`: it is called
            where the next word names none of the group.
    """

    def __init__(
        self,
        name: str | None,
        help: str,
        rows: Sequence[Row],
        *,
        groups: Mapping[str, str] | None = None,
        examples: Sequence[Example] = (),
        version: str = "",
        own: Row | None = None,
    ) -> None:
        super().__init__(
            name=name,
            help=help,
            no_args_is_help=True,
            options_metavar=None,
            rich_markup_mode=None,
            context_settings={"max_content_width": 100},
        )
        self.rows = rows if own is None else [own._replace(name=own.argument), *rows]
        self.own = None if own is None else _LazyCommand(own)
        self.examples = examples
        self.version = version
        for row in rows:
            if " " not in row.name:
                self.add_command(_LazyCommand(row))
        for word, purpose in (groups or {}).items():
            named = [row for row in rows if row.name.startswith(f"{word} ")]
            inner = [row._replace(name=row.name.removeprefix(f"{word} ")) for row in named]
            own_row = next((row for row in rows if row.name == word), None)
            self.add_command(Group(word, purpose, inner, own=own_row))

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: Context | None = None,
        **extra: object,
    ) -> Context:
        """A context of the command that is named; of the group where none is.

        The options of a group would be parsed first. There are only `--help`, for which Typer
        loads pydantic, and `--version`, which is answered here for the same reason.
        """
        if self.version and args[:1] == ["--version"]:
            typer.echo(self.version)
            raise typer.Exit
        named = self.commands.get(args[0]) if args else None
        if named is None and self.own is not None and args and args[0] != "--help":
            return self.own.make_context(info_name, args, parent, **extra)
        if named is None:
            return super().make_context(info_name, args, parent, **extra)
        here = typer.Context(self, parent, info_name, **self.context_settings)
        return named.make_context(args[0], args[1:], here, **extra)

    def invoke(self, ctx: Context) -> object:
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)

    def get_help(self, ctx: Context) -> str:
        return _bold_headings(super().get_help(ctx))

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Examples and commands; the only option of a group is the one that shows this page."""
        if self.examples:
            with formatter.section("Start here"):
                formatter.write_dl(self.examples, col_max=2)  # each in two lines
        column = max(len(row.name) for row in self.rows)
        for panel in dict.fromkeys(row.panel for row in self.rows):
            with formatter.section(panel):
                formatter.write_dl(
                    [(row.name.ljust(column), row.help) for row in self.rows if row.panel == panel]
                )
        formatter.write_paragraph()
        if self.own is not None:
            line = f"{ctx.command_path} {self.rows[0].name} --help describes its options."
            formatter.write_text(line)
        formatter.write_text(f"{ctx.command_path} COMMAND --help describes a command.")
        if self.version:
            formatter.write_text(f"{ctx.command_path} --version prints the version.")


class _LazyCommand(TyperCommand):
    """Stands for a command until it is called; only then is its module imported."""

    def __init__(self, row: Row) -> None:
        super().__init__(row.name, help=row.help, rich_markup_mode=None)
        self.target = row.target

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: Context | None = None,
        **extra: object,
    ) -> Context:
        """A context of the command itself, which takes over from here."""
        module, _, function = self.target.partition(":")
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(self.name, cls=_Command)(getattr(import_module(module), function))
        return get_command(app).make_context(info_name, args, parent, **extra)


class _Command(TyperCommand):
    """A command that Ctrl-C ends, with headings in bold on its help page."""

    def invoke(self, ctx: Context) -> object:
        from saccade.cli.common.interrupt import ends_in_time

        with ends_in_time():
            return super().invoke(ctx)

    def get_help(self, ctx: Context) -> str:
        return _bold_headings(super().get_help(ctx))


def _bold_headings(page: str) -> str:
    """Typer takes the escape codes out again where the output is no terminal."""
    return HEADING.sub(lambda heading: typer.style(heading[0], bold=True), page)
