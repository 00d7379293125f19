"""One HTML file that shows runs: all of it inside, nothing fetched, nothing of a run executed.

Style and script stand in the page, named by their hashes in a Content-Security-Policy that allows
nothing else. The data is a JSON block, which a browser never executes, in pure ASCII without `<`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from saccade.bench.benchmark import ALL
from saccade.bench.measured.attempts import groups_with
from saccade.bench.results import is_bench, known_benchmark
from saccade.errors import ConfigError, PluginError
from saccade.files import open_file, read_whole, write_whole, writing
from saccade.measures.summary import summary
from saccade.runs.folder import Entry
from saccade.runs.manifest import read_manifest
from saccade.types import Task, Trajectory
from saccade.view.dynamics import is_training
from saccade.view.names import run_names
from saccade.view.pictures import Pictures
from saccade.view.record import Episode, episode_of, finite, visible
from saccade.view.sound import Damage, attempt, sound_entries
from saccade.view.steps import KeptStep, in_a_line, kept_steps, metrics_of_steps

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MAX_PAGE_BYTES = 24 * 2**20
"""Bytes of images from which a page becomes a folder with the images beside it."""

MAX_TOKENIZER_BYTES = 64 * 2**20
"""Larger tokenizer files are not read."""

MAX_LEFT_OUT = 20
"""Records that could not be used, of which a page says why."""

_GROWING = ("tasks.jsonl", "trajectories.jsonl", "aborted.jsonl", "reward_failed.jsonl")


class Page(NamedTuple):
    """A finished page."""

    html: str
    files: dict[str, bytes]
    """The images beside the page by their names; empty for a page in one file."""


def write_page(runs: Sequence[Path], out: Path) -> Path:
    """Write the page of one run, or of several side by side.

    Args:
        runs: Run folders, finished or not.
        out: The HTML file. Where the images are large it becomes a folder of the same name.

    Returns:
        The file to open.

    Raises:
        StoreError: there is no run in a folder, or the page cannot be written.
        FormatError: the `run.json` of a folder is damaged. Records that cannot be used are left
            out, and named on the page.
    """
    page = make_page(runs)
    target = out.with_suffix("") / "index.html" if page.files else out
    images = target.parent / "images" if page.files else target.parent
    with writing(target):
        images.mkdir(parents=True, exist_ok=True)
    for name, content in page.files.items():
        write_whole(images / name, content)
    write_whole(target, page.html.encode())
    return target


def make_page(runs: Sequence[Path]) -> Page:
    """The page of one run, or of several side by side.

    Raises:
        ConfigError: no run was named.
    """
    return PageBuilder(runs).page()


class PageBuilder:
    """Makes the page of runs, again and again while they grow; episodes are prepared once."""

    def __init__(self, runs: Sequence[Path]) -> None:
        """Take the run folders.

        Raises:
            ConfigError: none was named.
        """
        if not runs:
            raise ConfigError("view: name at least one run folder")
        self._runs = tuple(runs)
        self._names = dict(zip(runs, run_names(runs), strict=True))
        self._pictures = Pictures()
        self._tokenizers = _Tokenizers()
        self._episodes: dict[tuple[Path, str, str | None, float], Episode] = {}

    @property
    def version(self) -> str:
        """A text that changes whenever a run has grown."""
        folders = list(self._runs)
        for run in self._runs:
            folders += [folder for step in kept_steps(run) for folder in step.folders]
        files = (folder / name for folder in folders for name in _GROWING)
        return " ".join(map(_size, files))

    def page(self, *, follow: bool = False) -> Page:
        """The page of the runs as they are now."""
        content = self._content() | {"follow": follow}
        files = self._pictures.files
        inline = follow or sum(map(len, files.values())) <= MAX_PAGE_BYTES
        content["pictures"] = self._sources(inline=inline)
        names = " \u00b7 ".join(self._names[run] for run in self._runs)
        return Page(_html(content, names, inline=inline), {} if inline else files)

    def data(self) -> str:
        """The data of the page as JSON, for a page that is already open."""
        return as_json(self._content() | {"pictures": self._sources(inline=True), "follow": True})

    def _content(self) -> dict[str, object]:
        version = self.version
        return {"version": version, "runs": [self._run(run) for run in self._runs]}

    def _sources(self, *, inline: bool) -> dict[str, str]:
        files = self._pictures.files
        return {n: self._pictures.data_uri(n) if inline else f"images/{n}" for n in files}

    def _run(self, path: Path) -> dict[str, object]:
        if steps := kept_steps(path):
            return self._training(path, steps)
        damage = Damage()
        shown = list(self._shown(path, damage))
        total = summary(entry for entry, _ in shown)
        episodes = [episode for _, episode in shown]
        _name_groups(path, shown)
        accuracy = "-" if total.accuracy is None else f"{total.accuracy:.3f}"
        interval = "" if total.low is None else f", 95 % CI [{total.low:.3f}, {total.high:.3f}]"
        tasks = f" samples of {total.tasks} tasks" if total.repeated else ""
        line = f"accuracy {accuracy}{interval}, n = {total.scored}{tasks}; environment "
        return {
            "name": visible(self._names[path]),
            "line": line + visible(read_manifest(path).fingerprint or ""),
            "notes": _notes(path, Counter(e["outcome"] for e in episodes), damage),
            "episodes": episodes,
        }

    def _training(self, path: Path, steps: Sequence[KeptStep]) -> dict[str, object]:
        """The episodes of all kept steps of a training; no accuracy of them together."""
        metrics = metrics_of_steps(path)
        damage = Damage()
        episodes = [
            episode
            for step in steps
            for folder in step.folders
            for _, episode in self._shown(folder, damage, step=step.number)
        ]
        lines = [
            {"step": step.number, "line": in_a_line(metrics.get(step.number, {}))} for step in steps
        ]
        fingerprint = read_manifest(path).fingerprint or ""
        done = f" of {max(metrics)} finished ones" if metrics else ""
        return {
            "name": visible(self._names[path]),
            "line": f"{len(steps)} kept steps{done}; environment {visible(fingerprint)}",
            "notes": _notes(path, Counter(e["outcome"] for e in episodes), damage),
            "episodes": episodes,
            "steps": lines,
        }

    def _shown(
        self, path: Path, damage: Damage, *, step: int | None = None
    ) -> Iterator[tuple[Entry, Episode]]:
        """The episodes of a folder that can be shown, and what a page shows of them."""
        for entry in sound_entries(path, damage):
            make = partial(self._episode, path, *entry, step=step)
            if (episode := attempt(make, entry, path, damage)) is not None:
                yield entry, episode

    def _episode(
        self, path: Path, task: Task, trajectory: Trajectory, *, step: int | None = None
    ) -> Episode:
        """The data of an episode; one that was aborted may finish later under the same id."""
        key = (path, trajectory.id, trajectory.error, trajectory.seconds)
        if key not in self._episodes:
            self._episodes[key] = episode_of(
                task, trajectory, self._pictures, self._tokenizers.texts, step=step
            )
        return self._episodes[key]


def _name_groups(path: Path, shown: Sequence[tuple[Entry, Episode]]) -> None:
    """Note the groups of a benchmark in its episodes."""
    manifest = read_manifest(path)
    if not is_bench(manifest):
        return
    benchmark, _ = known_benchmark(manifest)
    for entry, episode in shown:
        with suppress(PluginError):  # of a damaged record; its family is still known
            held = groups_with(benchmark, *entry)
            episode["groups"] = [visible(name) for name in held if name != ALL]


def _size(file: Path) -> str:
    try:
        return str(file.stat().st_size)
    except OSError:
        return "-"


def as_json(content: object) -> str:
    """JSON that can stand inside a script element: it is ASCII, and no tag can begin in it."""
    text = json.dumps(finite(content), ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c")


def _notes(path: Path, outcomes: Counter[str], damage: Damage) -> list[str]:
    """Sentences about what is unusual in a run."""
    notes = [
        f"{outcomes[name]} {name}." for name in ("aborted", "timeout", "unscored") if outcomes[name]
    ]
    left_out = damage.sentences
    notes += [visible(f"Left out: {said}")[:500] for said in left_out[:MAX_LEFT_OUT]]
    if len(left_out) > MAX_LEFT_OUT:
        notes.append(f"Left out: {len(left_out) - MAX_LEFT_OUT} more records.")
    if not outcomes and is_training(path):
        notes.append("A training that kept no episodes; its metrics: saccade report.")
    elif not outcomes:
        notes.append("No episode has finished yet.")
    if any((path / "torn").glob("*")):
        notes.append("A crash cut a line in half; it is kept in torn/.")
    for name in ("trajectories.jsonl", "tasks.jsonl"):
        if _ends_in_a_half_line(path / name):
            notes.append(f"The last line of {name} is still being written, or was cut by a crash.")
    return notes


def _ends_in_a_half_line(path: Path) -> bool:
    try:
        with open_file(path) as file:
            if not file.seek(0, os.SEEK_END):
                return False
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:
        return False


class _Tokenizers:
    """The tokenizers of local models, which give the text of single ids."""

    def __init__(self) -> None:
        self._found: dict[str, Tokenizer | None] = {}

    def texts(self, model: str, ids: Sequence[int]) -> list[str] | None:
        """The text of each id, or None where the model's folder is not on this machine."""
        if model not in self._found:
            self._found[model] = _read_tokenizer(Path(model) / "tokenizer.json")
        tokenizer = self._found[model]
        if tokenizer is None:
            return None
        try:
            return [tokenizer.decode([i], skip_special_tokens=False) for i in ids]
        except (OverflowError, TypeError):  # ids that no tokenizer has
            return None


def _read_tokenizer(path: Path) -> Tokenizer | None:
    """The tokenizer in a file; None unless it is a regular file of bounded size that holds one."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        return None
    try:
        if path.is_symlink():
            return None
        return Tokenizer.from_str(read_whole(path, most=MAX_TOKENIZER_BYTES).decode())
    except (OSError, UnicodeDecodeError):
        return None
    except Exception as error:
        # What the library raises for a file that is no tokenizer has no class of its own.
        if type(error) is not Exception:
            raise
        return None


def _html(content: dict[str, object], title: str, *, inline: bool) -> str:
    style, script = _asset("page.css"), _asset("episode.js") + _asset("page.js")
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
