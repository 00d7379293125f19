"""`saccade keys`: the keys of run files, and the environment variables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from saccade.cli.common.options import Json
from saccade.cli.common.say import say, say_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from saccade.cli.reference.sections import Key, Section

VARIABLES = "variables"
WIDTH = 100


def keys(
    section: Annotated[
        str,
        typer.Argument(
            metavar="[SECTION]",
            help="A section (policy.openai), a key, or what a key begins with (train).",
            show_default=False,
        ),
    ] = "",
    page: Annotated[
        bool, typer.Option("--page", help="Print the whole reference as Markdown.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Look up the keys of run files, and environment variables.

    Without a section it lists the sections. A star stands at keys of which another value is another
    run, which does not go on in the same folder.
    """
    from saccade.cli.reference.variables import OF_LIBRARIES, OWN

    if page and as_json:
        from saccade.errors import ConfigError

        raise ConfigError("keys: --page prints Markdown, and --json JSON; choose one of them")
    if page:
        from saccade.cli.reference.page import page_of_keys

        say(page_of_keys(), end="")
    elif not section and as_json:
        say_json(_sections(), indent=2)
    elif not section:
        _list_sections()
    elif section == VARIABLES:
        variables = OWN | OF_LIBRARIES
        if as_json:
            say_json(variables, indent=2)
        for name, about in [] if as_json else variables.items():
            _show(name, "", about)
    else:
        found = _found(section)
        if as_json:
            rows = [{"section": s.name, **key._asdict()} for s, listed in found for key in listed]
            say_json(rows, indent=2)
        else:
            _show_keys(found)


def _found(wanted: str) -> list[tuple[Section, list[Key]]]:
    """The sections of this name or under it, or else the keys of this name or under it.

    Raises:
        ConfigError: there is no such section or key.
        MissingExtra: it is one that cannot be read without an extra.
    """
    from saccade.cli.reference.sections import RUN_FILES, keys_of
    from saccade.config import suggestion
    from saccade.errors import ConfigError

    sections = [*RUN_FILES, *_parts()]
    if named := [s for s in sections if _is_under(s.name, wanted)]:
        return [(section, keys_of(section)) for section in named]
    known = {place for section in sections for place in _places(section.name)}
    hint = ""
    for heavy in (False, True):  # torch is loaded where nothing else has the key, or one like it
        found = []
        for section in sections:
            if section.heavy is heavy and f"{wanted}.".startswith(section.prefix):
                listed = keys_of(section)
                known |= {place for key in listed for place in _places(key.key)}
                if under := [key for key in listed if _is_under(key.key, wanted)]:
                    found.append((section, under))
        if found:
            return found
        if hint := suggestion(wanted, sorted(known)):
            break
    raise ConfigError(
        f"keys: there is no section or key {wanted!r}{hint}; `saccade keys` lists the sections"
    )


def _parts() -> Iterator[Section]:
    from saccade.cli.reference.sections import GROUPS, parts

    for group in GROUPS:
        yield from parts(group)


def _places(name: str) -> Iterator[str]:
    """A dotted name, and everything that it lies under."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def _is_under(name: str, wanted: str) -> bool:
    return name == wanted or name.startswith(f"{wanted}.")


def _list_sections() -> None:
    from saccade.cli.reference.sections import GROUPS, RUN_FILES, parts

    say("Run files, and what takes key=value:")
    for section in RUN_FILES:
        say(f"  {section.name:<18} {section.about}")
    say("\nParts, by the key that names one:")
    for group in GROUPS:
        names = ", ".join(part.name.removeprefix(f"{group.name}.") for part in parts(group))
        say(f"  {group.name:<18} {names}")
    say(f"\n  {VARIABLES:<18} environment variables")
    say("\nsaccade keys policy.openai, saccade keys train, ... describes each key.")


def _sections() -> list[dict[str, str | None]]:
    """Every section that can be looked up, without importing the parts that they describe."""
    from saccade.cli.reference.sections import GROUPS, RUN_FILES, parts

    files = [(s.name, s.about, None) for s in RUN_FILES]
    named = [(part.name, None, group.where) for group in GROUPS for part in parts(group)]
    rows = [*files, *named, (VARIABLES, "environment variables", None)]
    return [dict(zip(("section", "about", "named_by"), row, strict=True)) for row in rows]


def _show_keys(found: Iterable[tuple[Section, list[Key]]]) -> None:
    from saccade.cli.reference.sections import about

    marked = False
    for section, listed in found:
        say(f"{section.name}: {about(section)}", colour="cyan")
        for key in listed:
            marked |= key.another_run
            given = f" = {key.default}" if key.default else " (required)" * (key.default is None)
            star = " *" if key.another_run else ""
            _show(key.key, f"{given}   {key.type}{star}", key.about)
        if not listed:
            say("  no options")
        say("")
    if marked:
        say("* another value is another run, which needs a folder of its own")


def _show(name: str, more: str, about: str) -> None:
    import shutil
    import textwrap

    width = min(WIDTH, shutil.get_terminal_size().columns)
    say(f"  {name}", bold=True, end="")
    say(more)
    say(textwrap.fill(about, width, initial_indent=" " * 6, subsequent_indent=" " * 6))
