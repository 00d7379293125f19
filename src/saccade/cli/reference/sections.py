"""The keys of run files, read off the models that validate them.

A key is a field of a model, its sentence the string under the field. Sections come from two literal
tables: run files, and groups of parts, whose names stand in the `BUILT_IN` tables of their rooms.
Sections that are not heavy are read without torch.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, cast

from pydantic import BaseModel

from saccade.cli.reference.values import default_of, fields_of, is_open, model_in, type_of
from saccade.config import Table, resolve
from saccade.runs.manifest import changes_meaning


class Key(NamedTuple):
    """A key of a run file."""

    key: str
    type: str
    default: str | None
    """As TOML writes it; empty where nothing is said, None where the key must be given."""
    about: str
    another_run: bool
    """Whether a run with another value is another run, which needs a folder of its own."""


class Section(NamedTuple):
    """Keys that belong together: a kind of run file, or the options of a part."""

    name: str
    target: str
    """Where the model, part or function is: `package.module:Name`."""
    prefix: str = ""
    """What the dotted keys begin with."""
    about: str = ""
    """What it is; the first line of its docstring where it is left out."""
    heavy: bool = False
    """Whether reading it loads torch."""
    extends: str = ""
    """The section whose keys it takes as well; only others are listed."""
    is_run: bool = True
    """Whether its keys are those of a run, which can be another one."""


class Group(NamedTuple):
    """Parts that a key of a run file can name."""

    name: str
    """What the names of its sections begin with."""
    where: str
    """How a run file names one."""
    table: str
    """The table of the names, as `package.module:NAME`."""
    heavy: frozenset[str] = frozenset()
    """Names of the parts whose options cannot be read without torch; `*`: of all."""


RUN_FILES = (
    Section("rollout", "saccade.recipe:Recipe",
            about="`saccade rollout`; `saccade solve` and the Python API take the same keys."),
    Section("bench", "saccade.bench.recipe:BenchRecipe", extends="rollout",
            about="`saccade bench NAME`: keys beside those of `rollout`."),
    Section("curate", "saccade.data.curate.recipe:CurateRecipe", extends="rollout",
            about="`saccade curate`: keys beside those of `rollout`."),
    Section("demos", "saccade.data.demos.recipe:DemosRecipe", extends="rollout",
            about="`saccade demos`: keys beside those of `rollout`; `policy` is left out."),
    Section("teachers", "saccade.data.demos.recipe:TeacherPart", prefix="teachers.",
            about="`[[teachers]]` of `saccade demos`: keys beside those of a `policy` part."),
    Section("rl", "saccade.train.recipe:RLRecipe", extends="rollout",
            about="`saccade rl`: keys beside those of `rollout`; `policy` is left out."),
    Section("sft", "saccade.train.recipe:SFTRecipe", about="`saccade sft`."),
    Section("attack.agent", "saccade.robust.agent.recipe:AgentAttackRecipe", extends="rollout",
            about="`saccade attack` with a `policy`: keys beside those of `rollout`."),
    Section("attack.classifier", "saccade.robust.classifiers.recipe:RobustRecipe",
            about="`saccade attack` without a `policy`, and `saccade detect`.", heavy=True),
    Section("nano", "saccade.nano.deepeyes.options:BaseOptions",
            about="`saccade nano train-base`, which takes key=value and no file."),
    Section("serve", "saccade.serve.sandbox:ServeOptions",
            about="`saccade serve sandbox`, which takes key=value and no file.", is_run=False),
    Section("serve.search", "saccade.serve.search_options:SearchServeOptions",
            about="`saccade serve search`, which takes key=value and no file.", is_run=False),
)  # fmt: skip
"""Every kind of run file, and of commands that take key=value."""

GROUPS = (
    Group("tasks", 'tasks = { kind = "NAME", ... }', "saccade.tasks:BUILT_IN"),
    Group("dialect", 'dialect = { kind = "NAME", ... }', "saccade.dialects:BUILT_IN"),
    Group("tools", "tools.NAME = { ... }", "saccade.tools:BUILT_IN"),
    Group("tools.text_search.provider",
          'tools.text_search.provider = { kind = "NAME", ... }, and likewise of image_search',
          "saccade.search.provider:PROVIDERS"),
    Group("policy", 'policy = { kind = "NAME", ... }', "saccade.policies:BUILT_IN",
          frozenset({"hf"})),
    Group("reward.judge", 'reward.judge = ["NAME", { kind = "NAME", ... }]',
          "saccade.rewards:JUDGES"),
    Group("reward.weights", "reward.weights.NAME = WEIGHT, or { weight = WEIGHT, ... }",
          "saccade.rewards.terms:TERMS"),
    Group("curate.terms", 'curate.terms = ["NAME", { kind = "NAME", ... }]',
          "saccade.data.curate:TERMS"),
    Group("bench", 'bench = { kind = "NAME", ... }, or saccade bench NAME',
          "saccade.bench:BENCHMARKS"),
    Group("attack.methods", 'attack.methods = ["NAME", { kind = "NAME", ... }]',
          "saccade.robust.attacks:ATTACKS", frozenset("*")),
    Group("detect.signals", 'detect.signals = ["NAME", { kind = "NAME", ... }]',
          "saccade.robust.detectors:SIGNALS", frozenset("*")),
)  # fmt: skip
"""Every key that names a part, built in or of one's own; see docs/extending.md."""

PROMPTS = Key(
    "dialect.prompts", "path", "",
    "File of published training rows from which the prompts are taken; the default is ours. See "
    "`saccade.formats.prompts`.", True,
)  # fmt: skip
"""A dialect is made with texts; a run file names the file that they are in."""

OF_THE_NAME = {"tools", "reward.weights"}
"""Groups in which the name of a part is a key itself, and no `kind`."""


def parts(group: Group) -> Iterator[Section]:
    """The sections of a group.

    Its table is a literal, and read as one: to import the room of attacks would load torch.
    """
    module, _, table = group.table.partition(":")
    assigned = next(
        node.value
        for node in _tree(module).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == table
    )
    for name, target in ast.literal_eval(assigned).items():
        prefix = f"{group.name}.{name}." if group.name in OF_THE_NAME else f"{group.name}."
        heavy = bool(group.heavy & {name, "*"})
        yield Section(f"{group.name}.{name}", target, prefix, heavy=heavy)


def keys_of(section: Section) -> list[Key]:
    """The keys of a section, in the order of the fields.

    Raises:
        MissingExtra: the section needs an extra.
    """
    made = resolve(section.target, {}, section.name)
    options = made if _is_model(made) else getattr(made, "Options", None)
    if not _is_model(options):
        return []
    if section.name.startswith("dialect."):
        return [PROMPTS]
    found = list(_keys(cast(type, options), section.prefix, {}))
    if not section.is_run:
        found = [key._replace(another_run=False) for key in found]
    if section.extends:
        (base,) = (other for other in RUN_FILES if other.name == section.extends)
        known = set(keys_of(base))
        found = [key for key in found if key not in known]
    return found


def about(section: Section) -> str:
    """What a section is."""
    made = resolve(section.target, {}, section.name)
    return section.about or (inspect.getdoc(made) or "").splitlines()[0]


@cache
def _tree(module: str) -> ast.Module:
    """The source of a module of ours, which need not have been imported."""
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


def _is_model(made: object) -> bool:
    return isinstance(made, type) and issubclass(made, BaseModel)


def _keys(model: type, prefix: str, given: Table) -> Iterator[Key]:
    """The keys of a model and of the models in it.

    Args:
        model: What validates the keys.
        prefix: What they begin with.
        given: The defaults that the model around it has for them.
    """
    sentences = _sentences(model)
    for name, field in fields_of(model).items():
        key = f"{prefix}{name}"
        default = default_of(field, given.get(name))
        inner = model_in(field.annotation)
        if inner is not None and default is not None and default.table is not None:
            yield from _keys(inner, f"{key}.", default.table)
            continue
        text = None if default is None else default.text
        sentence = sentences.get(name) or _first_line(field.annotation)
        yield Key(key, type_of(field.annotation, field.metadata), text, sentence,
                  changes_meaning(key))  # fmt: skip
        if inner is not None:
            yield from _keys(inner, f"{key}.", {})


def _first_line(annotation: object) -> str:
    return (inspect.getdoc(annotation) or "").partition("\n")[0] if is_open(annotation) else ""


def _sentences(model: type) -> dict[str, str]:
    """Name of a field -> the string under it, of the class itself or the nearest one above."""
    found: dict[str, str] = {}
    for above in reversed(model.__mro__):
        found |= _strings_under_fields(above.__module__).get(above.__qualname__, {})
    return found


@cache
def _strings_under_fields(module: str) -> dict[str, dict[str, str]]:
    """Name of a class -> its fields and the strings under them, as the module's source has them."""
    if not module.startswith("saccade."):
        return {}
    found: dict[str, dict[str, str]] = {}
    for node in _tree(module).body:
        if not isinstance(node, ast.ClassDef):
            continue
        fields = found.setdefault(node.name, {})
        for line, after in zip(node.body, node.body[1:], strict=False):
            if isinstance(line, ast.AnnAssign) and isinstance(after, ast.Expr):
                text = after.value.value if isinstance(after.value, ast.Constant) else None
                if isinstance(text, str) and isinstance(line.target, ast.Name):
                    fields[line.target.id] = " ".join(text.split())
    return found
