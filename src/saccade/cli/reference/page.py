"""The page docs/run_file.md: every key of every run file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from saccade.cli.reference.sections import GROUPS, RUN_FILES, Key, Section, about, keys_of, parts
from saccade.cli.reference.variables import OF_LIBRARIES, OWN

HEAD = """\
# The keys of a run file

A run file is TOML; `key.path=value` on the command line goes over it, and the Python API takes the
same sections. An unknown key is an error that names the nearest known one. This page is written by
`saccade keys --page > docs/run_file.md`; `saccade keys SECTION` prints a part of it, and
`saccade check recipe FILE` says whether a file would work.

A key with a star makes another run: a folder that holds a run with one value is not resumed with
another. All other keys (hosts, time-outs, counts, where and how fast) can change between two starts
of one run. A `part` is a table with a `kind` and its options, or, in a list, its name alone; parts
come below, and your own goes there as `"package.module:Name"` ([extending.md](extending.md)).
"""
PARTS = """
## Parts

Each has options of its own, which stand beside `kind` in its table, or under its name.
"""
VARIABLES = """
## Environment variables

A run file names the variable that holds a key or token, and never the key itself: it is copied
into `run.json`.
"""


def page_of_keys() -> str:
    """The page as Markdown.

    Raises:
        MissingExtra: a section cannot be read without an extra.
    """
    return "\n".join(_lines()).replace("\n\n\n", "\n\n")


def _lines() -> Iterator[str]:
    yield HEAD
    for section in RUN_FILES:
        yield f"## {section.name}\n\n{about(section)}\n"
        yield from _table(keys_of(section))
    yield PARTS
    for group in GROUPS:
        yield f"### {group.name}\n\n`{group.where}`\n"
        yield from _parts(list(parts(group)))
    yield VARIABLES
    for title, variables in (("variable", OWN), ("variable of a library", OF_LIBRARIES)):
        yield from _variables(title, variables)


def _parts(sections: Sequence[Section]) -> Iterator[str]:
    """A list of what has no options, and a table of what has some."""
    for section in sections:
        name = section.name.rpartition(".")[2]
        listed = keys_of(section)
        yield f"`{name}`: {about(section)}\n"
        if listed:
            yield from _table(listed)


def _table(keys: Sequence[Key]) -> Iterator[str]:
    yield "| key | type | default | |"
    yield "|---|---|---|---|"
    for key in keys:
        star = r" \*" if key.another_run else ""
        default = "required" if key.default is None else f"`{key.default}`" * bool(key.default)
        yield f"| `{key.key}`{star} | {_cell(key.type)} | {_cell(default)} | {_cell(key.about)} |"
    yield ""


def _variables(title: str, variables: Mapping[str, str]) -> Iterator[str]:
    yield f"| {title} | |"
    yield "|---|---|"
    for name, sentence in variables.items():
        yield f"| `{name}` | {_cell(sentence)} |"
    yield ""


def _cell(text: str) -> str:
    return text.replace("|", r"\|")
