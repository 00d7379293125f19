"""Sections of documentation, for `search_corpus.py`: pages, manuals, pods and docstrings."""

from __future__ import annotations

import ast
import gzip
import hashlib
import html
import re
import subprocess
import sysconfig
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

DEBIAN = (
    "apache2-doc", "bind9-doc", "cmake-doc", "debian-faq", "debian-policy",
    "debian-reference-en", "developers-reference", "exim4-doc-html", "ffmpeg-doc", "git-doc",
    "installation-guide-amd64", "libreoffice-help-en-us", "libvirt-doc",
    "linux-doc-6.1", "manpages", "manpages-dev", "octave-doc", "openmpi-doc", "perl-doc",
    "postgis-doc", "postgresql-doc-15", "python-django-doc", "python3.11-doc", "r-doc-html",
    "sqlite3-doc",
)  # fmt: skip
PYTHON = {
    "matplotlib": "matplotlib", "networkx": "networkx", "numpy": "numpy", "pandas": "pandas",
    "pillow": "PIL", "scikit-image": "skimage", "scikit-learn": "sklearn", "scipy": "scipy",
    "sympy": "sympy",
}  # fmt: skip


class Section(NamedTuple):
    """What stands under a heading."""

    title: str
    """Of its page."""
    heading: str
    text: str


def identity(title: str, text: str) -> str:
    return hashlib.sha256(f"{title}\n{text}".encode()).hexdigest()[:16]


def sources(folder: Path) -> Iterator[tuple[str, tuple[str, Iterator[Section]]]]:
    for name in DEBIAN:
        number, root = unpacked(name, folder / "debian")
        yield name, (number, pages(root))
    library = Path(sysconfig.get_paths()["purelib"])
    for name, module in PYTHON.items():
        yield name, (version(name), docstrings(library / module, library))


def unpacked(name: str, folder: Path) -> tuple[str, Path]:
    """A package of Debian: its version, and where its files are."""
    folder.mkdir(parents=True, exist_ok=True)
    packages = sorted(folder.glob(f"{name}_*.deb"))
    if not packages:
        subprocess.run(["apt-get", "download", "-qq", name], cwd=folder, check=True)
        packages = sorted(folder.glob(f"{name}_*.deb"))
    root = folder / name
    if not root.is_dir():
        beside = root.with_suffix(".part")
        subprocess.run(["dpkg-deb", "-x", str(packages[-1]), str(beside)], check=True)
        beside.rename(root)
    return packages[-1].name.split("_")[1].replace("%3a", ":"), root


def pages(root: Path) -> Iterator[Section]:
    paths = by_hash(root, "*")
    has_pods = any(path.suffix == ".pod" for path in paths)
    for path in paths:
        if path.suffix in (".html", ".htm"):
            yield from of_html(path.read_text(encoding="utf-8", errors="replace"))
        elif path.suffix == ".pod":
            yield from of_pod(path.stem, path.read_text(encoding="utf-8", errors="replace"))
        elif "/man/man" in path.as_posix() and path.suffix == ".gz" and not has_pods:
            text = gzip.decompress(path.read_bytes()).decode("utf-8", "replace")
            yield from of_man(path.name.removesuffix(".gz"), text)


def by_hash(root: Path, pattern: str) -> list[Path]:
    """Files in an order that says nothing about them."""
    paths = [path for path in root.rglob(pattern) if path.is_file() and not path.is_symlink()]
    return sorted(paths, key=lambda path: identity("", path.relative_to(root).as_posix()))


_DROPPED = re.compile(
    r"<!--.*?-->|<(head|script|style|nav|footer|select)\b.*?</\1>", re.DOTALL | re.IGNORECASE
)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.DOTALL | re.IGNORECASE)
_HEADING = re.compile(r"<h[1-6]\b[^>]*>(.*?)</h[1-6]>", re.DOTALL | re.IGNORECASE)
_INLINE = re.compile(
    r"</?(a|abbr|b|code|em|i|kbd|q|samp|small|span|strong|sub|sup|tt|u|var)\b[^>]*>", re.IGNORECASE
)
_TAG = re.compile(r"<[^>]*>")


def of_html(page: str) -> Iterator[Section]:
    title = _TITLE.search(page)
    name = plain(title[1]) if title else ""
    parts = _HEADING.split(_DROPPED.sub(" ", page))
    heading = ""
    for number, part in enumerate(parts):
        if number % 2:
            heading = re.sub(r"^[A-Z]?[\d.]+\s+|[\s¶#:.]+$", "", plain(part)).strip()
        elif text := plain(part):
            yield Section(name, heading, text)


def plain(markup: str) -> str:
    return " ".join(html.unescape(_TAG.sub(" ", _INLINE.sub("", markup))).replace("¶", "").split())


def of_pod(name: str, text: str) -> Iterator[Section]:
    heading, body = "", []
    for block in [*re.split(r"\n\s*\n", text), "=head1 end"]:
        if block.startswith("=head"):
            if body:
                yield Section(name, heading, " ".join(" ".join(body).split()))
            heading, body = without_codes(block.partition(" ")[2]), []
        elif not block.startswith("="):
            body.append(without_codes(block))


def without_codes(text: str) -> str:
    for _ in range(3):
        text = re.sub(r"[A-Z]<{1,3}\s?([^<>]*?)\s?>{1,3}", r"\1", text)
    return " ".join(text.split())


def of_man(name: str, text: str) -> Iterator[Section]:
    heading, body = "", []
    for line in [*text.splitlines(), ".SH end"]:
        macro, _, rest = line.partition(" ")
        if macro in (".SH", ".SS", ".Sh", ".Ss"):
            if body:
                yield Section(name, heading, " ".join(" ".join(body).split()))
            heading, body = without_roff(rest).strip('" ').capitalize(), []
        elif macro in (".B", ".I", ".BR", ".IR", ".BI", ".IB", ".RB", ".RI"):
            body.append(without_roff(rest).replace('" "', " ").replace('"', ""))
        elif not line.startswith((".", "'")):
            body.append(without_roff(line))


def without_roff(line: str) -> str:
    line = re.sub(r"\\f(\(..|\[[^]]*\]|.)|\\s[-+]?\d|\\[&|^/,:%]|\\\".*", "", line)
    line = re.sub(
        r"\\\((..)", lambda match: {"lq": '"', "rq": '"', "aq": "'"}.get(match[1], " "), line
    )
    return line.replace("\\-", "-").replace("\\e", "\\").replace("\\ ", " ").replace("\\(", "")


def docstrings(root: Path, library: Path) -> Iterator[Section]:
    for path in by_hash(root, "*.py"):
        if "test" in path.as_posix().removeprefix(str(root)):
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        module = ".".join(path.relative_to(library).with_suffix("").parts)
        for name, node in definitions(tree, module.removesuffix(".__init__")):
            if text := ast.get_docstring(node):
                yield Section(name, "", " ".join(text.split()))


Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def definitions(node: Documented, name: str) -> Iterator[tuple[str, Documented]]:
    yield name, node
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from definitions(child, f"{name}.{child.name}")
