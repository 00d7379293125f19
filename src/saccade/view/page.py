"""One HTML file that shows runs: all of it inside, nothing fetched, nothing of a run executed.

Style and script stand in the page, named by their hashes in a Content-Security-Policy that allows
nothing else. The data is a JSON block, which a browser never executes, in pure ASCII without `<`.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from saccade.errors import ConfigError
from saccade.measures import summary
from saccade.store import RunReader
from saccade.view.pictures import Pictures
from saccade.view.record import Episode, TokenText, episode_of, visible

MAX_PAGE_BYTES = 24 * 2**20
"""With larger images than this a page becomes a folder: the images lie beside it."""

MAX_TOKENIZER_BYTES = 64 * 2**20


class Page(NamedTuple):
    """A finished page."""

    html: str
    files: dict[str, bytes]
    """Name -> image beside the page; empty for a page in one file."""


def write_page(runs: Sequence[Path], out: Path) -> Path:
    """Write the page of one run, or of several side by side.

    Args:
        runs: Run folders, finished or not.
        out: The HTML file; a folder of this name without its ending where images are large.

    Returns:
        The file to open.

    Raises:
        StoreError: there is no run in a folder.
        FormatError: a line of a run folder is damaged.
    """
    page = make_page(runs)
    if not page.files:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(page.html)
        return out
    folder = out.with_suffix("")
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for name, content in page.files.items():
        (folder / "images" / name).write_bytes(content)
    (folder / "index.html").write_text(page.html)
    return folder / "index.html"


def make_page(runs: Sequence[Path], *, follow: bool = False) -> Page:
    """The page of runs.

    Raises:
        ConfigError: no run was named.
    """
    content, pictures = page_data(runs)
    inline = follow or sum(map(len, pictures.files.values())) <= MAX_PAGE_BYTES
    source = {
        name: pictures.data_uri(name) if inline else f"images/{name}" for name in pictures.files
    }
    content |= {"pictures": source, "follow": follow}
    names = " \u00b7 ".join(run.name for run in runs)
    return Page(_html(content, names, inline=inline), {} if inline else pictures.files)


def page_data(runs: Sequence[Path]) -> tuple[dict[str, object], Pictures]:
    """What the page shows, and its images."""
    if not runs:
        raise ConfigError("view: name at least one run folder")
    pictures = Pictures()
    token_text = lru_cache(maxsize=65536)(_Tokenizers().texts)
    return {"runs": [_run(run, pictures, token_text) for run in runs]}, pictures


def as_json(content: object) -> str:
    """JSON that can stand inside a script element: ASCII, and no tag can begin in it."""
    return json.dumps(content, ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")


def _run(path: Path, pictures: Pictures, token_text: TokenText) -> dict[str, object]:
    reader = RunReader(path)
    entries = list(reader.entries())
    total = summary(entries)
    episodes: list[Episode] = [
        episode_of(task, trajectory, pictures, lambda model, ids: token_text(model, tuple(ids)))
        for task, trajectory in entries
    ]
    right = "-" if total.accuracy is None else f"{total.accuracy:.3f}"
    between = "" if total.low is None else f" [{total.low:.3f}, {total.high:.3f}]"
    line = f"{right}{between} right of {total.scored} scored; environment "
    return {
        "name": visible(path.name),
        "line": line + visible(reader.manifest.fingerprint),
        "notes": _notes(path, Counter(e["outcome"] for e in episodes)),
        "episodes": episodes,
    }


def _notes(path: Path, outcomes: Counter[str]) -> list[str]:
    """What is unusual about a run."""
    notes = [
        f"{outcomes[name]} {name}." for name in ("aborted", "timeout", "unscored") if outcomes[name]
    ]
    if not outcomes:
        notes.append("No episode has finished yet.")
    if any((path / "torn").glob("*")):
        notes.append("A crash cut a line in half; it is kept in torn/.")
    for name in ("trajectories.jsonl", "tasks.jsonl"):
        file = path / name
        if file.exists() and file.stat().st_size and file.read_bytes()[-1:] != b"\n":
            notes.append(f"The last line of {name} is still being written, or was cut by a crash.")
    return notes


class _Tokenizers:
    """Finds the tokenizers of local models, to show the text of single ids."""

    def __init__(self) -> None:
        self._found: dict[str, object] = {}

    def texts(self, model: str, ids: tuple[int, ...]) -> list[str] | None:
        tokenizer = self._of(model)
        if tokenizer is None:
            return None
        decode = tokenizer.decode  # type: ignore[attr-defined]
        return [decode([i], skip_special_tokens=False) for i in ids]

    def _of(self, model: str) -> object:
        if model not in self._found:
            self._found[model] = _read_tokenizer(Path(model) / "tokenizer.json")
        return self._found[model]


def _read_tokenizer(path: Path) -> object:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        return None
    if not path.is_file() or path.stat().st_size > MAX_TOKENIZER_BYTES:
        return None
    return Tokenizer.from_str(path.read_text())


def _html(content: dict[str, object], title: str, *, inline: bool) -> str:
    style, script = _asset("page.css"), _asset("page.js")
    images = "data:" if inline else "data: 'self' file:"
    connect = "'self'" if content["follow"] else "'none'"
    policy = (
        f"default-src 'none'; img-src {images}; style-src {_hash(style)}; "
        f"script-src {_hash(script)}; connect-src {connect}; base-uri 'none'; form-action 'none'"
    )
    escaped = visible(title).replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    page = _asset("page.html")
    parts = {"policy": policy, "title": escaped, "style": style, "script": script}
    before, after = page.split("@data@")
    for name, value in parts.items():
        before, after = (half.replace(f"@{name}@", value) for half in (before, after))
    return before + as_json(content) + after


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _asset(name: str) -> str:
    return files("saccade.view").joinpath(name).read_text(encoding="utf-8")
