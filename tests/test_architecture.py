"""The house: who imports whom, how long a file may be, what stays out of public signatures."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import cast

import pytest

from saccade.config import resolve
from saccade.dialects import BUILT_IN

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "saccade"

# Rows from the roof to the ground. A module imports from rows below, from inside its own room,
# or from a neighbour where the row is not marked as siblings.
ROWS: list[tuple[str, bool]] = [
    ("__main__", False),
    ("cli testing", True),
    ("engines serve view nano", True),
    ("train bench data robust", True),
    ("agent runs canary", False),
    ("recipe tasks", False),
    ("policies arms fisher guard", False),
    ("rollout", False),
    ("env execution models", False),
    ("dialects tools render rewards world measures", True),
    ("sandbox formats search", False),
    ("types config client", False),
    ("errors plugins cache files untrusted images embedded", False),
]
ROW_OF = {room: row for row, (rooms, _) in enumerate(ROWS) for room in rooms.split()}
HEAVY = {
    "torch": "search render models policies fisher guard train robust engines nano",
    "transformers": "search render models policies fisher guard train robust engines nano",
    "trl": "train",
    "verl": "engines",
    "ray": "engines",
    "inspect_ai": "engines",
}
MOST_FILES = 14
"""Side by side in a folder: more of them want subjects of their own."""
LISTED = {"cli": "a file for each command, which the table in its __init__ lists by subject"}
"""Folders that may have more, and why."""


@cache
def modules() -> tuple[Path, ...]:
    return tuple(sorted(PACKAGE.rglob("*.py")))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def place_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def room(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported, also inside functions, and every "saccade.x:Name" string."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            module, colon, name = node.value.partition(":")
            if colon and name.isidentifier() and module.replace(".", "").isidentifier():
                yield module


def room_of_import(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if parts[0] == "saccade" and len(parts) > 1 and parts[1] in ROW_OF else None


def may_import(importer: str, imported_room: str) -> bool:
    if importer in ("__init__", imported_room):
        return True
    above, below = ROW_OF[importer], ROW_OF[imported_room]
    return below > above or (below == above and not ROWS[above][1])


def test_imports_point_downwards() -> None:
    for path in modules():
        place, importer = place_of(path), room(path)
        assert importer == "__init__" or importer in ROW_OF, f"{place} has no row in the plan"
        for name in imported(tree_of(path)):
            target = room_of_import(name)
            assert target is None or may_import(importer, target), f"{place} imports {name}"
            heavy = name.split(".")[0]
            if heavy in HEAVY:
                assert importer in HEAVY[heavy].split(), f"{place} imports {heavy}"


def test_the_rules_would_catch_a_wrong_import() -> None:
    assert not may_import("types", "env")
    assert not may_import("tools", "rewards")
    assert not may_import("serve", "view")
    assert may_import("images", "errors")
    assert may_import("env", "tools")
    tree = ast.parse("def f():\n    from saccade.cli import main\nX = 'saccade.env:Environment'")
    assert {"saccade.cli", "saccade.env"} <= set(imported(tree))


def statements(path: Path) -> Iterator[str]:
    """Modules that are imported when this one is loaded; strings and type-only imports are not."""
    for node in tree_of(path).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in NAMES else node.module or ""


NAMES = {
    ".".join(("saccade", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path
    for path in modules()
}


def test_there_are_no_cycles() -> None:
    needs = {name: {i for i in statements(path) if i in NAMES} - {name}
             for name, path in NAMES.items()}  # fmt: skip
    settled: set[str] = set()
    while ready := {name for name in needs if needs[name] <= settled} - settled:
        settled |= ready
    assert settled == set(needs), f"in a cycle: {sorted(set(needs) - settled)}"


def test_a_file_fits_in_the_head() -> None:
    lengths = {place_of(path): len(path.read_text().splitlines()) for path in modules()}
    assert not {place: lines for place, lines in lengths.items() if lines > 400}


def signature_annotations(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name[0] != "_":
            every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            every += [a for a in (node.args.vararg, node.args.kwarg) if a]
            yield from ((node.name, a.annotation) for a in every if a.annotation)
            if node.returns:
                yield node.name, node.returns


def test_public_signatures_have_no_any() -> None:
    for path in modules():
        for function, annotation in signature_annotations(tree_of(path)):
            names = {n.id for n in ast.walk(annotation) if isinstance(n, ast.Name)}
            assert "Any" not in names, f"{place_of(path)}: {function}: {ast.unparse(annotation)}"


def test_type_ignores_are_rare_and_say_why() -> None:
    lines = [line for path in modules() for line in path.read_text().splitlines()]
    ignores = [line for line in lines if "type: ignore" in line]
    assert all("type: ignore[" in line for line in ignores)
    assert len(ignores) <= len(lines) / 500, ignores


def test_hostile_text_is_never_executed() -> None:
    for path in modules():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec", "print"), f"{path}:{node.lineno}"
        names = set(imported(tree_of(path)))
        assert not names & {"pickle", "dill", "cloudpickle", "marshal", "shelve"}, path


BOUNDARIES = {
    "env.py": "what fails in an episode is ours, and ends it",
    "plugins.py": "a part that a run file names may be a user's own",
    "view/page.py": "what a library raises for a damaged file has no class of its own",
}
"""Files that may catch any exception, and why. So may the command line; in the sandbox it is the
model's code that raises."""


def catches_everything(tree: ast.AST) -> bool:
    """Whether something takes every exception: a handler, or `suppress`."""
    for node in ast.walk(tree):
        caught: list[ast.AST] = []
        if isinstance(node, ast.ExceptHandler):
            caught = [node.type or ast.Name("Exception")]
        elif isinstance(node, ast.Call) and "suppress" in ast.unparse(node.func):
            caught = list(node.args)
        names = (n for kind in caught for n in ast.walk(kind) if isinstance(n, ast.Name))
        if any(name.id == "Exception" for name in names):
            return True
    return False


def test_only_the_boundaries_catch_every_exception() -> None:
    found = set()
    for path in modules():
        place, text = str(path.relative_to(PACKAGE)), path.read_text()
        if place.startswith(("cli/", "sandbox/inside/", "sandbox/abuses/")):
            continue
        if ("Exception" in text or "except:" in text) and catches_everything(tree_of(path)):
            found.add(place)
    assert found == set(BOUNDARIES)


def test_a_handler_of_every_exception_is_seen() -> None:
    begin = "try:\n    f()\nexcept"
    for caught in ("", " Exception", " Exception as e", " (OSError, Exception)"):
        assert catches_everything(ast.parse(f"{begin}{caught}:\n    pass"))
    assert catches_everything(ast.parse("with suppress(Exception):\n    f()"))
    assert not catches_everything(ast.parse(f"{begin} ValueError:\n    pass"))


READERS = {
    "files.py": "the one place that opens what a path of others leads to",
    "runs/journal.py": "its own file, of which it has made sure that it is one",
    "train/checkpoints.py": "it writes there",
    "sandbox/cgroups.py": "files of the kernel",
    "sandbox/modes.py": "files of the kernel",
    "world/digits.py": "a file of this package",
    "view/page.py": "a file of this package",
    "render/qwen_vl.py": "a file of this package",
    "cli/reference/sections.py": "a file of this package",
    "rewards/math_worker.py": "a pipe that it was given",
    "sandbox/memory.py": "memory that it was given",
}
"""Files that may open files by themselves, and why. So may what runs within the sandbox, and what
breaks things for the tests."""


def opens(tree: ast.AST) -> Iterator[int]:
    """Lines that open a file, or read one by its path: for a reader of `saccade.files`."""
    modules = {"gzip", "bz2", "lzma", "io", "codecs", "tarfile"}
    by_path = {"zipfile.ZipFile", "np.load", "torch.load", "np.fromfile", "np.memmap"}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        owner, _, last = name.rpartition(".")
        known = name == "open" or last in ("read_text", "read_bytes", "fdopen")
        modes = [a.value for a in node.args[:1] if isinstance(a, ast.Constant)]
        known |= last == "open" and (owner in modules or any(m in MODES for m in modes))
        given = ast.unparse(node.args[0]) if node.args else ""
        if known or (name in by_path and given not in ("file", "member")):
            yield node.lineno


MODES = {"r", "rb", "r+b", "a", "ab", "w", "wb", "x", "xb"}


def test_a_file_is_opened_in_one_place() -> None:
    """A path may lead to a pipe that never ends, or to more bytes than there is memory."""
    found = set()
    for path in modules():
        place = str(path.relative_to(PACKAGE))
        if not place.startswith(("sandbox/inside/", "sandbox/abuses/", "testing/")):
            found |= {place for _ in opens(tree_of(path))}
    assert found == set(READERS)


def test_a_call_that_opens_a_file_is_seen() -> None:
    for call in ("open(path)", "path.open('rb')", "path.read_text()", "gzip.open(path)",
                 "np.load(path)", "zipfile.ZipFile(path)", "os.fdopen(3)"):  # fmt: skip
        assert list(opens(ast.parse(call))) == [1], call
    for call in ("open_file(path)", "Image.open(path)", "tool.open(context)", "torch.load(file)"):
        assert not list(opens(ast.parse(call))), call


def folders() -> list[Path]:
    return sorted({path.parent for path in modules()})


@pytest.mark.parametrize("folder", folders(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_folder_is_taken_in_at_a_glance(folder: Path) -> None:
    files = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(files) <= MOST_FILES or str(folder.relative_to(PACKAGE)) in LISTED, files


TEMPLATES = {
    "render/qwen_vl.py": "the chat template of the Qwen families, which no dialect chooses",
    "bench/scorers/letters.py": "what VLMEvalKit's scorers look for in a reply",
    "bench/scorers/published.py": "a reply on which they are wrong",
    "rewards/llm.py": "the thought of a judge's own model, whose dialect is not ours",
}
"""Files that may hold the text of a tag, and why."""


def literals(tree: ast.AST) -> Iterator[str]:
    """Every text in the code but docstrings."""
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare:
            yield node.value


def tags() -> set[str]:
    """The texts with which the built-in dialects open and close the parts of a turn."""
    found = {"<tool_response>", "</tool_response>"}
    for name in BUILT_IN:
        made = cast(type, resolve(name, BUILT_IN, "dialect"))()
        seams = made.seams
        for seam in (seams.thought, seams.call, seams.answer, seams.code):
            found |= {text.strip() for text in seam or () if text.strip().startswith("<")}
    return found


def test_the_text_of_a_dialect_stands_in_its_dialect() -> None:
    known = tags()
    for path in modules():
        place = place_of(path)
        if place.startswith("dialects/") or place in TEMPLATES:
            continue
        for text in literals(tree_of(path)):
            for tag in known:
                assert tag not in text, f"{place}: {text[:60]!r} holds {tag}"


def test_the_tags_that_are_looked_for_are_known() -> None:
    assert {"<think>", "</think>", "<tool_call>", "<answer>", "<code>"} <= tags()
    tree = ast.parse('"""<think>"""\nX = f"<answer>{1}"\ndef f():\n    """<code>"""\n')
    assert list(literals(tree)) == ["<answer>"]
